"""The noise floor against closed forms where there is no shock, and what a shock must do."""

from __future__ import annotations

import numpy as np
import pytest

from features.periods import DAY
from models.base import Float
from training.noise_floor import DRAWS, NoiseFloor, OpenDeals, entropy, noise_floor, oracle_misses, week_of


def book(p: Float, amount: Float | None = None, period: int = 0, week: int = 1, wins: float = 10.0) -> OpenDeals:
    amount = np.ones(len(p)) if amount is None else amount
    return OpenDeals(period, week, p, amount, np.zeros(len(p)), wins, float(amount.sum()))


def mean_absolute_deviation(p: Float) -> float:
    """Of the number of wins, from its exact distribution (Poisson binomial, by convolution)."""
    chance = np.ones(1)
    for each in p:
        chance = np.convolve(chance, [1 - each, each])
    return float(np.abs(np.arange(len(chance)) - p.sum()) @ chance)


def test_without_a_shock_wins_are_poisson_binomial() -> None:
    p = np.random.default_rng(1).beta(1, 4, 80)
    wins, _ = oracle_misses(book(p), np.zeros(40_000), 0.0, np.random.default_rng(2))
    assert wins == pytest.approx(mean_absolute_deviation(p), rel=0.02)


def test_money_of_one_deal_by_hand() -> None:
    """Won with 0.2: 80 % of the time the oracle is off by 0.2 of the amount, else by 0.8: together 0.32."""
    one = book(np.array([0.2]), np.array([1000.0]))
    _, money = oracle_misses(one, np.zeros(40_000), 0.0, np.random.default_rng(3))
    assert money == pytest.approx(320, rel=0.02)


def test_the_oracles_log_loss_is_the_entropy() -> None:
    assert entropy(np.full(3, 0.5)) == pytest.approx(np.log(2))
    assert entropy(np.array([0.0, 1.0])) == 0.0
    p = np.random.default_rng(4).beta(1, 3, 200_000)
    y = np.random.default_rng(5).random(len(p)) < p
    assert entropy(p) == pytest.approx(-np.mean(np.where(y, np.log(p), np.log1p(-p))), rel=0.01)


def test_a_shock_adds_error_and_moves_no_mean() -> None:
    p = np.full(2000, 0.3)
    rng = np.random.default_rng(6)
    calm, _ = oracle_misses(book(p), np.zeros(2000), 0.0, rng)
    rough, _ = oracle_misses(book(p), rng.normal(0, 0.15, 2000), 0.15, rng)
    assert calm == pytest.approx(np.sqrt(2000 * 0.3 * 0.7 * 2 / np.pi), rel=0.05)
    assert 2.3 * calm < rough < 3.5 * calm  # sqrt(420 + (420 * 0.15)^2) / sqrt(420) = 3.2
    far, _ = oracle_misses(book(p), np.full(2000, 0.5), 0.15, rng)
    assert far > 100


def test_large_companies_miss_by_less() -> None:
    """The table of the modelling notes: without a shock 1,000 wins miss by 2.7 % in week 1, with it by 7.7 %."""
    p = np.random.default_rng(7).beta(1, 4, 5000)
    small = noise_floor(p, [book(p[:150], wins=30.0)], 7).weeks[0].wins
    large = noise_floor(p, [book(p, wins=1000.0)], 7).weeks[0].wins
    assert noise_floor(p, [book(p, wins=1000.0)], 7, shock=0.0).weeks[0].wins == pytest.approx(0.022, abs=0.004)
    assert 0.05 < large < 0.12
    assert small > 1.5 * large


def test_the_models_own_error_stands_beside_it() -> None:
    p = np.array([0.5, 0.5])
    one = OpenDeals(3, 2, p, np.array([10.0, 30.0]), np.array([1.0, 1.0]), 4.0, 100.0)
    two = OpenDeals(4, 2, p, np.array([10.0, 30.0]), np.array([0.0, 1.0]), 6.0, 100.0)
    (week,) = noise_floor(p, [one, two], 1).weeks
    assert (week.week, week.periods, week.deals) == (2, 2, 2.0)
    assert week.wins_ours == pytest.approx((1 + 0) / 10)
    assert week.money_ours == pytest.approx((20 + 10) / 200)


def test_periods_without_wins_tell_nothing_and_the_seed_all() -> None:
    p = np.full(5, 0.2)
    assert noise_floor(p, [book(p, wins=0.0)], 1).weeks == ()
    found = [noise_floor(p, [book(p)], seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert isinstance(found[0], NoiseFloor)
    assert found[0].draws == DRAWS


def test_weeks_begin_with_the_period() -> None:
    start = 1_700_000_000_000_000
    as_of = start + np.array([0, 6, 7, 13, 90]) * DAY
    assert week_of(as_of, np.full(5, start)).tolist() == [1, 1, 2, 2, 13]
    summer_time = start + 7 * DAY - 3_600_000_000
    assert week_of(np.array([summer_time]), np.array([start])).tolist() == [2]
