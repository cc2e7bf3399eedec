"""Timelines: what happened to each entity, in the order in which it became known.

A timeline is a set of columns sorted by (entity, known_at, order of arrival). One int64 key per row, made of the entity
and of its ``known_at`` (`features.order`), lets one binary search find how much of an entity's past is visible at an
instant, exactly. Every question is then about the rows that carry a mark (`features.ranks`) between two positions:
counts are differences of ranks, sums differences of prefix sums over integers, and what is a float restarts per entity,
so that one request and a million get the same bits.

This module knows nothing of as-of instants; `features.asof` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from features.fading import fading_sums
from features.once import kept
from features.order import Instants, steps, total_order
from features.ranks import FEW, Everyone, Marked
from features.tables import NAT

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]
Cached = TypeVar("Cached")

_BITS = np.arange(8, dtype=np.uint8)


@dataclass(frozen=True)
class Timeline:
    """Facts about `entities` entities, sorted by (entity, known_at, seq).

    entity: int64[m], 0 <= entity < entities, not decreasing. known_at: int64[m], UTC microseconds.
    columns: name -> int64[m] (NAT where missing) or bool[m] (a mask usable as ``where=``).
    start: int64[entities + 1], the rows of entity e are ``start[e]:start[e + 1]``.
    instants: how an instant becomes the low digit of a key. key: int64[m], that of each row, not decreasing.

    A `where` names a mask column (``!`` in front negates) and means the rows that it marks; None means all rows.
    """

    name: str
    entities: int
    entity: Int
    known_at: Int
    columns: Mapping[str, Int | Bool]
    start: Int
    instants: Instants
    key: Int
    _marks: dict[tuple[str | None, str | None], Marked] = field(default_factory=dict, repr=False, compare=False)
    _cache: dict[tuple[object, ...], object] = field(default_factory=dict, repr=False, compare=False)

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

    def cached(self, name: tuple[object, ...], make: Callable[[], Cached]) -> Cached:
        """Return what `make` gives, computed once for this timeline."""
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]  # type: ignore[return-value]

    def with_columns(self, more: Mapping[str, Int | Bool]) -> Timeline:
        """Return the same rows with some columns added or replaced."""
        return replace(self, columns={**self.columns, **more}, _marks={}, _cache={})

    def marked(self, where: str | None, having: str | None = None) -> Marked:
        """Return the matching rows; with `having`, only those that hold a value in that column."""
        name = where, having
        found = self._marks.get(name)
        if found is None:
            if having is not None:
                found = Marked(self.mask(where) & (self.values(having) != NAT))
            else:
                found = Everyone(len(self)) if where is None else Marked(self.mask(where))
            self._marks[name] = found
        return found

    @kept
    def prefix_count(self, where: str | None) -> Int:
        """Rows before position i that match, int64[m + 1]."""
        return _prefix(self.mask(where))

    @kept
    def prefix_sum(self, column: str, where: str | None) -> Int:
        """Sum of `column` over the first k matching rows, missing values as 0, int64[matching + 1]."""
        values = self.marked(where).pick(self.values(column))
        return _prefix(np.where(values != NAT, values, 0))

    @kept
    def prefix_sums(self, columns: tuple[str, ...], where: str | None) -> Int:
        """Return the prefix sums of several columns, int64[len(columns), matching + 1]; see `prefix_sum`."""
        marked = self.marked(where)
        out = np.zeros((len(columns), marked.size + 1), dtype=np.int64)
        for name, sums in zip(columns, out, strict=True):
            values = marked.pick(self.values(name))
            np.where(values != NAT, values, 0).cumsum(out=sums[1:])
        return out

    @kept
    def previous(self, where: str | None) -> Int:
        """For each position i of 0..m the last matching row before it, -1 where there is none, int64[m + 1]."""
        row = np.where(self.mask(where), np.arange(len(self), dtype=np.int64), -1)
        return np.concatenate([[-1], np.maximum.accumulate(row)]) if len(row) else np.full(1, -1, dtype=np.int64)

    @kept
    def following(self, where: str | None) -> Int:
        """For each position i of 0..m the first matching row at or after it, m where there is none, int64[m + 1]."""
        m = len(self)
        row = np.where(self.mask(where), np.arange(m, dtype=np.int64), m)
        return np.concatenate([np.minimum.accumulate(row[::-1])[::-1], [m]]).astype(np.int64)

    @kept
    def running_max(self, column: str, where: str | None) -> Int:
        """For each matching row, the largest `column` among its entity's matching rows up to it, int64[matching].

        NAT where none of them holds a value.
        """
        marked = self.marked(where)
        values, entity = marked.pick(self.values(column)), marked.pick(self.entity)
        held = values[values != NAT]
        if not len(held):
            return np.full(len(values), NAT, dtype=np.int64)
        least, largest = int(held.min()), int(held.max())
        if (largest - least + 2) * (self.entities + 1) >= 2**63:
            distinct, values = np.unique(values, return_inverse=True)
            return distinct[_largest_so_far(entity, values, len(distinct))]
        found = _largest_so_far(entity, np.where(values == NAT, 0, values - (least - 1)), largest - least + 2)
        return np.where(found == 0, NAT, found + (least - 1))

    @kept
    def decaying(self, half_life: int, where: str | None) -> Float:
        """For each matching row, the sum over its entity's matching rows up to it of 2^-(time since / half_life).

        float64[matching]; see `features.fading`.
        """
        marked = self.marked(where)
        return fading_sums(marked.pick(self.entity), marked.pick(self.known_at), half_life)

    @kept
    def repeats(self, column: str, where: str | None) -> tuple[Marked, Int, Marked]:
        """Find the matching rows that hold a value (a code, not negative) which their entity held before.

        Returns the matching rows that hold a value; for each of those the rank of the one before it with the same
        entity and value, -1 where it is the first; and, among all rows of the timeline, those firsts.
        """
        values = self.values(column)
        held = self.mask(where) & (values != NAT) & (values >= 0)
        marked = Marked(held)
        value, entity = marked.pick(values), marked.pick(self.entity)
        pair = entity * (int(value.max(initial=0)) + 1) + value
        order = np.argsort(pair, kind="stable")
        again = np.flatnonzero(pair[order[1:]] == pair[order[:-1]])
        before = np.full(len(pair), -1, dtype=np.int64)
        before[order[again + 1]] = order[again]
        first = np.zeros(len(self), dtype=bool)
        first[marked.rows[before < 0]] = True
        return marked, before, Marked(first)

    @kept
    def subjects(self, column: str) -> tuple[Timeline, Int]:
        """Regroup the rows by (entity, value of `column`), for distinct counts; rows without a value are left out.

        Returns the timeline keyed by pair and int64[entities + 1]: the pairs of entity e are ``first[e]:first[e + 1]``.
        """
        values = self.values(column)
        keep = np.flatnonzero((values != NAT) & (values >= 0))
        width = int(values[keep].max(initial=0)) + 1
        pairs, pair = np.unique(self.entity[keep] * width + values[keep], return_inverse=True)
        masks = {n: c[keep] for n, c in self.columns.items() if c.dtype == bool}
        regrouped = timeline(f"{self.name}:{column}", len(pairs), pair, self.known_at[keep], masks)
        return regrouped, np.searchsorted(pairs // width, np.arange(self.entities + 1)).astype(np.int64)


@dataclass(frozen=True)
class DealFacts:
    """Facts fixed at a deal's creation: one row per deal, known from ``known_at`` on.

    columns: name -> int64[d] (codes in the reference vocabulary -1 missing, or times, NAT missing) or float64[d].
    """

    known_at: Int
    columns: Mapping[str, Int | Float]


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
    known = (entity >= 0) & (known_at != NAT)
    kept = None if known.all() else np.flatnonzero(known)
    if kept is not None:
        entity, known_at, seq = entity[kept], known_at[kept], None if seq is None else seq[kept]
    order = total_order(entities, entity, known_at, seq)
    source = order if kept is None else kept[order]
    known_at = known_at.take(order)
    size = np.bincount(entity, minlength=entities)
    entity = np.repeat(np.arange(entities), size)  # sorted, and cheaper than to gather it
    instants = Instants.of(entities, known_at)
    return Timeline(
        name=name,
        entities=entities,
        entity=entity,
        known_at=known_at,
        columns=_Columns(columns, source) if len(source) > FEW else {n: c.take(source) for n, c in columns.items()},
        start=_prefix(size),
        instants=instants,
        key=instants.key(entity, known_at),
    )


class _Columns(Mapping[str, Int | Bool]):
    """A timeline's columns; masks of long ones are kept as the bits of bytes and made when they are asked for."""

    def __init__(self, columns: Mapping[str, Int | Bool], rows: Int) -> None:
        """Take the columns at `rows`: eight masks travel as one byte, which is one gather instead of eight."""
        self._names = tuple(columns)
        self._bits: dict[str, tuple[NDArray[np.uint8], np.uint8]] = {}
        masks = [name for name, column in columns.items() if column.dtype == bool]
        self._plain = {name: columns[name].take(rows) for name in columns if name not in masks}
        for start in range(0, len(masks), 8):
            some = {bit: columns[name].view(np.uint8) for bit, name in zip(_BITS, masks[start:], strict=False)}
            byte = np.zeros(len(columns[masks[start]]), dtype=np.uint8)
            for part in steps(len(byte)):
                for bit, mask in some.items():
                    byte[part] |= mask[part] << bit
            byte = byte.take(rows)
            self._bits |= {name: (byte, _BITS[1] << bit) for bit, name in zip(_BITS, masks[start:], strict=False)}

    def __getitem__(self, name: str) -> Int | Bool:
        if name not in self._bits:
            return self._plain[name]
        byte, bit = self._bits[name]
        return (byte & bit).astype(bool)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _largest_so_far(entity: Int, digit: Int, width: int) -> Int:
    # Digits restart at each entity because the entity is the leading digit of what is accumulated.
    base = entity * width
    found: Int = np.maximum.accumulate(base + digit) - base
    return found


def _prefix(values: Int | Bool) -> Int:
    out = np.zeros(len(values) + 1, dtype=np.int64)
    values.cumsum(out=out[1:])
    return out
