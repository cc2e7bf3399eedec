"""What one explained prediction of a fitted bundle costs in CPU time: the wall clock would judge the neighbours too."""

from __future__ import annotations

from time import process_time_ns

import numpy as np

from features.build import FeatureMatrix
from models.bundle import Bundle
from models.explain import explain

WARM_UPS, RUNS = 5, 40


def explained_ms(bundle: Bundle) -> float:
    """Return the median CPU time in milliseconds of predicting and explaining one row, all threads together.

    Features are not built here: they cost what the deal's history costs.
    """
    rows = bundle.golden.values
    if not len(rows):
        rows = np.full((1, len(bundle.golden.names)), np.nan)
    took = []
    for k in range(WARM_UPS + RUNS):
        row = FeatureMatrix(bundle.golden.names, np.ascontiguousarray(rows[k % len(rows)][None, :]))
        begun = process_time_ns()
        bundle.model.predict(row)
        explain(bundle.model, bundle.plan, bundle.profile, row)
        took.append(process_time_ns() - begun)
    return float(np.median(took[WARM_UPS:])) / 1e6
