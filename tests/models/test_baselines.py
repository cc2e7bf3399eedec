"""Baselines of what the CRM itself says: probability by close date, category by time left; left out where not told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from features.build import FeatureMatrix
from models.base import CLIP, Examples, Frame
from models.baselines import (
    BASELINES,
    CATEGORY,
    FACTS,
    OF_FACTS,
    PAST_PERIOD,
    PROBABILITY,
    fit_category_time,
    fit_crm_probability,
    lacking,
)

NAN = float("nan")


def facts(**columns: Sequence[float]) -> FeatureMatrix:
    n = len(next(iter(columns.values())))
    values = [np.array(columns.get(name, [NAN] * n), dtype=np.float64) for name in FACTS]
    return FeatureMatrix(FACTS, np.column_stack(values))


def examples(matrix: FeatureMatrix, y: Sequence[float]) -> Examples:
    n = len(y)
    return Examples(matrix, np.array(y, dtype=np.float64), np.arange(n), np.zeros(n, np.int64), np.zeros(n, np.int64))


def test_the_crm_counts_only_what_it_dates_into_the_period() -> None:
    asked = facts(**{PROBABILITY: [0.6, 0.6, 0.6, 0.6, NAN, 1.0], PAST_PERIOD: [-3, 0, 1, NAN, -3, -3]})
    rows = examples(asked, [1, 0, 0, 0, 0, 0])
    p = fit_crm_probability(rows, Frame("in_period", 3)).predict(asked)
    np.testing.assert_allclose(p, [0.6, 0.6, CLIP, 0.6, 1 / 6, 1 - CLIP])


def test_an_eventual_head_has_no_period_to_fall_out_of() -> None:
    asked = facts(**{PROBABILITY: [0.6, 0.3], PAST_PERIOD: [50.0, -3.0]})
    p = fit_crm_probability(examples(asked, [1, 0]), Frame("eventual", 3)).predict(asked)
    np.testing.assert_allclose(p, [0.6, 0.3])


@pytest.mark.parametrize(("target", "column"), [("in_period", "days_left"), ("eventual", "days_open")])
def test_categories_are_weighted_by_how_often_they_came(target: str, column: str) -> None:
    rng = np.random.default_rng(5)
    n = 6000
    category, days = rng.integers(0, 5, n).astype(np.float64), rng.choice([3.0, 40.0], n)
    truth = 0.1 + 0.15 * category - 0.05 * (days > 10)
    matrix = facts(**{CATEGORY: category.tolist(), column: days.tolist()})
    model = fit_category_time(examples(matrix, (rng.random(n) < truth).tolist()), Frame(target, 3))
    asked = facts(**{CATEGORY: [0, 4, 4, NAN], column: [3, 3, 40, 3]})
    p = model.predict(asked)
    np.testing.assert_allclose(p[:3], [0.1, 0.7, 0.65], atol=0.06)
    assert 0.1 < p[3] < 0.7  # nobody in training was without a category: what all say together


def test_a_fact_that_no_row_has_makes_no_baseline() -> None:
    told = facts(**{PROBABILITY: [NAN, 0.5]})
    assert lacking(told, BASELINES) == {"category_time_left": CATEGORY}
    assert lacking(facts(**{CATEGORY: [NAN, 1.0]}), BASELINES) == {"crm_probability": PROBABILITY}
    assert lacking(told, ["ridge"]) == {}
    assert set(OF_FACTS) <= set(BASELINES)
