"""Source `files`: CSV, gzipped CSV or Parquet in a folder, canonical or as a mapping explains them.

A table that the mapping does not name is read from ``<table>.csv``, ``.csv.gz`` or ``.parquet`` with canonical column
names; only ``deals`` and ``deal_history`` must be there, or ``leads`` where the config asks of
leads. Where the mapping names other tables, a file that only happens
to be called like one of ours (it has none of the columns that the table must have) is left alone, with a notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from configs.errors import ConfigError, DataError, Fault, MissingFileError, SchemaError, UnreadableFileError
from configs.mapping import FilesMapping, Part
from configs.mapping import Mapping as MappingFile
from configs.schema import Config, FilesSource
from configs.vocab import TableName, Target
from features.ingest import Ingest, Notice
from features.settle import columns_of
from features.sources.assemble import assemble
from features.sources.base import source
from features.sources.frames import Stacked, read_part, stack
from features.sources.reading import SUFFIXES, Frame, neighbours, read_frame
from features.tables import TABLES, required_tables


@dataclass(frozen=True)
class FilesFolder:
    """A folder of files and the mapping that explains them. target: what is asked of it, so what must be there."""

    folder: Path
    mapping: FilesMapping
    zone: ZoneInfo
    target: Target = Target.IN_PERIOD

    def read(self) -> Ingest:
        """Read every table. Raises a DataError with every fault at once."""
        if not self.folder.is_dir():
            raise MissingFileError.at(
                "source.path",
                f"no folder {self.folder}",
                expected="the folder of the export",
                remedy="check source.path",
            )
        reading = _Reading(self)
        stacked = reading.tables()
        if reading.faults:
            raise reading.error(stacked)
        return assemble(stacked, self.mapping, self.zone, notices=reading.notices)


@dataclass
class _Reading:
    """One read: every file once, and the faults so far."""

    source: FilesFolder
    frames: dict[str, Frame | None] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    kinds: set[type[DataError]] = field(default_factory=set)
    notices: list[Notice] = field(default_factory=list)

    def tables(self) -> dict[str, Stacked]:
        """The rows of each table that has files; a file that can't be read leaves its faults behind."""
        required = required_tables(self.source.target)
        parts = {name: self._parts(name, name in required) for name in TABLES}
        return {name: stack(rows) for name, listed in parts.items() if (rows := self._read(name, listed))}

    def error(self, stacked: Mapping[str, Stacked]) -> DataError:
        """All faults of the files' form, and of single cells in what could be read, in one error."""
        cells = [fault for rows in stacked.values() for fault in rows.faults()]
        kind = self.kinds.pop() if len(self.kinds) == 1 and not cells else DataError
        return kind(faults=[*self.faults, *cells])

    def _parts(self, table: str, required: bool) -> tuple[Part, ...]:
        named = self.source.mapping.tables.get(TableName(table))
        if named is not None:
            return named
        present = [table + suffix for suffix in SUFFIXES if (self.source.folder / (table + suffix)).exists()]
        if len(present) > 1:
            got = f"{' and '.join(present)} side by side"
            self._fault(SchemaError.at(table, got, expected="one file for a table", remedy="remove all but one"))
        if len(present) == 1 and not required and self._only_a_namesake(table, present[0]):
            message = f"{present[0]} is not read: it has none of the columns of our {table}"
            self.notices.append(Notice("namesake", present[0], 0, message))
            return ()
        if not present and required:
            self._fault(_lacking(table, self.source.folder))
        return (Part(file=present[0]),) if len(present) == 1 else ()

    def _only_a_namesake(self, table: str, file: str) -> bool:
        """Whether a file that the mapping does not name has nothing in common with the table but its name."""
        if not self.source.mapping.tables:
            return False
        frame = self._frame(file)
        return frame is not None and not any(c.name in frame.columns for c in TABLES[table].columns if c.required)

    def _read(self, table: str, parts: tuple[Part, ...]) -> list[Stacked]:
        rows = []
        mapping = self.source.mapping
        declared = {"deals": mapping.attributes, "leads": mapping.leads.attributes}.get(table, {})
        attributes = {name: a.column or name for name, a in declared.items()}
        columns = columns_of(table, {name: a.kind for name, a in declared.items()})
        for part in parts:
            frame = self._frame(part.file)
            if frame is None:
                continue
            try:
                rows.append(read_part(table, columns, frame, part, attributes, self.source.zone))
            except SchemaError as error:
                self._fault(error)
        return rows

    def _frame(self, file: str) -> Frame | None:
        """Read a file once; None where it could not be read."""
        if file not in self.frames:
            try:
                self.frames[file] = read_frame(self.source.folder / file, file)
            except (MissingFileError, UnreadableFileError, SchemaError) as error:
                self.frames[file] = None
                self._fault(error)
        return self.frames[file]

    def _fault(self, error: DataError) -> None:
        self.faults += error.faults
        self.kinds.add(type(error))


def _lacking(table: str, folder: Path) -> MissingFileError:
    return MissingFileError.at(
        table + SUFFIXES[0],
        "no such file",
        expected=f"one of {', '.join(table + suffix for suffix in SUFFIXES)}",
        remedy=f"{neighbours(folder)}; check source.path, or name the file in the mapping",
    )


def folder_source(folder: Path, mapping: MappingFile, zone: ZoneInfo, target: Target) -> FilesFolder:
    """A folder as a source. Raises ConfigError where the mapping is of another kind of source."""
    if not isinstance(mapping, FilesMapping):
        raise ConfigError.at("source.mapping", "a mapping of an event log", expected="a mapping of files")
    return FilesFolder(folder, mapping, zone, target)


@source("files")
def open_files(config: Config, mapping: MappingFile, zone: ZoneInfo) -> FilesFolder:
    """Open the folder that the config names."""
    if not isinstance(config.source, FilesSource):
        raise ConfigError.at("source.kind", config.source.kind.value, expected="files")
    return folder_source(config.source.path, mapping, zone, config.target)
