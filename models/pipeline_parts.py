"""The parts that pipeline figures are made of: exact counts and cents, and the ratios that follow from them.

Fields are integers that add up over the hierarchy; properties are formulas, each None where what it divides by is
missing or not above zero. Money is in cents, also where a mean of it is a float. docs/metrics.md tells each formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return part / whole, None where either is missing or the whole is not above zero."""
    return None if part is None or whole is None or whole <= 0 else part / whole


@dataclass(frozen=True)
class StageFlow:
    """One stage: what stands in it now, and what became of the episodes that entered it in the window.

    stage: name, None for open deals whose stage is not known. Of those that entered: advanced to a later stage or were
    won, lost before they did, were merged into another deal, or are still open and have not advanced. won, ended: of
    the same episodes, those that were won in the end, and those won or lost.
    """

    stage: str | None
    open_count: int
    open_cents: int
    entered: int
    advanced: int
    lost: int
    merged: int
    still_open: int
    won: int
    ended: int

    @property
    def rate(self) -> float | None:
        """Advanced / (advanced + lost): of what is decided. Open and merged ones are counted apart."""
        return ratio(self.advanced, self.advanced + self.lost)

    @property
    def rate_low(self) -> float | None:
        """The rate if none of the open ones advances."""
        return ratio(self.advanced, self.entered - self.merged)

    @property
    def rate_high(self) -> float | None:
        """The rate if all of the open ones advance."""
        return ratio(self.advanced + self.still_open, self.entered - self.merged)

    @property
    def win_rate(self) -> float | None:
        """Won / (won + lost) in the end, of those that entered."""
        return ratio(self.won, self.ended)


@dataclass(frozen=True)
class WinRate:
    """Episodes closed. won_cents, lost_cents: what was at stake just before the close; unpriced: had no amount then."""

    won: int
    lost: int
    won_cents: int
    lost_cents: int
    unpriced: int

    @property
    def closed(self) -> int:
        """Won and lost."""
        return self.won + self.lost

    @property
    def by_count(self) -> float | None:
        """Won / (won + lost)."""
        return ratio(self.won, self.closed)

    @property
    def by_amount(self) -> float | None:
        """Money won / (money won + money lost), each as it stood just before the close."""
        return ratio(self.won_cents, self.won_cents + self.lost_cents)


@dataclass(frozen=True)
class Won:
    """Deals won in the window. priced: with an amount above zero; mean_days, median_days: from opening to the win."""

    count: int
    cents: int
    priced: int
    mean_days: float | None
    median_days: float | None

    @property
    def average_cents(self) -> float | None:
        """Mean money of the wins that have an amount."""
        return ratio(self.cents, self.priced)


@dataclass(frozen=True)
class Velocity:
    """Sales velocity and its parts: cents a day."""

    open_count: int
    win_rate: float | None
    average_cents: float | None
    cycle_days: float | None

    @property
    def cents_per_day(self) -> float | None:
        """Open deals x win rate by count x average size / mean cycle length."""
        if self.win_rate is None or self.average_cents is None:
            return None
        return ratio(self.open_count * self.win_rate * self.average_cents, self.cycle_days)


@dataclass(frozen=True)
class Cover:
    """Coverage by one kind of pipeline: all open deals, or those due in the period.

    count, cents: open now. to_go: quota less bookings, None without a quota. past_open, past_won: cents that were open
    at the same time into the periods of the window, and what those very deals brought by the period's end. shrunk: that
    yield, shrunken rep -> team -> company.
    """

    count: int
    cents: int
    to_go: int | None
    past_open: int
    past_won: int
    shrunk: float | None

    @property
    def ratio(self) -> float | None:
        """Open money / (quota - booked); None without a quota, or once it is reached."""
        return ratio(self.cents, self.to_go)

    @property
    def needed(self) -> float | None:
        """1 / yield: the coverage at which the usual yield brings what is to go; None where it never brought any."""
        return ratio(1.0, self.shrunk)

    @property
    def expected_cents(self) -> float | None:
        """Open money x yield."""
        return None if self.shrunk is None else self.cents * self.shrunk


@dataclass(frozen=True)
class Health:
    """Pipeline health: three parts from 0 to 1, None where one can not be told, and a score from 0 to 100."""

    coverage: float | None
    velocity: float | None
    win_rate: float | None

    @property
    def score(self) -> float | None:
        """100 x (half coverage + a quarter velocity + a quarter win rate); None where a part is missing."""
        if self.coverage is None or self.velocity is None or self.win_rate is None:
            return None
        return 100 * (0.5 * self.coverage + 0.25 * self.velocity + 0.25 * self.win_rate)


@dataclass(frozen=True)
class Curve:
    """How a period's bookings came in.

    start, end: first and last day. ends: last day of each week that is over (of the running period also the as-of's
    own, not yet over). cents: booked by then. total: booked by the last of them. quota: None without one. uneven: area
    between the curve and the straight line, None where nothing was booked or the period is not over.
    """

    start: date
    end: date
    complete: bool
    ends: tuple[date, ...]
    cents: tuple[int, ...]
    total: int
    quota: int | None
    uneven: float | None

    @property
    def attainment(self) -> float | None:
        """Booked / quota."""
        return ratio(self.total, self.quota)

    @property
    def of_quota(self) -> tuple[float | None, ...]:
        """Cumulative share of the quota by week."""
        return tuple(ratio(cents, self.quota) for cents in self.cents)

    @property
    def of_total(self) -> tuple[float | None, ...]:
        """Cumulative share of the period's total by week; None while the period runs."""
        return tuple(ratio(cents, self.total) if self.complete else None for cents in self.cents)

    @property
    def linearity(self) -> float | None:
        """1 - 2 x area between the curve and the straight line: 1 even, 0 all at one end of the period."""
        return None if self.uneven is None else 1 - 2 * self.uneven


def uneven(shares: Sequence[float], weights: Sequence[int]) -> float | None:
    """Return the area between a step curve and the straight line on [0, 1]; 0 for an even one, at most 1/2.

    shares: where the steps are, increasing, each in [0, 1]. weights: their heights; None where they add up to nothing.
    """
    total = sum(weights)
    if total <= 0:
        return None
    area, begun, done = 0.0, 0.0, 0
    for end, weight in zip([*shares, 1.0], [*weights, 0], strict=True):
        level = done / total
        area += _between(end, level) - _between(begun, level)
        begun, done = end, done + weight
    return area


def centre(shares: Sequence[float], weights: Sequence[int]) -> float | None:
    """Return the weighted mean share, 1/2 for an even curve, more for a late one; None without any weight."""
    return ratio(sum(share * weight for share, weight in zip(shares, weights, strict=True)), sum(weights))


def _between(u: float, level: float) -> float:
    """Return the antiderivative of the distance between u and a level."""
    return (u - level) * abs(u - level) / 2
