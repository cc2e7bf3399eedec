"""Activity: what our side does on the deal. Windows run over when the CRM learnt of it (``known_at``).

A row that announces something (planned) is not yet done; a cancelled one never was.
"""

from __future__ import annotations

from features.asof import AsOfView
from features.periods import DAY
from features.registry import OWN, Columns, Context, Feature, feature_group

SPECS = (
    Feature(
        "outbound_7d",
        "activities",
        "{value} outbound activities in 7 days; deals like this usually {usual}",
        factor="our_activity",
    ),
    Feature(
        "outbound_30d",
        "activities",
        "{value} outbound activities in 30 days; deals like this usually {usual}",
        factor="our_activity",
    ),
    Feature(
        "calls_out_30d",
        "calls",
        "{value} calls made in 30 days; deals like this usually {usual}",
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
        "activities_90d",
        "activities",
        "{value} activities in 90 days; deals like this usually {usual}",
        factor="our_activity",
    ),
    Feature(
        "meetings_ahead",
        "meetings",
        "{value} meetings are booked ahead; deals like this usually {usual}",
        sign=1,
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
    activities = view.of("activities")
    booked = activities.upcoming("occurred_at", "meeting_planned")
    called_off = activities.upcoming("occurred_at", "meeting_cancelled")
    return {
        "outbound_7d": activities.count("outbound", within=7 * DAY),
        "outbound_30d": activities.count("outbound", within=30 * DAY),
        "calls_out_30d": activities.count("call_out", within=30 * DAY),
        "days_since_outbound": activities.days_since("outbound"),
        "activities_90d": activities.count("done", within=90 * DAY),
        "meetings_ahead": booked - called_off,
        "meetings_cancelled": activities.count("meeting_cancelled"),
    }
