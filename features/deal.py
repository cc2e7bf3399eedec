"""The deal as it stands: stage, amount, forecast category, next step, and attributes fixed at creation.

Input: the view's ``history`` timeline (full state per row) and fixed facts. Output: float64[n] per name. A deal with no
visible history is NaN in everything that history would tell.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView
from features.columns import log_money, number
from features.reference import MILLION
from features.registry import Columns, Context, Feature, Schema, feature_group

_FIXED = (
    Feature(
        "stage_rank", "rank", "in stage number {value} (first is 0)", missing="stage not known", factor="stage_and_time"
    ),
    Feature(
        "stage_share",
        "share 0-1",
        "it is {value} of the way through its sales process; deals like this usually {usual}",
        missing="stage not known",
        unknown="the stage is not known",
        style=".0%",
        factor="stage_and_time",
    ),
    Feature(
        "log_amount",
        "log money",
        "the amount is {value}; deals like this usually {usual}",
        missing="no amount",
        unknown="no amount is set",
        style=",.0f",
        exp=True,
        factor="amount",
    ),
    Feature(
        "amount_vs_first",
        "log ratio",
        "the amount is {value} times what it began with",
        missing="no amount",
        unknown="no amount is set",
        style=".2f",
        exp=True,
        factor="amount",
    ),
    Feature(
        "amount_changes",
        "changes",
        "amount was changed {value} times; deals like this usually {usual}",
        factor="amount",
    ),
    Feature(
        "amount_last_step",
        "log ratio",
        "the amount's last change made it {value} times what it was",
        missing="never changed",
        unknown="the amount was never changed",
        style=".2f",
        exp=True,
        factor="amount",
    ),
    Feature("amount_cuts", "changes", "amount was cut {value} times; deals like this usually {usual}", factor="amount"),
    Feature(
        "category_rank",
        "rank",
        "the rep calls it {value}; deals like this are usually {usual}",
        missing="no forecast category",
        unknown="the rep has not called it",
        words=("omitted", "pipeline", "best case", "commit", "closed"),
        sign=1,
        factor="rep_call",
    ),
    Feature(
        "category_raised",
        "changes",
        "the call was raised {value} times; deals like this usually {usual}",
        factor="rep_call",
    ),
    Feature(
        "category_lowered",
        "changes",
        "the call was lowered {value} times; deals like this usually {usual}",
        factor="rep_call",
    ),
    Feature(
        "days_since_category_change",
        "days",
        "the call was last changed {value} days ago; usually {usual}",
        missing="never changed",
        unknown="the call was never changed",
        factor="rep_call",
    ),
    Feature(
        "crm_probability",
        "share 0-1",
        "the CRM's own probability is {value}; deals like this usually {usual}",
        missing="not recorded",
        style=".0%",
        factor="rep_call",
        source="Salesforce Opportunity.Probability",
    ),
    Feature(
        "next_step_set",
        "0 or 1",
        "a next step is written down: {value}; usually {usual}",
        missing="not recorded",
        words=("no", "yes"),
        factor="rep_call",
    ),
    Feature(
        "owner_changes",
        "changes",
        "the deal changed hands {value} times; deals like this usually {usual}",
        factor="pace",
    ),
)


def _specs(schema: Schema) -> tuple[Feature, ...]:
    numbers = tuple(
        Feature(
            f"attr_{name}",
            "as given",
            name.replace("_", " ") + " is {value}; usual {usual}",
            "no value",
            style=".4g",
            factor="attributes",
        )
        for name in schema.numbers
    )
    return _FIXED + numbers


@feature_group("deal", _specs, source="Salesforce Opportunity and OpportunityHistory")
def deal(view: AsOfView, context: Context) -> Columns:
    """Return the deal columns for every request; see the module docstring."""
    history = view.of("history")
    amount = log_money(history.last("amount"))
    return {
        "stage_rank": number(history.last("stage")),
        "stage_share": number(history.last("stage_share_ppm")) / MILLION,
        "log_amount": amount,
        "amount_vs_first": amount - log_money(history.first("amount")),
        "amount_changes": history.count("amount_changed"),
        "amount_last_step": number(history.last("amount_step_ppm", "amount_changed")) / MILLION,
        "amount_cuts": history.count("amount_cut"),
        "category_rank": number(history.last("category")),
        "category_raised": history.count("category_raised"),
        "category_lowered": history.count("category_lowered"),
        "days_since_category_change": history.days_since("category_changed"),
        "crm_probability": number(history.last("probability_ppm")) / MILLION,
        "next_step_set": number(history.last("next_step")),
        "owner_changes": history.count("owner_changed"),
        **{f"attr_{name}": np.asarray(view.fixed(name), dtype=np.float64) for name in context.schema.numbers},
    }
