"""The tilt of money: found where large deals are won less often than said, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from models.base import Float, Int, clipped_logit, sigmoid
from models.bookings import BookingsModel, Shocks
from training.bookings_fit import MOST_TILT, Looks, tilt_of


def made_up(tilt: float, levels: tuple[float, ...], deals: int, seed: int) -> tuple[Looks, Int, Float]:
    """Looks at `deals` deals a period, whose true log-odds are those said + tilt x size + the period's own level.

    Every other deal is looked at twice, with the same outcome.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for period, level in enumerate(levels):
        p, size = rng.beta(1.2, 3.0, deals), rng.normal(0, 1.2, deals)
        y = (rng.random(deals) < sigmoid(clipped_logit(p) + tilt * size + level)).astype(np.float64)
        again = np.concatenate([np.arange(deals), np.arange(0, deals, 2)])
        columns = [
            again,
            *(np.full(len(again), value) for value in (period, 1, period)),
            again,
            again,
            p[again],
            y[again],
        ]
        parts.append((columns, again + period * deals, size[again]))
    looks = Looks(*(np.concatenate(each) for each in zip(*(columns for columns, _, _ in parts), strict=True)))
    return looks, np.concatenate([deal for _, deal, _ in parts]), np.concatenate([size for _, _, size in parts])


@pytest.mark.parametrize("tilt", [-0.2, 0.15])
def test_a_planted_tilt_is_found_whatever_the_levels_of_periods(tilt: float) -> None:
    looks, deal, size = made_up(tilt, (0.4, -0.5, 0.0, 0.2), 4000, 1)
    assert tilt_of(looks, deal, size) == pytest.approx(tilt, abs=0.04)


def test_levels_alone_are_no_tilt() -> None:
    looks, deal, size = made_up(0.0, (0.5, -0.5, 0.5, -0.5), 4000, 2)
    assert tilt_of(looks, deal, size) == pytest.approx(0.0, abs=0.04)


def test_few_deals_tell_little_and_nothing_goes_past_the_bound() -> None:
    few = [tilt_of(*made_up(-0.3, (0.0, 0.0), 30, seed)) for seed in range(40)]
    many = [tilt_of(*made_up(-0.3, (0.0, 0.0), 4000, seed)) for seed in range(3)]
    assert -0.15 < np.mean(few) < 0.0  # held back by its prior
    assert np.mean(many) == pytest.approx(-0.3, abs=0.03)
    assert tilt_of(*made_up(-2.0, (0.0, 0.0), 4000, 5)) == -MOST_TILT


def test_a_deal_counts_once_however_often_it_was_looked_at() -> None:
    looks, deal, size = made_up(-0.2, (0.0, 0.0), 500, 3)
    twice = Looks(*(np.concatenate([column, column]) for column in vars(looks).values()))
    assert tilt_of(twice, np.concatenate([deal, deal]), np.concatenate([size, size])) == pytest.approx(
        tilt_of(looks, deal, size), abs=1e-9
    )


def test_tilted_chances() -> None:
    model = BookingsModel(Shocks(0.0, 0.0, 0.0), np.ones(1), 4, tilt=-0.1, usual=float(np.log(1000.0)))
    p, amount = np.array([0.3, 0.3, 0.3, 0.0, 1.0, 0.3]), np.array([1000.0, 10_000.0, 100.0, 50.0, 50.0, 0.0])
    told = model.tilted(p, amount)
    assert told[0] == pytest.approx(0.3)
    assert told[1] == pytest.approx(float(sigmoid(np.log(0.3 / 0.7) - 0.1 * np.log(10.0))))
    assert told[1] < 0.3 < told[2]
    assert told[3:].tolist() == [0.0, 1.0, pytest.approx(0.3)]
