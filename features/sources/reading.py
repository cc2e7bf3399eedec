"""From a CSV or Parquet file to a ``Frame``: columns of cells, each of which knows its place in the file.

CSV is RFC 4180 in UTF-8, with or without a byte order mark, plain or gzipped. What a lenient reader would repair in
silence is refused: rows with too few or too many fields, a quote that never ends, NUL bytes, another encoding, repeated
headers.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from configs.errors import DataError, Fault, MissingFileError, SchemaError, UnreadableFileError
from features.tables import IntArray

SUFFIXES = (".csv", ".csv.gz", ".parquet")
MAX_FIELD_BYTES = 1_000_000
_BLOCK = 1 << 28  # bytes read at a time; no cell may be larger
_SAMPLE = 1 << 16  # rows that tell whether a column's texts repeat
_BOM = b"\xef\xbb\xbf"
_END = "\x1aend of file\x1a"  # a row of our own after the last: a quote that never ends swallows it
UNENDED = "no line break at the end: the last cell may have been cut off"
_SHOWN = 5  # bad rows listed of one file


@dataclass(frozen=True)
class Frame:
    """A file's rows. columns: source name -> Arrow array of length n.

    CSV cells are text, null when empty; coded (a dictionary) unless the file is long and few texts of a column repeat.

    blank: rows without any value, already left out. place(i): where row i stands, as ``file:line`` or ``file:row n``.
    """

    label: str
    columns: Mapping[str, pa.Array]
    n: int
    place: Callable[[int], str]
    blank: int = 0
    notes: tuple[str, ...] = ()


def read_frame(path: Path, label: str) -> Frame:
    """Read one file; ``label`` is how places name it. Raises a DataError with every fault of the file's form."""
    if path.is_dir():
        raise UnreadableFileError.at(
            label,
            "a folder, not a file",
            expected="a file of that name",
            remedy=f"put the file in its place, or name the files inside it in the mapping ({label}/...)",
            code="folder_not_file",
        )
    if not path.is_file():
        raise MissingFileError.at(
            label, "no such file", remedy=f"{neighbours(path.parent)}; check source.path and the mapping"
        )
    if path.name.endswith(".parquet"):
        return _read_parquet(path, label)
    if path.name.endswith((".csv", ".csv.gz")):
        return _read_csv(bytes_of(path, label), label)
    raise UnreadableFileError.at(label, f"{path.suffix or 'no'} suffix", expected=f"one of {', '.join(SUFFIXES)}")


def neighbours(folder: Path) -> str:
    """What is in a folder instead, for a remedy."""
    if not folder.is_dir():
        return f"there is no folder {folder}"
    names = sorted(entry.name for entry in folder.iterdir())
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"the folder {folder} holds {shown or 'nothing'}"


def bytes_of(path: Path, label: str, most: int | None = None, expected: str = "a header line") -> bytes:
    """The file's content, unpacked, without a byte order mark, checked to be UTF-8 text of at most so many bytes."""
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            data = file.read() if most is None else file.read(most + 1)
    except (EOFError, zlib.error, OSError) as error:
        raise UnreadableFileError.at(
            label,
            f"damaged, cut off or not readable ({error})",
            expected="a whole file",
            remedy="export or copy it again",
        ) from error
    if not data.strip():
        raise UnreadableFileError.at(
            label, "the file is empty", expected=expected, remedy="export it again", code="empty_file"
        )
    if most is not None and len(data) > most:
        raise UnreadableFileError.at(
            label, f"more than {most:,} bytes", expected="less", remedy="export it as CSV or Parquet", code="huge_file"
        )
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _encoding(label, "UTF-16 text")
    nul = data.find(b"\0")
    if nul >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise UnreadableFileError.at(
            f"{label}:{line}", "a NUL byte", expected="text", remedy="export it again as UTF-8 CSV", code="nul_byte"
        )
    _check_utf8(data, label)
    return data.removeprefix(_BOM)


def _check_utf8(data: bytes, label: str) -> None:
    """Decode stretches of whole lines, so that a large file never stands in memory once more as text."""
    if data.isascii():
        return
    start = 0
    while start < len(data):
        stop = data.find(b"\n", start + _BLOCK) + 1 or len(data)
        try:
            data[start:stop].decode("utf-8")
        except UnicodeDecodeError as error:
            at = start + error.start
            line = data.count(b"\n", 0, at) + 1
            raise _encoding(f"{label}:{line}", f"byte 0x{data[at]:02x}, which is not UTF-8") from error
        start = stop


def _encoding(where: str, got: str) -> UnreadableFileError:
    return UnreadableFileError.at(
        where,
        got,
        expected="UTF-8, with or without a byte order mark",
        remedy="save it as UTF-8",
        code="wrong_encoding",
    )


@dataclass(frozen=True)
class _Lines:
    """Where the rows of a CSV text stand. Scanned only when a place is asked for."""

    label: str
    data: bytes
    dropped: tuple[int, ...]  # numbers of the records left out; the header is record 1
    records: int = 0  # how many there are, header included; 0 where that is not known

    @cached_property
    def starts(self) -> Sequence[int]:
        """First physical line of each record, header included."""
        lines = self.data.count(b"\n") + (not self.data.endswith(b"\n"))
        if lines == self.records and self.data.count(b"\r") == self.data.count(b"\r\n"):
            return range(1, lines + 1)  # as many as there are lines: one each
        return [start for start, _ in _records(self.data)]

    @cached_property
    def kept(self) -> IntArray:
        """Record number of each row kept."""
        return np.setdiff1d(np.arange(2, len(self.starts) + 1), self.dropped)

    def place(self, row: int) -> str:
        """The place of a kept row (0-based)."""
        return self.of_record(int(self.kept[row]))

    def of_record(self, number: int) -> str:
        """The place of a record; the header is record 1."""
        return f"{self.label}:{self.starts[number - 1]}"


def _records(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield (first physical line, fields) of every record, blank lines included."""
    before = csv.field_size_limit(max(len(data), MAX_FIELD_BYTES))
    try:
        # The content was checked to be UTF-8; only its first part, cut anywhere, may end within a character.
        reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="ignore", newline=""))
        start = 1
        for fields in reader:
            yield start, fields
            start = reader.line_num + 1
    finally:
        csv.field_size_limit(before)


def _read_csv(data: bytes, label: str) -> Frame:
    raw_names = next(_records(data[:MAX_FIELD_BYTES]))[1]
    names = _header(raw_names, label)
    bad: list[pa_csv.InvalidRow] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    table = _parse(data, raw_names, skip, label)
    if not table.num_rows or table.column(0)[-1].as_py() != _END:
        raise _open_quote(data, label)
    wrong = [row for row in bad if row.text.strip()]
    if wrong:
        raise _wrong_width(_Lines(label, data, ()), wrong)
    table = table.slice(0, table.num_rows - 1)
    arrays = {name: coded_cells(table.column(i)) for i, name in enumerate(names)}
    records = 1 + table.num_rows + len(bad)
    arrays, blank = _without_blank_rows(arrays, table.num_rows, [row.number for row in bad])
    lines = _Lines(label, data, tuple(blank), records)
    check_field_sizes(arrays, lines.place)
    notes = () if data.endswith((b"\n", b"\r")) else (UNENDED,)
    return Frame(label, arrays, len(next(iter(arrays.values()))), lines.place, len(blank), notes)


def coded_cells(column: pa.ChunkedArray) -> pa.Array:
    """One array of a column's cells: coded, unless it is long and its texts hardly repeat, so that codes only cost."""
    if len(column) > _SAMPLE and column.nbytes < 1 << 31:
        sample = column.slice(0, _SAMPLE)
        if pc.count_distinct(sample).as_py() > _SAMPLE // 2:
            return column.combine_chunks()
    return column.dictionary_encode().combine_chunks()


class _Ended(io.RawIOBase):
    """A text followed by a row of our own, without a copy of the text."""

    def __init__(self, *parts: bytes) -> None:
        self._left = [memoryview(part) for part in parts if part]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            return 0
        part = self._left[0]
        size = min(len(buffer), len(part))
        buffer[:size] = part[:size]
        self._left[:1] = [part[size:]] if size < len(part) else []
        return size


def _without_blank_rows(arrays: dict[str, pa.Array], n: int, blank: list[int]) -> tuple[dict[str, pa.Array], list[int]]:
    """Leave out rows without any value: (columns, record numbers of all blank rows). blank: those skipped before."""
    empty = np.ones(n, dtype=bool)
    for array in arrays.values():
        empty &= array.is_null().to_numpy(zero_copy_only=False) if array.null_count else False
    if not empty.any():
        return arrays, blank
    numbers = np.setdiff1d(np.arange(2, n + len(blank) + 2), blank)  # of the n rows, in order; the header is record 1
    kept = pa.array(~empty)
    return {name: array.filter(kept) for name, array in arrays.items()}, [*blank, *numbers[empty].tolist()]


def _parse(data: bytes, names: list[str], skip: Callable[[pa_csv.InvalidRow], str], label: str) -> pa.Table:
    """Read the text as columns of text, with a row of our own at its end."""
    end = b"" if data.endswith((b"\n", b"\r")) else b"\n"
    end += _END.encode() + b"," * (len(names) - 1) + b"\n"
    try:
        return pa_csv.read_csv(
            io.BufferedReader(_Ended(data, end)),
            # Threads would hide the numbers of bad rows.
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=min(len(data) + len(end) + 1, _BLOCK)),
            parse_options=pa_csv.ParseOptions(
                newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if "straddl" in str(error):  # one row is longer than a block
            raise _open_quote(data, label) from error
        raise UnreadableFileError.at(
            label, f"not CSV ({error})", expected="comma-separated text", remedy="export it again"
        ) from error


def _header(raw: list[str], label: str) -> list[str]:
    """Column names, trimmed; an unnamed column gets its position. Refuses a blank or repeated header."""
    where = f"{label}:1"
    if not any(name.strip() for name in raw):
        raise SchemaError.at(where, "a blank line", expected="a header line", remedy="put the column names on line 1")
    marks = [mark for mark in ";\t|" if len(raw) == 1 and mark in raw[0]]
    if marks:
        raise UnreadableFileError.at(
            where,
            f"a header without commas, with {marks[0]!r}",
            expected="cells separated by commas",
            remedy="export it with commas",
            code="wrong_separator",
        )
    names = [name.strip() or f"(column {i})" for i, name in enumerate(raw, 1)]
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise SchemaError.at(
            where,
            f"{', '.join(map(repr, repeated))} more than once in the header",
            expected="each column name once",
            remedy="rename or remove the repeated columns",
            code="duplicate_header",
        )
    return names


def _wrong_width(lines: _Lines, rows: list[pa_csv.InvalidRow]) -> DataError:
    """Rows with another number of fields than the header."""
    faults = [
        Fault(
            "truncated_row" if row.actual_columns < row.expected_columns else "too_many_fields",
            lines.of_record(row.number),
            f"{row.actual_columns} fields",
            f"{row.expected_columns}, as in the header",
            "export the file again: it may have been cut off"
            if row.actual_columns < row.expected_columns
            else "put quotes around text that holds a comma",
        )
        for row in rows[:_SHOWN]
    ]
    if len(rows) > _SHOWN:
        more = f"{len(rows) - _SHOWN} more rows with a wrong number of fields, the first of them here"
        faults.append(Fault("wrong_field_count", lines.of_record(rows[_SHOWN].number), more))
    return UnreadableFileError(faults=faults)


def _open_quote(data: bytes, label: str) -> UnreadableFileError:
    """The text ends inside a quote: the last record began where the quote was opened."""
    start = 1
    for start, _ in _records(data):  # noqa: B007  the last one is wanted
        pass
    return UnreadableFileError.at(
        f"{label}:{start}",
        "a quote that is opened here and never closed",
        expected="every quote closed",
        remedy="export the file again: it may have been cut off; write a quote inside quoted text twice",
        code="open_quote",
    )


def check_field_sizes(arrays: Mapping[str, pa.Array], place: Callable[[int], str]) -> None:
    """Refuse cells that no field of a CRM can hold. Raises UnreadableFileError."""
    faults = []
    for name, array in arrays.items():
        coded = pa.types.is_dictionary(array.type)
        sizes = pc.binary_length(array.dictionary if coded else array)
        largest = pc.max(sizes).as_py() if len(sizes) else None
        if largest is not None and largest > MAX_FIELD_BYTES:
            row = pc.index(sizes, pa.scalar(largest, sizes.type)).as_py()
            if coded:
                row = pc.index(array.indices, pa.scalar(row, pa.int32())).as_py()
            size = f"{largest:,} bytes in one cell"
            faults.append(Fault("huge_cell", place(row), size, f"at most {MAX_FIELD_BYTES:,}", path=name))
    if faults:
        raise UnreadableFileError(faults=faults)


def _read_parquet(path: Path, label: str) -> Frame:
    try:
        with pq.ParquetFile(path) as file:  # read_table would import the whole of pyarrow.dataset
            table = file.read()
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableFileError.at(
            label,
            f"not a whole Parquet file ({str(error)[:120]})",
            expected="Parquet",
            remedy="export or copy it again",
        ) from error
    names = _header(list(table.column_names), label) if table.num_columns else []
    if not names:
        raise SchemaError.at(label, "no columns", expected="a table", remedy="export it again", code="empty_file")
    arrays = {name: table.column(i).combine_chunks() for i, name in enumerate(names)}
    return Frame(label, arrays, table.num_rows, lambda row: f"{label}:row {row + 1}")
