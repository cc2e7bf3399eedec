"""Hotel bookings (Antonio et al. 2019) read as an open book: who had booked what, as of the start of each month.

A booking is a deal: known on the day it was made (arrival less lead time), won on the day the guest arrives, lost on
the day its cancellation or no-show was told. Days are known at their end, so that a month's start sees the days before.
A guest whose day of arrival has passed, and of whom neither cancellation nor no-show was told, has arrived: no
cancellation in the file is told later than the day of arrival (`load` checks it).

Every row counts, the 31,994 that repeat another one included: the file has no booking number, groups do book several
equal rooms, and the naive figures were taken with them. Columns that know the outcome are never read. adr and nights
are what the file shows in the end; they make the value of a booking and of the book alike, and are no features.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from features.build import FeatureMatrix
from features.periods import DAY, Calendar, fiscal_calendar
from models.base import Bool, Examples, Float, Frame, Int
from models.penalty import USUAL

FILE = Path("hotel_bookings") / "hotel_bookings.csv.gz"
HOTELS = ("City Hotel", "Resort Hotel")
DEPOSITS = ("No Deposit", "Non Refund", "Refundable")
WORDS = {
    "market_segment": ("Online TA", "Offline TA/TO", "Groups", "Direct", "Corporate"),
    "distribution_channel": ("TA/TO", "Direct", "Corporate"),
    "customer_type": ("Transient", "Transient-Party", "Contract", "Group"),
}
COUNTS = ("lead_time", "previous_cancellations", "previous_bookings_not_canceled")
CALENDAR: Calendar = fiscal_calendar("month", 1, "UTC")
FRAME = Frame("in_period", len(HOTELS) * len(DEPOSITS), penalty=USUAL, period_days=30.0)
NIGHTS = ("stays_in_week_nights", "stays_in_weekend_nights")


@dataclass(frozen=True)
class Bookings:
    """n bookings in the order of the file. made, arrival, told: int64[n], UTC microseconds at the end of the day.

    told: when the outcome was (cancelled, no-show or checked out). kept: neither cancelled nor a no-show. cents: adr x
    nights. hotel: place in `HOTELS`. lead: days. facts: float64[n, k] over `names`, known when it was made.
    """

    made: Int
    arrival: Int
    told: Int
    kept: Bool
    cents: Int
    hotel: Int
    lead: Int
    facts: Float
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.made)

    def take(self, rows: Int | Bool) -> Bookings:
        """Return some of the bookings."""
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "names"}
        return Bookings(**arrays, names=self.names)


def load(folder: Path, repeats: bool = True) -> Bookings:
    """Read the file. repeats: keep rows that equal an earlier one."""
    table = pd.read_csv(folder / FILE, low_memory=False)
    table = table if repeats else table.drop_duplicates()
    month = pd.to_datetime(table["arrival_date_month"], format="%B").dt.month
    parts = {"year": table["arrival_date_year"], "month": month, "day": table["arrival_date_day_of_month"]}
    arrival = _end_of(pd.to_datetime(parts))
    told = _end_of(pd.to_datetime(table["reservation_status_date"], format="%m/%d/%Y"))
    lead = table["lead_time"].to_numpy(np.int64)
    kept = table["is_canceled"].to_numpy() == 0
    if (told[~kept] > arrival[~kept]).any():
        raise ValueError("a cancellation is told after the day of arrival: who arrived is not known then")
    value = table["adr"].to_numpy(np.float64) * table[list(NIGHTS)].sum(axis=1).to_numpy(np.float64)
    hotel = table["hotel"].map(HOTELS.index).to_numpy(np.int64)
    columns = _facts(table, hotel)
    facts = np.column_stack(list(columns.values()))
    cents = np.rint(value * 100).astype(np.int64)
    return Bookings(arrival - lead * DAY, arrival, told, kept, cents, hotel, lead, facts, tuple(columns))


def _facts(table: pd.DataFrame, hotel: Int) -> dict[str, Float]:
    """Columns known when a booking is made; stage_rank is the hotel and the kind of deposit."""
    deposit = table["deposit_type"].map(DEPOSITS.index).to_numpy(np.int64)
    columns = {"stage_rank": (hotel * len(DEPOSITS) + deposit).astype(np.float64)}
    columns["hotel"] = hotel.astype(np.float64)
    columns |= {f"deposit_{k}": (deposit == k).astype(np.float64) for k in range(1, len(DEPOSITS))}
    for name, words in WORDS.items():
        for k, word in enumerate(words):
            columns[f"{name}_{k}"] = (table[name] == word).to_numpy(np.float64)
    columns |= {name: np.log1p(table[name].to_numpy(np.float64)) for name in COUNTS}
    columns["is_repeated_guest"] = table["is_repeated_guest"].to_numpy(np.float64)
    return columns


def _end_of(day: pd.Series) -> Int:
    return day.to_numpy("datetime64[us]").astype(np.int64) + DAY - 1


def month_index(text: str) -> int:
    """Return the place of a month such as 2016-07 in the calendar."""
    return int(CALENDAR.index(np.array([np.datetime64(text, "us").astype(np.int64)]))[0])


def bounds(month: int) -> tuple[int, int]:
    """Return (start, end) of a month, UTC microseconds."""
    return int(CALENDAR.starts[month]), int(CALENDAR.starts[month + 1])


def open_at(bookings: Bookings, month: int) -> Int:
    """Return the bookings on the books at the start of a month that arrive in it, places."""
    start, end = bounds(month)
    here = (bookings.made < start) & (bookings.arrival >= start) & (bookings.arrival < end)
    return np.flatnonzero(here & (bookings.kept | (bookings.told >= start)))


def rows_of(bookings: Bookings, months: range) -> Examples:
    """Return a row for each booking on the books at a month's start, y 1 where the guest came; the month is the window.

    days_left: days to the arrival, what the rate table is cut by; days_open: days since it was made.
    """
    parts = [open_at(bookings, month) for month in months]
    place = np.concatenate(parts)
    start = np.repeat(CALENDAR.starts[list(months)], [len(part) for part in parts])
    end = np.repeat(CALENDAR.starts[[month + 1 for month in months]], [len(part) for part in parts])
    own = bookings.take(place)
    left, age = (own.arrival - start) / DAY, (start - own.made) / DAY
    matrix = FeatureMatrix((*own.names, "days_left", "days_open"), np.column_stack([own.facts, left, np.log1p(age)]))
    return Examples(matrix, own.kept.astype(np.float64), place.astype(np.int64), start, end)


def actual_of(bookings: Bookings, month: int) -> Int:
    """Return the cents that each hotel's guests of a month brought, int64[hotels]."""
    start, end = bounds(month)
    rows = np.flatnonzero(bookings.kept & (bookings.arrival >= start) & (bookings.arrival < end))
    total = np.zeros(len(HOTELS), dtype=np.int64)
    np.add.at(total, bookings.hotel[rows], bookings.cents[rows])
    return total
