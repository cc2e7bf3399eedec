"""Marked rows: how many rows before a position carry a mark, and which row is the k-th.

This is what counting over any window comes down to. A mark costs one bit a row and the position of each row that
carries it, not a prefix sum of eight bytes a row, and what is asked stays in the cache.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]
Number = TypeVar("Number", np.int64, np.float64)

ROWS_EACH = 8  # up to so many rows a request, on average, looking at each row is quicker than another sort
FEW = 4096  # up to so many rows a binary search among the marked ones is quicker than to lay out bits
_ONE = np.uint64(1)


class Edge(NamedTuple):
    """Positions (int64, 0..m, of any shape), with its place among 64-bit words worked out once for all marks."""

    position: Int
    word: Int | None = None
    below: NDArray[np.uint64] | None = None

    @classmethod
    def of(cls, position: Int, rows: int) -> Edge:
        """Prepare positions in a timeline of so many rows."""
        if rows <= FEW:
            return cls(position)
        return cls(position, position >> 6, (_ONE << (position & 63).astype(np.uint64)) - _ONE)


class Marked:
    """The rows that carry a mark. size: how many there are."""

    def __init__(self, mask: Bool) -> None:
        self._bits: tuple[Int, NDArray[np.uint64]] | None = None
        self.rows: NDArray[np.int32] | Int = mask.nonzero()[0]
        self.size = len(self.rows)
        if len(mask) > FEW:
            if len(mask) < 2**31:
                self.rows = self.rows.astype(np.int32)
            packed = np.zeros((len(mask) // 64 + 1) * 8, dtype=np.uint8)
            bits = np.packbits(mask, bitorder="little")
            packed[: len(bits)] = bits
            words = packed.view("<u8").astype(np.uint64, copy=False)
            self._bits = _running(np.bitwise_count(words)), words

    def before(self, edge: Edge) -> Int:
        """Return how many marked rows lie before each position, int64 of the edge's shape."""
        if self._bits is None or edge.word is None or edge.below is None:
            return self.rows.searchsorted(edge.position).astype(np.int64, copy=False)
        counted, words = self._bits
        found = counted.take(edge.word)
        found += np.bitwise_count(words.take(edge.word) & edge.below)
        return found

    def row(self, rank: Int) -> Int:
        """Return the row of the marked row number `rank` (0 is the first), int64[n]; of the nearest where none is."""
        if not self.size:
            return np.zeros(len(rank), dtype=np.int64)
        return self.rows.take(rank, mode="clip").astype(np.int64, copy=False)

    def pick(self, values: NDArray[np.int64]) -> Int:
        """Return a column of all rows at the marked ones, int64[size]."""
        return values.take(self.rows)


class Everyone(Marked):
    """All `size` rows: the mark of a question without ``where=``."""

    def __init__(self, size: int) -> None:
        self.size = size

    def before(self, edge: Edge) -> Int:
        """Return the positions themselves."""
        return edge.position

    def row(self, rank: Int) -> Int:
        """Return the ranks themselves."""
        return rank

    def pick(self, values: NDArray[np.int64]) -> Int:
        """Return the column itself."""
        return values


def _running(counts: NDArray[np.uint8]) -> Int:
    out = np.zeros(len(counts), dtype=np.int64)
    counts[:-1].cumsum(out=out[1:])
    return out


def spread(begin: Int, until: Int) -> tuple[Int, Int]:
    """Return the members of ranges ``begin[i]:until[i]``: which range, and which member."""
    size = until - begin
    which = np.arange(len(size)).repeat(size)
    return which, np.arange(len(which)) + (until - size.cumsum()).repeat(size)


def many(begin: Int, until: Int) -> bool:
    """Whether ranges hold so many members that looking at each is not the quicker way."""
    return int(until.sum()) - int(begin.sum()) > FEW + ROWS_EACH * len(begin)


def difference(left: Int, right: Int) -> Float:
    """Return left - right, float64[n]."""
    if len(left) > FEW:
        return np.subtract(left, right, out=np.empty(len(left)))  # no memory between the two steps
    return (left - right).astype(np.float64)  # the buffers of a mixed subtraction are slow for one row


def taken(values: NDArray[Number], row: Int, gone: Bool, missing: Number) -> NDArray[Number]:
    """Return values[row], but `missing` where `gone`; there `row` may be anything."""
    if not len(values):
        return np.full(len(row), missing)
    out = values.take(row, mode="clip")
    out[gone] = missing
    return out
