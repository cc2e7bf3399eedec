"""The accuracy page: the backtest beside every baseline for those who see the company, what was told for everyone."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from models.baselines import BASELINES
from serving.live_accuracy import FEWEST
from serving.pages.accuracy import headline, misses_of
from serving.pages.baselines import OF_BOOKINGS, OF_DEALS, OURS
from serving.pages.words import Words, locale_of
from serving.principal import Rights, Scope
from tests.contracted import checked
from tests.paged import Visitor, key_for, visitor
from tests.pages.told import CAME, SAID, bookings, publish_report, report
from tests.stored import Office, office_in
from training.backtest import CLOSE
from training.bookings_baselines import WAYS

pytestmark = pytest.mark.timeout(120)

WORDS = Words(locale_of("en"), "UTC", "USD")
READS = frozenset({Scope.READ, Scope.OVERRIDE})


@pytest.fixture
def chief(past: Office) -> Iterator[Visitor]:
    """Somebody who sees everything, after the end of a period."""
    with visitor(past) as somebody:
        key = key_for(past, f"chief {id(somebody)}")
        somebody.log_in(key)
        somebody.client.headers["X-Api-Key"] = key
        yield somebody


def text_of(page: str) -> str:
    """What a reader reads."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_the_headline_is_the_miss_in_the_middle() -> None:
    """Beside the reps, and beside whichever other way came closest: no weak one flatters us."""
    miss = {name: median(abs(said - 1) for said in told) for name, told in SAID.items()}
    best = min(miss.keys() - {OURS, "commit"}, key=lambda name: (miss[name], name))
    ours, commit, other = (round(100 * miss[name]) for name in (OURS, "commit", best))
    assert headline(WORDS, bookings()["periods"]) == (
        f"In week 4 of the last 3 quarters our forecast missed by {ours}% in the middle, "
        f"the reps' commit by {commit}%, the closest other way ({OF_BOOKINGS[best]}) by {other}%."
    )


def test_the_headline_compares_only_those_who_told_the_same_periods() -> None:
    periods = bookings()["periods"]
    del periods[0]["weeks"][1]["said"]["commit"]
    assert "commit" not in (headline(WORDS, periods) or "")
    assert headline(WORDS, [period | {"came": 0.0} for period in periods]) is None
    assert headline(WORDS, []) is None


def test_the_closest_of_each_week_is_marked_and_the_floor_stands_below_ours() -> None:
    table = misses_of(bookings()["misses"])
    off = {
        name: sum(abs(s - 1) * c for s, c in zip(said, CAME, strict=True)) / sum(CAME) for name, said in SAID.items()
    }
    closest = OF_BOOKINGS[min(off, key=lambda name: off[name])]
    assert [line.told for line in table.lines if line.cells[1] is not None and line.cells[1].closest] == [closest]
    assert [line.kind for line in table.lines[:2]] == ["ours", "floor"]
    commit = next(line for line in table.lines if line.told == OF_BOOKINGS["commit"])
    assert commit.cells[0] is None
    assert commit.cells[1] is not None
    assert commit.cells[1].value == pytest.approx(off["commit"])


def test_every_baseline_has_a_name() -> None:
    assert set(OF_BOOKINGS) == {OURS, *WAYS}
    assert set(OF_DEALS) == {CLOSE, *BASELINES}


def test_it_tells_the_backtest_and_what_was_told_apart(chief: Visitor) -> None:
    page = chief.get("/accuracy").text
    backtest, live = page.split('<h2 id="live"')
    told = text_of(backtest)
    assert "In week 4 of the last 3 quarters our forecast missed by 20% in the middle" in told
    assert "900 scores of 120 deals" in told
    for words in ("Our forecast", "One who knows every open deal's chance", "Reps' commit", "Stage × time left"):
        assert words in told
    assert "one seed" not in told
    assert "week 4" in told
    assert "week 14" not in told, f"of fewer than {FEWEST} deals"
    assert "0.213" in told
    answer = checked(chief.client).get("/v1/accuracy").json()
    assert answer["period_start"] == "2025-04-01"
    score = answer["live"]
    assert f"{score['rows']} scores of {score['deals']} deals" in text_of(live)
    assert f"{score['log_loss']['value']:.3f}" in live
    assert [f'<th scope="row">{week["week"]}</th>' in live for week in score["weeks"]] == [True, True]
    assert answer["backtest"]["bookings"]["misses"][0]["error"]["value"] > 0


def test_charts_hold_what_their_tables_tell(chief: Visitor) -> None:
    page = chief.get("/accuracy").text
    specs = [json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)]
    bookings_chart, calibration = specs[0]["datasets"]["rows"], specs[1]["datasets"]["rows"]
    assert [(row["period"], row["week"]) for row in bookings_chart[:2]] == [("Jul 2024", 1), ("Jul 2024", 4)]
    assert [row["came"] for row in bookings_chart] == [came for came in CAME for _ in range(2)]
    assert [row["commit"] for row in bookings_chart[:2]] == [None, 150_000.0]
    assert [row["said"] for row in calibration] == [8.0, 42.0]
    live = specs[2]["datasets"]["rows"]
    assert {row["period"] for row in live} == {"Apr 2025"}
    assert all(row["end"] in page and row["middle"] in page for row in [*bookings_chart, *live])


def test_an_odd_period_shows_the_newest(chief: Visitor) -> None:
    plain = chief.get("/accuracy").text
    for odd in ("2024-01-01", "nonsense", "2025-07-01", "%00", "9999-99-99"):
        assert text_of(chief.get(f"/accuracy?period={odd}").text) == text_of(plain)


def test_keys_of_a_team_see_their_own_and_no_backtest(past: Office) -> None:
    with visitor(past) as somebody:
        key = key_for(past, "their accuracy", Rights(READS, frozenset({"Team 1"})))
        somebody.log_in(key)
        page = somebody.get("/accuracy").text
        own = somebody.client.get("/v1/accuracy", headers={"X-Api-Key": key}).json()
    assert "keys of some teams do not see it" in page
    assert "Our forecast" not in page
    assert "missed by" not in page
    assert "Bookings of Team 1" in page
    assert "Team 2" not in page
    if own["live"] is not None:
        assert f"{own['live']['rows']} scores of {own['live']['deals']} deals" in text_of(page)


def test_a_team_of_few_deals_is_told_no_scores(past: Office) -> None:
    with visitor(past) as somebody:
        somebody.log_in(key_for(past, "no deals", Rights(READS, frozenset({"Team of none"}))))
        page = somebody.get("/accuracy").text
    assert "No period has ended since it runs" in page
    assert "log loss" not in page


def test_a_model_without_bookings_in_its_report_says_so(chief: Visitor, past: Office) -> None:
    try:
        publish_report(past, report() | {"bookings": None})
        page = chief.get("/accuracy").text
        assert "The report of this model tells no bookings" in page
        assert "missed by" not in page
        publish_report(past, {"table": [], "headline": None, "bins": [], "floor": None})
        assert "No period of the record could be tested yet" in chief.get("/accuracy").text
    finally:
        publish_report(past)


def test_before_a_period_ends_or_a_model_is_live_it_says_what_to_do(
    manager: Visitor, office: Office, tmp_path: Path
) -> None:
    page = manager.get("/accuracy").text
    assert "No period has ended since it runs" in page
    assert "published without its report" in page
    empty = office_in(office.world, tmp_path, office.export)
    with visitor(empty, ready=False) as somebody:
        somebody.log_in(key_for(empty, "first"))
        assert "forecastle promote CONFIG" in somebody.get("/accuracy").text
