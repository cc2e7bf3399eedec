"""Rate tables: cells, buckets, and shrinkage worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from features.build import FeatureMatrix
from models.base import Examples, Frame, sigmoid
from models.baselines import BASELINES, OF_FACTS, fit_constant
from models.tables import RateTable, fit_stage_rate, fit_stage_time
from tests.models.planted import STAGES, planted

FRAME = Frame("in_period", 2)
NAMES = ("stage_rank", "days_left", "days_open")


def rows(stage: list[float], left: list[float], y: list[float] | None = None) -> Examples:
    n = len(stage)
    values = np.column_stack([stage, left, left])
    at = np.zeros(n, dtype=np.int64)
    wins = np.zeros(n) if y is None else np.array(y, dtype=np.float64)
    return Examples(FeatureMatrix(NAMES, values), wins, np.arange(n), at, at)


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_buckets_are_half_open_weeks() -> None:
    table = fit_stage_time(rows([0.0], [1.0]), FRAME)
    left = [0.0, 6.999, 7.0, 13.999, 14.0, 97.9, 98.0, 400.0, np.nan]
    assert table.cells(rows([0.0] * 9, left).matrix)[1].tolist() == [0, 0, 1, 1, 2, 13, 14, 14, 14]


def test_an_unknown_stage_has_a_row_of_its_own() -> None:
    table = fit_stage_time(rows([0.0], [1.0]), FRAME)
    assert table.cells(rows([0.0, 1.0, np.nan, 2.0, 9.0], [1.0] * 5).matrix)[0].tolist() == [0, 1, 2, 2, 2]


def test_a_cell_is_shrunken_towards_its_stage_and_its_bucket_together() -> None:
    """Stage 0: 1 of 10 won in week 0. Stage 1: 5 of 10 won in week 0, 4 of 20 in week 1. 40 rows, 10 won."""
    stage = [0.0] * 10 + [1.0] * 30
    left = [1.0] * 20 + [8.0] * 20
    y = [1.0] + [0.0] * 9 + [1.0] * 5 + [0.0] * 5 + [1.0] * 4 + [0.0] * 16
    table = fit_stage_time(rows(stage, left, y), FRAME)
    overall = 10.5 / 41
    stage_1, week_0 = (9 + 20 * overall) / 50, (6 + 20 * overall) / 40
    parent = sigmoid(np.array([logit(stage_1) + logit(week_0) - logit(overall)]))[0]
    assert table.rates[1, 0] == pytest.approx((5 + 20 * parent) / 30, rel=1e-12)
    assert table.rates[2, 5] == pytest.approx(overall, rel=1e-12)  # nothing seen there at all


def test_the_stage_rate_knows_no_time() -> None:
    table = fit_stage_rate(rows([0.0] * 10 + [1.0] * 10, [1.0] * 20, [0.0] * 10 + [1.0] * 10), FRAME)
    assert table.rates.shape == (3, 1)
    low, high = table.predict(rows([0.0, 1.0], [50.0, 50.0]).matrix)
    assert low < 0.35 < 0.65 < high


def test_an_eventual_head_goes_by_age() -> None:
    frame = Frame("eventual", 2, (2.0, 5.0))
    table = fit_stage_time(rows([0.0], [1.0]), frame)
    assert table.column == "days_open"
    assert table.cells(rows([0.0] * 4, [1.0, 2.0, 5.0, np.nan]).matrix)[1].tolist() == [0, 1, 2, 2]
    assert len(fit_stage_time(rows([0.0], [1.0]), Frame("eventual", 2)).edges) == 7


def test_rates_stay_inside_0_and_1_whatever_was_seen() -> None:
    for y in (0.0, 1.0):
        rates = fit_stage_time(rows([0.0] * 50, [1.0] * 50, [y] * 50), FRAME).rates
        assert ((rates > 0) & (rates < 1)).all()


def test_one_row_has_the_bits_it_has_among_many() -> None:
    seen, _ = planted(500)
    for name in BASELINES.keys() - OF_FACTS.keys():  # theirs: test_baselines
        model = BASELINES[name](seen, Frame("in_period", STAGES))
        together = model.predict(seen.matrix)
        for i in (0, 250, 499):
            assert model.predict(seen.take(np.array([i])).matrix).tobytes() == together[i : i + 1].tobytes()


def test_the_constant_is_the_mean_kept_off_0_and_1() -> None:
    assert fit_constant(rows([0.0] * 4, [1.0] * 4, [1.0, 0.0, 0.0, 0.0]), FRAME).rate == 0.25
    assert 0 < fit_constant(rows([0.0], [1.0], [0.0]), FRAME).rate < 1e-5


def test_a_table_by_stage_asks_for_no_time_column() -> None:
    table = RateTable("", (), np.array([[0.1], [0.2]]))
    assert table.predict(FeatureMatrix(("stage_rank",), np.array([[0.0], [np.nan]]))).tolist() == [0.1, 0.2]
