"""What is usual: the medians that a reason sets beside a value, by stage, over the training rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from features.build import FeatureMatrix
from models.base import Float, Int
from models.tables import stage_rows

FEWEST = 30  # rows of a stage before its own median is believed


@dataclass(frozen=True)
class Profile:
    """medians: float64[stages + 1, k] over `names`, the last row over all stages, NaN where nothing was known.

    rate: mean label.
    """

    names: tuple[str, ...]
    medians: Float
    rate: float

    def usual(self, matrix: FeatureMatrix) -> Float:
        """Return the usual value of every cell of the matrix, float64[n, k]."""
        return self.medians[self._row(matrix)]

    def _row(self, matrix: FeatureMatrix) -> Int:
        return stage_rows(matrix.column("stage_rank"), len(self.medians))


def profile_of(matrix: FeatureMatrix, y: Float, stage_count: int) -> Profile:
    """Take the medians of the training rows by stage; a stage with fewer than 30 rows shows the overall ones."""
    stage = matrix.column("stage_rank")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the median of a column without values is NaN, as meant
        overall = np.nanmedian(matrix.values, axis=0)
        rows = [matrix.values[stage == rank] for rank in range(stage_count)]
        medians = [np.nanmedian(part, axis=0) if len(part) >= FEWEST else overall for part in rows]
    return Profile(matrix.names, np.vstack([*medians, overall]), float(y.mean()) if len(y) else float("nan"))
