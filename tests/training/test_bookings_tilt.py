"""The tilt of money: found where large deals are won less often than said, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from models.base import Float, Int, clipped_logit, sigmoid
from models.bookings import TILT_DAYS, BookingsModel, Shocks, ahead
from training.bookings_fit import MOST_TILT, Looks, tilts_of

LOOKED_AT = (80.0, 36.0, 10.0)  # days before the end


@dataclass(frozen=True)
class MadeUp:
    """Looks, with the arguments that `tilts_of` takes beside them."""

    looks: Looks
    deal: Int
    size: Float
    days: Float

    def tilts(self) -> tuple[float, float]:
        return tilts_of(self.looks, self.deal, self.size, self.days)


def made_up(tilt: float, late: float, levels: tuple[float, ...], deals: int, seed: int) -> MadeUp:
    """Looks at `deals` deals a period, whose true log-odds are those said + (tilt + late x ahead) x size + a level.

    Every period has its level; a third of the deals is looked at early, a third later and a third late.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for period, level in enumerate(levels):
        p, size, days = rng.beta(1.2, 3.0, deals), rng.normal(0, 1.2, deals), np.resize(LOOKED_AT, deals)
        moved = (tilt + late * ahead(days)) * size + level
        y = (rng.random(deals) < sigmoid(clipped_logit(p) + moved)).astype(np.float64)
        again = np.concatenate([np.arange(deals), np.arange(0, deals, 3)])
        same = np.full(len(again), period)
        as_of = period * 1000 + np.rint(100 - days[again]).astype(np.int64)
        looks = Looks(again, same, same, as_of, again, again, p[again], y[again])
        parts.append((looks, again + period * deals, size[again], days[again]))
    columns = [np.concatenate(each) for each in zip(*(vars(one).values() for one, *_ in parts), strict=True)]
    return MadeUp(Looks(*columns), *(np.concatenate([part[k] for part in parts]) for k in (1, 2, 3)))


@pytest.mark.parametrize(("tilt", "late"), [(-0.2, 0.0), (0.15, 0.0), (0.0, 0.15), (-0.1, -0.2)])
def test_planted_tilts_are_found_whatever_the_levels_of_periods(tilt: float, late: float) -> None:
    assert made_up(tilt, late, (0.4, -0.5, 0.0, 0.2), 6000, 1).tilts() == pytest.approx((tilt, late), abs=0.04)


def test_levels_alone_are_no_tilt() -> None:
    assert made_up(0.0, 0.0, (0.5, -0.5, 0.5, -0.5), 4000, 2).tilts() == pytest.approx((0.0, 0.0), abs=0.04)


def test_few_deals_tell_little_and_nothing_goes_past_the_bound() -> None:
    few = [made_up(-0.3, 0.0, (0.0, 0.0), 30, seed).tilts()[0] for seed in range(40)]
    many = [made_up(-0.3, 0.0, (0.0, 0.0), 4000, seed).tilts()[0] for seed in range(3)]
    assert -0.15 < np.mean(few) < 0.0  # held back by its prior
    assert np.mean(many) == pytest.approx(-0.3, abs=0.04)
    assert made_up(-2.0, 0.0, (0.0, 0.0), 4000, 5).tilts()[0] == -MOST_TILT
    assert made_up(0.0, 2.0, (0.0, 0.0), 4000, 5).tilts()[1] == MOST_TILT


def test_a_deal_counts_once_however_often_it_was_looked_at() -> None:
    once = made_up(-0.2, 0.1, (0.0, 0.0), 500, 3)
    looks = Looks(*(np.concatenate([column, column]) for column in vars(once.looks).values()))
    twice = MadeUp(looks, *(np.concatenate([part, part]) for part in (once.deal, once.size, once.days)))
    assert twice.tilts() == pytest.approx(once.tilts(), abs=1e-6)


def test_tilted_chances() -> None:
    model = BookingsModel(Shocks(0.0, 0.0, 0.0), np.ones(1), 4, tilt=-0.1, usual=float(np.log(1000.0)))
    p, amount = np.array([0.3, 0.3, 0.3, 0.0, 1.0, 0.3]), np.array([1000.0, 10_000.0, 100.0, 50.0, 50.0, 0.0])
    told = model.tilted(p, amount, 10.0)
    assert told[0] == pytest.approx(0.3)
    assert told[1] == pytest.approx(float(sigmoid(np.log(0.3 / 0.7) - 0.1 * np.log(10.0))))
    assert told[1] < 0.3 < told[2]
    assert told[3:].tolist() == [0.0, 1.0, pytest.approx(0.3)]


def test_large_deals_that_close_late() -> None:
    model = BookingsModel(Shocks(0.0, 0.0, 0.0), np.ones(1), 4, late=-0.1, usual=float(np.log(1000.0)))
    p, amount = np.full(3, 0.3), np.full(3, 10_000.0)
    told = model.tilted(p, amount, np.array([TILT_DAYS, 7.0, 80.0]))
    assert told[0] == pytest.approx(0.3)
    assert told[1] == pytest.approx(float(sigmoid(np.log(0.3 / 0.7) - 0.1 * np.log(7 / TILT_DAYS) * np.log(10.0))))
    assert told[2] < 0.3 < told[1]
