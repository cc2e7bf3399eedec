"""Backtest: fit as production would have at each cut, judge on what came later, beside every baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.errors import TooLittleDataError
from configs.schema import Config
from configs.vocab import Target
from models.base import Fit, Float, Int, ProbabilityModel
from models.baselines import BASELINES, RIDGE, STAGE_TIME
from models.close import CloseModel, FitNotes, Shared
from models.linear import Linear
from training.cuts import fit_on, ground_at
from training.evaluate import DealBootstrap, Interval, Scores, row_loss, scores
from training.prepare import Prepared
from training.rep_id import NAMES, ONE_SEED, predict_references, rep_ids
from training.splits import Fold, cut_fold, period_folds

CLOSE = "close"
REFERENCES = {ONE_SEED: CLOSE, **dict.fromkeys(NAMES.values(), ONE_SEED)}
"""Rows of the table that nobody ships, each with the row whose gain over it is told; no gate asks about them."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Tested:
    """Test rows of all folds: p[name] float64[n] per model, y, deal, as_of, fold int64[n] into `folds`.

    newest: the close model of the last fold.
    """

    folds: tuple[Fold, ...]
    rows: Int
    y: Float
    deal: Int
    as_of: Int
    fold: Int
    p: dict[str, Float]
    notes: tuple[FitNotes, ...]
    newest: CloseModel | None = None

    def take(self, mask: NDArray[np.bool_]) -> Tested:
        """Return some of the test rows."""
        p = {name: values[mask] for name, values in self.p.items()}
        rows, deal, as_of, fold = (part[mask] for part in (self.rows, self.deal, self.as_of, self.fold))
        return Tested(self.folds, rows, self.y[mask], deal, as_of, fold, p, self.notes, self.newest)


@dataclass(frozen=True)
class Comparison:
    """One model's scores and how much log loss `against` gains over it, with a deal-clustered interval.

    against: the close model; for a reference, the model that is fitted as the reference is.
    """

    name: str
    scores: Scores
    gain: Interval | None
    against: str = CLOSE
    reference: bool = False


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


def run_backtest(
    prepared: Prepared,
    progress: Progress = lambda _: None,
    shared: Shared | None = None,
    baselines: Mapping[str, Fit] = BASELINES,
) -> Tested:
    """Refit at every fold's cut and predict its test rows with the close model, every baseline and every reference."""
    shared = shared or Shared()
    folds = folds_of(prepared)
    if not folds or not any(fold.test.any() for fold in folds):
        raise TooLittleDataError(
            "no test fold: expected at least one complete period after the first told rows; "
            "use a longer history, or set backtest"
        )
    ids = rep_ids(prepared, shared)
    parts: list[Tested] = []
    for k, fold in enumerate(folds):
        progress(
            f"fold {k + 1} of {len(folds)}: tests {fold.name}, "
            f"{int(fold.train.sum()):,} rows train, {int(fold.test.sum()):,} are tested"
        )
        ground = ground_at(prepared, fold.cut)
        model, notes = fit_on(prepared, ground, shared)
        test = prepared.examples.take(fold.test)
        fitted: dict[str, ProbabilityModel] = {CLOSE: model}
        if RIDGE in baselines and isinstance(model.offset, Linear):
            fitted[RIDGE] = model.offset  # the very ridge that is the baseline
        fitted |= {name: fit(ground.rows, prepared.frame) for name, fit in baselines.items() if name not in fitted}
        p = {name: fitted[name].predict(test.matrix) for name in (CLOSE, *baselines)}
        if ids is not None:
            p |= predict_references(prepared, ground, model, ids, fold.test)
        at = np.flatnonzero(fold.test)
        number = np.full(len(at), k)
        parts.append(Tested((fold,), at, prepared.told_y[at], test.deal, test.as_of, number, p, (notes,), model))
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
        newest=parts[-1].newest,
    )


def compare(tested: Tested, draws: int, seed: int) -> list[Comparison]:
    """Score every model on the test rows; gains are paired and their intervals drawn over deals."""
    bootstrap = DealBootstrap.of(tested.deal, draws, seed)
    loss = {name: row_loss(tested.y, p) for name, p in tested.p.items()}
    table = []
    for name, p in tested.p.items():
        against = REFERENCES.get(name, CLOSE)
        gain = None if name == CLOSE else bootstrap.mean(loss[name] - loss[against])
        table.append(Comparison(name, scores(tested.y, p, tested.deal), gain, against, name in REFERENCES))
    return table


def skill(table: list[Comparison], over: str = STAGE_TIME) -> float:
    """Return by what share the close model's log loss lies below a baseline's."""
    loss = {row.name: row.scores.log_loss for row in table}
    return 1.0 - loss[CLOSE] / loss[over]
