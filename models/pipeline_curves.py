"""Attainment curves and linearity: how the bookings of each period came in, week by week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from features.asof import before
from features.periods import EPOCH, Calendar, local_days, local_midnight
from features.pipeline import PipelineView
from features.timeline import Float, Int
from features.wins import Wins
from models.pipeline_parts import Curve, uneven


@dataclass(frozen=True)
class Weeks:
    """The weeks of a period that are over: `ends`, int64, the instants at which they end, and their last days.

    Of the running period the as-of is the last of them, in the middle of a week or not.
    """

    period: int
    complete: bool
    ends: Int
    days: tuple[date, ...]


def weeks_of(view: PipelineView) -> list[Weeks]:
    """Return the weeks of each period of the window and of the running one."""
    window = view.window
    return [_weeks(window.calendar, period, view.as_of) for period in (*window.periods, window.running)]


def curves_of(wins: Wins, weeks: list[Weeks], quotas: list[int | None], calendar: Calendar) -> tuple[Curve, ...]:
    """Return a curve per period from wins in order of time. quotas: cents of each period, None without one."""
    return tuple(_curve(wins, listed, quota, calendar) for listed, quota in zip(weeks, quotas, strict=True))


def shares_gone(won_at: Int, calendar: Calendar) -> Float:
    """Return the share of its period that was gone at each win, float64[n] in [0, 1)."""
    begun, over = calendar.bounds(won_at)
    return (won_at - begun) / (over - begun)


def _curve(wins: Wins, weeks: Weeks, quota: int | None, calendar: Calendar) -> Curve:
    begin, end = before(wins.won_at, int(calendar.starts[weeks.period])), before(wins.won_at, int(weeks.ends[-1]))
    won = wins.take(slice(begin, end))
    booked = np.concatenate([[0], np.cumsum(won.cents)])
    cents = tuple(int(booked[before(won.won_at, at)]) for at in weeks.ends.tolist())
    area = uneven(shares_gone(won.won_at, calendar).tolist(), won.cents.tolist()) if weeks.complete else None
    first, last = calendar.day(weeks.period), calendar.last_day(weeks.period)
    return Curve(first, last, weeks.complete, weeks.days, cents, cents[-1], quota, area)


def _weeks(calendar: Calendar, period: int, as_of: int) -> Weeks:
    first, last = calendar.day(period), calendar.day(period + 1)
    starts = [first + timedelta(days=7 * k) for k in range(1, ((last - first).days + 6) // 7)]
    zone = ZoneInfo(calendar.zone)
    ends = np.array([*(local_midnight(day, zone) for day in starts), int(calendar.starts[period + 1])], dtype=np.int64)
    over = before(ends, as_of + 1)
    if over == len(ends):
        return Weeks(period, True, ends, tuple(day - timedelta(days=1) for day in (*starts, last)))
    ends = np.append(ends[: before(ends, as_of)], as_of)
    days = local_days(ends - 1, calendar.zone)
    return Weeks(period, False, ends, tuple(EPOCH + timedelta(days=int(day)) for day in days))
