"""The last step of every source: settle the tables, check them together, and account for every row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from configs.errors import DataError, Fault, SchemaError, UnmappedError
from configs.mapping import Mapping as MappingFile
from configs.vocab import UnknownStage
from features.checks import Finding, check_tables, faults_of
from features.ingest import EXAMPLES, Ingest, IngestReport, Notice, Refusal, TableReport
from features.settle import Dictionary, compact, dictionary_of, known_stages, settle
from features.sources.frames import Stacked, merged
from features.stages import StageMap
from features.tables import CrmTables, IntArray, Table

Mask = NDArray[np.bool_]

NOTICES = {
    "no_history": "deals without any history; they are kept and scored from the shrunken rung",
    "no_open_row": "deals whose history begins with their close; they give no rows to train on",
    "history_before_created": "history rows known before their deal was created",
    "known_before_created": "deals known before they were created",
    "known_before_it_happened": "activities with an outcome known before they happened; they count as planned",
    "negative_amount": "negative amounts",
    "probability_range": "probabilities outside 0-1; divide percentages by 100",
    "unlisted_account_id": "deals of an account that is not in accounts",
    "unlisted_owner_id": "history rows of an owner that is not in reps",
    "unlisted_rep_id": "rows of a rep that is not in reps",
    "unknown_stage": "history rows in a stage that the mapping does not list; kept without a stage",
}
UNATTRIBUTED = "unattributed: its deal is not in deals"
LEFT_OUT = "its deal is left out"


class _Rows:
    """One table on its way: settled rows, where each came from, and the account so far."""

    def __init__(self, stacked: Stacked, dictionary: Dictionary) -> None:
        self.stacked = stacked
        self.table = settle(stacked.table, dictionary)
        self.origin: IntArray = np.arange(stacked.table.n, dtype=np.int64)
        self.refused: list[Refusal] = list(stacked.refused)

    def place(self, row: int) -> str:
        """Where a row of the table stands."""
        return self.stacked.place(int(self.origin[row]))

    def drop(self, rows: Mask) -> None:
        """Take rows out of the table."""
        if rows.any():
            self.table, self.origin = self.table.take(~rows), self.origin[~rows]

    def refuse(self, rows: Mask, reason: str) -> None:
        """Take rows out and count them."""
        where = np.flatnonzero(rows)
        if len(where):
            places = tuple(self.place(int(row)) for row in where[:EXAMPLES])
            self.refused.append(Refusal(reason, len(where), places))
            self.drop(rows)

    def report(self) -> TableReport:
        """The account. Its own check that rows in = kept + refused."""
        files = self.stacked.files
        return TableReport(self.table.name, files, self.stacked.rows_in, self.table.n, merged(self.refused))


def stage_map(mapping: MappingFile) -> StageMap:
    """The stages that a mapping names."""
    return StageMap(mapping.stages.order, mapping.stages.won, mapping.stages.lost)


def assemble(
    stacked: Mapping[str, Stacked],
    mapping: MappingFile,
    *,
    events: TableReport | None = None,
    notices: Sequence[Notice] = (),
) -> Ingest:
    """Settle, check and account. Raises a DataError with every fault of every table at once.

    events: the report of a table that is no canonical one (an event log), put first.
    """
    stages, dictionary = stage_map(mapping), dictionary_of(mapping)
    keep_unknown = mapping.stages.unknown is UnknownStage.KEEP
    tables = {name: _Rows(rows, dictionary) for name, rows in stacked.items()}
    faults = [fault for rows in stacked.values() for fault in rows.faults()]
    gone = _drop_unreadable(tables)
    kept_stages = _forget_unknown_stages(tables, stages) if keep_unknown else []
    _refuse_orphans(tables, gone)
    crm = CrmTables.of({name: rows.table for name, rows in tables.items()})
    findings = check_tables(crm, stages, keep_unknown)
    faults += faults_of(findings, lambda table, row: tables[table].place(row))
    if faults:
        raise refusal_of(faults)
    found = [_notice(finding, tables[finding.table]) for finding in findings]
    reports = [rows.report() for rows in tables.values()]
    report = IngestReport(
        (*((events,) if events else ()), *reports), (*notices, *kept_stages, *found, *_file_notices(stacked.values()))
    )
    return Ingest(
        CrmTables.of({name: compact(rows.table) for name, rows in tables.items()}),
        report,
        stages,
        {name: attribute.kind for name, attribute in mapping.attributes.items()},
    )


def refusal_of(faults: Sequence[Fault]) -> DataError:
    """The error that fits all faults: the words of the mapping, the tables' contract, or both."""
    unmapped = {"unknown_stage", "unknown_event", "unknown_forecast_category", "unknown_kind", "unknown_category"}
    codes = {fault.code for fault in faults}
    kind = UnmappedError if codes <= unmapped else DataError if codes & unmapped else SchemaError
    return kind(faults=faults)


def _drop_unreadable(tables: Mapping[str, _Rows]) -> frozenset[str]:
    """Take out rows that already have a fault, so that one bad cell is one fault; return the deals that went with them.

    The read is refused in the end; the other checks still run on what is left, to report everything at once.
    """
    gone: set[str] = set()
    for name, rows in tables.items():
        bad = np.zeros(rows.table.n, dtype=bool)
        for finding in rows.stacked.findings:
            bad[finding.rows] = True
        if name == "deals":
            ids = rows.table.coded("deal_id")
            gone |= {
                ids.values[code] for code in np.unique(ids.codes[bad]).tolist() if code >= 0
            } | rows.stacked.left_out
        rows.drop(bad)
    if "deals" in tables:
        ids = tables["deals"].table.coded("deal_id")
        gone -= {ids.values[code] for code in np.unique(ids.codes).tolist() if code >= 0}
    return frozenset(gone)


def _forget_unknown_stages(tables: Mapping[str, _Rows], stages: StageMap) -> list[Notice]:
    """Make stages that the mapping does not list missing, and count them."""
    rows = tables["deal_history"]
    stage = rows.table.coded("stage")
    rows.table, strange = known_stages(rows.table, stages)
    if not len(strange):
        return []
    names = ", ".join(repr(stage.values[code]) for code in np.unique(stage.codes[strange]).tolist()[:EXAMPLES])
    places = tuple(rows.place(int(row)) for row in strange[:EXAMPLES])
    message = f"{NOTICES['unknown_stage']}: {names}"
    return [Notice("unknown_stage", "deal_history", len(strange), message, places)]


def _refuse_orphans(tables: Mapping[str, _Rows], gone: frozenset[str]) -> None:
    """Leave out what belongs to deals that are left out, and activities and contacts of deals that nobody knows."""
    if "deals" not in tables:
        return
    deals = tables["deals"].table.coded("deal_id").values
    for name in ("deal_history", "activities", "contacts"):
        if name in tables:
            rows = tables[name]
            rows.refuse(_one_of(rows.table, gone), LEFT_OUT)
            if name != "deal_history":
                ids = rows.table.coded("deal_id")
                rows.refuse((ids.codes_in(deals) < 0) & (ids.codes >= 0), UNATTRIBUTED)


def _one_of(table: Table, deals: frozenset[str]) -> Mask:
    ids = table.coded("deal_id")
    mask: Mask = np.append([value in deals for value in ids.values], False).astype(bool)[ids.codes]
    return mask


def _notice(finding: Finding, rows: _Rows) -> Notice:
    shown = finding.rows[:EXAMPLES].tolist()
    named = finding.column == "deal_id"  # a deal is found by its id sooner than by its line
    places = tuple(finding.got(row) if named else rows.place(row) for row in shown)
    return Notice(finding.code, finding.table, len(finding.rows), NOTICES[finding.code], places)


def _file_notices(stacked: Iterable[Stacked]) -> list[Notice]:
    """Columns that nothing reads, and what was odd about files."""
    listed = list(stacked)
    used = frozenset().union(*(rows.used for rows in listed))
    ignored: dict[str, list[str]] = {}
    for file, column in sorted(frozenset().union(*(rows.ignored for rows in listed)) - used):
        ignored.setdefault(file, []).append(column)
    notices = [
        Notice("ignored_columns", file, 0, f"columns not used: {', '.join(columns)}")
        for file, columns in ignored.items()
    ]
    notes = dict.fromkeys(note for rows in listed for note in rows.notes)
    return notices + [Notice("odd_file", note.split(":")[0], 0, note) for note in notes]
