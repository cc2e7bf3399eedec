"""Days and quarters of a world: day 0 is the first day of its first quarter; everything is in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from features.periods import DAY, day_number
from tests.worlds.settings import Size

Int = NDArray[np.int64]
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Days:
    """first: day 0 since 1970-01-01. starts: int64[q + 1], first day of each quarter and the day after the last.

    quarter, left, weekday: int64[days]: each day's quarter, days after it in the quarter, and weekday (0 is Monday).
    """

    first: int
    starts: Int
    quarter: Int
    left: Int
    weekday: Int

    @property
    def count(self) -> int:
        """Number of days."""
        return len(self.quarter)

    @property
    def looked_at(self) -> Int:
        """Days at whose first instant the product looks at deals: Mondays, and first days of quarters."""
        return np.union1d(np.flatnonzero(self.weekday == 0), self.starts[:-1]).astype(np.int64)

    def instant(self, day: Int, seconds: Int | int = 0) -> Int:
        """UTC microseconds."""
        return (day + self.first) * DAY + np.asarray(seconds, dtype=np.int64) * 1_000_000

    def quarter_end(self, day: Int) -> Int:
        """Last day of the quarter that each day (which may lie beyond the world) falls in."""
        months = (np.asarray(day + self.first).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)) // 3
        after = ((months + 1) * 3).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        return after - 1 - self.first


def days_of(size: Size) -> Days:
    """The days of a world of some size, calendar quarters from January of its first year."""
    starts = [date(size.first_year + q // 4, 3 * (q % 4) + 1, 1) for q in range(size.quarters + 1)]
    first = day_number(starts[0])
    edges = np.array([day_number(start) - first for start in starts], dtype=np.int64)
    quarter = np.repeat(np.arange(size.quarters), np.diff(edges))
    left = edges[quarter + 1] - 1 - np.arange(edges[-1])
    weekday = (np.arange(edges[-1]) + starts[0].weekday()) % 7
    return Days(first, edges, quarter, left, weekday)


def day_of(world: Days, day: int) -> date:
    """The date of a day of the world."""
    return date(1970, 1, 1) + timedelta(days=int(day) + world.first)
