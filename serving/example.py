"""An example request: open deals of the source as a body of ``POST /v1/deals/score``, which answers with the bits of
`score`.

Only facts known before the as-of are written; instants to the microsecond, amounts to the cent, numbers in their
shortest form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np

from features.asof import known_before
from features.periods import EPOCH
from features.record import ACCOUNT_FIELDS
from features.schema import OWN
from features.tables import NAT, TABLES, Coded, Column, ColumnData, CrmTables, Kind, Table, is_missing
from models.bundle import Bundle
from serving.answers import iso
from serving.batch import open_deals
from serving.refresh import Sourced

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
    "time": lambda value: iso(int(value)),
    "date": lambda value: (EPOCH + timedelta(days=int(value))).isoformat(),
    "money": lambda value: _amount(int(value)),
    "int": int,
    "bool": bool,
    "float": float,
}


def example_request(seen: Sourced, bundle: Bundle, as_of: int, deals: int, in_sample: bool) -> dict[str, Any]:
    """Return a body that asks for the first `deals` deals open at the as-of, by deal_id."""
    chosen = open_deals(seen.record, as_of)
    ids = seen.record.deal_ids.take(chosen.deal).strings()
    return request_of(seen.tables, bundle, as_of, sorted(name for name in ids if name)[:deals], in_sample)


def request_of(tables: CrmTables, bundle: Bundle, as_of: int, ids: list[str], in_sample: bool) -> dict[str, Any]:
    """Return a body that asks for these deals as of an instant (UTC microseconds)."""
    known = known_before(tables, as_of)
    nested = {
        "history": _rows(known.deal_history, HISTORY, ids, known.deal_history.ints("seq")),
        "activities": _rows(known.activities, ACTIVITIES, ids, None),
        "contacts": _rows(known.contacts, CONTACTS, ids, None),
    }
    heads = {str(row["deal_id"]): row for _, row in _cells(known.deals, DEALS, _of(known.deals, ids))}
    fixed = _fixed(known, bundle, ids)
    body = [heads[name] | fixed[name] | {part: rows[name] for part, rows in nested.items()} for name in ids]
    for deal in body:
        for row in deal["history"]:
            row.setdefault("stage", UNKNOWN_STAGE)
    return {"as_of": iso(as_of), **({"in_sample": True} if in_sample else {}), "deals": body}


def _of(table: Table, ids: list[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of a table that belong to these deals."""
    return np.flatnonzero(table.coded("deal_id").codes_in(ids) >= 0)


def _rows(
    table: Table, names: tuple[str, ...], ids: list[str], seq: np.ndarray[Any, np.dtype[np.int64]] | None
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each deal in order of (known_at, seq); the place in the list stands for seq."""
    rows = _of(table, ids)
    clock = table.ints("known_at")[rows]
    order = np.lexsort((clock,) if seq is None else (seq[rows], clock))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ids}
    for deal, row in _cells(table, names, rows[order]):
        found[deal].append(row)
    return found


def _cells(
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
    write = _WRITE[column.kind]
    return [
        None if gone else write(value) for value, gone in zip(data.tolist(), is_missing(data).tolist(), strict=True)
    ]


def _amount(cents: int) -> int | float:
    """Cents as a number in whole currency; a float's shortest text is exact to the cent below 10^15 cents."""
    return cents // 100 if cents % 100 == 0 else cents / 100


def _fixed(tables: CrmTables, bundle: Bundle, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return ``account`` and ``attributes`` of each deal, as far as the model uses them."""
    schema = bundle.about.schema
    deals = tables.deals.take(_of(tables.deals, ids))
    place = {name: i for i, name in enumerate(deals.coded("deal_id").strings())}
    others = [name for name in schema.dimensions if name not in OWN]
    own = [name for name in (*others, *schema.numbers) if name in deals.columns]
    accounts = tables.accounts
    row = deals.coded("account_id").codes_in([name or "" for name in accounts.coded("account_id").strings()])
    found: dict[str, dict[str, Any]] = {}
    for name in ids:
        i = place[name]
        account = {
            field: accounts.coded(field).decode(int(row[i]))
            for field in others
            if field in ACCOUNT_FIELDS and field not in own and row[i] >= 0
        }
        attributes = {field: _attribute(deals[field], i) for field in own}
        found[name] = {
            part: kept
            for part, values in (("account", account), ("attributes", attributes))
            if (kept := {field: value for field, value in values.items() if value is not None})
        }
    return found


def _attribute(data: ColumnData, i: int) -> str | float | None:
    if isinstance(data, Coded):
        return data.decode(i)
    value = float(data[i])
    return None if np.isnan(value) or value == NAT else value
