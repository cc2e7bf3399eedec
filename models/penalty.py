"""How strongly the ridge is held to the stage x time table: by what the newer rows of the inner folds say.

Rows of a deal are far from independent, so a penalty that suits as many independent rows is much too weak: on planted
worlds of 1,750 deals a penalty of 1 row lost 5 % of log loss against one of 1,000, and was worse than the table itself
where nothing can be known. As for trees (`models.rounds`), a period's own level is nobody's merit and is taken out
before its rows judge, for a head that is judged by periods.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.base import Examples, Float, Frame
from models.linear import Design, solve
from models.rounds import best_level

PENALTIES = (30_000.0, 10_000.0, 3_000.0, 1_000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
USUAL = 1_000.0  # where no fold can tell
MOST_ROWS = 40_000  # that a path is fitted on; of more, every second, third and so on
ROUGH = 1e-4  # tolerance of a path's fits


def path_losses(old: Examples, new: Examples, frame: Frame) -> Float:
    """Return the loss of the newer rows for each of `PENALTIES`, summed over rows, fitted on the older ones."""
    step = -(-len(old) // MOST_ROWS)
    if step > 1:  # neighbours in time go to different parts, so that each part holds every period
        old = old.take(np.arange(0, len(old), step))
    if not 0 < old.y.sum() < len(old):
        return np.zeros(len(PENALTIES))
    design = Design.of(old, frame)
    asked = design.of_others(new.matrix)
    level, losses = 0.0, []
    for intercept, weights in solve(design.x, old.y, [penalty / step for penalty in PENALTIES], ROUGH):
        raw = asked @ weights + intercept
        level = best_level(new.y, raw, level) if frame.target == "in_period" else 0.0
        losses.append(float(np.sum(np.logaddexp(0.0, raw + level) - new.y * (raw + level))))
    return np.array(losses)


def best_penalty(losses: Sequence[Float]) -> float:
    """Return the penalty with the least loss over all folds; `USUAL` without any."""
    return PENALTIES[int(np.argmin(np.sum(losses, axis=0)))] if losses else USUAL
