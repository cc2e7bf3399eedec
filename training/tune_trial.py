"""One trial of tuning: a setting of the trees, judged on periods that came after what it was fitted on.

A trial is fitted once per inner period on the rows told before it. It is judged on rows of deals that did not train
(a deal's earlier rows share its features), from a week after the cut on. A deal that stands on both sides leaves the
judged side: to leave the training side, it would take with it rows that say "not won last period", and no others.
One number of trees serves all periods, where the loss summed over them is lowest: a period with a shock of its own
can't choose it alone. The offset of each period and the bins of its features are made once for all trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import TooLittleDataError
from configs.vocab import Target
from features.periods import DAY
from models.base import Bool, Examples, Float
from models.close import CloseModel, offset_logit
from models.linear import fit_linear
from models.tables import fit_stage_time
from models.trees import TreeSettings
from training.prepare import Prepared, trainable
from training.splits import Fold, created_folds, period_folds

if TYPE_CHECKING:
    import lightgbm

EMBARGO = 7 * DAY
PATIENCE = 60  # trees without a new lowest summed loss that end a trial, as in a fit
TURN = 20  # trees that every period's fit grows before the summed loss is looked at
FEWEST_ROWS, FEWEST_WINS = 200, 10  # that trials are judged on, all periods together, and that each period trains on


@dataclass(frozen=True)
class TuneFold:
    """One inner period. train: told before its cut. judge: its rows. fresh: those of deals that did not train.

    first: the period's first day (the day of the cut for an `eventual` head).
    """

    first: date
    cut: int
    train: Examples
    judge: Examples
    fresh: Bool


@dataclass(frozen=True)
class Outcome:
    """What a trial showed. loss: mean over all fresh rows, nats; fold_losses: by period; loss_all: over every row."""

    loss: float
    loss_all: float
    fold_losses: tuple[float, ...]
    rounds: int


def tune_folds(prepared: Prepared, periods: int) -> list[TuneFold]:
    """Return the last `periods` + 1 inner periods told before the end of what was prepared, oldest first.

    The newest is for confirming. Raises TooLittleDataError where a period can't train or all together can't judge.
    """
    mask = trainable(prepared, prepared.until)
    rows = prepared.examples.take(mask)
    if prepared.config.target == Target.IN_PERIOD:
        folds = period_folds(prepared.calendar, rows.as_of, rows.label_end, prepared.until, periods + 1)
    else:
        folds = created_folds(rows.label_end, prepared.created[mask], periods + 1)
    usable = [_tune_fold(rows, fold) for fold in folds if _trains(rows, fold)]
    fresh = np.concatenate([fold.judge.y[fold.fresh] for fold in usable[:-1]] or [np.zeros(0)])
    if len(usable) < 2 or len(fresh) < FEWEST_ROWS or not FEWEST_WINS <= fresh.sum() <= len(fresh) - FEWEST_WINS:
        raise TooLittleDataError(
            f"{max(len(usable) - 1, 0)} periods before the tests can judge settings, with {len(fresh):,} rows of new "
            f"deals and {int(fresh.sum()):,} wins; expected at least 1, {FEWEST_ROWS} and {FEWEST_WINS}, and one period "
            "more to confirm; use a longer history, lower backtest.test_periods, or keep the default settings"
        )
    return usable


def _trains(rows: Examples, fold: Fold) -> bool:
    wins = rows.y[fold.train].sum()
    return int(fold.train.sum()) >= FEWEST_ROWS and FEWEST_WINS <= wins <= fold.train.sum() - FEWEST_WINS


def _tune_fold(rows: Examples, fold: Fold) -> TuneFold:
    train, judge = rows.take(fold.train), rows.take(fold.test)
    fresh = ~np.isin(judge.deal, train.deal) & (judge.as_of >= fold.cut + EMBARGO)
    return TuneFold(date.fromisoformat(fold.name), fold.cut, train, judge, fresh)


class Arena:
    """Everything that trials share: offsets and bins of the periods that settings are chosen on.

    seed: of every trial's trees, the same for all. threads: periods that grow side by side, each on one thread, so that
    no result depends on it.
    """

    def __init__(
        self, prepared: Prepared, folds: Sequence[TuneFold], max_rounds: int, seed: int, threads: int
    ) -> None:
        self.folds, self.max_rounds, self.seed, self.threads = tuple(folds), max_rounds, seed, threads
        model = prepared.config.model
        fit = fit_linear if str(model.offset) == "ridge" else fit_stage_time
        self._ready = [_Ready.of(fold, CloseModel(prepared.plan.names, fit(fold.train, prepared.frame), None)) for fold in folds]

    def judge(self, settings: TreeSettings) -> Outcome:
        """Fit a setting on every period and say how right it was."""
        boosters = [ready.booster(settings, self.seed) for ready in self._ready]
        curves = [[ready.offset_loss] for ready in self._ready]
        size = np.array([fold.fresh.sum() for fold in self.folds], dtype=np.float64)
        with ThreadPoolExecutor(self.threads) as pool:
            while True:
                list(pool.map(_grow, boosters, curves))
                table = np.array(curves)  # [periods, 1 + trees so far]
                total = size @ table / size.sum()
                rounds, grown = int(np.argmin(total)), len(total) - 1
                if grown >= self.max_rounds or grown - rounds >= PATIENCE:
                    break
        rounds = int(np.argmin(total[: self.max_rounds + 1]))
        every = [ready.losses(booster, rounds) for ready, booster in zip(self._ready, boosters, strict=True)]
        return Outcome(
            float(total[rounds]), float(np.concatenate(every).mean()), tuple(table[:, rounds].tolist()), rounds
        )


@dataclass(frozen=True)
class _Ready:
    """A period's bins. offset: log-odds of its judged rows, float64[n]; offset_loss: of the fresh ones, no tree yet."""

    fold: TuneFold
    data: lightgbm.Dataset
    watched: lightgbm.Dataset
    offset: Float
    offset_loss: float

    @classmethod
    def of(cls, fold: TuneFold, bare: CloseModel) -> _Ready:
        import lightgbm

        offset = offset_logit(bare.offset, fold.judge.matrix)
        fixed = {"max_bin": 127, "feature_pre_filter": False, "verbosity": -1, "num_threads": 1}
        data = lightgbm.Dataset(
            fold.train.matrix.values,
            fold.train.y,
            init_score=offset_logit(bare.offset, fold.train.matrix),
            params=fixed,
            free_raw_data=False,
        )
        judge, fresh = fold.judge, fold.fresh
        watched = lightgbm.Dataset(
            judge.matrix.values[fresh], judge.y[fresh], init_score=offset[fresh], reference=data, free_raw_data=False
        )
        return cls(fold, data, watched, offset, float(_losses(judge.y[fresh], offset[fresh]).mean()))

    def booster(self, settings: TreeSettings, seed: int) -> lightgbm.Booster:
        """Return a booster without trees that watches the fresh rows."""
        import lightgbm

        made = lightgbm.Booster(settings.params(seed) | {"num_threads": 1, "metric": "binary_logloss"}, self.data)
        return made.add_valid(self.watched, "fresh")

    def losses(self, booster: lightgbm.Booster, rounds: int) -> Float:
        """Return the loss of every judged row with `rounds` trees, float64[n]."""
        raw = self.offset
        if rounds:
            matrix = self.fold.judge.matrix.values
            raw = raw + np.asarray(booster.predict(matrix, raw_score=True, num_iteration=rounds, num_threads=1))
        return _losses(self.fold.judge.y, raw)


def _grow(booster: lightgbm.Booster, curve: list[float]) -> None:
    """Add trees and note the loss after each."""
    for _ in range(TURN):
        booster.update()
        curve.append(float(booster.eval_valid()[0][2]))


def _losses(y: Float, raw: Float) -> Float:
    return np.asarray(np.logaddexp(0.0, raw) - y * raw, dtype=np.float64)
