"""History: what closed deals say about this deal's rep, team, account and segments, as of the request.

Rates are by count and shrunken towards their parent, ``(won + m * parent) / (closed + m)``, along rep -> team ->
company (empirical Bayes with the weight `m` of the config), and told as log-odds above the company, so that a drift of
the company's own rate moves none of them.
Raw ids are never columns: a new rep starts at the team's rate.
"""

from __future__ import annotations

from features.asof import AsOfView
from features.rates import fixed_code, lift, rate, standing
from features.registry import OWN, Columns, Context, Feature, Schema, feature_group

LIFT = "log-odds"

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


def _specs(schema: Schema) -> tuple[Feature, ...]:
    return _FIXED + tuple(
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


@feature_group("history", _specs, source=f"{OWN}; shrunken as in Efron & Morris 1975")
def history(view: AsOfView, context: Context) -> Columns:
    """Return the history columns for every request; see the module docstring."""
    m, now = context.shrink, standing(view)
    base = now.base
    account = view.about("account", now.account)
    team_rate = rate(view.about("team", now.team), base, m)
    return {
        "rep_lift": lift(rate(now.rep, team_rate, m), base),
        "team_lift": lift(team_rate, base),
        "account_lift": lift(rate(account, base, m / 4), base),
        "account_wins": account.count("won"),
        "days_since_account_win": account.days_since("won"),
        "account_open_deals": view.about("account_book", now.account).total("opened"),
        **{
            f"{name}_lift": lift(rate(view.about(f"by_{name}", fixed_code(view, name)), base, m), base)
            for name in context.schema.dimensions
        },
    }
