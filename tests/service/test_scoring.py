"""Scoring as a pure function: notes, rounding, reasons, and heads without a period."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from features.asof import Requests
from features.periods import DAY
from serving.batch import open_deals
from serving.intake import take_in
from serving.notes import STALE_AFTER, STANDS_IN, data_notes
from serving.scoring import DealScore, _dates, score
from tests.served import World

pytestmark = pytest.mark.timeout(120)


def codes(notes: tuple[str, ...]) -> list[str]:
    return [note.split(":")[0] for note in notes]


def scored(world: World, deal: dict[str, Any], as_of: int | None = None) -> DealScore:
    intake = take_in([deal], as_of or world.as_of, world.loaded, world.config.serving)
    assert not intake.problems
    assert intake.record is not None
    (one,) = score(intake.record, intake.requests, world.bundle, True, world.seen.as_of)
    return one


@pytest.fixture
def deal(world: World, ids: list[str]) -> dict[str, Any]:
    """A deal whose last row is unremarkable."""
    deal = copy.deepcopy(world.body(ids[:1])["deals"][0])
    deal["history"][-1] |= {"close_date": "2025-06-20", "amount": 100, "forecast_category": "commit"}
    return deal


def test_an_ordinary_deal_has_no_notes(world: World, deal: dict[str, Any]) -> None:
    assert scored(world, deal).data_notes == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"close_date": "2025-05-04"}, "overdue"),
        ({"forecast_category": "omitted"}, "omitted"),
        ({"amount": None}, "no_amount"),
        ({"amount": 0}, "zero_amount"),
        ({"amount": "-0.01"}, "zero_amount"),
        ({"owner_id": "nobody yet"}, "unknown_rep"),
        ({"owner_id": None}, "unknown_rep"),
    ],
)
def test_what_is_odd_is_named(world: World, deal: dict[str, Any], change: dict[str, object], code: str) -> None:
    deal["history"][-1] |= change
    assert codes(scored(world, deal).data_notes) == [code]


def test_a_close_date_of_today_is_not_overdue(world: World, deal: dict[str, Any]) -> None:
    deal["history"][-1]["close_date"] = "2025-05-05"
    assert scored(world, deal).data_notes == ()


def test_no_history_is_scored_from_the_table(world: World, deal: dict[str, Any]) -> None:
    one = scored(world, deal | {"history": [], "activities": [], "contacts": []})
    assert codes(one.data_notes) == ["no_history"]
    assert 0 < one.p < 1


def test_old_reference_facts_are_named_with_their_day(world: World) -> None:
    asked = open_deals(world.seen.record, world.as_of).take(slice(0, 1))
    view = world.seen.record.view(asked)
    fresh = data_notes(view, 1, world.as_of - STALE_AFTER)
    stale = data_notes(view, 1, world.as_of - STALE_AFTER - DAY)
    (note,) = set(stale[0]) - set(fresh[0])
    assert note == ("stale_reference: rates of reps, accounts and segments hold deals closed up to 2025-04-27 only")


@pytest.mark.parametrize(("p", "rounded"), [(0.0, 0), (0.005, 1), (0.0049999, 0), (0.125, 13), (0.995, 100)])
def test_a_score_is_rounded_half_up(world: World, monkeypatch: pytest.MonkeyPatch, p: float, rounded: int) -> None:
    monkeypatch.setattr("models.heads.sigmoid", lambda x: np.full(len(x), p))
    asked = open_deals(world.seen.record, world.as_of).take(slice(0, 1))
    bundle = replace(world.bundle, timing=None)
    assert score(world.seen.record, asked, bundle, False, world.seen.as_of)[0].score == rounded


def test_reasons_add_up_to_the_probability(world: World) -> None:
    asked = open_deals(world.seen.record, world.as_of)
    for one in score(world.seen.record, asked, world.bundle, True, world.seen.as_of):
        total = sum(reason.log_odds for reason in one.reasons)
        assert abs(total - one.log_odds) < 1e-6
        assert abs(1 / (1 + np.exp(-total)) - one.p) < 1e-6
        assert one.reasons[-1].factor == "other"
        assert len(one.reasons) <= 8


def test_no_requests_no_scores(world: World) -> None:
    none = Requests(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert score(world.seen.record, none, world.bundle, True, world.seen.as_of) == []


def test_an_eventual_head_has_no_period(world: World) -> None:
    eventual = replace(world.bundle, about=replace(world.bundle.about, target="eventual"))
    asked = open_deals(world.seen.record, world.as_of).take(slice(0, 1))
    (one,) = score(world.seen.record, asked, eventual, False, world.seen.as_of)
    assert one.period_end is None


def test_won_lost_and_open_add_up_and_dates_are_in_order(world: World) -> None:
    asked = open_deals(world.seen.record, world.as_of)
    scores = score(world.seen.record, asked, world.bundle, False, world.seen.as_of)
    assert len({one.ahead.close_date for one in scores if one.ahead}) > 10
    for one in scores:
        assert one.ahead is not None
        assert one.ahead.p_won + one.ahead.p_lost + one.ahead.p_open == pytest.approx(1.0, abs=1e-12)
        assert one.ahead.p_won >= one.p - 1e-9  # the period ends before the horizon
        assert one.ahead.close_date is not None
        low, middle, high = one.ahead.close_date
        assert date(2025, 5, 5) <= low <= middle <= high <= date(2026, 5, 6)
        assert one.amount_expected is not None
        assert one.amount_expected > 0
        assert one.rung == world.bundle.model.rung


def test_days_ahead_are_local_days(world: World) -> None:
    """As of a Monday 00:00 in New York, two hours and a day and a half later; and across the end of summer time."""
    asked = open_deals(world.seen.record, world.as_of).take(slice(0, 1))
    days = np.array([[2 / 24], [1.5], [182.02]])
    ((low, middle, high),) = _dates(asked.as_of, days, "America/New_York")
    assert (low, middle) == (date(2025, 5, 5), date(2025, 5, 6))
    assert high == date(2025, 11, 2)  # half an hour of the third, had 2 November not had an hour more
    assert _dates(asked.as_of, np.array([[1.0], [np.nan], [2.0]]), "America/New_York") == [None]


def test_heads_that_are_absent_say_nothing(world: World) -> None:
    asked = open_deals(world.seen.record, world.as_of).take(slice(0, 3))
    full = score(world.seen.record, asked, world.bundle, False, world.seen.as_of)
    bare = replace(world.bundle, timing=None, amount=None)
    for one, other in zip(score(world.seen.record, asked, bare, False, world.seen.as_of), full, strict=True):
        assert (one.ahead, one.amount_expected) == (None, None)
        assert (one.p, one.score, one.rung) == (other.p, other.score, other.rung)


def test_slip_risk_needs_a_close_date(world: World, deal: dict[str, Any]) -> None:
    risks = []
    for day in ("2025-05-04", "2025-05-06", "2025-07-20", None):
        deal["history"][-1]["close_date"] = day
        ahead = scored(world, deal).ahead
        assert ahead is not None
        risks.append(ahead.slip_risk)
    overdue, soon, later, none = risks
    assert overdue == 1.0
    assert soon is not None
    assert later is not None
    assert 1 > soon > later > 0
    assert none is None


@pytest.mark.parametrize("change", [{"amount": None}, {"amount": 0}])
def test_what_stands_in_for_an_amount_is_told(world: World, deal: dict[str, Any], change: dict[str, object]) -> None:
    deal["history"][-1] |= change
    one = scored(world, deal)
    (note,) = one.data_notes
    assert note.endswith(STANDS_IN)
    assert one.amount_expected is not None
    assert one.amount_expected > 1_000  # not the 100 of before
    intake = take_in([deal], world.as_of, world.loaded, world.config.serving)
    assert intake.record is not None
    (told,) = data_notes(intake.record.view(intake.requests), 1, world.seen.as_of)[0]
    assert note == told + STANDS_IN


def test_an_amount_is_told_from_the_amount_now(world: World, deal: dict[str, Any]) -> None:
    said = []
    for amount in (100, 200):
        deal["history"] = deal["history"][:1]  # so that features of the amount's past stay as they are
        deal["history"][-1] |= {"amount": amount}
        said.append(scored(world, deal).amount_expected)
    assert said[0] is not None
    assert said[1] is not None
    assert 50 < said[0] < 150
    assert 100 < said[1] < 300


def test_a_deal_of_unknown_stage_is_answered_by_the_table(world: World, deal: dict[str, Any]) -> None:
    one = scored(world, deal | {"history": [], "activities": [], "contacts": []})
    assert one.rung == "table"
    assert one.ahead is not None
    assert one.ahead.p_won + one.ahead.p_lost + one.ahead.p_open == pytest.approx(1.0, abs=1e-12)
    assert one.amount_expected is not None
