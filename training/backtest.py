"""Backtest: fit as production would have at each cut, judge on what came later, beside every baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.errors import TooLittleDataError
from configs.schema import Config, Model
from configs.vocab import Target
from models.base import Examples, Float, Int, ProbabilityModel
from models.baselines import BASELINES, RIDGE, STAGE_TIME
from models.close import CloseModel, CloseSettings, FitNotes, Shared, fit_close
from models.linear import Linear
from models.trees import TreeSettings
from training.evaluate import DealBootstrap, Interval, Scores, row_loss, scores
from training.prepare import Prepared, trainable
from training.splits import Fold, cut_fold, inner_created_folds, inner_period_folds, period_folds

CLOSE = "close"
FEWEST_CLOSED = 80  # below this not even a ridge is honest; the cold-start ladder begins there

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Tested:
    """Test rows of all folds: p[name] float64[n] per model, y, deal, as_of, fold int64[n] into `folds`."""

    folds: tuple[Fold, ...]
    rows: Int
    y: Float
    deal: Int
    as_of: Int
    fold: Int
    p: dict[str, Float]
    notes: tuple[FitNotes, ...]

    def take(self, mask: NDArray[np.bool_]) -> Tested:
        """Return some of the test rows."""
        p = {name: values[mask] for name, values in self.p.items()}
        return Tested(
            self.folds, self.rows[mask], self.y[mask], self.deal[mask], self.as_of[mask], self.fold[mask], p, self.notes
        )


@dataclass(frozen=True)
class Comparison:
    """One model's scores and how much log loss the close model gains over it, with a deal-clustered interval."""

    name: str
    scores: Scores
    gain: Interval | None


def close_settings(model: Model, plan_signs: tuple[int, ...], seed: int) -> CloseSettings:
    """Translate the config's model section."""
    trees = TreeSettings(
        model.num_leaves,
        model.min_data_in_leaf,
        model.learning_rate,
        model.feature_fraction,
        model.bagging_fraction,
        model.lambda_l2,
        model.path_smooth,
        model.num_threads,
        plan_signs,
    )
    seeds = tuple(seed + k for k in range(model.seeds))
    return CloseSettings(trees, str(model.offset), str(model.calibrate), model.max_rounds, seeds)


def fit_at(prepared: Prepared, cut: int, shared: Shared | None = None) -> tuple[CloseModel, FitNotes, Examples]:
    """Fit the close model on every row told by `cut`; returns it, what was chosen, and the rows it trained on."""
    mask = trainable(prepared, cut)
    rows = prepared.examples.take(mask)
    closed = len(np.unique(rows.deal))
    if closed < FEWEST_CLOSED or not 0 < rows.y.sum() < len(rows):
        raise TooLittleDataError(
            f"{closed} deals with a told outcome and {int(rows.y.sum())} won rows before the cut: expected at least "
            f"{FEWEST_CLOSED} deals and both outcomes; train on a longer history"
        )
    if prepared.config.target == Target.IN_PERIOD:
        inner = inner_period_folds(prepared.calendar, rows, cut)
    else:
        inner = inner_created_folds(rows, prepared.created[mask])
    signs = tuple(feature.sign for feature in prepared.plan.features)
    settings = close_settings(prepared.config.model, signs, prepared.config.seed)
    # A cut names the rows told by it, so walks through the same rows need each cut's fits once.
    model, notes = fit_close(rows, prepared.frame, settings, inner, cut, shared)
    return model, notes, rows


def folds_of(prepared: Prepared) -> list[Fold]:
    """Return the test folds of the config."""
    config, rows = prepared.config, prepared.examples
    if config.target == Target.IN_PERIOD:
        return period_folds(prepared.calendar, rows.as_of, rows.label_end, prepared.until, config.backtest.test_periods)
    cut = _test_from(config, prepared)
    return [
        cut_fold(
            f"begun after {config.backtest.test_from or 'the newest quarter of deals'}",
            cut,
            prepared.created,
            rows.label_end,
            prepared.told_end,
            prepared.until,
        )
    ]


def _test_from(config: Config, prepared: Prepared) -> int:
    """The fixed cut: the config's, else the creation time of the newest quarter of the deals."""
    if config.backtest.test_from is not None:
        return round(config.backtest.test_from.timestamp() * 1_000_000)
    _, first = np.unique(prepared.examples.deal, return_index=True)
    return int(np.quantile(prepared.created[first], 0.75))


def run_backtest(prepared: Prepared, progress: Progress = lambda _: None, shared: Shared | None = None) -> Tested:
    """Refit at every fold's cut and predict its test rows with the close model and every baseline."""
    shared = shared or Shared()
    folds = folds_of(prepared)
    if not folds or not any(fold.test.any() for fold in folds):
        raise TooLittleDataError(
            "no test fold: expected at least one complete period after the first told rows; "
            "use a longer history, or set backtest"
        )
    parts: list[Tested] = []
    for k, fold in enumerate(folds):
        progress(
            f"fold {k + 1} of {len(folds)}: tests {fold.name}, "
            f"{int(fold.train.sum()):,} rows train, {int(fold.test.sum()):,} are tested"
        )
        model, notes, rows = fit_at(prepared, fold.cut, shared)
        test = prepared.examples.take(fold.test)
        fitted: dict[str, ProbabilityModel] = {CLOSE: model}
        if isinstance(model.offset, Linear):
            fitted[RIDGE] = model.offset  # the very ridge that is the baseline
        fitted |= {name: fit(rows, prepared.frame) for name, fit in BASELINES.items() if name not in fitted}
        p = {name: fitted[name].predict(test.matrix) for name in (CLOSE, *BASELINES)}
        at = np.flatnonzero(fold.test)
        parts.append(Tested((fold,), at, prepared.told_y[at], test.deal, test.as_of, np.full(len(at), k), p, (notes,)))
    return _stack(parts)


def _stack(parts: list[Tested]) -> Tested:
    return Tested(
        folds=tuple(fold for part in parts for fold in part.folds),
        rows=np.concatenate([part.rows for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        deal=np.concatenate([part.deal for part in parts]),
        as_of=np.concatenate([part.as_of for part in parts]),
        fold=np.concatenate([part.fold for part in parts]),
        p={name: np.concatenate([part.p[name] for part in parts]) for name in parts[0].p},
        notes=tuple(note for part in parts for note in part.notes),
    )


def compare(tested: Tested, draws: int, seed: int) -> list[Comparison]:
    """Score every model on the test rows; gains are paired and their intervals drawn over deals."""
    bootstrap = DealBootstrap.of(tested.deal, draws, seed)
    ours = row_loss(tested.y, tested.p[CLOSE])
    table = []
    for name, p in tested.p.items():
        gain = None if name == CLOSE else bootstrap.mean(row_loss(tested.y, p) - ours)
        table.append(Comparison(name, scores(tested.y, p, tested.deal), gain))
    return table


def skill(table: list[Comparison], over: str = STAGE_TIME) -> float:
    """Return by what share the close model's log loss lies below a baseline's."""
    loss = {row.name: row.scores.log_loss for row in table}
    return 1.0 - loss[CLOSE] / loss[over]
