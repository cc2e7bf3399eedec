"""Table and line of a timing head, fitted on weighted pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.build import FeatureMatrix
from features.columns import logit
from features.periods import DAY
from models.base import CLIP, Bool, Float, sigmoid
from models.linear import RARE, TAIL
from models.tables import WEIGHT
from models.timing_head import SHORTEST, HorizonLine, HorizonTable, steps
from training.labels import Watched
from training.timing_pairs import Censoring, weights
from training.timing_trees import Side

KNOTS = (1.0, 2.0, 4.0, 7.0, 14.0, 21.0, 28.0, 42.0, 56.0, 77.0, 105.0, 147.0, 200.0, 270.0, 365.0, 550.0, 730.0)
PASSES = 5  # at which horizon weights below 0 are taken out
THINNED = 4


def fit_table(
    stage: Float, watch: Watched, event: Bool, censoring: Censoring, longest: float, stages: int
) -> HorizonTable:
    """Fit the weighted share of events within each knot by stage, shrunken as `models.tables` does; never falling.

    stage: float64[n], NaN: unknown. event: bool[n], closed this way. longest: days, the last knot.
    """
    days = np.array([*(day for day in KNOTS if day < longest * 0.9), max(longest, 2 * SHORTEST)])
    unknown = np.isnan(stage) | (stage >= stages)
    row = np.where(unknown, stages, np.where(unknown, 0, stage)).astype(np.int64)
    n, hit = np.zeros((stages + 1, len(days))), np.zeros((stages + 1, len(days)))
    for j, day in enumerate(days):
        horizon = round(day * DAY)
        weight = weights(watch, horizon, censoring)
        n[:, j] = np.bincount(row, weights=weight, minlength=stages + 1)
        hit[:, j] = np.bincount(row, weights=weight * (event & (watch.closed < horizon)), minlength=stages + 1)
    by_time = np.clip((hit.sum(axis=0) + 0.5) / (n.sum(axis=0) + 1.0), CLIP, 1 - CLIP)
    overall = np.clip((hit.sum() + 0.5) / (n.sum() + 1.0), CLIP, 1 - CLIP)
    by_stage = logit((hit.sum(axis=1) + WEIGHT * overall) / (n.sum(axis=1) + WEIGHT))
    parent = sigmoid(by_stage[:, None] + logit(by_time)[None, :] - logit(overall))
    parent[-1] = by_time
    rates = (hit + WEIGHT * parent) / (n + WEIGHT)
    rates[-1] = by_time  # of an unknown stage nothing is known but the time: the rate of all
    return HorizonTable(days, np.maximum.accumulate(rates, axis=1))


@dataclass(frozen=True)
class _Design:
    """What both lines share, p pairs: scaling of the features and their columns, float64[p, k + flagged]."""

    low: Float
    high: Float
    mean: Float
    scale: Float
    flagged: Bool
    columns: Float


def fit_lines(tables: Sequence[HorizonTable], sides: Sequence[Side], penalty: float) -> list[HorizonLine]:
    """Fit a ridge for each head over the same pairs; weights of horizon columns are not below 0."""
    made = _design(sides[0].matrix)
    return [_fit_line(made, table, side, penalty) for table, side in zip(tables, sides, strict=True)]


def _fit_line(made: _Design, table: HorizonTable, side: Side, penalty: float) -> HorizonLine:
    days = side.days[:, None]
    prior = table.logit(side.matrix.column("stage_rank"), days)
    horizon = np.concatenate([prior, steps(side.clock.columns(days))[:, 0]], axis=1)
    design = np.concatenate([horizon, made.columns], axis=1)
    bound, k = horizon.shape[1], len(made.low)
    out = np.zeros(design.shape[1], dtype=bool)
    part = slice(None, None, THINNED)  # which weights would be below 0 is found on some of the pairs
    for _ in range(PASSES):
        below = _ridge(design[part], side.y[part], side.weight[part], penalty)[0] < 0
        below[bound:] = False
        out |= below
        design[:, out] = 0.0
        if not below.any():
            break
    found, intercept = _ridge(design, side.y, side.weight, penalty)
    found = np.where(out, 0.0, found)
    found[:bound] = np.maximum(found[:bound], 0.0)
    missing_weights = np.zeros(k)
    missing_weights[made.flagged] = found[bound + k :]
    return HorizonLine(
        intercept,
        float(found[0]),
        found[1:bound],
        found[bound : bound + k],
        missing_weights,
        made.low,
        made.high,
        made.mean,
        made.scale,
    )


def _ridge(design: Float, y: Float, weight: Float, penalty: float) -> tuple[Float, float]:
    """Return (weights, intercept) of the penalised logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=1.0 / penalty, solver="newton-cholesky", max_iter=100, tol=1e-6)
    with threadpool_limits(1):  # see models.linear
        model.fit(design, y, sample_weight=weight)
    return np.array(model.coef_[0], dtype=np.float64), float(model.intercept_[0])


def _design(matrix: FeatureMatrix) -> _Design:
    values = matrix.values
    missing = np.isnan(values)
    low, high, mean, scale = _scaling(values, missing)
    z = (np.clip(np.where(missing, mean, values), low, high) - mean) / scale
    share = missing.mean(axis=0)
    flagged = (share > RARE) & (share < 1 - RARE)
    return _Design(low, high, mean, scale, flagged, np.concatenate([z, missing[:, flagged]], axis=1))


def _scaling(values: Float, missing: Bool) -> tuple[Float, Float, Float, Float]:
    """Return (low, high, mean, scale), float64[k] each, of the known values; 0, 0, 0, 1 where a column has none."""
    k = values.shape[1]
    low, high, mean, scale = np.zeros(k), np.zeros(k), np.zeros(k), np.ones(k)
    for j in range(k):
        known = values[~missing[:, j], j]
        if not len(known):
            continue
        low[j], high[j] = np.quantile(known, (TAIL, 1 - TAIL))
        held = np.clip(known, low[j], high[j])
        mean[j] = held.mean()
        spread = np.sqrt(((held - mean[j]) ** 2).sum() / len(values))
        scale[j] = spread if spread > 1e-9 else 1.0
    return low, high, mean, scale
