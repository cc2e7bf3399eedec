"""Reps by finished period: what each had called early on, what was booked, and when quota was reached.

Everything here was known strictly before the as-of, and only of periods that were over by then. A win counts for the
rep who held the deal before it, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np

from features.asof import before, known, look
from features.periods import DAY, HOUR, Calendar, local_midnight, mondays
from features.pipeline import PipelineFacts, Window, is_outcome, window_at
from features.standings import called_at
from features.tables import NAT
from features.timeline import Bool, Float, Int
from features.wins import Wins


@dataclass(frozen=True)
class RepPeriods:
    """One row per rep, one column per finished period, oldest first.

    reps: ids. team: int64[r], team code, -1 none. first_days: int64[p], local first day of each period.
    called: int64[r, p], cents of the standing commit call by the look of the period, NAT without one. booked: int64[r,
    p], cents won. closed: int64[r, p], deals won or lost. stayed: bool[r, p], whether the rep held an open deal at the
    period's end. quota: int64[r, p], cents, NAT where none was known by the period's end. to_spare: float64[r, p], days
    from reaching it to the period's end, NaN where it was not reached. next_wins: int64[r, p], deals won in the first
    days of the period after it, NAT where these were not over.
    """

    reps: tuple[str, ...]
    team: Int
    first_days: Int
    called: Int
    booked: Int
    closed: Int
    stayed: Bool
    quota: Int
    to_spare: Float
    next_wins: Int

    def __len__(self) -> int:
        return len(self.reps)

    def of_reps(self, rows: Int | Bool) -> RepPeriods:
        """Return the rows of some of the reps."""
        at = np.flatnonzero(rows) if rows.dtype == bool else rows
        names = [each.name for each in fields(self) if each.name not in ("reps", "first_days")]
        taken = {name: getattr(self, name)[at] for name in names}
        return replace(self, reps=tuple(self.reps[k] for k in at.tolist()), **taken)


def rep_periods(facts: PipelineFacts, as_of: int, periods: int, week: int, push_days: int) -> RepPeriods:
    """Read the last `periods` finished periods before an as-of, without the one in which the record begins.

    week: a period's call is the one that stood on the Monday of this week (1 is the first). push_days: see `next_wins`.
    Reps with neither a call, a quota nor a closed deal in these periods are left out. Raises UsageError where the as-of
    lies outside the fiscal calendar.
    """
    window = _whole(facts, as_of, periods)
    vocabulary = facts.record.reference.vocabulary
    count, wins = vocabulary.size("rep"), facts.wins.before(as_of)
    wins = wins.take(wins.rep >= 0)
    quota = _quotas(facts, window, count)
    every = RepPeriods(
        reps=vocabulary.values["rep"],
        team=vocabulary.rep_team,
        first_days=window.calendar.days[window.first : window.running],
        called=_columns([_called(facts, window.calendar, period, week) for period in window.periods], count),
        booked=_booked(wins, window, count),
        closed=_closed(facts, window, count),
        stayed=_columns([_holds(facts, int(window.calendar.starts[p + 1])) for p in window.periods], count) > 0,
        quota=quota,
        to_spare=_to_spare(wins, window, quota),
        next_wins=_next_wins(wins, window, as_of, push_days, count),
    )
    return every.of_reps(((every.called != NAT) | (every.quota != NAT) | (every.closed > 0)).any(axis=1))


def _whole(facts: PipelineFacts, as_of: int, periods: int) -> Window:
    """Return the finished periods that the record covers from their first instant on."""
    window = window_at(facts.record, as_of, periods)
    deals = facts.record.deals.known_at
    seen = deals[known(deals, as_of) & (deals != NAT)]
    begun = before(window.calendar.starts, int(seen.min())) if len(seen) else window.running
    return Window(window.calendar, min(max(window.first, begun), window.running), window.running)


def _columns(listed: list[Int], count: int) -> Int:
    return np.stack(listed, axis=1) if listed else np.zeros((count, 0), dtype=np.int64)


def _called(facts: PipelineFacts, calendar: Calendar, period: int, week: int) -> Int:
    start, end = (int(calendar.starts[period + k]) for k in (0, 1))
    # A Monday after the clocks went forward is an hour early and still begins its week.
    looks = mondays(start + 7 * (week - 1) * DAY - HOUR, end - 1, calendar.zone)
    count = facts.record.reference.vocabulary.size("rep")
    if not len(looks):
        return np.full(count, NAT, dtype=np.int64)
    return called_at(facts.record.reference.events["calls"], count, start, int(looks[0]))


def _holds(facts: PipelineFacts, at: int) -> Int:
    """Return how many open deals each rep held just before an instant, int64[reps]."""
    reference = facts.record.reference
    rep = np.arange(reference.vocabulary.size("rep"), dtype=np.int64)
    seen = look(reference.timelines["rep_book"], rep, np.full(len(rep), at, dtype=np.int64))
    return seen.total("opened").astype(np.int64)


def _booked(wins: Wins, window: Window, count: int) -> Int:
    booked = np.zeros((count, len(window.periods)), dtype=np.int64)
    inside = wins.take(window.within(wins.won_at))
    np.add.at(booked, (inside.rep, window.calendar.index(inside.won_at) - window.first), inside.cents)
    return booked


def _closed(facts: PipelineFacts, window: Window, count: int) -> Int:
    closed = np.zeros((count, len(window.periods)), dtype=np.int64)
    over = facts.episodes
    over = over.take(window.within(over.ended_at) & is_outcome(over.outcome) & (over.rep >= 0))
    np.add.at(closed, (over.rep, window.calendar.index(over.ended_at) - window.first), 1)
    return closed


def _quotas(facts: PipelineFacts, window: Window, count: int) -> Int:
    """Return what each rep's quota of each period was told to be by its end; those of its months add up."""
    quota = np.full((count, len(window.periods)), NAT, dtype=np.int64)
    for column, period in enumerate(window.periods):
        told = facts.quotas.take(slice(0, before(facts.quotas.known_at, int(window.calendar.starts[period + 1]))))
        told = told.take((told.period == period) & (told.rep >= 0))
        total = np.zeros(count, dtype=np.int64)
        np.add.at(total, told.rep, told.cents)
        some = np.bincount(told.rep, minlength=count) > 0
        quota[some, column] = total[some]
    return quota


def _to_spare(wins: Wins, window: Window, quota: Int) -> Float:
    spare = np.full(quota.shape, np.nan)
    for column, period in enumerate(window.periods):
        start, end = (int(window.calendar.starts[period + k]) for k in (0, 1))
        mine = wins.take(slice(before(wins.won_at, start), before(wins.won_at, end)))
        mine = mine.take(np.argsort(mine.rep, kind="stable"))  # still in order of time within a rep
        total = np.cumsum(mine.cents)
        first = np.searchsorted(mine.rep, mine.rep)  # of the rep's wins
        so_far = total - np.append(0, total)[first]
        own = quota[mine.rep, column]
        reached = np.flatnonzero((own != NAT) & (own > 0) & (so_far >= own))
        rep, at = np.unique(mine.rep[reached], return_index=True)
        spare[rep, column] = (end - mine.won_at[reached[at]]) / DAY
    return spare


def _next_wins(wins: Wins, window: Window, as_of: int, days: int, count: int) -> Int:
    found = np.full((count, len(window.periods)), NAT, dtype=np.int64)
    calendar = window.calendar
    for column, period in enumerate(window.periods):
        until = local_midnight(calendar.day(period + 1) + timedelta(days=days), ZoneInfo(calendar.zone))
        if not known(np.array([until - 1]), as_of)[0]:
            continue
        first, stop = (before(wins.won_at, instant) for instant in (int(calendar.starts[period + 1]), until))
        found[:, column] = np.bincount(wins.rep[first:stop], minlength=count)
    return found
