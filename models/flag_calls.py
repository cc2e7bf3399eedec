"""Flags of the forecast: the model's probability, with the ends of its doubt, beside what the rep's own call says.

Peers are earlier deals called alike: same forecast category, close date within the running period or not, at the same
third of a period; what they yielded by the end of theirs is known once that was over. For the head `eventual` peers are
closed deals that were ever called so. The words are neutral, and each of the two flags is the other's mirror: there are
many plain reasons for a call that differs from a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from configs.flags import OverCalled, UnderCalled
from features.asof import Seen
from features.columns import known_or, ratio
from features.reference import CATEGORY_RANKS, cell_of
from features.standings import look_of
from features.tables import NAT
from models.base import Bool, Float, Int
from models.flag_words import call_text, day_text
from models.flags import Case, Raised, flag_rule, nobody

COMMIT = CATEGORY_RANKS["commit"]
GAP = "the distance between the probability and the rate of deals called alike, times what the deal brings"


@dataclass(frozen=True)
class Called:
    """How each deal is called. category: rank, -1 none. due: local day of the close date, NAT none. last_day: of the
    period. within: whether the close date lies in it. alike: gives the looks at deals called alike.
    """

    category: Int
    due: Int
    last_day: Int
    within: Bool
    alike: Callable[[], Seen]

    @cached_property
    def peers(self) -> Float:
        """How many looks at deals called alike."""
        return self._seen.count()

    @cached_property
    def rate(self) -> Float:
        """The share of these that were won, NaN without any."""
        return ratio(self._seen.count("won"), self.peers)

    @cached_property
    def _seen(self) -> Seen:
        return self.alike()


def called(case: Case) -> Called:
    """Return how each deal is called, and what came of earlier deals called alike; made once for a view."""
    return case.view.shared(f"called-{case.scores.in_period}", lambda: _called(case))


def _called(case: Case) -> Called:
    view, category = case.view, case.standing.category
    history, calendar = view.of("history"), view.calendar
    period = view.period()
    within = history.last("close_period") == period

    def alike() -> Seen:
        if not case.scores.in_period:
            return case.standing.of_category
        return view.about("called", cell_of(category, within, look_of(calendar, view.as_of)))

    return Called(category, history.last("close_date"), calendar.days[period + 1] - 1, within, alike)


def doubt(case: Case, limits: UnderCalled | OverCalled) -> tuple[Float, Float]:
    """Return the low and the high end of each probability: the model's own, else by the margin."""
    p, scores = case.scores.p, case.scores
    low = np.where(np.isnan(scores.low), p / limits.margin, scores.low)
    return low, np.minimum(np.where(np.isnan(scores.high), p * limits.margin, scores.high), 1.0)


def told_fields(case: Case, of: Called, end: Float, row: int) -> dict[str, str]:
    """Return the fields of a sentence about a call."""
    return {
        "p": f"{case.scores.p[row]:.0%}",
        "end": f"{end[row]:.0%}",
        "until": f"by {day_text(of.last_day[row])}" if case.scores.in_period else "in the end",
        "call": call_text(int(of.category[row])),
        "due": "without a close date" if of.due[row] == NAT else f"with close date {day_text(of.due[row])}",
        "rate": f"{of.rate[row]:.0%}",
        "peers": f"{of.peers[row]:,.0f}",
        "alike": "looks at deals called alike in earlier periods"
        if case.scores.in_period
        else "closed deals called so",
    }


CLOSER = {
    "closer": "looks closer than the forecast says: the model gives {p} of a win {until} ({end} at the low end of its "
    "doubt); it is called {call} {due}, and of {peers} {alike} {rate} were won"
}


@flag_rule(
    "under_called",
    templates=CLOSER,
    rule="the low end of the probability is `p` or more and lies by `gap` or more above the rate of deals called "
    "alike, while the category is below commit or the close date lies after the period",
    excess="that distance, in `gap` (or in 0.05 where `gap` is less)",
    at_stake=GAP,
    by_model=True,
    next_look="whether category and close date say what is known of the deal: a cautious call, a date not yet agreed "
    "and a signature that waits for a budget all look alike here",
)
def under_called(case: Case) -> Raised:
    """Find deals that look closer than the forecast says."""
    limits, of = case.limits.under_called, called(case)
    low, _ = doubt(case, limits)
    later = (of.due != NAT) & (of.due > of.last_day) if case.scores.in_period else np.zeros(len(low), dtype=bool)
    out = ((of.category < COMMIT) & (of.category >= 0)) | later
    return _raised(case, of, out & (low >= limits.p), 1.0, limits, low, CLOSER["closer"])


FURTHER = {
    "further": "looks further than the forecast says: the model gives {p} of a win {until} ({end} at the high end of "
    "its doubt); it is called {call} {due}, and of {peers} {alike} {rate} were won"
}


@flag_rule(
    "over_called",
    templates=FURTHER,
    rule="the high end of the probability is `p` or less and lies by `gap` or more below the rate of deals called "
    "alike, while the category is commit or above and the close date does not lie after the period",
    excess="that distance, in `gap` (or in 0.05 where `gap` is less)",
    at_stake=GAP,
    by_model=True,
    next_look="what the call rests on that the CRM does not hold: news by phone, a signature under way, a date the "
    "buyer named",
)
def over_called(case: Case) -> Raised:
    """Find deals that look further than the forecast says."""
    limits, of = case.limits.over_called, called(case)
    _, high = doubt(case, limits)
    said_in = (of.category >= COMMIT) & (of.within | (not case.scores.in_period))
    return _raised(case, of, said_in & (high <= limits.p), -1.0, limits, high, FURTHER["further"])


def _raised(
    case: Case, of: Called, where: Bool, way: float, limits: UnderCalled | OverCalled, end: Float, template: str
) -> Raised:
    """Hold the end of the doubt of some deals against others called alike. way: 1 to lie above their rate, -1 below."""
    if not where.any():
        return nobody(len(where))
    gap = way * (end - of.rate)
    where = where & (of.peers >= limits.min_peers) & (known_or(gap, -1.0) >= limits.gap)

    def says(row: int) -> str:
        return template.format(**told_fields(case, of, end, row))

    def unknown() -> Int:  # what the model said on earlier days was not asked
        return np.full(len(end), NAT, dtype=np.int64)

    at_stake = np.abs(case.scores.p - of.rate) * case.worth
    return Raised(where, gap / max(limits.gap, 0.05), unknown, says, at_stake)
