"""Broken Salesforce exports: each is one clear error with place and remedy, or a counted refusal; nothing is lost."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from configs.errors import DataError, MissingFileError, SchemaError, UnmappedError, UnreadableFileError
from configs.salesforce import SalesforceMapping
from features.ingest import Ingest
from features.sources.salesforce.source import Salesforce
from forecastle import app
from tests.sf import MAPPING

Export = dict[str, bytes]

TASKS = b"""Id,WhatId,WhoId,CreatedDate,CompletedDateTime,ActivityDate,IsClosed,TaskSubtype,CallDurationInSeconds
T1,D1,C1,2024-01-05T10:00:00.000Z,2024-01-05T11:00:00.000Z,2024-01-05,true,Call,60
T2,D2,C1,2024-01-06T10:00:00.000Z,,2024-01-09,false,Call,
"""
GOOD: Export = {
    "Opportunity.csv": b"""Id,AccountId,CreatedDate,Name,StageName,Amount,CloseDate,Probability,OwnerId,IsDeleted
D1,A1,2024-01-02T09:00:00.000Z,One,Closed Won,99.00,2024-02-02,100,U1,false
D2,A1,2024-01-03T09:00:00.000Z,Two,Propose,20,2024-03-31,60,U2,false
D3,A2,2024-01-04T09:00:00.000+0000,Three,Qualify,,2024-06-30,10,U2,false
""",
    "OpportunityHistory.csv": b"""Id,OpportunityId,CreatedDate,StageName,Amount,CloseDate,Probability,ForecastCategory
H1,D1,2024-01-02T09:00:00.000Z,Qualify,100.50,2024-03-31,10,Pipeline
H2,D2,2024-01-03T09:00:00.000Z,Propose,20,2024-03-31,60,Forecast
H3,D3,2024-01-04T09:00:00.000Z,Qualify,,2024-06-30,10,Pipeline
H4,D1,2024-02-02T09:00:00.000Z,Closed Won,99.00,2024-02-02,100,Closed
""",
    "OpportunityFieldHistory.csv": b"""Id,OpportunityId,CreatedDate,Field,OldValue,NewValue
F1,D2,2024-01-05T09:00:00.000Z,NextStep,,Call
F2,D2,2024-01-06T09:00:00.000Z,Owner,U1,U2
""",
    "Task.csv": TASKS,
    "Event.csv": b"""Id,WhatId,CreatedDate,StartDateTime,EndDateTime
E1,D2,2024-01-05T10:00:00.000Z,2024-01-08T10:00:00.000Z,2024-01-08T11:00:00.000Z
""",
    "EmailMessage.csv": b"""Id,ActivityId,RelatedToId,CreatedDate,Incoming,FirstOpenedDate
M1,,D2,2024-01-07T10:00:00.000Z,false,
""",
    "Account.csv": b"Id,Name,MasterRecordId\nA1,Acme,\nA2,Bolt,\nA3,Old,A2\n",
    "User.csv": b"Id,Name,ManagerId\nU1,Ann,U2\nU2,Ben,\n",
    "ForecastingQuota.csv": b"Id,QuotaOwnerId,QuotaAmount,StartDate,PeriodId\nQ1,U1,100,2024-01-01,\nQ2,U2,100,,P1\n",
    "Period.csv": b"Id,StartDate\nP1,2024-01-01\n",
    "ForecastCall.csv": b"""Id,OwnerId,SubmittedAt,QuarterStart,ForecastCategoryName,Amount
K1,U1,2024-01-08T09:00:00.000Z,2024-01-01,Commit,50
""",
}
HISTORY, OPPORTUNITY, TASK = "OpportunityHistory.csv", "Opportunity.csv", "Task.csv"
Change = Callable[[Export], None]


def swap(file: str, old: bytes, new: bytes) -> Change:
    def change(export: Export) -> None:
        assert export[file].count(old) == 1, f"{old!r} must stand once in {file}"
        export[file] = export[file].replace(old, new)

    return change


def whole(file: str, of: Callable[[bytes], bytes]) -> Change:
    return lambda export: export.update({file: of(export[file])})


def put(file: str, content: bytes) -> Change:
    return lambda export: export.update({file: content})


def line(file: str, text: str) -> Change:
    """One more row at the end of a file."""
    return lambda export: export.update({file: export[file] + text.encode() + b"\n"})


def drop(file: str) -> Change:
    return lambda export: export.__delitem__(file)


def moved(old: str, new: str, of: Callable[[bytes], bytes] = bytes) -> Change:
    return lambda export: export.update({new: of(export.pop(old))})


def column(file: str, name: str) -> Change:
    """A file without one of its columns."""

    def change(export: Export) -> None:
        rows = [row.split(b",") for row in export[file].splitlines()]
        place = rows[0].index(name.encode())
        export[file] = b"\n".join(b",".join(row[:place] + row[place + 1 :]) for row in rows) + b"\n"

    return change


@dataclass(frozen=True)
class Wrong:
    """An export that is refused, and what its error must say."""

    change: Change
    error: type[DataError]
    code: str
    where: str
    says: tuple[str, ...]


@dataclass(frozen=True)
class Counted:
    """An export that is read, with rows of one table or object refused for a reason, or a notice of a code."""

    change: Change
    table: str
    reason: str
    rows: int = 1
    notice: bool = False


WRONG = {
    "latin_1": Wrong(
        swap(OPPORTUNITY, b"Two", "Zwölf".encode("latin-1")),
        *(UnreadableFileError, "wrong_encoding", "Opportunity.csv:3", ("byte 0xf6", "save it as UTF-8")),
    ),
    "utf_16": Wrong(
        whole(HISTORY, lambda data: data.decode().encode("utf-16")),
        *(UnreadableFileError, "wrong_encoding", HISTORY, ("UTF-16 text", "save it as UTF-8")),
    ),
    "nul": Wrong(
        swap(TASK, b"T2,D2", b"T2\0,D2"),
        *(UnreadableFileError, "nul_byte", "Task.csv:3", ("a NUL byte", "export it again as UTF-8 CSV")),
    ),
    "semicolons": Wrong(
        whole(HISTORY, lambda data: data.replace(b",", b";")),
        *(UnreadableFileError, "wrong_separator", "OpportunityHistory.csv:1", ("with ';'", "export it with commas")),
    ),
    "tabs": Wrong(
        whole("User.csv", lambda data: data.replace(b",", b"\t")),
        *(UnreadableFileError, "wrong_separator", "User.csv:1", ("with '\\t'", "export it with commas")),
    ),
    "duplicate_header": Wrong(
        swap(OPPORTUNITY, b"Name,StageName", b"StageName,StageName"),
        *(SchemaError, "duplicate_header", "Opportunity.csv:1", ("'StageName' more than once", "rename or remove")),
    ),
    "headers_equal_after_folding": Wrong(
        swap(OPPORTUNITY, b"Name,StageName", b"stage_name,StageName"),
        SchemaError,
        "duplicate_header",
        "Opportunity.csv:1",
        ("'stage_name' and 'StageName', which are one name but for case and underscores", "remove all but one"),
    ),
    "files_equal_after_folding": Wrong(
        put("opportunity_history.csv", GOOD[HISTORY]),
        SchemaError,
        "schema_error",
        "OpportunityHistory",
        ("OpportunityHistory.csv and opportunity_history.csv side by side", "remove all but one"),
    ),
    "mixed_dates": Wrong(
        swap(HISTORY, b"H2,D2,2024-01-03T09:00:00.000Z", b"H2,D2,03/04/2024 09:00"),
        *(
            SchemaError,
            "wrong_type",
            "OpportunityHistory.csv:3",
            ("'03/04/2024 09:00'", "write every time as ISO 8601"),
        ),
    ),
    "mixed_close_dates": Wrong(
        swap(HISTORY, b"2024-06-30", b"30.06.2024"),
        *(SchemaError, "wrong_type", "OpportunityHistory.csv:4", ("'30.06.2024'", "an ISO 8601 date")),
    ),
    "epoch_milliseconds": Wrong(
        swap(TASK, b"2024-01-05T10:00:00.000Z", b"1704448800000"),
        *(SchemaError, "wrong_type", "Task.csv:2", ("'1704448800000'", "an ISO 8601 time")),
    ),
    "amount_beyond_all": Wrong(
        swap(HISTORY, b"100.50", b"1e30"),
        *(SchemaError, "wrong_type", "OpportunityHistory.csv:2", ("'1e30'", "a plain decimal number")),
    ),
    "amount_absurd": Wrong(
        swap(HISTORY, b"100.50", b"9e12"),
        *(SchemaError, "absurd_amount", "OpportunityHistory.csv:2", ("9,000,000,000,000.00", "at most")),
    ),
    "amount_with_thousands": Wrong(
        swap(HISTORY, b"100.50", b'"1,000"'),
        *(SchemaError, "wrong_type", "OpportunityHistory.csv:2", ("'1,000'", "no thousands separator")),
    ),
    "amount_with_sign": Wrong(
        swap(HISTORY, b"100.50", "€5".encode()),
        *(SchemaError, "wrong_type", "OpportunityHistory.csv:2", ("'€5'", "no currency sign")),
    ),
    "empty_file": Wrong(
        put(HISTORY, b""), UnreadableFileError, "empty_file", HISTORY, ("the file is empty", "export it again")
    ),
    "only_blank_lines": Wrong(
        put("Event.csv", b"\n \n"), UnreadableFileError, "empty_file", "Event.csv", ("the file is empty",)
    ),
    "id_column_missing": Wrong(
        column(OPPORTUNITY, "Id"),
        *(SchemaError, "missing_column", "Opportunity.csv:1", ("no column 'Id'", "objects.Opportunity.columns")),
    ),
    "id_cell_missing": Wrong(
        swap(OPPORTUNITY, b"D2,A1", b",A1"),
        *(SchemaError, "missing_value", "Opportunity.csv:3", ("Opportunity.Id: empty", "export it again")),
    ),
    "time_cell_missing": Wrong(
        swap(TASK, b"T2,D2,C1,2024-01-06T10:00:00.000Z", b"T2,D2,C1,"),
        *(SchemaError, "missing_value", "Task.csv:3", ("Task.CreatedDate: empty", "expected a value")),
    ),
    "object_missing": Wrong(
        drop(HISTORY),
        MissingFileError,
        "missing_file",
        HISTORY,
        ("no such file", "whatever the case and underscores", "holds Account.csv", "objects.OpportunityHistory.file"),
    ),
    "object_misnamed": Wrong(
        moved(HISTORY, "opportunity-history.csv"),
        *(MissingFileError, "missing_file", HISTORY, ("opportunity-history.csv", "name the file in the mapping")),
    ),
    "opportunity_twice": Wrong(
        line(OPPORTUNITY, "D1,A2,2024-01-02T09:00:00.000Z,One,Qualify,1,2024-02-02,10,U1,false"),
        SchemaError,
        "duplicate_key",
        "Opportunity.csv:5",
        ("Id 'D1' again, with other values", "two exports were joined"),
    ),
    "history_row_twice_with_other_values": Wrong(
        line(HISTORY, "H1,D1,2024-01-02T09:00:00.000Z,Propose,100.50,2024-03-31,10,Pipeline"),
        *(SchemaError, "duplicate_key", "OpportunityHistory.csv:6", ("Id 'H1' again, with other values",)),
    ),
    "unknown_stage": Wrong(
        swap(HISTORY, b"Z,Propose", b"Z,Proposed"),
        UnmappedError,
        "unknown_stage",
        "OpportunityHistory.csv:3",
        ("stage 'Proposed'", "did you mean 'Propose'?", "list it in the mapping under stages"),
    ),
    "unknown_category": Wrong(
        swap(HISTORY, b"60,Forecast", b"60,Likely"),
        *(UnmappedError, "unknown_forecast_category", "OpportunityHistory.csv:3", ("'Likely'", "best_case")),
    ),
    "call_of_unknown_category": Wrong(
        swap("ForecastCall.csv", b"Commit", b"Gut feeling"),
        *(UnmappedError, "unknown_category", "ForecastCall.csv:2", ("'Gut feeling'", "list it in the mapping")),
    ),
    "quota_without_user": Wrong(
        swap("ForecastingQuota.csv", b"Q1,U1", b"Q1,"),
        *(SchemaError, "missing_value", "ForecastingQuota.csv:2", ("ForecastingQuota.QuotaOwnerId: empty",)),
    ),
    "quota_twice": Wrong(
        line("ForecastingQuota.csv", "Q3,U1,200,2024-01-01,"),
        *(SchemaError, "duplicate_key", "ForecastingQuota.csv:4", ("rep_id 'U1', period_start 2024-01-01 again",)),
    ),
    "last_line_cut_off": Wrong(
        whole(HISTORY, lambda data: data[:-30]),
        *(UnreadableFileError, "truncated_row", "OpportunityHistory.csv:5", ("4 fields", "it may have been cut off")),
    ),
    "unbalanced_quote": Wrong(
        swap(HISTORY, b"H3,D3", b'"H3,D3'),
        *(UnreadableFileError, "open_quote", "OpportunityHistory.csv:4", ("opened here and never closed",)),
    ),
    "too_many_fields": Wrong(
        swap(OPPORTUNITY, b"Two", b"Two, Ltd"),
        *(UnreadableFileError, "too_many_fields", "Opportunity.csv:3", ("11 fields", "put quotes around text")),
    ),
    "cell_of_a_megabyte": Wrong(
        swap(OPPORTUNITY, b"Two", b"x" * 1_000_001),
        *(UnreadableFileError, "huge_cell", "Opportunity.csv:3", ("1,000,001 bytes in one cell",)),
    ),
    "year_1900": Wrong(
        swap(HISTORY, b"H3,D3,2024-01-04", b"H3,D3,1900-01-04"),
        *(SchemaError, "absurd_time", "OpportunityHistory.csv:4", ("1900-01-04", "a time from 1990 to 2099")),
    ),
    "year_2999": Wrong(
        swap(HISTORY, b"H2,D2,2024-01-03T09:00:00.000Z", b"H2,D2,2999-01-03T09:00:00.000Z"),
        *(SchemaError, "absurd_time", "OpportunityHistory.csv:3", ("2999-01-03", "a time from 1990 to 2099")),
    ),
    "close_date_of_another_age": Wrong(
        swap(HISTORY, b"2024-06-30", b"2204-06-30"),
        *(SchemaError, "absurd_time", "OpportunityHistory.csv:4", ("2204-06-30", "correct it")),
    ),
    "boolean_words": Wrong(
        swap(TASK, b"2024-01-05,true", b"2024-01-05,wahr"),
        *(SchemaError, "wrong_type", "Task.csv:2", ("'wahr'", "true or false")),
    ),
    "circle_of_merged_accounts": Wrong(
        swap("Account.csv", b"A2,Bolt,", b"A2,Bolt,A3"),
        *(SchemaError, "circle", "Account.csv:3", ("'A2' merged into 'A3' merged into 'A2': a circle",)),
    ),
    "circle_of_managers": Wrong(
        swap("User.csv", b"U2,Ben,", b"U2,Ben,U1"),
        *(SchemaError, "circle", "User.csv:2", ("'U1' reports to 'U2' reports to 'U1'", "ManagerId of one of them")),
    ),
    "folder_not_file": Wrong(
        moved(HISTORY, "OpportunityHistory.csv/part-0.csv"),
        *(UnreadableFileError, "folder_not_file", HISTORY, ("a folder, not a file",)),
    ),
    "damaged_gzip": Wrong(
        moved(HISTORY, HISTORY + ".gz", lambda data: gzip.compress(data)[:-20]),
        *(UnreadableFileError, "unreadable_file", HISTORY + ".gz", ("damaged, cut off", "export or copy it again")),
    ),
    "not_a_parquet": Wrong(
        moved(TASK, "Task.parquet"),
        *(UnreadableFileError, "unreadable_file", "Task.parquet", ("not a whole Parquet file",)),
    ),
    "number_in_field_history": Wrong(
        line("OpportunityFieldHistory.csv", "F3,D2,2024-01-07T09:00:00.000Z,Amount,20,a lot"),
        *(SchemaError, "wrong_type", "OpportunityFieldHistory.csv:4", ("amount 'a lot'", "a plain decimal number")),
    ),
    "closed_before_created": Wrong(
        swap(OPPORTUNITY, b"D1,A1,2024-01-02", b"D1,A1,2024-02-03"),
        *(SchemaError, "closed_before_created", "OpportunityHistory.csv:5", ("deal 'D1'", "check the time zone")),
    ),
    "attribute_is_no_number": Wrong(
        swap(OPPORTUNITY, b",Name,", b",Seats__c,"),
        *(SchemaError, "wrong_type", "Opportunity.csv:2", ("'One'", "a number")),
    ),
}
ATTRIBUTES = {"attribute_is_no_number": {"seats": {"kind": "number", "column": "Seats__c"}}}

ORPHAN = "its opportunity is not in the export"
COUNTED = {
    "byte_order_mark": Counted(whole(OPPORTUNITY, lambda data: b"\xef\xbb\xbf" + data), "Opportunity", "", 0),
    "crlf": Counted(whole(HISTORY, lambda data: data.replace(b"\n", b"\r\n")), "OpportunityHistory", "", 0),
    "cr_alone": Counted(whole(HISTORY, lambda data: data.replace(b"\n", b"\r")), "OpportunityHistory", "", 0),
    "header_only": Counted(whole(TASK, lambda data: data.splitlines(keepends=True)[0]), "Task", "", 0),
    "blank_lines": Counted(line(TASK, "\n,,,,,,,,"), "Task", "blank row", 2),
    "repeated_row": Counted(
        line(HISTORY, GOOD[HISTORY].splitlines()[1].decode()), "OpportunityHistory", "a repeated row"
    ),
    "orphan_history": Counted(
        line(HISTORY, "H9,D9,2024-01-02T09:00:00.000Z,Qualify,,,,"), "OpportunityHistory", ORPHAN
    ),
    "orphan_field_history": Counted(
        line("OpportunityFieldHistory.csv", "F9,D9,2024-01-02T09:00:00.000Z,NextStep,,x"),
        *("OpportunityFieldHistory", ORPHAN),
    ),
    "unknown_field_name": Counted(
        line("OpportunityFieldHistory.csv", "F9,D1,2024-01-02T09:00:00.000Z,=cmd|'x'!A1,,x"),
        *("OpportunityFieldHistory", "a field that is not read"),
    ),
    "activity_of_a_case": Counted(
        swap(TASK, b"T2,D2", b"T2,500000000000001"),
        *("Task", "about a record that is no opportunity or account of the export"),
    ),
    "quota_without_period": Counted(drop("Period.csv"), "ForecastingQuota", "names no period that the export knows"),
    "event_ends_before_it_starts": Counted(
        swap("Event.csv", b"2024-01-08T11", b"2024-01-07T11"), "Event", "ends before it begins"
    ),
    "mail_far_in_the_future": Counted(
        swap("EmailMessage.csv", b"2024-01-07", b"2042-01-07"), "activities", "far in the future"
    ),
    "probability_150": Counted(
        swap(HISTORY, b"31,60,Forecast", b"31,150,Forecast"), "deal_history", "probability_range", 3, notice=True
    ),
    "negative_amount": Counted(swap(HISTORY, b"100.50", b"-100.50"), "deal_history", "negative_amount", notice=True),
    "formula_text": Counted(swap(OPPORTUNITY, b"Two", b'"=HYPERLINK(""x"")"'), "Opportunity", "", 0),
    "control_characters": Counted(swap(OPPORTUNITY, b"Two", b"\x07\x1b[31mTwo\x7f"), "Opportunity", "", 0),
    "quoted_line_breaks": Counted(swap(OPPORTUNITY, b"Two", b'"Two\nlines"'), "Opportunity", "", 0),
    "last_line_without_end": Counted(whole(TASK, lambda data: data[:-1]), "Task.csv", "odd_file", 0, notice=True),
    "owner_not_listed": Counted(
        swap(OPPORTUNITY, b"10,U2,false", b"10,U7,false"), "deal_history", "unlisted_owner_id", notice=True
    ),
    "file_of_no_object": Counted(put("Case.csv", b"Id\n1\n"), "export", "unread_files", 0, notice=True),
    "history_known_before_creation": Counted(
        swap(HISTORY, b"H3,D3,2024-01-04", b"H3,D3,2024-01-03"), "deal_history", "history_before_created", notice=True
    ),
}


def written(folder: Path, change: Change) -> Path:
    export = dict(GOOD)
    change(export)
    for name, content in export.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(folder: Path, **mapping: object) -> Ingest:
    return Salesforce(folder, SalesforceMapping.model_validate(MAPPING | mapping), ZoneInfo("UTC")).read()


def test_the_export_is_good_before_it_is_broken(tmp_path: Path) -> None:
    ingest = read(written(tmp_path, lambda _: None))
    assert {report.table: (report.rows_in, report.rows_refused) for report in ingest.report.tables} == {
        "Opportunity": (3, 0),
        "OpportunityHistory": (4, 0),
        "OpportunityFieldHistory": (2, 0),
        "Task": (2, 0),
        "Event": (1, 0),
        "EmailMessage": (1, 0),
        "Account": (3, 1),
        "User": (2, 0),
        "ForecastingQuota": (2, 0),
        "Period": (1, 0),
        "ForecastCall": (1, 0),
        "deals": (3, 0),
        "deal_history": (6, 0),
        "activities": (6, 0),
        "accounts": (2, 0),
        "reps": (2, 0),
        "quotas": (2, 0),
        "calls": (1, 0),
    }
    assert {notice.code for notice in ingest.report.notices} == {"assumed", "absent_objects"}


def test_there_are_forty_of_them() -> None:
    assert len(WRONG) + len(COUNTED) >= 40


@pytest.mark.parametrize("name", WRONG)
def test_broken_export_is_refused(tmp_path: Path, name: str) -> None:
    case = WRONG[name]
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, case.change), attributes=ATTRIBUTES.get(name, {}))
    error = caught.value
    assert type(error) is case.error, str(error)
    fault = error.faults[0]
    assert (fault.code, fault.where) == (case.code, case.where), str(error)
    for words in case.says:
        assert words in str(error)
    assert error.exit_code == 4


@pytest.mark.parametrize("name", COUNTED)
def test_broken_export_is_read_and_counted(tmp_path: Path, name: str) -> None:
    case = COUNTED[name]
    report = read(written(tmp_path, case.change)).report
    for table in report.tables:
        assert table.rows_in == table.rows_kept + table.rows_refused
    if case.notice:
        found = [notice for notice in report.notices if notice.code == case.reason and notice.table == case.table]
        assert [notice.rows for notice in found] == [case.rows]
    elif case.reason:
        assert report[case.table].refused_for(case.reason) == case.rows
    else:
        assert report[case.table].rows_refused == 0


def test_parquet_beside_csv_says_the_same(tmp_path: Path) -> None:
    one = read(written(tmp_path / "csv", lambda _: None))
    folder = written(tmp_path / "mixed", lambda _: None)
    for name in ("Opportunity", "OpportunityHistory", "Task"):  # times, numbers and booleans as such
        pq.write_table(pa_csv.read_csv(folder / f"{name}.csv"), folder / f"{name}.parquet")
        (folder / f"{name}.csv").unlink()
    other = read(folder)
    for name, table in one.tables.by_name().items():
        for column, data in table.columns.items():
            told = other.tables[name][column]
            assert (data.strings() if hasattr(data, "strings") else data.tolist().__repr__()) == (
                told.strings() if hasattr(told, "strings") else told.tolist().__repr__()
            ), (name, column)


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    export = dict(GOOD)
    for change in (
        swap(HISTORY, b"100.50", b"much"),
        swap(TASK, b"T2,D2,C1,2024-01-06T10:00:00.000Z", b"T2,D2,C1,yesterday"),
        column("User.csv", "Id"),
        drop(OPPORTUNITY),
    ):
        change(export)
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, lambda made: (made.clear(), made.update(export))[1]))
    assert sorted(fault.where for fault in caught.value.faults) == [
        "Opportunity.csv",
        "OpportunityHistory.csv:2",
        "Task.csv:3",
        "User.csv:1",
    ]


@pytest.mark.parametrize("name", ["latin_1", "object_missing", "unknown_stage", "circle_of_managers"])
def test_command_line_ends_with_4_and_says_where(tmp_path: Path, name: str) -> None:
    case = WRONG[name]
    folder = written(tmp_path / "export", case.change)
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("stages: {order: [Qualify, Propose, Negotiate], won: [Closed Won], lost: [Closed Lost]}\n")
    paths = ["--set", f"source.path={folder}", "--set", f"state_dir={tmp_path}", "--set", f"source.mapping={mapping}"]
    result = CliRunner().invoke(app, ["readiness", "configs/salesforce.yaml", *paths])
    assert result.exit_code == 4, result.output
    said = result.output + (result.stderr if result.stderr_bytes else "")
    assert case.where in said
    assert "Traceback" not in said
