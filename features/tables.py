"""The canonical CRM record: declared tables and their in-memory form, as plain NumPy columns.

Encodings (n is the number of rows of a table):

==============  =====================================================  ==========================
kind            array                                                  missing
==============  =====================================================  ==========================
id, text        ``Coded`` (int32[n] codes into a tuple of strings)     code -1
time            int64[n], microseconds since the epoch, UTC            ``NAT``
date            int64[n], days since 1970-01-01                        ``NAT``
money           int64[n], cents in the base currency                   ``NAT``
int, bool       int64[n] (bool is 0 or 1)                              ``NAT``
float           float64[n]                                             NaN
==============  =====================================================  ==========================

A ``Table`` always holds every declared column: an optional column that the source lacks is there, filled with missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from configs.vocab import PLANNED as PLANNED  # the activity outcome that announces something still to come
from configs.vocab import Target

NAT: int = int(np.iinfo(np.int64).min)

Kind = Literal["id", "text", "time", "date", "money", "int", "float", "bool"]
IntArray: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]
CodeArray: TypeAlias = NDArray[np.int32]

CODED_KINDS: frozenset[Kind] = frozenset({"id", "text"})


@dataclass(frozen=True)
class Column:
    """One declared column. ``required``: the column must exist; ``nullable``: a value may be missing."""

    name: str
    kind: Kind
    required: bool = False
    nullable: bool = True


@dataclass(frozen=True)
class TableSpec:
    """One declared table. ``key`` columns identify a row (empty: rows may repeat).

    required_for: the targets whose source must have it.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    required_for: tuple[Target, ...] = ()

    def column(self, name: str) -> Column:
        """The declared column. Raises KeyError, naming the table, where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name!r} declares no column {name!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the declared columns, in order."""
        return tuple(column.name for column in self.columns)


def _must(name: str, kind: Kind) -> Column:
    """A column that must exist and hold a value on every row."""
    return Column(name, kind, required=True, nullable=False)


OF_DEALS = tuple(target for target in Target if target is not Target.CONVERTED)
OF_LEADS = (Target.CONVERTED,)
_SPECS = (
    TableSpec(
        "deals",
        (
            _must("deal_id", "id"),
            Column("account_id", "id"),
            _must("created_at", "time"),
            Column("known_at", "time", nullable=False),  # default: created_at
            Column("type", "text"),
            Column("source", "text"),
            Column("name", "text"),  # for display, never a feature
        ),
        key=("deal_id",),
        required_for=OF_DEALS,
    ),
    TableSpec(
        "deal_history",
        (
            _must("deal_id", "id"),
            _must("known_at", "time"),
            Column("seq", "int", nullable=False),  # default: order of the rows in the source
            # Missing only where the mapping keeps stages it does not know (stages.unknown: keep).
            Column("stage", "text", required=True),
            Column("amount", "money"),
            Column("close_date", "date"),
            Column("forecast_category", "text"),
            Column("owner_id", "id"),
            Column("edited_by", "id"),  # who saved the row, where the source tells
            Column("next_step_set", "bool"),
            Column("probability", "float"),
            Column("currency", "text"),
            Column("is_deleted", "bool"),
            Column("merged_into", "id"),  # the deal that goes on in its place, from this row on
            Column("assumed", "text"),  # names of columns whose value no history tells, comma-separated
        ),
        key=("deal_id", "known_at", "seq"),
        required_for=OF_DEALS,
    ),
    TableSpec(
        "activities",
        (
            _must("deal_id", "id"),
            _must("occurred_at", "time"),
            Column("known_at", "time", nullable=False),  # default: occurred_at
            _must("kind", "text"),
            Column("direction", "text"),
            Column("contact_id", "id"),
            Column("outcome", "text"),
            Column("minutes", "float"),
        ),
        key=(),
    ),
    TableSpec(
        "contacts",
        (
            _must("deal_id", "id"),
            _must("contact_id", "id"),
            _must("known_at", "time"),
            Column("role", "text"),
            Column("seniority", "text"),
        ),
        key=("deal_id", "contact_id", "known_at"),
    ),
    TableSpec(
        "accounts",
        (
            _must("account_id", "id"),
            Column("industry", "text"),
            Column("size", "text"),
            Column("region", "text"),
            Column("name", "text"),
        ),
        key=("account_id",),
    ),
    TableSpec(
        "reps",
        (
            _must("rep_id", "id"),
            Column("manager_id", "id"),
            Column("team", "text"),
            Column("territory", "text"),
            Column("hired", "date"),
            Column("left", "date"),
            Column("name", "text"),
        ),
        key=("rep_id",),
    ),
    TableSpec(
        "quotas",
        (
            _must("rep_id", "id"),
            _must("period_start", "date"),
            _must("amount", "money"),
            Column("known_at", "time"),  # default, and at the earliest: the period's first instant
        ),
        key=("rep_id", "period_start"),
    ),
    TableSpec(
        "calls",
        (
            _must("rep_id", "id"),
            _must("submitted_at", "time"),
            _must("period_start", "date"),
            _must("category", "text"),
            _must("amount", "money"),
        ),
        key=("rep_id", "submitted_at", "period_start", "category"),
    ),
    TableSpec(
        "leads",
        (
            _must("lead_id", "id"),
            _must("created_at", "time"),
            Column("known_at", "time", nullable=False),  # default: created_at
            Column("source", "text"),
            Column("industry", "text"),
            Column("size", "text"),
            Column("region", "text"),
            Column("opted_out", "bool"),  # honoured as it stands now
            Column("name", "text"),  # for display, never a feature
        ),
        key=("lead_id",),
        required_for=OF_LEADS,
    ),
    TableSpec(
        "lead_history",
        (
            _must("lead_id", "id"),
            _must("known_at", "time"),
            Column("seq", "int", nullable=False),  # default: order of the rows in the source
            _must("event", "text"),  # new, worked, mql, sql, converted or disqualified
            Column("deal_id", "id"),  # what it became, on the row of the conversion
        ),
        key=("lead_id", "known_at", "seq"),
    ),
    TableSpec(
        "lead_activities",
        (
            _must("lead_id", "id"),
            _must("occurred_at", "time"),
            Column("known_at", "time", nullable=False),  # default: occurred_at
            _must("kind", "text"),
            Column("direction", "text"),
            Column("outcome", "text"),
            Column("minutes", "float"),
        ),
        key=(),
    ),
)
TABLES: dict[str, TableSpec] = {spec.name: spec for spec in _SPECS}


def required_tables(target: Target) -> tuple[str, ...]:
    """Return the tables that a source must have where this is asked of it."""
    return tuple(name for name, spec in TABLES.items() if target in spec.required_for)


@dataclass(frozen=True)
class Coded:
    """Strings as int32 codes into distinct ``values``; code -1 is missing. Values need not all be used."""

    codes: CodeArray
    values: tuple[str, ...]

    @classmethod
    def of(cls, strings: Iterable[str | None]) -> Coded:
        """Code strings; None is missing. Values come out sorted, so shuffled rows give the same vocabulary."""
        listed = list(strings)
        values = tuple(sorted(text for text in set(listed) if text is not None))
        index: dict[str | None, int] = {text: code for code, text in enumerate(values)}
        index[None] = -1
        return cls(np.fromiter(map(index.__getitem__, listed), dtype=np.int32, count=len(listed)), values)

    @classmethod
    def missing(cls, n: int) -> Coded:
        """N missing strings."""
        return cls(np.full(n, -1, dtype=np.int32), ())

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, idx: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Coded:
        """The rows at ``idx`` (positions, a mask or a slice), with the same values."""
        return Coded(self.codes[idx], self.values)

    def decode(self, i: int) -> str | None:
        """The string on row i, or None where missing."""
        code = int(self.codes[i])
        return None if code < 0 else self.values[code]

    def strings(self) -> list[str | None]:
        """Every row decoded."""
        lookup: tuple[str | None, ...] = (*self.values, None)  # code -1 indexes the trailing None
        return [lookup[code] for code in self.codes.tolist()]

    def code_of(self, value: str) -> int:
        """The code of a value, or -1 where no row can hold it."""
        return self.values.index(value) if value in self.values else -1

    def codes_in(self, vocabulary: Sequence[str] | Mapping[str, int]) -> CodeArray:
        """int32[n]: each row's position in another vocabulary (or its code there), -1 where missing or not in it."""
        if not self.values or self.values == vocabulary:
            return self.codes
        index = vocabulary if isinstance(vocabulary, Mapping) else {text: code for code, text in enumerate(vocabulary)}
        lookup = np.array([*(index.get(text, -1) for text in self.values), -1], dtype=np.int32)
        recoded: CodeArray = lookup.take(self.codes)
        return recoded


ColumnData: TypeAlias = IntArray | FloatArray | Coded


def missing_column(kind: Kind, n: int) -> ColumnData:
    """N missing values in the encoding of a kind."""
    if kind in CODED_KINDS:
        return Coded.missing(n)
    if kind == "float":
        return np.full(n, np.nan, dtype=np.float64)
    return np.full(n, NAT, dtype=np.int64)


def is_missing(column: ColumnData) -> NDArray[np.bool_]:
    """bool[n]: where a column holds no value."""
    if isinstance(column, Coded):
        return column.codes < 0
    if column.dtype == np.float64:
        nan: NDArray[np.bool_] = np.isnan(column)
        return nan
    nat: NDArray[np.bool_] = column == NAT
    return nat


@dataclass(frozen=True)
class Table:
    """One table's columns, each of length n. Build it with ``Table.of``, which fills what the source lacks."""

    name: str
    columns: Mapping[str, ColumnData]
    n: int

    @classmethod
    def of(cls, name: str, columns: Mapping[str, ColumnData], n: int | None = None) -> Table:
        """A table of a declared name; absent columns are filled with missing, undeclared ones (attributes) kept.

        Raises KeyError for an undeclared table, ValueError where a column's length or encoding is wrong.
        """
        spec = TABLES[name]
        size = n if n is not None else (len(next(iter(columns.values()))) if columns else 0)
        kinds: dict[str, Kind] = {column.name: column.kind for column in spec.columns}
        for label, data in columns.items():
            _check_encoding(f"{name}.{label}", data, kinds.get(label), size)
        declared = {label: columns.get(label, None) for label in kinds}
        filled = {
            label: data if data is not None else missing_column(kinds[label], size) for label, data in declared.items()
        }
        return cls(name, filled | {label: data for label, data in columns.items() if label not in kinds}, size)

    @classmethod
    def empty(cls, name: str) -> Table:
        """A declared table without rows; one for all who ask."""
        return _empty(name)

    def __getitem__(self, column: str) -> ColumnData:
        return self.columns[column]

    def __len__(self) -> int:
        return self.n

    def has(self, column: str) -> bool:
        """Whether the column holds at least one value (an absent optional column is there, all missing)."""
        return column in self.columns and not bool(is_missing(self.columns[column]).all())

    def coded(self, column: str) -> Coded:
        """An id or text column. Raises TypeError for another kind."""
        data = self.columns[column]
        if not isinstance(data, Coded):
            raise TypeError(f"{self.name}.{column} is {data.dtype}, not coded text")
        return data

    def ints(self, column: str) -> IntArray:
        """A time, date, money, int or bool column as int64[n]. Raises TypeError for another kind."""
        data = self.columns[column]
        if isinstance(data, Coded) or data.dtype != np.int64:
            raise TypeError(f"{self.name}.{column} is not an int64 column")
        return data.astype(np.int64, copy=False)

    def floats(self, column: str) -> FloatArray:
        """A float column as float64[n]. Raises TypeError for another kind."""
        data = self.columns[column]
        if isinstance(data, Coded) or data.dtype != np.float64:
            raise TypeError(f"{self.name}.{column} is not a float64 column")
        return data.astype(np.float64, copy=False)

    def take(self, idx: NDArray[np.integer] | NDArray[np.bool_]) -> Table:
        """The rows at ``idx`` (positions or a mask), in that order."""
        size = int(np.count_nonzero(idx)) if idx.dtype == np.bool_ else len(idx)
        return Table(self.name, {name: _take(data, idx) for name, data in self.columns.items()}, size)

    def replace(self, columns: Mapping[str, ColumnData]) -> Table:
        """The same rows with some columns replaced or added."""
        return Table.of(self.name, {**self.columns, **columns}, self.n)


@cache
def _empty(name: str) -> Table:
    return Table.of(name, {}, 0)


def _take(data: ColumnData, idx: NDArray[np.integer] | NDArray[np.bool_]) -> ColumnData:
    return data.take(idx) if isinstance(data, Coded) else data[idx]


def _check_encoding(where: str, data: ColumnData, kind: Kind | None, n: int) -> None:
    """Refuse a column whose length or dtype isn't its kind's (kind None: a declared attribute, float or text)."""
    if len(data) != n:
        raise ValueError(f"{where}: {len(data)} values, expected {n}")
    got = "coded" if isinstance(data, Coded) else str(data.dtype)
    if kind is None:
        expected = {"coded", "float64"}
    elif kind in CODED_KINDS:
        expected = {"coded"}
    else:
        expected = {"float64" if kind == "float" else "int64"}
    if got not in expected:
        raise ValueError(f"{where}: encoded as {got}, expected {' or '.join(sorted(expected))}")


@dataclass(frozen=True)
class CrmTables:
    """Everything a source knows; a table that it lacks is empty."""

    deals: Table
    deal_history: Table
    activities: Table
    contacts: Table
    accounts: Table
    reps: Table
    quotas: Table
    calls: Table
    leads: Table
    lead_history: Table
    lead_activities: Table

    @classmethod
    def of(cls, tables: Mapping[str, Table]) -> CrmTables:
        """From tables by name; those not given are empty. Raises TypeError for an undeclared name."""
        return cls(**{name: tables[name] if name in tables else _empty(name) for name in (*TABLES, *tables)})

    def __getitem__(self, name: str) -> Table:
        """A table by its declared name. Raises KeyError for another name."""
        if name not in TABLES:
            raise KeyError(f"no table {name!r}; declared: {', '.join(TABLES)}")
        table: Table = getattr(self, name)
        return table

    def by_name(self) -> dict[str, Table]:
        """Every table by its name, in declared order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
