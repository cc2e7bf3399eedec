"""Snapshots: which (deal, as_of) pairs are looked at: every deal that is open, at every as-of of the grid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from features.asof import Requests
from features.periods import MICRO, Calendar, mondays
from features.record import Record
from features.tables import NAT


def weekly_grid(calendar: Calendar, first: int, until: int) -> np.ndarray:
    """Return Mondays 00:00 and period starts within ``[first, until)``, int64 UTC microseconds, increasing."""
    starts = calendar.starts[(calendar.starts >= first) & (calendar.starts < until)]
    return np.union1d(mondays(first, until - 1, calendar.zone), starts)


def weekly(record: Record, until: int) -> Requests:
    """Return every open deal at every as-of of the weekly grid before `until`, ordered by as-of."""
    known = record.deals.known_at[record.deals.known_at != NAT]
    grid = weekly_grid(record.calendar, int(known.min(initial=until)), until)
    every = with_history(record)
    parts = []
    for as_of in grid:
        asked = Requests(every, np.full(len(every), as_of, dtype=np.int64))
        parts.append(asked.take(record.is_open(asked)))
    return joined(parts)


def at_ages(record: Record, ages: Sequence[timedelta], until: int) -> Requests:
    """Return every deal still open at each age since it became known, where that lies before `until`."""
    every = with_history(record)
    parts = []
    for age in ages:
        as_of = record.deals.known_at[every] + round(age.total_seconds() * MICRO)
        asked = Requests(every, as_of).take(as_of < until)
        parts.append(asked.take(record.is_open(asked)))
    return joined(parts)


def with_history(record: Record) -> np.ndarray:
    """Return the deals whose stages a history tells, int64.

    One without any row would look open for ever, whatever came of it. One whose stage is the current one has rows
    because it is open now: had it closed, it would have none, so to learn from it would be to learn from survivors.
    """
    history = record.timelines["history"]
    assumed = np.unique(history.entity[history.mask("stage_assumed")])
    told = np.flatnonzero(history.start[1:] > history.start[:-1])
    return np.setdiff1d(told, assumed).astype(np.int64)


def joined(parts: Sequence[Requests]) -> Requests:
    """Concatenate requests."""
    empty = np.zeros(0, dtype=np.int64)
    return Requests(
        np.concatenate([empty, *(part.deal for part in parts)]),
        np.concatenate([empty, *(part.as_of for part in parts)]),
    )
