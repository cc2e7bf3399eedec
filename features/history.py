"""History: what closed deals say about this deal's rep, account, segment, stage and category, as of the request.

Rates are by count and shrunken towards their parent, ``(won + m * parent) / (closed + m)``, along rep -> team ->
company (empirical Bayes with the weight `m` of the config), and told as log-odds above the parent, so that a drift of
the company's own rate moves none of them.
Raw ids are never columns: a new rep starts at the team's rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.asof import AsOfView, Seen
from features.columns import logit, ratio
from features.reference import CATEGORY_COUNT
from features.registry import OWN, Columns, Context, Feature, Schema, feature_group
from features.tables import NAT

Int = NDArray[np.int64]
Float = NDArray[np.float64]

PRIOR_WINS, PRIOR_CLOSED = 1.0, 4.0  # the company before its first closed deals: one in four, quickly forgotten
SECONDS_PER_DAY = 86_400.0
MILLION = 1e6

_LIFT = "log-odds"

_FIXED = (
    Feature(
        "rep_lift",
        _LIFT,
        "this rep's closed deals were won at {value} times the company's odds",
        sign=1,
        style=".2f",
        exp=True,
        factor="track_record",
    ),
    Feature(
        "account_lift",
        _LIFT,
        "this account's past deals were won at {value} times the company's odds",
        sign=1,
        style=".2f",
        exp=True,
        factor="track_record",
    ),
    Feature(
        "account_wins",
        "deals",
        "{value} earlier deals with this account were won; usually {usual}",
        sign=1,
        factor="track_record",
    ),
    Feature(
        "rep_stage_lift",
        _LIFT,
        "this rep's deals that reached this stage were won at {value} times the usual odds",
        sign=1,
        style=".2f",
        exp=True,
        factor="track_record",
    ),
    Feature(
        "rep_category_lift",
        _LIFT,
        "this rep's deals called like this were won at {value} times the usual odds",
        sign=1,
        style=".2f",
        exp=True,
        factor="rep_call",
    ),
    Feature(
        "rep_pushes",
        "pushes / deal",
        "this rep's deals are pushed {value} times more than the company's",
        style="+.1f",
        factor="track_record",
    ),
    Feature(
        "rep_log_delay",
        "days",
        "this rep's activities are logged {value} days later than the company's",
        style="+.1f",
        factor="track_record",
    ),
    Feature(
        "rep_close_share",
        "share 0-1",
        "this rep's wins come {value} of a period later than the company's",
        style="+.0%",
        targets=("in_period",),
        factor="track_record",
    ),
    Feature(
        "rep_cycle",
        "days",
        "this rep's wins take {value} days more than the company's",
        style="+.0f",
        factor="track_record",
    ),
    Feature(
        "amount_vs_won",
        "log ratio",
        "the amount is {value} times that of the usual won deal",
        missing="no amount",
        style=".2f",
        exp=True,
        factor="amount",
    ),
)


def _specs(schema: Schema) -> tuple[Feature, ...]:
    return _FIXED + tuple(
        Feature(
            f"{name}_lift",
            _LIFT,
            f"deals with this {name.replace('_', ' ')} were won at {{value}} times the company's odds",
            style=".2f",
            exp=True,
            factor="track_record",
        )
        for name in schema.dimensions
    )


@feature_group("history", _specs, source=f"{OWN}; shrunken as in Efron & Morris 1975")
def history(view: AsOfView, context: Context) -> Columns:
    """Return the history columns for every request; see the module docstring."""
    n, m = len(view), context.shrink
    last = view.of("history")
    owner, stage, category = (_code(last.last(name)) for name in ("owner", "stage", "category"))
    company = view.about("company", np.zeros(n, dtype=np.int64))
    base = (company.count("won") + PRIOR_WINS) / (company.count() + PRIOR_CLOSED)
    rep, account = view.about("rep", owner), view.about("account", _fixed_code(view, "account"))
    team_rate = rate(view.about("team", view.team(owner)), base, m)
    return {
        "rep_lift": lift(rate(rep, team_rate, m), base),
        "account_lift": lift(rate(account, base, m / 4), base),
        "account_wins": account.count("won"),
        **_conditional(view, owner, stage, category, base, m),
        **_habits(rep, company, m),
        "amount_vs_won": _amount_vs_won(view, company),
        **{
            f"{name}_lift": lift(rate(view.about(f"by_{name}", _fixed_code(view, name)), base, m), base)
            for name in context.schema.dimensions
        },
    }


def rate(seen: Seen, parent: Float, m: float) -> Float:
    """Return the as-of win rate of an entity, shrunken towards its parent's with the weight of `m` closed deals."""
    return (seen.count("won") + m * parent) / (seen.count() + m)


def lift(p: Float, base: Float) -> Float:
    """Return the log-odds of a rate above those of its base."""
    return logit(p) - logit(base)


def _conditional(view: AsOfView, owner: Int, stage: Int, category: Int, base: Float, m: float) -> Columns:
    """Return outcome against expectation: of the stage, and of this rep in this stage and with this call."""
    width = view.stage_count
    stage_rate = rate(view.about("stage", stage), base, m)
    category_rate = rate(view.about("category", category), base, m)
    in_stage = view.about("rep_stage", _pair(owner, stage, width))
    so_called = view.about("rep_category", _pair(owner, category, CATEGORY_COUNT))
    return {
        "rep_stage_lift": lift(rate(in_stage, stage_rate, m), stage_rate),
        "rep_category_lift": lift(rate(so_called, category_rate, m), category_rate),
    }


def _habits(rep: Seen, company: Seen, m: float) -> Columns:
    """Return the rep's habits above the company's: pushes, late logging, when in the period they close, cycle.

    The company's own means drift (in a young record only quick deals have closed yet), so a habit is a difference.
    """

    def above(total: str, per: str | None, where: str | None) -> Float:
        tops = [s.total(total, where) for s in (rep, company)]
        bottoms = [s.total(per, where) if per else s.count(where) for s in (rep, company)]
        parent = ratio(tops[1], bottoms[1])
        # No closed deal yet is no evidence of a habit, not a missing value: a flag for it would only tell how young
        # the record is.
        return np.where(np.isnan(parent), 0.0, (tops[0] + m * parent) / (bottoms[0] + m) - parent)

    return {
        "rep_pushes": above("pushes", None, None),
        "rep_log_delay": above("delay_s", "logged", None) / SECONDS_PER_DAY,
        "rep_close_share": above("share_ppm", None, "won") / MILLION,
        "rep_cycle": above("cycle_s", None, "won") / SECONDS_PER_DAY,
    }


def _amount_vs_won(view: AsOfView, company: Seen) -> Float:
    cents = view.of("history").last("amount")
    usable = (cents != NAT) & (cents > 0)
    amount = np.where(usable, np.log(np.where(usable, cents, 1) / 100.0), np.nan)
    usual = ratio(company.total("log_amount_ppm", "won"), company.total("priced", "won")) / MILLION
    return np.where(np.isnan(usual), np.where(usable, 0.0, np.nan), amount - usual)


def _code(values: Int) -> Int:
    return np.where(values == NAT, -1, values)


def _fixed_code(view: AsOfView, name: str) -> Int:
    return _code(np.asarray(view.fixed(name), dtype=np.int64))


def _pair(left: Int, right: Int, width: int) -> Int:
    return np.where((left >= 0) & (right >= 0), left * width + right, -1)
