"""The bundle as an MLflow pyfunc, from code: this file is copied beside the bundle and run at load, without pickle.

Takes a frame of named feature columns, returns calibrated probabilities, float64[n]. It needs forecastle installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np


class CloseProbability(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """P(won within the label window) from a frame of features."""

    def load_context(self, context: Any) -> None:
        """Load and verify the bundle."""
        from models.bundle import load

        self.bundle = load(Path(context.artifacts["bundle"]))

    # Without type hints: MLflow would take them for a schema of its own.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Return one probability per row of the frame."""
        from features.build import FeatureMatrix

        names = self.bundle.plan.names
        values = np.ascontiguousarray(model_input[list(names)].to_numpy(dtype=np.float64))
        return self.bundle.model.predict(FeatureMatrix(names, values))


mlflow.models.set_model(CloseProbability())
