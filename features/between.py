"""What became known of a deal between two as-ofs: the rows in ``[earlier, later)``, each as its look would have it.

Both ends are asked of an `AsOfView`, so strictness and order are those of every feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.asof import AsOfView, Requests, Seen
from features.periods import local_days
from features.record import Record
from features.stages import OPEN
from features.tables import NAT

COUNTED = (
    "email_in", "email_out", "call_in", "call_out", "call_connected", "meeting_held", "meeting_planned",
    "meeting_cancelled", "content", "contract_in", "contract_out",
)  # fmt: skip
"""Masks of activities that are counted; an act may be in two of them (a call made and answered)."""
FIELDS = ("stage", "close_date", "amount", "category", "owner_word", "next_step")


@dataclass(frozen=True)
class Change:
    """One change of a tracked field. day: local day on which it became known, days since 1970-01-01.

    before, after: stage rank, local day, cents, category rank, code of the owner or 0/1; NAT where it is not told.
    """

    field: str
    day: int
    before: int
    after: int


@dataclass(frozen=True)
class Between:
    """What became known of one deal between two as-ofs.

    changes: of the tracked fields, in order of time; a field that goes and comes back within one look is two changes.
    acts: how many activities of each kind of `COUNTED`, those of none left out. people: persons new on the deal.
    """

    changes: tuple[Change, ...]
    acts: Mapping[str, int]
    people: int


@dataclass(frozen=True)
class Act:
    """One activity. kind: of `COUNTED`. occurred_at: UTC microseconds; of a planned meeting, when it is to be."""

    kind: str
    occurred_at: int


def acts_of(record: Record, deal: int, as_of: int) -> tuple[Act, ...]:
    """Return what was done about a deal (its code) as known at an as-of (UTC microseconds), in order of known_at.

    An act that is of two kinds (a call made and answered) is told as the last of them in `COUNTED`.
    """
    seen: Seen = record.view(Requests(np.array([deal]), np.array([as_of]))).of("activities")
    rows = seen.timeline
    span = range(int(seen.low[0]), int(seen.high[0]))
    occurred = rows.values("occurred_at")
    kinds = {name: rows.mask(name) for name in reversed(COUNTED)}
    found = ((next((name for name, mask in kinds.items() if mask[row]), None), int(occurred[row])) for row in span)
    return tuple(Act(kind, at) for kind, at in found if kind is not None)


def between(record: Record, deal: int, earlier: int, later: int) -> Between:
    """Return what became known of a deal (its code) in ``[earlier, later)``, UTC microseconds.

    Raises ValueError where the first is not before the second.
    """
    if earlier >= later:
        raise ValueError(f"{earlier} is not before {later}: expected the earlier as-of first")
    view = record.view(Requests(np.array([deal, deal]), np.array([earlier, later])))
    since = np.array([earlier, earlier])
    acts = {name: int(view.of("activities").count(name, since=since)[1]) for name in COUNTED}
    people = int(view.of("contacts").count("joined", since=since)[1])
    return Between(_changes(view), {name: count for name, count in acts.items() if count}, people)


def _changes(view: AsOfView) -> tuple[Change, ...]:
    """Read the changes off the rows of the history that only the later look sees; closing rows are passed over."""
    history: Seen = view.of("history")
    rows = history.timeline
    first, stop = int(history.high[0]), int(history.high[1])
    still_open = rows.values("outcome") == OPEN
    columns = {name: rows.values(name) for name in FIELDS}
    seen = [row for row in range(int(history.low[0]), first) if still_open[row]]
    now = {name: next((int(c[row]) for row in reversed(seen) if c[row] != NAT), NAT) for name, c in columns.items()}
    days = local_days(rows.known_at[first:stop], view.calendar.zone)
    found = []
    for row in range(first, stop):
        for name, column in columns.items() if still_open[row] else ():
            value = int(column[row])
            if value not in (NAT, now[name]):
                found.append(Change(name, int(days[row - first]), now[name], value))
                now[name] = value
    return tuple(found)
