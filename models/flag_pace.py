"""Flags of the deal's way through its process: it stands still, it jumped stages, or its amount was cut."""

from __future__ import annotations

import numpy as np

from features.columns import known_or, ratio
from features.periods import DAY, SECONDS_PER_DAY
from features.reference import MILLION
from features.tables import NAT
from models.base import Int
from models.flag_dates import latest_of
from models.flag_words import day_text, money, some
from models.flags import Case, Raised, flag_rule, nobody

STILL = {"still": "in this stage for {days}; the {deals} that were won spent {usual} in it on average"}


@flag_rule(
    "stalled",
    templates=STILL,
    rule="days in the stage are `times_usual` times the mean of won deals or more, and at least `min_days`",
    excess="days in the stage, in those from which it is flagged",
    next_look="what the next step is, and whether the buyer has agreed to it",
)
def stalled(case: Case) -> Raised:
    """Find deals that stand in their stage for much longer than won deals did."""
    limits, history, stage = case.limits.stalled, case.view.of("history"), case.standing.of_stage
    days = history.days_since("stage_changed")
    won = stage.count("won")
    usual = ratio(stage.total("spent_s", "won"), won) / SECONDS_PER_DAY
    least = np.maximum(limits.times_usual * known_or(usual, 0.0), limits.min_days)
    where = (won >= case.limits.min_deals) & (known_or(days, 0.0) >= least)

    def since() -> Int:
        entered = history.last("known_at", "stage_changed")
        return case.day_from(np.where(entered == NAT, NAT, entered + (least * DAY).astype(np.int64)))

    def says(row: int) -> str:
        told = {
            "days": some(np.floor(days[row]), "day"),
            "deals": some(won[row], "deal"),
            "usual": some(usual[row], "day"),
        }
        return STILL["still"].format(**told)

    return Raised(where, known_or(days, 0.0) / least, since, says, case.expected)


SKIPPED = {
    "jumped": "{stages} jumped; {share} of the {deals} that were won jumped any",
    "no_senior": "nobody of a director's rank or above, and nobody who decides, is among the {people} known; "
    "{share} of the {deals} that were won had somebody by the time they entered this stage",
}


@flag_rule(
    "process_skipped",
    templates=SKIPPED,
    rule="`stages` or more stages were jumped, which at most `most_share` of won deals did; or the deal is `late_from` "
    "of the way or more with no director, nobody above and nobody who decides among the people known, where at least "
    "`senior_share` of won deals had somebody when they entered the stage",
    excess="stages jumped in `stages`, or 1 for nobody senior; both add up",
    next_look="what was agreed in the stages that were left out, and who signs on the buyer's side",
)
def process_skipped(case: Case) -> Raised:
    """Find deals that jumped stages, or near the end of the process without anybody senior."""
    limits, view, history = case.limits.process_skipped, case.view, case.view.of("history")
    stages, people = history.total("stages_skipped"), view.of("contacts")
    late = history.last("stage_share_ppm") >= limits.late_from * MILLION
    known = people.distinct("contact")
    none = (people.count("senior") == 0) & (people.count("decides") == 0) & (known > 0)
    if not ((stages >= limits.stages) | (late & none)).any():
        return nobody(len(view))
    past, crew = case.past, case.crew
    won, crews = past.count("won"), crew.count("won")
    share, senior = ratio(past.total("skipped", "won"), won), ratio(crew.total("senior", "won"), crews)
    few = case.limits.min_deals
    jumped = (stages >= limits.stages) & (won >= few) & (known_or(share, 1.0) <= limits.most_share)
    alone = late & none & (crews >= few) & (known_or(senior, 0.0) >= limits.senior_share)

    def says(row: int) -> str:
        said = []
        if jumped[row]:
            told = {"stages": some(stages[row], "stage"), "share": f"{share[row]:.0%}", "deals": some(won[row], "deal")}
            said.append(SKIPPED["jumped"].format(**told))
        if alone[row]:
            crowd = "1 person" if known[row] == 1 else f"{known[row]:.0f} people"
            told = {"people": crowd, "share": f"{senior[row]:.0%}", "deals": some(crews[row], "deal")}
            said.append(SKIPPED["no_senior"].format(**told))
        return "; ".join(said)

    def since() -> Int:
        # Which of several jumps reached a threshold above 1 is not told.
        clear = (history.count("jumped") == 1) | (limits.stages == 1)
        jump_day = np.where(clear, case.day_after(history.first("known_at", "jumped")), NAT)
        entered = case.day_after(history.last("known_at", "stage_changed"))
        alone_day = latest_of(entered, case.day_after(people.first("known_at")))
        both = alone & (jump_day != NAT)
        return np.where(jumped, np.where(both, np.minimum(jump_day, alone_day), jump_day), alone_day)

    excess = np.where(jumped, stages / limits.stages, 0.0) + np.where(alone, 1.0, 0.0)
    return Raised(jumped | alone, excess, since, says, case.expected)


CUT = {
    "cut": "the amount went from {before} to {now} within {days}, last on {day}; "
    "{cut} of the {deals} that were won had theirs cut at some time"
}


@flag_rule(
    "amount_cut",
    templates=CUT,
    rule="the changes of the amount known within `days` cut it by `share` or more, net",
    excess="the part cut, in `share`",
    at_stake="the amount before less the amount now",
    next_look="what was taken out of the offer, and whether the rest still serves what the buyer wanted",
)
def amount_cut(case: Case) -> Raised:
    """Find deals whose amount was cut lately; a cut to nothing, or from it, is not told as a share."""
    limits, history = case.limits.amount_cut, case.view.of("history")
    window = limits.days * DAY
    cuts = history.count("amount_cut", within=window)
    if not cuts.any():
        return nobody(len(cuts))
    log_change = history.total("amount_step_ppm", within=window) / MILLION
    part = 1 - np.exp(np.minimum(log_change, 0.0))
    before = case.amount / np.exp(log_change)
    won, cut = case.past.count("won"), case.past.total("cut", "won")
    at = history.last("known_at", "amount_cut")
    where = (cuts > 0) & (part >= limits.share) & ~np.isnan(case.amount) & (won >= case.limits.min_deals)

    def says(row: int) -> str:
        told = {
            "before": money(before[row]),
            "now": money(case.amount[row]),
            "days": some(limits.days, "day"),
            "day": day_text(case.day_after(at)[row] - 1),
            "cut": f"{cut[row]:,.0f}",
            "deals": some(won[row], "deal"),
        }
        return CUT["cut"].format(**told)

    def since() -> Int:  # of several cuts, which one went past the threshold is not told
        return np.where(cuts == 1, case.day_after(at), NAT)

    return Raised(where, part / limits.share, since, says, before - case.amount)
