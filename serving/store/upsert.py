"""Statements as both databases say them: insert or update, and values some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Insert rows; where one with the same primary key is there, set `columns` of it to the new values."""
    if not rows:
        return
    key = [column.name for column in table.primary_key]
    if connection.dialect.name == "postgresql":
        new = postgresql.insert(table)
        statement = new.on_conflict_do_update(index_elements=key, set_={name: new.excluded[name] for name in columns})
        connection.execute(statement, [dict(row) for row in rows])
    else:
        other = sqlite.insert(table)
        instead = other.on_conflict_do_update(index_elements=key, set_={name: other.excluded[name] for name in columns})
        connection.execute(instead, [dict(row) for row in rows])


def chunks(names: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """Yield names some at a time: a statement takes only so many values."""
    for start in range(0, len(names), size):
        yield names[start : start + size]
