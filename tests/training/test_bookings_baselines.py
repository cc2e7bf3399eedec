"""Every baseline against a walk through wins and looks, small cases by hand, and nothing that is known later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from features.periods import DAY
from models.base import Float
from tests.training.quarters import (
    NODES,
    STARTS,
    booked,
    company,
    is_here,
    members,
    one,
    weighted,
    with_wins,
)
from training.bookings_baselines import CRM, OF_ROWS, PRIOR, WAYS, points
from training.bookings_past import NO_CALL, Look, Past, standing

M = len(NODES)
PERIOD, WEEK = 12, 4


@pytest.fixture(scope="module")
def past() -> Past:
    return company()


@pytest.fixture(scope="module")
def look(past: Past) -> Look:
    return one(past, PERIOD, WEEK)


def said(past: Past, look: Look, name: str) -> Float:
    return points(look, past).said[name]


def now_booked(past: Past, look: Look, node: int) -> float:
    return booked(past, node, int(STARTS[look.period]), look.as_of)


def same_week(past: Past, look: Look, count: int = 8) -> list[Look]:
    return [one(past, period, look.week) for period in range(look.period)][-count:]


def still(past: Past, each: Look, node: int) -> float:
    return booked(past, node, each.as_of, int(STARTS[each.period + 1]))


def later(past: Past, each: Look, node: int) -> float:
    return booked(past, node, each.as_of, int(STARTS[each.period + 1]), each.as_of)


def whole(past: Past, each: Look, node: int) -> float:
    return booked(past, node, int(STARTS[each.period]), int(STARTS[each.period + 1]))


def test_a_rate_of_rows_is_what_is_booked_and_rate_times_amount(past: Past, look: Look) -> None:
    for name in OF_ROWS:
        expected = [now_booked(past, look, node) + weighted(look, node, look.p[name]) for node in range(M)]
        assert said(past, look, name) == pytest.approx(expected)


def test_the_crm_counts_deals_due_in_the_period_alone(past: Past, look: Look) -> None:
    expected = [now_booked(past, look, node) + weighted(look, node, look.p[CRM] * look.due) for node in range(M)]
    assert said(past, look, CRM) == pytest.approx(expected)


def increment(past: Past, look: Look, what: Callable[[Past, Look, int], float]) -> list[float]:
    """The mean over the last eight periods in which a node was here, drawn to its level's."""
    seen = {
        node: [what(past, each, node) for each in same_week(past, look) if is_here(past, each, node)]
        for node in range(M)
    }
    out = [sum(seen[0]) / len(seen[0])]
    for level in ([1, 2], [3, 4, 5, 6]):
        every = [value for node in level for value in seen[node]]
        usual = sum(every) / len(every)
        out += [(sum(seen[node]) + PRIOR * usual) / (len(seen[node]) + PRIOR) for node in level]
    return out


def test_pickup_adds_what_such_weeks_still_brought(past: Past, look: Look) -> None:
    rest = increment(past, look, still)
    assert said(past, look, "pickup") == pytest.approx([now_booked(past, look, k) + rest[k] for k in range(M)])


@pytest.mark.parametrize("name", OF_ROWS)
def test_arrivals_add_deals_that_were_not_open_at_the_look(past: Past, look: Look, name: str) -> None:
    new = increment(past, look, later)
    assert min(new) > 0
    assert said(past, look, f"{name}+arrivals") == pytest.approx(said(past, look, name) + new)


def test_calls_are_added_up_and_never_below_what_is_booked(past: Past, look: Look) -> None:
    expected = []
    for node in range(M):
        total = now_booked(past, look, node)
        for rep in members(node):
            if rep >= 0 and look.called[rep] != NO_CALL:
                total += max(float(look.called[rep]) - now_booked(past, look, 3 + rep), 0.0)
        expected.append(total)
    assert (look.called != NO_CALL).any()
    assert said(past, look, "commit") == pytest.approx(expected)


def test_calls_are_corrected_by_what_the_reps_calls_brought(past: Past, look: Look) -> None:
    pairs = {
        rep: [
            (float(e.called[rep]), whole(past, e, 3 + rep)) for e in same_week(past, look) if e.called[rep] != NO_CALL
        ]
        for rep in range(4)
    }
    every = [pair for rep in range(4) for pair in pairs[rep]]
    usual = sum(called for called, _ in every) / len(every)
    ratio = sum(won for _, won in every) / sum(called for called, _ in every)
    corrected = {}
    for rep in range(4):
        called, won = (sum(pair[k] for pair in pairs[rep]) for k in (0, 1))
        if look.called[rep] != NO_CALL:
            own = (won + PRIOR * usual * ratio) / (called + PRIOR * usual)
            corrected[rep] = max(float(look.called[rep]) * own - now_booked(past, look, 3 + rep), 0.0)
    expected = [now_booked(past, look, k) + sum(corrected.get(rep, 0.0) for rep in members(k)) for k in range(M)]
    assert said(past, look, "commit_corrected") == pytest.approx(expected)


def test_last_year_times_the_companys_growth(past: Past, look: Look) -> None:
    totals = [[whole(past, one(past, q, WEEK), node) for node in range(M)] for q in range(PERIOD)]
    growth = sum(totals[q][0] for q in range(8, 12)) / sum(totals[q][0] for q in range(4, 8))
    assert 0.5 < growth < 2
    expected = [max(totals[8][k] * growth, now_booked(past, look, k)) for k in range(M)]
    assert said(past, look, "last_year") == pytest.approx(expected)


def test_growth_with_a_year_and_a_bit_and_with_a_year(past: Past) -> None:
    fifth, sixth = one(past, 4, WEEK), one(past, 6, WEEK)
    total = {q: whole(past, one(past, q, WEEK), 0) for q in range(6)}
    assert said(past, fifth, "last_year")[0] == pytest.approx(max(total[0], now_booked(past, fifth, 0)))
    growth = np.clip((total[4] + total[5]) / (total[0] + total[1]), 0.5, 2)
    assert said(past, sixth, "last_year")[0] == pytest.approx(max(total[2] * growth, now_booked(past, sixth, 0)))


def usual(past: Past, look: Look, node: int) -> float:
    recent = same_week(past, look)
    return sum(whole(past, each, node) for each in recent) / len(recent)


def test_linearity_divides_by_the_share_booked_by_then(past: Past, look: Look) -> None:
    recent, expected = same_week(past, look), []
    company_share = sum(now_booked(past, e, 0) for e in recent) / sum(whole(past, e, 0) for e in recent)
    for node in range(M):
        then, total = (sum(what(past, e, node) for e in recent) for what in (now_booked, whole))
        weight = PRIOR * usual(past, look, node)
        expected.append(now_booked(past, look, node) * (total + weight) / (then + weight * company_share))
    assert company_share > 0.15
    assert said(past, look, "linearity") == pytest.approx(expected)


def test_linearity_early_in_the_period_is_the_usual_total(past: Past) -> None:
    first = one(past, PERIOD, 1)
    assert said(past, first, "linearity") == pytest.approx([usual(past, first, node) for node in range(M)])


def test_coverage_yields_what_such_pipeline_yielded(past: Past, look: Look) -> None:
    recent, expected = same_week(past, look), []
    all_due = sum(weighted(e, 0, e.due) for e in recent)
    company_rate = sum(still(past, e, 0) for e in recent) / all_due
    for node in range(M):
        due, came = sum(weighted(e, node, e.due) for e in recent), sum(still(past, e, node) for e in recent)
        rate = (came + PRIOR * due / 8 * company_rate) / (due + PRIOR * due / 8)
        expected.append(now_booked(past, look, node) + weighted(look, node, look.due) * rate)
    assert said(past, look, "coverage") == pytest.approx(expected)


def test_smoothing_chooses_the_alpha_and_trend_that_missed_least(past: Past, look: Look) -> None:
    def ahead(series: list[float], alpha: float, trend: float) -> tuple[float, float]:
        level, slope, missed = series[0], 0.0, 0.0
        for value in series[1:]:
            missed += abs(value - (level + slope))
            new = alpha * value + (1 - alpha) * (level + slope)
            slope = alpha * trend * (new - level) + (1 - alpha * trend) * slope
            level = new
        return missed, level + slope

    found = said(past, look, "smoothing")
    for node in range(M):
        series = [whole(past, one(past, q, WEEK), node) for q in range(PERIOD)]
        tried = [ahead(series, a, g) for g in (0.0, 0.1, 0.3) for a in (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)]
        best = max(min(tried, key=lambda pair: pair[0])[1], 0.0)
        assert found[node] == pytest.approx(max(best, now_booked(past, look, node)))


def test_a_straight_line_is_followed_by_the_trend_and_a_level_kept(past: Past) -> None:
    def of_totals(totals: list[int]) -> float:
        at = [int(STARTS[q]) + 50 * DAY for q in range(len(totals))]
        made = with_wins(past, at, totals, [0] * len(totals), at)
        return float(said(made, one(past, len(totals), 4), "smoothing")[0])

    assert of_totals([100] * 10) == pytest.approx(100)
    assert of_totals([100 * (k + 1) for k in range(10)]) > 1000


def test_by_hand(past: Past) -> None:
    """Two past periods: 100 then 300 booked, 40 and 60 of it by week 4; now 50 is booked. All by one rep.

    Pickup: 50 + (60 + 240) / 2 = 200. Linearity: the company's share is 100 / 400, so 50 / 0.25 = 200.
    """
    at = [int(STARTS[q]) + day * DAY for q, day in ((0, 3), (0, 60), (1, 3), (1, 60), (2, 3))]
    made = with_wins(past, at, [40, 60, 60, 240, 50], [0] * 5, at)
    found = points(one(past, 2, 4), made).said
    assert found["pickup"][0] == pytest.approx(200)
    assert found["linearity"][0] == pytest.approx(200)


def test_nothing_known_at_or_after_the_look_changes_anything(past: Past, look: Look) -> None:
    """Later wins are moved, made huge or taken away; looks of this period and later ones are replaced."""
    wins, rng = past.wins, np.random.default_rng(8)
    at = int(np.searchsorted(wins.won_at, look.as_of))
    assert 50 < at < len(wins) - 50
    on_the_instant = with_wins(past, [look.as_of], [10**9], [0], [int(STARTS[0])]).wins
    early = wins.take(slice(0, at))
    columns = ("won_at", "opened_at", "cents", "deal", "rep")
    huge = replace(wins, cents=np.where(wins.won_at >= look.as_of, 10**10, wins.cents))
    added = type(wins)(*(np.concatenate([getattr(early, c), getattr(on_the_instant, c)]) for c in columns))
    others = tuple(each for each in past.looks if each.period < look.period)
    spoilt = tuple(
        replace(each, cents=each.cents * 99, rep=rng.permutation(each.rep), called=each.called * 0 + 10**9)
        for each in past.looks
        if each.period >= look.period
    )
    truth = points(look, past)
    assert not any(np.isnan(values).any() for values in truth.said.values())
    for changed in (early, huge, added):
        for looks in (past.looks, others, others + spoilt, tuple(reversed(past.looks))):
            again = points(look, replace(past, wins=changed, looks=looks))
            assert list(again.said) == list(WAYS)
            for name, values in truth.said.items():
                assert values.tobytes() == again.said[name].tobytes(), name


def test_what_is_known_just_before_does_count(past: Past, look: Look) -> None:
    more = with_wins(past, [look.as_of - 1], [10**9], [0], [int(STARTS[0])]).wins
    at = int(np.searchsorted(past.wins.won_at, look.as_of))
    columns = ("won_at", "opened_at", "cents", "deal", "rep")
    wins = type(more)(
        *(np.concatenate([getattr(past.wins, c)[:at], getattr(more, c), getattr(past.wins, c)[at:]]) for c in columns)
    )
    for values in points(look, replace(past, wins=wins)).said.values():
        assert values[0] >= 10**9


def test_without_a_past_only_what_needs_none_is_told(past: Past) -> None:
    bare = points(one(past, 0, 4), past).said
    told = {name for name, values in bare.items() if not np.isnan(values).any()}
    assert told == {"commit"}
    rows = points(replace(one(past, 0, 4), p=one(past, 0, 4).p | {OF_ROWS[0]: np.zeros(len(one(past, 0, 4)))}), past)
    assert rows.said[OF_ROWS[0]] == pytest.approx(rows.booked)
    assert np.isnan(points(one(past, 0, 1), past).said["commit"]).all()


def test_a_company_that_booked_nothing_breaks_nothing(past: Past, look: Look) -> None:
    empty = with_wins(past, [], [], [], [])
    for name, values in points(look, empty).said.items():
        assert (np.isnan(values) | (values >= 0)).all(), name
    assert said(empty, look, "pickup").tolist() == [0.0] * M


def test_nodes_add_up_as_far_as_reps_have_teams(past: Past, look: Look) -> None:
    now = standing(look, past)
    assert NODES.names.tolist() == ["all", "east", "west", "ann", "bob", "cem", "dov"]
    assert now.booked[1] == now.booked[3] + now.booked[4]
    nobody = sum(float(c) for c, rep in zip(look.cents, look.rep, strict=True) if rep == -1)
    every = now.open_sum(np.ones(len(look)))
    assert every[0] == pytest.approx(every[3:].sum() + nobody)
    assert nobody > 0
    assert len(now.totals) == look.period
