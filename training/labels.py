"""Outcomes: the only module that looks past an as-of. `features` never imports it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.vocab import Eligibility, Target
from features.asof import Requests, look
from features.periods import DAY
from features.record import Record
from features.tables import NAT

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]

NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Outcomes:
    """What came of each request: closed_at int64[n] (NAT: still open at the end of the record) and won bool[n]."""

    closed_at: Int
    won: Bool


@dataclass(frozen=True)
class Labels:
    """y: float64[n], 1 won within the window. end: int64[n], when the window ends; NEVER where it can't be told."""

    y: Float
    end: Int


def outcomes(record: Record, requests: Requests) -> Outcomes:
    """Return the first close at or after each as-of. A deal re-opened before the as-of is judged by its next close."""
    history = record.timelines["history"]
    seen = look(history, requests.deal, requests.as_of)
    row = history.following("closed")[seen.high]
    found = row < history.start[requests.deal + 1]
    row = np.where(found, row, 0)
    if len(history) == 0:
        return Outcomes(np.full(len(requests), NAT, dtype=np.int64), np.zeros(len(requests), dtype=bool))
    return Outcomes(np.where(found, history.known_at[row], NAT), found & history.mask("won")[row])


def in_period(record: Record, requests: Requests, found: Outcomes) -> Labels:
    """Won in ``[as_of, end of the period)``. A deal lost or still open at the end is a true 0."""
    _, end = record.calendar.bounds(requests.as_of)
    return Labels((found.won & (found.closed_at < end)).astype(np.float64), end)


def resolved(found: Outcomes) -> Labels:
    """Won in the end, told when the deal closes; open deals have no label. Favours quick outcomes: see `horizon`."""
    return Labels(found.won.astype(np.float64), np.where(found.closed_at == NAT, NEVER, found.closed_at + 1))


def horizon(requests: Requests, found: Outcomes, days: int) -> Labels:
    """Won within `days` of the as-of; told when the window is over, however early the deal closed."""
    end = requests.as_of + days * DAY
    return Labels((found.won & (found.closed_at < end)).astype(np.float64), end)


def labels_of(
    target: Target, eligibility: Eligibility, days: int, record: Record, requests: Requests, found: Outcomes
) -> Labels:
    """Return the labels that a config's rows train on."""
    if target == Target.IN_PERIOD:
        return in_period(record, requests, found)
    return resolved(found) if eligibility == Eligibility.RESOLVED else horizon(requests, found, days)
