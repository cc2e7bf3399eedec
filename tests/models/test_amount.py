"""The amount at close: learnt per deal, from the amount told, bounded, the same bits for one row and many."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from configs.errors import TooLittleDataError
from features.build import FeatureMatrix
from features.periods import DAY
from features.tables import NAT, Coded
from features.told import Told
from models.amount import AMOUNT_TREES, AmountModel, amount_files, read_amount
from models.base import Float, Int
from training.amount_fit import AmountSettings, WonRows, base_ratio, fit_rows
from training.amount_scores import amount_scores

NAMES = ("stage_rank", "days_left", "meetings")
STAGES = 3
PERIOD = 90 * DAY
TYPES = ("new", "renewal")
LIGHT = AmountSettings(seeds=(7, 8), max_rounds=60)


def told_of(cents: Int, types: list[str | None] | None = None) -> Told:
    days = np.full(len(cents), 30.0)
    return Told(cents, days, days, {"type": Coded.of(types or [TYPES[0]] * len(cents))})


def won(deals: int = 300, seed: int = 1, rows_each: int = 4, missing: float = 0.1, shift: float = 0.0) -> WonRows:
    """Deals won over eight periods. Without a meeting they close at 0.7 of the amount told, else at 1.0; noise of 5 %.

    Renewals are worth a tenth of new deals. shift: added to the log of what becomes of amounts.
    """
    rng = np.random.default_rng(seed)
    deal = np.repeat(np.arange(deals), rows_each)
    n = len(deal)
    kind = rng.integers(0, 2, deals)[deal]
    start = np.exp(10 - 2.3 * kind + 0.5 * rng.normal(size=deals)[deal])
    meetings = rng.integers(0, 2, n).astype(np.float64)
    actual = start * np.exp(np.where(meetings > 0, 0.0, np.log(0.7)) + shift + 0.05 * rng.normal(size=n))
    cents = np.where(rng.random(n) < missing, NAT, np.round(start * 100)).astype(np.int64)
    values = np.column_stack([rng.integers(0, STAGES, n), rng.integers(0, 90, n), meetings]).astype(np.float64)
    closed = (deal * 8 * PERIOD // deals) + DAY
    as_of = closed - (np.arange(n) % rows_each + 1) * DAY
    matrix = FeatureMatrix(NAMES, values)
    return WonRows(matrix, told_of(cents, [TYPES[k] for k in kind]), actual, closed, as_of, deal)


PERIODS = [(6 * PERIOD, 7 * PERIOD), (7 * PERIOD, 8 * PERIOD)]


def fit(rows: WonRows, settings: AmountSettings = LIGHT) -> AmountModel:
    return fit_rows(rows, PERIODS, STAGES, settings)


@pytest.fixture(scope="module")
def rows() -> WonRows:
    return won()


@pytest.fixture(scope="module")
def model(rows: WonRows) -> AmountModel:
    return fit(rows)


def asked(meetings: list[float], cents: list[int], types: list[str | None] | None = None) -> tuple[FeatureMatrix, Told]:
    values = np.column_stack([np.ones(len(cents)), np.full(len(cents), 30.0), meetings])
    return FeatureMatrix(NAMES, values), told_of(np.array(cents, dtype=np.int64), types)


def test_it_learns_what_becomes_of_an_amount(model: AmountModel) -> None:
    said = model.predict(*asked([0.0, 1.0, 1.0], [1_000_000, 1_000_000, 5_000_000]))
    np.testing.assert_allclose(said, [7_000, 10_000, 50_000], rtol=0.06)


def test_it_beats_both_baselines_on_later_deals(model: AmountModel) -> None:
    later = won(seed=2, missing=0.0)
    said = model.predict(later.matrix, later.told)
    told = amount_scores(
        later.actual, said, later.current, np.full(len(said), np.exp(model.base)), later.deal, later.deal // 100, 200, 1
    )
    assert [row.name for row in told] == ["model", "amount now", "amount now x ratio"]
    for other in told[1:]:
        assert other.total_error > 1.5 * told[0].total_error
        assert other.less_error.low > 0
        assert other.deviance > told[0].deviance
    assert abs(told[0].bias) < 0.02


def test_the_start_is_no_part_of_what_trees_say(rows: WonRows, model: AmountModel) -> None:
    """LightGBM starts from init_score and leaves it out of predictions: the trees alone are a log ratio."""
    assert model.trees is not None
    raw = model.trees.booster.predict(rows.matrix.values, raw_score=True)
    assert np.abs(raw).max() < 0.5  # log amounts are about 10
    data = lightgbm.Dataset(rows.matrix.values, rows.actual, init_score=np.full(len(rows), 9.0))
    booster = lightgbm.train({"objective": "gamma", "num_leaves": 2, "verbosity": -1}, data, num_boost_round=1)
    without = lightgbm.Dataset(rows.matrix.values, rows.actual)
    plain = lightgbm.train({"objective": "gamma", "num_leaves": 2, "verbosity": -1}, without, num_boost_round=1)
    assert np.abs(booster.predict(rows.matrix.values, raw_score=True)).max() < 3
    assert np.abs(plain.predict(rows.matrix.values, raw_score=True)).min() > 5


def test_contributions_of_its_trees_add_up(rows: WonRows, model: AmountModel) -> None:
    assert model.trees is not None
    phi = model.trees.contributions(rows.matrix)
    np.testing.assert_allclose(phi.sum(axis=1), model.trees.logit(rows.matrix), atol=1e-9)


def test_a_deal_counts_once_however_often_it_was_looked_at() -> None:
    """A hundred rows of one deal that doubled move the ratio by as much as one row of it."""
    one = won(60, missing=0.0)
    again = np.concatenate([np.arange(len(one)), np.zeros(400, dtype=np.int64)])
    doubled = replace(one, actual=np.where(one.deal == 0, 2 * one.current, one.actual))
    assert base_ratio(doubled.take(again), 20.0) == pytest.approx(base_ratio(doubled, 20.0), abs=2e-3)


def test_few_deals_grow_no_trees_and_are_shrunken_towards_no_change() -> None:
    few = won(30, missing=0.0, shift=-0.5)
    model = fit(few)
    assert model.trees is None
    plain = float(np.log((few.weight * few.actual).sum() / (few.weight * few.current).sum()))
    assert plain < model.base < 0.4 * plain < 0
    assert fit(won(300, missing=0.0, shift=-0.5)).trees is not None


def test_too_few_deals_say_nothing() -> None:
    with pytest.raises(TooLittleDataError, match="4 deals won"):
        fit(won(4))


@pytest.mark.parametrize("cents", [NAT, 0, -100])
def test_without_an_amount_won_deals_of_the_segment_stand_in(model: AmountModel, cents: int) -> None:
    new, renewal, unseen, unknown = model.predict(*asked([1.0] * 4, [cents] * 4, ["new", "renewal", "other", None]))
    assert new == pytest.approx(np.exp(10 + 0.125) * 0.85, rel=0.15)
    assert renewal == pytest.approx(new / np.exp(2.3), rel=0.25)
    assert renewal < unseen == unknown < new


def test_a_word_that_few_deals_had_says_little(rows: WonRows) -> None:
    rare = list(rows.told.segments["type"].strings())
    for i in np.flatnonzero(rows.deal == 0):
        rare[i] = "giant"
    actual = np.where(rows.deal == 0, 100 * rows.actual, rows.actual)
    told = replace(rows.told, segments={"type": Coded.of(rare)})
    effects = fit(replace(rows, told=told, actual=actual)).usual.segments["type"]
    assert 0 < effects["giant"] < np.log(100) / 3


def test_a_deal_without_a_stage_is_told_too(model: AmountModel) -> None:
    matrix, told = asked([1.0, 1.0], [NAT, 1_000_000])
    nothing = FeatureMatrix(NAMES, np.full_like(matrix.values, np.nan))
    said = model.predict(nothing, told)
    assert np.isfinite(said).all()
    assert (said > 0).all()


def test_a_slip_of_the_keyboard_moves_nothing(rows: WonRows, model: AmountModel) -> None:
    """One amount a thousand times too large, one close a thousand times too large."""
    cents = rows.told.amount_cents.copy()
    (with_amount,) = np.nonzero(cents > 0)
    cents[with_amount[0]] *= 1_000
    actual = rows.actual.copy()
    actual[with_amount[50]] *= 1_000
    slipped = fit(replace(rows, told=replace(rows.told, amount_cents=cents), actual=actual))
    question = asked([0.0, 1.0, 1.0, 1.0], [1_000_000, 1_000_000, NAT, NAT], ["new", "new", "new", "renewal"])
    np.testing.assert_allclose(slipped.predict(*question), model.predict(*question), rtol=0.1)


def test_a_ratio_stays_within_what_was_seen(rows: WonRows, model: AmountModel) -> None:
    started = rows.take(rows.told.amount_cents > 0)
    ratio = np.log(started.actual / started.current)
    assert ratio.min() <= model.low < model.high <= ratio.max()
    wild = replace(model, base=5.0)
    assert (wild.log_ratio(rows.matrix) == model.high).all()
    assert (replace(model, base=-5.0).log_ratio(rows.matrix) == model.low).all()


def test_one_row_has_the_bits_it_has_among_many(rows: WonRows, model: AmountModel) -> None:
    together = model.predict(rows.matrix, rows.told)
    for i in range(60):
        one = FeatureMatrix(NAMES, rows.matrix.values[i : i + 1])
        assert model.predict(one, rows.told.take(np.array([i]))).tobytes() == together[i : i + 1].tobytes()


@pytest.mark.parametrize("deals", [300, 30])
def test_files_hold_the_model_to_the_bit(deals: int) -> None:
    rows = won(deals)
    model = fit(rows)
    files = amount_files(model)
    assert (AMOUNT_TREES in files) == (model.trees is not None) == (deals > 40)
    again = read_amount(files, NAMES)
    assert amount_files(again) == files
    assert again.predict(rows.matrix, rows.told).tobytes() == model.predict(rows.matrix, rows.told).tobytes()


def test_the_same_rows_give_the_same_bytes_and_another_seed_others(rows: WonRows) -> None:
    assert amount_files(fit(rows)) == amount_files(fit(rows))
    assert amount_files(fit(rows)) != amount_files(fit(rows, replace(LIGHT, seeds=(9, 10))))


def test_later_wins_do_not_touch_the_judging() -> None:
    """What was won in a judging period decides on trees, not on the fit that is judged: here the past says nothing."""
    rows = won()
    turned = np.where(rows.won_at >= 6 * PERIOD, rows.matrix.values[:, 2], 1 - rows.matrix.values[:, 2])
    values = rows.matrix.values.copy()
    values[:, 2] = turned
    assert fit(replace(rows, matrix=FeatureMatrix(NAMES, values))).trees is None


def scored(actual: Float, said: Float) -> float:
    ones = np.ones(len(actual))
    deal = np.arange(len(actual))
    return amount_scores(actual, said, actual, ones, deal, deal, 0, 1)[0].total_error


def test_scores_are_what_they_say() -> None:
    actual, said = np.array([100.0, 300.0]), np.array([150.0, 250.0])
    deal, period = np.array([0, 1]), np.array([0, 1])
    model, now, ratio = amount_scores(actual, said, 2 * actual, np.full(2, 0.5), deal, period, 100, 1)
    assert (model.total_error, model.bias, model.period_bias) == (0.25, 0.0, (0.5 + 1 / 6) / 2)
    assert (now.total_error, now.bias, now.log_mae) == (1.0, 1.0, np.log(2))
    assert (ratio.total_error, ratio.deviance, ratio.less_error.value) == (0.0, 0.0, -0.25)
    assert now.less_error.value == 0.75
    assert amount_scores(*[np.zeros(0)] * 4, *[np.zeros(0, dtype=np.int64)] * 2, 10, 1) == []


def test_a_deal_counts_once_in_the_scores() -> None:
    actual = np.array([100.0, 100.0, 100.0, 100.0])
    said = np.array([200.0, 200.0, 200.0, 100.0])
    deal, ones = np.array([0, 0, 0, 1]), np.ones(4)
    assert amount_scores(actual, said, actual, ones, deal, deal, 0, 1)[0].total_error == pytest.approx(0.5)
    assert scored(actual, said) == 0.75
