"""How right probabilities are: proper scores, ranking, calibration, and intervals over whole deals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import CLIP, Float, Int

BINS = 10
DRAW_CHUNK = 50


@dataclass(frozen=True)
class Scores:
    """log_loss: nats a row; brier; auc (NaN with one class); ece: 10 equally filled bins; ratio: sum p / sum y."""

    rows: int
    deals: int
    won_rate: float
    log_loss: float
    brier: float
    auc: float
    ece: float
    ratio: float


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval; above: share of the draws greater than 0."""

    value: float
    low: float
    high: float
    above: float


def row_loss(y: Float, p: Float) -> Float:
    """Return the log loss of each row, probabilities kept within [1e-6, 1 - 1e-6], float64[n]."""
    q = np.clip(p, CLIP, 1 - CLIP)
    return -np.where(y > 0, np.log(q), np.log1p(-q))


def scores(y: Float, p: Float, deal: Int) -> Scores:
    """Score probabilities p against outcomes y (0 or 1) of rows of deals; all of length n >= 1."""
    return Scores(
        rows=len(y),
        deals=len(np.unique(deal)),
        won_rate=float(y.mean()),
        log_loss=float(row_loss(y, p).mean()),
        brier=float(np.mean((p - y) ** 2)),
        auc=auc(y, p),
        ece=calibration_error(y, p),
        ratio=float(p.sum() / y.sum()) if y.sum() else float("nan"),
    )


def auc(y: Float, p: Float, weight: Float | None = None) -> float:
    """Return P(a won row ranks above a lost one), ties half; NaN where either class is absent. weight: per row."""
    order, group = _ranks(p)
    w = np.ones(len(y)) if weight is None else weight
    return float(_auc_sorted(y[order], group, w[order][None, :])[0])


def _ranks(p: Float) -> tuple[Int, Int]:
    order = np.argsort(p, kind="stable")
    changes = np.diff(p[order], prepend=p[order][:1]) > 0
    return order, np.cumsum(changes)


def _auc_sorted(y: Float, group: Int, weights: Float) -> Float:
    """AUC for each row of weights [d, n]; y and group are sorted by p, tied rows share a group."""
    won, lost = weights * y, weights * (1 - y)
    groups = int(group[-1]) + 1 if len(group) else 0
    starts = np.searchsorted(group, np.arange(groups))
    won_g = np.add.reduceat(won, starts, axis=1)
    lost_g = np.add.reduceat(lost, starts, axis=1)
    below = np.cumsum(lost_g, axis=1) - lost_g
    pairs = won_g.sum(axis=1) * lost_g.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, (won_g * (below + lost_g / 2)).sum(axis=1) / pairs, np.nan)


def calibration_bins(y: Float, p: Float, bins: int = BINS) -> list[tuple[int, float, float]]:
    """Return (rows, mean p, mean y) of equally filled bins by p; equal p share their mean y in any order of rows."""
    order, group = _ranks(p)
    tied = np.bincount(group, weights=y[order]) / np.bincount(group)
    shared = tied[group]
    parts = [part for part in np.array_split(np.arange(len(p)), bins) if len(part)]
    return [(len(part), float(p[order[part]].mean()), float(shared[part].mean())) for part in parts]


def calibration_error(y: Float, p: Float) -> float:
    """Return the expected calibration error: row-weighted mean |mean p - mean y| over 10 equally filled bins."""
    found = calibration_bins(y, p)
    return sum(rows * abs(said - came) for rows, said, came in found) / len(y)


@dataclass(frozen=True)
class DealBootstrap:
    """Draws of whole deals: row i weighs ``draws[:, code[i]]``. draws: int32[b, d], code: int64[n]."""

    code: Int
    draws: NDArray[np.int32]

    @classmethod
    def of(cls, deal: Int, draws: int, seed: int) -> DealBootstrap:
        """Draw deals with replacement, `draws` times."""
        distinct, code = np.unique(deal, return_inverse=True)
        rng = np.random.default_rng(seed)
        d = len(distinct)
        counts = (
            np.stack([np.bincount(rng.integers(0, d, d), minlength=d) for _ in range(draws)])
            if draws
            else np.zeros((0, d))
        )
        return cls(code.astype(np.int64), counts.astype(np.int32))

    def mean(self, values: Float) -> Interval:
        """Return the mean of per-row values with its interval."""
        d = self.draws.shape[1]
        sums = np.bincount(self.code, weights=values, minlength=d)
        sizes = np.bincount(self.code, minlength=d).astype(np.float64)
        drawn = (self.draws @ sums) / (self.draws @ sizes) if len(self.draws) else np.zeros(0)
        return interval(float(values.mean()), drawn)

    def auc(self, y: Float, p: Float) -> Interval:
        """Return the AUC with its interval."""
        return interval(auc(y, p), self._drawn_auc(y, p))

    def auc_gain(self, y: Float, p: Float, over: Float) -> Interval:
        """Return by how much the AUC of `p` exceeds that of `over`, paired, with its interval."""
        return interval(auc(y, p) - auc(y, over), self._drawn_auc(y, p) - self._drawn_auc(y, over))

    def _drawn_auc(self, y: Float, p: Float) -> Float:
        order, group = _ranks(p)
        parts = [
            _auc_sorted(y[order], group, self.draws[k : k + DRAW_CHUNK][:, self.code[order]].astype(np.float64))
            for k in range(0, len(self.draws), DRAW_CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)


def interval(value: float, drawn: Float) -> Interval:
    """Return a figure with the interval of its draws, NaN ones left out."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Interval(value, float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high), float(np.mean(drawn > 0)))
