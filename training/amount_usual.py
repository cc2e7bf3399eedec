"""What won deals are usually worth, by segment and stage: the start for a deal that has no amount."""

from __future__ import annotations

import numpy as np

from features.build import FeatureMatrix
from features.told import Told
from models.amount import Usual, stage_row
from models.base import Float, Int

PRIOR = 5.0  # won deals that count for "this word says nothing"
PASSES = 20  # over all effects; each is what the others leave
MOST_WORDS = 200  # of a dimension; one with more says little by each, and would only make the bundle large
TAIL = 0.005


def fit_usual(
    matrix: FeatureMatrix, told: Told, actual: Float, weight: Float, stage_count: int, prior: float = PRIOR
) -> Usual:
    """Fit effects in log amounts, each shrunken towards none (empirical Bayes), in turn until they agree.

    actual: float64[n], amounts at the close in currency, above 0. weight: float64[n]. The level makes the mean of what
    is told that of the amounts, those in the tails counting as the ones at the edges.
    """
    log, level = np.log(actual), float(np.average(np.log(actual), weights=weight))
    words = {name: column for name, column in told.segments.items() if 0 < len(column.values) <= MOST_WORDS}
    codes: list[Int] = [column.codes.astype(np.int64) for column in words.values()]
    codes.append(stage_row(matrix, stage_count))
    effects = [np.zeros(len(column.values)) for column in words.values()] + [np.zeros(stage_count + 1)]
    left = log - level
    for _ in range(PASSES):
        for code, effect in zip(codes, effects, strict=True):
            known = code >= 0
            left[known] += effect[code[known]]
            size = np.bincount(code[known], weights=weight[known], minlength=len(effect))
            effect[:] = np.bincount(code[known], (weight * left)[known], len(effect)) / (size + prior)
            left[known] -= effect[code[known]]
    spread = np.exp(np.clip(left, *np.quantile(left, (TAIL, 1 - TAIL))))
    level += float(np.log(np.average(spread, weights=weight)))
    segments = {
        name: {word: float(effect[i]) for i, word in enumerate(column.values) if effect[i]}
        for (name, column), effect in zip(words.items(), effects[:-1], strict=True)
    }
    return Usual(level, effects[-1], segments)
