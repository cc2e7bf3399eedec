"""The cold-start ladder: which rung so many deals carry, what the prior says, how far a few wins move it, the doubt."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from features.build import FeatureMatrix
from models.base import Examples, Frame, sigmoid
from models.close import CloseSettings, InnerFold, fit_close
from models.ladder import PRIOR_WINS, Doubt, doubt_of, rung_of
from models.linear import TABLE, Linear, fit_linear
from models.tables import WEIGHT, RateTable, fit_cold_start, fit_stage_time
from models.trees import TreeSettings
from tests.models.planted import NAMES, STAGES, examples, matrix, planted

FRAME = Frame("in_period", STAGES)
SETTINGS = CloseSettings((TreeSettings(8, 30, 0.1, 0.6, 0.8, 2.0, 10.0, 1, (0,) * 5),), "ridge", "auto", 60, (7, 8))


def some(n: int, seed: int = 1) -> Examples:
    return planted(6000, seed)[0].take(np.arange(n))


@pytest.mark.parametrize(
    ("won", "lost", "rung"),
    [
        (0, 0, "table"), (5, 15, "table"), (20, 59, "table"), (20, 60, "ridge"), (9, 300, "table"), (300, 9, "table"),
        (100, 299, "ridge"), (100, 300, "trees"), (200, 200, "trees"), (9, 3000, "table"),
    ],
)  # fmt: skip
def test_rungs(won: int, lost: int, rung: str) -> None:
    assert rung_of(won, lost) == rung


@pytest.mark.parametrize("rung", ["table", "ridge", "trees"])
def test_each_rung_is_the_model_it_says(rung: str) -> None:
    rows = some(6000)
    row = np.arange(6000)
    inner = [InnerFold(row < 2000, (row >= 2000) & (row < 4000)), InnerFold(row < 4000, row >= 4000)]
    model, notes = fit_close(rows, FRAME, SETTINGS, inner, rung=rung)
    assert (model.rung, notes.rung) == (rung, rung)
    assert isinstance(model.offset, RateTable if rung == "table" else Linear)
    assert (model.trees is not None) == (rung == "trees")
    assert model.doubt is not None
    assert model.doubt == notes.doubt
    assert model.doubt.low < 1 < model.doubt.high
    if rung == "ridge":
        assert model.raw_offset(rows.matrix).tobytes() == fit_linear(rows, FRAME).logit(rows.matrix).tobytes()
        assert len(notes.inner_loss) == 2
    factors, phi, base = model.contributions(rows.matrix)
    assert factors == (TABLE, *NAMES)
    np.testing.assert_allclose(base + phi.sum(axis=1), model.logit(rows.matrix), atol=1e-9)


def test_without_any_row_the_prior_answers() -> None:
    """By hand: stage 1 of 0..2 lies halfway; with 45 days left the bucket's middle is 45.5 of 91 days."""
    model, _ = fit_close(some(0), FRAME, SETTINGS, [], rung="table")
    times = (3.0, 45.0, 90.0)
    told = {
        (stage, left): float(model.predict(one(stage, left))[0]) for stage in (0, 1, 2) for left in (3.0, 45.0, 90.0)
    }
    assert told[1, 45.0] == pytest.approx(float(sigmoid(np.array([-2 + 0.625 + 0.5 * log(0.5)]))[0]), abs=1e-12)
    assert told[0, 90.0] == pytest.approx(0.117, abs=0.005)
    assert told[2, 3.0] == told[2, 90.0] == pytest.approx(0.32, abs=0.01)
    for left in times:
        assert told[0, left] < told[1, left] < told[2, left]
    for stage in (0, 1):
        assert told[stage, 3.0] < told[stage, 45.0] < told[stage, 90.0]
    assert 0 < float(model.predict(one(np.nan, np.nan))[0]) < 1


def test_a_month_has_its_whole_time_left_at_its_start() -> None:
    month = fit_cold_start(some(0), Frame("in_period", STAGES, period_days=30.4))
    quarter = fit_cold_start(some(0), FRAME)
    assert month.predict(one(0, 30.0))[0] == pytest.approx(quarter.predict(one(0, 90.0))[0], rel=0.05)
    assert month.predict(one(0, 30.0))[0] > 2 * quarter.predict(one(0, 30.0))[0]


def test_an_eventual_head_has_a_prior_by_stage_alone() -> None:
    names = ("stage_rank", "days_open", "meetings", "silence", "noise")
    nothing = examples(np.zeros((0, 5)), np.zeros(0), names)
    table = fit_cold_start(nothing, Frame("eventual", STAGES))
    p = table.predict(FeatureMatrix(names, np.array([[0, 3.0, 0, 0, 0], [0, 300.0, 0, 0, 0], [2, 3.0, 0, 0, 0]])))
    np.testing.assert_allclose(p, sigmoid(np.array([-1.5, -1.5, 0.5])), atol=1e-12)


def one(stage: float, left: float) -> FeatureMatrix:
    return matrix(np.array([[stage, left, np.nan, np.nan, np.nan]]))


def test_one_cell_by_hand() -> None:
    """40 deals of two rows each in one cell, 10 of them won: the level, then the stage, then the cell."""
    values = np.tile([1.0, 45.0, 0, 0, 0], (80, 1))
    rows = examples(values, np.repeat(np.arange(40) < 10, 2).astype(np.float64), per_deal=2)
    start = float(sigmoid(np.array([-2 + 0.625 + 0.5 * log(0.5)]))[0])
    level = (10 + PRIOR_WINS) / (40 * start + PRIOR_WINS)
    stage = (10 + PRIOR_WINS) / (40 * start * level + PRIOR_WINS)
    expected = (10 + WEIGHT * start * level * stage) / (40 + WEIGHT)
    table = fit_cold_start(rows, FRAME)
    assert float(table.predict(one(1, 45.0))[0]) == pytest.approx(expected, abs=1e-12)
    other = float(sigmoid(np.array([-2 + 1.25]))[0])
    assert float(table.predict(one(2, 45.0))[0]) == pytest.approx(other * level, abs=1e-12)


def test_with_thousands_of_deals_the_prior_is_forgotten() -> None:
    many = some(6000)
    cold, alone = fit_cold_start(many, FRAME), fit_stage_time(many, FRAME)
    away = np.abs(cold.predict(many.matrix) - alone.predict(many.matrix))
    assert float(away.mean()) < 0.05


def test_rows_of_one_outcome_give_a_ridge_that_says_the_overall_rate() -> None:
    rows = some(200)
    lost = Examples(rows.matrix, np.zeros(200), rows.deal, rows.as_of, rows.label_end)
    line = fit_linear(lost, FRAME)
    np.testing.assert_allclose(line.predict(rows.matrix), line.table.overall, rtol=1e-12)
    assert line.table.overall < 0.01


def test_the_doubt_shrinks_with_wins_and_widens_with_periods_that_came_out_otherwise() -> None:
    none, few, many = (doubt_of(won, [], []) for won in (0, 20, 2000))
    assert none.low < few.low < many.low < 1 < many.high < few.high < none.high
    assert many.high / many.low < 1.07
    calm, wild = doubt_of(2000, [100, 110], [101, 109]), doubt_of(2000, [60, 150], [100, 100])
    assert calm.basis == "wins"  # two periods that came out well tell less than how few the wins are
    assert wild.basis == "inner periods"
    width = 1.886 * np.sqrt((np.log(0.6) ** 2 + np.log(1.5) ** 2) / 2)  # t of two, 90 %
    assert (wild.low, wild.high) == pytest.approx((np.exp(-width), np.exp(width)), rel=1e-3)
    assert "0.37 to 1.77" in none.text()
    assert isinstance(none, Doubt)


def test_the_interval_of_few_wins_holds_the_rate_as_often_as_it_says() -> None:
    """Rates drawn from the prior's own gamma, wins drawn from them: the interval covers four in five."""
    rng = np.random.default_rng(1)
    held = []
    for _ in range(2000):
        rate = rng.gamma(PRIOR_WINS, 1 / PRIOR_WINS)
        won = int(rng.poisson(8 * rate))
        level = (won + PRIOR_WINS) / (8 + PRIOR_WINS)
        told = COVERED.setdefault(won, doubt_of(won, [], []))
        held.append(told.low * level <= rate <= told.high * level)
    assert float(np.mean(held)) == pytest.approx(0.8, abs=0.03)


COVERED: dict[int, Doubt] = {}
