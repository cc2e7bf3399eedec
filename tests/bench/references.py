"""References that never ship: tuned CatBoost, and the frequency naive Bayes that Odoo documents.

CatBoost gets the very rows and features of the close model, and chooses depth, L2 and the number of trees on a part of
the training rows that is newer than the rest. Naive Bayes is Odoo's predictive lead scoring as its documentation tells
it: for each field, how often each value stood on won and on lost deals, each count begun at 0.1; the stage counted for
every stage that a deal had reached (a won deal has reached them all); fields taken to be independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.asof import Requests
from features.build import FeatureMatrix
from features.tables import NAT
from models.base import CLIP, Bool, Examples, Float, Frame, Int
from training.backtest import Tested
from training.labels import outcomes
from training.prepare import Prepared

START = 0.1  # of every frequency
SURE = 0.0001  # Odoo shows nothing below 0.01 % or above 99.99 %
GRID = ((4, 3.0), (4, 10.0), (6, 3.0), (6, 10.0))  # depth, L2
MOST_TREES, PATIENCE, RATE, GROWTH = 800, 50, 0.05, 1.15
NEWER = 0.85  # of the training rows by as-of; the rest decides
SEED = 7
LIFT_FOLDS = 5


@dataclass(frozen=True)
class FrequencyBayes:
    """won[f], lost[f]: float64 frequencies by value of field f, the last one of a value not seen.

    prior: won and lost deals. stages: the same by stage, None where there are none.
    """

    won: tuple[Float, ...]
    lost: tuple[Float, ...]
    prior: tuple[float, float]
    stages: tuple[Float, Float] | None

    def predict(self, values: Int, stage: Int | None = None) -> Float:
        """P(won in the end), float64[n]; values: int64[n, fields], -1 or unseen: the field is left out."""
        total = (self.prior[0], self.prior[1])
        log = [np.full(len(values), np.log(part)) for part in total]
        for f, counts in enumerate(zip(self.won, self.lost, strict=True)):
            known = (values[:, f] >= 0) & (values[:, f] < len(counts[0]))
            code = np.where(known, values[:, f], 0)
            for side in (0, 1):
                log[side] += np.where(known, np.log(counts[side][code] / total[side]), 0.0)
        if self.stages is not None and stage is not None:
            for side in (0, 1):
                log[side] += np.log(self.stages[side][stage] / total[side])
        p = 1.0 / (1.0 + np.exp(np.clip(log[1] - log[0], -500, 500)))
        return np.clip(p, SURE, 1 - SURE)


def fit_frequencies(values: Int, won: Bool, reached: Int | None = None, stages: int = 0) -> FrequencyBayes:
    """Fit on closed deals. values: int64[n, fields], -1 missing. reached: last open stage of each deal."""
    y = won.astype(np.float64)
    width = [int(column.max(initial=-1)) + 1 for column in values.T]
    sides = []
    for weight in (y, 1.0 - y):
        sides.append(
            tuple(
                START + np.bincount(column[column >= 0], weight[column >= 0], size)
                for column, size in zip(values.T, width, strict=True)
            )
        )
    by_stage = None
    if reached is not None:
        last = np.where(won, stages - 1, reached)
        up_to = np.arange(stages) <= last[:, None]
        by_stage = (START + (up_to * y[:, None]).sum(axis=0), START + (up_to * (1 - y)[:, None]).sum(axis=0))
    return FrequencyBayes(sides[0], sides[1], (float(y.sum()) + START, float((1 - y).sum()) + START), by_stage)


@dataclass(frozen=True)
class CatBoost:
    """A fitted classifier and what it chose: (depth, L2, trees)."""

    model: Any
    chosen: tuple[int, float, int]

    def predict(self, matrix: FeatureMatrix) -> Float:
        """P(won within the label window), float64[n]."""
        return np.clip(self.model.predict_proba(matrix.values)[:, 1], CLIP, 1 - CLIP)


def fit_catboost(examples: Examples, frame: Frame) -> CatBoost:
    """Tune on the newer training rows, then fit on all; frame is not looked at."""
    cut = np.quantile(examples.as_of, NEWER)
    told, before = examples.label_end <= cut, examples.as_of < cut
    # Long label windows leave too little that was told by then; the reference may then learn from what came later.
    old, new = examples.take(told if told.sum() > before.sum() / 2 else before), examples.take(~before)
    tried = [_tried(old, new, depth, penalty) for depth, penalty in GRID]
    _, trees, depth, penalty = min(tried)
    model = _classifier(depth, penalty, max(round(GROWTH * trees), 1))
    model.fit(examples.matrix.values, examples.y)
    return CatBoost(model, (depth, penalty, trees))


def _tried(old: Examples, new: Examples, depth: int, penalty: float) -> tuple[float, int, int, float]:
    """(log loss on the newer rows, trees, depth, L2) at the best number of trees."""
    model = _classifier(depth, penalty, MOST_TREES)
    model.fit(
        old.matrix.values,
        old.y,
        eval_set=(new.matrix.values, new.y),
        early_stopping_rounds=PATIENCE,
        use_best_model=True,
    )
    return model.get_best_score()["validation"]["Logloss"], model.get_best_iteration() + 1, depth, penalty


def _classifier(depth: int, penalty: float, trees: int) -> Any:
    from catboost import CatBoostClassifier  # installed by `make bench` alone

    return CatBoostClassifier(
        iterations=trees,
        depth=depth,
        l2_leaf_reg=penalty,
        learning_rate=RATE,
        loss_function="Logloss",
        random_seed=SEED,
        thread_count=2,
        verbose=False,
        allow_writing_files=False,
    )


def out_of_fold_lift(value: Sequence[str | None], y: Float, train: Bool, weight: float = 20.0) -> Float:
    """float64[n]: log-odds of a category's shrunken rate over the overall one. Missing is a category too.

    A training row's rate comes from the other folds of the training rows, so it never holds its own outcome; any other
    row's comes from all training rows, so its outcome is never looked at.
    """
    names = [text if text is not None else "" for text in value]
    _, code = np.unique(np.array(names, dtype=str), return_inverse=True)
    size = int(code.max(initial=0)) + 1
    fold = np.where(train, np.random.default_rng(SEED).integers(0, LIFT_FOLDS, len(y)), LIFT_FOLDS)
    out = np.zeros(len(y))
    for k in range(LIFT_FOLDS + 1):
        mine, others = fold == k, train & (fold != k)
        rate = (y[others].sum() + 1.0) / (others.sum() + 2.0)
        won, rows = np.bincount(code[others], y[others], size), np.bincount(code[others], minlength=size)
        shrunken = (won + weight * rate) / (rows + weight)
        lift = np.log(shrunken / (1 - shrunken)) - np.log(rate / (1 - rate))
        out[mine] = lift[code[mine]]
    return out


def odoo_probability(prepared: Prepared, tested: Tested) -> Float:
    """What the frequency naive Bayes says of the test rows of a backtest: P(won in the end), float64[n].

    Fitted at each fold's cut on the deals closed before it: their categories fixed at creation, and the last open stage
    that a snapshot shows.
    """
    record, rows = prepared.record, prepared.examples
    fields = [
        np.asarray(record.deals.columns[name], dtype=np.int64) for name in prepared.plan.context.schema.dimensions
    ]
    values = (
        np.stack([column[rows.deal] for column in fields], axis=1) if fields else np.zeros((len(rows), 0), np.int64)
    )
    stage = np.nan_to_num(rows.matrix.column("stage_rank"), nan=0.0).astype(np.int64)
    stage = np.clip(stage, 0, prepared.frame.stage_count - 1)
    came = outcomes(record, Requests(rows.deal, rows.as_of))
    out = np.zeros(len(tested.y))
    for k, fold in enumerate(tested.folds):
        told = (came.closed_at != NAT) & (came.closed_at < fold.cut) & ~came.merged
        at = np.flatnonzero(told)
        order = at[np.lexsort([rows.as_of[at], rows.deal[at]])]
        last = order[np.append(rows.deal[order][1:] != rows.deal[order][:-1], True)]
        model = fit_frequencies(values[last], came.won[last], stage[last], prepared.frame.stage_count)
        asked = tested.rows[tested.fold == k]
        out[tested.fold == k] = model.predict(values[asked], stage[asked])
    return out
