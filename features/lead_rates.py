"""Rates of leads: how often those of the same source, industry, size, ... converted, as of the request.

A rate is by count, ``(converted + m * parent) / (came in + m)``, shrunken towards the company's (empirical Bayes), and
told as log-odds above it, so that a drift of the company's own rate moves none of them. The parent weighs as much as
`LEAST_WON` conversions at least: where few convert, a fixed number of leads is worth none. Leads that came in more
lately than it usually takes to convert do not count yet, or a new campaign would look bad. A value that nobody told is
missing and no value of its own: what that says (a form that asks for less) is learnt from the rows that lack it.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView, Seen
from features.lead import CONVERTED
from features.rates import PRIOR_CLOSED, PRIOR_WINS, fixed_code, lift
from features.reference import MILLION
from features.registry import OWN, Columns, Context, Feature, Float, Schema, feature_group
from features.timeline import Int

NOT_TOLD = -1
LEAST_WON = 3.0


def _specs(schema: Schema) -> tuple[Feature, ...]:
    return tuple(
        Feature(
            f"{name}_lift",
            "log-odds",
            f"leads with this {name.replace('_', ' ')} convert at {{value}} times the usual odds",
            sign=1,
            missing="not recorded",
            unknown=f"its {name.replace('_', ' ')} is not recorded",
            style=".2f",
            exp=True,
            targets=CONVERTED,
            factor="fit",
        )
        for name in schema.rated
    )


@feature_group("lead_rates", _specs, source=f"{OWN}; shrunken as in Efron & Morris 1975")
def lead_rates(view: AsOfView, context: Context) -> Columns:
    """Return a lift for each dimension and request; see the module docstring."""
    company = view.about("intake", np.zeros(len(view), dtype=np.int64))
    ripe = view.as_of - _usual_wait(company)
    base = _rate(company, ripe, np.full(len(view), PRIOR_WINS / PRIOR_CLOSED), PRIOR_CLOSED)
    weight = np.maximum(context.shrink, LEAST_WON / base)

    def lift_of(name: str) -> Float:
        value = fixed_code(view, name)
        told = lift(_rate(view.about(f"intake_{name}", value), ripe, base, weight), base)
        return np.where(value == NOT_TOLD, np.nan, told)

    return {f"{name}_lift": lift_of(name) for name in context.schema.rated}


def _usual_wait(company: Seen) -> Int:
    """Return how long leads that converted had taken, the mean, int64[n] microseconds; 0 before the first one."""
    won = np.maximum(company.count("won"), 1.0)
    return np.round(company.total("waited_s", "won") / won).astype(np.int64) * MILLION


def _rate(seen: Seen, ripe: Int, parent: Float, m: Float | float) -> Float:
    """Return the shrunken share of leads that converted among those that came in before `ripe`, between 0 and 1."""
    won = seen.count("won")
    came = np.maximum(seen.count("!won") - seen.count("!won", since=ripe), won)
    return (won + m * parent) / (came + m)
