"""Deals given as plain records, such as a request's JSON, to the same tables that a file of the same cells gives.

A value is a text, a number, a truth value, a date or a datetime, or None. Whatever is not text is first written as the
text a file would hold, then read by the same parser, so the encodings can't differ. NumPy only: serving uses this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache, partial
from itertools import chain
from types import NoneType
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from configs.errors import Fault
from configs.vocab import AttributeKind
from features.checks import Finding, check_tables
from features.parsing import EXPECTED, REMEDY
from features.settle import (
    Dictionary,
    columns_of,
    compact,
    created_same_day,
    known_stages,
    known_with_lead,
    read_coded,
    settle,
    translated,
)
from features.stages import StageMap
from features.tables import CODED_KINDS, Coded, ColumnData, CrmTables, IntArray, Table, missing_column

Record = Mapping[str, object]
NESTED = {"history": "deal_history", "activities": "activities", "contacts": "contacts"}
_PLAIN = {str, NoneType}
_SHARED = ("accounts", "reps")  # records that belong to no one deal


@dataclass(frozen=True)
class Inline:
    """Tables of the deals without faults, and the faults of the others by their position in the request.

    notices: position -> codes of what is odd about a deal that was kept.
    """

    tables: CrmTables
    faults: Mapping[int, tuple[Fault, ...]]
    notices: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True)
class _Rows:
    """Records of one table. deal: int64[n], position of the deal of each row, -1 for none; index: place in its list.

    ids: of nested records the id of each row's deal, whatever they say themselves.
    """

    table: str
    records: Sequence[Record]
    deal: IntArray
    index: IntArray
    ids: Coded | None = None

    def coded(self, name: str) -> Coded:
        """Return the text of each record's value, missing where it has none."""
        if name == "deal_id" and self.ids is not None:
            return self.ids
        return _coded([record.get(name) for record in self.records])

    def pointer(self, row: int) -> str:
        """JSON pointer of a row."""
        deal, index = int(self.deal[row]), int(self.index[row])
        if deal < 0:
            return f"/{self.table}/{index}"
        return f"/deals/{deal}" if self.table == "deals" else f"/deals/{deal}/{_NAMES[self.table]}/{index}"


_NAMES = {table: name for name, table in NESTED.items()}


def tables_from_records(
    deals: Sequence[Record],
    zone: ZoneInfo,
    stages: StageMap,
    *,
    attributes: Mapping[str, AttributeKind] | None = None,
    accounts: Sequence[Record] = (),
    reps: Sequence[Record] = (),
    dictionary: Dictionary | None = None,
    keep_unknown_stages: bool = False,
    leads: bool = False,
) -> Inline:
    """Encode deals with their ``history``, ``activities`` and ``contacts`` nested in them.

    A nested record needs no deal_id. attributes are fields of the deal, or of an object ``attributes`` in it. A deal
    with a fault gives no rows; a fault of a shared record (accounts, reps) stands under position -1. Unknown fields are
    ignored. keep_unknown_stages: a stage outside the map becomes missing, with a notice, instead of a fault. leads: the
    deals are leads, whose history counts from when they are known on, see `known_with_lead`.
    Each record must be a mapping and each nested value a list of mappings; TypeError otherwise.
    """
    declared = dict(attributes or {})
    rows = {row.table: row for row in _collect(deals, declared)}
    rows |= {
        name: _Rows(name, records, np.full(len(records), -1), np.arange(len(records)))
        for name, records in zip(_SHARED, (accounts, reps), strict=True)
    }
    faults: dict[int, list[Fault]] = {}
    notices: dict[int, list[str]] = {}
    encoded = {name: _encode(listed, declared, zone) for name, listed in rows.items()}
    tables = {name: settle(table, dictionary or Dictionary()) for name, (table, _) in encoded.items()}
    unreadable = [finding for _, found in encoded.values() for finding in found]
    if keep_unknown_stages:
        history, strange = known_stages(tables["deal_history"], stages)
        tables["deal_history"] = compact(history)
        for row in strange.tolist():
            notices.setdefault(int(rows["deal_history"].deal[row]), []).append("unknown_stage")
    tables["deals"], moved = created_same_day(tables["deals"], tables["deal_history"], zone)
    for row in moved.tolist():
        notices.setdefault(int(rows["deals"].deal[row]), []).append("created_same_day")
    if leads:
        tables["deal_history"], early = known_with_lead(tables["deals"], tables["deal_history"])
        for row in early.tolist():
            notices.setdefault(int(rows["deal_history"].deal[row]), []).append("history_before_lead")
    ids = tables["deals"].coded("deal_id")
    for finding in [*unreadable, *_checked(tables, stages, keep_unknown_stages, unreadable)]:
        listed = rows[finding.table]
        for row in finding.rows.tolist():
            deal = int(listed.deal[row])
            if finding.fatal:
                where = _place(ids, deal, listed.pointer(row))
                faults.setdefault(deal, []).append(finding.fault(row, where))
            else:
                notices.setdefault(deal, []).append(finding.code)
    kept = {name: _without(table, rows[name], faults) for name, table in tables.items()}
    return Inline(
        CrmTables.of(kept),
        {deal: tuple(found) for deal, found in sorted(faults.items())},
        {deal: tuple(dict.fromkeys(codes)) for deal, codes in sorted(notices.items()) if deal not in faults},
    )


def _collect(deals: Sequence[Record], attributes: Mapping[str, AttributeKind]) -> Iterable[_Rows]:
    """The deals themselves, then each nested list flattened."""
    flat = [{**deal, **_object(deal.get("attributes"))} if attributes else deal for deal in deals]
    yield _Rows("deals", flat, np.arange(len(deals)), np.zeros(len(deals), dtype=np.int64))
    names = _coded([deal.get("deal_id") for deal in deals])
    for name, table in NESTED.items():
        lists = [_list(deal.get(name)) for deal in deals]
        sizes = np.array([len(listed) for listed in lists], dtype=np.int64)
        owner = np.repeat(np.arange(len(deals)), sizes)
        index = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield _Rows(table, list(chain.from_iterable(lists)), owner, index, translated(names.take(owner), str))


def _object(value: object) -> Record:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"attributes: {type(value).__name__}, expected an object")
    return value


def _list(value: object) -> Sequence[Record]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise TypeError(f"nested records: {type(value).__name__}, expected a list")
    return value


def _encode(rows: _Rows, attributes: Mapping[str, AttributeKind], zone: ZoneInfo) -> tuple[Table, list[Finding]]:
    """Encode one table's records; a value that can't be read is missing, and a finding."""
    if not rows.records and rows.table != "deals":
        return Table.empty(rows.table), []
    data: dict[str, ColumnData] = {}
    findings = []
    nothing = cache(partial(missing_column, n=len(rows.records)))  # one array for all columns that it fills
    for column in columns_of(rows.table, attributes if rows.table == "deals" else {}):
        raw = rows.coded(column.name)
        if column.kind in CODED_KINDS:
            data[column.name] = raw
            continue
        if not raw.values:
            data[column.name] = nothing(column.kind)
            continue
        data[column.name], bad = read_coded(column, raw, zone, None)
        if len(where := bad.nonzero()[0]):
            expected, remedy = EXPECTED[column.kind], REMEDY[column.kind]
            findings.append(Finding("wrong_type", rows.table, column.name, where, _shows(raw), expected, remedy))
    return Table(rows.table, data, len(rows.records)), findings


def _shows(raw: Coded) -> Callable[[int], str]:
    return lambda row: repr(raw.decode(row))


def _checked(
    tables: Mapping[str, Table], stages: StageMap, keep_unknown_stages: bool, unreadable: Sequence[Finding]
) -> Iterator[Finding]:
    """The checks' findings without what is said already: an unreadable value is not also missing."""
    said = {(finding.table, finding.column): finding.rows for finding in unreadable}
    for finding in check_tables(CrmTables.of(tables), stages, keep_unknown_stages):
        if finding.column == "deal_id" and finding.table != "deals" and finding.code != "duplicate_key":
            continue
        known = said.get((finding.table, finding.column))
        yield finding if known is None else replace(finding, rows=np.setdiff1d(finding.rows, known))


def _coded(cells: Sequence[object]) -> Coded:
    """Code the text of every cell; of equal texts only one is looked at. Equal numbers read differently: 1, 1.0."""
    kinds = set(map(type, cells))
    if not kinds <= _PLAIN:
        return Coded.of([_text(cell) for cell in cells])
    if str not in kinds:
        return Coded.missing(len(cells))
    distinct: set[Any] = set(cells)
    distinct.discard(None)
    texts = {cell: cell.strip() for cell in distinct}
    values = tuple(sorted({*texts.values()} - {""}))
    place = {"": -1, **{text: code for code, text in enumerate(values)}}
    codes = {None: -1, **{cell: place[text] for cell, text in texts.items()}}
    return Coded(np.fromiter(map(codes.__getitem__, cells), dtype=np.int32, count=len(cells)), values)


def _text(value: object) -> str | None:
    """A value as the trimmed text of a file's cell; None where it holds nothing."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _place(ids: Coded, deal: int, pointer: str) -> str:
    """Where a fault is: the pointer, and the deal's id where it has one."""
    name = ids.decode(deal) if deal >= 0 else None
    return f"{pointer} (deal {name!r})" if name else pointer


def _without(table: Table, rows: _Rows, faulty: Iterable[int]) -> Table:
    """The rows of deals without faults, and only the words that they use; rows of no deal stay."""
    unwanted = [deal for deal in faulty if deal >= 0]
    return compact(table.take(~np.isin(rows.deal, unwanted))) if unwanted else table
