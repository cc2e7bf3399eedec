"""Timelines: what happened to each entity, in the order in which it became known.

A timeline is a set of columns sorted by (entity, known_at, order of arrival). One int64 key per row, made of the entity
and of the rank of its ``known_at`` among all distinct instants, lets one binary search find how much of an entity's
past is visible at an instant, exactly, whatever the span and the resolution. Counts and sums over any window are then
differences of prefix sums over integers, which give the same bits for one request and for a million.

This module knows nothing of as-of instants; `features.asof` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from features.tables import NAT

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]
Cached = TypeVar("Cached")


@dataclass(frozen=True)
class Timeline:
    """Facts about `entities` entities, sorted by (entity, known_at, seq).

    entity: int64[m], 0 <= entity < entities, not decreasing. known_at: int64[m], UTC microseconds.
    columns: name -> int64[m] (NAT where missing) or bool[m] (a mask usable as ``where=``).
    start: int64[entities + 1], the rows of entity e are ``start[e]:start[e + 1]``.
    instants: int64[k], the distinct values of known_at, increasing. key: int64[m], entity * (k + 1) + rank of known_at.
    """

    name: str
    entities: int
    entity: Int
    known_at: Int
    columns: Mapping[str, Int | Bool]
    start: Int
    instants: Int
    key: Int
    _cache: dict[tuple[str, ...], object] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.entity)

    def values(self, column: str) -> Int:
        """Return an integer column (``known_at`` included), int64[m]."""
        return self.known_at if column == "known_at" else self.columns[column].astype(np.int64, copy=False)

    def mask(self, where: str | None) -> Bool:
        """Return a mask column; all rows for None. A leading ``!`` negates."""
        if where is None:
            return np.ones(len(self), dtype=bool)
        if where.startswith("!"):
            return ~self.mask(where[1:])
        return self.columns[where].astype(bool, copy=False)

    def with_columns(self, more: Mapping[str, Int | Bool]) -> Timeline:
        """Return the same rows with further columns, in the order of the rows."""
        return replace(self, columns={**self.columns, **more}, _cache={})

    def cached(self, name: tuple[str, ...], make: Callable[[], Cached]) -> Cached:
        """Return what `make` gives, computed once for this timeline."""
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]  # type: ignore[return-value]

    def prefix_count(self, where: str | None) -> Int:
        """Rows before position i that match, int64[m + 1]."""
        return self.cached(("count", where or ""), lambda: _prefix(self.mask(where).astype(np.int64)))

    def prefix_sum(self, column: str, where: str | None) -> Int:
        """Sum of `column` over the matching rows before position i, missing values as 0, int64[m + 1]."""

        def make() -> Int:
            values = self.values(column)
            return _prefix(np.where(self.mask(where) & (values != NAT), values, 0))

        return self.cached(("sum", column, where or ""), make)

    def previous(self, where: str | None) -> Int:
        """For each position i of 0..m the last matching row before it, -1 where there is none, int64[m + 1]."""

        def make() -> Int:
            row = np.where(self.mask(where), np.arange(len(self), dtype=np.int64), -1)
            return np.concatenate([[-1], np.maximum.accumulate(row)]) if len(row) else np.full(1, -1, dtype=np.int64)

        return self.cached(("previous", where or ""), make)

    def following(self, where: str | None) -> Int:
        """For each position i of 0..m the first matching row at or after it, m where there is none, int64[m + 1]."""

        def make() -> Int:
            m = len(self)
            row = np.where(self.mask(where), np.arange(m, dtype=np.int64), m)
            return np.concatenate([np.minimum.accumulate(row[::-1])[::-1], [m]]).astype(np.int64)

        return self.cached(("following", where or ""), make)

    def running_max(self, column: str, where: str | None) -> Int:
        """For each row, the largest `column` among its entity's matching rows up to it (NAT: none), int64[m]."""

        def make() -> Int:
            values = np.where(self.mask(where), self.values(column), NAT)
            distinct, rank = np.unique(values, return_inverse=True)
            # Ranks restart at each entity because the entity is the leading digit of what is accumulated.
            packed = np.maximum.accumulate(self.entity * len(distinct) + rank)
            return distinct[packed - self.entity * len(distinct)] if len(values) else values

        return self.cached(("running_max", column, where or ""), make)

    def decaying(self, half_life: int, where: str | None) -> Float:
        """For each row, the sum over its entity's matching rows j up to it of 2^-((known_at - known_at_j) / half_life).

        float64[m]. The recurrence runs entity by entity in order, so an entity's values never depend on its neighbours.
        """

        def make() -> Float:
            out = self.mask(where).astype(np.float64)
            place = np.arange(len(self)) - self.start[self.entity] if len(self) else np.zeros(0, dtype=np.int64)
            order = np.argsort(place, kind="stable")
            edges = np.searchsorted(place[order], np.arange(int(place.max(initial=-1)) + 2))
            for k in range(1, len(edges) - 1):
                rows = order[edges[k] : edges[k + 1]]
                gap = (self.known_at[rows] - self.known_at[rows - 1]) / half_life
                out[rows] += out[rows - 1] * np.exp2(-gap)
            return out

        return self.cached(("decaying", str(half_life), where or ""), make)

    def subjects(self, column: str) -> tuple[Timeline, Int]:
        """Regroup the rows by (entity, value of `column`), for distinct counts; rows without a value are left out.

        Returns the timeline keyed by pair and int64[entities + 1]: the pairs of entity e are ``first[e]:first[e + 1]``.
        """

        def make() -> tuple[Timeline, Int]:
            values = self.values(column)
            keep = np.flatnonzero((values != NAT) & (values >= 0))
            width = int(values[keep].max(initial=0)) + 1
            pairs, pair = np.unique(self.entity[keep] * width + values[keep], return_inverse=True)
            masks = {n: c[keep] for n, c in self.columns.items() if c.dtype == bool}
            regrouped = timeline(f"{self.name}:{column}", len(pairs), pair, self.known_at[keep], masks)
            return regrouped, np.searchsorted(pairs // width, np.arange(self.entities + 1)).astype(np.int64)

        return self.cached(("subjects", column), make)


def timeline(
    name: str,
    entities: int,
    entity: Int,
    known_at: Int,
    columns: Mapping[str, Int | Bool],
    seq: Int | None = None,
) -> Timeline:
    """Sort rows into a Timeline. All arrays have the same length m; `seq` breaks ties of known_at (default: row order).

    Rows whose entity is negative (unknown) or whose known_at is missing are left out: nobody could ever ask for them.
    """
    order = _total_order(entity, known_at, seq)
    order = order[(entity[order] >= 0) & (known_at[order] != NAT)]
    entity, known_at = entity[order].astype(np.int64), known_at[order]
    instants, rank = np.unique(known_at, return_inverse=True)
    return Timeline(
        name=name,
        entities=entities,
        entity=entity,
        known_at=known_at,
        columns={n: c[order] for n, c in columns.items()},
        start=np.searchsorted(entity, np.arange(entities + 1)).astype(np.int64),
        instants=instants,
        key=entity * (len(instants) + 1) + rank.astype(np.int64),
    )


def _total_order(entity: Int, known_at: Int, seq: Int | None) -> Int:
    return np.lexsort((known_at, entity) if seq is None else (seq, known_at, entity)).astype(np.int64)


def _prefix(values: Int) -> Int:
    out = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=out[1:])
    return out
