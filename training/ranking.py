"""How well probabilities rank where few come true: area under precision and recall, precision of the top, lift.

Rows with the same probability go together: a row counts as its share of them, so that the order of rows says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.base import Bool, Float, Int
from training.evaluate import DRAW_CHUNK, DealBootstrap, Interval, interval

TOP = 0.1
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the rows, from the most likely on, at which a lift curve is told."""


@dataclass(frozen=True)
class Ranked:
    """Rows from the most to the least likely, in groups of equal probability. hits: float64[d, g], those that came true
    up to each group, with every draw's weights; rows: float64[d, g], all of them.
    """

    hits: Float
    rows: Float

    def pr_auc(self) -> Float:
        """Return the average precision of each draw, float64[d]; NaN where none came true."""
        gained = np.diff(self.hits, axis=1, prepend=0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(self.rows > 0, self.hits / self.rows, 0.0)
            out: Float = (gained * precision).sum(axis=1) / np.where(self.hits[:, -1] > 0, self.hits[:, -1], np.nan)
        return out

    def caught(self, share: float) -> Float:
        """Return the hits among the `share` of rows on top, float64[d]."""
        pairs = zip(self.rows, self.hits, strict=True)
        return np.array([np.interp(share * r[-1], np.append(0.0, r), np.append(0.0, h)) for r, h in pairs])

    def precision(self, share: float) -> Float:
        """Return the share that came true among the rows on top, float64[d]."""
        return self.caught(share) / (share * self.rows[:, -1])

    def recall(self, share: float) -> Float:
        """Return the share of all hits that the rows on top hold, float64[d]; NaN where none came true."""
        return self.caught(share) / np.where(self.hits[:, -1] > 0, self.hits[:, -1], np.nan)


Figure = Callable[[Ranked], Float]


def ranked(y: Float, p: Float, weights: Float | None = None) -> Ranked:
    """Rank rows (n >= 1) by probability. weights: float64[d, n], None: one draw in which every row counts once."""
    weights = np.ones((1, len(y))) if weights is None else weights
    order = np.argsort(-p, kind="stable")
    last = np.flatnonzero(np.append(np.diff(p[order]) < 0, True))
    hits, rows = (np.cumsum(part[:, order], axis=1)[:, last] for part in (weights * y, weights))
    return Ranked(hits, rows)


def figure_of(figure: Figure, y: Float, p: Float, boot: DealBootstrap) -> Interval:
    """Return a figure of a ranking with its interval over whole leads."""
    return interval(float(figure(ranked(y, p))[0]), _drawn(figure, y, p, boot))


def gain_of(figure: Figure, y: Float, p: Float, over: Float, boot: DealBootstrap) -> Interval:
    """Return by how much a figure of `p` exceeds that of `over`, paired, with its interval."""
    value = float(figure(ranked(y, p))[0]) - float(figure(ranked(y, over))[0])
    return interval(value, _drawn(figure, y, p, boot) - _drawn(figure, y, over, boot))


def _drawn(figure: Figure, y: Float, p: Float, boot: DealBootstrap) -> Float:
    parts = [
        figure(ranked(y, p, boot.draws[k : k + DRAW_CHUNK][:, boot.code].astype(np.float64)))
        for k in range(0, len(boot.draws), DRAW_CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def top_of(block: Int, p: Float, count: int) -> Bool:
    """Return bool[n]: the `count` rows of each block with the highest p, of equal ones those that come first."""
    order = np.lexsort((-p, block))
    place = np.arange(len(p)) - np.searchsorted(block[order], block[order], side="left")
    top = np.zeros(len(p), dtype=bool)
    top[order] = place < count
    return top
