"""Scores against scikit-learn and by hand; intervals that cover, over whole deals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from models.base import CLIP, Float
from training.evaluate import (
    DealBootstrap,
    auc,
    calibration_bins,
    calibration_error,
    calibration_line,
    row_loss,
    scores,
)


def drawn(n: int = 500, seed: int = 1, places: int | None = None) -> tuple[Float, Float]:
    """Outcomes and well-calibrated probabilities; `places` rounds them, which makes ties."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 3, n)
    y = (rng.random(n) < p).astype(np.float64)
    return y, p if places is None else np.round(p, places)


@pytest.mark.parametrize("places", [None, 1])
def test_scores_are_scikit_learns(places: int | None) -> None:
    y, p = drawn(places=places)
    got = scores(y, p, np.arange(500) // 5)
    inside = np.clip(p, CLIP, 1 - CLIP)
    assert got.log_loss == pytest.approx(log_loss(y, inside), rel=1e-12)
    assert got.brier == pytest.approx(brier_score_loss(y, p), rel=1e-12)
    assert got.auc == pytest.approx(roc_auc_score(y, p), rel=1e-12)
    assert (got.rows, got.deals) == (500, 100)
    assert (got.won_rate, got.ratio) == (y.mean(), p.sum() / y.sum())


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=40))
def test_auc_with_ties_and_weights_is_scikit_learns(rows: list[tuple[bool, int, int]]) -> None:
    y, p, w = (np.array(part, dtype=np.float64) for part in zip(*rows, strict=True))
    got = auc(y, p, w)
    if (w * y).sum() == 0 or (w * (1 - y)).sum() == 0:
        assert np.isnan(got)
    else:
        assert got == pytest.approx(roc_auc_score(y, p, sample_weight=w), abs=1e-12)


def test_auc_of_a_constant_is_a_half_and_of_one_class_nothing() -> None:
    assert auc(np.array([0.0, 1.0, 1.0]), np.full(3, 0.2)) == 0.5
    assert np.isnan(auc(np.ones(3), np.array([0.1, 0.2, 0.3])))


def test_certainty_that_fails_costs_much_but_not_everything() -> None:
    loss = row_loss(np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.0, 1.0, 1.0, 0.0]))
    np.testing.assert_allclose(loss, [-np.log(CLIP), -np.log(CLIP), -np.log(1 - CLIP), -np.log(1 - CLIP)], rtol=1e-9)


def test_ece_by_hand() -> None:
    """20 rows in ten bins of two: said 0.05 + k / 10 in bin k; exactly the five upper bins are won."""
    p = np.repeat(0.05 + np.arange(10) / 10, 2)
    y = np.repeat([0.0] * 5 + [1.0] * 5, 2)
    expected = (0.05 + 0.15 + 0.25 + 0.35 + 0.45) * 2 / 10
    assert calibration_error(y, p) == pytest.approx(expected, rel=1e-12)
    shuffled = np.random.default_rng(0).permutation(20)
    assert calibration_error(y[shuffled], p[shuffled]) == pytest.approx(expected, rel=1e-12)


def test_bins_are_equally_filled() -> None:
    y, p = drawn(503)
    found = calibration_bins(y, p)
    assert [rows for rows, _, _ in found] == [51] * 3 + [50] * 7
    said = [s for _, s, _ in found]
    assert said == sorted(said)
    assert len(calibration_bins(y[:4], p[:4])) == 4


def test_the_ratio_of_a_set_without_wins_is_not_a_number() -> None:
    assert np.isnan(scores(np.zeros(3), np.full(3, 0.1), np.arange(3)).ratio)


def test_the_interval_of_a_known_mean_covers_it() -> None:
    """200 worlds of 150 deals with 1-8 rows that share an effect: about 95 % of the intervals hold the true 0."""
    rng = np.random.default_rng(11)
    held = 0
    for seed in range(200):
        deal = np.repeat(np.arange(150), rng.integers(1, 9, 150))
        values = rng.normal(size=150)[deal] + 0.3 * rng.normal(size=len(deal))
        found = DealBootstrap.of(deal, 200, seed).mean(values)
        held += found.low <= 0 <= found.high
    assert 180 <= held <= 198


def test_rows_of_a_deal_go_together() -> None:
    """Rows that repeat their deal's value tell no more than one row would: drawing rows would claim far less doubt."""
    value = np.random.default_rng(1).normal(size=100)
    deal = np.repeat(np.arange(100), 20)
    once = DealBootstrap.of(np.arange(100), 500, 3).mean(value)
    many = DealBootstrap.of(deal, 500, 3).mean(value[deal])
    assert (many.low, many.high) == pytest.approx((once.low, once.high), rel=1e-9)
    by_row = DealBootstrap.of(np.arange(2000), 500, 3).mean(value[deal])
    assert by_row.high - by_row.low < 0.4 * (many.high - many.low)


def test_deals_are_drawn_whole() -> None:
    deal = np.array([7, 7, 3, 3, 3, 9])
    bootstrap = DealBootstrap.of(deal, 50, 1)
    assert bootstrap.code.tolist() == [1, 1, 0, 0, 0, 2]
    assert bootstrap.draws.shape == (50, 3)
    assert bootstrap.draws.sum(axis=1).tolist() == [3] * 50  # as many deals as there are, some twice, some never
    assert len(np.unique(bootstrap.draws, axis=0)) > 5


def test_drawn_auc_is_the_auc_of_the_drawn_rows() -> None:
    y, p = drawn(60, places=1)
    deal = np.arange(60) // 3
    bootstrap = DealBootstrap.of(deal, 70, 5)  # more than one chunk
    by_hand = [roc_auc_score(y, p, sample_weight=draw[deal]) for draw in bootstrap.draws]
    low, high = np.quantile(by_hand, [0.025, 0.975])
    found = bootstrap.auc(y, p)
    assert (found.value, found.low, found.high) == pytest.approx((roc_auc_score(y, p), low, high), rel=1e-12)


def test_an_auc_gain_is_paired() -> None:
    y, p = drawn(300)
    deal = np.arange(300) // 3
    bootstrap = DealBootstrap.of(deal, 200, 5)
    same = bootstrap.auc_gain(y, p, p)
    assert (same.value, same.low, same.high, same.above) == (0, 0, 0, 0)
    noise = np.random.default_rng(0).random(300)
    better = bootstrap.auc_gain(y, p, noise)
    assert better.value == pytest.approx(auc(y, p) - auc(y, noise), rel=1e-12)
    assert better.low > 0
    assert better.above == 1


def test_above_is_the_share_of_draws_over_zero() -> None:
    values = np.random.default_rng(4).normal(0.05, 1, 400)
    found = DealBootstrap.of(np.arange(400), 400, 2).mean(values)
    assert 0.5 < found.above < 1
    assert DealBootstrap.of(np.arange(400), 400, 2).mean(values - 10).above == 0


def test_no_draws_no_interval() -> None:
    bootstrap = DealBootstrap.of(np.arange(5), 0, 1)
    found = bootstrap.mean(np.arange(5.0))
    assert found.value == 2.0
    assert np.isnan([found.low, found.high, found.above]).all()
    assert np.isnan(bootstrap.auc(np.array([0.0, 1, 0, 1, 0]), np.arange(5.0)).low)


def test_the_same_seed_draws_the_same_deals() -> None:
    deal = np.arange(50)
    first, again, other = (DealBootstrap.of(deal, 20, seed).draws for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_equal_probabilities_share_a_bin_in_any_order() -> None:
    """A constant's error is its distance from the rate, however outcomes drift along the rows."""
    y = (np.arange(1000) > 700).astype(np.float64)
    p = np.full(1000, 0.25)
    assert calibration_error(y, p) == pytest.approx(abs(0.25 - y.mean()), abs=1e-12)
    shuffled = np.random.default_rng(1).permutation(1000)
    assert calibration_error(y[shuffled], p) == pytest.approx(calibration_error(y, p), abs=1e-12)


def test_slope_of_probabilities_that_are_too_sure() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    y = (rng.random(20_000) < 1 / (1 + np.exp(-x))).astype(np.float64)
    assert calibration_line(y, 1 / (1 + np.exp(-x)))[0] == pytest.approx(1.0, abs=0.05)
    assert calibration_line(y, 1 / (1 + np.exp(-2 * x)))[0] == pytest.approx(0.5, abs=0.03)
    assert np.isnan(calibration_line(y, np.full(len(y), 0.3))[0])
