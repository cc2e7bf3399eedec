"""The planner by hand: exact, from the own past where nothing is given, None where that says nothing."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.pipeline import pipeline_at
from models.planner import Asked, Own, own_past, plan
from tests.models.pipeline_oracle import company_of, window_of
from tests.models.test_pipeline import facts_of
from tests.tiny import at, company, quarters
from tests.worlds.world import STAGE_MAP, world

NOTHING = Own(None, None, None, 0)


def test_a_plan_by_hand() -> None:
    made = plan(Asked(1_000_000_00, Fraction(250_000_00), Fraction("0.8"), Fraction(3)), NOTHING)
    assert (made.reps_best_case, made.reps_needed, made.reps_missing) == (4, 5, 5)
    assert (made.pipeline_per_rep, made.pipeline_total) == (750_000_00, 3_000_000_00)


def test_what_is_not_known_is_none() -> None:
    made = plan(Asked(100), NOTHING)
    assert (made.reps_best_case, made.reps_needed, made.reps_missing) == (None, None, None)
    assert (made.pipeline_per_rep, made.pipeline_total) == (None, None)
    made = plan(Asked(100, Fraction(30)), NOTHING)
    assert (made.reps_best_case, made.reps_needed) == (4, None)


def test_the_own_past_fills_what_is_not_given() -> None:
    own = Own(Fraction(50), Fraction(1, 2), Fraction(4), 3)
    made = plan(Asked(100), own)
    assert (made.reps_best_case, made.reps_needed, made.reps_missing) == (2, 4, 1)
    made = plan(Asked(100, attainment=Fraction(2)), own)
    assert (made.reps_needed, made.reps_missing, made.pipeline_per_rep) == (1, 0, 200)


@given(st.integers(1, 10**15), st.integers(1, 10**12), st.integers(1, 10**12), st.integers(1, 10**12))
def test_reps_are_enough_and_not_one_too_many(goal: int, quota: int, part: int, whole: int) -> None:
    made = plan(Asked(goal, Fraction(quota), Fraction(part, whole)), NOTHING)
    assert made.reps_needed is not None
    assert made.reps_needed * quota * part >= goal * whole
    assert (made.reps_needed - 1) * quota * part < goal * whole


@pytest.mark.parametrize(
    "day",
    ["2021-02-17", "2020-08-17", "2020-04-02"],  # the record begins in the first quarter of 2020
)
def test_the_own_past_is_that_of_a_plain_loop(day: str) -> None:
    tables = world("W4", 1000, 30, 6).ingest.tables
    facts = facts_of(tables, STAGE_MAP)
    own = own_past(facts, pipeline_at(facts, at(day), 3))
    plain = company_of(tables, STAGE_MAP, quarters(), at(day))
    first, running = window_of(plain, 3)
    starts = plain.calendar.starts.tolist()
    quotas = {(rep, plain.calendar.days.searchsorted(when, side="right") - 1): c for rep, when, c in plain.quotas}
    now = [cents for (_, period), cents in quotas.items() if period == running]
    wins = [(e.owner, plain.period_of(e.end.at), max(e.end.amount, 0)) for e in plain.wins() if e.end]
    won = sum(cents for rep, period, cents in wins if (rep, period) in quotas and first <= period < running)
    quota = sum(cents for (_, period), cents in quotas.items() if first <= period < running)
    whole = [period for period in range(first, running) if plain.before(starts[period]).deals]
    stood = sum(sum(deal[3] for deal in plain.before(starts[period]).open_now()) for period in whole)
    brought = sum(cents for _, period, cents in wins if period in whole)
    coverage = Fraction(stood, brought) if whole else None
    assert own == Own(Fraction(sum(now), len(now)), Fraction(won, quota), coverage, len(now))
    assert len(whole) == {"2021-02-17": 3, "2020-08-17": 1, "2020-04-02": 0}[day]
    assert min(now) > 0


def test_an_empty_company_has_no_past() -> None:
    facts = facts_of(company())
    assert own_past(facts, pipeline_at(facts, at("2024-02-10"), 4)) == NOTHING
