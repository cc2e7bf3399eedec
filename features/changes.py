"""The history of deals as a timeline, with what each row changed against what the deal last said while open.

A closing row changes the outcome and nothing else: stage, amount, close date and category on it were written with the
outcome in hand.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.periods import Calendar
from features.reference import CATEGORY_RANKS, MILLION
from features.settle import deal_rows
from features.stages import LOST, MERGED, OPEN, WON, StageMap
from features.tables import NAT, Coded, Table
from features.timeline import Bool, Int, Timeline, timeline


def history_of(table: Table, deals: Table, stages: StageMap, reps: Mapping[str, int], calendar: Calendar) -> Timeline:
    """Return deal_history as a timeline keyed by deal (code = row in deals); reps: the code of each owner."""
    stage = table.coded("stage")
    outcome = np.maximum(per_row(stages.outcomes(stage.values).astype(np.int64), stage.codes, OPEN), OPEN)
    outcome = np.where(table.ints("is_deleted") == 1, np.maximum(outcome, LOST), outcome)
    outcome = np.where(table.coded("merged_into").codes >= 0, MERGED, outcome)
    category = table.coded("forecast_category")
    ranks = np.array([CATEGORY_RANKS.get(value, NAT) for value in category.values], dtype=np.int64)
    rank = per_row(stages.ranks(stage.values), stage.codes, -1)
    share = np.append(np.round(np.nan_to_num(stages.shares(stage.values)) * MILLION), NAT).astype(np.int64)[stage.codes]
    probability = table.floats("probability")
    owner, editor = table.coded("owner_id"), table.coded("edited_by")
    state = {
        "outcome": outcome,
        "stage_assumed": _names(table.coded("assumed"), "stage"),
        "stage": np.where((outcome == OPEN) & (rank >= 0), rank, NAT),
        "stage_share_ppm": np.where((outcome == OPEN) & (rank >= 0), share, NAT),
        "amount": table.ints("amount"),
        "close_date": table.ints("close_date"),
        "close_period": _period(table.ints("close_date"), calendar),
        "category": per_row(ranks, category.codes, NAT),
        "owner": owner.codes_in(reps).astype(np.int64),
        # By the table's own words: two reps whom the vocabulary does not know are two.
        "owner_word": np.where(owner.codes >= 0, owner.codes.astype(np.int64), NAT),
        "next_step": table.ints("next_step_set"),
        "probability_ppm": np.where(np.isnan(probability), NAT, np.round(np.nan_to_num(probability) * MILLION)).astype(
            np.int64
        ),
        # Where nobody says who saved a row, the owner did.
        "by_rep": (editor.codes < 0) | (editor.codes_in(owner.values) == np.where(owner.codes >= 0, owner.codes, -2)),
    }
    deal = deal_rows(deals, table.coded("deal_id"))
    known_at, turn = _with_its_deal(table.ints("known_at"), table.ints("seq"), deal, deals.ints("known_at"))
    rows = timeline("history", deals.n, deal, known_at, state, turn)
    return rows.with_columns(_changes(rows))


def _with_its_deal(known_at: Int, seq: Int, deal: Int, deal_known: Int) -> tuple[Int, Int]:
    """Return when each row is known, which is never before its deal is, and its turn among rows known at once.

    What a close says of an account or a segment is a fact of the deal, and is not known before the deal.
    """
    floor = np.append(deal_known, NAT)[deal]
    early = (known_at < floor) & (known_at != NAT)
    if not early.any():
        return known_at, seq
    turn = np.empty(len(seq), dtype=np.int64)
    turn[np.lexsort((seq, known_at))] = np.arange(len(seq))
    return np.where(early, floor, known_at), turn


def _names(assumed: Coded, column: str) -> Bool:
    """Return bool[n]: the column is among those whose value no history tells."""
    named = np.array([*(column in words.split(",") for words in assumed.values), False], dtype=bool)
    return np.asarray(named[assumed.codes], dtype=np.bool_)


def per_row(values: Int, codes: np.ndarray, missing: int) -> Int:
    """Spread a value per vocabulary entry to rows."""
    if not len(values):
        return np.full(len(codes), missing, dtype=np.int64)
    return np.where(codes < 0, missing, values.take(codes))


def _period(days: Int, calendar: Calendar) -> Int:
    """Return the fiscal period of each local day, NAT where there is none."""
    return np.where(days == NAT, NAT, np.searchsorted(calendar.days, days, side="right") - 1)


def _changes(rows: Timeline) -> dict[str, Int | Bool]:
    """Derive what each row changed against what the deal last said while open; a closing row changes the outcome."""
    outcome = rows.values("outcome")
    still_open = outcome == OPEN
    first = np.arange(len(rows)) == rows.start[rows.entity]
    step, shift, periods, amount, category, owner = (
        _difference(rows, name, still_open)
        for name in ("stage", "close_date", "close_period", "amount", "category", "owner_word")
    )
    return {
        "closed": ~still_open,
        "won": outcome == WON,
        "merged": outcome == MERGED,
        "stage_step": step,
        "stage_changed": (step != 0) | first,
        "stages_skipped": np.maximum(step - 1, 0),
        "jumped": step > 1,
        "regressed": step < 0,
        "close_shift_days": shift,
        "pushed": shift > 0,
        "pulled_in": shift < 0,
        "slipped": periods > 0,
        "amount_changed": amount != 0,
        "amount_cut": amount < 0,
        "amount_step_ppm": _log_step(rows.values("amount"), amount),
        "category_changed": category != 0,
        "category_raised": category > 0,
        "category_lowered": category < 0,
        "owner_changed": owner != 0,
    }


def _difference(rows: Timeline, column: str, still_open: Bool) -> Int:
    """Return each open row's value minus the last one told by an open row of the deal, 0 where either is missing.

    Closing rows are passed over, so that a re-opened deal is not compared with what was written with the outcome in
    hand; so are gaps, so that a close date cleared and set again moves on from where it stood.
    """
    values = rows.values(column)
    told = (still_open & (values != NAT)).nonzero()[0]
    values, deal = values.take(told), rows.entity.take(told)
    steps = np.zeros(len(rows), dtype=np.int64)
    steps[told[1:]] = (values[1:] - values[:-1]) * (deal[1:] == deal[:-1])
    return steps


def _log_step(amount: Int, step: Int) -> Int:
    """Return the log of each changed amount over the one before it, in millionths; 0 where either is not above 0."""
    before = amount - step
    usable = (step != 0) & (amount > 0) & (before > 0)
    ratio = np.where(usable, amount, 1) / np.where(usable, before, 1)
    return np.round(np.log(ratio) * MILLION).astype(np.int64)
