"""How right forecasts of a period's bookings are: point, interval and bias, with intervals over whole periods. Pure.

Every error is a sum over rows divided by the sum of what was booked, so that a row with nothing booked counts like any
other and no row is divided by its own actual. Rows of one period share its luck (and its shock), so periods are drawn,
not rows: with eight periods the intervals are rough, and with fewer than four they say little.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from models.base import Bool, Float, Int
from training.evaluate import DealBootstrap, Interval

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
MEDIAN = LEVELS.index(0.5)
BANDS = ((0.5, 2, 4), (0.8, 1, 5), (0.9, 0, 6))
"""Central intervals: what each should hold, and the places of its ends in `LEVELS`."""
SHOWN = BANDS[1]
NO_SHARE = Interval(*(float("nan"),) * 5)

Text = NDArray[np.str_]


@dataclass(frozen=True)
class Forecasts:
    """n forecasts of whole periods' bookings, each as of a week of the period. Money in currency.

    period, week: int64[n], index in the fiscal calendar (of several companies: a code that tells them apart), and the
    week, 1 the first. level: company, team or rep; node: which one; text[n]. actual: float64[n], what the period
    booked. mean: float64[n]. quantiles: float64[n, 7] at `LEVELS`, not decreasing. A row whose mean or quantiles hold a
    NaN is one that could not be told. Raises ValueError where lengths differ, or quantiles decrease.
    """

    period: Int
    week: Int
    level: Text
    node: Text
    actual: Float
    mean: Float
    quantiles: Float

    def __post_init__(self) -> None:
        lengths = {column.name: len(getattr(self, column.name)) for column in fields(self)}
        if len(set(lengths.values())) != 1 or self.quantiles.shape[1:] != (len(LEVELS),):
            raise ValueError(f"columns of equal length and {len(LEVELS)} quantiles expected, got {lengths}")
        if (np.diff(self.quantiles, axis=1) < 0).any():
            raise ValueError("quantiles decrease within a row")

    def __len__(self) -> int:
        return len(self.period)

    def take(self, rows: Int | Bool) -> Forecasts:
        """Return some of the rows."""
        return Forecasts(*(getattr(self, column.name)[rows] for column in fields(self)))

    @property
    def told(self) -> Bool:
        """Rows that could be told, bool[n]."""
        found: Bool = ~(np.isnan(self.mean) | np.isnan(self.quantiles).any(axis=1))
        return found

    @property
    def median(self) -> Float:
        """The point forecast, float64[n]: the median errs least in absolute terms."""
        return np.asarray(self.quantiles[:, MEDIAN])

    def keys(self) -> Text:
        """What each row is about, text[n]."""
        parts = zip(self.period.tolist(), self.week.tolist(), self.level.tolist(), self.node.tolist(), strict=True)
        return np.array([f"{period}\t{week}\t{level}\t{node}" for period, week, level, node in parts], dtype=np.str_)


def joined(parts: Iterable[Forecasts]) -> Forecasts:
    """Concatenate forecasts, at least one."""
    rows = list(parts)
    return Forecasts(*(np.concatenate([getattr(part, column.name) for part in rows]) for column in fields(Forecasts)))


@dataclass(frozen=True)
class BookingsScores:
    """Scores of rows pooled, each with its 95 % interval over whole periods; NaN where nothing was booked in all.

    level, week: of the rows; "" and 0 where they are of several. mae, mae_of_mean: sum |error| / sum actual, of the
    median and of the mean. bias: sum (median - actual) / sum actual. wis: weighted interval score / mean actual, over
    the bands of 50, 80 and 90 %. pinball: mean over levels and rows / mean actual. coverage: share of actuals within
    the 80 % band, ends included. width: mean width of that band / mean actual.
    """

    level: str
    week: int
    rows: int
    periods: int
    mae: Interval
    mae_of_mean: Interval
    bias: Interval
    wis: Interval
    pinball: Interval
    coverage: Interval
    width: Interval


@dataclass(frozen=True)
class Less:
    """By what share of another forecast's error and weighted interval score ours are lower, on the rows both tell."""

    rows: int
    periods: int
    error: Interval
    wis: Interval


def interval_score(actual: Float, low: Float, high: Float, alpha: float) -> Float:
    """Return the interval score of central (1 - alpha) intervals, float64[n].

    ``IS = (u - l) + 2/alpha (l - y)+ + 2/alpha (y - u)+`` (Gneiting and Raftery 2007).
    """
    miss = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
    return np.asarray((high - low) + 2 / alpha * miss)


def weighted_interval_score(actual: Float, quantiles: Float) -> Float:
    """Return the weighted interval score of each row over the three `BANDS`, float64[n], in the unit of actual.

    ``WIS = 1/(K + 1/2) (1/2 |y - m| + sum_k alpha_k/2 IS_k)``, K = 3 (Bracher et al. 2021, which shows that it is
    twice the mean pinball loss over the 2K + 1 quantiles, and tends to the CRPS as they grow dense). quantiles:
    float64[n, 7].
    """
    total = np.abs(actual - quantiles[:, MEDIAN]) / 2
    for share, low, high in BANDS:
        alpha = 1 - share
        total = total + alpha / 2 * interval_score(actual, quantiles[:, low], quantiles[:, high], alpha)
    return np.asarray(total / (len(BANDS) + 0.5))


def pinball(actual: Float, quantiles: Float) -> Float:
    """Return each row's pinball loss, mean over `LEVELS`: ``max(t (y - q), (t - 1)(y - q))``, float64[n]."""
    level = np.array(LEVELS)
    off = actual[:, None] - quantiles
    return np.asarray(np.maximum(level * off, (level - 1) * off).mean(axis=1))


def score(rows: Forecasts, draws: int, seed: int) -> BookingsScores:
    """Score rows pooled. draws: of whole periods. Raises ValueError for no rows, or where one could not be told."""
    if not len(rows) or not rows.told.all():
        raise ValueError(f"{int(rows.told.sum())} of {len(rows)} rows can be scored: take those that are told")
    boot = DealBootstrap.of(rows.period, draws, seed)
    actual, low, high = rows.actual, rows.quantiles[:, SHOWN[1]], rows.quantiles[:, SHOWN[2]]

    def share(top: Float) -> Interval:
        return boot.ratio(top, actual) if actual.sum() > 0 else NO_SHARE

    levels, weeks = np.unique(rows.level), np.unique(rows.week)
    return BookingsScores(
        level=str(levels[0]) if len(levels) == 1 else "",
        week=int(weeks[0]) if len(weeks) == 1 else 0,
        rows=len(rows),
        periods=len(np.unique(rows.period)),
        mae=share(np.abs(rows.median - actual)),
        mae_of_mean=share(np.abs(rows.mean - actual)),
        bias=share(rows.median - actual),
        wis=share(weighted_interval_score(actual, rows.quantiles)),
        pinball=share(pinball(actual, rows.quantiles)),
        coverage=boot.mean(((actual >= low) & (actual <= high)).astype(np.float64)),
        width=share(high - low),
    )


def score_each(rows: Forecasts, draws: int, seed: int) -> list[BookingsScores]:
    """Score the told rows by (level, week): company before team before rep, weeks in order."""
    told = rows.take(rows.told)
    order = {name: k for k, name in enumerate(("company", "team", "rep"))}
    pairs = {(str(level), int(week)) for level, week in zip(told.level, told.week, strict=True)}
    return [
        score(told.take((told.level == level) & (told.week == week)), draws, seed)
        for level, week in sorted(pairs, key=lambda pair: (order.get(pair[0], len(order)), *pair))
    ]


def less_error(ours: Forecasts, other: Forecasts, draws: int, seed: int) -> Less:
    """Return by what share our errors lie below another forecast's, on the rows that both tell, in any order.

    Raises ValueError where no row is told by both, or where the two disagree about what was booked.
    """
    mine, theirs = ours.take(ours.told), other.take(other.told)
    _, left, right = np.intersect1d(mine.keys(), theirs.keys(), return_indices=True)
    mine, theirs = mine.take(left), theirs.take(right)
    if not len(mine):
        raise ValueError("no row is told by both forecasts")
    if not np.allclose(mine.actual, theirs.actual, rtol=1e-9, atol=0.005):
        raise ValueError("the two forecasts disagree about what was booked")
    boot = DealBootstrap.of(mine.period, draws, seed)
    actual = mine.actual
    error = boot.skill(np.abs(mine.median - actual), np.abs(theirs.median - actual))
    wis = boot.skill(weighted_interval_score(actual, mine.quantiles), weighted_interval_score(actual, theirs.quantiles))
    return Less(len(mine), len(np.unique(mine.period)), error, wis)
