"""What every model shares: examples in, probabilities out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureMatrix
from features.columns import logit

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]

CLIP = 1e-6  # probabilities are kept this far from 0 and 1, so that one surprise is not an infinite loss


@dataclass(frozen=True)
class Examples:
    """Rows a model may learn from or be judged on, n of each.

    matrix: features. y: float64, 1 won within the label window, else 0.
    deal: int64 deal codes (rows of a deal are not independent).
    as_of, label_end: int64 UTC microseconds; the label window is ``[as_of, label_end)``.
    """

    matrix: FeatureMatrix
    y: Float
    deal: Int
    as_of: Int
    label_end: Int

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Int | Bool) -> Examples:
        """Return some of the rows."""
        matrix = FeatureMatrix(self.matrix.names, self.matrix.values[rows])
        return Examples(matrix, self.y[rows], self.deal[rows], self.as_of[rows], self.label_end[rows])

    def select(self, names: tuple[str, ...]) -> Examples:
        """Return the rows with only these feature columns, in this order."""
        matrix = FeatureMatrix(names, self.matrix.columns(names))
        return Examples(matrix, self.y, self.deal, self.as_of, self.label_end)


class ProbabilityModel(Protocol):
    """Anything that answers P(won within the label window) for rows of features."""

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return float64[n] in (0, 1)."""
        ...


Fit = Callable[[Examples, "Frame"], ProbabilityModel]


@dataclass(frozen=True)
class Frame:
    """How a company's time is cut for tables: the head, and the ages (days) that bucket an `eventual` head.

    stage_count: number of open stages. penalty: ridge strength of linear models, in units of one standardised row.
    period_days: the usual length of a period.
    """

    target: str
    stage_count: int
    age_edges: tuple[float, ...] = ()
    penalty: float = 1.0
    period_days: float = 91.0


def sigmoid(x: Float) -> Float:
    """Return 1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small))


def clipped_logit(p: Float) -> Float:
    """Return the logit of p kept within [1e-6, 1 - 1e-6]."""
    return logit(np.minimum(np.maximum(p, CLIP), 1 - CLIP))
