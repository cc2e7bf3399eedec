"""Coherent curves: from raw log-odds of "won" and "lost within h" to won + lost + open = 1 at every horizon.

A row's curves stand on a grid of its own, float64[n, k] days, ascending along each row. ``won`` is the raw curve moved
in log-odds so that it meets the close head at the period's end; ``lost`` is the raw loss curve of the deals that are
not won within the longest horizon, times how many those now are:

``lost(h) = (1 - won(longest)) * raw_lost(h) / max(1 - raw_won(longest), raw_lost(longest))``

Why so: a better chance to win takes its deals from all the others alike, and tells nothing of when those would be lost.
The formula needs no neighbour on the grid, so the same horizon has the same answer on any grid.
"""

from __future__ import annotations

import numpy as np

from models.base import Bool, Float, Int, clipped_logit, sigmoid


def moved(raw: Float, at: Int, p: Float, grid: Float, fading: float) -> Float:
    """Return won probabilities float64[n, k] that equal `p` at grid point `at` exactly, non-decreasing.

    raw: log-odds float64[n, k], non-decreasing along a row. at: int64[n], -1 where a row has no such point and stays as
    it is. p: float64[n] in (0, 1). grid: days float64[n, k]. fading: days after the point in which the move falls to
    1 / e; infinite for one move of the whole curve.
    """
    rows = np.arange(len(raw))
    place = np.maximum(at, 0)
    anchored = at >= 0
    shift = np.where(anchored, clipped_logit(np.where(anchored, p, 0.5)) - raw[rows, place], 0.0)
    beyond = np.maximum(grid - grid[rows, place][:, None], 0.0)
    won = sigmoid(raw + shift[:, None] * np.exp(-beyond / fading))
    before = np.arange(raw.shape[1]) < place[:, None]
    target = np.where(anchored, p, 0.0)[:, None]
    held = np.where(before, np.minimum(won, target), np.maximum(won, target))
    held = np.where(grid == grid[rows, place][:, None], target, held)
    won = np.where(anchored[:, None], held, won)
    return np.asarray(np.maximum.accumulate(won, axis=1), dtype=np.float64)


def losses(raw_won: Float, raw_lost: Float, won: Float) -> Float:
    """Return lost probabilities float64[n, k], non-decreasing, with ``won + lost <= 1``; see the module docstring.

    raw_won, raw_lost: log-odds float64[n, k], their last grid point the longest horizon; won: of `moved`.
    """
    lost = np.maximum.accumulate(sigmoid(raw_lost), axis=1)
    others = np.maximum(1.0 - sigmoid(raw_won[:, -1]), lost[:, -1])
    share = np.minimum(lost / others[:, None], 1.0)
    return np.minimum((1.0 - won[:, -1])[:, None] * share, 1.0 - won)


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
    part = np.clip(part, 0.0, 1.0)
    days = grid[rows, below] + part * (grid[rows, above] - grid[rows, below])
    return np.asarray(np.minimum(days, grid[rows, last]), dtype=np.float64)


def merged_grid(fixed: Float, own: Float, longest: float) -> tuple[Float, Int]:
    """Return (grid float64[n, k], place int64[n, m]) of the fixed days and each row's own, place -1 where that is NaN.

    fixed: float64[f], within ``[0, longest]`` and holding both ends. own: float64[n, m] days; a NaN takes no part, what
    lies outside is moved to the nearer end.
    """
    missing: Bool = np.isnan(own)
    held = np.where(missing, longest, np.clip(own, 0.0, longest))
    both = np.concatenate([np.broadcast_to(fixed, (len(own), len(fixed))), held], axis=1)
    order = np.argsort(both, axis=1, kind="stable")
    place = np.argsort(order, axis=1, kind="stable")[:, len(fixed) :]
    return np.take_along_axis(both, order, axis=1), np.where(missing, -1, place)
