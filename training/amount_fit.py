"""The fit of the amount model at a cut: on rows of deals that were won before it, each deal with the same weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import TooLittleDataError
from features.asof import Requests
from features.build import FeatureMatrix
from features.tables import NAT
from features.told import Told, told_at
from models.amount import CENTS, AmountModel, has_amount
from models.base import Bool, Float, Int
from models.trees import Trees, merge
from training.amount_usual import fit_usual
from training.labels import amounts_won
from training.prepare import Prepared

if TYPE_CHECKING:
    import lightgbm

FEWEST_WON = 5  # deals won with an amount, below which nothing is told
FEWEST_JUDGED = 5  # deals on the later side of an inner fold
STEP = 5  # trees between two looks at the later rows
GROWTH = 1.15  # the final fit has more rows than the inner ones, so it may have more trees
TAIL = 0.005  # share of the rows whose ratio, at either end, counts as the ratio at that quantile


@dataclass(frozen=True)
class AmountSettings:
    """How an amount model is fitted.

    fewest: won deals below which no tree is grown. prior: won deals that count for "amounts stay as they are" in the
    overall ratio. deals_in_leaf: sum of the hessian, which with one weight a deal is about a number of deals. Others
    are LightGBM's own.
    """

    fewest: int = 40
    prior: float = 20.0
    num_leaves: int = 4
    deals_in_leaf: float = 20.0
    learning_rate: float = 0.1
    max_rounds: int = 100
    inner_periods: int = 2
    seeds: tuple[int, ...] = (7, 8, 9)

    def params(self, seed: int) -> dict[str, object]:
        """Return the parameters of one deterministic fit on one thread."""
        return {
            "objective": "gamma",
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": 20,
            "min_sum_hessian_in_leaf": self.deals_in_leaf,
            "learning_rate": self.learning_rate,
            "feature_fraction": 0.6,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": 2.0,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            **_BINS,
        }


_BINS = {"max_bin": 127, "feature_pre_filter": False, "num_threads": 1, "verbosity": -1}


@dataclass(frozen=True)
class WonRows:
    """Rows of deals that were won later, n of each.

    actual: float64[n], amount on the winning row in currency, above 0. won_at, as_of: int64[n], UTC microseconds.
    deal: int64[n] codes. weight: float64[n], 1 / the number of the deal's rows: a deal that was looked at forty times
    counts once.
    """

    matrix: FeatureMatrix
    told: Told
    actual: Float
    won_at: Int
    as_of: Int
    deal: Int

    def __len__(self) -> int:
        return len(self.actual)

    @property
    def deals(self) -> int:
        """How many deals the rows are of."""
        return len(np.unique(self.deal))

    @property
    def weight(self) -> Float:
        """Each row's weight."""
        _, place, counts = np.unique(self.deal, return_inverse=True, return_counts=True)
        return 1.0 / counts[place]

    @property
    def current(self) -> Float:
        """The amount at the as-of in currency; only of rows that have one."""
        return self.told.amount_cents / CENTS

    def take(self, rows: Bool) -> WonRows:
        """Return some of the rows."""
        matrix = FeatureMatrix(self.matrix.names, self.matrix.values[rows])
        told, actual, deal = self.told.take(rows), self.actual[rows], self.deal[rows]
        return WonRows(matrix, told, actual, self.won_at[rows], self.as_of[rows], deal)


@dataclass(frozen=True)
class Judged:
    """An inner fold: its later rows and log ratios on them, float64[k, n]: without trees, then every `STEP` trees."""

    rows: WonRows
    raw: Float


def fit_amount(prepared: Prepared, cut: int) -> AmountModel:
    """Fit on deals won before `cut`; raises TooLittleDataError where too few of them had an amount."""
    settings = AmountSettings(seeds=tuple(prepared.config.seed + k for k in range(3)))
    starts = prepared.calendar.starts
    last = int(np.searchsorted(starts, cut, side="right")) - 1
    periods = [
        (int(starts[k]), min(int(starts[k + 1]), cut)) for k in range(max(last - settings.inner_periods, 0), last)
    ]
    return fit_rows(won_rows(prepared, cut), periods, prepared.frame.stage_count, settings)


def try_amount(prepared: Prepared, cut: int) -> tuple[AmountModel | None, str]:
    """Return (model, "") or (None, why there is none)."""
    try:
        return fit_amount(prepared, cut), ""
    except TooLittleDataError as error:
        return None, str(error)


def won_rows(prepared: Prepared, cut: int) -> WonRows:
    """Return every row whose deal was won before `cut`, with an amount above zero on the winning row."""
    examples = prepared.examples
    asked = Requests(examples.deal, examples.as_of)
    cents, won_at = amounts_won(prepared.record, asked)
    rows = np.flatnonzero((won_at != NAT) & (won_at < cut) & has_amount(cents))
    matrix = FeatureMatrix(examples.matrix.names, examples.matrix.values[rows])
    told = told_at(prepared.record, asked.take(rows))
    return WonRows(matrix, told, cents[rows] / CENTS, won_at[rows], examples.as_of[rows], examples.deal[rows])


def fit_rows(
    rows: WonRows, periods: Sequence[tuple[int, int]], stage_count: int, settings: AmountSettings
) -> AmountModel:
    """Fit on rows that are all known. periods: ``[start, end)`` in UTC microseconds, the later ones that judge.

    Raises TooLittleDataError.
    """
    if rows.deals < FEWEST_WON:
        raise TooLittleDataError(
            f"no amount model: {rows.deals} deals won before the cut with an amount, expected at least {FEWEST_WON}; "
            "train on a longer history"
        )
    usual = fit_usual(rows.matrix, rows.told, rows.actual, rows.weight, stage_count)
    started = rows.take(has_amount(rows.told.amount_cents))
    low, high = bounds(started)
    base = base_ratio(started, settings.prior)
    rounds = _best(_judge(started, periods, settings))
    trees = None
    if rounds and started.deals >= settings.fewest:
        texts = [_grow(started, base, settings, seed, round(GROWTH * rounds)) for seed in settings.seeds]
        trees = Trees(rows.matrix.names, merge(texts))
    return AmountModel(rows.matrix.names, usual, base, trees, low, high)


def bounds(rows: WonRows) -> tuple[float, float]:
    """Return the log ratios that a prediction may not leave: nearly the least and the most that was seen."""
    if not len(rows):
        return 0.0, 0.0
    low, high = np.quantile(np.log(rows.actual / rows.current), (TAIL, 1 - TAIL))
    return float(low), float(high)


def base_ratio(rows: WonRows, prior: float) -> float:
    """Return the log of sum of amounts at the close / sum of amounts now, shrunken towards 1 by `prior` deals.

    A ratio or an amount in the tail counts as the one at its edge, so that one slip of the keyboard moves nothing.
    """
    if not len(rows):
        return 0.0
    size = rows.weight * np.minimum(rows.current, np.quantile(rows.current, 1 - TAIL))
    unit = prior * size.sum() / rows.weight.sum()
    return float(np.log(((size * _ratio(rows)).sum() + unit) / (size.sum() + unit)))


def _ratio(rows: WonRows) -> Float:
    """Amount at the close / amount now, within the bounds."""
    ratio: Float = np.exp(np.clip(np.log(rows.actual / rows.current), *bounds(rows)))
    return ratio


def _judge(rows: WonRows, periods: Sequence[tuple[int, int]], settings: AmountSettings) -> list[Judged]:
    """Fit before each period with one seed, and see what more and more trees say of the rows in it."""
    judged = []
    for start, end in periods:
        old, new = rows.take(rows.won_at < start), rows.take((rows.as_of >= start) & (rows.as_of < end))
        if old.deals < FEWEST_WON or new.deals < FEWEST_JUDGED:
            continue
        base = base_ratio(old, settings.prior)
        steps = [np.full(len(new), base)]
        if old.deals >= settings.fewest:
            booster = _booster(old, base, settings, settings.seeds[0])
            for done in range(0, settings.max_rounds, STEP):
                for _ in range(STEP):
                    booster.update()
                more = booster.predict(
                    new.matrix.values, raw_score=True, start_iteration=done, num_iteration=STEP, num_threads=1
                )
                steps.append(steps[-1] + more)
        judged.append(Judged(new, np.clip(np.stack(steps), *bounds(old))))
    return judged


def _best(judged: Sequence[Judged]) -> int:
    """Return the number of trees with the least gamma deviance over all later rows.

    0 where they lower it by less than its own standard error over deals: what amounts do is often nothing but noise.
    """
    with_trees = [fold for fold in judged if len(fold.raw) > 1]
    if not with_trees:
        return 0
    curves = np.concatenate([_deviances(fold) for fold in with_trees], axis=1)
    best = int(np.argmin(curves.mean(axis=1)))
    gains = curves[0] - curves[best]
    return best * STEP if gains.mean() > gains.std() / np.sqrt(len(gains)) else 0


def _deviances(fold: Judged) -> Float:
    """Return the mean deviance of each deal, float64[k, d]."""
    share = _ratio(fold.rows) / np.exp(fold.raw)
    _, deal = np.unique(fold.rows.deal, return_inverse=True)
    rows = fold.rows.weight * (share - np.log(share) - 1.0)
    return np.stack([np.bincount(deal, weights=each) for each in rows])


def _booster(rows: WonRows, base: float, settings: AmountSettings, seed: int) -> lightgbm.Booster:
    """Return a booster without trees. It starts from the log of the current amount, which its predictions leave out."""
    import lightgbm

    data = lightgbm.Dataset(
        rows.matrix.values,
        rows.current * _ratio(rows),
        weight=rows.weight,
        init_score=np.log(rows.current) + base,
        feature_name=list(rows.matrix.names),
        params=_BINS,
        free_raw_data=False,
    )
    return lightgbm.Booster(settings.params(seed), data)


def _grow(rows: WonRows, base: float, settings: AmountSettings, seed: int, rounds: int) -> str:
    booster = _booster(rows, base, settings, seed)
    for _ in range(rounds):
        booster.update()
    return str(booster.model_to_string(num_iteration=-1))
