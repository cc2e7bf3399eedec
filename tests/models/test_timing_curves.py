"""Curves are chances at every horizon: non-decreasing, adding up to 1, and the close head's own at the anchor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import Float, Int
from models.timing_curves import at_share, coherent, merged_grid

POINTS = 9


@st.composite
def curves(draw: st.DrawFn) -> tuple[Float, Float, Int, Float, Float]:
    """Raw curves of a few rows, some far apart and some level, with ties on the grid: as `coherent` takes them."""
    n = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steep = draw(st.sampled_from([0.0, 0.3, 3.0, 20.0]))
    grid = np.sort(rng.choice([0.0, 1.0, 7.0, 7.0, 30.0, 91.0, 200.0, 365.0], (n, POINTS)), axis=1)
    grid[:, 0], grid[:, -1] = 0.0, 365.0
    raw = [rng.normal(-3, 3, (n, 1)) + np.cumsum(rng.exponential(1, (n, POINTS)) * steep, axis=1) for _ in range(2)]
    won, lost = (np.where(grid <= 0, -np.inf, part) for part in raw)
    at = np.array([rng.choice(np.flatnonzero(days > 0)) for days in grid])
    p = draw(st.sampled_from([1e-6, 0.02, 0.5, 0.97, 1 - 1e-6])) * np.ones(n)
    return won, lost, at, p, grid


@settings(max_examples=200, deadline=None)
@given(curves())
def test_chances_at_every_horizon(made: tuple[Float, Float, Int, Float, Float]) -> None:
    won, lost = coherent(*made)
    _, _, at, p, grid = made
    for curve in (won, lost):
        assert ((curve >= 0) & (curve <= 1)).all()
        assert (np.diff(curve, axis=1) >= 0).all()
    assert (won + lost <= 1 + 1e-15).all()
    assert np.array_equal(won[np.arange(len(p)), at], p)  # to the last bit
    same_day = grid == grid[np.arange(len(p)), at][:, None]
    assert np.array_equal(np.where(same_day, won, p[:, None]), np.broadcast_to(p[:, None], won.shape))
    assert not won[grid <= 0].any()
    assert not lost[grid <= 0].any()


@settings(max_examples=100, deadline=None)
@given(curves())
def test_a_row_alone_has_the_bits_it_has_among_others(made: tuple[Float, Float, Int, Float, Float]) -> None:
    together = coherent(*made)
    for i in range(len(made[0])):
        alone = coherent(*(part[i : i + 1] for part in made))
        assert all(a.tobytes() == b[i : i + 1].tobytes() for a, b in zip(alone, together, strict=True))


@settings(max_examples=100, deadline=None)
@given(curves(), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_dates_are_in_order_and_within_the_horizon(
    made: tuple[Float, Float, Int, Float, Float], one: float, other: float
) -> None:
    won, _ = coherent(*made)
    grid = made[-1]
    last = np.full(len(grid), POINTS - 1)
    early, late = (at_share(grid, won, last, share) for share in sorted([one, other]))
    assert (early <= late).all()
    assert ((early >= 0) & (late <= 365.0)).all()


def test_the_close_head_decides_the_period_and_the_raw_curves_the_rest() -> None:
    """Raw: won 0.2 by day 30, 0.4 by day 90; lost 0.1 and 0.2. The close head says 0.5 by day 30 instead of 0.2.

    By day 15 half of the period's wins are there still; of the other half of the deals a quarter is won by day 90, as
    0.2 of 0.8 were, and a quarter is lost by then.
    """
    grid = np.array([[0.0, 15.0, 30.0, 90.0]])
    won = np.array([[0.0, 0.1, 0.2, 0.4]])
    lost = np.array([[0.0, 0.05, 0.1, 0.2]])
    with np.errstate(divide="ignore"):
        raw_won, raw_lost = (np.log(part) - np.log1p(-part) for part in (won, lost))
    told = coherent(raw_won, raw_lost, np.array([2]), np.array([0.5]), grid)
    np.testing.assert_allclose(told[0], [[0.0, 0.25, 0.5, 0.5 + 0.5 * 0.25]], atol=1e-12)
    np.testing.assert_allclose(told[1], [[0.0, 0.5 * 0.0625, 0.5 * 0.125, 0.5 * 0.25]], atol=1e-12)


def test_raw_curves_that_agree_with_the_close_head_stay_as_they_are() -> None:
    grid = np.array([[0.0, 10.0, 50.0, 100.0]])
    won, lost = np.array([[0.0, 0.2, 0.3, 0.5]]), np.array([[0.0, 0.1, 0.2, 0.45]])
    with np.errstate(divide="ignore"):
        raw_won, raw_lost = (np.log(part) - np.log1p(-part) for part in (won, lost))
    told = coherent(raw_won, raw_lost, np.array([1]), np.array([0.2]), grid)
    np.testing.assert_allclose(told[0], won, atol=1e-12)
    np.testing.assert_allclose(told[1], lost, atol=1e-12)


@pytest.mark.parametrize(("share", "days"), [(0.25, 5.0), (0.5, 10.0), (0.75, 25.0), (1.0, 40.0)])
def test_dates_lie_between_the_points_of_the_grid(share: float, days: float) -> None:
    """0.4 is won by day 40, half of it by day 10."""
    grid, won = np.array([[0.0, 10.0, 40.0, 90.0]]), np.array([[0.0, 0.2, 0.4, 0.9]])
    np.testing.assert_allclose(at_share(grid, won, np.array([2]), share), [days])


def test_each_rows_own_days_find_their_place() -> None:
    fixed = np.array([0.0, 10.0, 50.0])
    own = np.array([[30.0, np.nan], [99.0, -5.0], [10.0, 10.0]])
    grid, place = merged_grid(fixed, own, 50.0)
    assert (np.diff(grid, axis=1) >= 0).all()
    assert (place[0, 1], place[1, 1] >= 0) == (-1, True)
    np.testing.assert_array_equal(grid[0, place[0, 0]], 30.0)
    np.testing.assert_array_equal(grid[1, place[1]], [50.0, 0.0])
    np.testing.assert_array_equal(grid[2, place[2]], [10.0, 10.0])
