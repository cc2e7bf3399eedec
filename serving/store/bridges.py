"""Bridges that a refresh works out beforehand: by how much each part moved the company and each team since Monday."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, select

from features.nodes import COMPANY, TEAM
from features.periods import EPOCH, local_days
from serving.bridge import PARTS, Part
from serving.principal import Principal
from serving.store.engine import Store
from serving.store.forecast_rows import as_ofs, newest_as_of, rows_at
from serving.store.moves import Node, bridge_of
from serving.store.repository import reading, visible
from serving.store.tables import BRIDGES

OF = BRIDGES.c
_EVERYONE = Principal("refresh", None)


@dataclass(frozen=True)
class Kept:
    """A part of a bridge of a node, as it is stored. team: as of a forecast's row."""

    as_of: int
    level: str
    node: str
    part: str
    from_as_of: int
    team: str | None
    cents: int
    deals: int


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
    """Return the usual bridge to an as-of, of the company and each team; none where it is the first look of a period."""
    if newest_as_of(connection, _EVERYONE, None, end) != end:
        return []
    rows = rows_at(connection, _EVERYONE, end)
    start = usual_start(as_ofs(connection, _EVERYONE, rows[0].period_start), end, zone)
    if start is None:
        return []
    kept = []
    for row in rows:
        if row.level not in (COMPANY, TEAM):
            continue
        found = bridge_of(connection, _EVERYONE, start, end, (row.level, row.node))
        parts = () if found is None else found.parts
        kept += [Kept(end, row.level, row.node, one.name, start, row.team, one.cents, one.deals) for one in parts]
    return kept


def keep_bridges(store: Store, end: int, zone: str) -> None:
    """Work out the usual bridges to an as-of and store them: with many deals that takes longer than a page may."""
    with reading(store) as connection:
        rows = usual_bridges(connection, end, zone)

    def write(connection: Connection) -> None:
        connection.execute(delete(BRIDGES).where(OF.as_of == end))
        if rows:
            connection.execute(BRIDGES.insert(), [vars(row) for row in rows])

    store.writer.submit(write).result()


def kept_parts(
    connection: Connection, principal: Principal, start: int, end: int, node: Node
) -> tuple[Part, ...] | None:
    """Return the parts of a stored bridge that a key may see; None where it was not worked out beforehand."""
    wanted = (OF.as_of == end, OF.from_as_of == start, OF.level == node[0], OF.node == node[1])
    asked = select(OF.part, OF.cents, OF.deals).where(*wanted, visible(principal, OF.team))
    rows: list[Any] = list(connection.execute(asked))
    found = {row.part: Part(row.part, row.cents, row.deals) for row in rows}
    return tuple(found[name] for name in PARTS) if found else None
