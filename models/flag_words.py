"""How flags say numbers, amounts and days in plain words; never a name, never a cause."""

from __future__ import annotations

from datetime import timedelta

from features.periods import EPOCH
from features.tables import NAT

CATEGORIES = ("omitted", "pipeline", "best case", "commit", "closed")


def some(number: float, noun: str) -> str:
    """Return "1 day", "12 days", "2.5 days"; a fraction is told to one place where the number is small."""
    told = f"{number:.1f}" if number < 10 and abs(number - round(number)) >= 0.05 else f"{round(number):,}"
    return f"{told} {noun}" if told == "1" else f"{told} {noun}s"


def span(days: float) -> str:
    """Return a length of time: in days, or in hours where it is less than one."""
    return some(days, "day") if days >= 1 else some(days * 24, "hour")


def times(number: float) -> str:
    """Return "once", "twice", "3 times", "0.4 times"."""
    return {1.0: "once", 2.0: "twice"}.get(float(number), some(number, "time"))


def money(amount: float) -> str:
    """Return an amount in whole currency: "50,000"."""
    return f"{amount:,.0f}"


def day_text(day: int) -> str:
    """Return a local day (days since 1970-01-01) as "3 March 2025"."""
    if day == NAT:
        return "no day"
    found = EPOCH + timedelta(days=int(day))
    return f"{found.day} {found:%B} {found.year}"


def call_text(category: int) -> str:
    """Return what a deal is called by its category's rank."""
    return CATEGORIES[category] if 0 <= category < len(CATEGORIES) else "nothing"
