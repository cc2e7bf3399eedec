"""What lists show of an open deal beside its score: read through the as-of view, stored at refresh.

Names of deals, accounts and reps are for display alone: no score, flag or log line sees them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np

from features.asof import Requests
from features.periods import EPOCH
from features.record import Record
from features.reference import CATEGORY_RANKS
from features.tables import NAT, CrmTables

_CATEGORIES = {rank: word for word, rank in CATEGORY_RANKS.items()}


def deal_facts(record: Record, requests: Requests) -> list[dict[str, Any]]:
    """Return for each request the columns of ``scores`` that tell how the deal stands; None where that is not known.

    stage_since: since when it is in its stage. last_buyer_at: when the buyer last did anything. next_meeting_at: the
    earliest meeting planned from the as-of on. Instants are UTC microseconds, close_date is ISO.
    """
    view = record.view(requests)
    history, acts = view.of("history"), view.of("activities")
    columns = {
        "stage": [_word(record.stages.order, rank) for rank in history.last("stage").tolist()],
        "close_date": [_day(day) for day in history.last("close_date").tolist()],
        "category": [_CATEGORIES.get(rank) for rank in history.last("category").tolist()],
        "amount_cents": _known(history.last("amount")),
        "stage_since": _known(history.last("known_at", "stage_changed")),
        "pushes": history.count("pushed").astype(np.int64).tolist(),
        "created_at": _known(np.asarray(view.fixed("created_at"), dtype=np.int64)),
        "last_buyer_at": _known(acts.latest("occurred_at", "buyer")),
        "next_meeting_at": _known(acts.soonest("occurred_at", "meeting_planned")),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _known(values: np.ndarray) -> list[int | None]:
    return [None if value == NAT else value for value in values.tolist()]


def _word(words: tuple[str, ...], rank: int) -> str | None:
    return words[rank] if 0 <= rank < len(words) else None


def _day(day: int) -> str | None:
    if day == NAT:
        return None
    try:
        return (EPOCH + timedelta(days=day)).isoformat()
    except OverflowError:  # a year that no calendar has
        return None


def deal_names(tables: CrmTables) -> dict[str, dict[str, str | None]]:
    """Return name and account_name of every deal of a source, by id."""
    accounts = dict(_pairs(tables, "accounts", "account_id"))
    deals = tables.deals
    rows = zip(*(deals.coded(name).strings() for name in ("deal_id", "name", "account_id")), strict=True)
    return {deal: {"name": name, "account_name": accounts.get(account or "")} for deal, name, account in rows if deal}


def rep_names(tables: CrmTables) -> list[dict[str, str]]:
    """Return rep_id and name of every rep that has one."""
    return [{"rep_id": rep, "name": name} for rep, name in _pairs(tables, "reps", "rep_id")]


def _pairs(tables: CrmTables, table: str, key: str) -> Iterator[tuple[str, str]]:
    """Yield (id, name) of a table's rows that have both, the last word of each id."""
    rows = getattr(tables, table)
    found = dict(zip(rows.coded(key).strings(), rows.coded("name").strings(), strict=True))
    yield from ((name, shown) for name, shown in found.items() if name and shown)
