"""Fiscal periods: starts in the company's own time zone, half-open bounds, and what an --as-of means."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from configs.errors import ConfigError, UsageError
from features.periods import DAY, HOUR, Calendar, fiscal_calendar, local_days, mondays, parse_as_of
from tests.tiny import at


def period(calendar: Calendar, instant: str) -> date:
    """First day of the period of an instant (UTC)."""
    return calendar.day(int(calendar.index(np.array([at(instant)]))[0]))


@pytest.mark.parametrize(
    ("kind", "start", "instant", "first", "last"),
    [
        ("quarter", 1, "2024-05-15", date(2024, 4, 1), date(2024, 6, 30)),
        ("quarter", 2, "2024-01-31", date(2023, 11, 1), date(2024, 1, 31)),
        ("quarter", 2, "2024-02-01", date(2024, 2, 1), date(2024, 4, 30)),
        ("quarter", 10, "2024-01-01", date(2024, 1, 1), date(2024, 3, 31)),
        ("quarter", "04-06", "2024-04-05", date(2024, 1, 6), date(2024, 4, 5)),
        ("quarter", "04-06", "2024-04-06", date(2024, 4, 6), date(2024, 7, 5)),
        ("month", 1, "2024-02-29", date(2024, 2, 1), date(2024, 2, 29)),
        ("month", "01-15", "2024-03-14", date(2024, 2, 15), date(2024, 3, 14)),
    ],
)
def test_period_of_a_day(kind: str, start: int | str, instant: str, first: date, last: date) -> None:
    calendar = fiscal_calendar(kind, start, "UTC")
    index = int(calendar.index(np.array([at(instant)]))[0])
    assert (calendar.day(index), calendar.last_day(index)) == (first, last)


def test_a_period_is_half_open() -> None:
    calendar = fiscal_calendar("quarter", 1, "UTC")
    edge = at("2024-04-01")
    start, end = calendar.bounds(np.array([edge - 1, edge]))
    assert start.tolist() == [at("2024-01-01"), edge]
    assert end.tolist() == [edge, at("2024-07-01")]


def test_periods_begin_at_local_midnight() -> None:
    calendar = fiscal_calendar("quarter", 1, "America/New_York")
    assert period(calendar, "2024-04-01 03:59") == date(2024, 1, 1)
    assert period(calendar, "2024-04-01 04:00") == date(2024, 4, 1)


def test_a_change_of_the_clocks_makes_a_quarter_an_hour_shorter_or_longer() -> None:
    calendar = fiscal_calendar("quarter", 1, "Europe/Berlin")
    start, end = calendar.bounds(np.array([at("2024-02-15"), at("2024-05-15"), at("2024-11-15")]))
    assert (end - start).tolist() == [91 * DAY - HOUR, 91 * DAY, 92 * DAY + HOUR]


def test_a_table_of_first_days_replaces_the_regular_calendar() -> None:
    """Weeks 4-4-5: thirteen a quarter, the last entry closes the last period."""
    table = [date(2023, 12, 31), date(2024, 3, 31), date(2024, 6, 30)]
    calendar = fiscal_calendar("quarter", 1, "UTC", table)
    assert period(calendar, "2024-03-30 23:59") == date(2023, 12, 31)
    assert period(calendar, "2024-03-31") == date(2024, 3, 31)
    assert calendar.last_day(1) == date(2024, 6, 29)


@pytest.mark.parametrize("instant", ["2023-12-30 23:59", "2024-06-30"])
def test_an_instant_outside_the_calendar_is_refused(instant: str) -> None:
    calendar = fiscal_calendar("quarter", 1, "UTC", [date(2023, 12, 31), date(2024, 3, 31), date(2024, 6, 30)])
    with pytest.raises(ConfigError, match=r"2023-12-31 to 2024-06-30.*extend period.table"):
        calendar.index(np.array([at(instant)]))


@pytest.mark.parametrize("table", [[date(2024, 1, 1)], [date(2024, 4, 1), date(2024, 1, 1)]])
def test_a_table_needs_two_days_in_order(table: list[date]) -> None:
    with pytest.raises(ConfigError, match="increasing"):
        fiscal_calendar("quarter", 1, "UTC", table)


def test_no_instants_have_no_periods() -> None:
    assert fiscal_calendar("month", 1, "UTC").index(np.zeros(0, dtype=np.int64)).tolist() == []


def test_local_days() -> None:
    instants = np.array([at("2024-03-01 04:59"), at("2024-03-01 05:00"), at("2024-03-01 04:59")])
    assert local_days(instants, "America/New_York").tolist() == [19782, 19783, 19782]  # 29 February, 1 March
    assert local_days(instants[:0], "UTC").tolist() == []


def test_mondays_are_local_and_bounds_belong() -> None:
    """Across the change of the clocks on 10 March 2024: 05:00 UTC before, 04:00 UTC after."""
    first, last = at("2024-03-04 05:00"), at("2024-03-18 04:00")
    expected = [first, at("2024-03-11 04:00"), last]
    assert mondays(first, last, "America/New_York").tolist() == expected
    assert mondays(first + 1, last - 1, "America/New_York").tolist() == expected[1:2]


def test_as_of_day_is_its_local_midnight() -> None:
    assert parse_as_of("2024-03-31", "UTC") == at("2024-03-31")
    assert parse_as_of("2024-03-31", "America/New_York") == at("2024-03-31 04:00")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-01-31T09:30:00", "2024-01-31 14:30"),
        ("2024-01-31 09:30", "2024-01-31 14:30"),
        ("2024-01-31T09:30:00Z", "2024-01-31 09:30"),
        ("2024-01-31T09:30:00+02:00", "2024-01-31 07:30"),
    ],
)
def test_as_of_timestamp_is_local_unless_it_says_otherwise(text: str, instant: str) -> None:
    assert parse_as_of(text, "America/New_York") == at(instant)


def test_as_of_keeps_microseconds() -> None:
    assert parse_as_of("2024-01-31T09:30:00.000001Z", "UTC") == at("2024-01-31 09:30") + 1


@pytest.mark.parametrize("text", ["", "yesterday", "31.01.2024", "2024-02-30", "2024-1-3", "01/31/2024"])
def test_as_of_refuses_anything_else(text: str) -> None:
    with pytest.raises(UsageError, match="ISO 8601"):
        parse_as_of(text, "UTC")


def test_where_clocks_skip_midnight_the_day_begins_at_one() -> None:
    """São Paulo, 4 November 2018: 00:00 became 01:00, at 03:00 UTC."""
    assert parse_as_of("2018-11-04", "America/Sao_Paulo") == at("2018-11-04 03:00")
