"""Intervals by the recipe, walked through by hand, and comparators that only know the past."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from statistics import NormalDist

import numpy as np
import pytest

from models.base import Float
from tests.training.quarters import NODES, PERIODS, WEEKS, company, one
from training.bookings_baselines import CRM, WAYS, points
from training.bookings_forecasts import best_before, forecasts, held_against, reach
from training.bookings_past import Past
from training.bookings_scores import Forecasts, less_error, score_each


@pytest.fixture(scope="module")
def past() -> Past:
    return company(3)


@pytest.fixture(scope="module")
def told(past: Past) -> dict[str, Forecasts]:
    return forecasts(past)


def test_a_band_reaches_to_the_error_that_its_periods_bear() -> None:
    errors = np.arange(1, 9) / 10  # eight periods, one error each
    assert reach(errors, 8, 0.5) == errors[ceil(9 * 0.5) - 1]
    assert reach(errors, 8, 0.8) == errors[ceil(9 * 0.8) - 1]
    assert reach(np.arange(1, 5) / 10, 4, 0.8) == 0.4  # four periods just bear 80 %
    assert reach(np.arange(1, 10) / 10, 9, 0.9) == 0.9  # and nine 90 %
    pooled = np.arange(1, 25) / 10  # three weeks each
    assert reach(pooled, 8, 0.8) == pooled[ceil(24 * 9 * 0.8 / 8) - 1]


def test_with_fewer_periods_it_is_widened() -> None:
    z = NormalDist().inv_cdf
    assert reach(np.array([0.1, 0.2, 0.3]), 3, 0.8) == pytest.approx(0.3 * z(0.9) / z(0.875))
    assert reach(np.array([0.2]), 1, 0.8) == pytest.approx(0.2 * z(0.9) / z(0.75))
    assert reach(np.arange(1, 9) / 10, 8, 0.9) == pytest.approx(0.8 * z(0.95) / z(1 - 1 / 18))
    assert np.isnan(reach(np.zeros(0), 0, 0.8))


def row(rows: Forecasts, period: int, week: int, node: str) -> int:
    (found,) = np.flatnonzero((rows.period == period) & (rows.week == week) & (rows.node == node))
    return int(found)


def test_an_interval_by_hand(past: Past, told: dict[str, Forecasts]) -> None:
    """Pickup for team east, period 12, week 7: errors of weeks 4 and 7, periods 4 to 11, both teams."""
    sizes = []
    for period in range(4, 12):
        for week in (4, 7):
            each = points(one(past, period, week), past)
            for node in (1, 2):
                if each.here[node]:
                    guess = each.said["pickup"][node]
                    sizes.append(abs(past.total(period)[node] - guess) / max(guess, each.usual[node]))
    sizes.sort()
    k = len(sizes)
    now = points(one(past, 12, 7), past)
    guess, measure = now.said["pickup"][1], max(now.said["pickup"][1], now.usual[1])
    half, most = sizes[ceil(k * 9 * 0.5 / 8) - 1], sizes[ceil(k * 9 * 0.8 / 8) - 1]
    found = told["pickup"].quantiles[row(told["pickup"], 12, 7, "east")] * 100
    assert found[3] == pytest.approx(guess)
    assert (found[4] - guess, found[5] - guess) == pytest.approx((half * measure, most * measure))
    assert found[1] == pytest.approx(max(guess - most * measure, now.booked[1]))


def test_rows_are_alike_for_every_baseline_and_say_what_came(past: Past, told: dict[str, Forecasts]) -> None:
    assert list(told) == list(WAYS)
    first = told[CRM]
    assert all((rows.keys() == first.keys()).all() for rows in told.values())
    assert (first.period * 100 + first.week).tolist() == sorted((first.period * 100 + first.week).tolist())
    at = row(first, 12, 4, "cem")
    assert first.actual[at] == pytest.approx(past.total(12)[NODES.names.tolist().index("cem")] / 100)
    assert (first.level == "company").sum() == PERIODS * len(WEEKS)


def test_no_quantile_lies_below_what_is_booked(past: Past, told: dict[str, Forecasts]) -> None:
    clipped = 0
    for rows in told.values():
        for period, week in ((12, 4), (13, 7), (15, 7)):
            here = (rows.period == period) & (rows.week == week) & (rows.level == "company")
            floor = points(one(past, period, week), past).booked[0] / 100
            assert (rows.quantiles[here] >= floor - 1e-6).all()
            clipped += int((rows.quantiles[here] == floor).sum())
    assert clipped > 0


def test_without_an_error_of_its_own_it_takes_pickups(past: Past, told: dict[str, Forecasts]) -> None:
    """Rates of rows begin with period 10: nobody knows yet how they err."""
    for name in (CRM, "stage_rate"):
        at = row(told[name], 10, 7, "all")
        mine, pickup = told[name].quantiles[at], told["pickup"].quantiles[at]
        each = points(one(past, 10, 7), past)
        share = [(q[5] - q[3]) / max(q[3], each.usual[0] / 100) for q in (mine, pickup)]
        assert share[0] == pytest.approx(share[1])
    assert not told[CRM].told[row(told[CRM], 9, 7, "all")]
    assert told["pickup"].told[row(told["pickup"], 9, 7, "all")]


def test_later_periods_change_no_forecast(past: Past, told: dict[str, Forecasts]) -> None:
    kept = tuple(each for each in past.looks if each.period <= 12)
    cut = int(past.starts[13])
    spoilt = replace(past.wins, cents=np.where(past.wins.won_at >= cut, 10**10, past.wins.cents))
    again = forecasts(replace(past, wins=spoilt, looks=kept))
    for name, rows in told.items():
        early = rows.take(rows.period <= 12)
        assert early.quantiles.tobytes() == again[name].quantiles.tobytes()


def test_looks_must_be_there_and_once(past: Past) -> None:
    with pytest.raises(ValueError, match="at least one look"):
        forecasts(replace(past, looks=()))
    with pytest.raises(ValueError, match="one per period"):
        forecasts(replace(past, looks=(past.looks[0], past.looks[0])))


def flat(points_: dict[int, float], actual: Float, level: str = "company") -> Forecasts:
    """A forecast of one row a period; NaN where it has no point."""
    n = len(actual)
    median = np.array([points_.get(period, np.nan) for period in range(n)])
    return Forecasts(
        np.arange(n), np.ones(n, dtype=np.int64), np.full(n, level), np.full(n, "all"), actual, median,
        np.repeat(median[:, None], 7, axis=1),
    )  # fmt: skip


def test_the_best_before_is_chosen_on_earlier_periods_alone() -> None:
    actual = np.full(5, 100.0)
    early = flat({0: 100, 1: 101, 2: 300, 3: 900, 4: 900}, actual)  # right at first
    late = flat({0: 150, 1: 150, 2: 100, 3: 100, 4: 100}, actual)  # right from period 2 on
    both = {"early": early, "late": late}
    assert [best_before(both, period) for period in range(5)] == [None, "early", "early", "late", "late"]
    chosen = held_against(both, [2, 3])
    assert chosen.median.tolist() == [300, 100]


def test_who_cannot_tell_the_period_or_has_no_past_is_no_comparator() -> None:
    actual = np.full(4, 100.0)
    calls = flat({0: 100, 1: 100, 3: 100}, actual)
    fresh = flat({2: 100, 3: 100}, actual)
    usual = flat(dict.fromkeys(range(4), 120.0), actual)
    every = {"calls": calls, "fresh": fresh, "usual": usual}
    assert best_before(every, 2) == "usual"
    assert best_before({"fresh": fresh}, 2) is None
    assert best_before({"fresh": fresh, "usual": usual}, 3) == "fresh"
    assert best_before(every, 2, "team") is None
    with pytest.raises(ValueError, match="no baseline"):
        held_against({"fresh": fresh}, [2])


def test_all_are_compared_on_the_same_earlier_rows() -> None:
    """One that only tells the easy period has no less error for that."""
    actual = np.array([100.0, 100.0, 100.0])
    easy = flat({1: 110, 2: 100}, actual)
    whole = flat({0: 400, 1: 105, 2: 100}, actual)
    assert best_before({"easy": easy, "whole": whole}, 2) == "whole"


def test_baselines_can_be_scored_and_paired(told: dict[str, Forecasts]) -> None:
    test = [13, 14, 15]
    rows = told["pickup"].take(np.isin(told["pickup"].period, test))
    found = score_each(rows, 50, 1)
    assert [(each.level, each.week) for each in found] == [
        (lv, wk) for lv in ("company", "team", "rep") for wk in WEEKS
    ]
    bar = held_against(told, test)
    less = less_error(rows, bar, 50, 1)
    assert (less.periods, less.rows) == (3, 9)
    assert less_error(bar, bar, 50, 1).error.value == 0.0
