"""Calibration: it finds a planted slope and shift, stays away where it does not win, and its prior holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Float, Int, sigmoid
from models.calibrate import IDENTITY, INTERCEPT_SD, PLATT_FROM, SLOPE_SD, Affine, _fit, calibrate

N = 40_000


def world(
    slope: float, shift: float, n: int = N, per_deal: int = 1, seed: int = 2
) -> tuple[Float, Float, Int, np.ndarray]:
    """Log-odds that should have been shift + slope x themselves; the newer half is later."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(-1, 1.5, n)
    y = (rng.random(n) < sigmoid(shift + slope * raw)).astype(np.float64)
    return raw, y, np.arange(n) // per_deal, np.arange(n) >= n // 2


def test_a_planted_slope_and_shift_are_found() -> None:
    found = calibrate(*world(0.7, 0.3))
    assert found.slope == pytest.approx(0.7, abs=0.03)
    assert found.intercept == pytest.approx(0.3, abs=0.04)


def test_without_a_level_the_slope_alone_is_found() -> None:
    found = calibrate(*world(0.6, 0.5), level=False)
    assert found.intercept == 0.0
    assert 0.4 < found.slope < 1.0


def test_what_is_right_already_is_left_alone() -> None:
    assert calibrate(*world(1.0, 0.0)) is IDENTITY


def test_what_wins_on_older_rows_only_is_not_used() -> None:
    """The older half is over-confident, the newer one is right: learning from the first would hurt the second."""
    raw, y, deal, later = world(0.6, 0.0)
    right, right_y, _, _ = world(1.0, 0.0, seed=3)
    half = N // 2
    assert calibrate(np.append(raw[:half], right[half:]), np.append(y[:half], right_y[half:]), deal, later) is IDENTITY


def test_few_deals_move_the_slope_alone() -> None:
    """Below 1,000 deals only the temperature is free, though the shift is there to be had."""
    found = calibrate(*world(0.6, 0.5, n=990 * 40, per_deal=40))
    assert found.intercept == 0.0
    assert 0.4 < found.slope < 1.0
    assert calibrate(*world(0.6, 0.5, n=PLATT_FROM * 40, per_deal=40)).intercept > 0.1


def test_the_prior_holds_where_little_is_told() -> None:
    """Rows of a deal count as one: the same rows of fewer deals are pulled further towards doing nothing."""
    many = calibrate(*world(0.5, 0.0, n=4000, per_deal=2))
    few = calibrate(*world(0.5, 0.0, n=4000, per_deal=20))
    assert 0.45 < many.slope < few.slope < 1.0


def test_the_fit_is_the_penalised_optimum() -> None:
    """No nearby slope or intercept has a better penalised likelihood."""
    raw, y, deal, later = world(0.8, 0.2, n=6000, per_deal=3)
    found = calibrate(raw, y, deal, later)
    assert found is not IDENTITY

    def penalised(at: Affine) -> float:
        z = at.apply(raw)
        told = float((np.logaddexp(0.0, z) - y * z).sum()) * len(np.unique(deal)) / len(y)
        return told + (at.slope - 1) ** 2 / (2 * SLOPE_SD**2) + at.intercept**2 / (2 * INTERCEPT_SD**2)

    best = penalised(found)
    for move in (1e-3, -1e-3):
        assert penalised(Affine(found.intercept + move, found.slope)) > best
        assert penalised(Affine(found.intercept, found.slope + move)) > best


@pytest.mark.parametrize("later", [np.zeros(100, dtype=bool), np.ones(100, dtype=bool)])
def test_without_an_older_and_a_newer_part_nothing_is_done(later: np.ndarray) -> None:
    raw, y, deal, _ = world(0.5, 0.5, n=100)
    assert calibrate(raw, y, deal, later) is IDENTITY


def test_a_gain_must_be_sure_over_deals_not_rows() -> None:
    """Newer rows that repeat a handful of deals can't prove a calibration, however many they are."""
    raw, y, deal, later = world(0.7, 0.3, n=8000)
    assert calibrate(raw, y, deal, later) is not IDENTITY
    rng = np.random.default_rng(0)
    few = np.flatnonzero(later)[:5]
    again = np.concatenate([np.flatnonzero(~later), rng.choice(few, 4000)])
    found = calibrate(raw[again], y[again], deal[again], later[again])
    assert found is IDENTITY


@given(st.integers(0, 10_000), st.floats(0.05, 3.0), st.floats(0.5, 8.0), st.floats(-9.0, 3.0), st.booleans())
def test_no_fit_runs_away(seed: int, slope: float, spread: float, centre: float, platt: bool) -> None:
    """The fit is at least as good as a grid around it, however over-confident the log-odds are."""
    rng = np.random.default_rng(seed)
    raw = np.clip(rng.normal(centre, spread, 800), -27, 6)
    y = (rng.random(800) < sigmoid(slope * raw)).astype(np.float64)
    deal = np.arange(800) // 4
    found = _fit(raw, y, deal, platt)
    assert 0 <= found.slope < 5
    best = min(penalised(raw, y, a if platt else 0.0, b) for a in np.linspace(-1, 1, 21) for b in np.linspace(0, 3, 61))
    assert penalised(raw, y, found.intercept, found.slope) <= best + 1e-6


def penalised(raw: Float, y: Float, intercept: float, slope: float) -> float:
    z = intercept + slope * raw
    misfit = 200 / 800 * float(np.sum(np.logaddexp(0.0, z) - y * z))
    return misfit + (slope - 1) ** 2 / (2 * SLOPE_SD**2) + intercept**2 / (2 * INTERCEPT_SD**2)
