"""The step of the store that brings what the forecast page needs: calls and bridges beside each forecast."""

from __future__ import annotations

from sqlalchemy import Connection

_STATEMENTS = (
    "CREATE TABLE calls (as_of BIGINT NOT NULL, level TEXT NOT NULL, node TEXT NOT NULL, category TEXT NOT NULL, "
    "period_start TEXT NOT NULL, team TEXT, cents BIGINT NOT NULL, reps INTEGER NOT NULL, "
    "PRIMARY KEY (as_of, level, node, category))",
    "CREATE TABLE bridges (as_of BIGINT NOT NULL, level TEXT NOT NULL, node TEXT NOT NULL, part TEXT NOT NULL, "
    "from_as_of BIGINT NOT NULL, team TEXT, cents BIGINT NOT NULL, deals INTEGER NOT NULL, "
    "PRIMARY KEY (as_of, level, node, part))",
    "CREATE TABLE bridge_moves (as_of BIGINT NOT NULL, level TEXT NOT NULL, node TEXT NOT NULL, part TEXT NOT NULL, "
    "place INTEGER NOT NULL, deal_id TEXT NOT NULL, cents BIGINT NOT NULL, before_cents BIGINT NOT NULL, "
    "after_cents BIGINT NOT NULL, owner_id TEXT, team TEXT, stage TEXT, close_date TEXT, amount_cents BIGINT, "
    "PRIMARY KEY (as_of, level, node, part, place))",
)


def step(connection: Connection) -> None:
    """Bring a store of the version before forward, within the caller's transaction."""
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement)
