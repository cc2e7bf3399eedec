"""Sorting at speed: the total order of a timeline's rows, and the one int64 key that finds an instant in it.

Both are exact for every span and resolution; where a quick form does not fit into 64 bits a slower one takes over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

FEW = 4096  # up to so many rows NumPy's own lexsort is as quick
_ROOM = 63
QUANTA = (1, 1_000, 1_000_000)  # microseconds: CRMs keep whole seconds or milliseconds


def total_order(entities: int, entity: Int, known_at: Int, seq: Int | None) -> Int:
    """Return the rows by (entity, known_at, seq, row), int64[m]. ``0 <= entity < entities``; every known_at is given.

    Entity, time and row are packed into one integer, the time as finely as there is room for. Sorting those is much
    quicker than sorting rows by several keys. What is left to settle are rows that the packed time can't tell apart.
    """
    m = len(entity)
    span = int(known_at.max()) - int(known_at.min()) if m else 0
    row_bits, entity_bits = max(m - 1, 1).bit_length(), max(entities - 1, 1).bit_length()
    time_bits = _ROOM - row_bits - entity_bits
    if m <= FEW or time_bits < 1 or span >= 2**62:
        return _by((known_at, entity), seq)
    shift = max(span.bit_length() - time_bits, 0)
    packed = known_at - known_at.min()
    packed >>= shift
    packed |= entity << time_bits
    packed <<= row_bits
    packed |= np.arange(m, dtype=np.int64)
    packed.sort()
    order: Int = packed & ((1 << row_bits) - 1)
    if shift == 0 and seq is None:
        return order
    packed >>= row_bits
    same = packed[1:] == packed[:-1]
    tied = np.zeros(m, dtype=bool)
    tied[1:] = same
    tied[:-1] |= same
    at = np.flatnonzero(tied)
    rows = order[at]
    order[at] = rows[_by((known_at[rows], packed[at]), None if seq is None else seq[rows])]
    return order


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
        """Choose the first form that fits and is exact for these rows."""
        if not len(known_at):
            return cls(0, -1, 1, 1)
        origin, last = int(known_at.min()), int(known_at.max())
        for quantum in QUANTA:
            width = (last - origin) // quantum + 2
            fits = last - origin < 2**62 and width * (entities + 1) < 2**_ROOM
            if fits and (quantum == 1 or not ((known_at - origin) % quantum).any()):
                return cls(origin, last, quantum, width)
        distinct = np.unique(known_at)
        return cls(origin, last, 1, len(distinct) + 1, distinct)

    def digit(self, instant: Int) -> Int:
        """Return the least digit that no row known before `instant` has, int64[n]."""
        if self.distinct is not None:
            return np.searchsorted(self.distinct, instant).astype(np.int64, copy=False)
        # Bounded first: what is missing or absurd must not overflow.
        since = np.minimum(np.maximum(instant, self.origin), self.last + 1) - self.origin
        return since if self.quantum == 1 else (since + (self.quantum - 1)) // self.quantum

    def key(self, entity: Int, instant: Int) -> Int:
        """Return entity * width + digit, int64[n]; a negative entity's key is below that of every row."""
        return entity * self.width + self.digit(instant)
