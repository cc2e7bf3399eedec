"""W6: fields that are overwritten once the outcome is known. A correct system scores the same with them and without.

Everything that the bait adds is known at or after a close. Booked amounts are the same in both twins, since what a
deal was won for is known from then on, and rightly used.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.periods import DAY
from features.tables import Coded, ColumnData, CrmTables, Table
from tests.worlds.population import Bool
from tests.worlds.settings import LOST, WON

SECOND = 1_000_000
CURRENT = ("current_stage", "current_amount", "loss_reason", "contract_signed", "customer_since_days")
"""Columns of `deals` that hold what is true now; no mapping declares them."""


def baited(tables: CrmTables, rng: np.random.Generator) -> CrmTables:
    """The tables with the bait."""
    history, won, lost = _overwritten(tables.deal_history)
    return replace(
        tables,
        deals=_pasted(tables.deals, tables.deal_history, rng),
        deal_history=_edited_afterwards(history, won, lost, rng),
        activities=_back_dated(tables.activities, tables.deal_history, won, rng),
    )


def _overwritten(history: Table) -> tuple[Table, Bool, Bool]:
    """On the closing row: close date = that day, category closed or omitted, probability 1 or 0, no next step."""
    stage, category = history.coded("stage"), history.coded("forecast_category")
    won, lost = stage.codes == stage.code_of(WON), stage.codes == stage.code_of(LOST)
    closed = won | lost
    codes = np.where(won, category.code_of("closed"), np.where(lost, category.code_of("omitted"), category.codes))
    columns: dict[str, ColumnData] = {
        "close_date": np.where(closed, history.ints("known_at") // DAY, history.ints("close_date")),
        "forecast_category": Coded(codes.astype(np.int32), category.values),
        "probability": np.where(won, 1.0, np.where(lost, 0.0, history.floats("probability"))),
        "next_step_set": np.where(closed, 0, history.ints("next_step_set")),
    }
    return history.replace(columns), won, lost


def _edited_afterwards(history: Table, won: Bool, lost: Bool, rng: np.random.Generator) -> Table:
    """Within the hour after a close the amount is set to a tell-tale one: nothing for a lost deal."""
    closed = np.flatnonzero(won | lost)
    after = history.take(closed)
    known = after.ints("known_at") + rng.integers(60, 3600, len(closed)) * SECOND
    amount = np.where(won[closed], after.ints("amount") + 1_234_567, 0)
    after = after.replace({"known_at": known, "amount": amount})
    columns: dict[str, ColumnData] = {}
    for name, data in history.columns.items():
        more = after.columns[name]
        if isinstance(data, Coded) and isinstance(more, Coded):
            columns[name] = Coded(np.concatenate([data.codes, more.codes]), data.values)
        elif not isinstance(data, Coded) and not isinstance(more, Coded):
            columns[name] = np.concatenate([data, more])
    both = Table.of("deal_history", columns)
    order = np.argsort(both.ints("known_at"), kind="stable")
    return both.take(order).replace({"seq": np.arange(both.n, dtype=np.int64)})


def _pasted(deals: Table, history: Table, rng: np.random.Generator) -> Table:
    """Current values on `deals`: the bait proper, each of them enough to tell the outcome."""
    deal = history.coded("deal_id").codes
    last = np.full(deals.n, -1, dtype=np.int64)
    last[deal] = np.arange(history.n)  # rows are in order of time
    stage = history.coded("stage")
    won = stage.codes[last] == stage.code_of(WON)
    lost = stage.codes[last] == stage.code_of(LOST)
    columns: dict[str, ColumnData] = {
        "current_stage": stage.take(last),
        "current_amount": history.ints("amount")[last] / 100.0,
        "loss_reason": Coded.of(["price" if one else None for one in lost.tolist()]),
        "contract_signed": won.astype(np.float64),
        "customer_since_days": np.where(won, rng.integers(1, 400, deals.n), np.nan),
    }
    return deals.replace(columns)


def _back_dated(activities: Table, history: Table, won: Bool, rng: np.random.Generator) -> Table:
    """After a win, three meetings are logged as if they had been held in the week before it."""
    rows = np.repeat(np.flatnonzero(won), 3)
    known = history.ints("known_at")[rows] + rng.integers(60, 7200, len(rows)) * SECOND
    before = history.ints("known_at")[rows] - rng.integers(1, 7 * 86_400, len(rows)) * SECOND
    n, total = len(rows), activities.n + len(rows)

    def code(name: str, value: str) -> Coded:
        old = activities.coded(name)
        return Coded(np.concatenate([old.codes, np.full(n, old.code_of(value), dtype=np.int32)]), old.values)

    deal, who = activities.coded("deal_id"), activities.coded("contact_id")
    columns: dict[str, ColumnData] = {
        "deal_id": Coded(np.concatenate([deal.codes, history.coded("deal_id").codes[rows]]), deal.values),
        "occurred_at": np.concatenate([activities.ints("occurred_at"), before]),
        "known_at": np.concatenate([activities.ints("known_at"), known]),
        "kind": code("kind", "meeting"),
        "direction": code("direction", "mutual"),
        "contact_id": Coded(np.concatenate([who.codes, np.full(n, -1, dtype=np.int32)]), who.values),
        "outcome": code("outcome", "held"),
        "minutes": np.concatenate([activities.floats("minutes"), np.full(n, 60.0)]),
    }
    both = Table.of("activities", columns, total)
    return both.take(np.argsort(both.ints("known_at"), kind="stable"))
