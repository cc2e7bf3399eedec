"""Habits: how this deal's rep differs from the company in more than the share won, as of the request.

Reps who win alike may differ in when they move a stage, what they call commit, how they push dates, write things down
and clear dead deals away; a model that does not know will read their deals wrongly. Each habit is the rep's figure over
closed deals (or over periods that are over) beside the company's, shrunken with the weight `m` of the config: a rep
without a past has none.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView, Seen
from features.columns import known_or, ratio
from features.periods import SECONDS_PER_DAY
from features.rates import Standing, lift, pair, rates, standing
from features.reference import CATEGORY_COUNT, MILLION
from features.registry import OWN, Columns, Context, Feature, Float, feature_group

MONTH_S = 30 * SECONDS_PER_DAY
EACH = ("pushes", "delay_s", "logged", "outbound", "edits", "cycle_s")
OF_WINS = ("share_ppm", "cycle_s")
SURPLUS_WEIGHT = 0.25  # of m, in expected wins: a period's looks at one deal are not independent

SPECS = (
    Feature(
        "rep_stage_lift",
        "log-odds",
        "this rep's deals that reached this stage were won at {value} times the usual odds",
        sign=1,
        style=".2f",
        exp=True,
        factor="track_record",
    ),
    Feature(
        "rep_category_lift",
        "log-odds",
        "this rep's deals called like this were won at {value} times the usual odds",
        sign=1,
        style=".2f",
        exp=True,
        factor="rep_call",
    ),
    Feature(
        "rep_surplus",
        "log ratio",
        "in past periods this rep's deals brought {value} times the wins of others called and staged alike",
        sign=1,
        style=".2f",
        exp=True,
        factor="track_record",
    ),
    Feature(
        "rep_pushes",
        "pushes / deal",
        "this rep's deals are pushed {value} times each beyond the company's (minus is less often)",
        style="+.1f",
        factor="track_record",
    ),
    Feature(
        "rep_log_delay",
        "days",
        "this rep's activities are logged {value} days later than the company's (minus is sooner)",
        style="+.1f",
        factor="track_record",
    ),
    Feature(
        "rep_close_share",
        "share 0-1",
        "this rep's wins come later in the period than the company's by {value} of it (minus is earlier)",
        style="+.0%",
        targets=("in_period",),
        factor="track_record",
    ),
    Feature(
        "rep_cycle",
        "days",
        "this rep's wins take {value} days more than the company's (minus is quicker)",
        style="+.0f",
        factor="track_record",
    ),
    Feature(
        "rep_loss_cycle",
        "days",
        "this rep gives lost deals up {value} days later than the company does (minus is sooner)",
        style="+.0f",
        factor="track_record",
    ),
    Feature(
        "rep_outbound",
        "activities / 30 days",
        "this rep reaches out {value} times more a month, on each deal, than the company does (minus is less)",
        style="+.1f",
        factor="track_record",
    ),
    Feature(
        "rep_edits",
        "changes / 30 days",
        "this rep changes a record {value} times more a month than the company does (minus is less)",
        style="+.1f",
        factor="track_record",
    ),
)


@feature_group("habits", SPECS, source=f"{OWN}; shrunken as in Efron & Morris 1975")
def habits(view: AsOfView, context: Context) -> Columns:
    """Return the habit columns for every request; see the module docstring."""
    now, m = standing(view), context.shrink
    pushes, delay, share, cycle, loss_cycle, outbound, edits = _above(now, m)
    return {
        **_conditional(view, now, m),
        "rep_surplus": _surplus(view.about("rep_surplus", now.owner), m * SURPLUS_WEIGHT),
        "rep_pushes": pushes,
        "rep_log_delay": delay / SECONDS_PER_DAY,
        "rep_close_share": share / MILLION,
        "rep_cycle": cycle / SECONDS_PER_DAY,
        "rep_loss_cycle": loss_cycle / SECONDS_PER_DAY,
        "rep_outbound": outbound,
        "rep_edits": edits,
    }


def _conditional(view: AsOfView, now: Standing, m: float) -> Columns:
    """Return outcome against expectation: of this rep in this stage, and with this call."""
    in_stage = view.about("rep_stage", pair(now.owner, now.stage, view.stage_count))
    so_called = view.about("rep_category", pair(now.owner, now.category, CATEGORY_COUNT))
    usual = now.passed(m)
    stage, category = lift(rates((in_stage, so_called), usual, m), usual)
    return {"rep_stage_lift": stage, "rep_category_lift": category}


def _surplus(seen: Seen, weight: float) -> Float:
    """Return the log of wins over those that peers' deals brought, both with `weight` wins added."""
    return np.log(seen.count("won") + weight) - np.log(seen.total("expected_ppm") / MILLION + weight)


def _above(now: Standing, m: float) -> Float:
    """Return the rep's means above the company's, side by side, float64[7, n]; see `_figures`.

    The company's own means drift (in a young record only quick deals have closed yet), so a habit is a difference.
    """
    (own, counted), (everyone, counted_all) = _figures(now.rep), _figures(now.company)
    parent = ratio(everyone, counted_all)
    # No closed deal yet is no evidence of a habit, not a missing value: a flag for it would only tell how young the
    # record is.
    return known_or((own + m * parent) / (counted + m) - parent, 0.0)


def _figures(closes: Seen) -> tuple[Float, Float]:
    """Return the sums that habits are read off, and the deals, acts or months that each is counted by."""
    pushes, delay, logged, outbound, edits, spent = closes.totals(EACH)
    share, cycle = closes.totals(OF_WINS, "won")
    deals, won, lost = (closes.count(where) for where in (None, "won", "!won"))
    loss_cycle, months = closes.total("cycle_s", "!won"), spent / MONTH_S
    sums = np.array((pushes, delay, share, cycle, loss_cycle, outbound, edits))
    return sums, np.array((deals, logged, won, won, lost, months, months))
