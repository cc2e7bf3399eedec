"""Trees of a timing head: boosted from its line over weighted (row, horizon) pairs, never falling with the horizon."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from features.build import FeatureMatrix
from models.base import Float
from models.timing_head import HORIZON, Clock, Head, pairs
from models.trees import Trees, TreeSettings, merge

if TYPE_CHECKING:
    import lightgbm

MAX_ROUNDS = 200
PATIENCE = 30
GROWTH = 1.15  # as the close model: the final fit has more rows than the inner one

Side = tuple[FeatureMatrix, Float, Clock, Float, Float]
"""Features of each pair's row, days, clock, outcome and weight: p of each."""


@dataclass(frozen=True)
class Boosting:
    """Settings of the trees, and the seeds that are averaged."""

    settings: TreeSettings
    seeds: tuple[int, ...]


def choose(head: Head, old: Side, new: Side, boosting: Boosting) -> int:
    """Return the number of trees by weighted log loss on later pairs; 0 where none helps."""
    import lightgbm

    data = _dataset(head, old, boosting.settings)
    matrix, days, clock, y, weight = new
    offset = head.logit(matrix, days[:, None], clock)[:, 0]
    told = pairs(head.names, matrix.values, clock.columns(days[:, None]))
    watch = lightgbm.Dataset(
        told.values, y, weight=weight, init_score=offset, reference=data, free_raw_data=False
    )
    record: dict[str, dict[str, list[float]]] = {}
    lightgbm.train(
        boosting.settings.params(boosting.seeds[0]) | {"metric": "binary_logloss"},
        data,
        num_boost_round=MAX_ROUNDS,
        valid_sets=[watch],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False), lightgbm.record_evaluation(record)],
    )
    losses = record["valid_0"]["binary_logloss"]
    best = int(np.argmin(losses))
    plain = float(np.average(np.logaddexp(0.0, offset) - y * offset, weights=weight))
    return round(GROWTH * (best + 1)) if losses[best] < plain else 0


def grow(
    head: Head, matrix: FeatureMatrix, days: Float, clock: Clock, y: Float, weight: Float, boosting: Boosting, count: int
) -> Head:
    """Return the head with `count` trees a seed, merged into one text."""
    import lightgbm

    data = _dataset(head, (matrix, days, clock, y, weight), boosting.settings)
    texts = []
    for seed in boosting.seeds:
        booster = lightgbm.train(boosting.settings.params(seed), data, num_boost_round=count)
        texts.append(str(booster.model_to_string(num_iteration=-1)))
    return replace(head, trees=Trees((*head.names, *HORIZON), merge(texts)))


def _dataset(head: Head, side: Side, settings: TreeSettings) -> lightgbm.Dataset:
    import lightgbm

    matrix, days, clock, y, weight = side
    told = pairs(head.names, matrix.values, clock.columns(days[:, None]))
    params = {"max_bin": 127, "feature_pre_filter": False, "verbosity": -1, "num_threads": settings.num_threads}
    return lightgbm.Dataset(
        told.values,
        y,
        weight=weight,
        init_score=head.logit(matrix, days[:, None], clock)[:, 0],
        feature_name=list(told.names),
        params=params,
        free_raw_data=False,
    )
