"""Flag of a deal that may stand in the CRM twice: another open deal of its account that looks the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.asof import AsOfView
from features.periods import DAY, local_days
from features.rates import fixed_code
from features.reference import SEGMENT
from features.tables import NAT
from models.base import Bool, Float, Int
from models.flag_dates import latest_of
from models.flag_words import day_text, money, span
from models.flags import Case, Raised, flag_rule, nobody

NEAREST = 3.0  # times its threshold, at most


@dataclass(frozen=True)
class Twins:
    """The deals that each request may be a copy of, k of them. row: int64[k], the request; view: what is seen of each.

    apart: float64[k], days from its creation to the request's. cents: int64[k], its amount. known_at: int64[k], since
    when it stands there with this amount.
    """

    row: Int
    view: AsOfView
    apart: Float
    cents: Int
    known_at: Int

    def nearest(self) -> dict[int, int]:
        """Return for each request that has any the twin created nearest to it, by id where two are equally near."""
        keys = zip(self.row.tolist(), self.apart.tolist(), range(len(self.row)), strict=True)
        best: dict[int, int] = {}
        for row, _, place in sorted(keys, key=lambda key: (key[0], key[1], self.view.deal_id(key[2]))):
            best.setdefault(row, place)
        return best


TWIN = {
    "twin": "deal {other} of the same account is open too, with {theirs} where this one has {amount}; it was created "
    "on {day}, {apart} before this one"
}


@flag_rule(
    "likely_duplicate",
    templates=TWIN,
    rule="another deal of the account is open, was created on the same day or up to `days` before it, is of the same "
    "type where both have one, and its amount and this one's differ by `amount_within` of the larger one at most",
    excess=f"`days` over the days between the two creations, {NEAREST:g} at most",
    next_look="whether the two are one purchase, and which of them holds its history",
)
def likely_duplicate(case: Case) -> Raised:
    """Find deals that may be a copy of an older open deal; silent where the account's other deals are not known."""
    limits, n = case.limits.likely_duplicate, len(case.view)
    twins = _twins(case)
    if not len(twins.row):
        return nobody(n)
    best = twins.nearest()
    where, apart, theirs = np.zeros(n, dtype=bool), np.zeros(n), np.zeros(n, dtype=np.int64)
    for row, place in best.items():
        where[row], apart[row], theirs[row] = True, twins.apart[place], place

    def says(row: int) -> str:
        place = int(theirs[row])
        created = np.asarray(twins.view.fixed("created_at"), dtype=np.int64)[place : place + 1]
        told = {
            "other": twins.view.deal_id(place),
            "theirs": money(twins.cents[place] / 100),
            "amount": money(case.amount[row]),
            "day": day_text(local_days(created, case.view.calendar.zone)[0]),
            "apart": span(apart[row]),
        }
        return TWIN["twin"].format(**told)

    def since() -> Int:
        both = latest_of(twins.known_at[theirs], _standing_since(case.view))
        return np.where(where, case.day_after(np.where(where, both, NAT)), NAT)

    excess = limits.days / np.maximum(apart, limits.days / NEAREST)
    return Raised(where, excess, since, says, case.expected)


def _twins(case: Case) -> Twins:
    """Return the open deals of each request's account that look like it."""
    limits, view = case.limits.likely_duplicate, case.view
    row, others = view.siblings(limits.days * DAY)
    if not len(row):  # so it is for deals given inline, whose accounts are not known whole
        return Twins(row, others, np.zeros(0), row, row)
    theirs, own = others.of("history").last("amount"), view.of("history").last("amount")[row]
    priced = (theirs > 0) & (own > 0)  # NAT is negative
    larger = np.where(priced, np.maximum(theirs, own), 1)
    alike = priced & (np.abs(np.where(priced, theirs - own, 0)) <= limits.amount_within * larger)
    born, created = (np.asarray(v.fixed("created_at"), dtype=np.int64) for v in (view, others))
    kept = np.flatnonzero(alike & others.is_open() & _same_type(view, others, row))
    apart = (born[row] - created)[kept] / DAY
    view_of = others.as_ofs(others.requests.take(kept))
    return Twins(row[kept], view_of, apart, theirs[kept], _standing_since(view_of))


def _same_type(view: AsOfView, others: AsOfView, row: Int) -> Bool:
    """Return bool[k]: the types are the same, or one of them is not told."""
    if not view.tells(SEGMENT):
        return np.ones(len(row), dtype=bool)
    ours, theirs = fixed_code(view, SEGMENT)[row], fixed_code(others, SEGMENT)
    alike: Bool = (ours < 0) | (theirs < 0) | (ours == theirs)
    return alike


def _standing_since(view: AsOfView) -> Int:
    """Return since when each deal stands in the record with its amount, int64[n], UTC microseconds."""
    history = view.of("history")
    return latest_of(history.first("known_at"), history.last("known_at", "amount_changed"))
