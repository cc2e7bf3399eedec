"""The bookings-goal planner: from a goal to quota per rep, pipeline per rep and reps needed. Exact, in fractions.

The best case is that every rep reaches the quota. What reps have reached, and how much open pipeline a booked unit of
money has taken at the start of a period, come from the company's own past unless they are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np

from features.asof import before, known
from features.pipeline import PipelineFacts, PipelineView, open_deals


@dataclass(frozen=True)
class Own:
    """What the company's own past says, as of a date; None where it says nothing.

    quota_cents: mean quota of the reps that have one in the running period. attainment: booked / quota of reps with a
    quota, over the window. coverage: money open at the starts of its periods / money won in them, but for a period in
    which the record begins. reps: with a quota.
    """

    quota_cents: Fraction | None
    attainment: Fraction | None
    coverage: Fraction | None
    reps: int


@dataclass(frozen=True)
class Asked:
    """What a plan is asked for; None: take the company's own. goal, quota per rep: cents of one period."""

    goal_cents: int
    quota_cents: Fraction | None = None
    attainment: Fraction | None = None
    coverage: Fraction | None = None


@dataclass(frozen=True)
class Plan:
    """A plan for one period; what can not be told is None. Money in cents.

    quota_cents: per rep. attainment: share of it that reps bring. coverage: open money at the period's start per money
    booked. reps: those that have a quota now.
    """

    goal_cents: int
    quota_cents: Fraction | None
    attainment: Fraction | None
    coverage: Fraction | None
    reps: int

    @property
    def reps_best_case(self) -> int | None:
        """Goal / quota, rounded up: reps if every one reaches the quota."""
        return None if not self.quota_cents else ceil(self.goal_cents / self.quota_cents)

    @property
    def reps_needed(self) -> int | None:
        """Goal / (quota x attainment), rounded up."""
        if not self.quota_cents or not self.attainment:
            return None
        return ceil(self.goal_cents / (self.quota_cents * self.attainment))

    @property
    def reps_missing(self) -> int | None:
        """Reps needed beyond those that have a quota now, at least 0."""
        return None if self.reps_needed is None else max(self.reps_needed - self.reps, 0)

    @property
    def pipeline_per_rep(self) -> Fraction | None:
        """Quota x coverage: what a rep must have open at the period's start."""
        return None if self.quota_cents is None or self.coverage is None else self.quota_cents * self.coverage

    @property
    def pipeline_total(self) -> Fraction | None:
        """Goal x coverage: what the company must have open at the period's start."""
        return None if self.coverage is None else self.goal_cents * self.coverage


def plan(asked: Asked, own: Own) -> Plan:
    """Return the plan for what is asked, from the company's own past where that does not say."""
    return Plan(
        asked.goal_cents,
        asked.quota_cents if asked.quota_cents is not None else own.quota_cents,
        asked.attainment if asked.attainment is not None else own.attainment,
        asked.coverage if asked.coverage is not None else own.coverage,
        own.reps,
    )


def own_past(facts: PipelineFacts, view: PipelineView) -> Own:
    """Return what the window before an as-of says of quotas, attainment and coverage."""
    window, quotas, wins = view.window, view.quotas, view.wins
    now = quotas.take(quotas.period == window.running)
    reps = len(np.unique(now.rep[(now.cents > 0) & (now.rep >= 0)]))
    period = window.calendar.index(wins.won_at)
    past = quotas.take((quotas.period < window.running) & (quotas.rep >= 0))
    width = len(window.calendar.starts)
    carried = np.isin(wins.rep * width + period, (past.rep * width + past.period)[past.cents > 0]) & (wins.rep >= 0)
    won, quota = int(wins.cents[carried].sum()), int(past.cents[past.cents > 0].sum())
    standing, brought = _coverage(facts, view)
    return Own(
        Fraction(int(now.cents[(now.cents > 0) & (now.rep >= 0)].sum()), reps) if reps else None,
        _share(won, quota),
        _share(standing, brought) or None,
        reps,
    )


def _coverage(facts: PipelineFacts, view: PipelineView) -> tuple[int, int]:
    """Return cents open at the starts of the window's periods and cents won in those periods.

    A period in which the record begins tells nothing of what was open at its start.
    """
    won_at, cents, standing, brought = view.wins.won_at, view.wins.cents, 0, 0
    for period in view.window.periods:
        start, end = view.window.calendar.starts[period : period + 2].tolist()
        if known(facts.record.deals.known_at, start).any():
            standing += int(open_deals(facts.record, start).cents.sum())
            brought += int(cents[before(won_at, start) : before(won_at, end)].sum())
    return standing, brought


def _share(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole > 0 else None
