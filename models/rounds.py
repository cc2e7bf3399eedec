"""How far trees are trusted: grown on the older rows of inner folds, weighed by what they do for the newer ones.

The offset is a ridge that is hard to beat on a few hundred deals, and the best number of trees jumps from 0 to 300
between one inner period and the next. So it is not their number that is chosen: they are grown until they have learnt
enough, and their sum is multiplied by a share from 0 to 1, the posterior mean given the newer rows of all inner folds:

    ``weight(share) = exp(-deals * loss(offset + share * trees) - 2 * share)``

A deal counts once, however many rows it has; the prior leans to no trees, and with little evidence the share is small.
All of a period's deals share its shock, which is a level and says nothing about trees, and levels are not learnt (for a
head that is judged by periods): the loss is the one left after each inner period's best intercept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from features.build import FeatureMatrix
from models.base import Examples, Float, sigmoid
from models.trees import ONE_THREAD, TreeSettings, dataset, grow

if TYPE_CHECKING:
    import lightgbm

LEARNT = 9.0  # trees x learning rate that are always grown: 300 trees at 0.03
MORE = 3.0  # and that are added as long as the later rows want nearly all of what there is
WANTED = 0.9  # the share from which on they do
LEAN = 2.0  # the prior's pull towards no trees
LEAST = 0.1  # below this share trees are not worth their time
SHARES = np.linspace(0.0, 1.0, 21)
STEPS = 4  # of Newton's method from the last share's intercept, which is near
TINY = 1e-12


@dataclass
class Trial:
    """A booster that grows on the older rows of a fold, and what it is judged by.

    y: float64[n] of the newer rows. offset: their log-odds without trees. deals: how many deals they are of.
    level_free: the loss is the one at the rows' best intercept. grown: trees so far; more of them change nothing of
    what fewer said. told: losses already worked out, by number of trees.
    """

    booster: lightgbm.Booster
    y: Float
    offset: Float
    deals: int
    level_free: bool
    grown: int = 0
    told: dict[int, Float] = field(default_factory=dict)

    def update(self) -> None:
        """Grow one more tree."""
        self.booster.update()
        self.grown += 1

    def logit(self, matrix: FeatureMatrix, rounds: int) -> Float:
        """Return what the first `rounds` trees add, float64[n]."""
        raw = self.booster.predict(matrix.values, raw_score=True, num_iteration=rounds, num_threads=1)
        return np.asarray(raw, dtype=np.float64)

    def losses(self, newer: FeatureMatrix, rounds: int) -> Float:
        """Return the mean loss on the newer rows for each of `SHARES` of the first `rounds` trees."""
        if rounds not in self.told:
            added, level, losses = self.logit(newer, rounds), 0.0, []
            for share in SHARES:
                raw = self.offset + share * added
                level = best_level(self.y, raw, level) if self.level_free else 0.0
                losses.append(float(np.mean(np.logaddexp(0.0, raw + level) - self.y * (raw + level))))
            self.told[rounds] = np.array(losses)
        return self.told[rounds]


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

    data = dataset(old, before, members[0][0])
    deals = len(np.unique(new.deal))
    boosters = [lightgbm.Booster(own.params(seed) | ONE_THREAD, data) for own, seed in members]
    return tuple(Trial(booster, new.y, after, deals, level_free) for booster in boosters)


@dataclass(frozen=True)
class Trust:
    """How many trees a seed are grown, and the share of them that counts; (0, 0.0) where they are not worth it."""

    rounds: int = 0
    share: float = 0.0


def trust(
    folds: Sequence[Trial], newer: Sequence[FeatureMatrix], learning_rate: float, max_rounds: int, workers: int
) -> Trust:
    """Return how far trees are trusted after all folds; grows what is needed.

    newer: the features of each fold's newer rows. Depends on the folds alone, not on how far they had been grown.
    """
    learnt = LEARNT
    while True:
        rounds = min(ceil(learnt / learning_rate), max_rounds)
        grow([(fold, rounds - fold.grown) for fold in folds if fold.grown < rounds], workers)
        losses = [fold.deals * fold.losses(matrix, rounds) for fold, matrix in zip(folds, newer, strict=True)]
        share = posterior_mean(np.sum(losses, axis=0))
        if share < WANTED or rounds == max_rounds:
            return Trust(rounds, share) if share >= LEAST else Trust()
        learnt += MORE


def posterior_mean(losses: Float) -> float:
    """Return the mean share under its posterior. losses: of all deals together, one per share of `SHARES`."""
    score = -losses - LEAN * SHARES
    weight = np.exp(score - score.max())
    return float((weight * SHARES).sum() / weight.sum())
