"""History: what closed deals say about this deal's rep, team, account and segments, as of the request.

Rates are by count and shrunken towards their parent, ``(won + m * parent) / (closed + m)``, along rep -> team ->
company (empirical Bayes with the weight `m` of the config), and told as log-odds above the company, so that a drift of
the company's own rate moves none of them.
Raw ids are never columns: a new rep starts at the team's rate. Types of deals move at their own pace, so where the
record has a type, its deals in this stage are told against all deals in it: how they fared, and how long they took.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView, Seen
from features.columns import logit
from features.periods import SECONDS_PER_DAY
from features.rates import Standing, fixed_code, lift, pair, rate, rates, standing
from features.reference import SEGMENT
from features.registry import OWN, Columns, Context, Feature, Float, Schema, feature_group

LIFT = "log-odds"
OWNERS = ("rep_lift", "team_lift", "account_lift")

_FIXED = (
    Feature(
        "rep_lift",
        LIFT,
        "this rep's closed deals were won at {value} times the company's odds",
        sign=1,
        style=".2f",
        exp=True,
        factor="track_record",
    ),
    Feature(
        "team_lift",
        LIFT,
        "this team's closed deals were won at {value} times the company's odds",
        sign=1,
        style=".2f",
        exp=True,
        factor="track_record",
    ),
    Feature(
        "account_lift",
        LIFT,
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
        "days_since_account_win",
        "days",
        "the last win with this account was {value} days ago; usually {usual}",
        missing="no win with the account",
        unknown="nothing was won with this account yet",
        factor="track_record",
    ),
    Feature(
        "account_open_deals",
        "deals",
        "{value} deals with this account are open; usually {usual}",
        factor="track_record",
    ),
)


_SEGMENT = (
    Feature(
        "type_stage_lift",
        LIFT,
        "deals of this type that reached this stage were won at {value} times the odds of all that reached it",
        style=".2f",
        exp=True,
        factor="track_record",
    ),
    Feature(
        "type_stage_pace",
        "log ratio",
        "deals of this type take {value} times as long from this stage to their end as all others",
        style=".2f",
        exp=True,
        factor="pace",
    ),
)


def _specs(schema: Schema) -> tuple[Feature, ...]:
    more = _SEGMENT if SEGMENT in schema.dimensions else ()
    return (
        _FIXED
        + tuple(
            Feature(
                f"{name}_lift",
                LIFT,
                f"deals with this {name.replace('_', ' ')} were won at {{value}} times the company's odds",
                style=".2f",
                exp=True,
                factor="track_record",
            )
            for name in schema.dimensions
        )
        + more
    )


@feature_group("history", _specs, source=f"{OWN}; shrunken as in Efron & Morris 1975")
def history(view: AsOfView, context: Context) -> Columns:
    """Return the history columns for every request; see the module docstring."""
    m, now, names = context.shrink, standing(view), context.schema.dimensions
    account = view.about("account", now.account)
    lifts = _lifts(view, now, account, names, m)
    owners = {name: lifts.pop(name) for name in OWNERS}
    return {
        **owners,
        "account_wins": account.count("won"),
        "days_since_account_win": account.days_since("won"),
        "account_open_deals": view.about("account_book", now.account).total("opened"),
        **lifts,
        **(_segment(view, now, lifts[f"{SEGMENT}_lift"], m) if SEGMENT in names else {}),
    }


def _lifts(view: AsOfView, now: Standing, account: Seen, names: tuple[str, ...], m: float) -> Columns:
    """Return the lifts of rep, team, account and each dimension; those of one parent are made side by side."""
    alike = [view.about(f"by_{name}", fixed_code(view, name)) for name in names]
    team, *others = rates((view.about("team", now.team), *alike), now.base, m)
    p = np.array((rate(now.rep, team, m), team, rate(account, now.base, m / 4), *others))
    return dict(zip((*OWNERS, *(f"{name}_lift" for name in names)), lift(p, now.base), strict=True))


def _segment(view: AsOfView, now: Standing, segment_lift: Float, m: float) -> Columns:
    """Return how deals of this type fare and move from this stage on, shrunken: type and stage -> type -> stage.

    The parent of a rate is the stage's, moved by what the type's deals won beyond the company's.
    """
    here = view.about("segment_stage", pair(fixed_code(view, SEGMENT), now.stage, view.stage_count))
    odds = logit(rate(now.of_stage, now.base, m))
    parent = 1.0 / (1.0 + np.exp(-(odds + segment_lift)))
    n, seconds = now.of_stage.count(), now.of_stage.total("left_s")
    usual = np.maximum(np.where(n > 0, seconds / np.maximum(n, 1), 0.0), SECONDS_PER_DAY)
    own = (here.total("left_s") + m * usual) / (here.count() + m)
    return {
        "type_stage_lift": logit(rate(here, parent, m)) - odds,
        "type_stage_pace": np.log(np.maximum(own, SECONDS_PER_DAY) / usual),
    }
