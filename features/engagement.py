"""Engagement: what the buyer does: replies and how fast, meetings held, calls taken, content opened.

``buyer`` rows are inbound activities, meetings held and calls that connected. Times since use when it happened
(``occurred_at``) among the rows the CRM already knew. Counts are of days on which the CRM learnt of any (UTC), so that
what is typed in all at once weighs as one act (docs/decisions/0029-counts-go-by-days-of-entry.md).
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView, Seen
from features.columns import ratio
from features.periods import DAY, SECONDS_PER_HOUR
from features.registry import OWN, Columns, Context, Feature, Float, feature_group

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
        "buyer_30d",
        "activities",
        "the buyer acted on {value} days of the last 30; deals like this usually {usual}",
        factor="buyer_engagement",
    ),
    Feature(
        "buyer_total",
        "activities",
        "the buyer acted on {value} days so far; deals like this usually {usual}",
        factor="buyer_engagement",
    ),
    Feature(
        "buyer_trend",
        "share 0-1",
        "{value} of the days on which the buyer acted in the last 42 fell in the last 14; usually {usual}",
        missing="no buyer activity in 42 days",
        unknown="no sign from the buyer in 42 days",
        style=".0%",
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
        "meetings were held on {value} days of the last 30; deals like this usually {usual}",
        factor="meetings",
    ),
    Feature(
        "meetings_held",
        "meetings",
        "meetings were held on {value} days so far; deals like this usually {usual}",
        factor="meetings",
    ),
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
        "buyer_fading_7d",
        "activities",
        "buyer activity, fading by half in 7 days, stands at {value}; usually {usual}",
        style=".1f",
        factor="buyer_engagement",
    ),
    Feature(
        "buyer_fading_30d",
        "activities",
        "buyer activity, fading by half in 30 days, stands at {value}; usually {usual}",
        style=".1f",
        factor="buyer_engagement",
    ),
    Feature(
        "reply_hours",
        "hours",
        "the buyer answered our mails after {value} hours; deals like this usually {usual}",
        missing="no reply yet",
        unknown="the buyer has not answered a mail yet",
        factor="buyer_engagement",
    ),
    Feature(
        "reply_trend",
        "log ratio",
        "in 30 days the buyer's answers took {value} times as long as over the whole deal",
        missing="no reply in 30 days",
        unknown="no answer from the buyer in 30 days",
        style=".1f",
        exp=True,
        factor="buyer_engagement",
    ),
    Feature(
        "process_steps",
        "steps",
        "{value} of 6 steps are met (met, second contact, senior or decision maker, amount, next step, offer out); "
        "usually {usual}",
        factor="people",
    ),
)


@feature_group("engagement", SPECS, source=OWN)
def engagement(view: AsOfView, context: Context) -> Columns:
    """Return the engagement columns for every request; see the module docstring."""
    activities = view.of("activities")
    fortnight, month, quarter = 14 * DAY, 30 * DAY, 90 * DAY
    recent = activities.count("buyer_day", within=fortnight)
    lately, ours = (activities.count(mask, within=quarter) for mask in ("buyer_day", "ours"))
    took = ratio(activities.total("reply_s", "reply"), activities.count("reply"))
    took_lately = ratio(activities.total("reply_s", "reply", within=month), activities.count("reply", within=month))
    return {
        "days_since_buyer": activities.days_since("buyer", clock="occurred_at"),
        "buyer_30d": activities.count("buyer_day", within=month),
        "buyer_total": activities.count("buyer_day"),
        "buyer_trend": ratio(recent, activities.count("buyer_day", within=42 * DAY)),
        "buyer_share_90d": ratio(lately, lately + ours),
        "meetings_held_30d": activities.count("meeting_held_day", within=month),
        "meetings_held": activities.count("meeting_held_day"),
        "content_30d": activities.count("content", within=month),
        "contracts_in": activities.count("contract_in"),
        "buyer_fading_7d": activities.decayed(7 * DAY, "buyer_day"),
        "buyer_fading_30d": activities.decayed(month, "buyer_day"),
        "reply_hours": took / SECONDS_PER_HOUR,
        "reply_trend": np.log(took_lately + SECONDS_PER_HOUR) - np.log(took + SECONDS_PER_HOUR),
        "process_steps": _steps(view, activities),
    }


def _steps(view: AsOfView, activities: Seen) -> Float:
    """Count the steps of a sound process that are met; what is not recorded counts as not met."""
    history, contacts = view.of("history"), view.of("contacts")
    met = (
        activities.count("meeting_held") > 0,
        contacts.distinct("contact") > 1,
        (contacts.count("senior") > 0) | (contacts.count("decides") > 0),
        history.last("amount") > 0,
        history.last("next_step") == 1,
        activities.count("contract_out") > 0,
    )
    return np.asarray(np.sum(met, axis=0), dtype=np.float64)
