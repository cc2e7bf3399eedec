"""Stored calls: what reps had called of a period as of each forecast, by node and category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from serving.principal import Principal
from serving.store.repository import visible
from serving.store.tables import CALLS

OF = CALLS.c


@dataclass(frozen=True)
class Called:
    """What the reps under a node had called, in one category. team: as of a forecast's row. reps: who called."""

    level: str
    node: str
    team: str | None
    category: str
    cents: int
    reps: int


COLUMNS = tuple(OF[name] for name in Called.__dataclass_fields__)


def write_calls(connection: Connection, as_of: int, period_start: str, rows: Sequence[Called]) -> None:
    """Store the calls as of a forecast, in place of those of the same as-of."""
    connection.execute(delete(CALLS).where(OF.as_of == as_of))
    if rows:
        about = {"as_of": as_of, "period_start": period_start}
        connection.execute(CALLS.insert(), [vars(row) | about for row in rows])


def calls_at(connection: Connection, principal: Principal, as_of: int) -> list[Called]:
    """Return the calls as of a forecast that a key may see."""
    rows: list[Any] = list(connection.execute(select(*COLUMNS).where(OF.as_of == as_of, visible(principal, OF.team))))
    return [Called(*row) for row in rows]


def calls_until(
    connection: Connection, principal: Principal, period: str, node: tuple[str, str], category: str
) -> dict[int, int]:
    """Return what was called of a period under a node (level, name) in one category: cents by as-of."""
    wanted = (OF.period_start == period, OF.level == node[0], OF.node == node[1], OF.category == category)
    asked = select(OF.as_of, OF.cents).where(*wanted, visible(principal, OF.team))
    return {int(row.as_of): int(row.cents) for row in connection.execute(asked)}
