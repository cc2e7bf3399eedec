"""Trees of the timing heads: boosted from a line over weighted (row, horizon) pairs, never falling with the horizon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
BINNING = {"max_bin": 127, "feature_pre_filter": False, "verbosity": -1, "num_threads": 1}
GROWTH = 1.15  # as the close model: the final fit has more rows than the inner one


@dataclass(frozen=True)
class Side:
    """Pairs to learn from or to judge by, p each: features of each pair's row, days, clock, outcome and weight."""

    matrix: FeatureMatrix
    days: Float
    clock: Clock
    y: Float
    weight: Float

    def offset(self, head: Head) -> Float:
        """Return the head's log-odds, float64[p]."""
        return head.logit(self.matrix, self.days[:, None], self.clock.columns(self.days[:, None]))[:, 0]

    def told(self) -> FeatureMatrix:
        """Return features and horizon columns."""
        return pairs(self.matrix.names, self.matrix.values, self.clock.columns(self.days[:, None]))


@dataclass(frozen=True)
class Boosting:
    """Settings of the trees, and the seeds that are averaged."""

    settings: TreeSettings
    seeds: tuple[int, ...]

    @property
    def workers(self) -> int:
        """Boosters that grow side by side; each on one thread, so that bits depend on no number of threads."""
        return self.settings.num_threads

    def params(self, seed: int) -> dict[str, object]:
        """Return LightGBM's parameters."""
        return self.settings.params(seed) | {"num_threads": 1}


def choose(heads: Sequence[Head], old: Sequence[Side], new: Sequence[Side], boosting: Sequence[Boosting]) -> list[int]:
    """Return each head's number of trees by weighted log loss on later pairs; 0 where none helps."""
    data = [_dataset(head, side) for head, side in zip(heads, old, strict=True)]
    tasks = [_choosing(*task) for task in zip(heads, data, new, boosting, strict=True)]
    with ThreadPoolExecutor(boosting[0].workers) as pool:
        return list(pool.map(lambda task: task(), tasks))


def _choosing(head: Head, data: lightgbm.Dataset, new: Side, boosting: Boosting) -> Callable[[], int]:
    import lightgbm

    offset = new.offset(head)
    watch = lightgbm.Dataset(
        new.told().values,
        new.y,
        weight=new.weight,
        init_score=offset,
        reference=data,
        params=BINNING,
        free_raw_data=False,
    ).construct()
    plain = float(np.average(np.logaddexp(0.0, offset) - new.y * offset, weights=new.weight))

    def run() -> int:
        record: dict[str, dict[str, list[float]]] = {}
        lightgbm.train(
            boosting.params(boosting.seeds[0]) | {"metric": "binary_logloss"},
            data,
            num_boost_round=MAX_ROUNDS,
            valid_sets=[watch],
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False), lightgbm.record_evaluation(record)],
        )
        losses = record["valid_0"]["binary_logloss"]
        best = int(np.argmin(losses))
        return round(GROWTH * (best + 1)) if losses[best] < plain else 0

    return run


def grow(
    heads: Sequence[Head], sides: Sequence[Side], boosting: Sequence[Boosting], counts: Sequence[int]
) -> list[Head]:
    """Return the heads with `counts` trees a seed, merged into one text each."""
    import lightgbm

    data = {k: _dataset(heads[k], sides[k]) for k, count in enumerate(counts) if count}
    tasks = [(k, seed) for k, own in enumerate(boosting) if counts[k] for seed in own.seeds]

    def run(task: tuple[int, int]) -> str:
        k, seed = task
        booster = lightgbm.train(boosting[k].params(seed), data[k], num_boost_round=counts[k])
        return str(booster.model_to_string(num_iteration=-1))

    with ThreadPoolExecutor(boosting[0].workers) as pool:
        texts = list(pool.map(run, tasks))
    out = []
    for k, head in enumerate(heads):
        own = [text for (of, _), text in zip(tasks, texts, strict=True) if of == k]
        out.append(replace(head, trees=Trees((*head.names, *HORIZON), merge(own))) if own else head)
    return out


def _dataset(head: Head, side: Side) -> lightgbm.Dataset:
    import lightgbm

    told = side.told()
    return lightgbm.Dataset(
        told.values,
        side.y,
        weight=side.weight,
        init_score=side.offset(head),
        feature_name=list(told.names),
        params=BINNING,
        free_raw_data=False,
    ).construct()
