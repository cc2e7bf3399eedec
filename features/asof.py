"""The one gatekeeper of time: what was known about an entity strictly before an as-of.

No other module under `features` or `models` compares a timestamp with an as-of. Feature groups receive an `AsOfView`
and ask it; they cannot reach past it. Every answer is one value per request, depends only on rows with ``known_at <
as_of``, and has the same bits whether the request is asked alone or among a million.

The laws (tests/pit): truncation, time travel, order, batch = one, oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from features.periods import DAY, Calendar
from features.settle import compact
from features.tables import NAT, Coded, CrmTables, Table
from features.timeline import Timeline
from features.timeline import timeline as sort_timeline

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]
Shared = TypeVar("Shared")


@dataclass(frozen=True)
class Requests:
    """What is asked: the state of deal ``deal[i]`` as of ``as_of[i]``. Both int64[n]; as_of in UTC microseconds."""

    deal: Int
    as_of: Int

    def __post_init__(self) -> None:
        if self.deal.shape != self.as_of.shape or self.deal.ndim != 1:
            raise ValueError(f"deal {self.deal.shape} and as_of {self.as_of.shape} must be two equally long vectors")

    def __len__(self) -> int:
        return len(self.deal)

    def take(self, rows: Int | Bool | slice) -> Requests:
        """Return the requests at `rows`."""
        return Requests(self.deal[rows], self.as_of[rows])


@dataclass(frozen=True)
class Seen:
    """The visible part of one timeline: for request i the rows ``low[i]:high[i]`` of `timeline`.

    `within` arguments are microseconds and narrow the question to rows with ``known_at >= as_of - within``.
    """

    timeline: Timeline
    entity: Int
    as_of: Int
    low: Int
    high: Int
    _edges: dict[int, Int] = field(default_factory=dict, repr=False)

    def count(self, where: str | None = None, within: int | None = None, since: Int | None = None) -> Float:
        """Return the number of visible rows, float64[n]; 0 where there are none. since: int64[n], see `total`."""
        prefix = self.timeline.prefix_count(where)
        return (prefix[self.high] - prefix[self._since(within, since)]).astype(np.float64)

    def total(
        self, column: str, where: str | None = None, within: int | None = None, since: Int | None = None
    ) -> Float:
        """Return the sum of an integer column over the visible rows, missing values as 0, float64[n].

        since: int64[n], an instant per request; only rows with ``known_at >= since`` count.
        """
        prefix = self.timeline.prefix_sum(column, where)
        return (prefix[self.high] - prefix[self._since(within, since)]).astype(np.float64)

    def last(self, column: str, where: str | None = None) -> Int:
        """Return `column` at the last visible (matching) row, int64[n], NAT where there is none."""
        row = self.timeline.previous(where)[self.high]
        return self._gather(column, row, row >= self.low)

    def first(self, column: str, where: str | None = None) -> Int:
        """Return `column` at the first visible (matching) row, int64[n], NAT where there is none."""
        row = self.timeline.following(where)[self.low]
        return self._gather(column, row, row < self.high)

    def latest(self, column: str, where: str | None = None) -> Int:
        """Return the largest visible value of `column`, int64[n], NAT where there is none."""
        if len(self.timeline) == 0:
            return np.full(len(self.as_of), NAT, dtype=np.int64)
        running = self.timeline.running_max(column, where)
        return np.where(self.high > self.low, running[np.maximum(self.high - 1, 0)], NAT)

    def days_since(self, where: str | None = None, clock: str = "known_at") -> Float:
        """Return days from the latest visible `clock` ("known_at" or a time column) to the as-of, NaN where none."""
        at = self.last("known_at", where) if clock == "known_at" else self.latest(clock, where)
        return days_between(at, self.as_of)

    def days_since_first(self, where: str | None = None) -> Float:
        """Return the days from the first visible (matching) row's known_at to the as-of, NaN where there is none."""
        return days_between(self.first("known_at", where), self.as_of)

    def distinct(self, column: str, where: str | None = None, within: int | None = None) -> Float:
        """Return how many distinct values of `column` the visible rows hold, float64[n]; missing ones do not count."""
        pairs, first = self.timeline.subjects(column)
        known = np.maximum(self.entity, 0)
        fan = np.where(self.entity >= 0, first[known + 1] - first[known], 0)
        request = np.repeat(np.arange(len(fan)), fan)
        offset = np.arange(len(request)) - np.repeat(np.cumsum(fan) - fan, fan)
        seen = look(pairs, first[known[request]] + offset, self.as_of[request])
        return np.bincount(request[seen.count(where, within) > 0], minlength=len(fan)).astype(np.float64)

    def decayed(self, half_life: int, where: str | None = None) -> Float:
        """Return the sum over visible rows of 2^-(age / half_life), age = as_of - known_at, both in microseconds."""
        if len(self.timeline) == 0:
            return np.zeros(len(self.as_of))
        row = np.maximum(self.high - 1, 0)
        age = (self.as_of - self.timeline.known_at[row]) / half_life
        some = self.high > self.low
        return np.where(some, self.timeline.decaying(half_life, where)[row] * np.exp2(-np.where(some, age, 0.0)), 0.0)

    def upcoming(self, column: str, where: str | None = None, within: int | None = None) -> Float:
        """Return how many visible rows announce something at or after the as-of (and less than `within` later).

        column: the announced instant, int64 UTC microseconds. A row is known and already past at ``as_of`` exactly when
        the later of its two clocks lies before it, so one more sorted key answers without looking at a row.
        """
        return self._announced(column, where, within) - self._announced(column, where, 0)

    def _announced(self, column: str, where: str | None, before: int | None) -> Float:
        """Count visible rows that announce an instant before ``as_of + before`` (any instant for None)."""
        shift = before or 0

        def make() -> Timeline:
            base = self.timeline
            rows = np.flatnonzero(base.mask(where) & (base.values(column) != NAT))
            known = base.known_at[rows] + shift
            clock = known if before is None else np.maximum(known, base.values(column)[rows])
            return sort_timeline(f"{base.name}:{column}", base.entities, base.entity[rows], clock, {})

        again = self.timeline.cached(("announced", column, where or "", str(before)), make)
        return look(again, self.entity, self.as_of + shift).count()

    def _since(self, within: int | None, since: Int | None = None) -> Int:
        if since is not None:
            return np.minimum(np.maximum(_position(self.timeline, self.entity, since), self.low), self.high)
        if within is None:
            return self.low
        if within not in self._edges:
            self._edges[within] = np.maximum(_position(self.timeline, self.entity, self.as_of - within), self.low)
        return self._edges[within]

    def _gather(self, column: str, row: Int, found: Bool) -> Int:
        values = self.timeline.values(column)
        if len(values) == 0:
            return np.full(len(row), NAT, dtype=np.int64)
        return np.where(found, values[np.where(found, row, 0)], NAT)


@dataclass(frozen=True)
class DealFacts:
    """Facts fixed at a deal's creation: one row per deal, known from ``known_at`` on.

    columns: name -> int64[d] (codes in the reference vocabulary -1 missing, or times, NAT missing) or float64[d].
    """

    known_at: Int
    columns: Mapping[str, Int | Float]


class AsOfView:
    """What `requests` may see of the record.

    deals: facts fixed at creation. timelines: per-deal timelines by name. reference: timelines keyed by other entities.
    stage_count: number of open stages. rep_team: int64, team code by rep code (it has no history), -1 unknown.
    """

    def __init__(
        self,
        requests: Requests,
        deals: DealFacts,
        timelines: Mapping[str, Timeline],
        reference: Mapping[str, Timeline],
        calendar: Calendar,
        stage_count: int,
        rep_team: Int,
    ) -> None:
        self.requests = requests
        self.as_of = requests.as_of
        self.calendar = calendar
        self.stage_count = stage_count
        self._rep_team = rep_team
        self._deals = deals
        self._timelines = timelines
        self._reference = reference
        self._seen: dict[str, Seen] = {}
        self._shared: dict[str, object] = {}
        self._exists: Bool = deals.known_at[requests.deal] < requests.as_of

    def __len__(self) -> int:
        return len(self.requests)

    def of(self, name: str) -> Seen:
        """Return what is visible of the deal's own timeline `name`."""
        if name not in self._seen:
            self._seen[name] = look(self._timelines[name], self.requests.deal, self.as_of)
        return self._seen[name]

    def about(self, name: str, entity: Int) -> Seen:
        """Return what is visible of reference timeline `name` for `entity` (int64[n]; negative: sees nothing)."""
        return look(self._reference[name], entity, self.as_of)

    def shared(self, name: str, make: Callable[[], Shared]) -> Shared:
        """Return what `make` gives, made once for this view: what several groups need."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]  # type: ignore[return-value]

    def has(self, name: str) -> bool:
        """Whether reference timeline `name` exists."""
        return name in self._reference

    def team(self, rep: Int) -> Int:
        """Return the team code of each rep code, -1 where unknown."""
        return team_of(self._rep_team, rep)

    def fixed(self, column: str) -> Int | Float:
        """Return a fact fixed at creation; missing where the deal is not yet known."""
        values = self._deals.columns[column][self.requests.deal]
        if values.dtype == np.float64:
            return np.where(self._exists, values, np.nan)
        return np.where(self._exists, values, NAT)

    def exists(self) -> Bool:
        """Return bool[n]: whether each deal is known at its as-of."""
        return self._exists

    def days_since_created(self) -> Float:
        """Return the days from the deal's creation to the as-of, NaN where it is not yet known."""
        return days_between(np.asarray(self.fixed("created_at"), dtype=np.int64), self.as_of)


def look(timeline: Timeline, entity: Int, as_of: Int) -> Seen:
    """Return the rows of each entity with ``known_at < as_of``, strictly; a negative entity sees nothing."""
    low = np.where(entity >= 0, timeline.start[np.maximum(entity, 0)], 0)
    return Seen(timeline, entity, as_of, low, np.maximum(_position(timeline, entity, as_of), low))


def known_before(tables: CrmTables, cut: int) -> CrmTables:
    """Return the tables without any fact known at or after `cut`: what a model trained as of that instant may see.

    Accounts and reps carry no clock; they are kept where a deal, a history row, a quota or a call that
    is left names them.
    """
    clocks = {
        "deals": "known_at",
        "deal_history": "known_at",
        "activities": "known_at",
        "contacts": "known_at",
        "calls": "submitted_at",
        "quotas": "known_at",
        "leads": "known_at",
        "lead_history": "known_at",
    }
    left = {name: _before(getattr(tables, name), clock, cut) for name, clock in clocks.items()}
    people = (left["deal_history"].coded("owner_id"), left["quotas"].coded("rep_id"), left["calls"].coded("rep_id"))
    named = {
        "accounts": _named(tables.accounts, "account_id", left["deals"].coded("account_id")),
        "reps": _named(tables.reps, "rep_id", *people),
    }
    return replace(tables, **left, **named)


def _before(table: Table, clock: str, cut: int) -> Table:
    # Words and ids that no row holds any more are dropped with the rows: they too would tell what came later.
    return compact(table.take(np.flatnonzero(table.ints(clock) < cut)))


def _named(table: Table, key: str, *by: Coded) -> Table:
    ids = table.coded(key)
    return compact(table.take(np.flatnonzero(np.any([ids.codes_in(named.values) >= 0 for named in by], axis=0))))


def team_of(rep_team: Int, rep: Int) -> Int:
    """Return rep_team[rep], -1 where the code is negative or the table does not reach."""
    known = (rep >= 0) & (rep < len(rep_team))
    return np.append(rep_team, -1)[np.where(known, rep, len(rep_team))]


def days_between(earlier: Int, later: Int) -> Float:
    """Return (later - earlier) in days of 86,400 s, float64; NaN where either is missing."""
    missing = (earlier == NAT) | (later == NAT)
    return np.where(missing, np.nan, (later - np.where(missing, later, earlier)) / DAY)


def _position(timeline: Timeline, entity: Int, instant: Int) -> Int:
    """Return how many rows of the timeline sort before (entity, instant): one binary search on the composite key."""
    rank = np.searchsorted(timeline.instants, instant, side="left")
    position = np.searchsorted(timeline.key, entity * (len(timeline.instants) + 1) + rank, side="left")
    return np.where(entity >= 0, position, 0)
