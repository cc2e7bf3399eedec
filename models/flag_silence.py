"""The flag of a buyer who has gone: silent for longer, at the deal's own pace, than won deals were but rarely.

`neglected` (`models.flag_people`) is its counterpart: there it is our turn to speak.
"""

from __future__ import annotations

import numpy as np

from features.asof import Seen
from features.columns import known_or
from features.periods import DAY, local_days
from features.silence import EDGES, pace, shares_at_age
from features.tables import NAT
from models.base import Float, Int
from models.flag_dates import latest_of
from models.flag_people import meeting_ahead
from models.flag_words import day_text, some, span
from models.flags import Case, Raised, flag_rule, nobody

LOOKED = -0.75  # what the buyer opened since then speaks against: by so much in the log of the silence
UNANSWERED, CALLS = 0.25, 2  # and so many calls of ours since then that nobody took speak for it

SILENT = {
    "silent": "no sign from the buyer for {days}, since {day}, with {tries} of our mails and calls since; of the weeks "
    "of deals that were won, {share} had a silence this old beside the deal's own pace; its usual gap is {gap}, that "
    "of deals like it {usual}",
    "never": "no sign from the buyer in the {days} since the deal began, with {tries} of our mails and calls; of the "
    "weeks of deals that were won, {share} had a silence this old beside the deal's own pace; the usual gap of deals "
    "like it is {usual}",
}


@flag_rule(
    "disengaged",
    templates=SILENT,
    rule="the buyer's silence is so old, in the deal's usual gaps (its own mean, held to that of won deals of its "
    "type), that at most `share` of the weeks of won deals in this stage had one as old, and at least `min_days`; we "
    "wrote, called or met no earlier than the buyer's last act, and no meeting is booked ahead",
    excess="days of silence, in those from which it is flagged",
    first="the longest silence, in the deal's usual gaps; what the buyer opened since then halves it, two calls of "
    "ours that nobody took add a quarter",
    next_look="who on the buyer's side spoke last, and whether anybody heard of the deal outside the CRM",
)
def disengaged(case: Case) -> Raised:
    """Find deals whose buyer is silent for longer than usual, and not for want of a word from us (`neglected`)."""
    limits, view, acts = case.limits.disengaged, case.view, case.view.of("activities")
    spoke, reached = acts.days_since("buyer"), acts.days_since("reached")
    ours = ~np.isnan(reached) & (np.isnan(spoke) | (reached <= spoke)) & ~meeting_ahead(acts)
    if not ours.any():
        return nobody(len(view))
    now, shares = pace(view), shares_at_age(view)
    rare = shares <= limits.share
    gaps = np.where(rare.any(axis=0), EDGES[rare.argmax(axis=0)], np.inf)
    least = np.maximum(gaps * now.gap, limits.min_days)
    company = case.standing.company
    enough = (company.count("won") >= case.limits.min_deals) & (
        company.total("buyer_gaps", "won") >= case.limits.min_deals
    )
    where = ours & enough & (known_or(now.silent, 0.0) >= least)
    if not where.any():
        return nobody(len(view))
    heard, known = acts.latest("occurred_at", "buyer"), acts.last("known_at", "buyer")
    created = np.asarray(view.fixed("created_at"), dtype=np.int64)
    began = np.where(heard == NAT, created, heard)
    told = np.where(known == NAT, np.where(began == NAT, 0, began), known)

    def since() -> Int:
        reached_at = np.where(began == NAT, 0, began) + (np.where(where, least, 0.0) * DAY).astype(np.int64)
        # By then we had been in touch; else the day on which it became the buyer's turn is not told.
        before = acts.count("reached", since=told) - acts.count("reached", since=reached_at)
        return np.where((began != NAT) & (before > 0), latest_of(case.day_from(reached_at), case.day_after(known)), NAT)

    def says(row: int) -> str:
        age = int(np.searchsorted(EDGES, now.silent[row] / now.gap[row], side="right")) - 1
        fields = {
            "days": some(np.floor(now.silent[row]), "day"),
            "tries": f"{acts.count('outbound', since=told)[row]:.0f}",
            "share": _share(shares[max(age, 0), row]),
            "gap": span(now.gap[row]),
            "usual": span(now.usual[row]),
        }
        if heard[row] == NAT:
            return SILENT["never"].format(**fields)
        day = local_days(np.array([heard[row]]), view.calendar.zone)[0]
        return SILENT["silent"].format(day=day_text(day), **fields)

    return Raised(
        where,
        np.where(where, now.silent / np.where(where, least, 1.0), 1.0),
        since,
        says,
        case.expected,
        view.shared("gone", lambda: _gone(acts, now.silent / now.gap, told)),
    )


def _gone(acts: Seen, gaps: Float, told: Int) -> Float:
    """Return how much speaks for a buyer who is gone: the log of the silence in usual gaps, and what was tried since.

    told: when the buyer's last act was known, UTC microseconds. The weights were set on development worlds, where a
    trained model gained nothing on them (docs/flags.md).
    """
    looked = acts.count("content", since=told) > 0
    calls = acts.count("call_out", since=told) - acts.count("call_connected", since=told)
    weight: Float = np.log(np.maximum(gaps, 1e-3)) + LOOKED * looked + UNANSWERED * (calls >= CALLS)
    return weight


def _share(share: float) -> str:
    return "under 0.1%" if share < 0.0005 else f"{share:.1%}"
