"""What was said in each week of a past period, and what came: the ledger's scores and the stored forecasts of a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import BigInteger, Column, Connection, Double, Integer, Table, Text, func, select

from features.nodes import ALL, COMPANY
from serving.live_accuracy import Said
from serving.principal import Principal
from serving.store.repository import visible
from serving.store.tables import DEALS, METADATA_OF_VIEWS, OUTCOMES, TOMBSTONES

WEEK = 7 * 86_400_000_000
MERGED = "merged"
LEDGER_OUTCOMES = Table(
    "ledger_outcomes",
    METADATA_OF_VIEWS,
    Column("id", BigInteger),
    Column("request_id", Text),
    Column("deal_id", Text),
    Column("as_of", BigInteger),
    Column("window_end", BigInteger),
    Column("p", Double),
    Column("came_true", Integer),
)
OF = LEDGER_OUTCOMES.c


def first_of_weeks(as_ofs: Sequence[int], start: int) -> dict[int, int]:
    """Return the first as-of of each week of a period that began at `start`, by week, 1 the first."""
    found: dict[int, int] = {}
    for as_of in as_ofs:
        found.setdefault((as_of - start) // WEEK + 1, as_of)
    return found


def said_in(connection: Connection, principal: Principal, weeks: Mapping[int, int], end: int) -> tuple[Said, int]:
    """Return what refreshes said of deals as of one instant a week, by week, and what came by the period's end.

    end: of the period, which must be over. Also returned: how many deals are left out, because they were merged into
    others. A deal is a key's by whose it is now.
    """
    merged = select(TOMBSTONES.c.deal_id).where(TOMBSTONES.c.kind == MERGED)
    asked = (
        select(OF.deal_id, OF.as_of, OF.p, OF.came_true, OF.deal_id.in_(merged).label("merged"))
        .join(DEALS, DEALS.c.deal_id == OF.deal_id)
        .where(OF.as_of.in_(list(weeks.values())), OF.request_id.like("refresh-%"), OF.window_end == end)
        .where(visible(principal, DEALS.c.team))
        .order_by(OF.id)
    )
    week_of = {as_of: week for week, as_of in weeks.items()}
    rows = {(row.deal_id, row.as_of): row for row in connection.execute(asked)}  # told twice: the last counts
    left_out = {row.deal_id for row in rows.values() if row.merged}
    kept = [row for row in rows.values() if not row.merged]
    place = {name: k for k, name in enumerate(sorted({row.deal_id for row in kept}))}
    return Said(
        np.array([week_of[row.as_of] for row in kept], dtype=np.int64),
        np.array([place[row.deal_id] for row in kept], dtype=np.int64),
        np.array([row.p for row in kept], dtype=np.float64),
        np.array([row.came_true or 0 for row in kept], dtype=np.float64),
    ), len(left_out)


def booked(connection: Connection, principal: Principal, start: int, end: int) -> dict[tuple[str, str], float]:
    """Return what was booked in a period by node, in currency: of the company, or of the key's teams.

    By whose the deals are now; deals of no team count for the company alone.
    """
    asked = (
        select(DEALS.c.team, func.sum(OUTCOMES.c.amount_cents).label("cents"))
        .join(DEALS, DEALS.c.deal_id == OUTCOMES.c.deal_id)
        .where(OUTCOMES.c.outcome == "won", OUTCOMES.c.amount_cents > 0)
        .where(OUTCOMES.c.closed_at >= start, OUTCOMES.c.closed_at < end, visible(principal, DEALS.c.team))
        .group_by(DEALS.c.team)
    )
    cents = {row.team: int(row.cents) for row in connection.execute(asked)}
    if principal.teams is None:
        return {(COMPANY, ALL): sum(cents.values()) / 100}
    return {("team", str(team)): total / 100 for team, total in cents.items()}
