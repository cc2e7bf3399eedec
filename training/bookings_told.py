"""What a backtest says of bookings, as data for the accuracy page: every look at a period beside every baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.nodes import COMPANY
from models.bookings import LEVELS
from training.backtest import Tested
from training.bookings_forecasts import forecasts
from training.bookings_looks import looks_of
from training.bookings_scores import Forecasts, score
from training.bookings_section import NAME, told_forecasts
from training.evaluate import Interval
from training.noise_floor import NoiseFloor
from training.prepare import Prepared

MODEL = "model"
P10, P50, P90 = (LEVELS.index(level) for level in (0.1, 0.5, 0.9))


@dataclass(frozen=True)
class LookTold:
    """What was said of the company in a week of a period. booked: by then. said: points of the baselines that could."""

    week: int
    booked: float
    mean: float
    p10: float
    p50: float
    p90: float
    said: Mapping[str, float]


@dataclass(frozen=True)
class PeriodTold:
    """One tested period, by its first and last day (ISO, inclusive). came: what it booked in the end, in currency."""

    period_start: str
    period_end: str
    came: float
    weeks: tuple[LookTold, ...]


@dataclass(frozen=True)
class MissTold:
    """How far one forecast of the company was off, over the periods that it told, with 95 % intervals over periods.

    name: `MODEL` or a baseline's. week: 0 for all. error: sum of |P50 - came| / sum of came. bias: of P50 - came.
    in_band: share of periods that came within P10 to P90. floor: the error of one who knows every open deal's chance.
    """

    name: str
    week: int
    periods: int
    error: Interval
    bias: Interval
    in_band: Interval
    floor: float | None


@dataclass(frozen=True)
class BookingsTold:
    """Bookings of the company in a backtest. misses: the model's first, each in all weeks and then week by week."""

    periods: tuple[PeriodTold, ...]
    misses: tuple[MissTold, ...]


def bookings_told(prepared: Prepared, tested: Tested, floor: NoiseFloor | None) -> BookingsTold | None:
    """Return what the walk foretold of the company beside every baseline; None where no bookings were foretold."""
    if f"{NAME}.period" not in tested.tables:
        return None
    ours = told_forecasts(prepared, tested)
    ours = ours.take((ours.level == COMPANY) & ours.told)
    if not len(ours):
        return None
    about = np.unique(ours.period)
    rivals = {
        name: each.take((each.level == COMPANY) & np.isin(each.period, about) & each.told)
        for name, each in forecasts(looks_of(prepared, tested)).items()
    }
    every = {MODEL: ours} | {name: each for name, each in rivals.items() if len(each)}
    known = {week.week: week.money for week in floor.weeks} if floor is not None else {}
    draws, seed = prepared.config.backtest.bootstrap, prepared.config.seed
    misses = tuple(miss for name, each in every.items() for miss in _misses(name, each, known, draws, seed))
    return BookingsTold(_periods(prepared, tested, ours, rivals), misses)


def _misses(name: str, rows: Forecasts, floor: Mapping[int, float], draws: int, seed: int) -> list[MissTold]:
    found = []
    for week in (0, *np.unique(rows.week).tolist()):
        told = score(rows.take(rows.week == week) if week else rows, draws, seed)
        found.append(MissTold(name, week, told.periods, told.mae, told.bias, told.coverage, floor.get(week)))
    return found


def _periods(
    prepared: Prepared, tested: Tested, ours: Forecasts, rivals: Mapping[str, Forecasts]
) -> tuple[PeriodTold, ...]:
    table = {name: tested.tables[f"{NAME}.{name}"] for name in ("period", "week", "level", "booked")}
    company = table["level"] == 0
    places = zip(table["period"][company], table["week"][company], table["booked"][company], strict=True)
    booked = {(int(period), int(week)): float(amount) for period, week, amount in places}
    said: dict[tuple[int, int], dict[str, float]] = {}
    for name, each in rivals.items():
        for period, week, point in zip(each.period.tolist(), each.week.tolist(), each.median.tolist(), strict=True):
            said.setdefault((period, week), {})[name] = point
    calendar, found = prepared.calendar, []
    for period in np.unique(ours.period).tolist():
        own = ours.take(ours.period == period)
        looks = tuple(
            LookTold(
                week, booked[period, week], mean, quantiles[P10], quantiles[P50], quantiles[P90],
                said.get((period, week), {}),
            )
            for week, mean, quantiles in sorted(
                zip(own.week.tolist(), own.mean.tolist(), own.quantiles.tolist(), strict=True)
            )
        )  # fmt: skip
        first, last = calendar.day(period), calendar.last_day(period)
        found.append(PeriodTold(first.isoformat(), last.isoformat(), float(own.actual[0]), looks))
    return tuple(found)
