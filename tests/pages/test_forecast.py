"""The forecast page without a browser: what it adds up to, whose it is, what its bars open, and what is missing."""

from __future__ import annotations

import csv
import html
import re
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from features.nodes import ALL, COMPANY, REP, TEAM
from features.periods import parse_as_of
from serving.answers import iso
from serving.bridge import PARTS, Part
from serving.pages.forecast import reach
from serving.pages.waterfall import TITLES, waterfall
from serving.pages.words import Words, locale_of
from serving.principal import Principal, Rights, Scope
from serving.store.bridges import MOST_KEPT, kept_moves, kept_parts, moved_in, usual_start
from serving.store.called import calls_at
from serving.store.engine import FILE
from serving.store.forecast_rows import as_ofs, rows_at
from serving.store.moves import bridge_of
from serving.store.repository import reading
from tests.paged import Visitor, copy_of, key_for, visitor
from tests.stored import DAY, Office, office_in

PERIOD = "2025-04-01"
READS = frozenset({Scope.READ})
EVERYONE = Principal("test", None)
MONEY = ("Booked", "Open deals", "Not yet created", "Average")


def text_of(cell: str) -> str:
    """The words of a piece of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", cell)).split())


def cents(cell: str) -> int:
    """An amount to the cent, as English writes it."""
    assert re.fullmatch(r"[+-]?[\d,]+\.\d\d", cell), cell
    return int(cell.replace(",", "").replace(".", "").replace("+", ""))


def rows_of(page: str, place: str) -> list[str]:
    """The rows of the body of the table that comes after a place."""
    body = page.split(place, 1)[1].split("<tbody", 1)[1].split("</tbody>", 1)[0]
    return re.findall(r"<tr.*?</tr>", body, re.DOTALL)


def roll_up(page: str) -> list[tuple[int, str, dict[str, str]]]:
    """The rows of the roll-up: how deep, the address of the name or its text, and the cells by their title."""
    found = []
    for row in rows_of(page, 'id="rollup"'):
        cells = {label: text_of(cell) for label, cell in re.findall(r'data-label="([^"]+)"[^>]*>(.*?)</td>', row, re.S)}
        depth = re.search(r"depth-(\d)", row)
        name = re.search(r"<th.*?>(.*?)</th>", row, re.S)
        assert name is not None
        found.append((int(depth[1]) if depth else -1, text_of(name[1]), cells))
    return found


def bars(page: str) -> list[tuple[str, str | None, int, int]]:
    """The rows of the first bridge: title, address of its deals, cents, deals."""
    found = []
    for row in rows_of(page, 'class="bridge"'):
        title = re.search(r"<th[^>]*>(.*?)(<small>|</th>)", row, re.S)
        to = re.search(r'<th[^>]*><a href="([^"]+)"', row)
        by, deals = (
            re.findall(r'<td class="num">(.*?)</td>', row, re.S)[:1],
            re.findall(r"<td[^>]*>(.*?)</td>", row, re.S),
        )
        assert title is not None
        count = text_of(deals[-1])
        address = html.unescape(to[1]) if to else None
        found.append((text_of(title[1]), address, cents(text_of(by[0])), int(count or 0)))
    return found


@pytest.fixture
def spoilt(office: Office, tmp_path: Path) -> Office:
    """The office over a copy of its store."""
    return copy_of(office, tmp_path)


def change(office: Office, *statements: str) -> None:
    with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
        for statement in statements:
            store.execute(statement)


def seen_by(office: Office, path: str, rights: Rights | None = None) -> Any:
    """A page as a new key of these rights gets it."""
    key = key_for(office, f"somebody {secrets.token_hex(4)}", rights or Rights(READS, None))
    with visitor(office) as somebody:
        somebody.log_in(key)
        return somebody.get(path)


def test_it_is_the_first_page(manager: Visitor) -> None:
    assert manager.get("/").headers["location"] == "/forecast"
    page = manager.get("/forecast")
    assert page.status_code == 200
    assert 'aria-current="page">Forecast' in page.text


def test_the_number_is_what_is_stored(manager: Visitor, office: Office) -> None:
    """With its meaning in words, beside quota and calls."""
    with office.store() as store, reading(store) as connection:
        row = rows_at(connection, EVERYONE, office.now, COMPANY)[0]
        commit = next(
            one
            for one in calls_at(connection, EVERYONE, office.now)
            if (one.level, one.category) == (COMPANY, "commit")
        )
    words = Words(locale_of("en"), office.config.time_zone, None)
    page = text_of(manager.get("/forecast").text)
    assert f"{words.money(row.p50)} 8 in 10 chance between {words.short(row.p10)} and {words.short(row.p90)}" in page
    assert f"Quota{words.short(row.quota)}: {words.of_100(reach(row))} of 100" in page
    assert f"Reps' commit{words.short(commit.cents / 100)}" in page
    assert row.model_version in page


@pytest.mark.parametrize(
    ("booked", "p", "told"), [(50.0, 0.0, "<1"), (50.0, 1.0, ">99"), (50.0, 0.37, "37"), (100.0, 1.0, "100")]
)
def test_what_is_not_certain_is_not_told_so(office: Office, booked: float, p: float, told: str) -> None:
    """A simulation that never reached the quota does not rule it out; bookings that have reached it do it."""
    with office.store() as store, reading(store) as connection:
        row = rows_at(connection, EVERYONE, office.now, COMPANY)[0]
    words = Words(locale_of("en"), office.config.time_zone, None)
    assert words.of_100(reach(replace(row, booked=booked, quota=100.0, p_reach_quota=p))) == told


def test_the_roll_up_adds_up_to_the_cent(manager: Visitor) -> None:
    """Each row's parts make its average; reps make their team, teams the company."""
    lines = roll_up(manager.get("/forecast?open=*").text)
    assert [depth for depth, _, _ in lines].count(0) == 1
    assert {depth for depth, _, _ in lines} == {0, 1, 2}
    for _, name, cells in lines:
        assert sum(cents(cells[label]) for label in MONEY[:3]) == cents(cells["Average"]), name
    for label in MONEY:
        values = [(depth, cents(cells[label])) for depth, _, cells in lines]
        assert values[0][1] == sum(value for depth, value in values if depth == 1), label
        for k, (depth, value) in enumerate(values):
            if depth == 1:
                below = []
                for deeper, own in values[k + 1 :]:
                    if deeper == 1:
                        break
                    below.append(own)
                assert value == sum(below), label


def test_reps_are_shown_by_a_link(manager: Visitor) -> None:
    closed = manager.get("/forecast").text
    to = re.search(r'class="fold no-print" href="([^"#]+)#rollup"', closed)
    assert to is not None
    opened = roll_up(manager.get(html.unescape(to[1])).text)
    assert all(depth < 2 for depth, _, _ in roll_up(closed))
    assert sum(depth == 2 for depth, _, _ in opened) >= 1


def every_move(somebody: Visitor, path: str) -> list[int]:
    """By how much each deal behind a bar moved, of all pages."""
    found: list[int] = []
    while path:
        page = somebody.get(path).text
        found += [cents(text_of(cell)) for cell in re.findall(r'data-label="Moved by"[^>]*>(.*?)</td>', page, re.S)]
        later = re.search(r'rel="next" href="([^"]+)"', page)
        path = html.unescape(later[1]) if later else ""
    return found


@pytest.mark.parametrize("path", ["/forecast", "/forecast?level=team&node=Team+1", "/forecast?level=rep&node={rep}"])
def test_every_bar_opens_the_deals_that_make_it(
    manager: Visitor, office: Office, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the start the bars lead to the end, and behind each is what sums up to it."""
    monkeypatch.setattr("serving.pages.moves.AT_ONCE", 7)
    with office.store() as store, reading(store) as connection:
        rep = rows_at(connection, EVERYONE, office.now, REP)[0].node
    start, *told, end = bars(manager.get(path.format(rep=rep)).text)
    assert start[2] + sum(moved for _, _, moved, _ in told) == end[2]
    assert any(deals for _, _, _, deals in told)
    for title, to, moved, deals in told:
        assert (to is not None) == (deals > 0), title
        if to is not None:
            behind = every_move(manager, to)
            assert len(behind) == deals, title
            assert sum(behind) == moved, title


def test_a_kept_bridge_is_the_one_that_would_be_worked_out(office: Office) -> None:
    """Of the company and of each team, from the Monday before."""
    with office.store() as store, reading(store) as connection:
        start, end = as_ofs(connection, EVERYONE, PERIOD)
        nodes = [(row.level, row.node) for row in rows_at(connection, EVERYONE, end) if row.level != REP]
        for node in nodes:
            found = bridge_of(connection, EVERYONE, start, end, node)
            assert found is not None
            assert kept_parts(connection, EVERYONE, start, end, node) == found.parts
            for part in PARTS:
                assert kept_moves(connection, end, node, part) == moved_in(found, part)[:MOST_KEPT]
            other = Principal("test", frozenset({"Team of none"}))
            assert kept_parts(connection, other, start, end, node) is None
    assert (COMPANY, ALL) in nodes
    assert len(nodes) > 2


def latest_calls(office: Office, as_of: int, category: str) -> dict[str, int]:
    """What each rep called last before an as-of, read off the export: cents."""
    found: dict[str, tuple[datetime, int]] = {}
    with (office.export / "calls.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["submitted_at"])
            known = row["submitted_at"][:10] >= PERIOD and int(at.timestamp() * 1_000_000) < as_of
            if known and (row["category"], row["period_start"]) == (category, PERIOD):
                found[row["rep_id"]] = max(found.get(row["rep_id"], (at, 0)), (at, round(float(row["amount"]) * 100)))
    return {rep: amount for rep, (_, amount) in found.items()}


@pytest.mark.parametrize("category", ["commit", "best_case"])
def test_calls_are_the_last_before_each_look(office: Office, category: str) -> None:
    """Of each rep; teams and the company are their sums."""
    with office.store() as store, reading(store) as connection:
        looks = as_ofs(connection, EVERYONE, PERIOD)
        for as_of in looks:
            kept = [one for one in calls_at(connection, EVERYONE, as_of) if one.category == category]
            reps = {one.node: one.cents for one in kept if one.level == REP}
            said = latest_calls(office, as_of, category)
            assert reps
            assert reps == {rep: said[rep] for rep in reps}
            told = {row.node for row in rows_at(connection, EVERYONE, as_of, REP)}
            assert set(said) & told <= set(reps)
            for level in (COMPANY, TEAM):
                assert sum(one.cents for one in kept if one.level == level) == sum(reps.values())
                assert sum(one.reps for one in kept if one.level == level) == len(reps)
    assert len(looks) == 2


class TestScope:
    """Keys of some teams."""

    @pytest.fixture
    def page(self, office: Office) -> str:
        return str(seen_by(office, "/forecast?open=*", Rights(READS, frozenset({"Team 1"}))).text)

    def test_one_team_sees_itself_alone(self, page: str, office: Office) -> None:
        lines = roll_up(page)
        assert [name for depth, name, _ in lines if depth == 0] == ["Team 1"]
        assert "Company" not in text_of(page)
        assert "Team 2" not in page
        with office.store() as store, reading(store) as connection:
            reps = {row.node: row.team for row in rows_at(connection, EVERYONE, office.now, REP)}
        assert len(lines) - 1 == sum(team == "Team 1" for team in reps.values())
        assert sum(cents(cells["Average"]) for depth, _, cells in lines if depth == 1) == cents(lines[0][2]["Average"])

    @pytest.mark.parametrize(
        "path",
        [
            "/forecast?level=company&node=all",
            "/forecast?level=team&node=Team+2",
            "/forecast?level=team&node=Team+of+none",
            "/forecast/moves?part=lost&level=team&node=Team+2",
            "/forecast?level=galaxy&node=all",
            "/forecast?period=1999-01-01",
        ],
    )
    def test_what_is_not_theirs_is_not_there(self, office: Office, path: str) -> None:
        answer = seen_by(office, path, Rights(READS, frozenset({"Team 1"})))
        assert answer.status_code == 404
        assert "Team 2" not in answer.text

    def test_bars_of_a_team_hold_its_deals(self, page: str, office: Office) -> None:
        start, *told, end = bars(page)
        assert start[2] + sum(moved for _, _, moved, _ in told) == end[2]
        drift = next(to for title, to, _, _ in told if title == TITLES["score_drift"][0])
        deals = seen_by(office, str(drift), Rights(READS, frozenset({"Team 1"}))).text
        assert "Team 1" in deals
        assert "Team 2" not in deals

    def test_several_teams_each_have_their_own(self, office: Office) -> None:
        """Averages are added up, quantiles are not."""
        page = seen_by(office, "/forecast", Rights(READS, frozenset({"Team 1", "Team 2"}))).text
        first, second, both = roll_up(page)
        assert (first[1].split()[:2], second[1].split()[:2]) == (["Team", "1"], ["Team", "2"])
        for label in MONEY:
            assert cents(first[2][label]) + cents(second[2][label]) == cents(both[2][label])
        assert both[2]["Even odds"] == "—"
        assert page.count('class="huge"') == 2
        assert page.count('class="bridge"') == 2


class TestMissing:
    """What the page says where there is nothing to show, and how to get it."""

    def test_no_calls(self, spoilt: Office) -> None:
        change(spoilt, "DELETE FROM calls")
        page = seen_by(spoilt, "/forecast").text
        assert "no calls in the data" in page
        assert "key-line commit" not in page

    def test_no_earlier_look(self, spoilt: Office) -> None:
        change(spoilt, "DELETE FROM forecasts WHERE as_of < (SELECT max(as_of) FROM forecasts)")
        page = seen_by(spoilt, "/forecast")
        assert "This is the first look at this period" in page.text
        assert "The average fell" not in page.text
        assert seen_by(spoilt, "/forecast/moves?part=lost").status_code == 404

    def test_no_quota(self, spoilt: Office) -> None:
        change(spoilt, "UPDATE forecasts SET quota = NULL, p_reach_quota = NULL")
        page = seen_by(spoilt, "/forecast")
        assert page.status_code == 200
        assert "none in the CRM" in page.text

    def test_a_refresh_that_did_not_run(self, spoilt: Office) -> None:
        assert "days old" not in seen_by(spoilt, "/forecast").text
        spoilt.now += 5 * DAY
        assert "This is 5 days old" in seen_by(spoilt, "/forecast").text

    def test_no_model_no_refresh_no_bookings(self, office: Office, tmp_path: Path) -> None:
        empty = office_in(office.world, tmp_path, office.export)
        with visitor(empty, ready=False) as somebody:
            somebody.log_in(key_for(empty, "first"))
            assert "No model is live yet" in somebody.get("/forecast").text
            api, loaded = somebody.client.app.state.api, office.world.loaded  # type: ignore[attr-defined]
            api.loaded = loaded
            assert "Nothing has been forecast yet" in somebody.get("/forecast").text

    def test_a_model_without_bookings(self, spoilt: Office) -> None:
        change(spoilt, "DELETE FROM forecasts")
        key = key_for(spoilt, "somebody")
        with visitor(spoilt) as somebody:
            somebody.log_in(key)
            api = somebody.client.app.state.api  # type: ignore[attr-defined]
            api.loaded = replace(api.loaded, bundle=replace(api.loaded.bundle, bookings=None))
            assert "cannot forecast bookings" in somebody.get("/forecast").text

    def test_no_team_of_theirs(self, office: Office) -> None:
        page = seen_by(office, "/forecast", Rights(READS, frozenset({"Team of none"}))).text
        assert "no forecast that you may see" in page


def test_a_past_period_can_be_chosen(spoilt: Office) -> None:
    with sqlite3.connect(spoilt.config.state_dir / "serving" / FILE) as store:
        names = [row[1] for row in store.execute("PRAGMA table_info(forecasts)")]
        said = {"as_of": f"as_of - {91 * DAY}", "period_start": "'2025-01-01'", "period_end": "'2025-03-31'"}
        values = ", ".join(said.get(name, name) for name in names)
        store.execute(f"INSERT INTO forecasts SELECT {values} FROM forecasts")
    page = seen_by(spoilt, "/forecast").text
    assert 'href="/forecast?period=2025-01-01"' in page
    past = seen_by(spoilt, "/forecast?period=2025-01-01")
    assert past.status_code == 200
    assert "this period is over" in past.text


def test_the_start_of_the_bridge_can_be_chosen(office: Office, manager: Visitor) -> None:
    """An instant that is not one of the looks is the usual one."""
    with office.store() as store, reading(store) as connection:
        first = as_ofs(connection, EVERYONE, PERIOD)[0]
    asked = manager.get(f"/forecast?from={iso(first)}").text
    assert bars(asked) == bars(manager.get("/forecast").text) == bars(manager.get("/forecast?from=yesterday").text)


def at(*days: str) -> list[int]:
    return [parse_as_of(day, "America/New_York") for day in days]


@pytest.mark.parametrize(
    ("stored", "end", "start"),
    [
        (("2025-04-28", "2025-04-29"), "2025-05-05", "2025-04-28"),  # a Monday goes back to the one before
        (("2025-04-28", "2025-05-05", "2025-05-06"), "2025-05-07", "2025-05-05"),
        (("2025-04-25", "2025-04-29"), "2025-05-05", "2025-04-25"),  # none that day: the last before it
        (("2025-05-06",), "2025-05-07", "2025-05-06"),  # none before it: the first of all
        ((), "2025-05-07", None),
        (("2025-05-07", "2025-05-08"), "2025-05-07", None),
    ],
)
def test_a_bridge_starts_on_monday(stored: tuple[str, ...], end: str, start: str | None) -> None:
    found = usual_start(at(*stored), at(end)[0], "America/New_York")
    assert found == (None if start is None else at(start)[0])


def test_bars_hang_together() -> None:
    """Each begins where the one before it ends, within the width there is; what did not move has none."""
    moves: Mapping[str, int] = {"new": 500, "lost": -900, "amount": 0, "arrivals": 150, "score_drift": -3}
    parts = [Part(name, moves.get(name, 0), 1) for name in PARTS]
    found = waterfall(parts, 1000, 748)
    assert [bar.part for bar in found.bars] == ["new", "lost", "score_drift", "arrivals"]
    place = found.start_x
    for bar in found.bars:
        begin, over = (bar.x, bar.x + bar.width) if bar.cents > 0 else (bar.x + bar.width, bar.x)
        assert begin == pytest.approx(place, abs=0.5)
        place = over
    assert place == pytest.approx(found.end_x, abs=0.5)
    assert all(bar.x >= 0 and bar.x + bar.width <= 100 for bar in found.bars)
    assert set(TITLES) == set(PARTS)


def test_amounts_are_exact() -> None:
    words = Words(locale_of("de"), "Europe/Berlin", "EUR")
    assert words.exact(123_456_789) == ("1.234.567", ",89")
    assert words.exact(5, signed=True) == ("+0", ",05")
    assert words.exact(-5, signed=True) == ("-0", ",05")
    assert "".join(words.exact(2**53 + 1)) == "90.071.992.547.409,93"
