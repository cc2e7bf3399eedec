"""Figures of whole rows with intervals for rows that come in deals: those of `models.clustered`, and the slope."""

from __future__ import annotations

import numpy as np

from models.base import Float, Int, clipped_logit, sigmoid
from models.clustered import UNKNOWN, Z95, sums_of
from models.clustered import Estimate as Estimate
from models.clustered import level as level
from models.clustered import mean as mean
from models.clustered import share as share
from training.evaluate import calibration_line


def slope(y: Float, p: Float, deal: Int) -> Estimate:
    """Return the slope of a logistic regression of y on the log-odds of p; 1 is right, below 1 is overconfident.

    Unknown where `training.evaluate.calibration_line` knows none.
    """
    value, intercept = calibration_line(y, p)
    if np.isnan(value):
        return UNKNOWN
    x = clipped_logit(p)
    middle = x - x.mean()  # moves the intercept alone, and keeps the curvature well conditioned
    q = sigmoid(intercept + value * x)
    design = np.stack([np.ones(len(x)), middle], axis=1)
    scores = design * (y - q)[:, None]
    sums = np.stack([sums_of(scores[:, j], deal) for j in range(2)], axis=1)
    inverse = np.linalg.inv(design.T @ (design * (q * (1 - q))[:, None]))
    error = float(np.sqrt((inverse @ (sums.T @ sums) @ inverse)[1, 1]))
    return Estimate(value, error, value - Z95 * error, value + Z95 * error)
