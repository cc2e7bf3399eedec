"""Flags of the people: one contact alone on a large deal, a buyer who waits for our answer, a buyer who is silent."""

from __future__ import annotations

import numpy as np

from features.asof import Seen
from features.columns import ratio
from features.norms import silence
from features.periods import DAY, SECONDS_PER_DAY, local_days
from features.reference import MILLION
from features.tables import NAT
from models.base import Bool, Int
from models.flag_dates import latest_of
from models.flag_words import day_text, money, some, span
from models.flags import Case, Raised, flag_rule

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
    people, crew, company = view.of("contacts"), case.crew, case.standing.company
    won = crew.count("won")
    share, usual = ratio(crew.total("several", "won"), won), ratio(crew.total("contacts", "won"), won)
    typical = np.exp(ratio(company.total("log_amount_ppm", "won"), company.total("priced", "won")) / MILLION)
    least = limits.times_usual_amount * typical
    enough = (won >= case.limits.min_deals) & (company.total("priced", "won") >= case.limits.min_deals)
    large = np.nan_to_num(case.amount, nan=-1.0) >= np.nan_to_num(least, nan=np.inf)
    where = (people.distinct("contact") == 1) & enough & large & (np.nan_to_num(share) >= limits.usual_share)

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
    owed = ~np.isnan(waiting) & (np.isnan(reached) | (reached > waiting))
    past = case.past
    answers, won = past.total("answers", "won"), past.count("won")
    usual = ratio(past.total("answer_s", "won"), answers) / SECONDS_PER_DAY
    least = np.maximum(limits.times_usual * np.nan_to_num(usual), limits.min_days)
    enough = (won >= case.limits.min_deals) & (answers >= case.limits.min_deals)
    where = owed & ~_meeting_ahead(acts) & enough & (np.nan_to_num(waiting) >= least)

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

    return Raised(where, np.nan_to_num(waiting) / least, since, says, case.expected)


SILENT = {
    "silent": "no sign from the buyer for {days}, since {day}, though we were in touch after; this deal's usual gap is "
    "{gap}, that of the {deals} that were won {usual}",
    "never": "no sign from the buyer in the {days} since the deal began, though we were in touch; the usual gap of the "
    "{deals} that were won is {usual}",
}


@flag_rule(
    "disengaged",
    templates=SILENT,
    rule="the buyer has been silent for `gaps` times the deal's usual gap (its own mean, held to that of won deals) or "
    "longer, and at least `min_days`; we wrote, called or met no earlier than the buyer's last act, and no meeting is "
    "booked ahead",
    excess="days of silence, in those from which it is flagged",
    next_look="who on the buyer's side spoke last, and whether anybody heard of the deal outside the CRM",
)
def disengaged(case: Case) -> Raised:
    """Find deals whose buyer is silent for longer than usual, and not for want of a word from us (`neglected`)."""
    limits, view, acts, company = case.limits.disengaged, case.view, case.view.of("activities"), case.standing.company
    silent, gap = silence(view, company)
    gaps, won = company.total("buyer_gaps", "won"), company.count("won")
    usual = ratio(company.total("buyer_s", "won"), gaps) / SECONDS_PER_DAY
    spoke, reached = acts.days_since("buyer"), acts.days_since("reached")
    ours = ~np.isnan(reached) & (np.isnan(spoke) | (reached <= spoke))
    least = np.maximum(limits.gaps * gap, limits.min_days)
    enough = (won >= case.limits.min_deals) & (gaps >= case.limits.min_deals)
    where = ours & enough & ~_meeting_ahead(acts) & (np.nan_to_num(silent) >= least)
    heard, known = acts.latest("occurred_at", "buyer"), acts.last("known_at", "buyer")
    began = np.where(heard == NAT, np.asarray(view.fixed("created_at"), dtype=np.int64), heard)

    def since() -> Int:
        some_time = np.where(began == NAT, 0, began)
        reached_at = some_time + (least * DAY).astype(np.int64)
        # By then we had been in touch; else the day on which it became the buyer's turn is not told.
        told = acts.count("reached", since=np.where(known == NAT, some_time, known)) - acts.count(
            "reached", since=reached_at
        )
        return np.where((began != NAT) & (told > 0), latest_of(case.day_from(reached_at), case.day_after(known)), NAT)

    def says(row: int) -> str:
        told = {
            "days": some(np.floor(silent[row]), "day"),
            "gap": span(gap[row]),
            "deals": some(won[row], "deal"),
            "usual": span(usual[row]),
        }
        if heard[row] == NAT:
            return SILENT["never"].format(**told)
        day = local_days(np.array([heard[row]]), view.calendar.zone)[0]
        return SILENT["silent"].format(day=day_text(day), **told)

    return Raised(where, np.nan_to_num(silent) / least, since, says, case.expected)


def _meeting_ahead(acts: Seen) -> Bool:
    """Return bool[n]: a meeting is booked at or after the as-of and was not called off."""
    booked, off = (acts.upcoming("occurred_at", f"meeting_{what}") for what in ("planned", "cancelled"))
    return booked > off
