"""Flags of the close date: it has passed, or it is unlikely to hold."""

from __future__ import annotations

import numpy as np

from features.columns import known_or, ratio
from features.tables import NAT
from models.base import Int
from models.flag_words import day_text, some, times
from models.flags import Case, Raised, flag_rule, nobody


def latest_of(*days: Int) -> Int:
    """Return the latest of some days, int64[n]; missing ones do not count."""
    latest: Int = np.maximum.reduce(days)  # NAT is below every day
    return latest


PASSED = {
    "passed": "the close date, {day}, passed {late} ago",
    "moved": "the close date, {day}, passed {late} ago; it was moved out {moves} before",
}


@flag_rule(
    "overdue",
    templates=PASSED,
    rule="the close date lies `days` or more before the as-of",
    excess="days since the close date, in `long_days`",
    next_look="whether the close date still stands, and when the buyer means to decide",
)
def overdue(case: Case) -> Raised:
    """Find open deals whose close date has passed."""
    limits, history = case.limits.overdue, case.view.of("history")
    due = history.last("close_date")
    set_ = due != NAT
    late = np.where(set_, case.today - np.where(set_, due, 0), 0)
    where = set_ & (late >= limits.days)
    if not where.any():
        return nobody(len(late))
    pushed = history.count("pushed")

    def since() -> Int:
        moves = (history.last("known_at", mask) for mask in ("pushed", "pulled_in"))
        moved_at = latest_of(history.first("known_at"), *moves)
        return latest_of(np.where(set_, due + limits.days, NAT), case.day_after(moved_at))

    def says(row: int) -> str:
        told = {"day": day_text(due[row]), "late": some(late[row], "day"), "moves": times(pushed[row])}
        return PASSED["moved" if pushed[row] > 0 else "passed"].format(**told)

    return Raised(where, late / limits.long_days, since, says, case.expected)


SLIPS = {
    "risk": "the model gives {risk} that it is still open after its close date, {day}, which is {ahead} away",
    "moved": "its close date was moved past the end of its period {moves}; "
    "the {deals} that were won had {usual} of these moves on average",
}


@flag_rule(
    "slipping",
    templates=SLIPS,
    rule="the close date lies at most `within_days` ahead and the slip risk is `risk` or more; or the close date was "
    "moved past the end of its period `moves` times or more, and at least `times_usual` times as often as in won deals",
    excess="the larger of (1 - `risk`) / (1 - slip risk), and the moves in those from which it is flagged",
    by_model=True,
    next_look="what is still open before the close date, and what the buyer says of it",
)
def slipping(case: Case) -> Raised:
    """Find deals whose close date is unlikely to hold, or has not held before."""
    limits, history = case.limits.slipping, case.view.of("history")
    due = history.last("close_date")
    ahead = np.where(due == NAT, -1, np.where(due == NAT, 0, due) - case.today)
    risk = case.scores.slip_risk
    risky = (ahead >= 0) & (ahead <= limits.within_days) & (known_or(risk, 0.0) >= limits.risk)
    won = case.past.count("won")
    usual = ratio(case.past.total("slips", "won"), won)
    moves = history.count("slipped")
    least = np.maximum(np.ceil(limits.times_usual * known_or(usual, 0.0)), limits.moves)
    moved = (won >= case.limits.min_deals) & (moves >= least)
    sure = (1 - limits.risk) / np.maximum(1 - known_or(risk, 0.0), 1e-6)
    excess = np.maximum(np.where(risky, sure, 0.0), np.where(moved, moves / least, 0.0))

    def says(row: int) -> str:
        said = []
        if risky[row]:
            told = {"risk": f"{risk[row]:.0%}", "day": day_text(due[row]), "ahead": some(ahead[row], "day")}
            said.append(SLIPS["risk"].format(**told))
        if moved[row]:
            told = {"moves": times(moves[row]), "deals": some(won[row], "deal"), "usual": f"{usual[row]:.1f}"}
            said.append(SLIPS["moved"].format(**told))
        return "; ".join(said)

    def since() -> Int:
        # What the model said on earlier days was not asked; the moves have clocks of their own.
        days = np.full(len(moves), NAT, dtype=np.int64)
        for count in np.unique(least[moved]).tolist():
            of = moved & (least == count)
            days = np.where(of, case.day_after(history.nth("known_at", int(count), "slipped")), days)
        return days

    return Raised(risky | moved, excess, since, says, case.expected)
