"""Engagement: what the buyer does: replies, meetings held, calls taken, content opened, people involved.

``buyer`` rows are inbound activities, meetings held and calls that connected. Times since use when it happened
(``occurred_at``) among the rows the CRM already knew.
"""

from __future__ import annotations

from features.asof import AsOfView
from features.columns import ratio
from features.periods import DAY
from features.registry import OWN, Columns, Context, Feature, feature_group

SPECS = (
    Feature(
        "days_since_buyer",
        "days",
        "no sign from the buyer for {value} days; deals like this usually {usual}",
        missing="the buyer has not acted yet",
        unknown="no sign from the buyer so far",
        sign=-1,
        factor="buyer_engagement",
    ),
    Feature(
        "buyer_14d",
        "activities",
        "the buyer acted {value} times in 14 days; deals like this usually {usual}",
        factor="buyer_engagement",
    ),
    Feature(
        "buyer_30d",
        "activities",
        "the buyer acted {value} times in 30 days; deals like this usually {usual}",
        factor="buyer_engagement",
    ),
    Feature(
        "buyer_total",
        "activities",
        "the buyer acted {value} times so far; deals like this usually {usual}",
        factor="buyer_engagement",
    ),
    Feature(
        "buyer_trend",
        "share 0-1",
        "{value} of the buyer's last 42 days of activity fell in the last 14; usually {usual}",
        missing="no buyer activity in 42 days",
        unknown="no sign from the buyer in 42 days",
        style=".0%",
        factor="buyer_engagement",
    ),
    Feature(
        "replies_30d",
        "mails",
        "{value} mails from the buyer in 30 days; deals like this usually {usual}",
        factor="buyer_engagement",
    ),
    Feature(
        "buyer_share_90d",
        "share 0-1",
        "{value} of the activity in 90 days came from the buyer; usually {usual}",
        missing="no activity in 90 days",
        unknown="no activity in 90 days",
        style=".0%",
        factor="buyer_engagement",
    ),
    Feature(
        "meetings_held_30d",
        "meetings",
        "{value} meetings in 30 days; deals like this usually {usual}",
        factor="meetings",
    ),
    Feature("meetings_held", "meetings", "{value} meetings so far; deals like this usually {usual}", factor="meetings"),
    Feature(
        "content_30d",
        "views",
        "content opened {value} times in 30 days; deals like this usually {usual}",
        factor="buyer_engagement",
    ),
    Feature(
        "contracts_in",
        "answers",
        "the buyer answered an offer or contract {value} times; usually {usual}",
        factor="buyer_engagement",
    ),
    Feature(
        "contacts_active_30d",
        "people",
        "{value} people took part in 30 days; deals like this usually {usual}",
        factor="people",
    ),
    Feature(
        "contacts_known", "people", "{value} people are on the deal; deals like this usually {usual}", factor="people"
    ),
    Feature(
        "buyer_decayed",
        "activities",
        "buyer activity, fading by half in 7 days, stands at {value}; usually {usual}",
        style=".1f",
        factor="buyer_engagement",
    ),
)


@feature_group("engagement", SPECS, source=OWN)
def engagement(view: AsOfView, context: Context) -> Columns:
    """Return the engagement columns for every request; see the module docstring."""
    activities = view.of("activities")
    fortnight, month, quarter = 14 * DAY, 30 * DAY, 90 * DAY
    recent = activities.count("buyer", within=fortnight)
    return {
        "days_since_buyer": activities.days_since("buyer", clock="occurred_at"),
        "buyer_14d": recent,
        "buyer_30d": activities.count("buyer", within=month),
        "buyer_total": activities.count("buyer"),
        "buyer_trend": ratio(recent, activities.count("buyer", within=42 * DAY)),
        "replies_30d": activities.count("email_in", within=month),
        "buyer_share_90d": ratio(activities.count("buyer", within=quarter), activities.count("done", within=quarter)),
        "meetings_held_30d": activities.count("meeting_held", within=month),
        "meetings_held": activities.count("meeting_held"),
        "content_30d": activities.count("content", within=month),
        "contracts_in": activities.count("contract_in"),
        "contacts_active_30d": activities.distinct("contact", "buyer", within=month),
        "contacts_known": view.of("contacts").distinct("contact"),
        "buyer_decayed": activities.decayed(7 * DAY, "buyer"),
    }
