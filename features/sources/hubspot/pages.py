"""From JSON of the CRM API to the rows of an object and of the history inside it.

A file holds JSON values one after the other: pages as the API returns them (``{"results": [...]}``), records, or lists
of either; so one page, pages put together with ``cat``, and JSON Lines read the same. Cells are texts, as in CSV.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs.errors import UnreadableFileError
from features.sources.hubspot.objects import HISTORY, KEY, OBJECTS
from features.sources.reading import SUFFIXES, Frame, bytes_of, check_field_sizes, coded_cells, read_frame

JSON_SUFFIXES = tuple(name + end for name in (".json", ".jsonl", ".ndjson") for end in ("", ".gz"))
ALL_SUFFIXES = (*SUFFIXES, *JSON_SUFFIXES)
MAX_BYTES = 1 << 30
MAX_PROPERTIES = 5_000  # a portal has some 1,300 at most
_BLANK = " \t\r\n"
_TOP = ("createdAt", "updatedAt", "archived", "archivedAt")
_OF_HISTORY = ("value", "timestamp", "sourceType")


def read_object(path: Path, label: str, name: str) -> dict[str, Frame]:
    """Read one object's file, whatever its form. Raises a DataError with what is wrong with it."""
    if not path.name.casefold().endswith(JSON_SUFFIXES) or not path.is_file():
        return {name: read_frame(path, label)}
    text = bytes_of(path, label, MAX_BYTES, "JSON").decode("utf-8")
    records = _Records(label, name)
    for value in _values(text, label):
        records.take(value)
    return records.frames()


def _values(text: str, label: str) -> Iterator[Any]:
    """The JSON values of a text. Numbers stay the texts that they are written as."""
    decoder = json.JSONDecoder(
        object_pairs_hook=_once, parse_int=str, parse_float=str, parse_constant=_no_constant, strict=True
    )
    at = 0
    while True:
        while at < len(text) and text[at] in _BLANK:
            at += 1
        if at == len(text):
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, getattr(error, "pos", at)) + 1
            got = "values inside one another too deeply" if isinstance(error, RecursionError) else _first_of(error)
            raise _wrong(f"{label}:{line}", got) from error
        yield value


def _first_of(error: ValueError) -> str:
    return f"no JSON ({getattr(error, 'msg', None) or str(error)[:120]})"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name twice in one object")
    return made


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} for a number")


def _wrong(where: str, got: str) -> UnreadableFileError:
    expected = 'pages of the API ({"results": [...]}), or records with id and properties'
    return UnreadableFileError.at(where, got, expected=expected, remedy="save what the API returns as it is")


def _sound(text: str) -> bool:
    """Whether a text can be written as UTF-8; a JSON escape may name half a character."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


@dataclass
class _Records:
    """The records of one file so far, as columns. A column that a record lacks is shorter until it is padded."""

    label: str
    name: str
    n: int = 0
    columns: dict[str, list[str | None]] = field(default_factory=dict)
    told: dict[str, list[str | None]] | None = None  # history, where any record has one
    owner: list[int] = field(default_factory=list)
    more: int = 0  # records with more contacts than the page lists

    def take(self, value: Any) -> None:
        """Add a page, a record, or a list of them. Raises UnreadableFileError for anything else."""
        for one in value if isinstance(value, list) else [value]:
            results = one.get("results") if isinstance(one, dict) else None
            for record in results if isinstance(results, list) else [one]:
                if not isinstance(record, dict) or not isinstance(record.get("properties"), dict):
                    raise _wrong(self._place(self.n), "something that is neither a page nor a record")
                self._record(record)

    def _place(self, row: int) -> str:
        return f"{self.label}:record {row + 1}"

    def _record(self, value: dict[str, Any]) -> None:
        cells = {name: value[name] for name in _TOP if name in value} | value["properties"]
        if cells.get(KEY) is None:
            cells[KEY] = value.get("id")
        for name, cell in cells.items():
            self._put(name, cell)
        if "associations" in value:
            self._put("contact_ids", self._contacts(value["associations"]))
        if "propertiesWithHistory" in value:
            self._history(value["propertiesWithHistory"], value.get("id") or cells[KEY])
        self.n += 1

    def _put(self, name: str, cell: Any) -> None:
        if name not in self.columns:
            self.columns[name] = []
            self._text("the name of a property", name)
            if len(self.columns) > MAX_PROPERTIES:
                raise _wrong(self._place(self.n), f"more than {MAX_PROPERTIES:,} properties")
        column = self.columns[name]
        column.extend([None] * (self.n - len(column)))
        column.append(self._text(name, cell))

    def _text(self, name: str, cell: Any) -> str | None:
        if isinstance(cell, bool):
            return "true" if cell else "false"
        if cell is not None and not isinstance(cell, str):
            raise _wrong(self._place(self.n), f"{name[:80]!r} holds no plain value")
        if cell and ("\0" in cell or not (cell.isascii() or _sound(cell))):
            raise _wrong(self._place(self.n), f"{name[:80]!r} holds NUL or half a character")
        return cell or None

    def _contacts(self, associations: Any) -> str | None:
        listed = associations.get("contacts") if isinstance(associations, dict) else None
        if listed is None:
            return None
        results = listed.get("results") if isinstance(listed, dict) else None
        if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
            raise _wrong(self._place(self.n), "associations.contacts without results")
        self.more += "paging" in listed
        ids = (self._text("id", one.get("id", one.get("toObjectId"))) for one in results)
        return ";".join(dict.fromkeys(text for text in ids if text)) or None

    def _history(self, told: Any, owner: Any) -> None:
        if not isinstance(told, dict):
            raise _wrong(self._place(self.n), "propertiesWithHistory that is no object")
        if self.told is None:
            self.told = {name: [] for name in ("object_id", "property", *_OF_HISTORY)}
        for name, entries in told.items():
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise _wrong(self._place(self.n), f"a history of {name[:80]!r} that is no list of values")
            for entry in entries:
                self.told["object_id"].append(self._text("id", owner))
                self.told["property"].append(self._text("the name of a property", name))
                for column in _OF_HISTORY:
                    self.told[column].append(self._text(column, entry.get(column)))
                self.owner.append(self.n)

    def frames(self) -> dict[str, Frame]:
        """The object, and its history where the records have one and it is read."""
        for column in self.columns.values():
            column.extend([None] * (self.n - len(column)))
        notes = (f"{self.more} records have more contacts than their page lists",) if self.more else ()
        found = {self.name: self._frame(self.columns, self.n, range(self.n), notes)}
        if self.told is not None and self.name + HISTORY in OBJECTS:
            found[self.name + HISTORY] = self._frame(self.told, len(self.owner), self.owner, ())
        return found

    def _frame(
        self, columns: dict[str, list[str | None]], n: int, owner: range | list[int], notes: tuple[str, ...]
    ) -> Frame:
        texts = ((name, pa.array(cells, pa.string())) for name, cells in columns.items())
        arrays = {name: coded_cells(pa.chunked_array([cells])) for name, cells in texts}

        def place(row: int) -> str:
            return self._place(owner[row])

        check_field_sizes(arrays, place)
        return Frame(self.label, arrays, n, place, notes=notes)
