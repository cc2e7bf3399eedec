"""Tables as the JSON of a request: instants to the microsecond, amounts to the cent, numbers in their shortest form.

What is written here and read again (`serving.intake`) has the bits of the tables it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np

from features.periods import EPOCH
from features.reference import MILLION
from features.schema import OWN
from features.tables import TABLES, Coded, Column, ColumnData, Kind, Table, is_missing

HISTORY = (
    "known_at", "stage", "amount", "close_date", "forecast_category", "owner_id", "edited_by", "next_step_set",
    "probability", "is_deleted", "merged_into",
)  # fmt: skip
ACTIVITIES = ("occurred_at", "known_at", "kind", "direction", "contact_id", "outcome", "minutes")
CONTACTS = ("contact_id", "known_at", "role", "seniority")
DEALS = ("deal_id", "account_id", "created_at", "known_at", *OWN)
UNKNOWN_STAGE = "(not listed)"
"""Stands for a stage that a mapping with ``stages.unknown: keep`` made missing; any word outside the map does."""

Write = Callable[[Any], Any]
_WRITE: dict[Kind, Write] = {
    "date": lambda value: (EPOCH + timedelta(days=int(value))).isoformat(),
    "money": lambda value: _amount(int(value)),
    "int": int,
    "bool": bool,
    "float": float,
}


def rows_about(table: Table, ids: list[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of a table that belong to these deals."""
    return np.flatnonzero(table.coded("deal_id").codes_in(ids) >= 0)


def nested_rows(
    table: Table, names: tuple[str, ...], ids: list[str], seq: np.ndarray[Any, np.dtype[np.int64]] | None
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each deal in order of (known_at, seq); the place in the list stands for seq."""
    rows = rows_about(table, ids)
    clock = table.ints("known_at")[rows]
    order = np.lexsort((clock,) if seq is None else (seq[rows], clock))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ids}
    for deal, row in cells(table, names, rows[order]):
        found[deal].append(row)
    return found


def cells(
    table: Table, names: tuple[str, ...], rows: np.ndarray[Any, np.dtype[np.int64]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (deal_id, the fields that hold a value) of each row."""
    taken = table.take(rows)
    columns = [_written(TABLES[table.name].column(name), taken[name]) for name in names]
    for i, deal in enumerate(taken.coded("deal_id").strings()):
        yield deal or "", {name: data[i] for name, data in zip(names, columns, strict=True) if data[i] is not None}


def _written(column: Column, data: ColumnData) -> list[Any]:
    """Return a column's values as JSON holds them, None where missing."""
    if isinstance(data, Coded):
        return list(data.strings())
    if column.kind == "time":
        return _instants(np.asarray(data))
    write = _WRITE[column.kind]
    return [
        None if gone else write(value) for value, gone in zip(data.tolist(), is_missing(data).tolist(), strict=True)
    ]


def _instants(values: np.ndarray[Any, np.dtype[Any]]) -> list[str | None]:
    """Return instants as `serving.answers.iso` writes them, all at once."""
    seconds, rest = np.divmod(values, MILLION)
    texts = np.datetime_as_string(seconds.astype("datetime64[s]")).tolist()
    missing = is_missing(values).tolist()
    return [
        None if gone else f"{text}.{part:06d}Z" if part else f"{text}Z"
        for text, part, gone in zip(texts, rest.tolist(), missing, strict=True)
    ]


def _amount(cents: int) -> int | float:
    """Cents as a number in whole currency; a float's shortest text is exact to the cent below 10^15 cents."""
    return cents // 100 if cents % 100 == 0 else cents / 100
