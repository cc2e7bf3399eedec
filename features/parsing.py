"""From text to the encodings of the canonical tables. NumPy only: files, event logs and inline requests share it.

Every function works on distinct texts and returns values with a mask of the texts it cannot read, so a column of a
million cells costs as much as its vocabulary and two sources can't disagree about what a text means.

Time. A timestamp with ``Z`` or an offset is exact. One without is wall-clock time in the company's zone: where the
clocks are set back it could be either of two instants, where they are set forward it never was; both take the later
reading, since a coarse clock rounds up. A bare date is known at the end of its day: at the next local midnight. Digits
past microseconds are cut. Money is decimal text (exponents allowed) rounded half to even to cents, never by a float.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.periods import DAY, each, local_days, local_midnight
from features.tables import NAT, FloatArray, IntArray, Kind

MAX_CENTS = 10**17  # far above any amount, well inside int64
EXPECTED: dict[Kind, str] = {
    "time": "an ISO 8601 time (2024-03-31T17:05:00Z) or date (2024-03-31)",
    "date": "an ISO 8601 date (2024-03-31)",
    "money": "a plain decimal number (1234.50), no currency sign, no thousands separator",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "id": "text",
    "text": "text",
}
REMEDY: dict[Kind, str] = {
    "time": "write every time as ISO 8601",
    "date": "write every date as ISO 8601",
    "money": "export amounts as plain numbers, empty where there is none",
    "int": "correct the cell, or leave it empty",
    "float": "correct the cell, or leave it empty",
    "bool": "write true or false, or leave it empty",
    "id": "correct the cell",
    "text": "correct the cell",
}

EPOCH_MS = "epoch_ms"  # a date format: milliseconds since 1970, UTC
_MILLISECONDS = re.compile(r"[0-9]{1,14}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_BOOLS = {"true": 1, "t": 1, "yes": 1, "y": 1, "1": 1, "1.0": 1, "false": 0, "f": 0, "no": 0, "n": 0, "0": 0, "0.0": 0}
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MICRO = timedelta(microseconds=1)
_CENT = Decimal("0.01")
_EXACT, _WALL, _DAY, _BAD = 0, 1, 2, 3  # how a time text was written


@dataclass(frozen=True)
class Parsed:
    """values: int64[n] or float64[n], missing where unreadable. bad: bool[n], the texts that could not be read."""

    values: IntArray | FloatArray
    bad: NDArray[np.bool_]


def parse(kind: Kind, texts: Sequence[str], zone: ZoneInfo, date_format: str | None = None) -> Parsed:
    """Read distinct, trimmed, non-empty texts as one kind (not id or text, which are kept as they are)."""
    if kind == "time":
        return parse_times(texts, zone, date_format)
    if kind == "float":
        return _each(texts, _float, np.dtype(np.float64))
    if kind == "date":
        return _each(texts, lambda text: _day(text, date_format), np.dtype(np.int64))
    readers: dict[Kind, Callable[[str], int | None]] = {"money": cents, "int": _whole, "bool": _bool}
    return _each(texts, readers[kind], np.dtype(np.int64))


def parse_times(texts: Sequence[str], zone: ZoneInfo, date_format: str | None = None) -> Parsed:
    """Read times as int64 microseconds UTC; see the module's rules for wall-clock times and bare dates."""
    read = [_stamp(text, date_format) for text in texts]
    stamps = np.array([stamp for stamp, _ in read], dtype=np.int64)
    ways = np.array([way for _, way in read], dtype=np.int64)
    for way, read_in in ((_WALL, localise), (_DAY, end_of_day)):
        rows = (ways == way).nonzero()[0]
        if len(rows):
            stamps[rows] = read_in(stamps[rows], zone)
    return Parsed(stamps, ways == _BAD)


def localise(wall: IntArray, zone: ZoneInfo) -> IntArray:
    """Wall-clock microseconds to UTC microseconds, int64[n]: the later reading where the clocks change."""
    if not len(wall):
        return wall
    days, which = np.unique(wall // DAY, return_inverse=True)
    offsets = np.empty(len(days), dtype=np.int64)
    changes = np.zeros(len(days), dtype=bool)
    for i, day in enumerate(days.tolist()):
        at_edges = {_offset(edge * DAY, zone, fold) for edge in (day, day + 1) for fold in (0, 1)}
        offsets[i] = at_edges.pop()
        changes[i] = bool(at_edges)
    utc: IntArray = wall - offsets[which]
    for i in np.flatnonzero(changes[which]).tolist():  # the few rows on a day when the clocks change
        utc[i] = max(int(wall[i]) - _offset(int(wall[i]), zone, fold) for fold in (0, 1))
    return utc


def end_of_day(days: IntArray, zone: ZoneInfo) -> IntArray:
    """Days since 1970-01-01 to the last UTC microsecond of each local day, int64[n].

    The last instant of the day, not the first of the next: a deal closed on the last day of a quarter belongs to that
    quarter, and the next day's as-of sees it.
    """
    return each(days, lambda day: local_midnight(date.fromordinal(_EPOCH_DAY + day + 1), zone) - 1)


def day_starts(ends: IntArray, zone: ZoneInfo) -> IntArray:
    """First UTC microsecond of the local day that each instant ends, int64[n]; NAT where it is not a day's last one.

    An instant that ends its day is taken for a bare date: a clock that stops there by chance means no less. The
    instants must lie in the years of the common era that a calendar reaches, as the checks demand.
    """
    days = local_days(ends, zone.key)
    starts = end_of_day(days - 1, zone) + 1
    return np.where(end_of_day(days, zone) == ends, starts, NAT)


def cents(text: str) -> int | None:
    """Decimal text to whole cents, rounded half to even; None where it is not a number or beyond any amount."""
    if not _NUMBER.fullmatch(text):
        return None
    amount = Decimal(text)
    if abs(amount) * 100 > MAX_CENTS:
        return None
    return int(amount.quantize(_CENT, rounding=ROUND_HALF_EVEN).scaleb(2))


def fold_name(text: str) -> str:
    """A category, kind or direction as compared: case and surrounding blanks dropped, blanks and hyphens as ``_``."""
    return "_".join(text.casefold().replace("-", " ").split())


def _each(texts: Sequence[str], read: Callable[[str], int | float | None], dtype: np.dtype[np.generic]) -> Parsed:
    """Apply a reader that returns None for what it can't read."""
    got = [read(text) for text in texts]
    missing = NAT if dtype == np.int64 else np.nan
    values = np.array([missing if value is None else value for value in got], dtype=dtype)
    return Parsed(values, np.array([value is None for value in got], dtype=bool))


def _stamp(text: str, date_format: str | None) -> tuple[int, int]:
    """One time text as (microseconds or day number, how it was written)."""
    try:
        if date_format == EPOCH_MS:
            return (int(text) * 1000, _EXACT) if _MILLISECONDS.fullmatch(text) else (NAT, _BAD)
        if date_format is not None:
            moment, bare = datetime.strptime(text, date_format), not _has_clock(date_format)
        elif len(text) <= 10:  # no ISO time of day fits in 10 characters
            moment, bare = datetime.combine(date.fromisoformat(text), time()), True
        else:
            moment, bare = datetime.fromisoformat(text), False
        if not bare and moment.tzinfo is not None:
            return (moment - _EPOCH_UTC) // _MICRO, _EXACT
        if moment.year in (MINYEAR, MAXYEAR):  # its local day or the next may be beyond the calendar
            return NAT, _BAD
        return (moment.toordinal() - _EPOCH_DAY, _DAY) if bare else ((moment - _EPOCH) // _MICRO, _WALL)
    except (ValueError, OverflowError):
        return NAT, _BAD


def _has_clock(date_format: str) -> bool:
    return any(directive in date_format for directive in ("%H", "%I", "%X", "%c", "%T"))


def _day(text: str, date_format: str | None) -> int | None:
    """One date text as days since 1970-01-01; a time of day is allowed only where it is midnight."""
    try:
        if date_format is None and len(text) <= 10:
            return date.fromisoformat(text).toordinal() - _EPOCH_DAY
        moment = datetime.strptime(text, date_format) if date_format is not None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.toordinal() - _EPOCH_DAY if moment.time().isoformat() == "00:00:00" else None


def _float(text: str) -> float | None:
    number = float(text) if _NUMBER.fullmatch(text) else np.nan
    return number if abs(number) < np.inf else None


def _whole(text: str) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() and abs(number) < 2**62 else None


def _bool(text: str) -> int | None:
    return _BOOLS.get(text.casefold())


def _offset(wall: int, zone: ZoneInfo, fold: int) -> int:
    """Microseconds that a zone is ahead of UTC at a wall-clock instant."""
    shift = (_EPOCH + timedelta(microseconds=wall)).replace(tzinfo=zone, fold=fold).utcoffset()
    return 0 if shift is None else shift // _MICRO
