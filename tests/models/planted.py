"""Rows with a known truth behind them, for tests of models."""

from __future__ import annotations

import numpy as np

from features.build import FeatureMatrix
from features.periods import DAY
from models.base import Examples, Float, sigmoid

NAMES = ("stage_rank", "days_left", "meetings", "silence", "noise")
STAGES = 3


def matrix(values: Float, names: tuple[str, ...] = NAMES) -> FeatureMatrix:
    return FeatureMatrix(names, np.ascontiguousarray(values, dtype=np.float64))


def examples(values: Float, y: Float, names: tuple[str, ...] = NAMES, per_deal: int = 1) -> Examples:
    """Rows a day apart, `per_deal` rows to a deal, told 90 days later."""
    n = len(y)
    as_of = np.arange(n, dtype=np.int64) * DAY // 24
    return Examples(
        matrix(values, names), y.astype(np.float64), np.arange(n, dtype=np.int64) // per_deal, as_of, as_of + 90 * DAY
    )


def planted(n: int = 6000, seed: int = 1, gaps: float = 0.0) -> tuple[Examples, Float]:
    """Rows and their true log-odds: later stages and meetings help, silence beyond two weeks hurts, noise does nothing.

    gaps: share of the values of `meetings` and `silence` that is missing, at random.
    """
    rng = np.random.default_rng(seed)
    stage = rng.integers(0, STAGES, n).astype(np.float64)
    left = rng.integers(0, 92, n).astype(np.float64)
    meetings, silence, noise = rng.poisson(2, n).astype(np.float64), rng.exponential(12, n), rng.normal(size=n)
    truth = -2.0 + 0.9 * stage + 0.4 * meetings - 0.08 * np.minimum(silence, 30) - 2.5 * (silence > 14) * (meetings < 2)
    y = (rng.random(n) < sigmoid(truth)).astype(np.float64)
    values = np.column_stack([stage, left, meetings, silence, noise])
    hidden = rng.random((n, 2)) < gaps
    values[:, 2:4] = np.where(hidden, np.nan, values[:, 2:4])
    return examples(values, y, per_deal=3), truth


def log_loss(y: Float, raw: Float) -> float:
    """Mean log loss of log-odds."""
    return float(np.mean(np.logaddexp(0.0, raw) - y * raw))
