"""The one gatekeeper of time: what was known about an entity strictly before an as-of.

No other module under `features` or `models` compares a timestamp with an as-of. Feature groups receive an `AsOfView`
and ask it; they cannot reach past it. Every answer is one value per request, depends only on rows with ``known_at <
as_of``, and has the same bits whether the request is asked alone or among a million.

The laws (tests/pit): truncation, time travel, order, batch = one, oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.columns import days_between, team_of
from features.once import once
from features.order import unless_sorted
from features.periods import Calendar, local_days
from features.ranks import FEW, Edge, difference, many, spread, taken
from features.siblings import Siblings
from features.stages import OPEN
from features.tables import NAT
from features.timeline import DealFacts, Timeline
from features.timeline import timeline as sort_timeline

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]
MISSING = np.int64(NAT)

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


@dataclass(eq=False, slots=True)
class Seen:
    """The visible part of one timeline: for request i the rows ``ends[0, i]:ends[1, i]`` of `timeline`.

    `where` names a mask column (``!`` negates). `within` (microseconds) narrows a question to rows with ``known_at >=
    as_of - within``; `since` (int64[n], UTC microseconds) to rows with ``known_at >= since[i]``.
    """

    timeline: Timeline
    entity: Int
    as_of: Int
    ends: Int
    _order: Int | None = field(default=None, repr=False)
    _edge: Edge | None = field(default=None, repr=False)
    _edges: dict[int, Edge] = field(default_factory=dict, repr=False)
    _spans: dict[tuple[str | None, int | None], tuple[Int, Int]] = field(default_factory=dict, repr=False)
    _lasts: dict[str | None, tuple[Int, Bool]] = field(default_factory=dict, repr=False)
    _answers: dict[tuple[object, ...], NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def low(self) -> Int:
        """Where the visible rows of each request begin, int64[n]."""
        low: Int = self.ends[0]
        return low

    @property
    def high(self) -> Int:
        """Where they end."""
        high: Int = self.ends[1]
        return high

    @once
    def count(self, where: str | None = None, within: int | None = None, *, since: Int | None = None) -> Float:
        """Return the number of visible rows, float64[n]; 0 where there are none."""
        begin, until = self._span(where, within, since)
        return difference(until, begin)

    @once
    def total(
        self, column: str, where: str | None = None, within: int | None = None, *, since: Int | None = None
    ) -> Float:
        """Return the sum of an integer column over the visible rows, missing values as 0, float64[n].

        since: int64[n], an instant per request; only rows with ``known_at >= since`` count.
        """
        prefix = self.timeline.prefix_sum(column, where)
        begin, until = self._span(where, within, since)
        return difference(prefix.take(until), prefix.take(begin))

    @once
    def totals(self, columns: tuple[str, ...], where: str | None = None) -> Float:
        """Return the sums of several integer columns over the visible rows, float64[len(columns), n]; see `total`."""
        prefix = self.timeline.prefix_sums(columns, where)
        begin, until = self._span(where)
        return (prefix.take(until, axis=1) - prefix.take(begin, axis=1)).astype(np.float64)

    @once
    def last(self, column: str, where: str | None = None) -> Int:
        """Return `column` at the last visible (matching) row, int64[n], NAT where there is none."""
        found = self._lasts.get(where)
        if found is None:
            begin, until = self._span(where)
            found = self._lasts[where] = self.timeline.marked(where).row(until - 1), until <= begin
        return taken(self.timeline.values(column), *found, MISSING)

    def first(self, column: str, where: str | None = None) -> Int:
        """Return `column` at the first visible (matching) row, int64[n], NAT where there is none."""
        return self.nth(column, 1, where)

    def nth(self, column: str, k: int, where: str | None = None) -> Int:
        """Return `column` at the k-th (1 is first) visible (matching) row, int64[n], NAT where there are fewer."""
        begin, until = self._span(where)
        rank = begin + (k - 1)
        return taken(self.timeline.values(column), self.timeline.marked(where).row(rank), until <= rank, MISSING)

    @once
    def latest(self, column: str, where: str | None = None) -> Int:
        """Return the largest visible value of `column`, int64[n], NAT where there is none."""
        begin, until = self._span(where)
        return taken(self.timeline.running_max(column, where), until - 1, until <= begin, MISSING)

    def days_since(self, where: str | None = None, clock: str = "known_at") -> Float:
        """Return days from the latest visible `clock` ("known_at" or a time column) to the as-of, NaN where none."""
        at = self.last("known_at", where) if clock == "known_at" else self.latest(clock, where)
        return days_between(at, self.as_of)

    def days_since_first(self, where: str | None = None) -> Float:
        """Return the days from the first visible (matching) row's known_at to the as-of, NaN where there is none."""
        return days_between(self.first("known_at", where), self.as_of)

    @once
    def distinct(self, column: str, where: str | None = None, within: int | None = None) -> Float:
        """Return how many distinct values of `column` the visible rows hold, float64[n]; missing ones do not count."""
        held, before, firsts = self.timeline.repeats(column, where)
        if within is None:
            begin, until = firsts.before(self._visible())
            return difference(until, begin)
        begin, until = held.before(self._recent(within)), held.before(self._visible())[1]
        if many(begin, until):
            return self._distinct_by_pair(column, where, within)
        request, rank = spread(begin, until)
        new = before[rank] < begin[request]
        return np.bincount(request[new], minlength=len(begin)).astype(np.float64)

    def decayed(self, half_life: int, where: str | None = None) -> Float:
        """Return the sum over visible rows of 2^-(age / half_life), age = as_of - known_at, both in microseconds."""
        begin, until = self._span(where)
        gone = until <= begin
        age = self.as_of - self.last("known_at", where)
        age[gone] = 0
        fresh = taken(self.timeline.decaying(half_life, where), until - 1, gone, np.float64(0.0))
        return fresh * np.exp2(-age / half_life)

    @once
    def upcoming(self, column: str, where: str | None = None, within: int | None = None) -> Float:
        """Return how many visible rows announce something at or after the as-of (and less than `within` later).

        column: the announced instant, int64 UTC microseconds.
        """
        held = self.timeline.marked(where, having=column)
        begin, until = held.before(self._visible())
        if many(begin, until):
            return self._announced(column, where, within) - self._announced(column, where, 0)
        request, rank = spread(begin, until)
        ahead = self.timeline.values(column)[held.row(rank)] - self.as_of[request]
        fits = (ahead >= 0) if within is None else (ahead >= 0) & (ahead < within)
        return np.bincount(request[fits], minlength=len(begin)).astype(np.float64)

    def soonest(self, column: str, where: str | None = None) -> Int:
        """Return the earliest instant at or after the as-of that a visible row announces, int64[n], NAT: none.

        column: the announced instant, int64 UTC microseconds.
        """
        held = self.timeline.marked(where, having=column)
        request, rank = spread(*held.before(self._visible()))
        at = self.timeline.values(column)[held.row(rank)]
        ahead = at >= self.as_of[request]
        out = np.full(len(self.entity), np.iinfo(np.int64).max)
        np.minimum.at(out, request[ahead], at[ahead])
        return np.where(out == np.iinfo(np.int64).max, NAT, out)

    def _announced(self, column: str, where: str | None, before: int | None) -> Float:
        """Count visible rows that announce an instant before ``as_of + before`` (any instant for None).

        A row is known before the as-of and announces less than `before` exactly when the later of the two, each taken
        from its own limit, lies before it: one more sorted key answers without looking at a row.
        """
        if before is None:
            held = self.timeline.marked(where, having=column)
            begin, until = held.before(self._visible())
            return difference(until, begin)

        def make() -> Timeline:
            base, rows = self.timeline, self.timeline.marked(where, having=column).rows
            clock = np.maximum(base.known_at[rows] + before, base.values(column)[rows])
            return sort_timeline(f"{base.name}:{column}", base.entities, base.entity[rows], clock, {})

        again = self.timeline.cached(("announced", column, where or "", str(before)), make)
        return look(again, self.entity, self.as_of + before).count()

    def _distinct_by_pair(self, column: str, where: str | None, within: int | None) -> Float:
        """Count the (entity, value) pairs that were seen: for windows that hold many rows each."""
        pairs, first = self.timeline.subjects(column)
        known = np.maximum(self.entity, 0)
        begin = first[known]
        request, pair = spread(begin, np.where(self.entity >= 0, first[known + 1], begin))
        seen = look(pairs, pair, self.as_of[request])
        return np.bincount(request[seen.count(where, within) > 0], minlength=len(known)).astype(np.float64)

    def _visible(self) -> Edge:
        """Return where visible rows begin and end, [2, n], made once."""
        if self._edge is None:
            self._edge = Edge.of(self.ends, len(self.timeline))
        return self._edge

    def _recent(self, within: int) -> Edge:
        """Return where rows known within a time begin, made once."""
        edge = self._edges.get(within)
        if edge is None:
            edge = self._edges[within] = Edge.of(self._position(self.as_of - within), len(self.timeline))
        return edge

    def _position(self, instant: Int) -> Int:
        return _position(self.timeline, self.entity, instant, self._order)

    def _span(self, where: str | None, within: int | None = None, since: Int | None = None) -> tuple[Int, Int]:
        """Return how many matching rows, of this entity and all before it, lie before those asked about and to their
        end, int64[n] each.
        """
        if since is not None:
            floor = since if within is None else np.maximum(since, self.as_of - within)
            edge = Edge.of(np.minimum(self._position(floor), self.high), len(self.timeline))
            return self.timeline.marked(where).before(edge), self._span(where)[1]
        span = self._spans.get((where, within))
        if span is None:
            marked = self.timeline.marked(where)
            if within is None:
                begin, until = marked.before(self._visible())
            else:
                begin, until = marked.before(self._recent(within)), self._span(where)[1]
            span = self._spans[where, within] = begin, until
        return span


class AsOfView:
    """What `requests` may see of the record.

    deals: facts fixed at creation. timelines: per-deal timelines by name. reference: timelines keyed by other entities.
    stage_count: number of open stages. rep_team: int64, team code by rep code (it has no history), -1 unknown.
    family: the deals by account, None where the record does not hold all of them.
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
        family: Siblings | None = None,
    ) -> None:
        self.requests = requests
        self.as_of = requests.as_of
        self.calendar = calendar
        self.stage_count = stage_count
        self._rep_team = rep_team
        self._deals = deals
        self._timelines = timelines
        self._reference = reference
        self._family = family
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

    def as_ofs(self, requests: Requests) -> AsOfView:
        """Return what other requests may see of the same record."""
        parts = (self._deals, self._timelines, self._reference, self.calendar, self.stage_count, self._rep_team)
        return AsOfView(requests, *parts, self._family)

    def siblings(self, within: int) -> tuple[Int, AsOfView]:
        """Return the deals of each request's account that were created no later, and at most `within` earlier.

        within: microseconds. Gives int64[k], the request that each belongs to, in order, and what may be seen of it at
        that request's as-of; only deals that are known by then. None where the record does not hold whole accounts.
        """
        none = np.zeros(0, dtype=np.int64)
        place, other = (none, none) if self._family is None else self._family.of(self.requests.deal, within)
        asked = Requests(other, self.as_of[place])
        seen = self.exists()[place] & self.as_ofs(asked).exists()
        return place[seen], self.as_ofs(asked.take(seen))

    def deal_id(self, row: int) -> str:
        """Return the CRM's id of a request's deal, "" where the record does not hold whole accounts."""
        return "" if self._family is None else self._family.name(int(self.requests.deal[row]))

    def shared(self, name: str, make: Callable[[], Shared]) -> Shared:
        """Return what `make` gives, made once for this view: what several groups need."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]  # type: ignore[return-value]

    def team(self, rep: Int) -> Int:
        """Return the team code of each rep code, -1 where unknown."""
        return team_of(self._rep_team, rep)

    def fixed(self, column: str) -> Int | Float:
        """Return a fact fixed at creation; missing where the deal is not yet known."""
        values = self._deals.columns[column][self.requests.deal]
        if values.dtype == np.float64:
            return np.where(self._exists, values, np.nan)
        return np.where(self._exists, values, NAT)

    def tells(self, column: str) -> bool:
        """Whether the record has a fact fixed at creation."""
        return column in self._deals.columns

    def exists(self) -> Bool:
        """Return bool[n]: whether each deal is known at its as-of."""
        return self._exists

    def period(self) -> Int:
        """Return the fiscal period of each as-of, int64[n]; raises ConfigError where the calendar does not reach."""
        return self.shared("period", lambda: self.calendar.index(self.as_of))

    def local_day(self) -> Int:
        """Return the local day of each as-of, int64[n]."""
        return self.shared("today", lambda: local_days(self.as_of, self.calendar.zone))

    def is_open(self) -> Bool:
        """Return bool[n]: the deal is known and its last visible row is neither won, lost, merged nor deleted."""
        outcome = self.of("history").last("outcome")
        standing: Bool = (outcome == OPEN) | (outcome == NAT)
        return self.exists() & standing

    def days_since_created(self) -> Float:
        """Return the days from the deal's creation to the as-of, NaN where it is not yet known."""
        return days_between(np.asarray(self.fixed("created_at"), dtype=np.int64), self.as_of)


def look(timeline: Timeline, entity: Int, as_of: Int) -> Seen:
    """Return the rows of each entity with ``known_at < as_of``, strictly; a negative entity sees nothing."""
    order = unless_sorted(timeline.instants.key(entity, as_of)) if len(entity) > FEW else None
    low = timeline.start.take(entity, mode="clip")  # clipped from below
    return Seen(timeline, entity, as_of, np.array((low, _position(timeline, entity, as_of, order))), order)


def before(known_at: Int, as_of: int) -> int:
    """Return how many of these instants, in order of time, lie strictly before an as-of."""
    return int(np.searchsorted(known_at, as_of, side="left"))


def known(known_at: Int, as_of: int | Int) -> Bool:
    """Return bool[n]: which of these instants lie strictly before an as-of."""
    return known_at < as_of


def _position(timeline: Timeline, entity: Int, instant: Int, order: Int | None) -> Int:
    """Return how many rows of the timeline sort before (entity, instant): one binary search on the composite key.

    Asked in the order of the key (``order``), a million searches take a tenth of the time: what they read is at hand.
    """
    key = timeline.instants.key(entity, instant)
    if order is None:
        return timeline.key.searchsorted(key).astype(np.int64, copy=False)
    out = np.empty(len(key), dtype=np.int64)
    out[order] = timeline.key.searchsorted(key.take(order))
    return out
