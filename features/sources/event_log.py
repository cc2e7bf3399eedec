"""Source `event_log`: one table of events, such as a process log, read as deals.

A case is a deal, created at its first event. An event named by a stage, at a step of life that moves it, is a row of
history; an event that a rule names is an activity; an event may be both. What the mapping does not name is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, Fault, MissingFileError, SchemaError
from configs.mapping import EventLogMapping
from configs.mapping import Mapping as MappingFile
from configs.schema import Config, EventLogSource
from features.checks import Finding, faults_of
from features.ingest import EXAMPLES, Ingest, Notice, Refusal, TableReport
from features.parsing import EXPECTED, REMEDY
from features.settle import columns_of, translated
from features.sources.assemble import assemble, refusal_of
from features.sources.base import source
from features.sources.frames import Stacked, read_cells, text_cells
from features.sources.reading import SUFFIXES, Frame, neighbours, read_frame
from features.tables import Coded, Column, ColumnData, IntArray, Table

Mask = NDArray[np.bool_]
EVENTS = "events"


@dataclass(frozen=True)
class EventLog:
    """A file of events, or a folder with one, and the mapping that explains them."""

    path: Path
    mapping: EventLogMapping
    zone: ZoneInfo

    def read(self) -> Ingest:
        """Read the log. Raises a DataError with every fault at once."""
        path = _file_of(self.path)
        frame = read_frame(path, path.name)
        _check_columns(frame, self.mapping)
        log = _events(frame, self.mapping, self.zone)
        stacked = {"deals": _deals(log), "deal_history": _history(log, self.mapping), "activities": _activities(log)}
        used = log.moves | (log.rule >= 0)
        ignored = np.flatnonzero(~used)
        refused = [Refusal("blank row", frame.blank)] if frame.blank else []
        if len(ignored):
            places = tuple(frame.place(int(row)) for row in ignored[:EXAMPLES])
            refused.append(Refusal("ignored by the mapping", len(ignored), places))
        events = TableReport(EVENTS, (frame.label,), frame.n + frame.blank, int(np.count_nonzero(used)), tuple(refused))
        return assemble(stacked, self.mapping, self.zone, events=events, notices=log.notices)


def _file_of(path: Path) -> Path:
    """The log itself; in a folder ``events.csv``, ``.csv.gz`` or ``.parquet``, else the only such file there."""
    if not path.is_dir():
        return path
    found = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.name.endswith(SUFFIXES))
    named = [entry for entry in found if entry.name.removesuffix(".gz").rpartition(".")[0] == EVENTS]
    chosen = named or found
    if len(chosen) != 1:
        raise MissingFileError.at(
            str(path),
            f"{len(chosen)} files that could be the log",
            expected=f"one of {', '.join(EVENTS + suffix for suffix in SUFFIXES)}",
            remedy=f"{neighbours(path)}; set source.path to the file itself",
        )
    return chosen[0]


@dataclass(frozen=True)
class _Log:
    """Events as columns of length n. rule: index of the activity rule, or -1. first: the first event of each case."""

    frame: Frame
    case: Coded
    event: Coded
    at: IntArray
    owner: Coded
    amount: ColumnData
    attributes: dict[str, ColumnData]
    moves: Mask
    rule: IntArray
    first: IntArray
    words: dict[str, list[str]]
    notices: tuple[Notice, ...]


def _sources(mapping: EventLogMapping) -> dict[str, str]:
    """Source column of everything that the mapping reads, by what it is."""
    named = {
        "case_id": mapping.case_id,
        "activity": mapping.activity,
        "timestamp": mapping.timestamp,
        "lifecycle": mapping.lifecycle,
        "resource": mapping.resource,
        "amount": mapping.amount,
    }
    attributes = {f"attributes.{name}": a.column or name for name, a in mapping.attributes.items()}
    return {what: column for what, column in (named | attributes).items() if column is not None}


def _check_columns(frame: Frame, mapping: EventLogMapping) -> None:
    faults = []
    for what, column in _sources(mapping).items():
        if column not in frame.columns:
            near = get_close_matches(column, list(frame.columns), n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            remedy = f"{hint}there are: {', '.join(frame.columns)}"
            faults.append(
                Fault("missing_column", f"{frame.label}:1", f"no column {column!r}", "it in the header", remedy, what)
            )
    if faults:
        raise SchemaError(faults=faults)


def _events(frame: Frame, mapping: EventLogMapping, zone: ZoneInfo) -> _Log:
    """Read the cells and find out what each event is. Raises a DataError with every cell and event that is wrong."""
    findings: list[Finding] = []

    def cells(column: Column, name: str) -> ColumnData:
        data, bad, got = read_cells(column, frame.columns[name], zone, None, {}, f"{frame.label}, column {name!r}")
        if bad.any():
            kind = column.kind
            findings.append(Finding("wrong_type", EVENTS, name, np.flatnonzero(bad), got, EXPECTED[kind], REMEDY[kind]))
        return data

    case, event = _text(frame, mapping.case_id), _text(frame, mapping.activity)
    at = cells(Column("timestamp", "time"), mapping.timestamp)
    if isinstance(at, Coded):
        raise TypeError("times are never coded")
    stamps = at.astype(np.int64, copy=False)
    amount = cells(Column("amount", "money"), mapping.amount) if mapping.amount else np.zeros(0)
    columns = {
        column.name: column for column in columns_of("deals", {n: a.kind for n, a in mapping.attributes.items()})
    }
    attributes = {name: cells(columns[name], a.column or name) for name, a in mapping.attributes.items()}
    findings += _empty(frame, mapping, case, event)
    lifecycle = _text(frame, mapping.lifecycle) if mapping.lifecycle else Coded.missing(frame.n)
    moves, rule, unnamed = _meaning(event, lifecycle, mapping)
    faults = [
        *faults_of(findings, lambda _table, row: frame.place(row)),
        *_unnamed(frame, event, lifecycle, unnamed, mapping),
    ]
    if faults:
        raise refusal_of(faults)
    owner = _text(frame, mapping.resource) if mapping.resource else Coded.missing(frame.n)
    people = tuple(value for value in owner.values if value not in mapping.system_resources)
    first = _first(case, stamps)
    return _Log(
        frame,
        case,
        event,
        stamps,
        Coded(owner.codes_in(people), people),
        amount,
        attributes,
        moves,
        rule,
        first,
        {
            "kind": [activity.kind.value for activity in mapping.activities],
            "direction": [activity.direction.value for activity in mapping.activities],
            "outcome": [activity.outcome or "" for activity in mapping.activities],
        },
        tuple(_varying(attributes, case, first)),
    )


def _text(frame: Frame, column: str) -> Coded:
    """A column as text with sorted values."""
    return translated(text_cells(frame.columns[column], f"{frame.label}, column {column!r}"), str)


def _empty(frame: Frame, mapping: EventLogMapping, case: Coded, event: Coded) -> list[Finding]:
    """Cells that every event must have. An unreadable time is named already; an empty one is not."""
    time = frame.columns[mapping.timestamp]
    empty = {
        mapping.case_id: case.codes < 0,
        mapping.activity: event.codes < 0,
        mapping.timestamp: text_cells(time, frame.label).codes < 0
        if time.null_count
        else np.zeros(frame.n, dtype=bool),
    }
    return [
        Finding("missing_value", EVENTS, name, np.flatnonzero(rows), lambda _row: "empty", "a value", "fill it")
        for name, rows in empty.items()
        if rows.any()
    ]


def _meaning(event: Coded, lifecycle: Coded, mapping: EventLogMapping) -> tuple[Mask, IntArray, dict[int, IntArray]]:
    """What each event is: (bool[n] moves the stage, int64[n] activity rule, rows of each kind that nobody names)."""
    width = len(lifecycle.values) + 1
    pairs, which = np.unique(event.codes.astype(np.int64) * width + lifecycle.codes + 1, return_inverse=True)
    moves, rule = np.zeros(len(pairs), dtype=bool), np.full(len(pairs), -1, dtype=np.int64)
    unnamed: dict[int, IntArray] = {}
    for i, pair in enumerate(pairs.tolist()):
        if pair < 0:  # no event name: a fault of its own
            continue
        name, step = event.values[pair // width], (None, *lifecycle.values)[pair % width]
        found = mapping.activity_of(name, step)
        moves[i] = mapping.moves_stage(name, step)
        rule[i] = -1 if found is None else mapping.activities.index(found)
        if not mapping.covers(name, step):
            unnamed[i] = np.flatnonzero(which == i)
    return moves[which], rule[which], unnamed


def _unnamed(
    frame: Frame, event: Coded, lifecycle: Coded, unnamed: dict[int, IntArray], mapping: EventLogMapping
) -> list[Fault]:
    """A fault for each kind of event that the mapping does not name, at its first row."""
    named = [*mapping.stages.order, *mapping.stages.won, *mapping.stages.lost]
    faults = []
    for rows in unnamed.values():
        name, step = event.decode(int(rows[0])) or "", lifecycle.decode(int(rows[0]))
        near = get_close_matches(name, [*named, *(rule.event for rule in mapping.activities)], n=1)
        hint = f"did you mean {near[0]!r}? " if near and near[0] != name else ""
        got = f"event {name!r}{f' at {step!r}' if step else ''} on {len(rows)} row{'s'[: len(rows) > 1]}"
        remedy = f"{hint}name it in the mapping under stages, activities or ignore"
        faults.append(
            Fault(
                "unknown_event",
                frame.place(int(rows[0])),
                got,
                "an event that the mapping names",
                remedy,
                f"{EVENTS}.event",
            )
        )
    return faults


def _first(case: Coded, at: IntArray) -> IntArray:
    """Row of the first event of each case, by time and then by place in the file; cases by their code."""
    order = np.lexsort((np.arange(len(at)), at, case.codes))
    codes = case.codes[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = codes[1:] != codes[:-1]
    return order[starts].astype(np.int64)


def _varying(attributes: dict[str, ColumnData], case: Coded, first: IntArray) -> list[Notice]:
    """Attributes that are declared constant but are not, within some case."""
    notices = []
    for name, data in attributes.items():
        raw = data.codes if isinstance(data, Coded) else data
        then = raw[first][case.codes]
        differs = (raw != then) & ~((raw != raw) & (then != then))  # NaN equals NaN here
        cases = np.unique(case.codes[differs])
        if len(cases):
            message = f"cases in which {name!r}, declared constant, changes; the first event's value is used"
            ids = tuple(repr(case.values[code]) for code in cases[:EXAMPLES].tolist())
            notices.append(Notice("attribute_changes", "deals", len(cases), message, ids))
    return notices


def _place(frame: Frame, rows: IntArray) -> Callable[[int], str]:
    return lambda row: frame.place(int(rows[row]))


def _stacked(log: _Log, name: str, columns: dict[str, ColumnData], rows: IntArray) -> Stacked:
    return Stacked(Table.of(name, columns, len(rows)), _place(log.frame, rows), (log.frame.label,), len(rows))


def _at(data: ColumnData, rows: IntArray) -> ColumnData:
    return data.take(rows) if isinstance(data, Coded) else data[rows]


def _deals(log: _Log) -> Stacked:
    """A deal for each case, with the attributes of its first event."""
    columns: dict[str, ColumnData] = {"deal_id": log.case.take(log.first), "created_at": log.at[log.first]}
    columns |= {name: _at(data, log.first) for name, data in log.attributes.items()}
    return _stacked(log, "deals", columns, log.first)


def _history(log: _Log, mapping: EventLogMapping) -> Stacked:
    """A row for each event that moves the stage. The owner is its resource, else the one of the row before."""
    rows = np.flatnonzero(log.moves).astype(np.int64)
    columns: dict[str, ColumnData] = {
        "deal_id": log.case.take(rows),
        "known_at": log.at[rows],
        "seq": rows,
        "stage": log.event.take(rows),
        "owner_id": _carried(log, rows),
    }
    if mapping.amount is not None:
        columns["amount"] = _at(log.amount, rows)
    return _stacked(log, "deal_history", columns, rows)


def _carried(log: _Log, rows: IntArray) -> Coded:
    """The owner of each history row, carried forward within its case."""
    order = np.lexsort((rows, log.at[rows], log.case.codes[rows]))
    case, owner = log.case.codes[rows][order], log.owner.codes[rows][order]
    known = np.maximum.accumulate(np.where(owner >= 0, np.arange(len(order)), -1)) if len(order) else order
    same = (known >= 0) & (case[np.maximum(known, 0)] == case)
    codes = np.full(len(rows), -1, dtype=np.int32)
    codes[order] = np.where(same, owner[np.maximum(known, 0)], -1)
    return Coded(codes, log.owner.values)


def _activities(log: _Log) -> Stacked:
    """A row for each event that an activity rule names."""
    rows = np.flatnonzero(log.rule >= 0).astype(np.int64)
    rule = log.rule[rows]
    columns: dict[str, ColumnData] = {"deal_id": log.case.take(rows), "occurred_at": log.at[rows]}
    for name, words in log.words.items():
        values = tuple(sorted(set(words) - {""}))
        code = np.array([values.index(word) if word else -1 for word in words], dtype=np.int32)
        columns[name] = Coded(code[rule], values)
    return _stacked(log, "activities", columns, rows)


@source("event_log")
def open_event_log(config: Config, mapping: MappingFile, zone: ZoneInfo) -> EventLog:
    """Open the log that the config names. Raises ConfigError where config or mapping are of another kind."""
    if not isinstance(config.source, EventLogSource) or not isinstance(mapping, EventLogMapping):
        raise ConfigError.at(
            "source.kind", config.source.kind.value, expected="event_log, with a mapping of an event log"
        )
    return EventLog(config.source.path, mapping, zone)
