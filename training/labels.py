"""Outcomes: the only module that looks past an as-of. `features` never imports it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.vocab import Eligibility, Target
from features.asof import Requests, known, look
from features.leads import Became
from features.periods import DAY
from features.record import Record
from features.tables import NAT

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]

NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Outcomes:
    """What came of each request: closed_at int64[n] (NAT: still open at the end of the record), won and merged bool[n].

    A merged deal went on as another one: it was neither won nor lost, and nobody can tell what would have come of it.
    """

    closed_at: Int
    won: Bool
    merged: Bool

    def take(self, rows: Int) -> Outcomes:
        """Return some of the outcomes."""
        return Outcomes(self.closed_at[rows], self.won[rows], self.merged[rows])


@dataclass(frozen=True)
class Labels:
    """y: float64[n], 1 won within the window. end: int64[n], when the window ends; NEVER where it can't be told."""

    y: Float
    end: Int

    def take(self, rows: Int) -> Labels:
        """Return some of the labels."""
        return Labels(self.y[rows], self.end[rows])


@dataclass(frozen=True)
class Watched:
    """What a record that ends at a cut tells of the time to close, n requests.

    seen: int64[n], microseconds from the as-of to the cut, or to the merger into another deal; not above 0 where the
    as-of is no earlier than the cut. closed: int64[n], microseconds to the close, NEVER where none was seen. won, lost:
    bool[n], how it closed; a merged deal did neither.
    """

    seen: Int
    closed: Int
    won: Bool
    lost: Bool

    def take(self, rows: Int | Bool) -> Watched:
        """Return some of the requests."""
        return Watched(self.seen[rows], self.closed[rows], self.won[rows], self.lost[rows])


def outcomes(record: Record, requests: Requests) -> Outcomes:
    """Return the first close at or after each as-of. A deal re-opened before the as-of is judged by its next close."""
    history = record.timelines["history"]
    seen = look(history, requests.deal, requests.as_of)
    row = history.following("closed")[seen.high]
    found = row < history.start[requests.deal + 1]
    row = np.where(found, row, 0)
    if len(history) == 0:
        nothing = np.zeros(len(requests), dtype=bool)
        return Outcomes(np.full(len(requests), NAT, dtype=np.int64), nothing, nothing)
    closed_at = np.where(found, history.known_at[row], NAT)
    return Outcomes(closed_at, found & history.mask("won")[row], found & history.mask("merged")[row])


def in_period(record: Record, requests: Requests, found: Outcomes) -> Labels:
    """Won in ``[as_of, end of the period)``. A deal lost or still open at the end is a true 0."""
    _, end = record.calendar.bounds(requests.as_of)
    return Labels((found.won & (found.closed_at < end)).astype(np.float64), end)


def resolved(found: Outcomes) -> Labels:
    """Won in the end, told when the deal closes; open deals have no label. Favours quick outcomes: see `horizon`."""
    told = (found.closed_at != NAT) & ~found.merged
    return Labels(found.won.astype(np.float64), np.where(told, found.closed_at + 1, NEVER))


def horizon(requests: Requests, found: Outcomes, days: int) -> Labels:
    """Won within `days` of the as-of; told when the window is over, however early the deal closed."""
    end = requests.as_of + days * DAY
    return Labels((found.won & (found.closed_at < end)).astype(np.float64), end)


def unworked(record: Record, requests: Requests, found: Labels) -> Bool:
    """Return bool[n]: leads that did not convert and that nobody had worked by the end of their window.

    Worked is a lead that somebody reached out to by hand, or whose status somebody moved on. Nobody knows what would
    have come of the others.
    """
    history, acts = record.timelines["history"], record.timelines["activities"]
    first = np.full(len(history.start) - 1, NEVER)
    moved = history.mask("closed") | (history.values("stage") > 0)
    for timeline, mask in ((history, moved), (acts, acts.mask("by_hand"))):
        np.minimum.at(first, timeline.entity[mask], timeline.known_at[mask])
    idle: Bool = (found.y == 0) & (first[requests.deal] >= found.end)
    return idle


@dataclass(frozen=True)
class WonLabels:
    """What came of the deals that leads turned into, n requests.

    y: float64[n], 1 where the deal was won within the window. end: int64[n], when the window ends, NEVER where nobody
    can tell: the lead turned into a deal that the record does not have. linked: bool[n], it turned into one that is
    there before the window's end.
    """

    y: Float
    end: Int
    linked: Bool


def won_of(became: Became, requests: Requests, days: int) -> WonLabels:
    """Won within `days` of the as-of; told when the window is over. A lead that did not convert is a true 0."""
    of = became.take(requests.deal)
    end = requests.as_of + days * DAY
    converted = (of.converted_at != NAT) & (of.converted_at < end)
    won = ~known(of.won_at, requests.as_of) & (of.won_at < end)  # NAT is before any as-of
    return WonLabels(won.astype(np.float64), np.where(converted & ~of.linked, NEVER, end), converted & of.linked)


def lead_amounts(became: Became, deal: Int, cut: int) -> Int:
    """Return the amount in cents of the deal that each lead (codes int64[n]) won before `cut`, NAT where none was."""
    of = became.take(deal)
    return np.where((of.won_at != NAT) & (of.won_at < cut), of.cents, NAT)


def unlinked(became: Became, cut: int) -> int:
    """Return how many leads converted before `cut` into a deal that the record does not have."""
    return int(((became.converted_at != NAT) & (became.converted_at < cut) & ~became.linked).sum())


def watched(requests: Requests, found: Outcomes, cut: int) -> Watched:
    """Return time to close and kind of outcome as known just before `cut`: a later close is a deal still open."""
    over = (found.closed_at != NAT) & (found.closed_at < cut)
    closed = over & ~found.merged
    end = np.where(over & found.merged, found.closed_at, cut)
    after = np.where(closed, found.closed_at - requests.as_of, NEVER)
    return Watched(end - requests.as_of, after, closed & found.won, closed & ~found.won)


def labels_of(
    target: Target, eligibility: Eligibility, days: int, record: Record, requests: Requests, found: Outcomes
) -> Labels:
    """Return the labels that a config's rows train on; a deal merged within its window has none."""
    if target == Target.IN_PERIOD:
        told = in_period(record, requests, found)
    elif target == Target.CONVERTED:
        told = horizon(requests, found, days)
    else:
        told = resolved(found) if eligibility == Eligibility.RESOLVED else horizon(requests, found, days)
    return Labels(told.y, np.where(found.merged & (found.closed_at < told.end), NEVER, told.end))


def amounts_won(record: Record, requests: Requests) -> tuple[Int, Int]:
    """Return (amount on the winning row in cents, when the deal was won, UTC microseconds), int64[n] each.

    NAT both where the deal's next close is no win; the amount is NAT too where the winning row has none. Later edits
    are adjustments and change nothing.
    """
    history = record.timelines["history"]
    nothing = np.full(len(requests), NAT, dtype=np.int64)
    if not len(history):
        return nothing, nothing
    row = history.following("closed")[look(history, requests.deal, requests.as_of).high]
    found = row < history.start[requests.deal + 1]
    row = np.where(found, row, 0)
    won = found & history.mask("won")[row]
    return np.where(won, history.values("amount")[row], NAT), np.where(won, history.known_at[row], NAT)


def period_totals(record: Record, periods: Int) -> tuple[Int, Int]:
    """Return (deals won, money won in cents) in each whole period of the calendar, int64[k] each."""
    closes = record.reference.events["closes"].columns
    at = record.calendar.index(closes["known_at"])
    won = closes["won"] == 1
    count = np.array([(won & (at == period)).sum() for period in periods], dtype=np.int64)
    cents = np.array([closes["cents"][won & (at == period)].sum() for period in periods], dtype=np.int64)
    return count, cents
