"""Smoothed rate tables: the stage rate, and the strong baseline: stage x time left (stage x age where `eventual`).

A cell's rate is shrunken towards what its stage and its time bucket say together (additive in log-odds), and those
towards the overall rate: ``(won + m * parent) / (rows + m)`` with m = 20 rows.

The curve inside the ridge takes the same rates as knots in working days, since the last weeks of a quarter are not
alike: a Monday with 12 days left has ten working days before it, one with 9 days left has seven, and wins go by those.

The cold-start table has a prior instead, since a company with few closed deals has no rates of its own, see `prior`:
its level and each stage's are moved by the company's wins (as gamma counts worth 3 wins), the cells by their own rows
(as beta counts worth 20 deals; rows of a deal go together).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from features.build import FeatureMatrix
from features.columns import logit
from models.base import CLIP, Examples, Float, Frame, Int, clipped_logit, sigmoid
from models.ladder import PRIOR_WINS

WEIGHT = 20.0
DAYS_PER_BUCKET = 7.0
WORKDAYS = "workdays_left"
LEAST_WORKDAYS = 0.5  # where none is left but the period still runs
LAST_WEEK = 14  # weeks left of a quarter: 0..13, and more for longer periods
PRIOR_MOST = 0.95
PRIOR_UNKNOWN = 0.4  # where an unknown stage is taken to lie between the first (0) and the last (1)
DEFAULT_AGES = (3.0, 7.0, 14.0, 28.0, 56.0, 91.0, 182.0)


def stage_rows(stage: Float, rows: int) -> Int:
    """Return the row of each stage in a table of so many rows, int64[n]; the last row is for an unknown stage."""
    known = stage < rows - 1  # NaN is not
    return np.where(known, stage, rows - 1).astype(np.int64)


def along(knots: Float, known: Float, row: Int, x: Float) -> Float:
    """Return log-odds at x, the log of a time: straight between knots, flat after the last.

    Before the first they fall with the log of the time, as the chance within a short time does.
    knots: float64[m], ascending; known: float64[rows, m], log-odds there; row: of `known`, in the shape of x.
    """
    right = np.minimum(np.maximum(knots.searchsorted(x, side="right"), 1), len(knots) - 1)
    left = right - 1
    before = knots[left]
    part = np.minimum(np.maximum((x - before) / (knots[right] - before), 0.0), 1.0)
    low, high = known[row, left], known[row, right]
    return np.asarray(low + part * (high - low) + np.minimum(x - knots[0], 0.0), dtype=np.float64)


@dataclass(frozen=True)
class RateTable:
    """rates: float64[stages + 1, buckets]; the last row is for an unknown stage.

    edges: bucket b holds edges[b - 1] <= days < edges[b].
    column: the feature that is bucketed, "days_left" or "days_open"; "" for a table by stage alone (one bucket).
    overall: the rate of all rows, which a cell is told against.
    """

    column: str
    edges: tuple[float, ...]
    rates: Float
    overall: float = 0.5

    def cells(self, matrix: FeatureMatrix) -> tuple[Int, Int]:
        """Return (stage row, bucket) of each row; a missing stage is the last row, a missing time the last bucket."""
        row = stage_rows(matrix.column("stage_rank"), len(self.rates))
        if not self.column:
            return row, np.zeros(len(row), dtype=np.int64)
        return row, np.searchsorted(self.edges, matrix.column(self.column), side="right").astype(np.int64)

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the cell's rate for each row, float64[n]."""
        return self.rates[self.cells(matrix)]


@dataclass(frozen=True)
class RateCurve:
    """knots: float64[m], m > 1, ascending, log of working days left; rates: float64[stages + 1, m] there.

    The last row of rates is for an unknown stage. overall: the rate of all rows.
    """

    knots: Float
    rates: Float
    overall: float = 0.5

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the rate at each row's stage and working days left, float64[n]."""
        row = stage_rows(matrix.column("stage_rank"), len(self.rates))
        return sigmoid(along(self.knots, self._log_odds, row, _log_workdays(matrix)))

    @cached_property
    def _log_odds(self) -> Float:
        return clipped_logit(self.rates)


def _log_workdays(matrix: FeatureMatrix) -> Float:
    return np.log(np.maximum(matrix.column(WORKDAYS), LEAST_WORKDAYS))


def fit_stage_rate(examples: Examples, frame: Frame) -> RateTable:
    """Fit the rate by stage alone."""
    return _fit(examples, RateTable("", (), np.zeros((frame.stage_count + 1, 1))))


def fit_stage_time(examples: Examples, frame: Frame) -> RateTable:
    """Fit the rate by stage and weeks left of the period (head `in_period`) or by stage and age (head `eventual`)."""
    return _fit(examples, _empty(frame))


def fit_stage_curve(examples: Examples, frame: Frame) -> RateTable | RateCurve:
    """Fit the rate by stage and working days left: that of `fit_stage_time`, each week's at its mean log working days.

    The table itself for an `eventual` head, without the feature ``workdays_left``, and where the rows lie in one week
    of the period.
    """
    table = fit_stage_time(examples, frame)
    if frame.target != "in_period" or WORKDAYS not in examples.matrix.names:
        return table
    week = table.cells(examples.matrix)[1]
    rows = np.bincount(week, minlength=table.rates.shape[1])
    days = np.bincount(week, weights=_log_workdays(examples.matrix), minlength=len(rows)) / np.maximum(rows, 1)
    some = np.flatnonzero(rows)
    # Holidays may leave a week without a working day: then it is no knot.
    later = some[np.diff(np.maximum.accumulate(days[some]), prepend=-np.inf) > 1e-6]
    if len(later) < 2:
        return table
    return RateCurve(days[later], table.rates[:, later], table.overall)


def fit_cold_start(examples: Examples, frame: Frame) -> RateTable:
    """Fit the rate by stage and time where deals are few, none at all included; see the module docstring."""
    empty = _empty(frame)
    n, won = _counts(examples, empty)
    weight = len(np.unique(examples.deal)) / max(len(examples), 1)  # a deal counts as one, however many rows it has
    n, won = n * weight, won * weight
    start = prior(frame, empty)
    level = (won.sum() + PRIOR_WINS) / ((n * start).sum() + PRIOR_WINS)
    by_stage = (won.sum(axis=1) + PRIOR_WINS) / ((n * start).sum(axis=1) * level + PRIOR_WINS)
    parent = np.clip(start * level * by_stage[:, None], CLIP, PRIOR_MOST)
    rates = (won + WEIGHT * parent) / (n + WEIGHT)
    overall = float((n * rates).sum() / n.sum()) if len(examples) else float(start.mean())
    return RateTable(empty.column, empty.edges, rates, overall)


def prior(frame: Frame, table: RateTable) -> Float:
    """Return what is believed of a company's cells before its first closed deal, float64[stages + 1, buckets].

    With s the stage's place (0 first, 1 last) and u the share of the period that is left: log-odds ``-2 + 1.25 s +
    (1 - s) log u``. A fresh deal in the first stage wins by the end of the period one time in eight, one in the last
    stage one time in three whatever the time. Of an `eventual` head ``-1.5 + 2 s``: one in five, and three in five. Of
    leads ``-2.5 + 2 s``: one in thirteen, and three in eight.
    """
    rows, buckets = table.rates.shape
    place = np.append(np.arange(rows - 1) / max(rows - 2, 1), PRIOR_UNKNOWN)[:, None]
    if frame.target != "in_period":
        first = -2.5 if frame.target == "converted" else -1.5
        return sigmoid(np.repeat(first + 2.0 * place, buckets, axis=1))
    left = np.minimum(DAYS_PER_BUCKET * (np.arange(buckets) + 0.5) / frame.period_days, 1.0)
    return sigmoid(-2.0 + 1.25 * place + (1.0 - place) * np.log(left))


def _empty(frame: Frame) -> RateTable:
    """Return the cells of stage and weeks left of the period, or of stage and age for an `eventual` head."""
    if frame.target == "in_period":
        column, edges = "days_left", tuple(DAYS_PER_BUCKET * week for week in range(1, LAST_WEEK + 1))
    else:
        column, edges = "days_open", frame.age_edges or DEFAULT_AGES
    return RateTable(column, edges, np.zeros((frame.stage_count + 1, len(edges) + 1)))


def _counts(examples: Examples, empty: RateTable) -> tuple[Float, Float]:
    """Return rows and won rows of each cell."""
    rows, buckets = empty.rates.shape
    stage, bucket = empty.cells(examples.matrix)
    cell = stage * buckets + bucket
    n = np.bincount(cell, minlength=rows * buckets).reshape(rows, buckets).astype(np.float64)
    won = np.bincount(cell, weights=examples.y, minlength=rows * buckets).reshape(rows, buckets)
    return n, won.astype(np.float64)


def _fit(examples: Examples, empty: RateTable) -> RateTable:
    n, won = _counts(examples, empty)
    overall = np.clip((won.sum() + 0.5) / (n.sum() + 1.0), CLIP, 1 - CLIP)
    by_stage = logit((won.sum(axis=1) + WEIGHT * overall) / (n.sum(axis=1) + WEIGHT))
    by_bucket = logit((won.sum(axis=0) + WEIGHT * overall) / (n.sum(axis=0) + WEIGHT))
    parent = sigmoid(by_stage[:, None] + by_bucket[None, :] - logit(overall))
    return RateTable(empty.column, empty.edges, (won + WEIGHT * parent) / (n + WEIGHT), float(overall))
