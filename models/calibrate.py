"""Calibration that keeps reasons additive: affine in log-odds, and only where it wins on later periods.

Temperature (slope alone) below 1,000 closed deals, Platt with a prior towards doing nothing above; never isotonic. For
a head that is judged by whole periods it is the slope alone, however many deals there are: all deals of a period share
its shock, so the level of the last two periods is a draw of two, and no sign of the next one's. The
prior and the ladder are those of the project's modelling notes (maximum a posteriori: slope ~ N(1, 0.15), intercept ~
N(0, 0.2), one row's weight being deals / rows since rows of a deal are not independent).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.base import Float, Int, sigmoid

PLATT_FROM = 1_000
SLOPE_SD, INTERCEPT_SD = 0.15, 0.2
MIN_GAIN = 0.0002  # log loss that a calibration must win on the later rows to be used at all
MIN_Z = 1.645  # and with this many standard errors: a period has shocks of its own, which are not to be learnt


@dataclass(frozen=True)
class Affine:
    """log-odds -> intercept + slope * log-odds."""

    intercept: float = 0.0
    slope: float = 1.0

    def apply(self, raw: Float) -> Float:
        """Return calibrated log-odds, float64[n]."""
        return self.intercept + self.slope * raw


IDENTITY = Affine()


def calibrate(raw: Float, y: Float, deal: Int, later: np.ndarray, level: bool = True) -> Affine:
    """Choose a calibration on out-of-time log-odds.

    raw: log-odds predicted by models that had not seen these rows; later: bool[n], the newer part. Fitted on the older
    part, it must win on the newer one, and is then refitted on all; else the identity. level: whether an intercept may
    be learnt at all.
    """
    if later.all() or not later.any():
        return IDENTITY
    platt = level and len(np.unique(deal)) >= PLATT_FROM
    trial = _fit(raw[~later], y[~later], deal[~later], platt)
    gain = _losses(raw[later], y[later]) - _losses(trial.apply(raw[later]), y[later])
    wins = gain.mean() > MIN_GAIN and _z(gain, deal[later]) > MIN_Z
    return _fit(raw, y, deal, platt) if wins else IDENTITY


def _losses(raw: Float, y: Float) -> Float:
    return np.asarray(np.logaddexp(0.0, raw) - y * raw, dtype=np.float64)


def _z(gain: Float, deal: Int) -> float:
    """Return the mean gain over its standard error, rows of a deal going together."""
    _, code = np.unique(deal, return_inverse=True)
    sums = np.bincount(code, weights=gain - gain.mean())
    return float(gain.sum() / np.sqrt(max((sums**2).sum(), 1e-300)))


def _fit(raw: Float, y: Float, deal: Int, platt: bool) -> Affine:
    """Minimise the penalised likelihood, strictly convex in (intercept, slope); the identity where that fails."""
    from scipy.optimize import minimize

    weight = len(np.unique(deal)) / max(len(y), 1)
    centre = np.array([0.0, 1.0])
    precision = np.array([1 / INTERCEPT_SD**2, 1 / SLOPE_SD**2])

    def objective(at: Float) -> tuple[float, Float]:
        z = at[0] + at[1] * raw
        miss = sigmoid(z) - y
        value = weight * _losses(z, y).sum() + (precision * (at - centre) ** 2).sum() / 2
        return float(value), weight * np.array([miss.sum(), (miss * raw).sum()]) + precision * (at - centre)

    bounds = [(None, None) if platt else (0.0, 0.0), (0.0, None)]
    found = minimize(
        objective, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9}
    )
    return Affine(float(found.x[0]), float(found.x[1])) if found.fun <= objective(centre)[0] else IDENTITY
