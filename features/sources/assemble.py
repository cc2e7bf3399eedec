"""The last step of every source: settle the tables, check them together, and account for every row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from configs.errors import DataError, Fault, SchemaError, UnmappedError, UnreadableFileError
from configs.mapping import Mapping as MappingFile
from configs.vocab import UnknownStage
from features.checks import Finding, check_tables, closing_rows, faults_of
from features.ingest import EXAMPLES, Ingest, IngestReport, Notice, Refusal, TableReport
from features.periods import DAY, day_number
from features.settle import (
    ID_OF,
    LAST_DAY,
    Dictionary,
    compact,
    created_same_day,
    deal_rows,
    dictionary_of,
    known_stages,
    known_with_lead,
    quotas_known,
    settle,
)
from features.sources.frames import Stacked, merged
from features.sources.reading import UNENDED
from features.stages import StageMap
from features.tables import NAT, CrmTables, IntArray, Table

Mask = NDArray[np.bool_]

NOTICES = {
    "no_history": "deals without any history; they are kept and scored from the shrunken rung",
    "no_open_row": "deals whose history begins with their close; they give no rows to train on",
    "history_before_created": "history rows known before their deal was created",
    "created_same_day": "created on a bare date that holds history too; created at the first row of that day",
    "history_before_lead": "rows known before their lead was; they count from then on",
    "unlisted_deal": "conversions into a deal that is not in deals; what became of it stays unknown",
    "known_before_created": "known before they were created",
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
NO_LEAD = "unattributed: its lead is not in leads"
LEAD_LEFT_OUT = "its lead is left out"
BELONG = {
    "deals": (("deal_history", "activities", "contacts"), LEFT_OUT, UNATTRIBUTED),
    "leads": (("lead_history", "lead_activities"), LEAD_LEFT_OUT, NO_LEAD),
}
"""What belongs to which, and why rows of it are left out: what they belong to is left out, or nobody knows it."""
FAR_FUTURE = "far in the future"
FAR = 366 * DAY  # a fact this long after the last change of any deal is a slip of the pen
KNOWN_BY = {
    "deals": "known_at",
    "activities": "known_at",
    "contacts": "known_at",
    "calls": "submitted_at",
}
KNOWN_OF_LEADS = ("leads", "lead_history", "lead_activities")
MAX_SHARE, FEW = 0.2, 20  # so large a share of deals without history, unless they are fewer: the export lacks some


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


def assemble(
    stacked: Mapping[str, Stacked],
    mapping: MappingFile,
    zone: ZoneInfo,
    *,
    events: TableReport | tuple[TableReport, ...] = (),
    notices: Sequence[Notice] = (),
) -> Ingest:
    """Settle, check and account. Raises a DataError with every fault of every table at once.

    events: the reports of tables that are no canonical ones (an event log, the objects of a CRM), put first.
    """
    stages, dictionary = StageMap.of(mapping), dictionary_of(mapping)
    keep_unknown = mapping.stages.unknown is UnknownStage.KEEP
    # A source of leads alone has none of the tables of deals.
    given = {name: Stacked(Table.empty(name), str, (), 0) for name in ("deals", "deal_history")} | dict(stacked)
    tables = {name: _Rows(rows, dictionary) for name, rows in given.items()}
    faults = [fault for rows in stacked.values() for fault in rows.faults()]
    gone = _drop_unreadable(tables)
    faults += _incomplete(tables["deals"].table, tables["deal_history"])
    own = _forget_unknown_stages(tables, stages) if keep_unknown else []
    strays, far = _refuse_far_future(tables, stages)
    far += _refuse_far_leads(tables, strays)
    faults += _strange_leads(tables, gone["leads"] | strays["leads"])
    _refuse_orphans(tables, {name: gone[name] | strays[name] for name in BELONG})
    own += [*far, *_settle_creation(tables, zone)]
    if "quotas" in tables:
        tables["quotas"].table = quotas_known(tables["quotas"].table, zone)
    crm = CrmTables.of({name: rows.table for name, rows in tables.items()})
    findings = check_tables(crm, stages, keep_unknown)
    faults += faults_of(findings, lambda table, row: tables[table].place(row))
    if faults:
        raise refusal_of(faults)
    found = [_notice(finding, tables[finding.table]) for finding in findings]
    reports = [tables[name].report() for name in stacked]
    first = (events,) if isinstance(events, TableReport) else events
    report = IngestReport((*first, *reports), (*notices, *own, *found, *_file_notices(stacked.values())))
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
    if codes == {"truncated_file"}:
        return UnreadableFileError(faults=faults)
    kind = UnmappedError if codes <= unmapped else DataError if codes & unmapped else SchemaError
    return kind(faults=faults)


def _drop_unreadable(tables: Mapping[str, _Rows]) -> dict[str, frozenset[str]]:
    """Take out rows that already have a fault, so that one bad cell is one fault.

    Returns the deals and the leads that went with them, by table. The read is refused in the end; the other checks
    still run on what is left, to report everything at once.
    """
    gone: dict[str, frozenset[str]] = dict.fromkeys(BELONG, frozenset())
    for name, rows in tables.items():
        bad = np.zeros(rows.table.n, dtype=bool)
        for finding in rows.stacked.findings:
            bad[finding.rows] = True
        lost = _ids(rows.table, bad) | rows.stacked.left_out if name in BELONG else frozenset()
        rows.drop(bad)
        if name in BELONG:
            gone[name] = lost - _ids(rows.table, np.ones(rows.table.n, dtype=bool))
    return gone


def _ids(table: Table, rows: Mask) -> frozenset[str]:
    """The deals or leads on some rows of their own table."""
    ids = table.coded(ID_OF[table.name])
    return frozenset(ids.values[code] for code in np.unique(ids.codes[rows]).tolist() if code >= 0)


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


def _incomplete(deals: Table, history: _Rows) -> list[Fault]:
    """Why deals without history tell of a history that is not whole; none where few of them are."""
    if history.stacked.findings:
        return []  # rows that can't be read are a fault already, and their deals may have no others
    ids = deals.coded("deal_id")
    told = history.table.coded("deal_id")
    present = [told.values[code] for code in np.unique(told.codes).tolist() if code >= 0]
    lacking = np.flatnonzero((ids.codes_in(present) < 0) & (ids.codes >= 0))
    if not len(lacking):
        return []
    examples = ", ".join(repr(ids.decode(row)) for row in lacking[:EXAMPLES].tolist())
    share = len(lacking) / deals.n
    got = f"{len(lacking):,} of {deals.n:,} deals ({share:.1%}) have no history: {examples}"
    files = history.stacked.files
    if cut := [file for file in files if f"{file}: {UNENDED}" in history.stacked.notes]:
        got = f"no line break at the end of the file, and {got}"
        remedy = "export it again: it was cut off; if it is whole, put a line break at its end"
        return [Fault("truncated_file", cut[0], got, "a whole file", remedy, "deal_history.deal_id")]
    if len(lacking) < FEW or share <= MAX_SHARE:
        return []
    remedy = "check that deal_history is complete, or leave those deals out of deals"
    expected = f"a row in deal_history for at least {1 - MAX_SHARE:.0%} of deals"
    return [Fault("incomplete_history", ", ".join(files), got, expected, remedy, "deal_history.deal_id")]


def _refuse_far_future(tables: Mapping[str, _Rows], stages: StageMap) -> tuple[dict[str, frozenset[str]], list[Notice]]:
    """Leave out rows known long after the last row of history; return the deals among them by table, and notices.

    One slip in a year would else move the end of the record. Times that no calendar holds stay, to be refused, and so
    do deals that are closed, whose creation after their close is a fault.
    """
    history = tables["deal_history"].table
    known_at = history.ints("known_at")
    strays: dict[str, frozenset[str]] = dict.fromkeys(BELONG, frozenset())
    if not (known_at != NAT).any():
        return strays, []
    last = int(known_at.max())
    notices = []
    for name, column in KNOWN_BY.items():
        if name not in tables:
            continue
        rows = tables[name]
        far = _far(rows.table.ints(column), last)
        if name == "deals":
            closed = deal_rows(rows.table, history.coded("deal_id"))[closing_rows(history, stages)]
            far[closed[closed >= 0]] = False
            strays["deals"] = _ids(rows.table, far)
        notices += _refused_far(rows, far, "the last row of deal_history")
    return strays, notices


def _refuse_far_leads(tables: Mapping[str, _Rows], strays: dict[str, frozenset[str]]) -> list[Notice]:
    """Leave out rows of leads known long after all else that is known of any lead or deal; put the leads in `strays`.

    A lead's history is thin, so that what it says last may be old: each table is held against all the others.
    """
    names = [name for name in (*KNOWN_OF_LEADS, "deal_history") if name in tables]
    last = {name: int(tables[name].table.ints("known_at").max(initial=NAT)) for name in names}
    notices = []
    for name in names[:-1]:
        rows = tables[name]
        others = max(last[other] for other in names if other != name)
        if others != NAT:
            far = _far(rows.table.ints("known_at"), others)
            if name == "leads":
                strays["leads"] = _ids(rows.table, far)
            notices += _refused_far(rows, far, "all else that is known of leads")
    return notices


def _far(when: IntArray, last: int) -> Mask:
    mask: Mask = (when > last + FAR) & (when < day_number(LAST_DAY) * DAY)
    return mask


def _refused_far(rows: _Rows, far: Mask, last: str) -> list[Notice]:
    if not far.any():
        return []
    places = tuple(rows.place(int(row)) for row in np.flatnonzero(far)[:EXAMPLES])
    message = f"rows known more than 366 days after {last}; left out: correct their times"
    rows.refuse(far, FAR_FUTURE)
    return [Notice("far_future", rows.table.name, int(np.count_nonzero(far)), message, places)]


def _settle_creation(tables: Mapping[str, _Rows], zone: ZoneInfo) -> list[Notice]:
    """Bound creations given as a bare date by their own history, history by its lead; count both."""
    notices = []
    for name, (belong, _, _) in BELONG.items():
        if name in tables and belong[0] in tables:
            rows, history = tables[name], tables[belong[0]]
            rows.table, moved = created_same_day(rows.table, history.table, zone)
            notices += _counted("created_same_day", rows, moved)
            if name == "leads":
                history.table, early = known_with_lead(rows.table, history.table)
                notices += _counted("history_before_lead", history, early)
    return notices


def _counted(code: str, rows: _Rows, which: IntArray) -> list[Notice]:
    places = tuple(rows.place(int(row)) for row in which[:EXAMPLES])
    return [Notice(code, rows.table.name, len(which), NOTICES[code], places)] if len(which) else []


def _strange_leads(tables: Mapping[str, _Rows], gone: frozenset[str]) -> list[Fault]:
    """Why so much history of leads that nobody knows tells of leads that are not whole; none where it is little."""
    if "leads" not in tables or "lead_history" not in tables:
        return []
    rows = tables["lead_history"]
    strange = _unknown(rows.table, "lead_id", tables["leads"].table) & ~_one_of(rows.table, "lead_id", gone)
    many = int(np.count_nonzero(strange))
    if many < FEW or many <= MAX_SHARE * rows.table.n:
        return []
    got = f"{many:,} of {rows.table.n:,} rows of history are of leads that are not in leads"
    where, remedy = rows.place(int(np.flatnonzero(strange)[0])), "export leads whole, at the same time as their history"
    return [Fault("unknown_lead", where, got, "a lead_id of leads", remedy, "lead_history.lead_id")]


def _refuse_orphans(tables: Mapping[str, _Rows], gone: Mapping[str, frozenset[str]]) -> None:
    """Leave out what belongs to deals and leads that are left out, and what belongs to ones that nobody knows.

    History of a deal that nobody knows stays, to be refused as a fault.
    """
    for owner, (belong, left_out, unattributed) in BELONG.items():
        for name in (name for name in belong if name in tables):
            rows = tables[name]
            rows.refuse(_one_of(rows.table, ID_OF[owner], gone[owner]), left_out)
            if name != "deal_history":
                listed = tables[owner].table if owner in tables else Table.empty(owner)
                rows.refuse(_unknown(rows.table, ID_OF[owner], listed), unattributed)


def _unknown(table: Table, column: str, listed: Table) -> Mask:
    ids = table.coded(column)
    mask: Mask = (ids.codes_in(listed.coded(column).values) < 0) & (ids.codes >= 0)
    return mask


def _one_of(table: Table, column: str, ids: frozenset[str]) -> Mask:
    coded = table.coded(column)
    mask: Mask = np.append([value in ids for value in coded.values], False).astype(bool)[coded.codes]
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
