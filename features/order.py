"""Sorting at speed: the total order of a timeline's rows, and the one int64 key that finds an instant in it.

Both are exact for every span and resolution; where a quick form does not fit into 64 bits a slower one takes over.
Long columns are worked on a stretch at a time, so that what lies between two steps never leaves the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.chunks import sort_long

Int = NDArray[np.int64]

FEW = 4096  # up to so many rows NumPy's own lexsort is as quick
STEP = 32_768  # rows at a time
QUANTA = (1_000_000, 1_000, 1)  # microseconds: CRMs keep whole seconds or milliseconds
_ROOM = 63


def steps(size: int) -> Iterator[slice]:
    """Cut ``0:size`` into stretches of `STEP`."""
    for start in range(0, size, STEP):
        yield slice(start, min(start + STEP, size))


def total_order(entities: int, entity: Int, known_at: Int, seq: Int | None) -> Int:
    """Return the rows by (entity, known_at, seq, row), int64[m]. ``0 <= entity < entities``; every known_at is given.

    Entity, time and row are packed into one integer, the time as finely as there is room for. Sorting those is much
    quicker than sorting rows by several keys. What is left to settle are rows that the packed time can't tell apart.
    """
    m = len(entity)
    origin, last = (int(known_at.min()), int(known_at.max())) if m else (0, 0)
    row_bits, entity_bits = max(m - 1, 1).bit_length(), max(entities - 1, 1).bit_length()
    time_bits = _ROOM - row_bits - entity_bits
    if m <= FEW or time_bits < 1 or last - origin >= 2**62:
        return _by((known_at, entity), seq)
    shift = max((last - origin).bit_length() - time_bits, 0)
    packed = np.empty(m, dtype=np.int64)
    for rows in steps(m):
        part = packed[rows]
        np.left_shift(entity[rows], time_bits, out=part)
        part |= (known_at[rows] - origin) >> shift
        part <<= row_bits
        part |= np.arange(rows.start, rows.stop)
    sort_long(packed)
    at = _tied(packed, row_bits) if shift or seq is not None else np.zeros(0, dtype=np.int64)
    coarse = packed[at] >> row_bits
    packed &= (1 << row_bits) - 1  # only the row is left
    rows_at = packed[at]
    packed[at] = rows_at[_by((known_at[rows_at], coarse), None if seq is None else seq[rows_at])]
    return packed


def unless_sorted(key: Int) -> Int | None:
    """Return the order of the keys, None where they stand in it."""
    return None if bool((key[1:] >= key[:-1]).all()) else np.argsort(key)


def _tied(packed: Int, row_bits: int) -> Int:
    """Return the positions whose neighbour differs from them in the row alone."""
    tied = np.zeros(len(packed) + 1, dtype=bool)
    for rows in steps(len(packed) - 1):
        tied[rows.start + 1 : rows.stop + 1] = (packed[rows] ^ packed[rows.start + 1 : rows.stop + 1]) < 1 << row_bits
    return np.flatnonzero(tied[1:] | tied[:-1])


def _by(keys: tuple[Int, ...], seq: Int | None) -> Int:
    return np.lexsort(keys if seq is None else (seq, *keys)).astype(np.int64, copy=False)


@dataclass(frozen=True)
class Instants:
    """How an instant becomes the low digit of a key: whole quanta since `origin`, else its rank among `distinct`.

    width: digits lie in 0..width - 1. A row's digit is below ``digit(instant)`` exactly when its known_at is before it.
    """

    origin: int
    last: int
    quantum: int
    width: int
    distinct: Int | None = None

    @classmethod
    def of(cls, entities: int, known_at: Int) -> Instants:
        """Choose the first form that is exact for these rows and fits."""
        if not len(known_at):
            return cls(0, -1, 1, 1)
        origin, last = int(known_at.min()), int(known_at.max())
        for quantum in QUANTA[-1:] if len(known_at) <= FEW else QUANTA:
            width = (last - origin) // quantum + 2
            fits = last - origin < 2**62 and width * (entities + 1) < 2**_ROOM
            if fits and _whole(known_at, origin, quantum):
                return cls(origin, last, quantum, width)
        distinct = np.unique(known_at)
        return cls(origin, last, 1, len(distinct) + 1, distinct)

    def digit(self, instant: Int) -> Int:
        """Return the least digit that no row known before `instant` has, int64[n]."""
        if self.distinct is not None:
            return self.distinct.searchsorted(instant).astype(np.int64, copy=False)
        # Bounded first: what is missing or absurd must not overflow.
        since = np.maximum(instant, self.origin)
        np.minimum(since, self.last + 1, out=since)
        since += self.quantum - 1 - self.origin
        return since if self.quantum == 1 else np.floor_divide(since, self.quantum, out=since)

    def key(self, entity: Int, instant: Int) -> Int:
        """Return entity * width + digit, int64[n]; a negative entity's key is below that of every row."""
        if len(entity) <= STEP:
            return self.digit(instant) + entity * self.width
        key = np.empty(len(entity), dtype=np.int64)
        for rows in steps(len(entity)):
            np.multiply(entity[rows], self.width, out=key[rows])
            key[rows] += self.digit(instant[rows])
        return key


def _whole(known_at: Int, origin: int, quantum: int) -> bool:
    """Whether every instant is a whole number of quanta after the origin."""
    if quantum == 1:
        return True
    for rows in steps(len(known_at)):
        since = known_at[rows] - origin
        if not np.array_equal(since // quantum * quantum, since):
            return False
    return True
