"""From a folder to the rows of each object: names matched, cells read, and an account of what became of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from configs.errors import DataError, Fault, MissingFileError, SchemaError, UnreadableFileError
from configs.mapping import Attribute, ObjectFile
from configs.vocab import Target
from features.checks import Finding, faults_of
from features.ingest import EXAMPLES, Notice, Refusal, TableReport
from features.parsing import EXPECTED, REMEDY
from features.settle import ATTRIBUTE_KINDS
from features.sources.frames import read_cells
from features.sources.objects import Field, ObjectSpec
from features.sources.reading import SUFFIXES, Frame, neighbours, read_frame
from features.sources.stamps import iso_times
from features.tables import TABLES, Coded, Column, ColumnData, FloatArray, IntArray, is_missing, missing_column

Mask = NDArray[np.bool_]
ATTRIBUTE = "attribute "  # what a declared attribute is called among the fields of its object
REPEATED = "a repeated row"


class Rows:
    """The rows of one object. A row is kept unless it is refused, for the first reason that is given."""

    def __init__(self, spec: ObjectSpec, frame: Frame, columns: Mapping[str, ColumnData], raw: Mapping[str, pa.Array]):
        self.name, self.spec = spec.name, spec
        self.label, self.n, self.blank, self.notes = frame.label, frame.n, frame.blank, frame.notes
        self.place: Callable[[int], str] = frame.place
        self.columns, self.raw = columns, raw
        self.status: NDArray[np.int16] = np.zeros(frame.n, dtype=np.int16)
        self.reasons: list[str] = []

    @property
    def live(self) -> Mask:
        """bool[n]: rows that nothing has refused."""
        mask: Mask = self.status == 0
        return mask

    def has(self, name: str) -> bool:
        """Whether the file has this column."""
        return name in self.columns or name in self.raw

    def coded(self, name: str) -> Coded:
        """An id or text column; all missing where the file lacks it."""
        data = self.columns.get(name)
        return data if isinstance(data, Coded) else Coded.missing(self.n)

    def ints(self, name: str) -> IntArray:
        """A time, date, money or bool column; all missing where the file lacks it."""
        data = self.columns.get(name)
        filled = missing_column("int", self.n) if data is None else data
        if isinstance(filled, Coded):
            raise TypeError(f"{self.name}.{name} is text")
        return filled.astype(np.int64, copy=False)

    def floats(self, name: str) -> FloatArray:
        """A number column; all missing where the file lacks it."""
        data = self.columns.get(name)
        filled = missing_column("float", self.n) if data is None else data
        if isinstance(filled, Coded):
            raise TypeError(f"{self.name}.{name} is text")
        return filled.astype(np.float64, copy=False)

    def true(self, name: str) -> Mask:
        """bool[n]: the cell says true; an empty one does not."""
        mask: Mask = self.ints(name) == 1
        return mask

    def refuse(self, rows: Mask, reason: str) -> None:
        """Refuse those of these rows that are not refused yet."""
        hit = rows & self.live
        if hit.any():
            if reason not in self.reasons:
                self.reasons.append(reason)
            self.status[hit] = self.reasons.index(reason) + 1

    def report(self) -> TableReport:
        """The account of this object."""
        refused = [Refusal("blank row", self.blank)] if self.blank else []
        for code, reason in enumerate(self.reasons, 1):
            rows = np.flatnonzero(self.status == code)
            places = tuple(self.place(int(row)) for row in rows[:EXAMPLES])
            refused.append(Refusal(reason, len(rows), places))
        kept = int(np.count_nonzero(self.live))
        name = f"{self.name} (exported)" if self.name in TABLES else self.name  # told apart from ours of that name
        return TableReport(name, (self.label,), self.n + self.blank, kept, tuple(refused))


def one_frame(path: Path, label: str, name: str) -> dict[str, Frame]:
    """A file that holds one object, as tables."""
    return {name: read_frame(path, label)}


@dataclass(frozen=True)
class Layout:
    """What the exports of a CRM look like.

    told: what the mapping says of the objects. attributes: declared ones, by object. more: fields by the columns that a
    file has. read: a file as the rows of its object, and of those inside it. epoch_ms: times may be milliseconds
    since 1970.
    """

    objects: Mapping[str, ObjectSpec]
    told: Mapping[str, ObjectFile]
    attributes: Mapping[str, Mapping[str, Attribute]]
    more: Callable[[ObjectSpec, Sequence[str]], Sequence[Field]] = lambda _spec, _columns: ()
    suffixes: tuple[str, ...] = SUFFIXES
    read: Callable[[Path, str, str], Mapping[str, Frame]] = one_frame
    epoch_ms: bool = False


@dataclass
class Export:
    """Everything that was read. rows: of the objects that have a file; any other has no rows at all."""

    objects: Mapping[str, ObjectSpec]
    rows: dict[str, Rows]
    notices: list[Notice]

    def __getitem__(self, name: str) -> Rows:
        return self.rows.get(name) or Rows(self.objects[name], Frame(f"{name}.csv", {}, 0, str), {}, {})

    def has(self, name: str) -> bool:
        """Whether the object has a file."""
        return name in self.rows

    def reports(self) -> tuple[TableReport, ...]:
        """The account of every object that has a file, in declared order."""
        return tuple(self[name].report() for name in self.objects if self.has(name))


@dataclass
class _Reader:
    folder: Path
    layout: Layout
    zone: ZoneInfo
    target: Target
    faults: list[Fault] = field(default_factory=list)
    kinds: set[type[DataError]] = field(default_factory=set)
    notices: list[Notice] = field(default_factory=list)

    def fault(self, error: DataError) -> None:
        """Keep a fault for later."""
        self.faults += error.faults
        self.kinds.add(type(error))


def read_export(folder: Path, layout: Layout, zone: ZoneInfo, target: Target) -> Export:
    """Read every object's file; the target tells which must be there.

    Raises a DataError with every fault of names, forms and cells at once.
    """
    if not folder.is_dir():
        raise MissingFileError.at(
            "source.path", f"no folder {folder}", expected="the folder of the exports", remedy="check source.path"
        )
    reader = _Reader(folder, layout, zone, target)
    files = _files(reader)
    rows: dict[str, Rows] = {}
    for name, file in files.items():
        try:
            for part, frame in layout.read(folder / file, file, name).items():
                if part in rows or (part != name and part in files):
                    raise _twice(part, file)
                rows[part] = _rows(reader, layout.objects[part], frame)
        except (MissingFileError, UnreadableFileError, SchemaError) as error:
            reader.fault(error)
    for name, spec in layout.objects.items():
        if spec.inside in rows and name not in rows and target in spec.required_for:
            reader.fault(_lacking(reader, name))
    if reader.faults:
        kind = reader.kinds.pop() if len(reader.kinds) == 1 else DataError
        raise kind(faults=reader.faults)
    return Export(layout.objects, rows, reader.notices)


def _twice(name: str, file: str) -> SchemaError:
    return SchemaError.at(name, f"in {file}, and in a file of its own", expected="one of them", remedy="remove one")


def folded(name: str) -> str:
    """A name as compared: without case, underscores and blanks around it."""
    return name.strip().replace("_", "").casefold()


def _files(reader: _Reader) -> dict[str, str]:
    """File of every object that has one; the faults of the others are kept."""
    present: dict[str, list[str]] = {}
    for entry in sorted(reader.folder.iterdir()):
        suffix = next(
            (suffix for suffix in reversed(reader.layout.suffixes) if entry.name.casefold().endswith(suffix)), None
        )
        if suffix is not None:
            present.setdefault(folded(entry.name[: -len(suffix)]), []).append(entry.name)
    files = {}
    for name, spec in reader.layout.objects.items():
        told = reader.layout.told.get(name)
        found = [told.file] if told is not None and told.file is not None else present.get(folded(name), [])
        if len(found) > 1:
            got = f"{' and '.join(found)} side by side"
            reader.fault(SchemaError.at(name, got, expected="one file for an object", remedy="remove all but one"))
        elif found:
            files[name] = found[0]
        elif reader.target in spec.required_for and spec.inside not in files:
            reader.fault(_lacking(reader, name))
    absent = [name for name, spec in reader.layout.objects.items() if name not in files and spec.inside not in files]
    if absent and not reader.faults:
        reader.notices.append(Notice("absent_objects", "export", 0, f"no file of {', '.join(absent)}"))
    strangers = sorted({file for listed in present.values() for file in listed} - set(files.values()))
    if strangers and not reader.faults:
        message = f"files of no object that is read: {', '.join(strangers[:20])}"
        reader.notices.append(Notice("unread_files", "export", 0, message))
    return files


def _lacking(reader: _Reader, name: str) -> MissingFileError:
    suffixes, inside = reader.layout.suffixes, reader.layout.objects[name].inside
    held = f", or propertiesWithHistory in the JSON of {inside}" if inside else ""
    return MissingFileError.at(
        name + suffixes[0],
        "no such file",
        expected=f"one of {', '.join(name + suffix for suffix in suffixes)}, whatever the case and underscores{held}",
        remedy=f"{neighbours(reader.folder)}; check source.path, or name the file in the mapping under "
        f"objects.{name}.file",
    )


def _rows(reader: _Reader, spec: ObjectSpec, frame: Frame) -> Rows:
    """Read the declared columns of one file. Unreadable, empty and repeated cells are kept as faults."""
    sources = _columns(reader, spec, frame)
    columns: dict[str, ColumnData] = {}
    raw: dict[str, pa.Array] = {}
    findings = []
    for declared, source in sources.items():
        array = frame.columns[source]
        if declared.raw:
            raw[declared.name] = array
            continue
        where = f"{frame.label}, column {source!r}"
        kind = declared.kind
        if kind == "time" and reader.layout.epoch_ms:
            array = iso_times(array)
        data, bad, got = read_cells(Column(declared.name, kind), array, reader.zone, None, {}, where)
        columns[declared.name] = data
        if bad.any():
            findings.append(
                Finding("wrong_type", spec.name, source, np.flatnonzero(bad), got, EXPECTED[kind], REMEDY[kind])
            )
        if declared.filled and (empty := np.flatnonzero(is_missing(data) & ~bad)).size:
            remedy = "export it again with every row of this object"
            findings.append(Finding("missing_value", spec.name, source, empty, _empty, "a value", remedy))
    rows = Rows(spec, frame, columns, raw)
    if key := [source for declared, source in sources.items() if declared.name == spec.key]:
        findings += _repeated(rows, frame.columns[key[0]])
    faults = list(faults_of(findings, lambda _table, row: frame.place(row)))
    if faults:
        reader.fault(SchemaError(faults=faults))
    _notices(reader, frame, set(sources.values()))
    return rows


def _empty(_row: int) -> str:
    return "empty"


def _notices(reader: _Reader, frame: Frame, used: set[str]) -> None:
    """Columns that nothing reads, and what is odd about the file."""
    ignored = [name for name in frame.columns if name not in used]
    if ignored:
        shown = ", ".join(ignored[:20]) + (f" and {len(ignored) - 20} more" if len(ignored) > 20 else "")
        reader.notices.append(Notice("ignored_columns", frame.label, 0, f"columns not used: {shown}"))
    reader.notices += [Notice("odd_file", frame.label, 0, f"{frame.label}: {note}") for note in frame.notes]


def _columns(reader: _Reader, spec: ObjectSpec, frame: Frame) -> dict[Field, str]:
    """Column of the file for every field that it has. Raises SchemaError for columns that lack or come twice."""
    layout = reader.layout
    told = layout.told.get(spec.name)
    named = dict(told.columns) if told is not None else {}
    fields = [*spec.fields, *layout.more(spec, list(frame.columns)), *_attributes(layout.attributes.get(spec.name, {}))]
    by_fold: dict[str, list[str]] = {}
    for column in frame.columns:
        by_fold.setdefault(folded(column), []).append(column)
    faults = [_unknown(spec, frame, name, fields) for name in sorted(set(named) - {f.name for f in fields})]
    sources = {}
    for declared in fields:
        word = named.get(declared.name)
        must = declared.required or isinstance(word, str)
        wanted = (word,) if isinstance(word, str) else tuple(word) if word is not None else declared.candidates
        found = next((hits for name in wanted if (hits := by_fold.get(folded(name)))), None)
        if found is None and must:
            faults.append(_missing_column(spec, frame, wanted, declared))
        elif found is not None and len(found) > 1:
            got = f"{' and '.join(map(repr, found))}, which are one name but for case and underscores"
            remedy = "rename or remove all but one"
            faults.append(Fault("duplicate_header", f"{frame.label}:1", got, "one column", remedy, spec.name))
        elif found is not None:
            sources[declared] = found[0]
    if faults:
        raise SchemaError(faults=faults)
    return sources


def _attributes(listed: Mapping[str, Attribute]) -> Iterator[Field]:
    for name, attribute in listed.items():
        kind = ATTRIBUTE_KINDS[attribute.kind]
        yield Field(ATTRIBUTE + name, kind, required=True, names=(attribute.column or name,))


def _unknown(spec: ObjectSpec, frame: Frame, name: str, fields: Sequence[Field]) -> Fault:
    known = ", ".join(f.name for f in fields)
    got = f"the mapping names {name!r} under objects.{spec.name}.columns"
    return Fault("unknown_column", frame.label, got, f"something that is read of {spec.name}", f"there are: {known}")


def _missing_column(spec: ObjectSpec, frame: Frame, wanted: Sequence[str], declared: Field) -> Fault:
    got = f"no column {' or '.join(map(repr, wanted))}"
    near = get_close_matches(wanted[0], list(frame.columns), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    shown = ", ".join(list(frame.columns)[:20])
    remedy = f"{hint}there are: {shown}; if it has another name, say so under objects.{spec.name}.columns"
    path = f"{spec.name}.{declared.name.removeprefix(ATTRIBUTE)}"
    return Fault("missing_column", f"{frame.label}:1", got, "it in the header", remedy, path)


def _repeated(rows: Rows, ids: pa.Array) -> Iterator[Finding]:
    """Refuse rows that say again what an earlier one said; yield those of a known Id that say something else."""
    array = ids if pa.types.is_dictionary(ids.type) else ids.dictionary_encode()
    codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    known = np.flatnonzero(codes >= 0)
    if len(known) <= 1 or int(np.bincount(codes[known]).max()) <= 1:
        return
    order = known[np.argsort(codes[known], kind="stable")]
    again = codes[order][1:] == codes[order][:-1]
    head = np.maximum.accumulate(np.where(np.append(False, again), 0, np.arange(len(order))))
    later, first = order[1:][again], order[head[1:][again]]
    same = np.ones(len(later), dtype=bool)
    for data in rows.columns.values():
        values: NDArray[Any] = data.codes if isinstance(data, Coded) else data
        one, other = values[later], values[first]
        same &= (one == other) | ((one != one) & (other != other))
    mask = np.zeros(rows.n, dtype=bool)
    mask[later[same]] = True
    rows.refuse(mask, REPEATED)
    yield Finding(
        "duplicate_key",
        rows.name,
        rows.spec.key,
        np.sort(later[~same]),
        lambda row: f"{rows.spec.key} {array[row].as_py()!r} again, with other values",
        f"one row for each {rows.spec.key}",
        "export it again in one go: two exports were joined",
    )
