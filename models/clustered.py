"""Figures of whole rows with intervals for rows that come in deals: rows of a deal go together, so deals are counted.

All intervals are normal approximations with deal-clustered (sandwich) standard errors: exact enough for the hundreds of
deals that a gate needs to say anything, and the same bits at every run, without a draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.base import Float, Int

Z95 = 1.959963984540054


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
    error = float(np.sqrt((sums_of(values - centre, deal) ** 2).sum())) / len(values)
    return Estimate(centre, error, centre - Z95 * error, centre + Z95 * error)


def share(hit: Float, deal: Int) -> Estimate:
    """Return the share of rows that hit (float64[n] of 0 and 1, n >= 1), with Wilson's interval.

    Rows count for as many as would be as uncertain were each alone; where all are alike, for as many as the deals.
    """
    told, deals = mean(hit, deal), float(len(np.unique(deal)))
    p = told.value
    n = min(p * (1 - p) / told.error**2, float(len(hit))) if told.error > 0 else deals
    return Estimate(p, told.error, *wilson(p, n))


def wilson(p: float, n: float) -> tuple[float, float]:
    """Return the Wilson interval at 95 % of a share out of n > 0, which need not be whole."""
    z2 = Z95**2
    centre, half = (p + z2 / (2 * n)) / (1 + z2 / n), Z95 / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)


def level(y: Float, p: Float, deal: Int) -> Estimate:
    """Return sum p / sum y with an interval made in its logarithm; unknown where nothing was won."""
    won, said = float(y.sum()), float(p.sum())
    if won <= 0 or said <= 0:
        return UNKNOWN
    ratio = said / won
    error = float(np.sqrt((sums_of(p / said - y / won, deal) ** 2).sum()))  # of the log, to first order
    return Estimate(ratio, ratio * error, ratio * float(np.exp(-Z95 * error)), ratio * float(np.exp(Z95 * error)))


def sums_of(values: Float, deal: Int) -> Float:
    """Return the sum of the values of each deal."""
    _, code = np.unique(deal, return_inverse=True)
    return np.bincount(code, weights=values).astype(np.float64)
