"""Rate tables: cells, buckets, and shrinkage worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from features.build import FeatureMatrix
from models.base import Examples, Frame, sigmoid
from models.baselines import BASELINES, OF_FACTS, fit_constant
from models.tables import RateCurve, RateTable, fit_stage_curve, fit_stage_rate, fit_stage_time
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


# --- the curve -------------------------------------------------------------------------------------------------------


def mondays(left: list[float], workdays: list[float], wins: list[int], n: int = 2000) -> Examples:
    """`n` rows of stage 0 for each Monday, so many of them won."""
    values = np.column_stack([np.zeros(n * len(left)), np.repeat(left, n), np.repeat(workdays, n)])
    at = np.zeros(len(values), dtype=np.int64)
    y = np.concatenate([np.arange(n) < won for won in wins]).astype(np.float64)
    return Examples(FeatureMatrix(("stage_rank", "days_left", "workdays_left"), values), y, at, at, at)


def curve(seen: Examples) -> RateCurve:
    fitted = fit_stage_curve(seen, FRAME)
    assert isinstance(fitted, RateCurve)
    return fitted


def test_the_curve_has_the_tables_rates_at_the_weeks_that_were_seen() -> None:
    seen = mondays([4.0, 11.0, 18.0], [4.0, 9.0, 14.0], [80, 190, 300])
    fitted, table = curve(seen), fit_stage_time(seen, FRAME)
    assert fitted.predict(seen.matrix) == pytest.approx(table.predict(seen.matrix), rel=1e-12)


def test_a_week_with_more_working_days_before_the_end_is_likelier() -> None:
    """Nine and twelve days before the end are both in the second week, with seven and ten working days."""
    fitted = curve(mondays([4.0, 9.0, 18.0], [4.0, 7.0, 14.0], [80, 140, 280]))
    asked = mondays([9.0, 10.0, 12.0], [7.0, 8.0, 10.0], [0, 0, 0], n=1).matrix
    told = fitted.predict(asked)
    assert (np.diff(told) > 0).all()
    assert told[2] == pytest.approx(0.1, rel=0.03)  # a constant chance a working day


def test_before_the_first_knot_the_chance_falls_with_the_time() -> None:
    fitted = curve(mondays([4.0, 11.0], [4.0, 9.0], [8, 18]))
    four, two, none = fitted.predict(mondays([4.0, 2.0, 0.5], [4.0, 2.0, 0.0], [0, 0, 0], n=1).matrix)
    assert two == pytest.approx(four / 2, rel=0.01)
    assert none == pytest.approx(four / 8, rel=0.01)


def test_the_curve_is_flat_after_the_last_knot_and_knows_unknown_stages() -> None:
    fitted = curve(mondays([4.0, 11.0], [4.0, 9.0], [8, 18]))
    asked = np.array([[0.0, 11.0, 9.0], [0.0, 80.0, 60.0], [np.nan, 11.0, 9.0], [1.0, 11.0, 9.0]])
    told = fitted.predict(FeatureMatrix(("stage_rank", "days_left", "workdays_left"), asked))
    assert told[0] == pytest.approx(told[1], rel=1e-12)
    assert told[2] == told[3] == pytest.approx(fitted.rates[2, 1])


def test_there_is_no_curve_where_nothing_says_what_is_left() -> None:
    one_week = mondays([11.0], [9.0], [18])
    without = rows([0.0, 0.0], [4.0, 11.0])
    for seen, frame in ((one_week, FRAME), (without, FRAME), (without, Frame("eventual", 2))):
        assert isinstance(fit_stage_curve(seen, frame), RateTable)


def test_weeks_of_holidays_are_no_knots() -> None:
    fitted = curve(mondays([4.0, 11.0, 18.0], [4.0, 4.0, 9.0], [80, 80, 190]))
    assert np.exp(fitted.knots).round().tolist() == [4.0, 9.0]
