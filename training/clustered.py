"""Figures of whole rows with intervals for rows that come in deals: rows of a deal go together, so deals are counted.

All intervals are normal approximations with deal-clustered (sandwich) standard errors: exact enough for the hundreds of
deals that a gate needs to say anything, and the same bits at every run, without a draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.base import Float, Int, clipped_logit, sigmoid

Z95 = 1.959963984540054
STEPS = 50
TINY = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A figure, its standard error and its interval at 95 %; NaN where it can't be told."""

    value: float
    error: float
    low: float
    high: float


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"), float("nan"))


def mean(values: Float, deal: Int) -> Estimate:
    """Return the mean of per-row values, float64[n] of deals int64[n], n >= 1."""
    centre = float(values.mean())
    error = float(np.sqrt((_sums(values - centre, deal) ** 2).sum())) / len(values)
    return Estimate(centre, error, centre - Z95 * error, centre + Z95 * error)


def level(y: Float, p: Float, deal: Int) -> Estimate:
    """Return sum p / sum y with an interval made in its logarithm; unknown where nothing was won."""
    won, said = float(y.sum()), float(p.sum())
    if won <= 0 or said <= 0:
        return UNKNOWN
    ratio = said / won
    error = float(np.sqrt((_sums(p / said - y / won, deal) ** 2).sum()))  # of the log, to first order
    return Estimate(ratio, ratio * error, ratio * float(np.exp(-Z95 * error)), ratio * float(np.exp(Z95 * error)))


def slope(y: Float, p: Float, deal: Int) -> Estimate:
    """Return the slope of a logistic regression of y on the log-odds of p; 1 is right, below 1 is overconfident.

    Unknown with one class, or where p is the same everywhere.
    """
    x = clipped_logit(p)
    spread = float(x.std())
    if not 0 < y.sum() < len(y) or spread < 1e-9:
        return UNKNOWN
    design = np.stack([np.ones(len(x)), (x - x.mean()) / spread], axis=1)
    at = np.array([float(clipped_logit(np.array([y.mean()]))[0]), spread])
    for _ in range(STEPS):
        step = np.linalg.solve(_curvature(design, at), design.T @ (y - sigmoid(design @ at)))
        at = at + np.clip(step, -2.0, 2.0)  # Newton may leap where classes are nearly apart
        if np.abs(step).max() < 1e-10:
            break
    else:
        return UNKNOWN
    scores = design * (y - sigmoid(design @ at))[:, None]
    sums = np.stack([_sums(scores[:, j], deal) for j in range(2)], axis=1)
    inverse = np.linalg.inv(_curvature(design, at))
    error = float(np.sqrt((inverse @ (sums.T @ sums) @ inverse)[1, 1])) / spread
    value = float(at[1]) / spread
    return Estimate(value, error, value - Z95 * error, value + Z95 * error)


def _curvature(design: Float, at: Float) -> Float:
    p = sigmoid(design @ at)
    return np.asarray(design.T @ (design * (p * (1 - p))[:, None]) + TINY * np.eye(2), dtype=np.float64)


def _sums(values: Float, deal: Int) -> Float:
    _, code = np.unique(deal, return_inverse=True)
    return np.bincount(code, weights=values).astype(np.float64)
