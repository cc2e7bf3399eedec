"""From a file's cells to a table's encodings, part by part, with the place of every cell that can't be read.

Cells are read once per distinct text. Times and numbers that Parquet already holds as such are taken as they are, under
the same rules: a naive timestamp is wall-clock time, a float amount is its shortest decimal text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from configs.base import Scalar
from configs.errors import Fault, SchemaError
from configs.mapping import Part
from features.checks import Finding, faults_of
from features.ingest import EXAMPLES, Refusal
from features.parsing import EXPECTED, REMEDY, localise
from features.periods import local_midnight
from features.settle import ID_OF, read_coded, translated
from features.sources.reading import Frame
from features.sources.stamps import quick_times
from features.tables import CODED_KINDS, NAT, CodeArray, Coded, Column, ColumnData, IntArray, Table, missing_column

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Stacked:
    """One table's rows out of all its files, encoded but not yet settled.

    place(i): where row i stands. findings: cells that could not be read.
    left_out: deals or leads that the mapping leaves out.
    """

    table: Table
    place: Callable[[int], str]
    files: tuple[str, ...]
    rows_in: int
    findings: tuple[Finding, ...] = ()
    refused: tuple[Refusal, ...] = ()
    ignored: frozenset[tuple[str, str]] = frozenset()  # (file, source column)
    used: frozenset[tuple[str, str]] = frozenset()
    notes: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()

    def faults(self) -> Iterator[Fault]:
        """The unreadable cells as faults."""
        return faults_of(self.findings, lambda _table, row: self.place(row))


def text_cells(array: pa.Array, where: str) -> Coded:
    """Any Arrow column as trimmed text; empty, blank and NaN are missing. Raises SchemaError for nested columns."""
    array = _dictionary(array, where)
    codes: CodeArray = array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    coded = Coded(codes, tuple(array.dictionary.to_pylist()))
    trimmed = pc.utf8_trim_whitespace(array.dictionary)
    if pc.any(pc.or_(pc.not_equal(trimmed, array.dictionary), pc.equal(trimmed, ""))).as_py():
        return _without_blank(translated(coded, str.strip))
    return coded


def _without_blank(coded: Coded) -> Coded:
    if "" not in coded.values:
        return coded
    return Coded(coded.codes_in(coded.values[1:]), coded.values[1:])  # values are sorted, so "" is the first


def _dictionary(array: pa.Array, where: str) -> pa.DictionaryArray:
    if pa.types.is_dictionary(array.type):
        if (
            array.type.value_type == pa.string()
            and array.type.index_type == pa.int32()
            and not array.dictionary.null_count
        ):
            return array
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    try:
        return array.cast(pa.string()).dictionary_encode()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise SchemaError.at(
            where, f"a column of type {array.type}", expected="plain cells", remedy="export it as text or numbers"
        ) from error


def read_cells(
    column: Column, array: pa.Array, zone: ZoneInfo, date_format: str | None, values: Mapping[str, Scalar], where: str
) -> tuple[ColumnData, Mask, Callable[[int], str]]:
    """Encode one column: (values of length n, bool[n] of unreadable cells, what a cell holds, for people)."""
    ready = None if values or date_format else _typed(column, array, zone)
    if ready is not None:
        return ready, np.zeros(len(array), dtype=bool), lambda row: repr(array[row].as_py())
    if column.kind == "time" and not values and not date_format and pa.types.is_string(array.type):
        return _times(column, array, zone, where)
    coded = text_cells(array, where)
    if values:
        coded = _without_blank(translated(coded, lambda word: scalar_text(values[word]) if word in values else word))
    elif column.kind in CODED_KINDS:
        coded = translated(coded, str)  # sorted values, whatever the order of the rows
    data, bad = read_coded(column, coded, zone, date_format)
    return data, bad, lambda row: repr(coded.decode(row))


def _times(
    column: Column, array: pa.Array, zone: ZoneInfo, where: str
) -> tuple[ColumnData, Mask, Callable[[int], str]]:
    """Read a column of times in which few texts repeat: the plain ones at once, the others one by one."""
    stamps, done = quick_times(array, zone)
    bad = np.zeros(len(array), dtype=bool)
    if not done.all():
        rest = np.flatnonzero(~done)
        data, bad[rest] = read_coded(column, text_cells(array.take(pa.array(rest)), where), zone, None)
        stamps[rest] = np.asarray(data)
    return stamps, bad, lambda row: repr(text_cells(array.slice(row, 1), where).decode(0))


def _typed(column: Column, array: pa.Array, zone: ZoneInfo) -> ColumnData | None:
    """Take timestamps and numbers as they are; None where the cells have to be read as text."""
    if column.kind == "time" and pa.types.is_timestamp(array.type):
        micro = array.cast(pa.timestamp("us", array.type.tz), safe=False)
        stamps: IntArray = micro.cast(pa.int64()).fill_null(NAT).to_numpy(zero_copy_only=False).astype(np.int64)
        if array.type.tz is None:
            known = stamps != NAT
            stamps[known] = localise(stamps[known], zone)
        return stamps
    number = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
    if column.kind == "float" and number:
        floats = array.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
        return None if np.isinf(floats).any() else floats.astype(np.float64)
    return None


def scalar_text(value: Scalar) -> str:
    """A constant of a mapping as the text of a cell."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class _Plan:
    """Which source column fills which canonical one. faults: why the part can't be read."""

    sources: Mapping[str, str]
    used: frozenset[str]
    faults: tuple[Fault, ...]


def _plan(table: str, columns: Sequence[Column], frame: Frame, part: Part, attributes: Mapping[str, str]) -> _Plan:
    declared = {column.name for column in columns}
    sources = dict(part.columns) or {name: name for name in declared if name in frame.columns}
    for name, source in attributes.items():
        if name not in sources and name not in part.constants:
            sources[name] = source
    faults = [
        Fault("unknown_column", part.file, f"the mapping fills {name!r}", f"a column of {table}", _near(name, declared))
        for name in sorted({*part.columns, *part.constants, *part.values} - declared)
    ]
    lacking = [c.name for c in columns if c.required and c.name not in sources and c.name not in part.constants]
    wanted = {name: f"{table}.{name}" for name in lacking} if not part.columns else {}
    if part.columns:
        faults += [
            Fault(
                "missing_column",
                part.file,
                f"the mapping fills no {name!r}",
                "it under columns or constants",
                path=table,
            )
            for name in lacking
        ]
    wanted |= {source: f"{table}.{name}" for name, source in sources.items()}
    wanted |= {
        source: table for source in (*part.require, *part.where, *part.since, *part.date_format) if source not in wanted
    }
    faults += [
        Fault(
            "missing_column",
            f"{part.file}:1",
            f"no column {source!r}",
            "it in the header",
            _near(source, frame.columns),
            path,
        )
        for source, path in wanted.items()
        if source not in frame.columns
    ]
    return _Plan(sources, frozenset({*sources.values(), *part.require, *part.where, *part.since}), tuple(faults))


def _near(name: str, present: Mapping[str, object] | set[str]) -> str:
    """A remedy for a name that is not there."""
    words = sorted(present)
    near = get_close_matches(name, words, n=1, cutoff=0.6) or get_close_matches(name.casefold(), words, n=1, cutoff=0.6)
    shown = ", ".join(words[:20]) + (f" and {len(words) - 20} more" if len(words) > 20 else "")
    return (f"did you mean {near[0]!r}? " if near else "") + f"there are: {shown}"


def read_part(
    table: str, columns: Sequence[Column], frame: Frame, part: Part, attributes: Mapping[str, str], zone: ZoneInfo
) -> Stacked:
    """Turn one file into rows of a table. Raises SchemaError with every column that is missing or unknown.

    attributes: canonical name -> source column, for attributes that the part itself does not name.
    """
    plan = _plan(table, columns, frame, part, attributes)
    if plan.faults:
        raise SchemaError(faults=plan.faults)
    keep, refused = _selected(frame, part, zone)
    rows = np.flatnonzero(keep)
    chosen = (
        frame.columns if keep.all() else {name: array.take(pa.array(rows)) for name, array in frame.columns.items()}
    )
    data: dict[str, ColumnData] = {}
    findings: list[Finding] = []
    for column in columns:
        name, values = column.name, part.values.get(column.name, {})
        if name in part.constants:
            text = scalar_text(part.constants[name])
            array = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), dtype=np.int32)), pa.array([text]))
        elif name in plan.sources:
            array = chosen[plan.sources[name]]
        else:
            data[name] = missing_column(column.kind, len(rows))
            continue
        date_format = part.date_format.get(plan.sources.get(name, ""))
        where = f"{frame.label}, column {plan.sources.get(name, name)!r}"
        data[name], bad, got = read_cells(column, array, zone, date_format, values, where)
        if bad.any():
            findings.append(_unreadable(table, column, np.flatnonzero(bad), got, date_format))
    owns = table in ID_OF and (part.require or part.since)
    left_out = _left_out(frame, plan.sources.get(ID_OF[table]), ~keep) if owns else frozenset()
    return Stacked(
        Table.of(table, data, len(rows)),
        lambda row: frame.place(int(rows[row])),
        (frame.label,),
        frame.n + frame.blank,
        tuple(findings),
        (*((Refusal("blank row", frame.blank),) if frame.blank else ()), *refused),
        frozenset((frame.label, name) for name in frame.columns if name not in plan.used),
        frozenset((frame.label, name) for name in plan.used),
        tuple(f"{frame.label}: {note}" for note in frame.notes),
        left_out,
    )


def _unreadable(
    table: str, column: Column, rows: IntArray, got: Callable[[int], str], date_format: str | None
) -> Finding:
    expected = EXPECTED[column.kind] if date_format is None else f"a date or time written as {date_format}"
    remedy = REMEDY[column.kind]
    if column.kind in ("time", "date"):
        remedy += ", or name the column's date_format in the mapping"
    return Finding("wrong_type", table, column.name, rows, got, expected, remedy)


def _selected(frame: Frame, part: Part, zone: ZoneInfo) -> tuple[Mask, list[Refusal]]:
    """bool[n] of the rows that `where`, `require` and `since` let in, and the rest counted by reason."""
    keep = np.ones(frame.n, dtype=bool)
    refused = []
    for column, allowed in part.where.items():
        coded = text_cells(frame.columns[column], f"{frame.label}, column {column!r}")
        fits = coded.codes_in(allowed) >= 0
        refused += _refusal(f"{column} is not {' or '.join(allowed)}", keep & ~fits, frame)
        keep &= fits
    for column in part.require:
        fits = text_cells(frame.columns[column], f"{frame.label}, column {column!r}").codes >= 0
        refused += _refusal(f"{column} is empty", keep & ~fits, frame)
        keep &= fits
    for column, day in part.since.items():
        early = _before(frame, column, day, part.date_format.get(column), zone)
        refused += _refusal(f"{column} is before {day}", keep & early, frame)
        keep &= ~early
    return keep, refused


def _before(frame: Frame, column: str, day: date, date_format: str | None, zone: ZoneInfo) -> Mask:
    """bool[n]: rows of earlier days; a bare date is the end of its day. What can't be read is a fault elsewhere."""
    where = f"{frame.label}, column {column!r}"
    told, _, _ = read_cells(Column(column, "time"), frame.columns[column], zone, date_format, {}, where)
    stamps = np.asarray(told)
    early: Mask = (stamps != NAT) & (stamps <= local_midnight(day, zone))
    return early


def _refusal(reason: str, rows: Mask, frame: Frame) -> list[Refusal]:
    where = np.flatnonzero(rows)
    places = tuple(frame.place(int(row)) for row in where[:EXAMPLES])
    return [Refusal(reason, len(where), places)] if len(where) else []


def _left_out(frame: Frame, source: str | None, rows: Mask) -> frozenset[str]:
    """Ids of the deals or leads on rows that were left out. source: the column that holds them."""
    if source is None:
        return frozenset()
    coded = text_cells(frame.columns[source], frame.label)
    return frozenset(coded.values[code] for code in np.unique(coded.codes[rows]).tolist() if code >= 0)


def stack(parts: Sequence[Stacked]) -> Stacked:
    """The rows of several parts of one table, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([part.table.n for part in parts])
    starts = ends - [part.table.n for part in parts]

    def place(row: int) -> str:
        i = int(np.searchsorted(ends, row, side="right"))
        return parts[i].place(row - int(starts[i]))

    name = parts[0].table.name
    columns = {label: _joined([part.table[label] for part in parts]) for label in parts[0].table.columns}
    return Stacked(
        Table.of(name, columns, int(ends[-1])),
        place,
        tuple(dict.fromkeys(file for part in parts for file in part.files)),
        sum(part.rows_in for part in parts),
        tuple(_moved(found, int(start)) for part, start in zip(parts, starts, strict=True) for found in part.findings),
        merged(refusal for part in parts for refusal in part.refused),
        frozenset().union(*(part.ignored for part in parts)),
        frozenset().union(*(part.used for part in parts)),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        frozenset().union(*(part.left_out for part in parts)),
    )


def merged(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """One refusal for each reason, in order of appearance."""
    by_reason: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        by_reason.setdefault(refusal.reason, []).append(refusal)
    return tuple(
        Refusal(reason, sum(r.rows for r in same), tuple(place for r in same for place in r.places)[:EXAMPLES])
        for reason, same in by_reason.items()
    )


def _moved(finding: Finding, by: int) -> Finding:
    """The finding of a part, in rows of the stack."""
    return replace(finding, rows=finding.rows + by, got=lambda row: finding.got(row - by))


def _joined(columns: Sequence[ColumnData]) -> ColumnData:
    coded = [column for column in columns if isinstance(column, Coded)]
    if not coded:
        return np.concatenate([column for column in columns if not isinstance(column, Coded)])
    values = tuple(sorted({value for column in coded for value in column.values}))
    return Coded(np.concatenate([column.codes_in(values) for column in coded]), values)
