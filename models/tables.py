"""Smoothed rate tables: the stage rate, and the strong baseline: stage x time left (stage x age where `eventual`).

A cell's rate is shrunken towards what its stage and its time bucket say together (additive in log-odds), and those
towards the overall rate: ``(won + m * parent) / (rows + m)`` with m = 20 rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.build import FeatureMatrix
from features.columns import logit
from models.base import CLIP, Examples, Float, Frame, Int, sigmoid

WEIGHT = 20.0
DAYS_PER_BUCKET = 7.0
LAST_WEEK = 14  # weeks left of a quarter: 0..13, and more for longer periods
DEFAULT_AGES = (3.0, 7.0, 14.0, 28.0, 56.0, 91.0, 182.0)


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
        stage = matrix.column("stage_rank")
        unknown = np.isnan(stage) | (stage >= len(self.rates) - 1)
        row = np.where(unknown, len(self.rates) - 1, np.where(unknown, 0, stage)).astype(np.int64)
        if not self.column:
            return row, np.zeros(len(row), dtype=np.int64)
        return row, np.searchsorted(self.edges, matrix.column(self.column), side="right").astype(np.int64)

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the cell's rate for each row, float64[n]."""
        return self.rates[self.cells(matrix)]


def fit_stage_rate(examples: Examples, frame: Frame) -> RateTable:
    """Fit the rate by stage alone."""
    return _fit(examples, RateTable("", (), np.zeros((frame.stage_count + 1, 1))))


def fit_stage_time(examples: Examples, frame: Frame) -> RateTable:
    """Fit the rate by stage and weeks left of the period (head `in_period`) or by stage and age (head `eventual`)."""
    if frame.target == "in_period":
        column, edges = "days_left", tuple(DAYS_PER_BUCKET * week for week in range(1, LAST_WEEK + 1))
    else:
        column, edges = "days_open", frame.age_edges or DEFAULT_AGES
    return _fit(examples, RateTable(column, edges, np.zeros((frame.stage_count + 1, len(edges) + 1))))


def _fit(examples: Examples, empty: RateTable) -> RateTable:
    rows, buckets = empty.rates.shape
    stage, bucket = empty.cells(examples.matrix)
    cell = stage * buckets + bucket
    n = np.bincount(cell, minlength=rows * buckets).reshape(rows, buckets).astype(np.float64)
    won = np.bincount(cell, weights=examples.y, minlength=rows * buckets).reshape(rows, buckets)
    overall = np.clip((won.sum() + 0.5) / (n.sum() + 1.0), CLIP, 1 - CLIP)
    by_stage = logit((won.sum(axis=1) + WEIGHT * overall) / (n.sum(axis=1) + WEIGHT))
    by_bucket = logit((won.sum(axis=0) + WEIGHT * overall) / (n.sum(axis=0) + WEIGHT))
    parent = sigmoid(by_stage[:, None] + by_bucket[None, :] - logit(overall))
    return RateTable(empty.column, empty.edges, (won + WEIGHT * parent) / (n + WEIGHT), float(overall))
