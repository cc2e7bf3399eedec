"""Bridges that a refresh works out beforehand: what moved the company and each team since Monday, by which deals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, select

from features.nodes import COMPANY, TEAM
from features.periods import EPOCH, local_days
from serving.bridge import PARTS, Bridge, DealMove, Part
from serving.principal import Principal
from serving.store.engine import Store
from serving.store.forecast_rows import ForecastRow, as_ofs, newest_as_of, rows_at
from serving.store.moves import Node, bridge_of
from serving.store.repository import reading, visible
from serving.store.tables import BRIDGE_MOVES, BRIDGES

OF = BRIDGES.c
MOST_KEPT = 100  # deals of a part
_EVERYONE = Principal("refresh", None)


@dataclass(frozen=True)
class Moved:
    """A deal's move in one part, cents; owner_id and what follows: as the deal stands at the end, or last stood."""

    deal_id: str
    cents: int
    before_cents: int
    after_cents: int
    owner_id: str | None
    team: str | None
    stage: str | None
    close_date: str | None
    amount_cents: int | None


@dataclass(frozen=True)
class Kept:
    """A bridge of a node as it is stored. team: as of a forecast's row."""

    row: ForecastRow
    start: int
    found: Bridge


def moved_in(found: Bridge, part: str) -> list[Moved]:
    """Return the moves of a part, the largest first."""
    return [_moved(move) for move in found.moves if move.part == part]


def _moved(move: DealMove) -> Moved:
    state = move.state
    stands = (state.owner_id, state.team, state.stage, state.close_date, state.amount_cents)
    return Moved(move.deal_id, move.cents, move.before_cents, move.after_cents, *stands)


def usual_start(stored: Sequence[int], end: int, zone: str) -> int | None:
    """Return the look that a bridge starts from unless another is asked for; None: none is earlier than its end.

    It is the first look of the Monday before the local day of the end; else the last one before that Monday, else the
    first of all. stored: as-ofs of the period, increasing.
    """
    earlier = [one for one in stored if one < end]
    if not earlier:
        return None
    days = [_day(one, zone) for one in earlier]
    today = _day(end, zone)
    monday = today - timedelta(days=today.weekday() or 7)
    if monday in days:
        return earlier[days.index(monday)]
    before = [one for one, day in zip(earlier, days, strict=True) if day < monday]
    return before[-1] if before else earlier[0]


def _day(instant: int, zone: str) -> date:
    return EPOCH + timedelta(days=int(local_days(np.array([instant]), zone)[0]))


def usual_bridges(connection: Connection, end: int, zone: str) -> list[Kept]:
    """Return the usual bridge to an as-of, of the company and each team; none at the first look of a period."""
    if newest_as_of(connection, _EVERYONE, None, end) != end:
        return []
    rows = rows_at(connection, _EVERYONE, end)
    start = usual_start(as_ofs(connection, _EVERYONE, rows[0].period_start), end, zone)
    if start is None:
        return []
    rows = [row for row in rows if row.level in (COMPANY, TEAM)]
    found = [bridge_of(connection, _EVERYONE, start, end, (row.level, row.node)) for row in rows]
    return [Kept(row, start, one) for row, one in zip(rows, found, strict=True) if one is not None]


def keep_bridges(store: Store, end: int, zone: str) -> None:
    """Work out the usual bridges to an as-of and store them: with many deals that takes longer than a page may."""
    with reading(store) as connection:
        kept = usual_bridges(connection, end, zone)
    parts = [row for one in kept for row in _part_rows(one)]
    moves = [row for one in kept for row in _move_rows(one)]

    def write(connection: Connection) -> None:
        connection.execute(delete(BRIDGES).where(OF.as_of == end))
        connection.execute(delete(BRIDGE_MOVES))
        for table, rows in ((BRIDGES, parts), (BRIDGE_MOVES, moves)):
            if rows:
                connection.execute(table.insert(), rows)

    store.writer.submit(write).result()


def _part_rows(kept: Kept) -> list[dict[str, Any]]:
    row = kept.row
    about = {"as_of": row.as_of, "level": row.level, "node": row.node, "from_as_of": kept.start, "team": row.team}
    return [about | {"part": one.name, "cents": one.cents, "deals": one.deals} for one in kept.found.parts]


def _move_rows(kept: Kept) -> list[dict[str, Any]]:
    about = {"as_of": kept.row.as_of, "level": kept.row.level, "node": kept.row.node}
    return [
        about | vars(moved) | {"part": part, "place": place}
        for part in PARTS
        for place, moved in enumerate(moved_in(kept.found, part)[:MOST_KEPT])
    ]


def kept_parts(
    connection: Connection, principal: Principal, start: int, end: int, node: Node
) -> tuple[Part, ...] | None:
    """Return the parts of a stored bridge that a key may see; None where it was not worked out beforehand."""
    wanted = (OF.as_of == end, OF.from_as_of == start, OF.level == node[0], OF.node == node[1])
    asked = select(OF.part, OF.cents, OF.deals).where(*wanted, visible(principal, OF.team))
    rows: list[Any] = list(connection.execute(asked))
    found = {row.part: Part(row.part, row.cents, row.deals) for row in rows}
    return tuple(found[name] for name in PARTS) if found else None


def kept_moves(connection: Connection, end: int, node: Node, part: str) -> list[Moved]:
    """Return the largest moves of a part of a stored bridge, `MOST_KEPT` at most, of a node that the key may see."""
    own = BRIDGE_MOVES.c
    wanted = (own.as_of == end, own.level == node[0], own.node == node[1], own.part == part)
    asked = select(*(own[one.name] for one in fields(Moved))).where(*wanted).order_by(own.place)
    rows: list[Any] = list(connection.execute(asked))
    return [Moved(*row) for row in rows]
