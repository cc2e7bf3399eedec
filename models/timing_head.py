"""One head of the timing model: the log-odds that a deal is won (or lost) within h days, non-decreasing in h.

``log-odds = line(features) + line(horizon) + small trees``. A horizon is told to line and trees in forms that behaviour
follows: its log, how far it reaches beyond the CRM's close date, how many period ends it reaches (deals close in the
last days of a period), and how much of the rest of the running period it covers. All of them grow with h, their weights
are not negative and the trees are constrained, so the curve can't fall.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from features.build import FeatureMatrix
from models.base import Float, clipped_logit
from models.linear import column_terms
from models.tables import along, stage_rows
from models.trees import Trees

HORIZON = ("horizon_log_days", "horizon_past_close_date", "horizon_period_ends", "horizon_share_of_period")
TABLE = "stage_and_horizon"
SHORTEST = 1.0  # days; below it a rate falls in proportion to the horizon
CLOSE_DATE = "days_to_close_date"
PAST_CLOSE = ((-120.0, -45.0), (-45.0, -15.0), (-15.0, -4.0), (-4.0, 1.0), (1.0, 15.0), (15.0, 45.0), (45.0, 120.0))
PERIOD_ENDS = ((0.85, 1.0), (1.0, 1.85), (1.85, 2.0), (2.0, 2.85), (2.85, 3.0), (3.0, 3.85), (3.85, 4.0))
RAMP_OF = np.repeat([1, 2], [len(PAST_CLOSE), len(PERIOD_ENDS)])  # the column of `HORIZON` that each ramp goes by
RAMP_LOW, RAMP_HIGH = np.array([*PAST_CLOSE, *PERIOD_ENDS]).T
RAMP_WIDTH = RAMP_HIGH - RAMP_LOW
CHUNK = 100_000  # pairs whose features are repeated at a time


@dataclass(frozen=True)
class Clock:
    """What a horizon is held against, for n rows.

    period_days: days to the end of the running period, NaN where the head knows no periods. close_days: days to the end
    of the CRM's close date, NaN without one, negative when overdue. length: usual length of a period in days.
    """

    period_days: Float
    close_days: Float
    length: float

    def columns(self, days: Float) -> Float:
        """Return the columns `HORIZON` of each (row, horizon) pair, float64[n, k, 4]; days: float64[n, k], above 0."""
        rest = self.period_days[:, None]
        log = np.log(np.maximum(days, 1e-3))
        ends = 1.0 + (days - rest) / self.length
        share = np.minimum(days / np.maximum(rest, 1e-3), 1.0)
        return np.stack([log, days - self.close_days[:, None], ends, share], axis=2)


def steps(columns: Float) -> Float:
    """Return what the line sees of `HORIZON` columns: ramps from 0 to 1, float64[..., s]; 0 where there is no date."""
    ramps: Float = (columns[..., RAMP_OF] - RAMP_LOW) / RAMP_WIDTH
    np.minimum(np.maximum(ramps, 0.0, out=ramps), 1.0, out=ramps)
    np.copyto(ramps, 0.0, where=np.isnan(ramps))
    return ramps


@dataclass(frozen=True)
class HorizonTable:
    """Rates by stage and horizon. days: float64[m] knots, ascending; rates: float64[stages + 1, m], non-decreasing.

    The last row is for an unknown stage.
    """

    days: Float
    rates: Float

    def logit(self, stage: Float, days: Float) -> Float:
        """Return log-odds float64[n, k] of stage float64[n] (NaN: unknown) at days float64[n, k].

        Linear in log days between knots, constant beyond the last.
        """
        row = stage_rows(stage, len(self.rates))[:, None]
        return along(*self._known, row, np.log(np.maximum(days, 1e-3)))

    @cached_property
    def _known(self) -> tuple[Float, Float]:
        return np.log(self.days), clipped_logit(self.rates)


@dataclass(frozen=True)
class HorizonLine:
    """A ridge over features and horizon. Arrays are float64[k] over the features; see `models.linear.Linear`.

    table_weight and step_weights (float64[s], over `steps`) are not negative.
    """

    intercept: float
    table_weight: float
    step_weights: Float
    weights: Float
    missing_weights: Float
    low: Float
    high: Float
    mean: Float
    scale: Float

    def base(self, values: Float) -> Float:
        """Return the part that no horizon changes, log-odds float64[n]; columns are added in order."""
        learnt = (self.weights, self.missing_weights, self.low, self.high, self.mean, self.scale)
        terms = column_terms(values, *learnt)
        # Running sums go through the columns one by one; `sum` goes other ways for one row than for many.
        return self.intercept + terms.cumsum(axis=1, out=terms)[:, -1]

    def logit(self, values: Float, table: Float, columns: Float) -> Float:
        """Return log-odds float64[n, k]; table: the table's log-odds float64[n, k], columns: of `Clock.columns`."""
        ramps: Float = (steps(columns) * self.step_weights).cumsum(axis=2)[:, :, -1]
        return self.base(values)[:, None] + self.table_weight * table + ramps


@dataclass(frozen=True)
class Head:
    """A fitted head over named features. line: None where the table alone is honest. trees: over features + HORIZON."""

    names: tuple[str, ...]
    table: HorizonTable
    line: HorizonLine | None
    trees: Trees | None

    def logit(self, matrix: FeatureMatrix, days: Float, columns: Float) -> Float:
        """Return log-odds float64[n, k] at days float64[n, k]; rows whose stage is not known take the table's rate.

        columns: `Clock.columns` of these days, the same for both heads.
        """
        stage = matrix.column("stage_rank")
        table = self.table.logit(stage, days)
        if self.line is None:
            return table
        raw = self.line.logit(matrix.values, table, columns)
        if self.trees is not None:
            raw = raw + grown(self.trees, self.names, matrix.values, columns)
        return np.where(np.isnan(stage)[:, None], table, raw)


def grown(trees: Trees, names: tuple[str, ...], values: Float, columns: Float) -> Float:
    """Return what the trees add, log-odds float64[n, k], a part of the rows at a time."""
    n, k, _ = columns.shape
    rows = max(CHUNK // k, 1)
    out = np.empty((n, k))
    for at in range(0, n, rows):
        part = slice(at, at + rows)
        out[part] = trees.logit(pairs(names, values[part], columns[part])).reshape(-1, k)
    return out


def pairs(names: tuple[str, ...], values: Float, columns: Float) -> FeatureMatrix:
    """Return the matrix of all (row, horizon) pairs, rows first: float64[n * k, features + 4]."""
    n, k, _ = columns.shape
    repeated = np.repeat(values, k, axis=0)
    return FeatureMatrix((*names, *HORIZON), np.concatenate([repeated, columns.reshape(n * k, -1)], axis=1))
