"""The bridge between two stored forecasts, of what a key may see: read here, taken apart in `serving.bridge`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, true

from features.nodes import NO_REP, NO_TEAM, REP, TEAM
from models.bookings import CENTS
from serving.bridge import Bridge, Elsewhere, End, bridge
from serving.principal import Principal
from serving.store.forecast_rows import ForecastRow, rows_at, top_nodes
from serving.store.repository import visible
from serving.store.states import (
    State,
    ended_between,
    known_before,
    moved_by_model,
    states_at,
    stood_at,
)
from serving.store.tables import DEAL_STATES

Node = tuple[str, str]
"""Level and name."""


def bridge_of(connection: Connection, principal: Principal, start: int, end: int, node: Node | None) -> Bridge | None:
    """Return what moved between two as-ofs of one period; None where a key may see no forecast of both.

    node: of which the bridge is; None: of all that the key may see.
    """
    tops = [top for as_of in (start, end) for top in top_nodes(connection, principal, as_of)]
    nodes = [node] if node is not None else tops
    rows = [_of(rows_at(connection, principal, as_of), nodes) for as_of in (start, end)]
    if not any(rows) or len({row.period_start for listed in rows for row in listed}) != 1:
        return None
    wanted = and_(visible(principal, DEAL_STATES.c.team), _inside(node))
    first, last = (_end(connection, as_of, of, wanted) for as_of, of in zip((start, end), rows, strict=True))
    some = next(row for listed in rows for row in listed)
    return bridge(first, last, (some.period_start, some.period_end), _elsewhere(connection, first, last, wanted))


def _of(rows: Sequence[ForecastRow], nodes: Sequence[Node]) -> list[ForecastRow]:
    return [row for row in rows if (row.level, row.node) in nodes]


def _inside(node: Node | None) -> ColumnElement[bool]:
    """Return the condition under which a state counts for a node."""
    if node is None or node[0] not in (TEAM, REP):
        return true()
    column, nobody = (DEAL_STATES.c.team, NO_TEAM) if node[0] == TEAM else (DEAL_STATES.c.owner_id, NO_REP)
    return column.is_(None) if node[1] == nobody else column == node[1]


def _end(connection: Connection, as_of: int, rows: Sequence[ForecastRow], wanted: ColumnElement[bool]) -> End:
    states: dict[str, tuple[State, ...]] = {}
    for state in states_at(connection, as_of, wanted):
        states[state.deal_id] = (*states.get(state.deal_id, ()), state)
    mean, arrivals = (sum(round(value * CENTS) for value in of) for of in zip(*_money(rows), strict=True))
    return End(as_of, mean, arrivals, states)


def _money(rows: Sequence[ForecastRow]) -> list[tuple[float, float]]:
    return [(row.mean, row.arrivals_expected) for row in rows] or [(0.0, 0.0)]


def _elsewhere(connection: Connection, start: End, end: End, wanted: ColumnElement[bool]) -> Elsewhere:
    came = set(end.states) - set(start.states)
    closed = {deal for deal in start.states if start.standing(deal) is not None and end.standing(deal) is None}
    ended = closed | (set(start.states) - set(end.states))
    return Elsewhere(
        frozenset(stood_at(connection, came, start.as_of)),
        frozenset(known_before(connection, came, start.as_of)),
        ended_between(connection, ended, start.as_of, end.as_of, wanted),
        moved_by_model(connection, start.as_of, end.as_of),
    )
