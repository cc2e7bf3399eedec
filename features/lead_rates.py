"""Rates of leads: how often those of the same source, industry, size, ... converted, as of the request.

A rate is by count, ``(converted + m * parent) / (came in + m)``, shrunken towards the company's (empirical Bayes), and
told as log-odds above it, so that a drift of the company's own rate moves none of them. All leads that came in count,
those of the last days too, which had no time to convert yet: that lowers every rate alike. A value that nobody told is
missing and no value of its own: what that says (a form that asks for less) is learnt from the rows that lack it.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView, Seen
from features.lead import CONVERTED
from features.rates import PRIOR_CLOSED, PRIOR_WINS, fixed_code, lift
from features.registry import OWN, Columns, Context, Feature, Float, Schema, feature_group

NOT_TOLD = -1


def _specs(schema: Schema) -> tuple[Feature, ...]:
    return tuple(
        Feature(
            f"{name}_lift",
            "log-odds",
            f"leads with this {name.replace('_', ' ')} convert at {{value}} times the usual odds",
            missing="not recorded",
            unknown=f"its {name.replace('_', ' ')} is not recorded",
            style=".2f",
            exp=True,
            targets=CONVERTED,
            factor="fit",
        )
        for name in schema.dimensions
    )


@feature_group("lead_rates", _specs, source=f"{OWN}; shrunken as in Efron & Morris 1975")
def lead_rates(view: AsOfView, context: Context) -> Columns:
    """Return a lift for each dimension and request; see the module docstring."""
    company = view.about("intake", np.zeros(len(view), dtype=np.int64))
    base = _rate(company, np.full(len(view), PRIOR_WINS / PRIOR_CLOSED), PRIOR_CLOSED)
    return {f"{name}_lift": _lift(view, name, base, context.shrink) for name in context.schema.dimensions}


def _lift(view: AsOfView, name: str, base: Float, m: float) -> Float:
    """Return the lift of each request's value, NaN where none was told."""
    value = fixed_code(view, name)
    told = lift(_rate(view.about(f"intake_{name}", value), base, m), base)
    return np.where(value == NOT_TOLD, np.nan, told)


def _rate(seen: Seen, parent: Float, m: float) -> Float:
    """Return the shrunken share of leads that converted, strictly between 0 and 1."""
    won, came = seen.count("won"), seen.count("!won")
    return (np.minimum(won, came) + m * parent) / (came + m)
