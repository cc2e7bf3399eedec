"""Numbers, money and dates as the reader's browser says they are written there. The text around them is English.

Babel holds how some 700 places write them (CLDR). It is 10 MB without dependencies, and nothing of our own would be
right for a tenth of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_interval, format_skeleton, format_time
from babel.numbers import NumberPattern, format_compact_decimal, format_decimal, format_percent, parse_pattern

from serving.answers import EPOCH, MICROSECOND

DEFAULT = "en"
NOT_KNOWN = "—"
_TAG = re.compile(r"\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3})\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?\s*")
_MOST_TAGS = 10


@lru_cache(maxsize=256)
def locale_of(accept_language: str) -> Locale:
    """Return the first place that the header asks for and Babel knows, by weight; English where there is none."""
    asked = [found for part in accept_language.split(",")[:_MOST_TAGS] if (found := _TAG.fullmatch(part))]
    for tag in sorted(asked, key=lambda found: -float(found[2] or 1)):
        try:
            return Locale.parse(tag[1], sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse(DEFAULT)


@dataclass(frozen=True)
class Words:
    """How one reader reads values. zone: of days; currency: ISO code of all amounts, None where it is not told.

    What is None reads as a dash.
    """

    locale: Locale
    zone: str
    currency: str | None

    def money(self, amount: float | None) -> str:
        """Return an amount in whole currency."""
        if amount is None:
            return NOT_KNOWN
        if self.currency is None:
            return self.count(amount)
        return str(self._money.apply(round(amount), self.locale, currency=self.currency, currency_digits=False))

    def short(self, amount: float | None) -> str:
        """Return an amount in three figures or so, such as 1.2M."""
        if amount is None:
            return NOT_KNOWN
        told = format_compact_decimal(amount, locale=self.locale, fraction_digits=1)
        return f"{told} {self.currency}" if self.currency else told

    def exact(self, cents: int, signed: bool = False) -> tuple[str, str]:
        """Return an amount to the cent without its currency, in two parts: what is whole, and the rest.

        signed: with a plus where it is above 0.
        """
        plus = "+" if signed and cents > 0 else ""
        told = format_decimal(Decimal(cents) / 100, format=f"{plus}#,##0.00;-#,##0.00", locale=self.locale)
        return told[:-3], told[-3:]

    def count(self, number: float | None) -> str:
        """Return a whole number."""
        return NOT_KNOWN if number is None else format_decimal(round(number), locale=self.locale)

    def number(self, number: float | None) -> str:
        """Return a number with one place at most."""
        return NOT_KNOWN if number is None else format_decimal(number, format="#,##0.#", locale=self.locale)

    def share(self, share: float | None) -> str:
        """Return a share as whole percent."""
        return NOT_KNOWN if share is None else format_percent(share, locale=self.locale)

    def of_100(self, p: float | None) -> str:
        """Return a probability as so many of a hundred; never 0 or 100 for what is not certain."""
        if p is None:
            return NOT_KNOWN
        whole = round(100 * p)
        return (
            f"<{self.count(1)}"
            if p > 0 and whole == 0
            else f">{self.count(99)}"
            if p < 1 and whole == 100
            else (self.count(whole))
        )

    def day(self, day: date | str | None) -> str:
        """Return a day, given as such or in ISO 8601."""
        if day is None:
            return NOT_KNOWN
        found = date.fromisoformat(day) if isinstance(day, str) else day
        return format_date(found, "medium", locale=self.locale)

    def month(self, day: date | str) -> str:
        """Return a day's month and year."""
        found = date.fromisoformat(day) if isinstance(day, str) else day
        return format_skeleton("yMMM", found, locale=self.locale)

    def day_of(self, instant: int | None) -> str:
        """Return the local day of an instant (UTC microseconds)."""
        return NOT_KNOWN if instant is None else self.day(self.local(instant).date())

    def span(self, first: date | str, last: date | str) -> str:
        """Return two days, given as such or in ISO 8601, as a span: what both have in common is told once."""
        start, end = (date.fromisoformat(day) if isinstance(day, str) else day for day in (first, last))
        return format_interval(start, end, "yMMMd", locale=self.locale)

    def when(self, instant: int | None) -> str:
        """Return the local day and time of an instant (UTC microseconds)."""
        if instant is None:
            return NOT_KNOWN
        return f"{self.day_of(instant)}, {format_time(self.local(instant), 'short', locale=self.locale)}"

    def local(self, instant: int) -> datetime:
        """Return an instant (UTC microseconds) as a local time."""
        return (EPOCH + instant * MICROSECOND).astimezone(self._zone)

    def days_between(self, earlier: int, later: int) -> int:
        """Return how many local days lie between two instants (UTC microseconds)."""
        gap: timedelta = self.local(later).date() - self.local(earlier).date()
        return gap.days

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @cached_property
    def _money(self) -> NumberPattern:
        pattern = parse_pattern(self.locale.currency_formats["standard"].pattern)
        pattern.frac_prec = (0, 0)
        return pattern
