"""Scores of bookings against sums by hand, the identities of the literature, and intervals that draw whole periods."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from models.base import Float, Int
from training.bookings_scores import (
    LEVELS,
    Forecasts,
    joined,
    less_error,
    pinball,
    score,
    score_each,
    weighted_interval_score,
)


def rows(
    actual: list[float], quantiles: Float, period: list[int] | Int | None = None, level: str = "company", week: int = 1
) -> Forecasts:
    n = len(actual)
    which = np.arange(n) if period is None else np.asarray(period)
    spot = np.full(n, "all")
    y = np.array(actual, dtype=np.float64)
    return Forecasts(which, np.full(n, week), np.full(n, level), spot, y, quantiles[:, 3], quantiles)


def around(points: list[float], half: tuple[float, float, float] = (10.0, 20.0, 30.0)) -> Float:
    inner, middle, outer = half
    return np.array([[m - outer, m - middle, m - inner, m, m + inner, m + middle, m + outer] for m in points])


def test_the_weighted_interval_score_by_hand() -> None:
    """One row: median 100, bands 90-110, 80-120, 70-130, and 125 booked.

    |y - m| / 2 = 12.5. 50 %: alpha 0.5, IS = 20 + 4 x 15 = 80, x 0.25 = 20. 80 %: alpha 0.2, IS = 40 + 10 x 5 = 90,
    x 0.1 = 9. 90 %: alpha 0.1, IS = 60, x 0.05 = 3. Sum 44.5, over 3.5.
    """
    found = weighted_interval_score(np.array([125.0]), around([100.0]))
    assert found == pytest.approx([44.5 / 3.5])


def test_it_is_twice_the_mean_pinball_loss() -> None:
    rng = np.random.default_rng(1)
    quantiles = np.sort(rng.normal(100, 30, (200, 7)), axis=1)
    actual = rng.normal(100, 40, 200)
    assert weighted_interval_score(actual, quantiles) == pytest.approx(2 * pinball(actual, quantiles), rel=1e-12)


def test_pinball_by_a_loop() -> None:
    actual, quantiles = np.array([125.0, 60.0]), around([100.0, 100.0])
    for k, y in enumerate(actual):
        loss = [
            level * (y - q) if y >= q else (1 - level) * (q - y) for level, q in zip(LEVELS, quantiles[k], strict=True)
        ]
        assert pinball(actual, quantiles)[k] == pytest.approx(sum(loss) / 7)


def test_errors_are_shares_of_what_was_booked_and_a_period_of_nothing_counts() -> None:
    found = score(rows([125.0, 0.0, 175.0], around([100.0, 20.0, 170.0])), 200, 1)
    assert found.mae.value == pytest.approx((25 + 20 + 5) / 300)
    assert found.bias.value == pytest.approx((-25 + 20 - 5) / 300)
    assert found.width.value == pytest.approx(3 * 40 / 300)
    assert found.coverage.value == pytest.approx(2 / 3)  # 0 lies on the band's lower end, 125 outside
    assert (found.level, found.week, found.rows, found.periods) == ("company", 1, 3, 3)
    assert found.wis.value == pytest.approx(2 * found.pinball.value)


def test_the_mean_is_judged_as_well_as_the_median() -> None:
    told = rows([100.0, 100.0], around([100.0, 100.0]))
    skewed = Forecasts(told.period, told.week, told.level, told.node, told.actual, told.mean + 7, told.quantiles)
    found = score(skewed, 10, 1)
    assert (found.mae.value, found.mae_of_mean.value) == (0.0, pytest.approx(0.07))


def test_scores_do_not_know_the_currency() -> None:
    one = rows([125.0, 60.0, 175.0], around([100.0, 90.0, 170.0]))
    cents = rows([12_500.0, 6_000.0, 17_500.0], around([10_000.0, 9_000.0, 17_000.0], (1000.0, 2000.0, 3000.0)))
    left, right = score(one, 50, 3), score(cents, 50, 3)
    for name in ("mae", "mae_of_mean", "bias", "wis", "pinball", "coverage", "width"):
        assert astuple(getattr(left, name)) == pytest.approx(astuple(getattr(right, name)))


def test_nothing_booked_at_all_has_no_share() -> None:
    found = score(rows([0.0, 0.0], around([5.0, 5.0])), 20, 1)
    assert np.isnan(found.mae.value)
    assert found.coverage.value == 1.0


def test_rows_of_a_period_are_drawn_together() -> None:
    """A hundred rows that all repeat one of four periods say no more than the four."""
    rng = np.random.default_rng(5)
    base = rng.normal(100, 25, 4)
    few = score(rows(base.tolist(), around([100.0] * 4)), 400, 9)
    many = score(rows(np.repeat(base, 25).tolist(), around([100.0] * 100), np.repeat(np.arange(4), 25)), 400, 9)
    alone = score(rows(np.repeat(base, 25).tolist(), around([100.0] * 100)), 400, 9)
    assert (many.mae.low, many.mae.high) == pytest.approx((few.mae.low, few.mae.high))
    assert alone.mae.high - alone.mae.low < 0.5 * (few.mae.high - few.mae.low)


def test_each_week_and_level_is_scored_alone_and_untold_rows_are_left_out() -> None:
    team = rows([50.0, 50.0], around([40.0, np.nan]), level="team", week=4)
    found = score_each(
        joined([team, rows([100.0], around([90.0]), level="company", week=4), rows([100.0], around([110.0]))]), 10, 1
    )
    assert [(each.level, each.week, each.rows) for each in found] == [
        ("company", 1, 1),
        ("company", 4, 1),
        ("team", 4, 1),
    ]
    assert [each.bias.value for each in found] == pytest.approx([0.1, -0.1, -0.2])


def test_less_error_is_paired_by_row_in_any_order() -> None:
    actual = [100.0, 200.0, 300.0, 400.0]
    ours, other = (
        rows(actual, around([110.0, 190.0, 300.0, 400.0])),
        rows(actual, around([120.0, 240.0, 260.0, np.nan])),
    )
    found = less_error(ours, other.take(np.array([2, 0, 3, 1])), 200, 2)
    assert (found.rows, found.periods) == (3, 3)
    assert found.error.value == pytest.approx(1 - 20 / 100)
    assert found.error.low <= found.error.value <= found.error.high
    assert found.error.above == 1.0  # ours is nearer in each period, so in every draw
    assert found.wis.value > 0


def test_what_cannot_be_scored_is_refused() -> None:
    one = rows([1.0], around([1.0]))
    with pytest.raises(ValueError, match="0 of 1 rows"):
        score(rows([1.0], around([np.nan])), 10, 1)
    with pytest.raises(ValueError, match="0 of 0 rows"):
        score(one.take(np.zeros(0, dtype=np.int64)), 10, 1)
    with pytest.raises(ValueError, match="quantiles decrease"):
        rows([1.0], around([1.0])[:, ::-1])
    with pytest.raises(ValueError, match="equal length"):
        rows([1.0], around([1.0])[:, :5])
    with pytest.raises(ValueError, match="no row"):
        less_error(one, rows([1.0], around([1.0]), week=4), 10, 1)
    with pytest.raises(ValueError, match="disagree"):
        less_error(one, rows([2.0], around([1.0])), 10, 1)
