"""Flags of how the record was kept: acts entered all at once or late, a deal called better just before the look.

Both may be honest: a week's notes written up on Friday, news by phone. They say that a score rests on what was typed in
lately, and not yet on anything the buyer did.
"""

from __future__ import annotations

import numpy as np

from features.asof import Seen
from features.columns import known_or, ratio
from features.periods import DAY, HOUR, SECONDS_PER_DAY
from features.reference import CATEGORY_RANKS
from features.tables import NAT
from models.base import Bool, Float, Int
from models.flag_words import call_text, day_text, some, span
from models.flags import Case, Raised, flag_rule, nobody

COMMIT = CATEGORY_RANKS["commit"]


BULK = {
    "burst": "{acts} of ours were entered within one day, and nothing from the buyer since; the busiest day of the "
    "{deals} that were won had {usual} on average",
    "late": "{acts} of ours were entered within {days}, {delay} after they happened on average; on the {deals} that "
    "were won an entry usually came after {usual}",
}


@flag_rule(
    "logged_in_bulk",
    templates=BULK,
    rule="within the last `days`, `acts` or more acts of ours were entered in one day, and at least `times_usual` "
    "times as many as on the busiest day of won deals, with no act of the buyer entered since; or `late_acts` or more "
    "were entered in all, on average `late_days` or more after they happened, and at least `times_usual` times as late "
    "as on won deals",
    excess="the larger of the acts, and of the days between act and entry, in those from which it is flagged",
    next_look="whether these acts took place as they stand in the record, and what the buyer answered to them",
)
def logged_in_bulk(case: Case) -> Raised:
    """Find deals whose recent activity was typed in at once, or long after."""
    limits, acts, company = case.limits.logged_in_bulk, case.view.of("activities"), case.standing.company
    past = case.view.about("entries", np.zeros(len(case.view), dtype=np.int64))
    won = past.count("won")
    enough = won >= case.limits.min_deals
    busiest = ratio(past.total("busiest", "won"), won)
    least = np.maximum(np.ceil(limits.times_usual * known_or(busiest, 0.0)), limits.acts)
    entered = acts.count("reached", within=limits.days * DAY)
    most = _busiest_unanswered(acts, limits.days, enough & (entered >= least))
    burst = enough & (most >= least)
    late = ratio(acts.total("delay_s", "reached", within=limits.days * DAY), entered) / SECONDS_PER_DAY
    usual_late = ratio(company.total("delay_s", "won"), company.total("logged", "won")) / SECONDS_PER_DAY
    least_late = np.maximum(limits.times_usual * known_or(usual_late, 0.0), limits.late_days)
    behind = enough & (entered >= limits.late_acts) & (known_or(late, 0.0) >= least_late)
    excess = np.maximum(np.where(burst, most / least, 0.0), np.where(behind, known_or(late, 0.0) / least_late, 0.0))

    def says(row: int) -> str:
        said = []
        if burst[row]:
            told = {"acts": some(most[row], "act"), "deals": some(won[row], "deal"), "usual": f"{busiest[row]:.1f}"}
            said.append(BULK["burst"].format(**told))
        if behind[row]:
            told = {
                "acts": some(entered[row], "act"),
                "days": some(limits.days, "day"),
                "delay": span(late[row]),
                "deals": some(won[row], "deal"),
                "usual": span(np.nan_to_num(usual_late[row])),
            }
            said.append(BULK["late"].format(**told))
        return "; ".join(said)

    def since() -> Int:  # which of many entries reached a threshold is not told
        return np.full(len(won), NAT, dtype=np.int64)

    return Raised(burst | behind, excess, since, says, case.expected)


def _busiest_unanswered(acts: Seen, days: int, wanted: Bool) -> Float:
    """Return the most acts of ours entered in one of the last days (24 hours each, back from the as-of), float64[n].

    Only days count since whose beginning nothing of the buyer's was entered: where something was, no earlier day does.
    wanted: bool[n]; the others may get less.
    """
    most = np.zeros(len(acts.as_of))
    after = np.zeros(len(acts.as_of))
    for back in range(1, days + 1):
        quiet = acts.count("inbound", within=back * DAY) == 0
        if not (quiet & wanted).any():
            break
        so_far = acts.count("reached", within=back * DAY)
        most = np.where(quiet, np.maximum(most, so_far - after), most)
        after = so_far
    return most


RAISED = {
    "call": "called {call} since {day}, {when} before the look; {quiet}, where the usual gap between acts of the buyer "
    "is {usual} on the {deals} that were won",
    "date": "its close date was moved into the period on {day}, {when} before the look; {quiet}, where the usual gap "
    "between acts of the buyer is {usual} on the {deals} that were won",
}


@flag_rule(
    "raised_late",
    templates=RAISED,
    rule="within `hours` before the as-of the call was raised to commit or above, or the close date moved from after "
    "the period into it; and by then the buyer's last act, or else the deal's creation, lay `quiet_days` or more back",
    excess="days from the buyer's last act to a change within `hours`, in usual gaps between acts of the buyer on won "
    "deals (in days where these are shorter)",
    next_look="what the buyer said or did that stands behind the change, and whether it can be put on record",
)
def raised_late(case: Case) -> Raised:
    """Find deals that were called better just before the look; the longer the buyer was silent by then, the worse."""
    limits, view, company = case.limits.raised_late, case.view, case.standing.company
    history, window, category = view.of("history"), limits.hours * HOUR, case.standing.category
    called = (history.count("category_raised", within=window) > 0) & (category >= COMMIT)
    moved = _moved_in(case, window) & case.scores.in_period
    if not (called | moved).any():
        return nobody(len(view))
    won, gaps = company.count("won"), company.total("buyer_gaps", "won")
    usual = ratio(company.total("buyer_s", "won"), gaps) / SECONDS_PER_DAY
    at = np.where(called, history.last("known_at", "category_raised"), history.last("known_at", "pulled_in"))
    spoke = view.of("activities").latest("occurred_at", "buyer")
    heard = np.where(spoke == NAT, np.asarray(view.fixed("created_at"), dtype=np.int64), spoke)
    told = (called | moved) & (heard != NAT)
    quiet = np.maximum(np.where(told, np.where(told, at, 0) - np.where(told, heard, 0), 0), 0) / DAY
    enough = (won >= case.limits.min_deals) & (gaps >= case.limits.min_deals)

    def says(row: int) -> str:
        silence = span(quiet[row])
        fields = {
            "call": call_text(int(category[row])),
            "day": day_text(case.day_after(at)[row] - 1),
            "when": some(max(float(view.as_of[row] - at[row]) / HOUR, 1.0), "hour"),
            "quiet": f"by then the buyer had last acted {silence} before"
            if spoke[row] != NAT
            else f"by then the buyer had not acted in the {silence} since the deal began",
            "usual": span(usual[row]),
            "deals": some(won[row], "deal"),
        }
        return RAISED["call" if called[row] else "date"].format(**fields)

    excess = np.maximum(quiet / np.maximum(known_or(usual, 0.0), 1.0), 1.0)
    return Raised(told & enough & (quiet >= limits.quiet_days), excess, lambda: case.day_after(at), says, case.expected)


def _moved_in(case: Case, window: int) -> Bool:
    """Return bool[n]: the close date lies in the running period, and before the window it lay after it."""
    view, history = case.view, case.view.of("history")
    pulled = history.count("pulled_in", within=window) > 0
    if not pulled.any():
        return pulled
    period = view.period()
    due, shift = history.last("close_date"), history.total("close_shift_days", within=window)
    before = np.where(due == NAT, NAT, np.where(due == NAT, 0, due) - shift.astype(np.int64))
    inside = history.last("close_period") == period
    moved: Bool = inside & pulled & (before >= view.calendar.days[period + 1])
    return moved
