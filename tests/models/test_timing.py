"""The timing model: monotone heads, one row = many rows, files give back the same bits, odd rows get an answer."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from features.build import FeatureMatrix
from features.periods import DAY
from models.base import Float, sigmoid
from models.timing import TIMING, TIMING_LOST, TIMING_WON, Outlook, TimingModel, read_timing, timing_files
from models.timing_head import Clock
from models.trees import TreeSettings
from training.labels import Watched
from training.timing_fit import Plan, Rows, fit_rows
from training.timing_trees import Boosting

NAMES = ("stage_rank", "days_left", "days_to_close_date", "pace", "noise")
STAGES = 3
N = 5_000


def planted(seed: int = 5, gaps: float = 0.1) -> Rows:
    """Deals that close around their close date, the pacy ones sooner; late stages are won. Watched for 30-500 days."""
    rng = np.random.default_rng(seed)
    stage, left = rng.integers(0, STAGES, N), rng.integers(1, 92, N)
    due, pace = rng.integers(-20, 150, N), rng.normal(size=N)
    won = rng.random(N) < sigmoid(-1.0 + 0.9 * stage)
    days = np.maximum(due + 10 + 8 * rng.normal(size=N) - 15 * pace, 1.0) * np.where(won, 1.0, 0.8)
    closed = np.round(days * DAY).astype(np.int64)
    seen = np.round(rng.uniform(30, 500, N) * DAY).astype(np.int64)
    shown = closed < seen
    values = np.column_stack([stage, left, due, pace, rng.normal(size=N)]).astype(np.float64)
    values[rng.random(N) < gaps, 2] = np.nan
    values[rng.random(N) < gaps, 3] = np.nan
    watch = Watched(seen, np.where(shown, closed, np.iinfo(np.int64).max), won & shown, ~won & shown)
    return Rows(FeatureMatrix(NAMES, values), watch, np.arange(N), left.astype(np.float64))


def plan(target: str = "in_period") -> Plan:
    trees = TreeSettings(6, 50, 0.1, 1.0, 0.8, 1.0, 0.0, 1, (0, 0, 0, 1, 0, 1, 1, 1, 1))
    return Plan(target, STAGES, 365.0, 91.3, 1.0, 9_000, 7, Boosting(trees, (7, 8)), Boosting(trees, (7,)))


ROWS = planted()


@pytest.fixture(scope="module")
def model() -> TimingModel:
    fitted = fit_rows(ROWS, plan(), (40, 40), (0.1, 0.5, 0.9), line=True)
    assert fitted.won.trees is not None
    assert fitted.lost.trees is not None
    return fitted


def question(n: int = 300) -> tuple[FeatureMatrix, Float, Float, Float]:
    """(matrix, p_period, period_days, close_days); every seventh row has no stage."""
    values = ROWS.matrix.values[:n].copy()
    values[::7, 0] = np.nan
    matrix = FeatureMatrix(NAMES, values)
    return matrix, np.linspace(0.001, 0.97, n), values[:, 1], values[:, 2] + 1.0


def columns(outlook: Outlook) -> dict[str, Float]:
    return {f.name: getattr(outlook, f.name) for f in fields(Outlook)}


def test_curves_are_chances_and_meet_the_close_head(model: TimingModel) -> None:
    matrix, p, rest, _ = question()
    days = np.sort(np.random.default_rng(1).uniform(0, 400, 60))
    won, lost = model.curves(matrix, p, rest, days)
    assert (np.diff(won, axis=1) >= 0).all()
    assert (np.diff(lost, axis=1) >= 0).all()
    assert ((won >= 0) & (lost >= 0) & (won + lost <= 1 + 1e-12)).all()
    at_end, _ = model.curves(matrix, p, rest, rest[:, None])
    assert np.array_equal(at_end[:, 0], p)


def test_a_day_has_one_answer_whatever_else_is_asked(model: TimingModel) -> None:
    matrix, p, rest, _ = question()
    alone = model.curves(matrix, p, rest, np.array([77.0]))
    among = model.curves(matrix, p, rest, np.array([3.0, 77.0, 180.0, 300.0]))
    for one, other in zip(alone, among, strict=True):
        np.testing.assert_allclose(one[:, 0], other[:, 1], atol=1e-13)


def test_raw_heads_never_fall_with_the_horizon(model: TimingModel) -> None:
    """Line and trees alike, missing close dates and overdue ones included."""
    matrix, _, rest, close = question()
    days = np.broadcast_to(np.linspace(0.5, 365, 150), (len(rest), 150))
    for head in (model.won, model.lost):
        raw = head.logit(matrix, days, Clock(rest, close, model.length).columns(days))
        assert (np.diff(raw, axis=1) >= -1e-9).all()
        assert (raw[:, -1] > raw[:, 0]).all()


def test_outlook_adds_up_and_dates_are_in_order(model: TimingModel) -> None:
    matrix, p, rest, close = question()
    told = model.outlook(matrix, p, rest, close, 365)
    np.testing.assert_allclose(told.p_won + told.p_lost + told.p_open, 1.0, atol=1e-15)
    assert (told.p_won >= p).all()
    assert (told.close_p10 <= told.close_p50).all()
    assert (told.close_p50 <= told.close_p90).all()
    assert (told.close_p90 <= 365).all()
    assert np.array_equal(np.isnan(told.slip_risk), np.isnan(close))
    assert (told.slip_risk[close <= 0] == 1.0).all()
    ahead = close > 0
    won, lost = model.curves(matrix, p, rest, np.where(ahead, close, 1.0)[:, None])
    np.testing.assert_allclose(told.slip_risk[ahead], (1 - won - lost)[ahead, 0], atol=1e-12)
    assert not any(np.isnan(value).any() for name, value in columns(told).items() if name != "slip_risk")


@pytest.mark.parametrize("horizon", [28, 91, 365])
def test_one_row_has_the_bits_it_has_among_many(model: TimingModel, horizon: int) -> None:
    matrix, p, rest, close = question(40)
    together = columns(model.outlook(matrix, p, rest, close, horizon))
    for i in range(40):
        row = slice(i, i + 1)
        alone = model.outlook(FeatureMatrix(NAMES, matrix.values[row]), p[row], rest[row], close[row], horizon)
        assert {k: v.tobytes() for k, v in columns(alone).items()} == {k: v[row].tobytes() for k, v in together.items()}


def test_files_give_back_the_same_bits(model: TimingModel) -> None:
    files = timing_files(model)
    assert sorted(files) == [TIMING, TIMING_LOST, TIMING_WON]
    again = read_timing(files, NAMES)
    asked = question()
    told, read = columns(model.outlook(*asked, 365)), columns(again.outlook(*asked, 365))
    assert all(told[name].tobytes() == read[name].tobytes() for name in told)
    assert timing_files(again) == files
    bare = replace(model, won=replace(model.won, trees=None), lost=replace(model.lost, line=None, trees=None))
    assert sorted(timing_files(bare)) == [TIMING]
    assert read_timing(timing_files(bare), NAMES).lost.line is None


def test_files_of_other_features_are_refused(model: TimingModel) -> None:
    with pytest.raises(ValueError, match="other features"):
        read_timing(timing_files(model), (*NAMES[:-1], "other"))


def test_the_horizon_must_be_one_it_learnt(model: TimingModel) -> None:
    for days in (0, 366):
        with pytest.raises(ValueError, match="at most 365"):
            model.outlook(*question(), days)


def test_a_row_without_a_stage_is_answered_from_the_table(model: TimingModel) -> None:
    """Whatever else is known of it moves nothing but the close head's own chance."""
    matrix, p, rest, _ = question(14)
    elsewhere = FeatureMatrix(NAMES, matrix.values.copy())
    elsewhere.values[:, 3:] = 9.0
    first, second = (model.curves(rows, p, rest, np.array([30.0, 300.0]))[0] for rows in (matrix, elsewhere))
    blind = np.isnan(matrix.column("stage_rank"))
    assert np.array_equal(first[blind], second[blind])
    assert not np.array_equal(first[~blind], second[~blind])


def test_an_eventual_head_is_met_at_its_longest_horizon() -> None:
    rows = replace(ROWS, period_days=np.full(N, np.nan))
    fitted = fit_rows(rows, plan("eventual"), (20, 20), (0.1, 0.5, 0.9), line=True)
    matrix, p, _, close = question()
    told = fitted.outlook(matrix, p, np.full(len(p), np.nan), close, 365)
    assert np.array_equal(told.p_won, p)
    assert not np.isnan(told.close_p50).any()


def test_pace_and_the_close_date_are_learnt(model: TimingModel) -> None:
    """Median dates of fresh deals later won lie nearer than the CRM's, and the window holds about 80 % of them."""
    fresh = planted(seed=9, gaps=0.0)
    won = np.flatnonzero(fresh.watch.won & (fresh.watch.closed < 200 * DAY) & (fresh.watch.seen > 300 * DAY))
    rows = fresh.take(won)
    took, due = rows.watch.closed / DAY, rows.matrix.column("days_to_close_date") + 1.0
    rest = rows.period_days[:, None]
    raw = model.won.logit(rows.matrix, rest, rows.clock(model.length).columns(rest))[:, 0]
    told = model.outlook(rows.matrix, sigmoid(raw), rows.period_days, due, 365)
    assert np.abs(told.close_p50 - took).mean() < 0.9 * np.abs(np.maximum(due, 0.0) - took).mean()
    assert 0.7 < float(((told.close_p10 <= took) & (took <= told.close_p90)).mean()) < 0.9
