"""How many trees: grown on the older rows of inner folds, judged tree by tree on the newer ones.

All of a period's deals share its shock, which is a level and says nothing about trees, and levels are not learnt (for a
head that is judged by periods). So a number of trees is judged there by the loss that is left after each inner period's
best intercept. The folds' curves are added up, weighted by their rows, and the lowest point of the sum is taken: one
odd period moves it less than it moves a mean of the folds' own best numbers. No trees at all is one of the candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from features.build import FeatureMatrix
from features.columns import logit
from models.base import Examples, Float, sigmoid
from models.trees import ONE_THREAD, TURN, TreeSettings, dataset, grow

if TYPE_CHECKING:
    import lightgbm

PATIENCE = 60  # trees without a new lowest point after which no more are tried
STEPS = 4  # of Newton's method from the last tree's intercept: it moves by little from tree to tree
TINY = 1e-12


@dataclass
class Trial:
    """A booster that grows on the older rows of a fold. losses: on the newer rows, mean per row, with 0, 1, ... trees.

    level_free: losses are those at the rows' best intercept. Growing it further changes no loss already told.
    """

    booster: lightgbm.Booster
    y: Float
    level_free: bool
    losses: list[float] = field(default_factory=list)
    level: float = 0.0

    def update(self) -> None:
        """Grow one more tree and judge it."""
        self.booster.update()
        self.booster.eval_valid(self._look)

    def _look(self, p: Float, _: lightgbm.Dataset) -> tuple[str, float, bool]:
        self.judge(logit(np.clip(p, TINY, 1 - TINY)))
        return "loss", self.losses[-1], False

    def judge(self, raw: Float) -> None:
        """Append the loss of these log-odds, float64[n]."""
        if self.level_free:
            self.level = best_level(self.y, raw, self.level)
        shifted = raw + self.level
        self.losses.append(float(np.mean(np.logaddexp(0.0, shifted) - self.y * shifted)))

    def logit(self, matrix: FeatureMatrix, rounds: int) -> Float:
        """Return what the first `rounds` trees add, float64[n]."""
        if not rounds:
            return np.zeros(len(matrix.values))
        raw = self.booster.predict(matrix.values, raw_score=True, num_iteration=rounds, num_threads=1)
        return np.asarray(raw, dtype=np.float64)


def best_level(y: Float, raw: Float, level: float) -> float:
    """Return the intercept that makes the mean probability the mean outcome, by Newton's method from `level`."""
    for _ in range(STEPS):
        p = sigmoid(raw + level)
        slope = float((p * (1 - p)).mean())
        level -= float(np.clip(float((p - y).mean()) / max(slope, TINY), -1.0, 1.0))
    return level


def trials(
    old: Examples,
    before: Float,
    new: Examples,
    after: Float,
    members: Sequence[tuple[TreeSettings, int]],
    level_free: bool,
) -> tuple[Trial, ...]:
    """Return a trial per (settings, seed), none grown yet. before, after: the offset on old and new rows, log-odds."""
    import lightgbm

    settings = members[0][0]
    data = dataset(old, before, settings)
    watched = lightgbm.Dataset(new.matrix.values, new.y, init_score=after, reference=data, params=data.get_params())
    watched.construct()  # constructing sets the process's number of threads; making a booster sets it to one again
    out = []
    for own, seed in members:
        booster = lightgbm.Booster(own.params(seed) | ONE_THREAD | {"metric": "None"}, data)
        out.append(Trial(booster.add_valid(watched, "newer"), new.y, level_free))
        out[-1].judge(after)
    return tuple(out)


def choose_rounds(folds: Sequence[Trial], max_rounds: int, workers: int) -> int:
    """Return the number of trees with the lowest loss over all folds, 0 where no tree helps; grows what is needed.

    Depends on the folds' curves alone, not on how far they had been grown before.
    """
    best = 0
    for upto in range(TURN, max_rounds + TURN, TURN):
        stop = min(upto, max_rounds)
        grow([(fold, stop + 1 - len(fold.losses)) for fold in folds if len(fold.losses) <= stop], workers)
        total = sum(len(fold.y) * np.array(fold.losses[: stop + 1]) for fold in folds)
        best = int(np.argmin(total))
        if best + PATIENCE <= stop:
            break
    return best
