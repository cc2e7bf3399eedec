"""Engagement of a lead: what it did on the web, by mail and in campaigns, and what we did about it.

Windows run over when the CRM learnt of it (``known_at``). A mail that was opened is no act of the lead: machines open
mails too. Marketing that we send (campaigns) is told apart from people who reach out.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView, Seen
from features.columns import known_or
from features.lead import CONVERTED
from features.periods import DAY
from features.registry import OWN, Columns, Context, Feature, Float, feature_group
from features.tables import NAT


def _theirs(
    name: str,
    unit: str,
    says: str,
    missing: str = "never",
    unknown: str = "",
    style: str = ".0f",
    words: tuple[str, ...] = (),
) -> Feature:
    factor, logged = "lead_engagement", unit.startswith("log1p")
    return Feature(
        name, unit, says, missing, unknown, style=style, words=words, exp=logged, targets=CONVERTED, factor=factor
    )


def _ours(name: str, unit: str, says: str, missing: str = "never", unknown: str = "", style: str = ".0f") -> Feature:
    factor, logged = "our_follow_up", unit.startswith("log1p")
    return Feature(name, unit, says, missing, unknown, style=style, exp=logged, targets=CONVERTED, factor=factor)


SPECS = (
    _theirs("acts_total", "acts", "it acted {value} times so far; leads like this usually {usual}"),
    _theirs("acts_1d", "acts", "it acted {value} times in a day; leads like this usually {usual}"),
    _theirs("acts_7d", "acts", "it acted {value} times in 7 days; leads like this usually {usual}"),
    _theirs("acts_30d", "acts", "it acted {value} times in 30 days; leads like this usually {usual}"),
    _theirs(
        "acts_fading_3d",
        "log1p acts",
        "its activity, fading by half in 3 days, stands at {value}; usually {usual}",
        style=".1f",
    ),
    _theirs(
        "acts_fading_14d",
        "log1p acts",
        "its activity, fading by half in 14 days, stands at {value}; usually {usual}",
        style=".1f",
    ),
    _theirs(
        "days_since_act",
        "days",
        "it last acted {value} days ago; leads like this usually {usual}",
        "it has not acted yet",
        "it has not acted so far",
        style=".1f",
    ),
    _theirs(
        "spoke_first",
        "0 or 1",
        "the first thing it did was to write or call us itself, not to look or click: {value}",
        "it has not acted yet",
        "it has not acted so far",
        words=("no", "yes"),
    ),
    _theirs("ways_to_reach_us", "kinds", "it came by {value} ways (web, mail, campaign, call, ...); usually {usual}"),
    _theirs("web_7d", "visits", "{value} visits to our site in 7 days; leads like this usually {usual}"),
    _theirs("web_total", "visits", "{value} visits to our site so far; leads like this usually {usual}"),
    _theirs("content_total", "views", "content opened {value} times; leads like this usually {usual}"),
    _theirs("mails_in", "mails", "it wrote {value} mails; leads like this usually {usual}"),
    _theirs("campaign_answers", "answers", "it answered {value} campaigns; leads like this usually {usual}"),
    _theirs("calls_in", "calls", "it called {value} times; leads like this usually {usual}"),
    _theirs("meetings_held", "meetings", "{value} meetings were held; leads like this usually {usual}"),
    _theirs("meetings_ahead", "meetings", "{value} meetings are booked ahead; leads like this usually {usual}"),
    _ours("our_acts_total", "acts", "we reached out {value} times so far; leads like this usually {usual}"),
    _ours("our_acts_7d", "acts", "we reached out {value} times in 7 days; leads like this usually {usual}"),
    _ours("calls_connected", "calls", "{value} of our calls were answered; leads like this usually {usual}"),
    _ours("campaigns_sent", "campaigns", "it was put into {value} campaigns; leads like this usually {usual}"),
    _ours(
        "hours_to_first_touch",
        "log1p hours",
        "we first reached out {value} hours after it came in; leads like this usually {usual}",
        "we have not reached out yet",
        "we have not reached out yet",
        style=".1f",
    ),
    _ours(
        "days_since_our_act",
        "days",
        "we last reached out {value} days ago; leads like this usually {usual}",
        "we have not reached out yet",
        "we have not reached out yet",
        style=".1f",
    ),
    _ours(
        "owed_days", "days", "it has waited {value} days for our answer; leads like this usually {usual}", style=".1f"
    ),
)


@feature_group("lead_engagement", SPECS, source=OWN)
def lead_engagement(view: AsOfView, context: Context) -> Columns:
    """Return the engagement columns for every request; see the module docstring."""
    acts = view.of("activities")
    waiting = known_or(acts.days_since("inbound"), 0.0)
    booked, off = (acts.upcoming("occurred_at", f"meeting_{what}") for what in ("planned", "cancelled"))
    return {
        "acts_total": acts.count("inbound"),
        "acts_1d": acts.count("inbound", within=DAY),
        "acts_7d": acts.count("inbound", within=7 * DAY),
        "acts_30d": acts.count("inbound", within=30 * DAY),
        "acts_fading_3d": np.log1p(acts.decayed(3 * DAY, "inbound")),
        "acts_fading_14d": np.log1p(acts.decayed(14 * DAY, "inbound")),
        "days_since_act": acts.days_since("inbound"),
        "spoke_first": _spoke_first(acts),
        "ways_to_reach_us": acts.distinct("kind", "inbound"),
        "web_7d": acts.count("web", within=7 * DAY),
        "web_total": acts.count("web"),
        "content_total": acts.count("content") - acts.count("web"),
        "mails_in": acts.count("email_in"),
        "campaign_answers": acts.count("campaign_in"),
        "calls_in": acts.count("call_in"),
        "meetings_held": acts.count("meeting_held"),
        "meetings_ahead": np.maximum(booked - off, 0.0),
        "our_acts_total": acts.count("by_hand"),
        "our_acts_7d": acts.count("by_hand", within=7 * DAY),
        "calls_connected": acts.count("call_connected"),
        "campaigns_sent": acts.count("campaign_out"),
        "hours_to_first_touch": _first_touch(view),
        "days_since_our_act": acts.days_since("by_hand"),
        "owed_days": np.where(acts.days_since("by_hand") <= waiting, 0.0, waiting),
    }


def _spoke_first(acts: Seen) -> Float:
    """Return 1 where the first act of the lead was a mail or a call of its own, NaN before any act."""
    first = acts.first("known_at", "inbound")
    itself = [acts.first("known_at", name) for name in ("email_in", "call_in")]
    spoke = np.any([at == first for at in itself], axis=0).astype(np.float64)
    return np.where(first == NAT, np.nan, spoke)


def _first_touch(view: AsOfView) -> Float:
    """Return the hours from the lead's creation to the first time we reached out, NaN before that; 0 at least."""
    first = view.of("activities").first("known_at", "by_hand")
    created = np.asarray(view.fixed("created_at"), dtype=np.int64)
    told = (first != NAT) & view.exists()
    hours = np.where(told, first, 0) - np.where(told, created, 0)
    return np.where(told, np.log1p(np.maximum(hours / (DAY / 24), 0.0)), np.nan)
