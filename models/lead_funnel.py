"""The funnel of leads as of a date: by when they were created, and by what else they are told apart.

Shares are of leads that have had their time: a lead that was created yesterday is no failure. Counts are of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.writing import Cell
from features.lead_funnel import NEVER, OPPORTUNITY, STEPS, LeadFacts, LeadView, Windows, leads_at
from features.periods import DAY, instant_text
from features.tables import NAT
from features.timeline import Bool, Int
from models.base import Float
from models.clustered import wilson
from models.pipeline_parts import ratio

SCHEMA_VERSION = 1
"""Of the columns and keys; goes up when one is added, changed or removed."""

MOST_VALUES = 20  # of a group; what fewer leads have is told together
OTHERS = "(others)"
NOT_TOLD = "(not told)"
FRACTIONS = 6


@dataclass(frozen=True)
class Share:
    """A share of leads that have had their time. passed: of so many judged."""

    passed: int
    judged: int

    def told(self, name: str) -> dict[str, float | None]:
        """Return the share with Wilson's interval at 95 %; None where nobody is judged yet."""
        value = ratio(self.passed, self.judged)
        low, high = (None, None) if value is None else wilson(value, self.judged)
        figures = {name: value, f"{name}_low": low, f"{name}_high": high}
        return {key: None if figure is None else round(figure, FRACTIONS) for key, figure in figures.items()}


@dataclass(frozen=True)
class Step:
    """One step of a cohort, as known before the as-of.

    reached = went_on + stopped + waiting + untold (the deal is not in the record); winning leads nowhere. skipped:
    passed it without being seen in it. to_next: of those that reached it in time, that went on in time. young: those
    that still have time to. of_all: leads that reached this step in time. days: median from this step until they went
    on, of the `timed` ones of `to_next` that were seen in it.
    """

    name: str
    reached: int
    skipped: int
    went_on: int
    stopped: int
    waiting: int
    untold: int
    young: int
    to_next: Share
    of_all: Share
    days: float | None
    timed: int

    def document(self) -> dict[str, Any]:
        """Return the step as plain JSON."""
        counts = ("reached", "skipped", "went_on", "stopped", "waiting", "untold", "young")
        return {
            "step": self.name,
            **{name: getattr(self, name) for name in counts},
            "passed": self.to_next.passed,
            "judged": self.to_next.judged,
            **self.to_next.told("rate"),
            "leads_passed": self.of_all.passed,
            "leads_judged": self.of_all.judged,
            **self.of_all.told("of_leads"),
            "median_days": None if self.days is None else round(self.days, FRACTIONS),
            "timed": self.timed,
        }


@dataclass(frozen=True)
class Cohort:
    """Leads created in one period, or in all that are looked at (period None), of one value of a group, or of all."""

    period: int | None
    group: str | None
    value: str | None
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class LeadFunnel:
    """All cohorts as of an instant: of all leads first, then by group."""

    view: LeadView
    cohorts: tuple[Cohort, ...]


def lead_funnel(
    facts: LeadFacts, as_of: int, windows: Windows, periods: int | None = None, crossed: bool = True
) -> LeadFunnel:
    """Work out the funnel from what was known strictly before `as_of`. crossed: groups by period too.

    Raises UsageError where the as-of lies outside the fiscal calendar.
    """
    view = leads_at(facts, as_of, windows, periods)
    cohorts = list(_cohorts(view, None, None, np.arange(len(view)), True))
    for name, column in view.groups.items():
        for value, leads in _values(column.codes, column.values):
            cohorts += _cohorts(view, name, value, leads, crossed)
    return LeadFunnel(view, tuple(cohorts))


def _values(codes: np.ndarray, values: Sequence[str]) -> Iterator[tuple[str, Int]]:
    """Yield each value of a group with its leads, the most frequent first; rare ones together."""
    counted = np.bincount(codes[codes >= 0], minlength=len(values))
    order = sorted(np.flatnonzero(counted).tolist(), key=lambda code: (-counted[code], values[code]))
    for code in order[:MOST_VALUES]:
        yield values[code], np.flatnonzero(codes == code)
    if order[MOST_VALUES:]:
        yield OTHERS, np.flatnonzero(np.isin(codes, order[MOST_VALUES:]))
    if (codes < 0).any():
        yield NOT_TOLD, np.flatnonzero(codes < 0)


def _cohorts(view: LeadView, group: str | None, value: str | None, rows: Int, by_period: bool) -> Iterator[Cohort]:
    yield Cohort(None, group, value, steps_of(view, rows))
    for period in range(view.window.first, view.window.running + 1) if by_period else ():
        yield Cohort(period, group, value, steps_of(view, rows[view.period[rows] == period]))


def steps_of(view: LeadView, rows: Int) -> tuple[Step, ...]:
    """Return the steps of some leads."""
    return tuple(_step(view, rows, step) for step in range(len(STEPS)))


def _step(view: LeadView, rows: Int, step: int) -> Step:
    last = step == len(STEPS) - 1
    here = rows[view.reached[step, rows] != NEVER]
    on = np.zeros(len(here), dtype=bool) if last else view.reached[step + 1, here] != NEVER
    untold = view.untold[here] & ~on if step == OPPORTUNITY else np.zeros(len(here), dtype=bool)
    stopped = view.stopped[here] & ~on & ~untold
    judged, young = _judged(view, here[~untold], step)
    passed = judged[view.in_time[step + 1, judged]] if not last else judged[:0]
    old = rows[view.over[step, rows] & ~(view.untold[rows] & (view.reached[step, rows] == NEVER) & last)]
    days = _days(view, passed, step)
    return Step(
        name=STEPS[step],
        reached=len(here),
        skipped=int((view.at[step, here] == NEVER).sum()),
        went_on=int(on.sum()),
        stopped=int(stopped.sum()),
        waiting=0 if last else int((~on & ~stopped & ~untold).sum()),
        untold=int(untold.sum()),
        young=young,
        to_next=Share(len(passed), len(judged)),
        of_all=Share(int(view.in_time[step, old].sum()), len(old)),
        days=float(np.median(days)) if len(days) else None,
        timed=len(days),
    )


def _judged(view: LeadView, here: Int, step: int) -> tuple[Int, int]:
    """Return the leads of a step whose time for the next one is over, and how many still have some."""
    if step == len(STEPS) - 1:
        return here[:0], 0
    over = view.over[step + 1, here]
    within = view.reached[step, here] < view.created[here] + view.windows.days(step + 1) * DAY
    return here[over & within], int((~over).sum())


def _days(view: LeadView, passed: Int, step: int) -> Float:
    if step == len(STEPS) - 1:
        return np.zeros(0)
    begin, end = view.at[step, passed], view.reached[step + 1, passed]
    seen: Bool = (begin != NEVER) & (end >= begin)
    days: Float = (end[seen] - begin[seen]) / DAY
    return days


def head(found: LeadFunnel) -> dict[str, Any]:
    """Return what holds for every cohort."""
    view = found.view
    window, zone = view.window, view.window.calendar.zone
    first, last = window.dates()
    return {
        "schema_version": SCHEMA_VERSION,
        "as_of": instant_text(view.as_of, zone),
        "period_start": first.isoformat(),
        "period_end": last.isoformat(),
        "window_start": window.calendar.day(window.first).isoformat(),
        "window_periods": len(window.periods),
        "within_days": view.windows.convert,
        "won_within_days": view.windows.won,
        "leads": len(view),
        "days_silent": None if view.last_known == NAT else round((view.as_of - view.last_known) / DAY, FRACTIONS),
    }


def document(found: LeadFunnel) -> dict[str, Any]:
    """Return everything as plain JSON."""
    return head(found) | {
        "cohorts": [
            {**_of(found, cohort), "steps": [step.document() for step in cohort.steps]} for cohort in found.cohorts
        ]
    }


def rows(found: LeadFunnel) -> Iterator[dict[str, Cell]]:
    """Yield a flat row for each step of each cohort, always with the same columns."""
    about: Mapping[str, Any] = head(found)
    for cohort in found.cohorts:
        for step in cohort.steps:
            yield {
                **_of(found, cohort),
                **step.document(),
                **{name: about[name] for name in ("as_of", "within_days", "won_within_days", "schema_version")},
            }


def _of(found: LeadFunnel, cohort: Cohort) -> dict[str, Any]:
    calendar = found.view.window.calendar
    period = cohort.period
    return {
        "cohort_start": None if period is None else calendar.day(period).isoformat(),
        "cohort_end": None if period is None else calendar.last_day(period).isoformat(),
        "group": cohort.group,
        "value": cohort.value,
    }


TEXTS = ("cohort_start", "cohort_end", "group", "value", "step", "as_of")
INTEGERS = (
    "reached", "skipped", "went_on", "stopped", "waiting", "untold", "young", "passed", "judged", "leads_passed",
    "leads_judged", "timed", "within_days", "won_within_days", "schema_version",
)  # fmt: skip
