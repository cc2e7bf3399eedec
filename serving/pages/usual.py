"""How long won deals were in each stage: what the days of an open deal are set beside."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.periods import SECONDS_PER_DAY
from serving.intake import Loaded

FEWEST = 10  # won deals that passed a stage, before their mean is shown


def usual_days(loaded: Loaded | None) -> Mapping[str, float]:
    """Return the mean days that won deals spent in each stage, by its name; without stages that few have passed."""
    if loaded is None:
        return {}
    stages = loaded.bundle.about.stages.order
    visits = loaded.facts.reference.events["visits"].columns
    kept = (visits["won"] == 1) & (visits["stage"] >= 0) & (visits["stage"] < len(stages))
    stage, seconds = visits["stage"][kept], visits["spent_s"][kept].astype(np.float64)
    deals, spent = (np.bincount(stage, weights, len(stages)) for weights in (None, seconds))
    return {
        name: float(spent[rank] / deals[rank] / SECONDS_PER_DAY)
        for rank, name in enumerate(stages)
        if deals[rank] >= FEWEST
    }
