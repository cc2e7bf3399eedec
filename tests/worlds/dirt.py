"""W4: what is wrong with the CRM. The deals live as in W1; only what is written down about them suffers.

Zombies and re-opened deals are not made here but in forward.py, since they belong to what came about.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.periods import DAY
from features.tables import Coded, CrmTables, Table
from tests.worlds.calendar import Int
from tests.worlds.population import Bool, Deals, Reps
from tests.worlds.settings import LOST, WON, Planted

SECOND, HOUR = 1_000_000, 3_600 * 1_000_000
SUCCESS = "r999999"  # whoever takes over deals that are won
HANDED_OVER = 0.3  # of the won deals


def soiled(planted: Planted, tables: CrmTables, deals: Deals, reps: Reps, rng: np.random.Generator) -> CrmTables:
    """The tables as such a company would have them."""
    activities = _late(planted, tables.activities, deals, reps, rng)
    history = _moved(planted, _bulk(tables.deal_history, deals, reps), len(reps), rng)
    history = _lost_rows(planted, history, rng)
    success = {"rep_id": Coded.of([*tables.reps.coded("rep_id").strings(), SUCCESS])}
    for name in ("manager_id", "team"):
        success[name] = Coded.of([*tables.reps.coded(name).strings(), None])
    return replace(tables, activities=activities, deal_history=history, reps=Table.of("reps", success))


def _late(planted: Planted, table: Table, deals: Deals, reps: Reps, rng: np.random.Generator) -> Table:
    """Some activities are logged days later, all of some reps' on Friday evenings; plans are logged at once."""
    known = table.ints("known_at")
    deal = table.coded("deal_id").codes
    late = rng.random(table.n) < planted.logs_late
    delay = np.minimum(np.exp(0.7 + 1.0 * rng.normal(size=table.n)), 30.0)
    logged = known + np.where(late, (delay * 24 * 3600).astype(np.int64) * SECOND, 0)
    day = known // DAY
    # 1970-01-01 was a Thursday.
    friday = (day + (4 - (day + 3) % 7) % 7) * DAY + 18 * HOUR + rng.integers(0, 3600, table.n) * SECOND
    logged = np.where(reps.bulk[deals.rep[deal]], np.maximum(friday, known), logged)
    outcome = table.coded("outcome")
    logged = np.where(outcome.codes == outcome.code_of("planned"), known, logged)
    order = np.argsort(logged, kind="stable")
    return table.replace({"known_at": logged}).take(order)


def _bulk(table: Table, deals: Deals, reps: Reps) -> Table:
    """Some reps bring their deals up to date on the month's last day, or in the minute before a close."""
    deal, known = table.coded("deal_id").codes.astype(np.int64), table.ints("known_at")
    order, first, _, closing, reopening = _turns(table)
    late = reps.bulk[deals.rep[deal]] & ~first & ~closing & ~reopening
    limit = _next_close(deal, known, order, closing) - 60 * SECOND
    # Neither bound falls with time, so the rows of a deal stay in their order.
    moved = np.where(late, np.maximum(np.minimum(_month_end(known) + 17 * HOUR, limit), known), known)
    again = np.lexsort([table.ints("seq"), moved])
    return _numbered(table.replace({"known_at": moved}).take(again))


def _moved(planted: Planted, table: Table, reps: int, rng: np.random.Generator) -> Table:
    """Deals change hands: some in the course of their lives, some as they are won."""
    deal = table.coded("deal_id").codes.astype(np.int64)
    n = int(deal.max()) + 1
    moves, at, to = rng.random(n) < planted.owner_moves, rng.random(n), rng.integers(0, reps, n)
    size = np.bincount(deal, minlength=n)
    order = np.lexsort([table.ints("seq"), deal])
    number = np.empty(len(deal), dtype=np.int64)
    number[order] = np.arange(len(deal)) - (np.cumsum(size) - size)[deal[order]]
    later = moves[deal] & (number >= 1 + (at * size)[deal].astype(np.int64))
    owner = table.coded("owner_id")
    values = (*owner.values, SUCCESS)
    codes = np.where(later, to[deal], owner.codes)
    won = table.coded("stage").codes == table.coded("stage").code_of(WON)
    handed = won & (rng.random(table.n) < HANDED_OVER)
    new = Coded(np.where(handed, len(values) - 1, codes).astype(np.int32), values)
    return table.replace({"owner_id": new, "edited_by": Coded(codes.astype(np.int32), values)})


def _lost_rows(planted: Planted, table: Table, rng: np.random.Generator) -> Table:
    """Some changes were never tracked, and some deals' first rows are gone."""
    _, first, follows, closing, reopening = _turns(table)
    deal = table.coded("deal_id").codes
    u, v = rng.random(table.n), rng.random(int(deal.max()) + 1)
    plain = ~first & ~closing & ~reopening
    # A first row may only go where another open row comes after it.
    gone = (plain & (u < planted.rows_missing)) | (first & follows & (v[deal] < planted.creation_missing))
    return _numbered(table.take(~gone))


def _turns(table: Table) -> tuple[Int, Bool, Bool, Bool, Bool]:
    """Order by deal and time; per row: first of its deal, followed by an open row of it, closing, re-opening."""
    deal, stage = table.coded("deal_id").codes.astype(np.int64), table.coded("stage")
    closing = np.isin(stage.codes, [stage.code_of(WON), stage.code_of(LOST)])
    order = np.lexsort([table.ints("seq"), table.ints("known_at"), deal])
    same = deal[order][1:] == deal[order][:-1]
    first, follows, reopening = (
        np.ones(len(order), dtype=bool),
        np.zeros(len(order), dtype=bool),
        np.zeros(len(order), dtype=bool),
    )
    first[order[1:]] = ~same
    follows[order[:-1]] = same & ~closing[order[1:]]
    reopening[order[1:]] = same & closing[order[:-1]]
    return order, first, follows, closing, reopening


def _next_close(deal: Int, known: Int, order: Int, closing: Bool) -> Int:
    """When each row's deal is closed next; far away where it is not."""
    far = np.int64(1) << 60
    out = np.full(len(deal), far)
    upcoming, owner = far, -1
    for row in order[::-1].tolist():
        if deal[row] != owner:
            upcoming, owner = far, deal[row]
        if closing[row]:
            upcoming = known[row]
        out[row] = upcoming
    return out


def _month_end(instant: Int) -> Int:
    """First instant of the last day of each instant's month."""
    months = (instant // DAY).astype("datetime64[D]").astype("datetime64[M]") + 1
    return (months.astype("datetime64[D]").astype(np.int64) - 1) * DAY


def _numbered(table: Table) -> Table:
    return table.replace({"seq": np.arange(table.n, dtype=np.int64)})
