"""The formulas by hand, and where they say None."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.pipeline_parts import Cover, Curve, Health, StageFlow, Velocity, WinRate, Won, centre, uneven

STEPS = st.lists(st.tuples(st.floats(0, 1, allow_nan=False), st.integers(1, 10**9)), min_size=1, max_size=12)


def test_rates_of_a_stage() -> None:
    flow = StageFlow("Demo", 3, 900, entered=20, advanced=8, lost=4, merged=2, still_open=6, won=3, ended=9)
    assert (flow.rate, flow.rate_low, flow.rate_high, flow.win_rate) == (8 / 12, 8 / 18, 14 / 18, 3 / 9)
    nothing = StageFlow(None, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    assert (nothing.rate, nothing.rate_low, nothing.rate_high, nothing.win_rate) == (None,) * 4
    undecided = StageFlow("Demo", 3, 900, entered=6, advanced=0, lost=0, merged=0, still_open=6, won=0, ended=0)
    assert (undecided.rate, undecided.rate_low, undecided.rate_high) == (None, 0, 1)


def test_win_rates_and_sizes() -> None:
    rate = WinRate(won=2, lost=6, won_cents=300, lost_cents=100, unpriced=1)
    assert (rate.by_count, rate.by_amount) == (0.25, 0.75)
    assert (WinRate(0, 0, 0, 0, 0).by_count, WinRate(1, 0, 0, 0, 1).by_amount) == (None, None)
    assert Won(3, 900, 2, None, None).average_cents == 450
    assert Won(3, 0, 0, None, None).average_cents is None


def test_velocity() -> None:
    assert Velocity(40, 0.25, 100_000, 50.0).cents_per_day == 40 * 0.25 * 100_000 / 50
    assert Velocity(0, 0.25, 100_000, 50.0).cents_per_day == 0
    for missing in (Velocity(1, None, 1, 1), Velocity(1, 1, None, 1), Velocity(1, 1, 1, None)):
        assert missing.cents_per_day is None


def test_coverage() -> None:
    cover = Cover(4, 900, 300, 1000, 200, 0.25)
    assert (cover.ratio, cover.needed, cover.expected_cents) == (3, 4, 225)
    assert Cover(4, 900, None, 1000, 200, 0.25).ratio is None
    assert Cover(4, 900, 0, 1000, 200, 0.25).ratio is None
    assert Cover(4, 900, 300, 1000, 0, 0.0).needed is None
    assert Cover(4, 900, 300, 0, 0, None).expected_cents is None


def test_health() -> None:
    assert Health(0.5, 1.0, 0.8).score == pytest.approx(100 * (0.25 + 0.25 + 0.2))
    for missing in (Health(None, 1, 1), Health(1, None, 1), Health(1, 1, None)):
        assert missing.score is None


@pytest.mark.parametrize(
    ("shares", "weights", "area"),
    [
        ((1.0,), (5,), 0.5),
        ((0.0,), (5,), 0.5),
        ((0.5,), (5,), 0.25),
        ((0.25, 0.75), (1, 1), 0.125),
        ((), (), None),
        ((0.5,), (0,), None),
    ],
)
def test_unevenness_by_hand(shares: tuple[float, ...], weights: tuple[int, ...], area: float | None) -> None:
    assert uneven(shares, weights) == area


@given(STEPS)
def test_unevenness_is_the_area_on_a_grid(steps: list[tuple[float, int]]) -> None:
    shares, weights = map(list, zip(*sorted(steps), strict=True))
    grid = (np.arange(5000) + 0.5) / 5000
    level = np.concatenate([[0], np.cumsum(weights)])[np.searchsorted(shares, grid, side="right")] / sum(weights)
    area = uneven(shares, weights)
    assert area == pytest.approx(np.abs(level - grid).mean(), abs=2e-3)
    assert 0 <= area <= 0.5 + 1e-12


def test_even_bookings_are_linear() -> None:
    shares = [(k + 0.5) / 1000 for k in range(1000)]
    area = uneven(shares, [7] * 1000)
    assert area is not None
    assert 1 - 2 * area == pytest.approx(1, abs=1e-3)
    assert centre(shares, [7] * 1000) == pytest.approx(0.5)
    assert centre([0.9, 0.1], [3, 1]) == pytest.approx(0.7)
    assert centre([], []) is None


def test_a_curve_without_quota_or_end() -> None:
    days = (date(2024, 1, 7), date(2024, 1, 14))
    running = Curve(date(2024, 1, 1), date(2024, 3, 31), False, days, (10, 40), 40, 80, None)
    assert (running.of_quota, running.of_total) == ((0.125, 0.5), (None, None))
    assert (running.attainment, running.linearity) == (0.5, None)
    over = Curve(date(2024, 1, 1), date(2024, 3, 31), True, days, (10, 40), 40, None, 0.1)
    assert (over.of_quota, over.of_total) == ((None, None), (0.25, 1))
    assert (over.attainment, over.linearity) == (None, 0.8)
