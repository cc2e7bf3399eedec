"""Baselines of bookings as whole forecasts: each with an interval by one recipe, and which of them to be held against.

**Interval.** A baseline's past errors |actual - said|, at the look's week and its neighbours, of the last `RECENT`
periods that were over by then, of nodes of the same level, each divided by the larger of what was said and the node's
usual period (so that a forecast of 0 has an error too). A central band of confidence c reaches as far as the
``ceil(k (n + 1) c / n)``-th of the k errors: the split-conformal rule, where n counts periods, since rows of one period
are not independent. It needs ``n >= c / (1 - c)`` periods, 4 for 80 %, 9 for 90 %; with fewer, the largest error is
widened by the ratio of normal quantiles at c and at ``n / (n + 1)``, all that n periods can bear. A baseline without a
past error of its own takes those of `FALLBACK`. No quantile lies below what is booked. The mean is taken to be the
point: the recipe knows no skew.

**Comparator.** `best_before` names the baseline with the least pooled error on earlier periods. A baseline chosen on
the period it is then compared on would be a bar that nobody could have known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist

import numpy as np

from models.base import Float, Int
from training.bookings_baselines import Points, points
from training.bookings_past import CENTS, RECENT, Nodes, Past
from training.bookings_scores import BANDS, LEVELS, MEDIAN, Forecasts, joined

FALLBACK = "pickup"
ROUNDING = 1e-9
NEIGHBOURS = 1  # looks of a period before and after that share their errors


@dataclass(frozen=True)
class Missed:
    """Past errors of one baseline: a row per (period, week, node). size: float64[k], |error| over its measure.

    period: int64[k]. turn: int64[k], place of the week among the weeks looked at. level: text[k].
    """

    period: Int
    turn: Int
    level: np.ndarray
    size: Float

    def near(self, level: str, turn: int, before: int) -> tuple[int, Float]:
        """Return (periods, errors in order) of a level, of the last periods before, at a week and its neighbours."""
        recent = (self.period < before) & (self.period >= before - RECENT)
        rows = recent & (self.level == level) & (np.abs(self.turn - turn) <= NEIGHBOURS)
        return len(np.unique(self.period[rows])), np.sort(self.size[rows])


def reach(errors: Float, periods: int, confidence: float) -> float:
    """Return how far a central band reaches, in the measure of the errors (float64[k], sorted); NaN without any.

    periods: how many the errors are of. See the module's docstring.
    """
    if not len(errors):
        return float("nan")
    share = (periods + 1) * confidence / periods
    if share <= 1 + ROUNDING:
        return float(errors[ceil(share * len(errors) - ROUNDING * len(errors)) - 1])
    bearable = periods / (periods + 1)
    normal = NormalDist()
    return float(errors[-1]) * normal.inv_cdf((1 + confidence) / 2) / normal.inv_cdf((1 + bearable) / 2)


def forecasts(past: Past) -> dict[str, Forecasts]:
    """Return what every baseline says of every look, with intervals; a row per (look, node that is here).

    Each look is forecast from what was known strictly before it. Actuals are those of all of `past.wins`: looks of a
    period that was not over when the record ended must not be handed in. Rows stand in the order of (period, week,
    node), alike for every baseline. Raises ValueError for no looks, or two of the same period and week.
    """
    looks = sorted(past.looks, key=lambda look: (look.period, look.week))
    if not looks or len({(look.period, look.week) for look in looks}) < len(looks):
        raise ValueError("at least one look is needed, and one per period and week")
    told = [points(look, past) for look in looks]
    actual = [past.total(look.period) for look in looks]
    turns = {week: turn for turn, week in enumerate(sorted({look.week for look in looks}))}
    missed = {name: _missed(name, told, actual, past.nodes, turns) for name in told[0].said}
    return {
        name: joined(
            _rows(name, each, came, past.nodes, missed, turns) for each, came in zip(told, actual, strict=True)
        )
        for name in missed
    }


def best_before(
    candidates: Mapping[str, Forecasts], period: int, level: str = "company", week: int | None = None
) -> str | None:
    """Return the baseline with the least sum |error| / sum actual on earlier periods of a level, None if none can tell.

    week: of that week alone; None: of all weeks. A candidate must tell as many rows of the tested period as any does
    (reps' calls tell nothing of week 1), and an earlier row; all are then compared on the earlier rows that all of them
    tell. The first wins a tie. Nothing of the tested period or of later ones is read but which rows are told.
    """
    rows = next(iter(candidates.values()))
    about = (rows.level == level) & ((rows.week == week) if week is not None else True)
    tested, earlier = about & (rows.period == period), about & (rows.period < period)
    told = {name: each.told for name, each in candidates.items()}
    most = max((int((told[name] & tested).sum()) for name in candidates), default=0)
    able = [n for n in candidates if most and (told[n] & tested).sum() == most and (told[n] & earlier).any()]
    if not able:
        return None
    shared = earlier & np.all([told[name] for name in able], axis=0)
    if not shared.any():
        return None
    errors = {n: float(np.abs(candidates[n].median - rows.actual)[shared].sum()) for n in able}
    return min(able, key=lambda name: errors[name])


def held_against(candidates: Mapping[str, Forecasts], periods: Sequence[int], level: str = "company") -> Forecasts:
    """Return the rows of the test periods as the best baseline before each of them told them, joined.

    The comparator of a test: one forecast to pair with. Raises ValueError where no period has one.
    """
    parts = []
    for period in periods:
        name = best_before(candidates, period, level)
        if name is not None:
            rows = candidates[name]
            parts.append(rows.take((rows.period == period) & (rows.level == level)))
    if not parts:
        raise ValueError("no baseline has a past before any of the periods")
    return joined(parts)


def _missed(name: str, told: list[Points], actual: list[Float], nodes: Nodes, turns: Mapping[int, int]) -> Missed:
    period, turn, level, size = [], [], [], []
    for each, came in zip(told, actual, strict=True):
        said = each.said[name]
        measure = np.maximum(said, each.usual)
        rows = np.flatnonzero(each.here & (measure > 0))  # a NaN is not
        period.append(np.full(len(rows), each.look.period))
        turn.append(np.full(len(rows), turns[each.look.week]))
        level.append(nodes.levels[rows])
        size.append(np.abs(came - said)[rows] / measure[rows])
    return Missed(*(np.concatenate(column) for column in (period, turn, level, size)))


def _rows(
    name: str, each: Points, came: Float, nodes: Nodes, missed: Mapping[str, Missed], turns: Mapping[int, int]
) -> Forecasts:
    rows = np.flatnonzero(each.here)
    n, look = len(rows), each.look
    said = each.said[name]
    quantiles = _spread(said, each, nodes, _reaches(name, look.period, turns[look.week], nodes, missed))
    return Forecasts(
        period=np.full(n, look.period),
        week=np.full(n, look.week),
        level=nodes.levels[rows],
        node=nodes.names[rows],
        actual=came[rows] / CENTS,
        mean=said[rows] / CENTS,
        quantiles=quantiles[rows] / CENTS,
    )


def _reaches(name: str, period: int, turn: int, nodes: Nodes, missed: Mapping[str, Missed]) -> Float:
    """Return how far each band reaches for each node, float64[bands, m]."""
    out = np.full((len(BANDS), len(nodes)), np.nan)
    for level in np.unique(nodes.levels).tolist():
        periods, errors = missed[name].near(level, turn, period)
        if not periods:
            periods, errors = missed[FALLBACK].near(level, turn, period)
        for k, (share, _, _) in enumerate(BANDS):
            out[k, nodes.levels == level] = reach(errors, periods, share)
    return np.maximum.accumulate(out, axis=0)


def _spread(said: Float, each: Points, nodes: Nodes, reaches: Float) -> Float:
    """Return quantiles, cents, float64[m, 7]: the point, and as far to either side as each band reaches."""
    measure = np.fmax(said, each.usual)
    out = np.repeat(said[:, None], len(LEVELS), axis=1)
    for k, (_, low, high) in enumerate(BANDS):
        out[:, low] = np.maximum(said - reaches[k] * measure, each.booked)
        out[:, high] = said + reaches[k] * measure
    out[:, MEDIAN] = said
    return out
