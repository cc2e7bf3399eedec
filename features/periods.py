"""Fiscal periods: which quarter or month an instant belongs to, in the company's own time zone.

A period is half-open, ``[start, end)``; its id is its first day. Starts are local midnights converted to UTC, so a
quarter that holds a change of the clocks is an hour longer or shorter, as it is for the people who work in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, UsageError

MICRO = 1_000_000
HOUR = 3_600 * MICRO
DAY = 24 * HOUR
SECONDS_PER_HOUR, SECONDS_PER_DAY = 3_600.0, 86_400.0  # of columns that hold seconds
EPOCH = date(1970, 1, 1)
FIRST_YEAR, LAST_YEAR = 1989, 2101

Int = NDArray[np.int64]


def local_midnight(day: date, zone: ZoneInfo) -> int:
    """Return the UTC microsecond at which `day` begins in `zone` (the later one where clocks skip midnight)."""
    return round(datetime.combine(day, time(), zone).timestamp()) * MICRO


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


@dataclass(frozen=True)
class Calendar:
    """The fiscal periods of one company.

    starts: int64[p + 1], UTC microseconds, increasing; period i is ``[starts[i], starts[i + 1])``.
    days: int64[p + 1], the same starts as local days since 1970-01-01.
    zone: IANA name. holidays: int64[h], local days since 1970-01-01 that nobody works on, increasing.
    """

    starts: Int
    days: Int
    zone: str
    holidays: Int = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def index(self, instant: Int) -> Int:
        """Return the period index of each instant (int64[n]); raises ConfigError where the calendar does not reach."""
        found = self.starts.searchsorted(instant, side="right") - 1
        if ((found < 0) | (found >= len(self.starts) - 1)).any():
            raise ConfigError(
                f"an instant lies outside the fiscal calendar ({self.day(0)} to {self.day(len(self.days) - 1)}): "
                "extend period.table, or check the dates of the data"
            )
        return found

    def bounds(self, instant: Int) -> tuple[Int, Int]:
        """Return (start, end) of the period of each instant, UTC microseconds, int64[n] each."""
        at = self.index(instant)
        return self.starts[at], self.starts[at + 1]

    def workdays(self, first: Int, end: Int) -> Int:
        """Return the working days (Monday to Friday, no holidays) among the local days ``[first, end)``, int64[n].

        Negative spans hold none.
        """

        def before(day: Int) -> Int:
            weeks, weekday = np.divmod(day + 3, 7)  # 1970-01-01 was a Thursday
            return weeks * 5 + np.minimum(weekday, 5) - self._free.searchsorted(day)

        days: Int = np.maximum(before(end) - before(first), 0)
        return days

    @cached_property
    def _free(self) -> Int:
        """Holidays that are no Saturday and no Sunday."""
        return self.holidays[(self.holidays + 3) % 7 < 5]

    def day(self, index: int) -> date:
        """First day of period `index`, local; this is the period's id."""
        return EPOCH + timedelta(days=int(self.days[index]))

    def last_day(self, index: int) -> date:
        """Last day of period `index`, local and inclusive, as outputs name it."""
        return self.day(index + 1) - timedelta(days=1)


def fiscal_calendar(
    kind: str,
    fiscal_year_start: int | str,
    zone: str,
    table: Sequence[date] | None = None,
    holidays: Sequence[date] = (),
) -> Calendar:
    """Build the calendar of a config's `period` block.

    kind: "quarter" (3 months) or "month". fiscal_year_start: month 1-12 or "MM-DD". table: first days of explicit
    periods (4-4-5 and others; the last entry closes the last period), which then replace kind and start. holidays: days
    that are no working days.
    """
    name = ZoneInfo(zone)
    days = list(table) if table else _regular_starts(3 if kind == "quarter" else 1, fiscal_year_start)
    starts = np.array([local_midnight(day, name) for day in days], dtype=np.int64)
    if len(starts) < 2 or (np.diff(starts) <= 0).any():
        raise ConfigError("period.table needs at least two first days, in increasing order")
    free = np.array(sorted({day_number(day) for day in holidays}), dtype=np.int64)
    return Calendar(starts, np.array([day_number(day) for day in days], dtype=np.int64), zone, free)


def _regular_starts(months: int, fiscal_year_start: int | str) -> list[date]:
    month, day = (
        (int(part) for part in fiscal_year_start.split("-"))
        if isinstance(fiscal_year_start, str)
        else (
            fiscal_year_start,
            1,
        )
    )
    first = FIRST_YEAR * 12 + month - 1
    return [date(m // 12, m % 12 + 1, day) for m in range(first, LAST_YEAR * 12, months)]


def local_days(instant: Int, zone: str) -> Int:
    """Return the local day (days since 1970-01-01) of each instant; one conversion per distinct instant."""
    name = ZoneInfo(zone)
    return each(instant, lambda at: day_number(datetime.fromtimestamp(at // MICRO, name).date()))


def local_hours(instant: Int, zone: str) -> Int:
    """Return the local hour of the day (0 to 23) of each instant; one conversion per distinct instant."""
    name = ZoneInfo(zone)
    return each(instant, lambda at: datetime.fromtimestamp(at // MICRO, name).hour)


def each(values: Int, make: Callable[[int], int]) -> Int:
    """Return what `make` gives of each value, int64[n]; it is asked once per distinct value."""
    listed = values.tolist()
    made = {value: make(value) for value in set(listed)}
    return np.fromiter(map(made.__getitem__, listed), dtype=np.int64, count=len(listed))


def mondays(first: int, last: int, zone: str) -> Int:
    """Return every Monday 00:00 of `zone` in ``[first, last]`` (UTC microseconds), int64."""
    name = ZoneInfo(zone)
    day = datetime.fromtimestamp(first // MICRO, name).date()
    day += timedelta(days=-day.weekday() % 7)
    found = []
    while (at := local_midnight(day, name)) <= last:
        if at >= first:
            found.append(at)
        day += timedelta(days=7)
    return np.array(found, dtype=np.int64)


def instant_text(instant: int, zone: str) -> str:
    """Return an instant (UTC microseconds) in ISO 8601 with the offset of `zone`."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone)).isoformat()


def parse_as_of(text: str, zone: str) -> int:
    """Return the UTC microsecond of an ``--as-of``: a day is its 00:00 in `zone`, a naive timestamp is in `zone`.

    Raises UsageError for anything but ISO 8601.
    """
    try:
        if len(text) == len("2026-01-01"):
            return local_midnight(date.fromisoformat(text), ZoneInfo(zone))
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError.at(
            "--as-of", repr(text), expected="a day such as 2026-03-31, or a timestamp in ISO 8601"
        ) from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    return round((aware - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
