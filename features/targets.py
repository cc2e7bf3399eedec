"""Targets: what the rep has on the table and has to reach: open deals, quota, calls, and how calls went before.

Attainment is what was won in the running period over the quota of that period (quotas of its months add up). The call
is the rep's last commit of the period (calls of its months add up too).
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView, Seen
from features.columns import known_or, ratio
from features.rates import standing
from features.reference import MILLION
from features.registry import OWN, Columns, Context, Feature, Float, feature_group
from features.timeline import Int

_PERIOD = ("in_period",)
NEW_FOR = 182.0  # days; beyond them tenure tells how old the record is rather than anything about the rep
CALL_WEIGHT = 4.0  # periods without a miss that a rep's past misses are shrunken by

SPECS = (
    Feature("rep_open_deals", "deals", "the rep has {value} deals open; usually {usual}", factor="track_record"),
    Feature(
        "rep_tenure_days",
        "days, at most 182",
        "the rep got the first deal {value} days ago (182 stands for longer); usually {usual}",
        factor="track_record",
    ),
    Feature(
        "rep_attainment",
        "share of quota",
        "the rep has won {value} of the period's quota; usually {usual}",
        missing="no quota",
        unknown="no quota of the rep is known for this period",
        style=".0%",
        targets=_PERIOD,
        factor="track_record",
    ),
    Feature(
        "team_attainment",
        "share of quota",
        "the team has won {value} of the period's quota; usually {usual}",
        missing="no quota",
        unknown="no quota of the team is known for this period",
        style=".0%",
        targets=_PERIOD,
        factor="track_record",
    ),
    Feature(
        "rep_call_vs_quota",
        "share of quota",
        "the rep's call for the period stands at {value} of quota; usually {usual}",
        missing="no call or no quota",
        unknown="the rep has no call or no quota for this period",
        style=".0%",
        targets=_PERIOD,
        factor="rep_call",
        source="ForecastCall, ForecastingQuota",
    ),
    Feature(
        "rep_call_miss",
        "log ratio",
        "past periods brought {value} times what this rep had called early on, beside the company's calls",
        style=".2f",
        exp=True,
        targets=_PERIOD,
        factor="rep_call",
    ),
)


@feature_group("targets", SPECS, source=f"{OWN}; Salesforce ForecastingQuota")
def targets(view: AsOfView, context: Context) -> Columns:
    """Return the columns about the rep's targets for every request; see the module docstring."""
    now = standing(view)
    start = view.calendar.starts[view.period()]
    book = view.about("rep_book", now.owner)
    quota = _cents(view.about("rep_quotas", now.owner), start)
    misses = view.about("rep_misses", now.owner)
    return {
        "rep_open_deals": book.total("opened"),
        "rep_tenure_days": np.minimum(known_or(book.days_since_first(), 0.0), NEW_FOR),
        "rep_attainment": _attained(now.rep, quota, start),
        "team_attainment": _attained(
            view.about("team", now.team), _cents(view.about("team_quotas", now.team), start), start
        ),
        "rep_call_vs_quota": _call(view.about("rep_calls", now.owner), quota, start),
        "rep_call_miss": misses.total("miss_ppm") / MILLION / (misses.count() + CALL_WEIGHT),
    }


def _cents(quotas: Seen, start: Int) -> Float:
    """Return the quota of the running period in cents, 0 where there is none."""
    return quotas.total("cents", "timely", since=start)


def _attained(closes: Seen, quota: Float, start: Int) -> Float:
    return ratio(closes.total("cents", "won", since=start), quota)


def _call(calls: Seen, quota: Float, start: Int) -> Float:
    """Return what was last called of the running period over the quota, NaN without either."""
    said = np.where(calls.count("timely", since=start) > 0, calls.total("cents", "timely", since=start), np.nan)
    return ratio(said, quota)
