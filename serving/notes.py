"""Notes on the data of a score: what is odd about a deal or a lead that is scored all the same."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from features.asof import AsOfView
from features.periods import DAY, EPOCH, local_days
from features.rates import standing
from features.reference import CATEGORY_RANKS
from features.tables import NAT

STALE_AFTER = 7 * DAY
"""Reference facts this much older than the as-of are named: a week of closes is missing from the rates."""

NOTES = {
    "no_history": "no stage, amount or owner is known; scored from the rate of all deals with this much time",
    "unknown_stage": "its stage is not one the model knows; scored from the rate of all deals with this much time",
    "overdue": "its close date has passed",
    "omitted": "its forecast category is omitted",
    "no_amount": "it has no amount",
    "zero_amount": "its amount is zero or less",
    "unknown_rep": "no closed deal of its rep is known; the team's or the company's rates stand in",
    "stale_reference": "rates of reps, accounts and segments hold deals closed up to {day} only",
}
"""What may be odd about a deal that is scored all the same: code -> words. A note reads ``code: words``."""
LEAD_NOTES = {"stale_reference": "rates of sources, sizes and the like hold leads up to {day} only"}
"""The same of leads, which have neither amount nor owner."""
NO_START = ("no_history", "no_amount", "zero_amount")
STANDS_IN = "; amount_expected is what won deals of its segments and stage are usually worth"
"""Said after the notes of `NO_START` where the model has an amount head."""


def data_notes(
    view: AsOfView, n: int, reference_as_of: int, amounts: bool = False, leads: bool = False
) -> list[tuple[str, ...]]:
    """Return what is odd about the data of each of the first n requests of a view, in the order of `NOTES`.

    amounts: whether there is an amount head, whose start is then told where the deal has no amount. leads: whether
    they are asked about.
    """
    masks = {} if leads else _odd(view)
    masks["stale_reference"] = view.as_of - reference_as_of > STALE_AFTER
    lists: list[list[str]] = [[] for _ in range(n)]
    for code, text in _notes(reference_as_of, view.calendar.zone, amounts, leads):
        for row in masks[code][:n].nonzero()[0].tolist():
            lists[row].append(text)
    return [tuple(listed) for listed in lists]


@lru_cache(maxsize=16)
def _notes(reference_as_of: int, zone: str, amounts: bool, leads: bool) -> list[tuple[str, str]]:
    """Return the notes, (code, text) each."""
    day = _day(reference_as_of, zone)
    more = dict.fromkeys(NO_START, STANDS_IN if amounts else "")
    notes = LEAD_NOTES if leads else NOTES
    return [(code, f"{code}: {words.format(day=day)}{more.get(code, '')}") for code, words in notes.items()]


def _odd(view: AsOfView) -> dict[str, NDArray[np.bool_]]:
    """bool[n] for each note that the deal's own facts decide."""
    history = view.of("history")
    some = history.count() > 0
    due, amount = history.last("close_date"), history.last("amount")
    closed_by_rep = standing(view).rep.count()
    return {
        "no_history": ~some,
        "unknown_stage": some & (history.last("stage") == NAT),
        "overdue": (due != NAT) & (due < view.local_day()),
        "omitted": history.last("category") == CATEGORY_RANKS["omitted"],
        "no_amount": some & (amount == NAT),
        "zero_amount": (amount != NAT) & (amount <= 0),
        "unknown_rep": some & (closed_by_rep == 0),
    }


def _day(instant: int, zone: str) -> str:
    """Local day of an instant as text."""
    if instant == NAT:
        return "no day"
    return (EPOCH + timedelta(days=int(local_days(np.array([instant]), zone)[0]))).isoformat()
