"""Sums that fade: what happened, weighed by 2^-(time since / half-life), after each row of an entity.

Floats are added in one order, row after row within an entity, whatever else stands in the timeline: one deal alone has
the bits that it has among a million.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Float = NDArray[np.float64]

BLOCK = 256  # half-lives after which the weights begin anew, long before they leave the floats


def fading_sums(entity: Int, at: Int, half_life: int) -> Float:
    """For each row i, the sum over its entity's rows j <= i of 2^-((at_i - at_j) / half_life), float64[m].

    entity: int64[m], not decreasing; at: int64[m], not decreasing within an entity; half_life in the same unit.
    A row weighs 2^(half-lives since its block began), so that a block's sums are plain running sums, scaled back at
    the end. The first row of a block takes over what the block before has left.
    """
    if not len(at):
        return np.zeros(0)
    new = np.ones(len(at), dtype=bool)
    new[1:] = entity[1:] != entity[:-1]
    start = new.nonzero()[0]
    age = (at - at[start].repeat(_sizes(start, len(at)))) / half_life
    block = np.floor(age / BLOCK)
    weight = np.exp2(age - block * BLOCK)
    new[1:] |= block[1:] != block[:-1]
    first = new.nonzero()[0]
    size = _sizes(first, len(at))
    sums = weight.copy()
    for k, now in enumerate(_turns(first, start)):
        rows = first[now]
        if k:
            sums[rows] += sums[rows - 1] / weight[rows - 1] * np.exp2(age[rows - 1] - age[rows]) * weight[rows]
        _add_up(sums, rows, size[now])
    faded: Float = sums / weight
    return faded


def _turns(first: Int, start: Int) -> list[Int | slice]:
    """Return which blocks are the first of an entity, the second and so on: each waits for the one before.

    first: where blocks begin. start: where entities do.
    """
    if len(first) == len(start):  # nearly every entity has one block only
        return [slice(None)]
    begins = first.searchsorted(start)
    turn = np.arange(len(first)) - begins.repeat(_sizes(begins, len(first)))
    return [np.flatnonzero(turn == k) for k in range(int(turn.max()) + 1)]


def _sizes(first: Int, total: int) -> Int:
    """Return the size of each run, given where each begins and where the last one ends."""
    sizes = np.empty_like(first)
    np.subtract(first[1:], first[:-1], out=sizes[:-1])
    sizes[-1] = total - first[-1]
    return sizes


def _add_up(values: Float, first: Int, size: Int) -> None:
    """Replace each run ``first:first + size`` by its running sums, added in order, the same bits either way.

    Long runs are added one by one, short ones side by side: at most about sqrt(m) steps of each.
    """
    long = size > np.sqrt(len(values))
    for begin, n in zip(first[long].tolist(), size[long].tolist(), strict=True):
        run = values[begin : begin + n]
        run.cumsum(out=run)
    if long.all():  # so it is for one deal
        return
    first, size = first[~long], size[~long]
    order = np.argsort(-size, kind="stable")
    first, size = first[order], size[order]
    longer = np.searchsorted(-size, -np.arange(1, int(size.max(initial=1))), side="left")
    for k, count in enumerate(longer.tolist(), start=1):
        rows = first[:count] + k
        values[rows] += values[rows - 1]
