"""The clock: how much of the fiscal period is left, how old the deal is, and what its close date says.

Days are 86,400 s; ``close_date`` is a local day and is compared with the local day of the as-of. Features that speak of
the period serve the `in_period` head only.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView
from features.columns import number
from features.periods import DAY, Calendar
from features.registry import OWN, Columns, Context, Feature, Float, feature_group
from features.tables import NAT

_PERIOD = ("in_period",)

SPECS = (
    Feature("days_left", "days", "{value} days of the period are left", targets=_PERIOD, factor="stage_and_time"),
    Feature(
        "workdays_left",
        "working days",
        "{value} working days of the period are left",
        targets=_PERIOD,
        factor="stage_and_time",
    ),
    Feature(
        "period_share",
        "share 0-1",
        "{value} of the period has gone",
        style=".0%",
        targets=_PERIOD,
        factor="stage_and_time",
    ),
    Feature(
        "days_open",
        "days",
        "open for {value} days; deals like this usually {usual}",
        missing="deal not known",
        factor="pace",
    ),
    Feature(
        "days_to_close_date",
        "days",
        "days to the close date: {value} (minus is overdue); usually {usual}",
        missing="no close date",
        unknown="no close date is set",
        style="+.0f",
        factor="close_date",
    ),
    Feature(
        "close_date_past_period",
        "days",
        "the close date against the period's last day: {value} days (minus is before it); usually {usual}",
        missing="no close date",
        unknown="no close date is set",
        style="+.0f",
        targets=_PERIOD,
        factor="close_date",
    ),
    Feature(
        "close_date_in_period",
        "0 or 1",
        "the close date lies within the period: {value}; usually {usual}",
        missing="no close date",
        unknown="no close date is set",
        words=("no", "yes"),
        sign=1,
        targets=_PERIOD,
        factor="close_date",
    ),
    Feature(
        "close_date_at_period_end",
        "0 or 1",
        "the close date has no working day of its period after it, as placeholders have: {value}; usually {usual}",
        missing="no close date",
        unknown="no close date is set",
        words=("no", "yes"),
        targets=_PERIOD,
        factor="close_date",
    ),
)


@feature_group("clock", SPECS, source=OWN)
def clock(view: AsOfView, context: Context) -> Columns:
    """Return the clock columns for every request; see the module docstring."""
    calendar = view.calendar
    period = view.period()
    start, end = calendar.starts[period], calendar.starts[period + 1]
    due = number(view.of("history").last("close_date"))
    past_period = due - (calendar.days[period + 1] - 1)
    today = view.local_day()
    return {
        "days_left": (end - view.as_of) / DAY,
        "workdays_left": calendar.workdays(today, calendar.days[period + 1]).astype(np.float64),
        "period_share": (view.as_of - start) / (end - start),
        "days_open": view.days_since_created(),
        "days_to_close_date": due - today,
        "close_date_past_period": past_period,
        "close_date_in_period": np.where(np.isnan(due), np.nan, (past_period <= 0).astype(np.float64)),
        "close_date_at_period_end": _at_period_end(view, calendar),
    }


def _at_period_end(view: AsOfView, calendar: Calendar) -> Float:
    """Return 1 where no working day lies between the close date and the end of its period, NaN without a date."""
    due = view.of("history").last("close_date")
    known = due != NAT
    day = np.where(known, due, 0)
    period = np.minimum(np.maximum(calendar.days.searchsorted(day, side="right") - 1, 0), len(calendar.days) - 2)
    last = calendar.workdays(day + 1, calendar.days[period + 1]) == 0
    return np.where(known, last.astype(np.float64), np.nan)
