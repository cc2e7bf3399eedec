"""OpportunityFieldHistory, field by field: who changed what from which value to which.

A row tells one field. Of a lookup (owner, record type, account) Salesforce writes two rows, one of names and one of
ids: the ids count, and the names are told apart by what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from configs.errors import Fault
from configs.salesforce import SalesforceMapping
from features.checks import Finding, faults_of
from features.ingest import Notice
from features.parsing import EXPECTED, REMEDY
from features.settle import ATTRIBUTE_KINDS, read_coded, translated
from features.sources.columns import among, renamed
from features.sources.exports import ATTRIBUTE, Export, Rows, folded
from features.sources.salesforce.ids import Shorten, is_user
from features.sources.salesforce.objects import TRACKED
from features.tables import Coded, Column, ColumnData, IntArray, Kind

Mask = NDArray[np.bool_]
FIELD_HISTORY = "OpportunityFieldHistory"
MARKER = "created: the opportunity's own row says so"
UNREAD = "a field that is not read"
BY_NAME = "a lookup told by its id as well"
NAME_ALONE = "a lookup told by a name that no id goes with"

FIELDS = {folded(name): ours for name, ours in TRACKED.items()} | {
    "forecastcategory": "forecast_category",
    "ownerid": "owner_id",
    "recordtypeid": "record_type",
    "accountid": "account_id",
}
MARKERS = ("created", "opportunitycreatedfromlead")
KINDS: dict[str, Kind] = {"amount": "money", "close_date": "date", "probability": "float"}
LOOKUPS = ("owner_id", "record_type", "account_id")


@dataclass(frozen=True)
class Changes:
    """Changes of one field, ordered by deal, time and id. rows: of the file; old and new: the values around each."""

    deal: IntArray
    at: IntArray
    rows: IntArray
    old: ColumnData
    new: ColumnData


@dataclass(frozen=True)
class FieldLog:
    """Everything that field history tells. by_field: our name of each field that it tells at all."""

    by_field: Mapping[str, Changes]
    deal: IntArray  # of every row of the file, -1 where it has none
    faults: tuple[Fault, ...]
    notices: tuple[Notice, ...]


def in_order(rows: Rows, deal: IntArray, at: IntArray, chosen: IntArray) -> IntArray:
    """Rows ordered by deal and time; those of one second by their id, else as they stand in the file."""
    order = chosen[np.lexsort((chosen, at[chosen], deal[chosen]))]
    tie = (deal[order][1:] == deal[order][:-1]) & (at[order][1:] == at[order][:-1])
    if not tie.any() or "Id" not in rows.raw:
        return order
    member = np.append(False, tie) | np.append(tie, False)
    tied = order[member]
    ids = np.array([text or "" for text in rows.raw["Id"].take(tied).to_pylist()])
    rank = np.unique(ids, return_inverse=True)[1]
    order[member] = tied[np.lexsort((rank, at[tied], deal[tied]))]
    return order


def field_log(export: Export, deal: IntArray, mapping: SalesforceMapping, zone: ZoneInfo, shorten: Shorten) -> FieldLog:
    """Sort field history by field and read its values. deal: code of each row's deal, -1 where it has none."""
    rows = export[FIELD_HISTORY]
    at = rows.ints("CreatedDate")
    declared = {
        folded(attribute.column or name): (ATTRIBUTE + name, ATTRIBUTE_KINDS[attribute.kind])
        for name, attribute in mapping.attributes.items()
    }
    words = {word: (name, KINDS.get(name, "text")) for word, name in FIELDS.items()} | declared
    field = rows.coded("Field")
    rows.refuse(among(field, {value for value in field.values if folded(value) in MARKERS}), MARKER)
    strange = {value for value in field.values if folded(value) not in words}
    unread = among(field, strange) & rows.live
    notices = _unread(field, unread)
    rows.refuse(unread, UNREAD)
    order = in_order(rows, deal, at, np.flatnonzero(rows.live & (deal >= 0)))
    log: dict[str, Changes] = {}
    findings: list[Finding] = []
    for name, kind in dict.fromkeys(words.values()):
        these = {value for value in field.values if words.get(folded(value)) == (name, kind)}
        chosen = order[among(field, these)[order]]
        old, new = (Coded(rows.coded(label).codes[chosen], rows.coded(label).values) for label in _VALUES)
        if name in LOOKUPS:
            chosen, old, new = _lookup(export, name, chosen, old, new, deal, at, shorten)
        if len(chosen):
            before, after = (
                _read(name, kind, label, data, rows, chosen, zone, findings)
                for label, data in zip(_VALUES, (old, new), strict=True)
            )
            log[name] = Changes(deal[chosen], at[chosen], chosen, before, after)
    return FieldLog(log, deal, tuple(faults_of(findings, lambda _table, row: rows.place(row))), tuple(notices))


_VALUES: tuple[Literal["OldValue"], Literal["NewValue"]] = ("OldValue", "NewValue")


def _unread(field: Coded, unread: Mask) -> list[Notice]:
    if not unread.any():
        return []
    names = sorted({field.values[code] for code in np.unique(field.codes[unread]).tolist()})
    shown = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    message = f"rows of fields that are not read: {shown}"
    return [Notice("unread_fields", FIELD_HISTORY, int(np.count_nonzero(unread)), message)]


def _read(
    name: str, kind: Kind, label: str, data: Coded, rows: Rows, chosen: IntArray, zone: ZoneInfo, out: list[Finding]
) -> ColumnData:
    """Values of one field. Whether there is a next step is all that we know of it."""
    if name == "next_step_set":
        return (data.codes >= 0).astype(np.int64)
    used = translated(data, str)
    values, bad = read_coded(Column(name, kind), used, zone, None)
    if bad.any():
        place = np.flatnonzero(bad)
        got = _cell(name, used, dict(zip(chosen[place].tolist(), place.tolist(), strict=True)))
        out.append(Finding("wrong_type", rows.name, label, chosen[place], got, EXPECTED[kind], REMEDY[kind]))
    return values


def _cell(name: str, data: Coded, place: Mapping[int, int]) -> Callable[[int], str]:
    return lambda row: f"{name} {data.decode(place[row])!r}"


def _lookup(
    export: Export,
    name: str,
    chosen: IntArray,
    old: Coded,
    new: Coded,
    deal: IntArray,
    at: IntArray,
    shorten: Shorten,
) -> tuple[IntArray, Coded, Coded]:
    """Keep the rows of ids, and of names that an id goes with or that a mapping may know; refuse the rest."""
    rows = export[FIELD_HISTORY]
    old, new = (translated(data, shorten) for data in (old, new))
    known = _known_ids(export, name)
    by_id = _all_of(old, new, lambda value: value in known or _like_an_id(name, value))
    same = _beside(deal[chosen], at[chosen], by_id)
    _refuse(rows, chosen[~by_id & same], BY_NAME)
    if name == "owner_id":
        people = _people(export)
        named = _all_of(old, new, lambda value: value in people)
        old, new = (_resolved(data, ~by_id & named, people) for data in (old, new))
        fits = by_id | (named & ~same)
    else:
        fits = by_id | ~same if name == "record_type" else by_id
    _refuse(rows, chosen[~fits], NAME_ALONE)
    return chosen[fits], old.take(fits), new.take(fits)


def _known_ids(export: Export, name: str) -> set[str]:
    """Ids that the export itself names for a lookup."""
    if name == "owner_id":
        return {*export["User"].coded("Id").values, *export["Opportunity"].coded("OwnerId").values}
    if name == "account_id":
        return {*export["Account"].coded("Id").values, *export["Opportunity"].coded("AccountId").values}
    return {*export["Opportunity"].coded("RecordTypeId").values}


def _like_an_id(name: str, value: str) -> bool:
    if name == "owner_id":
        return is_user(value)
    prefix = "001" if name == "account_id" else "012"
    return len(value) in (15, 18) and value.isascii() and value.isalnum() and value.startswith(prefix)


def _all_of(old: Coded, new: Coded, test: Callable[[str], bool]) -> Mask:
    """bool[n]: the values around a change, where there are any, all pass the test, and there is one."""
    fits = [np.array([*map(test, data.values), True], dtype=bool)[data.codes] for data in (old, new)]
    mask: Mask = fits[0] & fits[1] & ((old.codes >= 0) | (new.codes >= 0))
    return mask


def _beside(deal: IntArray, at: IntArray, by_id: Mask) -> Mask:
    """bool[n]: another row of the same deal and second tells the id. Rows come ordered by deal and time."""
    if not len(deal):
        return by_id
    starts = np.append(True, (deal[1:] != deal[:-1]) | (at[1:] != at[:-1]))
    group = np.cumsum(starts) - 1
    told: Mask = np.bincount(group, weights=by_id) > 0
    mask: Mask = told[group]
    return mask


def _people(export: Export) -> dict[str, str]:
    """User id by name, for names that only one user has."""
    users = export["User"]
    count: dict[str, int] = {}
    ids: dict[str, str] = {}
    for name, user in zip(users.coded("Name").strings(), users.coded("Id").strings(), strict=True):
        if name is not None and user is not None:
            count[name] = count.get(name, 0) + 1
            ids[name] = user
    return {name: user for name, user in ids.items() if count[name] == 1}


def _resolved(data: Coded, rows: Mask, people: Mapping[str, str]) -> Coded:
    """Names as ids on some rows."""
    if not rows.any():
        return data
    other = renamed(data, people)
    both = tuple(sorted({*data.values, *other.values}))
    return Coded(np.where(rows, other.codes_in(both), data.codes_in(both)).astype(np.int32), both)


def _refuse(rows: Rows, chosen: IntArray, reason: str) -> None:
    mask = np.zeros(rows.n, dtype=bool)
    mask[chosen] = True
    rows.refuse(mask, reason)
