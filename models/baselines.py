"""Baselines: first-class models that stand in every table, and that a model must beat to be promoted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.vocab import Baseline
from features.build import FeatureMatrix
from models.base import CLIP, Examples, Fit, Float, Frame
from models.linear import fit_linear
from models.tables import fit_stage_rate, fit_stage_time


@dataclass(frozen=True)
class Constant:
    """One probability for every row."""

    rate: float

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the constant, float64[n]."""
        return np.full(len(matrix.values), self.rate)


def fit_constant(examples: Examples, frame: Frame) -> Constant:
    """Fit the mean outcome."""
    return Constant(float(np.clip(examples.y.mean(), CLIP, 1 - CLIP)))


STAGE_TIME = Baseline.STAGE_TIME_LEFT.value
RIDGE = Baseline.RIDGE.value

# Order of the rows in every table. `stage_time_left` is the strong one: the promotion gate names it.
BASELINES: dict[str, Fit] = {
    Baseline.CONSTANT.value: fit_constant,
    Baseline.STAGE_RATE.value: fit_stage_rate,
    STAGE_TIME: fit_stage_time,
    RIDGE: fit_linear,
}
