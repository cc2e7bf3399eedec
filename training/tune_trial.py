"""One trial of tuning: a setting of the trees, judged on periods that came after what it was fitted on.

A trial is fitted once per inner period on the rows told before it. With `tuning.rows: new` it is judged on rows of
deals that did not train (a deal's earlier rows share its features), from a week after the cut on. A deal that stands on
both sides leaves the judged side: to leave the training side, it would take with it rows that say "not won last
period", and no others. With `every` it is judged on all rows of the period, as a backtest judges.
How far the trees are trusted is one answer for all periods, found as a fit finds it (`models.rounds`): a period with a
shock of its own can't decide it. The offset of each period and the bins of its features are made once for all trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import TooLittleDataError
from configs.learning import Model
from configs.tuned import Member
from configs.vocab import JudgedRows, Offset, Target
from features.periods import DAY
from models.base import Bool, Examples, Float
from models.close import offset_logit
from models.linear import Linear, fit_linear
from models.penalty import best_penalty, path_losses
from models.rounds import Trial, Trust, trust
from models.tables import RateTable, fit_stage_time
from models.trees import ONE_THREAD, TreeSettings, dataset
from training.cuts import signs_of, tree_settings
from training.prepare import Prepared, trainable
from training.splits import Fold, created_folds, period_folds
from training.tune import Outcome

if TYPE_CHECKING:
    import lightgbm

EMBARGO = 7 * DAY
FEWEST_ROWS, FEWEST_WINS = 200, 10  # that trials are judged on, all periods together, and that each period trains on


@dataclass(frozen=True)
class TuneFold:
    """One inner period. train: told before its cut. every: its rows. new: those of deals that did not train, bool[n].

    judged: those that settings are judged on, bool[n].
    first: the period's first day (the day of the cut for an `eventual` head).
    """

    first: date
    cut: int
    train: Examples
    every: Examples
    new: Bool
    judged: Bool


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
    asked = prepared.config.tuning.rows
    training = [_tune_fold(rows, fold, asked) for fold in folds if _trains(rows, fold)]
    usable = [fold for k, fold in enumerate(training) if fold.judged.any() or k == len(training) - 1]
    y = np.concatenate([fold.every.y[fold.judged] for fold in usable[:-1]] or [np.zeros(0)])
    if len(usable) < 2 or len(y) < FEWEST_ROWS or not FEWEST_WINS <= y.sum() <= len(y) - FEWEST_WINS:
        raise TooLittleDataError(
            f"{max(len(usable) - 1, 0)} periods before the tests can judge settings, with {len(y):,} rows "
            f"(tuning.rows: {asked}) and {int(y.sum()):,} wins; expected at least 1, {FEWEST_ROWS} and {FEWEST_WINS}, "
            "and one period more to confirm; use a longer history, lower backtest.test_periods, or keep the default "
            "settings"
        )
    return usable


def _trains(rows: Examples, fold: Fold) -> bool:
    wins = rows.y[fold.train].sum()
    return int(fold.train.sum()) >= FEWEST_ROWS and FEWEST_WINS <= wins <= fold.train.sum() - FEWEST_WINS


def _tune_fold(rows: Examples, fold: Fold, asked: JudgedRows) -> TuneFold:
    train, every = rows.take(fold.train), rows.take(fold.test)
    new = ~np.isin(every.deal, train.deal) & (every.as_of >= fold.cut + EMBARGO)
    judged = new if asked == JudgedRows.NEW else np.ones(len(every), dtype=bool)
    return TuneFold(date.fromisoformat(fold.name), fold.cut, train, every, new, judged)


class Arena:
    """Everything that trials share: offsets and bins of the periods that settings are chosen on.

    The seed of the trees is the same for all.
    """

    def __init__(self, prepared: Prepared, folds: Sequence[TuneFold]) -> None:
        config = prepared.config
        self._model, self._seed, self._signs = config.model, config.seed, signs_of(prepared)
        self._level_free = config.target == Target.IN_PERIOD
        self._folds = tuple(folds)
        penalty = config.model.ridge_penalty
        if penalty is None:
            penalty = best_penalty([path_losses(f.train, f.every.take(f.judged), prepared.frame) for f in folds])
        self._ready = [_Ready.of(fold, prepared, self._settings(config.model), penalty) for fold in folds]

    def judge(self, member: Member) -> Outcome:
        """Fit a setting on every period and say how right it was."""
        settings = self._settings(member)
        trials = [ready.begin(settings, self._seed, self._level_free) for ready in self._ready]
        newer = [ready.newer.matrix for ready in self._ready]
        most, threads = self._model.max_rounds, self._model.num_threads
        found = trust(trials, newer, settings.learning_rate, most, threads)
        losses = [ready.losses(trial, found) for ready, trial in zip(self._ready, trials, strict=True)]
        judged = [each[fold.judged] for each, fold in zip(losses, self._folds, strict=True)]
        new = np.concatenate([each[fold.new] for each, fold in zip(losses, self._folds, strict=True)])
        return Outcome(
            float(np.concatenate(judged).mean()),
            float(new.mean()) if len(new) else float("nan"),
            float(np.concatenate(losses).mean()),
            tuple(float(each.mean()) for each in judged),
            found.rounds,
        )

    def _settings(self, told: Model | Member) -> TreeSettings:
        return tree_settings(told, self._model.num_threads, self._signs)


@dataclass(frozen=True)
class _Ready:
    """A period's offset and bins. offset: log-odds of every row, float64[n]; newer: the judged ones."""

    fold: TuneFold
    offset: Float
    newer: Examples
    data: lightgbm.Dataset

    @classmethod
    def of(cls, fold: TuneFold, prepared: Prepared, settings: TreeSettings, penalty: float) -> _Ready:
        if prepared.config.model.offset == Offset.RIDGE:
            model: Linear | RateTable = fit_linear(fold.train, prepared.frame, penalty)
        else:
            model = fit_stage_time(fold.train, prepared.frame)
        offset, newer = offset_logit(model, fold.every.matrix), fold.every.take(fold.judged)
        data = dataset(fold.train, offset_logit(model, fold.train.matrix), settings)
        return cls(fold, offset, newer, data)

    def begin(self, settings: TreeSettings, seed: int, level_free: bool) -> Trial:
        """Return a booster without trees, to be judged on the judged rows."""
        import lightgbm

        booster = lightgbm.Booster(settings.params(seed) | ONE_THREAD, self.data)
        deals = len(np.unique(self.newer.deal))
        return Trial(booster, self.newer.y, self.offset[self.fold.judged], deals, level_free)

    def losses(self, trial: Trial, found: Trust) -> Float:
        """Return the loss of every row with the trees that are trusted, float64[n]."""
        raw = self.offset + found.share * trial.logit(self.fold.every.matrix, found.rounds)
        return np.asarray(np.logaddexp(0.0, raw) - self.fold.every.y * raw, dtype=np.float64)
