"""The step of the store that brings what the pages of teams, the funnel and the data show."""

from __future__ import annotations

from sqlalchemy import Connection


def step(connection: Connection) -> None:
    """Bring a store of the version before forward, within the caller's transaction."""
    for statement in (
        "CREATE TABLE node_facts (as_of BIGINT NOT NULL, level TEXT NOT NULL, node TEXT NOT NULL, team TEXT, "
        "body TEXT NOT NULL, PRIMARY KEY (as_of, level, node))",
        "CREATE TABLE refreshes (as_of BIGINT NOT NULL PRIMARY KEY, ran_at BIGINT NOT NULL, body TEXT NOT NULL)",
    ):
        connection.exec_driver_sql(statement)
