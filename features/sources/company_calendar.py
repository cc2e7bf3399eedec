"""The simulated company's calendar: weeks, quarters, local office time, and how closings spread over a quarter.

Days are int64 days since 1970-01-01 (local dates); instants are int64 UTC seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DAY = 86_400
HOUR = 3_600
EPOCH = date(1970, 1, 1)
# Close dates and planned meetings reach past the end of the run: the tables do too.
SPARE_QUARTERS = 12


@dataclass(frozen=True)
class RhythmParams:
    """How signatures and recorded losses spread over the days of a quarter (log weights, then normalised)."""

    win_dip_first_14_days: float = -0.55  # log weight, days 1-14 of the quarter
    win_dip_first_28_days: float = -0.25  # log weight, days 15-28
    win_last_28_days: float = 0.15  # log weight, 28 to 15 days before the end
    win_last_14_days: float = 0.55  # log weight, 14 to 8 days before the end
    win_last_7_days: float = 1.00  # log weight, 7 to 4 days before the end
    win_last_3_days: float = 1.40  # log weight, the last 3 days
    win_month_end: float = 0.25  # log weight, the last 3 days of the other months
    loss_first_10_days: float = 0.50  # log weight: the pipeline is tidied after the quarter
    loss_last_7_days: float = 0.60  # log weight: the pipeline is tidied before the final call
    weekday: tuple[float, ...] = (0.9, 1.0, 1.0, 1.1, 1.1, 0.05, 0.03)  # relative, Monday first
    rush_levels: tuple[float, ...] = (0.4, 0.7, 1.0, 1.3, 1.6)  # multiplies the quarter's log weights, per rep
    creation_season: tuple[float, ...] = (0.97, 1.02, 0.93, 1.08)  # relative new deals, by calendar quarter
    win_season: tuple[float, ...] = (-0.08, 0.02, -0.06, 0.12)  # logit on the weekly win hazard, by calendar quarter


@dataclass(frozen=True)
class Calendar:
    """Every clock of one run. `n` weeks begin on Mondays; day tables start at `day0` = the first Monday."""

    day0: int
    start_day: int  # first day with a new deal (first day of the burn-in)
    first_period_day: int
    end_day: int  # the first day after the run; the export is taken at its local midnight
    week_days: Ints  # (n,) each week's Monday
    offsets: Ints  # (days,) seconds that local time is ahead of UTC
    quarter_starts: Ints  # (quarters + spare,) first days, from the first burn-in quarter on
    quarter_of: Ints  # (days,) index into quarter_starts, clipped at 0
    season_of: Ints  # (quarters + spare,) 0..3 calendar quarter
    win_weight: Floats  # (levels, n, 7) share of a week's win rate on each day; averages 1 a week
    loss_weight: Floats  # (n, 7) the same for recorded losses
    n_quarters: int  # quarters that are simulated, burn-in included

    @property
    def n_weeks(self) -> int:
        """Number of simulated weeks."""
        return len(self.week_days)

    @property
    def end_at(self) -> int:
        """UTC second at which the export is taken; nothing known then or later is in it."""
        return int(self.utc(np.array([self.end_day]), np.array([0]))[0])

    def utc(self, day: Ints, second: Ints) -> Ints:
        """UTC seconds of local `second` of `day`; the day's noon offset holds for the whole day."""
        return day * DAY + second - self.offsets[np.clip(day - self.day0, 0, len(self.offsets) - 1)]

    def quarter(self, day: Ints) -> Ints:
        """Index of the quarter that holds each local day."""
        return self.quarter_of[np.clip(day - self.day0, 0, len(self.quarter_of) - 1)]

    def quarter_last_day(self, day: Ints) -> Ints:
        """Last day (inclusive) of the quarter that holds each local day."""
        return self.quarter_starts[self.quarter(day) + 1] - 1

    def office(self, rng: np.random.Generator, week: Ints, weekend: float = 0.0) -> Ints:
        """Random UTC seconds in office hours (08:30-18:30 local) of the given weeks; `weekend` = share off Mon-Fri."""
        n = len(week)
        weekday = np.where(rng.random(n) < weekend, rng.integers(5, 7, n), rng.integers(0, 5, n))
        second = 8 * HOUR + HOUR // 2 + (rng.beta(1.6, 1.8, n) * 10 * HOUR).astype(np.int64)
        return self.utc(self.week_days[week] + weekday, second)

    def next_office(self, rng: np.random.Generator, at: Ints) -> Ints:
        """`at` where it is in 08:00-18:59 of a weekday, else some time in the first 90 minutes of the next one."""
        local = at + self.offsets[np.clip(at // DAY - self.day0, 0, len(self.offsets) - 1)]
        day, second = local // DAY, local % DAY
        late, early = second >= 19 * HOUR, second < 8 * HOUR
        day = day + late
        weekend = (day + 3) % 7 >= 5
        day = np.where(weekend, day + 7 - (day + 3) % 7, day)
        second = 8 * HOUR + HOUR // 2 + rng.integers(0, 3 * HOUR // 2, len(at))
        return np.where(late | early | weekend, self.utc(day, second), at)


def local_day(cal: Calendar, at: Ints) -> Ints:
    """Local day of UTC seconds; exact in office hours, which is where it is used."""
    rough = np.clip(at // DAY - cal.day0, 0, len(cal.offsets) - 1)
    return np.asarray((at + cal.offsets[rough]) // DAY, np.int64)


def add_months(day: date, months: int) -> date:
    """First of the month `months` after `day`'s month; `day` is a first of a month."""
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def to_day(value: date) -> int:
    """Days since 1970-01-01."""
    return (value - EPOCH).days


def to_date(day: int) -> date:
    """The inverse of `to_day`."""
    return EPOCH + timedelta(days=int(day))


def make_calendar(first: date, periods: int, burn_in: int, time_zone: str, params: RhythmParams) -> Calendar:
    """Build the calendar of `burn_in` + `periods` quarters of three months around `first`, a first of a month."""
    total = burn_in + periods
    starts = [add_months(first, 3 * (k - burn_in)) for k in range(total + SPARE_QUARTERS + 1)]
    quarter_starts = np.array([to_day(d) for d in starts], np.int64)
    start_day, end_day = int(quarter_starts[0]), int(quarter_starts[total])
    day0 = start_day - to_date(start_day).weekday()
    n_weeks = -(-(end_day - day0) // 7)
    days = np.arange(day0, quarter_starts[-1], dtype=np.int64)
    quarter_of = np.clip(np.searchsorted(quarter_starts, days, side="right") - 1, 0, None).astype(np.int64)
    zone = ZoneInfo(time_zone)
    noon = [datetime.fromordinal(EPOCH.toordinal() + int(d)).replace(hour=12, tzinfo=zone) for d in days]
    offsets = [round((t.replace(tzinfo=UTC) - t).total_seconds()) for t in noon]
    simulated = np.arange(n_weeks * 7)
    win, loss = _day_weights(days[simulated], quarter_starts, quarter_of[simulated], params)
    closed_shop = (days[simulated] < start_day) | (days[simulated] >= end_day)
    win[:, closed_shop], loss[closed_shop] = 0.0, 0.0
    return Calendar(
        day0=day0,
        start_day=start_day,
        first_period_day=to_day(first),
        end_day=end_day,
        week_days=days[: n_weeks * 7 : 7].copy(),
        offsets=np.array(offsets, np.int64),
        quarter_starts=quarter_starts,
        quarter_of=quarter_of,
        season_of=np.array([(d.month - 1) // 3 for d in starts], np.int64),
        win_weight=win.reshape(len(params.rush_levels), n_weeks, 7),
        loss_weight=loss.reshape(n_weeks, 7),
        n_quarters=total,
    )


def _day_weights(days: Ints, starts: Ints, quarter: Ints, p: RhythmParams) -> tuple[Floats, Floats]:
    """Weights of each day for wins (levels, days) and losses (days,), scaled to average one per week."""
    day_in = days - starts[quarter]
    left = starts[quarter + 1] - days  # 1 on the last day
    months = (days.astype("datetime64[D]").astype("datetime64[M]") + 1).astype("datetime64[D]").astype(np.int64)
    month_end = (months - days <= 3) & (left > 28)
    rush = np.select(
        [left <= 3, left <= 7, left <= 14, left <= 28, day_in < 14, day_in < 28, month_end],
        [
            p.win_last_3_days,
            p.win_last_7_days,
            p.win_last_14_days,
            p.win_last_28_days,
            p.win_dip_first_14_days,
            p.win_dip_first_28_days,
            p.win_month_end,
        ],
        0.0,
    )
    tidy = np.select([day_in < 10, left <= 7], [p.loss_first_10_days, p.loss_last_7_days], 0.0)
    weekday = np.array(p.weekday)[(days + 3) % 7]  # 1970-01-01 was a Thursday
    win = weekday * np.exp(np.array(p.rush_levels)[:, None] * rush)
    loss = weekday * np.exp(tidy)
    return win / (7 * win.mean(axis=1, keepdims=True)), loss / (7 * loss.mean())
