"""What moved between two forecasts: every part, deal by deal, adds up to the cent, for the company and each team."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from features.nodes import NO_TEAM
from models.bundle import Store, save
from serving.answers import iso
from serving.bridge import PARTS, Bridge
from serving.principal import Principal
from serving.store.forecast_rows import rows_at
from serving.store.moves import Node, bridge_of
from serving.store.repository import reading
from serving.store.tables import DEAL_STATES, STILL
from tests.served import World
from tests.stored import DAY, Office, office_in, service

pytestmark = pytest.mark.timeout(120)
EVERYONE = Principal("test", None)
HOUR = DAY // 24


def moved(office: Office, start: int, principal: Principal = EVERYONE, node: Node | None = None) -> Bridge:
    """The bridge from an as-of to the office's clock."""
    with office.store() as store, reading(store) as connection:
        found = bridge_of(connection, principal, start, office.now, node)
    assert found is not None
    assert sum(part.cents for part in found.parts) == found.end.mean - found.start.mean
    assert found.parts[-1].name == "rounding"
    assert found.parts[-1].cents == 0
    for part in found.parts:
        listed = [move.cents for move in found.moves if move.part == part.name]
        assert len(listed) == part.deals
        assert part.name == "arrivals" or sum(listed) == part.cents
    return found


def parts(found: Bridge) -> dict[str, set[str]]:
    """The deals of each part that has any."""
    told: dict[str, set[str]] = {}
    for move in found.moves:
        told.setdefault(move.part, set()).add(move.deal_id)
    return told


def told(office: Office, deal: str, **change: str) -> None:
    """Write a row into the export's history: what the deal last said, changed."""

    def more(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        own = [row for row in rows if row["deal_id"] == deal and row["known_at"] < iso(office.now - HOUR)]
        last = max(own, key=lambda row: row["known_at"])
        return [*rows, last | {"known_at": iso(office.now - HOUR)} | change]

    office.rewrite("deal_history.csv", more)


@pytest.fixture
def names(few: list[str]) -> list[str]:
    """Deals that are open at the world's as-of."""
    return few[: len(few) // 2]


def test_every_kind_of_move_stands_in_its_part_and_all_add_up(either: Office, names: list[str]) -> None:
    won, lost, deleted, grown, slipped, pulled, handed = names[:7]
    told(either, slipped, close_date="2025-06-10")
    told(either, pulled, close_date="2025-09-10")
    told(either, grown, amount="10000")
    start = either.now
    either.refresh()
    either.now += DAY
    told(either, won, stage="Closed Won", amount="12345.67")
    told(either, lost, stage="Closed Lost")
    told(either, deleted, is_deleted="true")
    told(either, grown, amount="20000")
    told(either, slipped, close_date="2025-08-20")
    told(either, pulled, close_date="2025-06-20")
    owner = next(state for state in states(either) if state.deal_id == handed).owner_id
    told(either, handed, owner_id="U0001" if owner != "U0001" else "U0002")
    either.rewrite("deals.csv", lambda rows: [*rows, rows[0] | {"deal_id": "N1", "created_at": iso(either.now - HOUR)}])
    born = {"deal_id": "N1", "known_at": iso(either.now - HOUR), "stage": "Qualify", "amount": "500"}
    either.rewrite("deal_history.csv", lambda rows: [*rows, born])
    either.refresh()
    found = moved(either, start)
    of = {move.deal_id: move.part for move in found.moves if move.part != "score_drift"}
    expected = {won: "won", lost: "lost", deleted: "removed", "N1": "new", grown: "amount", slipped: "slipped"}
    assert {deal: of.get(deal) for deal in (*expected, pulled)} == expected | {pulled: "pulled_in"}
    assert next(move.after_cents for move in found.moves if move.deal_id == won) == 1_234_567
    assert parts(found)["score_drift"] <= set(names)
    assert not {"moved_in", "moved_out", "model_change", "score_drift_and_model_change"} & parts(found).keys()


def states(office: Office) -> list[Any]:
    """The states that hold."""
    with office.store() as store, store.engine.begin() as connection:
        return list(connection.execute(select(DEAL_STATES).where(DEAL_STATES.c.until == STILL)))


def test_the_bridges_of_nodes_add_up_to_the_companys(office: Office, names: list[str]) -> None:
    """A deal that changes hands leaves one node and comes to another; the company does not see it move."""
    office.refresh()
    start, before = office.now, {row.deal_id: row for row in states(office)}
    office.now += DAY
    teams = {row.owner_id: row.team for row in before.values()}
    deal = names[0]
    other = next(owner for owner, team in sorted(teams.items()) if team != before[deal].team)
    told(office, deal, owner_id=other)
    office.refresh()
    whole = moved(office, start)
    assert whole.start.mean != whole.end.mean
    with office.store() as store, reading(store) as connection:
        rows = [row for as_of in (start, office.now) for row in rows_at(connection, EVERYONE, as_of)]
    for level in ("team", "rep"):
        nodes = sorted({row.node for row in rows if row.level == level})
        each = {node: moved(office, start, node=(level, node)) for node in nodes}
        assert sum(one.end.mean - one.start.mean for one in each.values()) == whole.end.mean - whole.start.mean
        came = [node for node, one in each.items() if deal in parts(one).get("moved_in", ())]
        left = [node for node, one in each.items() if deal in parts(one).get("moved_out", ())]
        assert (came, left) == (
            ([teams[other]], [before[deal].team]) if level == "team" else ([other], [before[deal].owner_id])
        )
    for team in sorted({row.team for row in before.values()}):
        own = moved(office, start, Principal("k", frozenset({team})))
        assert own.parts == moved(office, start, node=("team", team)).parts


def test_a_key_of_a_team_sees_no_other_node(office: Office) -> None:
    office.refresh()
    start = office.now
    office.now += DAY
    office.refresh()
    teams = sorted({row.team for row in states(office)})
    key = Principal("k", frozenset({teams[0]}))
    foreign = [("company", "all"), ("team", NO_TEAM), *(("team", team) for team in teams[1:])]
    foreign += [("rep", row.owner_id) for row in states(office) if row.team != teams[0]]
    with office.store() as store, reading(store) as connection:
        assert {row.team for row in rows_at(connection, key, start)} == {teams[0]}
        assert [bridge_of(connection, key, start, office.now, node) for node in foreign] == [None] * len(foreign)
        assert bridge_of(connection, Principal("nobody"), start, office.now, None) is None


def test_a_refresh_writes_what_changed_and_any_state_can_be_read_again(either: Office, names: list[str]) -> None:
    either.refresh()
    first = states(either)
    assert {row.deal_id for row in first if row.slot == 0} == set(names)
    either.now += HOUR
    either.refresh()
    assert states(either) == first  # the same day, and nothing changed
    told(either, names[0], amount="77")
    either.refresh()
    again = states(either)
    assert {row.deal_id for row in again if row not in first} == {names[0]}
    either.refresh()
    assert states(either) == again  # done again
    found = moved(either, first[0].as_of)
    assert {move.deal_id for move in found.moves} == {names[0]}


def test_the_routes_tell_the_bridge_and_page_its_deals(office: Office, names: list[str]) -> None:
    start = office.now
    office.refresh()
    office.now += DAY
    told(office, names[0], stage="Closed Lost")
    office.refresh()
    found = moved(office, start)
    with service(office) as served:
        got = served.get("/v1/forecast/bridge").json()
        assert [(part["part"], round(part["amount"] * 100)) for part in got["parts"]] == [
            (part.name, part.cents) for part in found.parts
        ]
        assert [deal["deal_id"] for deal in got["deals"]] == [move.deal_id for move in found.moves]
        listed, cursor = [], {}
        while True:
            page = served.get("/v1/forecast/bridge", limit=3, **cursor).json()
            listed += page["deals"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert listed == got["deals"]
        lost = served.get("/v1/forecast/bridge", part="lost").json()
        assert [deal["deal_id"] for deal in lost["deals"]] == [names[0]]
        for wrong in ({"part": "x"}, {"level": "team"}, {"from": "yesterday"}, {"cursor": page["request_id"]}):
            assert served.get("/v1/forecast/bridge", **wrong).status_code == 422
        assert served.get("/v1/forecast/bridge", **{"from": iso(start - 1)}).json()["code"] == "no_forecast"
        forecast = served.get("/v1/forecast").json()
        assert {row["level"] for row in forecast["nodes"]} == {"company", "team", "rep"}
        assert [row["as_of"] for row in forecast["history"]] == [iso(start), iso(office.now)]
        assert forecast["history"][1] == forecast["nodes"][0]
        assert served.get("/v1/forecast", as_of=iso(start)).json()["as_of"] == iso(start)
        assert served.get("/v1/forecast", period="1999-01-01").json()["code"] == "no_forecast"


def test_parts_are_told_apart_by_name() -> None:
    assert len(set(PARTS)) == len(PARTS)


def test_another_model_is_a_part_of_its_own(world: World, export: Path, tmp_path: Path) -> None:
    """Both models are asked of the same facts; without the old one, its part is told together with the drift."""
    with_swap, without = (
        office_in(world, tmp_path / name, Path(shutil.copytree(export, tmp_path / name / "export")))
        for name in ("swap", "none")
    )
    bundles = bundles_of(with_swap)
    tilted = replace(world.bundle.bookings, tilt=world.bundle.bookings.tilt + 0.3)
    save(replace(world.bundle, bookings=tilted), tmp_path / "other")
    other = bundles.publish(tmp_path / "other")
    start = with_swap.now
    for office in (with_swap, without):
        office.refresh()
        office.now += DAY
    bundles.point(other)
    for office in (with_swap, without):
        office.refresh()
    found, same = moved(with_swap, start), moved(without, start)
    by_model = {move.deal_id: move.cents for move in found.moves if move.part == "model_change"}
    cents = {(of, row.deal_id): row.cents for of, one in enumerate((with_swap, without)) for row in states(one)}
    both = {move.deal_id for move in same.moves if move.part not in ("new", "won", "lost", "removed")}
    assert by_model == {deal: by for deal in both if (by := cents[0, deal] - cents[1, deal])}
    assert by_model
    assert {part.cents for part in same.parts if part.name == "model_change"} == {0}
    shutil.rmtree(bundles.root / other)
    bundles.point(world.bundle.sha)
    start = with_swap.now
    with_swap.now += DAY
    with_swap.refresh()
    told_of = parts(moved(with_swap, start))
    assert "score_drift_and_model_change" in told_of
    assert not {"score_drift", "model_change"} & told_of.keys()


def bundles_of(office: Office) -> Store:
    """A bundle store of the office's own, with the world's live model."""
    shared = office.config.state_dir / "bundles"
    whole = shared.resolve()
    shared.unlink()
    store = Store(shared)
    store.point(store.publish(Store(whole).current()))
    return store
