"""Scoring: deals and as-ofs in, probabilities with reasons out. Pure, NumPy only.

The endpoint and the batch file both call `score`; a deal has the same bits alone, in a batch, and as a training row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from math import floor

import numpy as np
from numpy.typing import NDArray

from features.asof import AsOfView, Requests
from features.build import build_features
from features.periods import DAY, EPOCH, local_days
from features.record import Record
from features.reference import CATEGORY_RANKS
from features.tables import NAT
from models.base import sigmoid
from models.bundle import Bundle
from models.explain import Reason, explain

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


@dataclass(frozen=True)
class DealScore:
    """One answer.

    as_of: UTC microseconds. period_end: last day of the period, inclusive; None for the head `eventual`. p: the
    probability, log_odds: its logit before rounding to p. score: 100 p rounded half up. reasons: empty unless asked
    for; they add up to log_odds. data_notes: see `NOTES`.
    """

    deal_id: str
    as_of: int
    period_end: date | None
    p: float
    log_odds: float
    score: int
    reasons: tuple[Reason, ...]
    data_notes: tuple[str, ...]
    model_version: str


def score(record: Record, requests: Requests, bundle: Bundle, explained: bool, reference_as_of: int) -> list[DealScore]:
    """Score every request, in order; each deal must be open at its as-of (`Record.is_open`).

    reference_as_of: the instant up to which the record's reference facts are complete, UTC microseconds.
    Raises ConfigError where an as-of lies outside the fiscal calendar.
    """
    if not len(requests):
        return []
    matrix = build_features(record, requests, bundle.plan)
    log_odds = bundle.model.logit(matrix)
    p = sigmoid(log_odds).tolist()
    reasons = (
        [tuple(listed) for listed in explain(bundle.model, bundle.plan, bundle.profile, matrix)]
        if explained
        else [()] * len(requests)
    )
    notes = data_notes(record, requests, reference_as_of)
    ends = _period_ends(record, requests, bundle.about.target)
    ids = record.deal_ids.take(requests.deal).strings()
    return [
        DealScore(
            deal_id=ids[i] or "",
            as_of=as_of,
            period_end=ends[i],
            p=p[i],
            log_odds=float(log_odds[i]),
            score=floor(100 * p[i] + 0.5),
            reasons=reasons[i],
            data_notes=notes[i],
            model_version=bundle.version,
        )
        for i, as_of in enumerate(requests.as_of.tolist())
    ]


def scorable(record: Record, requests: Requests) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (known, scorable), bool[n] each: known and created before the as-of; and open as well."""
    view = record.view(requests)
    known = view.exists() & ~(view.days_since_created() <= 0)  # so that a missing created_at (NaN) is no objection
    return known, known & record.is_open(requests)


def _period_ends(record: Record, requests: Requests, target: str) -> list[date | None]:
    """Last day of each request's period, None for a head that knows no period."""
    if target != "in_period":
        return [None] * len(requests)
    calendar = record.calendar
    return [calendar.last_day(index) for index in calendar.index(requests.as_of).tolist()]


def data_notes(record: Record, requests: Requests, reference_as_of: int) -> list[tuple[str, ...]]:
    """Return for each request what is odd about its data, in the order of `NOTES`."""
    masks = _odd(record.view(requests))
    masks["stale_reference"] = requests.as_of - reference_as_of > STALE_AFTER
    day = _day(reference_as_of, record.calendar.zone)
    said = {code: f"{code}: {words.format(day=day)}" for code, words in NOTES.items()}
    lists: list[list[str]] = [[] for _ in range(len(requests))]
    for code, text in said.items():
        for row in np.flatnonzero(masks[code]).tolist():
            lists[row].append(text)
    return [tuple(listed) for listed in lists]


def _odd(view: AsOfView) -> dict[str, NDArray[np.bool_]]:
    """bool[n] for each note that the deal's own facts decide."""
    history = view.of("history")
    some = history.count() > 0
    due, amount = history.last("close_date"), history.last("amount")
    owner = history.last("owner")
    closed_by_rep = view.about("rep", np.where(owner == NAT, -1, owner)).count()
    return {
        "no_history": ~some,
        "unknown_stage": some & (history.last("stage") == NAT),
        "overdue": (due != NAT) & (due < local_days(view.as_of, view.calendar.zone)),
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


def reason_json(reasons: tuple[Reason, ...]) -> Iterator[dict[str, object]]:
    """Yield reasons as the plain objects of the column and the field ``reasons``."""
    for reason in reasons:
        yield {
            "factor": reason.factor,
            "log_odds": reason.log_odds,
            "value": reason.value,
            "usual": reason.usual,
            "sentence": reason.sentence,
        }
