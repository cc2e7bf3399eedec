"""Flags of the people: one contact alone on a large deal, a buyer who waits for our answer."""

from __future__ import annotations

import numpy as np

from features.asof import Seen
from features.columns import known_or, ratio
from features.periods import DAY, SECONDS_PER_DAY, local_days
from features.reference import MILLION
from features.tables import NAT
from models.base import Bool, Int
from models.flag_dates import latest_of
from models.flag_words import day_text, money, some, span
from models.flags import Case, Raised, flag_rule, nobody

ALONE = {
    "alone": "1 person of the buyer's is known, on a deal of {amount} where {typical} is usual for a won one; {share} "
    "of the {deals} that were won knew several when they entered this stage, {usual} on average"
}


@flag_rule(
    "single_threaded",
    templates=ALONE,
    rule="exactly one person of the buyer's is known, `usual_share` or more of won deals knew several when they "
    "entered the stage, and the amount is at least `times_usual_amount` times that of the usual "
    "won deal (geometric mean)",
    excess="the amount, in those from which it is flagged",
    next_look="who else on the buyer's side takes part, and who would carry it if this person left",
)
def single_threaded(case: Case) -> Raised:
    """Find large deals that hang on one person, at a stage by which won deals had more."""
    limits, view = case.limits.single_threaded, case.view
    people = view.of("contacts")
    alone = people.distinct("contact") == 1
    if not alone.any():
        return nobody(len(view))
    crew, company = case.crew, case.standing.company
    won = crew.count("won")
    share, usual = ratio(crew.total("several", "won"), won), ratio(crew.total("contacts", "won"), won)
    typical = np.exp(ratio(company.total("log_amount_ppm", "won"), company.total("priced", "won")) / MILLION)
    least = limits.times_usual_amount * typical
    enough = (won >= case.limits.min_deals) & (company.total("priced", "won") >= case.limits.min_deals)
    large = known_or(case.amount, -1.0) >= known_or(least, np.inf)
    where = alone & enough & large & (known_or(share, 0.0) >= limits.usual_share)

    def says(row: int) -> str:
        told = {
            "amount": money(case.amount[row]),
            "typical": money(typical[row]),
            "share": f"{share[row]:.0%}",
            "deals": some(won[row], "deal"),
            "usual": f"{usual[row]:.1f}",
        }
        return ALONE["alone"].format(**told)

    def since() -> Int:
        history = view.of("history")
        changed = (history.last("known_at", mask) for mask in ("stage_changed", "amount_changed"))
        return case.day_after(latest_of(people.first("known_at"), *changed))

    excess = np.where(where & (least > 0), case.amount / np.where(least > 0, least, 1.0), 1.0)
    return Raised(where, excess, since, says, case.expected)


WAITING = {
    "waiting": "no reply to the buyer's mail of {day} for {days}; on the {deals} that were won a reply usually took "
    "{usual}"
}


@flag_rule(
    "neglected",
    templates=WAITING,
    rule="the buyer's last mail has no mail, call or meeting of ours after it and no meeting is booked ahead, for "
    "`times_usual` times as long as replies took on won deals, and at least `min_days`",
    excess="days without an answer, in those from which it is flagged",
    next_look="whether the buyer's last mail was answered outside the CRM, and what it asks for",
)
def neglected(case: Case) -> Raised:
    """Find deals where the buyer wrote last and has waited for unusually long; by when the CRM knew of each."""
    limits, view, acts = case.limits.neglected, case.view, case.view.of("activities")
    waiting, reached = acts.days_since("email_in"), acts.days_since("reached")
    owed = ~np.isnan(waiting) & (np.isnan(reached) | (reached > waiting)) & ~meeting_ahead(acts)
    if not owed.any():
        return nobody(len(view))
    past = case.past
    answers, won = past.total("answers", "won"), past.count("won")
    usual = ratio(past.total("answer_s", "won"), answers) / SECONDS_PER_DAY
    least = np.maximum(limits.times_usual * known_or(usual, 0.0), limits.min_days)
    enough = (won >= case.limits.min_deals) & (answers >= case.limits.min_deals)
    where = owed & enough & (known_or(waiting, 0.0) >= least)

    def since() -> Int:
        wrote = acts.last("known_at", "email_in")
        return case.day_from(np.where(wrote == NAT, NAT, wrote + (least * DAY).astype(np.int64)))

    def says(row: int) -> str:
        sent = acts.last("occurred_at", "email_in")[row]
        told = {
            "day": day_text(local_days(np.array([sent]), view.calendar.zone)[0]),
            "days": some(np.floor(waiting[row]), "day"),
            "deals": some(won[row], "deal"),
            "usual": span(usual[row]),
        }
        return WAITING["waiting"].format(**told)

    return Raised(where, known_or(waiting, 0.0) / least, since, says, case.expected)


def meeting_ahead(acts: Seen) -> Bool:
    """Return bool[n]: a meeting is booked at or after the as-of and was not called off."""
    booked, off = (acts.upcoming("occurred_at", f"meeting_{what}") for what in ("planned", "cancelled"))
    return booked > off
