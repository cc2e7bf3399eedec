"""Activity: what our side does on the deal. Windows run over when the CRM learnt of it (``known_at``).

A row that announces something (planned) is not yet done; a cancelled one never was. A dial is a call of ours, a connect
one that was answered.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView, Seen
from features.columns import known_or, number, ratio
from features.periods import DAY, SECONDS_PER_HOUR
from features.registry import OWN, Columns, Context, Feature, Float, feature_group

SPECS = (
    Feature(
        "outbound_30d",
        "activities",
        "{value} outbound activities in 30 days; deals like this usually {usual}",
        factor="our_activity",
    ),
    Feature(
        "outbound_fading_7d",
        "activities",
        "our activity, fading by half in 7 days, stands at {value}; usually {usual}",
        style=".1f",
        factor="our_activity",
    ),
    Feature(
        "outbound_fading_30d",
        "activities",
        "our activity, fading by half in 30 days, stands at {value}; usually {usual}",
        style=".1f",
        factor="our_activity",
    ),
    Feature(
        "days_since_outbound",
        "days",
        "we last reached out {value} days ago; usually {usual}",
        missing="never reached out",
        unknown="we have not reached out yet",
        factor="our_activity",
    ),
    Feature(
        "owed_days",
        "days",
        "the buyer has waited {value} days for our answer; usually {usual}",
        factor="our_activity",
    ),
    Feature(
        "answer_hours",
        "hours",
        "we answered the buyer's mails after {value} hours; deals like this usually {usual}",
        missing="no answered mail yet",
        unknown="we have answered no mail of the buyer yet",
        factor="our_activity",
    ),
    Feature(
        "calls_out_30d",
        "calls",
        "{value} calls made in 30 days; deals like this usually {usual}",
        factor="our_activity",
    ),
    Feature(
        "connect_rate_90d",
        "share 0-1",
        "{value} of our calls in 90 days were answered; deals like this usually {usual}",
        missing="no calls in 90 days",
        unknown="we made no call in 90 days",
        style=".0%",
        factor="our_activity",
    ),
    Feature(
        "meetings_per_connect",
        "meetings / call",
        "{value} meetings for every answered call; deals like this usually {usual}",
        missing="no answered calls",
        unknown="no call of ours was answered yet",
        style=".1f",
        factor="meetings",
    ),
    Feature(
        "meetings_ahead",
        "meetings",
        "{value} meetings are booked ahead; deals like this usually {usual}",
        sign=1,
        factor="meetings",
    ),
    Feature(
        "days_to_meeting",
        "days",
        "the meeting that was booked last is {value} days away; usually {usual}",
        missing="no meeting ahead, or the last was called off",
        unknown="no meeting is booked, or the one booked last was called off",
        factor="meetings",
    ),
    Feature(
        "meetings_cancelled",
        "meetings",
        "{value} meetings were cancelled; deals like this usually {usual}",
        factor="meetings",
    ),
)


@feature_group("activity", SPECS, source=OWN)
def activity(view: AsOfView, context: Context) -> Columns:
    """Return the activity columns for every request; see the module docstring."""
    seen = view.of("activities")
    month, quarter = 30 * DAY, 90 * DAY
    booked, off = (seen.upcoming("occurred_at", f"meeting_{what}") for what in ("planned", "cancelled"))
    ahead = np.maximum(booked - off, 0.0)  # what was called off may never have been booked
    return {
        "outbound_30d": seen.count("outbound", within=month),
        "outbound_fading_7d": seen.decayed(7 * DAY, "outbound"),
        "outbound_fading_30d": seen.decayed(month, "outbound"),
        "days_since_outbound": seen.days_since("outbound"),
        "owed_days": _owed(seen),
        "answer_hours": ratio(seen.total("answer_s", "answer"), seen.count("answer")) / SECONDS_PER_HOUR,
        "calls_out_30d": seen.count("call_out", within=month),
        "connect_rate_90d": ratio(seen.count("call_connected", within=quarter), seen.count("call_out", within=quarter)),
        "meetings_per_connect": ratio(seen.count("meeting_held_day"), seen.count("call_connected")),
        "meetings_ahead": ahead,
        "days_to_meeting": _days_to_meeting(view, seen, ahead),
        "meetings_cancelled": seen.count("meeting_cancelled"),
    }


def _owed(seen: Seen) -> Float:
    """Return the days since the buyer's last word if we have neither written, called nor met since, else 0."""
    waiting = known_or(seen.days_since("inbound"), 0.0)
    return np.where(seen.days_since("reached") <= waiting, 0.0, waiting)


def _days_to_meeting(view: AsOfView, seen: Seen, ahead: Float) -> Float:
    """Return the days to the meeting that was booked last, NaN where it is over or was called off."""
    at = seen.last("occurred_at", "meeting_planned")
    called_off = (seen.last("occurred_at", "meeting_cancelled") == at) & (
        seen.last("known_at", "meeting_cancelled") >= seen.last("known_at", "meeting_planned")
    )
    days = (number(at) - view.as_of) / DAY
    return np.where((ahead > 0) & (days >= 0) & ~called_off, days, np.nan)
