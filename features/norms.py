"""Norms: this deal beside the deals that were won so far: its time in the stage, its silence, its amount, its call.

A norm is a mean over the company's won deals that had closed by the as-of. Without any there is nothing to compare
with, and the feature says "as usual" (0); a flag for it would only tell how young the record is.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView, Seen
from features.columns import known_or, logit, ratio
from features.periods import DAY, SECONDS_PER_DAY
from features.rates import Standing, standing
from features.reference import MILLION
from features.registry import OWN, Columns, Context, Feature, Float, feature_group
from features.silence import company_gap, own_gap, silent_days

SAID = ("log_amount_ppm", "priced")

SPECS = (
    Feature(
        "stage_time_vs_won",
        "log ratio",
        "it has been in this stage {value} times as long as deals that were won",
        missing="no history",
        unknown="nothing is known of its stages",
        style=".1f",
        exp=True,
        factor="pace",
    ),
    Feature(
        "time_left_vs_won",
        "log ratio",
        "the period leaves {value} times what won deals still needed from here",
        missing="no history",
        unknown="nothing is known of its stages",
        style=".1f",
        exp=True,
        targets=("in_period",),
        factor="stage_and_time",
    ),
    Feature(
        "silence_surprise",
        "usual gaps",
        "the buyer has been silent for {value} times this deal's usual gap; deals like this usually {usual}",
        missing="deal not known",
        sign=-1,
        style=".1f",
        factor="buyer_engagement",
        source="survival of an exponential gap; reply gaps of persons: Kooti et al. 2015",
    ),
    Feature(
        "category_vs_stage",
        "log-odds",
        "deals called like this were won at {value} times the odds of deals in this stage",
        style=".2f",
        exp=True,
        factor="rep_call",
    ),
    Feature(
        "amount_vs_won",
        "log ratio",
        "the amount is {value} times that of the usual won deal",
        missing="no amount above 0",
        unknown="no amount is set",
        style=".2f",
        exp=True,
        factor="amount",
    ),
    Feature(
        "amount_vs_rep",
        "log ratio",
        "the amount is {value} times that of this rep's usual won deal",
        missing="no amount above 0",
        unknown="no amount is set",
        style=".2f",
        exp=True,
        factor="amount",
    ),
)


@feature_group("norms", SPECS, source=OWN)
def norms(view: AsOfView, context: Context) -> Columns:
    """Return the norm columns for every request; see the module docstring."""
    now, m = standing(view), context.shrink
    stage = now.of_stage
    in_stage = view.of("history").days_since("stage_changed")
    spent, left = ratio(stage.totals(("spent_s", "left_s"), "won"), stage.count("won")) / SECONDS_PER_DAY
    period_left = (view.calendar.starts[view.period() + 1] - view.as_of) / DAY
    still = np.maximum(left - in_stage, 0.0)
    beside_company, beside_rep = _amounts(view, now, m)
    return {
        "stage_time_vs_won": _beside(in_stage, spent),
        "time_left_vs_won": np.where(np.isnan(in_stage), np.nan, _beside(period_left, still)),
        "silence_surprise": _silence(view, now.company),
        "category_vs_stage": _call_gap(now, m),
        "amount_vs_won": beside_company,
        "amount_vs_rep": beside_rep,
    }


def _beside(days: Float, norm: Float) -> Float:
    """Return log((days + 1) / (norm + 1)), 0 where there is no norm, NaN where there are no days."""
    said = np.log1p(np.maximum(days, 0.0))
    beside = said - np.log1p(norm)
    beside[np.isnan(norm)] = 0.0
    beside[np.isnan(said)] = np.nan
    return beside


def _silence(view: AsOfView, company: Seen) -> Float:
    """Return the buyer's silence in gaps usual for this deal: -log of its survival if gaps were exponential.

    The usual gap is the deal's own mean, shrunken towards that of all won deals.
    """
    acts = view.of("activities")
    created = np.asarray(view.fixed("created_at"), dtype=np.int64)
    return silent_days(acts, created) / own_gap(acts, company_gap(company))


def _call_gap(now: Standing, m: float) -> Float:
    """Return the rep's call against the evidence of the stage: log-odds of the one's rate above the other's."""
    stage, category = logit(now.passed(m))
    gap: Float = category - stage
    return gap


def _amounts(view: AsOfView, now: Standing, m: float) -> tuple[Float, Float]:
    """Return the log of the amount above the mean log of amounts won by the company, and by the rep.

    The rep's mean is shrunken towards the company's by `m` deals.
    """
    money = view.of("history").last("amount") / 100.0
    money[money <= 0] = np.nan  # a missing amount is far below 0
    said, nothing = np.log(money), money * 0.0
    all_won, all_priced = now.company.totals(SAID, "won")
    own_won, own_priced = now.rep.totals(SAID, "won")
    parent = ratio(all_won, all_priced) / MILLION
    young, usual = np.isnan(parent), known_or(parent, 0.0)

    def above(total: Float, deals: Float, weight: float) -> Float:
        mean = (total / MILLION + weight * usual) / np.maximum(deals + weight, 1.0)
        return np.where(young, nothing, said - mean)

    return above(all_won, all_priced, 0.0), above(own_won, own_priced, m)
