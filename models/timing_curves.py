"""Coherent curves: from raw log-odds of "won" and "lost within h" to won + lost + open = 1 at every horizon.

A row's curves stand on a grid of its own, float64[n, k] days, ascending along each row. The close head says how likely
"won by the period's end" is (the anchor), and the raw curves say what follows from either answer (Jeffrey's rule):

- won within the period: when, in the raw curve's proportions;
- not won within it: won later, or lost, in the raw curves' proportions of such deals.

So the won curve is the close head's probability at the anchor, and no error of the raw curve within the period is
carried into later ones. To move the whole curve in log-odds instead, as first planned, was tried and was worse: a head
that is right about the last day of a quarter says little about the next one.
The rule needs no neighbour on the grid, so the same horizon has the same answer on any grid.
"""

from __future__ import annotations

import numpy as np

from models.base import Bool, Float, Int, sigmoid

TINY = 1e-12  # chances that something is divided by are kept this far from 0


def coherent(raw_won: Float, raw_lost: Float, at: Int, p: Float, grid: Float) -> tuple[Float, Float]:
    """Return (won, lost), float64[n, k] each, non-decreasing along a row, in [0, 1], their sum at most 1.

    raw_won, raw_lost: log-odds float64[n, k]. at: int64[n], the anchor's grid point; p: float64[n], won there, exactly.
    grid: days float64[n, k]; its last point is the longest horizon.
    """
    won = np.maximum.accumulate(sigmoid(raw_won), axis=1)
    lost = np.maximum.accumulate(sigmoid(raw_lost), axis=1)
    room = 1.0 - won[:, -1:]
    lost = lost * np.minimum(room / np.maximum(lost[:, -1:], TINY), 1.0)
    rows = np.arange(len(won))
    day, then, target = grid[rows, at][:, None], won[rows, at][:, None], p[:, None]
    # Of deals won by then: when. Of the others: what came after.
    within = target * np.minimum(won / np.maximum(then, TINY), 1.0)
    others = (1.0 - target) / np.maximum(1.0 - then, TINY)
    beyond = np.minimum(target + others * (won - then), 1.0)
    won = np.where(grid < day, within, np.where(grid > day, np.maximum(beyond, target), target))
    won = np.maximum.accumulate(won, axis=1)
    lost = np.maximum.accumulate(np.minimum(others * lost, 1.0 - won[:, -1:]), axis=1)
    return np.asarray(won, dtype=np.float64), np.asarray(lost, dtype=np.float64)


def at_share(grid: Float, won: Float, last: Int, share: float | Float) -> Float:
    """Return the days by which `share` of what is won by grid point `last` is won, float64[n], linear in between.

    grid: starts at 0 days, where nothing is won yet. share: in (0, 1), or float64[n].
    """
    rows = np.arange(len(grid))
    target = share * won[rows, last]
    above = np.argmax(won >= target[:, None], axis=1)
    below = np.maximum(above - 1, 0)
    low, high = won[rows, below], won[rows, above]
    step = high > low
    part = np.where(step, (target - low) / np.where(step, high - low, 1.0), 1.0)
    part = np.minimum(np.maximum(part, 0.0), 1.0)
    days = grid[rows, below] + part * (grid[rows, above] - grid[rows, below])
    return np.asarray(np.minimum(days, grid[rows, last]), dtype=np.float64)


def merged_grid(fixed: Float, own: Float, longest: float) -> tuple[Float, Int]:
    """Return (grid float64[n, k], place int64[n, m]) of the fixed days and each row's own, place -1 where that is NaN.

    fixed: float64[f], within ``[0, longest]`` and holding both ends. own: float64[n, m] days; a NaN takes no part, what
    lies outside is moved to the nearer end.
    """
    missing: Bool = np.isnan(own)
    both = np.empty((len(own), len(fixed) + own.shape[1]))
    both[:, : len(fixed)] = fixed
    both[:, len(fixed) :] = np.where(missing, longest, np.minimum(np.maximum(own, 0.0), longest))
    order = np.argsort(both, axis=1, kind="stable")
    place = np.argsort(order, axis=1, kind="stable")[:, len(fixed) :]
    return np.take_along_axis(both, order, axis=1), np.where(missing, -1, place)
