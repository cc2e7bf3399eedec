"""Broken exports: each is refused with one clear error that has the place, what was got and the remedy."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from configs.errors import (
    DataError,
    MissingFileError,
    SchemaError,
    UnmappedError,
    UnreadableFileError,
)
from configs.mapping import FilesMapping
from features.sources.files import FilesFolder

Export = dict[str, bytes]
STAGES = {"order": ["Qualify", "Propose"], "won": ["Won"], "lost": ["Lost"]}

DEALS = b"""deal_id,account_id,created_at,known_at,type,source,name
D1,A1,2024-01-02T09:00:00Z,,new,web,One
D2,A1,2024-01-03T09:00:00Z,,new,event,Two
D3,A2,2024-01-04T09:00:00Z,,renewal,web,Three
"""
HISTORY = b"""deal_id,known_at,seq,stage,amount,close_date,forecast_category,owner_id,next_step_set,probability
D1,2024-01-02T09:00:00Z,0,Qualify,100.50,2024-03-31,pipeline,R1,true,0.1
D1,2024-02-02T09:00:00Z,0,Won,99.00,2024-02-02,closed,R1,false,1
D2,2024-01-03T09:00:00Z,0,Propose,20,2024-03-31,commit,R2,true,0.6
D3,2024-01-04T09:00:00Z,0,Qualify,,,,R2,,
"""
ACTIVITIES = b"""deal_id,occurred_at,known_at,kind,direction,contact_id,outcome,minutes
D1,2024-01-05T10:00:00Z,2024-01-05T10:01:00Z,email,outbound,C1,,
D2,2024-01-06T10:00:00Z,2024-01-06T11:00:00Z,meeting,mutual,C2,held,30
"""


def good() -> Export:
    return {"deals.csv": DEALS, "deal_history.csv": HISTORY, "activities.csv": ACTIVITIES}


def swap(file: str, old: bytes, new: bytes) -> Callable[[Export], None]:
    def change(export: Export) -> None:
        assert export[file].count(old) == 1, f"{old!r} must stand once in {file}"
        export[file] = export[file].replace(old, new)

    return change


def put(file: str, content: bytes) -> Callable[[Export], None]:
    return lambda export: export.update({file: content})


def drop(file: str) -> Callable[[Export], None]:
    return lambda export: export.__delitem__(file)


@dataclass(frozen=True)
class Case:
    """One broken export, and what its error must say."""

    change: Callable[[Export], None]
    error: type[DataError]
    code: str
    where: str
    says: tuple[str, ...]


def zipped_in_half(export: Export) -> None:
    whole = gzip.compress(export.pop("deal_history.csv"))
    export["deal_history.csv.gz"] = whole[: len(whole) // 2]


def folder_of(name: str) -> Callable[[Export], None]:
    """The file as one part in a folder of its name, as some exporters write it."""
    return lambda export: export.update({f"{name}/part-0.csv": export.pop(name)})


def half_without_history(export: Export) -> None:
    export["deals.csv"] += b"".join(b"E%d,A1,2024-01-04T09:00:00Z,,new,web,\n" % i for i in range(20))


def both_kinds(export: Export) -> None:
    export["activities.csv.gz"] = gzip.compress(export["activities.csv"])


CASES = {
    "missing_file": Case(
        drop("deal_history.csv"),
        MissingFileError,
        "missing_file",
        "deal_history.csv",
        ("no such file", "deal_history.parquet", "holds activities.csv, deals.csv", "check source.path"),
    ),
    "missing_column": Case(
        swap("deals.csv", b"created_at", b"creatd_at"),
        SchemaError,
        "missing_column",
        "deals.csv:1",
        ("no column 'created_at'", "did you mean 'creatd_at'?"),
    ),
    "wrong_separator": Case(
        put("deals.csv", DEALS.replace(b",", b";")),
        UnreadableFileError,
        "wrong_separator",
        "deals.csv:1",
        ("a header without commas, with ';'", "export it with commas"),
    ),
    "wrong_type_amount": Case(
        swap("deal_history.csv", b"99.00", b"EUR 99"),
        SchemaError,
        "wrong_type",
        "deal_history.csv:3",
        ("'EUR 99'", "no currency sign", "export amounts as plain numbers"),
    ),
    "wrong_type_bool": Case(
        swap("deal_history.csv", b"R1,true", b"R1,maybe"),
        SchemaError,
        "wrong_type",
        "deal_history.csv:2",
        ("'maybe'", "true or false"),
    ),
    "mixed_dates": Case(
        swap("deals.csv", b"2024-01-03T09:00:00Z", b"03/01/2024"),
        SchemaError,
        "wrong_type",
        "deals.csv:3",
        ("'03/01/2024'", "ISO 8601", "date_format in the mapping"),
    ),
    "impossible_date": Case(
        swap("deal_history.csv", b"20,2024-03-31", b"20,2024-02-30"),
        SchemaError,
        "wrong_type",
        "deal_history.csv:4",
        ("'2024-02-30'", "ISO 8601 date"),
    ),
    "unknown_stage": Case(
        swap("deal_history.csv", b"Propose", b"Propsoe"),
        UnmappedError,
        "unknown_stage",
        "deal_history.csv:4",
        ("stage 'Propsoe'", "one of Qualify, Propose, Won, Lost", "did you mean 'Propose'?", "stages.unknown: keep"),
    ),
    "stage_in_other_case": Case(
        swap("deal_history.csv", b"Propose", b"PROPOSE"), UnmappedError, "unknown_stage", "deal_history.csv:4", ()
    ),
    "unknown_category": Case(
        swap("deal_history.csv", b"commit", b"comit"),
        UnmappedError,
        "unknown_forecast_category",
        "deal_history.csv:4",
        ("'comit'", "did you mean 'commit'?"),
    ),
    "unknown_kind": Case(
        swap("activities.csv", b"meeting", b"fax"),
        UnmappedError,
        "unknown_kind",
        "activities.csv:3",
        ("kind 'fax'", "email, call", "list it in the mapping"),
    ),
    "truncated_row": Case(
        put("activities.csv", ACTIVITIES[: ACTIVITIES.index(b",C2")]),
        UnreadableFileError,
        "truncated_row",
        "activities.csv:3",
        ("5 fields", "8, as in the header", "cut off"),
    ),
    "too_many_fields": Case(
        swap("deals.csv", b"Two", b"Two, Ltd"),
        UnreadableFileError,
        "too_many_fields",
        "deals.csv:3",
        ("8 fields", "put quotes around text that holds a comma"),
    ),
    "open_quote": Case(
        swap("deals.csv", b"Two", b'"Two'),
        UnreadableFileError,
        "open_quote",
        "deals.csv:3",
        ("never closed", "cut off"),
    ),
    "open_quote_at_the_end": Case(
        swap("deals.csv", b"Three\n", b'"Three'), UnreadableFileError, "open_quote", "deals.csv:4", ("never closed",)
    ),
    "truncated_gzip": Case(
        zipped_in_half,
        UnreadableFileError,
        "unreadable_file",
        "deal_history.csv.gz",
        ("cut off", "a whole file", "copy it again"),
    ),
    "not_parquet": Case(
        lambda export: export.update({"deals.parquet": export.pop("deals.csv")}),
        UnreadableFileError,
        "unreadable_file",
        "deals.parquet",
        ("not a whole Parquet file",),
    ),
    "closed_before_created": Case(
        swap("deals.csv", b"2024-01-02T09:00:00Z", b"2024-02-12T09:00:00Z"),
        SchemaError,
        "closed_before_created",
        "deal_history.csv:3",
        ("deal 'D1'", "2024-02-02T09:00:00Z", "before it was created at 2024-02-12T09:00:00Z", "time zone"),
    ),
    "nul_byte": Case(
        swap("deals.csv", b"Two", b"T\0o"),
        UnreadableFileError,
        "nul_byte",
        "deals.csv:3",
        ("NUL byte", "as UTF-8 CSV"),
    ),
    "latin_1": Case(
        swap("deals.csv", b"Two", "Zwölf".encode("latin-1")),
        UnreadableFileError,
        "wrong_encoding",
        "deals.csv:3",
        ("byte 0xf6", "save it as UTF-8"),
    ),
    "utf_16": Case(
        put("deals.csv", DEALS.decode().encode("utf-16")),
        UnreadableFileError,
        "wrong_encoding",
        "deals.csv",
        ("UTF-16", "save it as UTF-8"),
    ),
    "duplicate_header": Case(
        swap("deals.csv", b"account_id", b"deal_id"),
        SchemaError,
        "duplicate_header",
        "deals.csv:1",
        ("'deal_id' more than once", "rename or remove"),
    ),
    "blank_header": Case(
        put("deals.csv", b"\n" + DEALS), SchemaError, "schema_error", "deals.csv:1", ("a blank line", "on line 1")
    ),
    "empty_file": Case(
        put("activities.csv", b""), UnreadableFileError, "empty_file", "activities.csv", ("empty", "a header line")
    ),
    "duplicate_deal": Case(
        swap("deals.csv", b"D3", b"D1"),
        DataError,
        "duplicate_key",
        "deals.csv:4",
        ("deal_id 'D1' again", "remove the repeated rows"),
    ),
    "duplicate_history": Case(
        swap("deal_history.csv", b"D1,2024-02-02T09", b"D1,2024-01-02T09"),
        SchemaError,
        "duplicate_key",
        "deal_history.csv:3",
        ("deal_id 'D1', known_at 2024-01-02T09:00:00Z, seq 0 again",),
    ),
    "history_of_unknown_deal": Case(
        swap("deal_history.csv", b"D3", b"D9"),
        SchemaError,
        "unknown_deal",
        "deal_history.csv:5",
        ("'D9'", "not in deals", "export the deal as well"),
    ),
    "missing_value": Case(
        swap("deals.csv", b"2024-01-03T09:00:00Z", b" "),
        SchemaError,
        "missing_value",
        "deals.csv:3",
        ("empty", "leave such rows out with `require`"),
    ),
    "missing_stage": Case(
        swap("deal_history.csv", b"Propose", b""), SchemaError, "missing_value", "deal_history.csv:4", ("empty",)
    ),
    "absurd_amount": Case(
        swap("deal_history.csv", b"99.00", b"9900000000000"),
        SchemaError,
        "absurd_amount",
        "deal_history.csv:3",
        ("9,900,000,000,000.00", "at most 1,000,000,000,000", "base currency"),
    ),
    "endless_amount": Case(
        swap("deal_history.csv", b"99.00", b"1e99"), SchemaError, "wrong_type", "deal_history.csv:3", ("'1e99'",)
    ),
    "absurd_time": Case(
        swap("activities.csv", b"2024-01-05T10:00:00Z,2024", b"1024-01-05T10:00:00Z,2024"),
        SchemaError,
        "absurd_time",
        "activities.csv:2",
        ("1024-01-05T10:00:00Z", "from 1990 to 2099"),
    ),
    "negative_minutes": Case(
        swap("activities.csv", b"held,30", b"held,-30"),
        SchemaError,
        "negative_minutes",
        "activities.csv:3",
        ("-30", "0 or more"),
    ),
    "huge_cell": Case(
        swap("deals.csv", b"Two", b"T" * 1_000_001),
        UnreadableFileError,
        "huge_cell",
        "deals.csv:3",
        ("1,000,001 bytes", "at most 1,000,000"),
    ),
    "cut_between_rows": Case(
        put("deal_history.csv", HISTORY[: HISTORY.index(b"\nD3")]),
        UnreadableFileError,
        "truncated_file",
        "deal_history.csv",
        ("no line break at the end of the file", "1 of 3 deals (33.3%) have no history: 'D3'", "export it again"),
    ),
    "incomplete_history": Case(
        half_without_history,
        SchemaError,
        "incomplete_history",
        "deal_history.csv",
        ("20 of 23 deals (87.0%) have no history: 'E0', 'E1'", "check that deal_history is complete"),
    ),
    "folder_for_a_file": Case(
        folder_of("deals.csv"),
        UnreadableFileError,
        "folder_not_file",
        "deals.csv",
        ("a folder, not a file", "(deals.csv/...)"),
    ),
    "folder_for_an_optional_file": Case(
        folder_of("activities.csv"), UnreadableFileError, "folder_not_file", "activities.csv", ("a folder",)
    ),
    "closed_the_day_before_a_bare_creation": Case(
        swap("deals.csv", b"2024-01-02T09:00:00Z", b"2024-02-03"),
        SchemaError,
        "closed_before_created",
        "deal_history.csv:3",
        ("2024-02-02T09:00:00Z",),
    ),
    "closed_long_before_a_far_creation": Case(
        swap("deals.csv", b"2024-01-02T09:00:00Z", b"2031-01-02T09:00:00Z"),
        SchemaError,
        "closed_before_created",
        "deal_history.csv:3",
        (),
    ),
    "end_of_the_calendar": Case(
        swap("deals.csv", b"2024-01-03T09:00:00Z", b"9999-12-31"),
        SchemaError,
        "wrong_type",
        "deals.csv:3",
        ("'9999-12-31'",),
    ),
    "two_files_for_a_table": Case(
        both_kinds,
        SchemaError,
        "schema_error",
        "activities",
        ("activities.csv and activities.csv.gz side by side", "remove all but one"),
    ),
}


def read(folder: Path, export: Export, stages: dict[str, object] = STAGES) -> None:  # type: ignore[assignment]
    for name, content in export.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    mapping = FilesMapping.model_validate({"stages": stages})
    FilesFolder(folder, mapping, ZoneInfo("Europe/Amsterdam")).read()


@pytest.mark.parametrize("name", CASES)
def test_refused_with_place_and_remedy(name: str, tmp_path: Path) -> None:
    case, export = CASES[name], good()
    case.change(export)
    with pytest.raises(case.error) as caught:
        read(tmp_path, export)
    faults = [fault for fault in caught.value.faults if fault.code == case.code]
    assert [fault.where for fault in faults] == [case.where], str(caught.value)
    for words in case.says:
        assert words in str(faults[0]).replace(str(tmp_path), "FOLDER").replace("FOLDER ", "")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("duplicate_deal",)])
def test_one_fault_is_said_once(name: str, tmp_path: Path) -> None:
    export = good()
    CASES[name].change(export)
    with pytest.raises(DataError) as caught:
        read(tmp_path, export)
    assert len(caught.value.faults) == 1, str(caught.value)


def test_the_good_export_is_read(tmp_path: Path) -> None:
    read(tmp_path, good())


def test_every_fault_at_once(tmp_path: Path) -> None:
    export = good()
    for name in ("wrong_type_amount", "unknown_stage", "history_of_unknown_deal", "negative_minutes", "missing_value"):
        CASES[name].change(export)
    with pytest.raises(DataError) as caught:
        read(tmp_path, export)
    codes = {fault.code for fault in caught.value.faults}
    # D2's creation is unreadable, so its own history is no further fault.
    assert codes == {"wrong_type", "unknown_stage", "unknown_deal", "negative_minutes", "missing_value"}


def test_faults_of_several_files_come_together(tmp_path: Path) -> None:
    export = good()
    for name in ("too_many_fields", "truncated_row", "wrong_type_amount"):
        CASES[name].change(export)
    with pytest.raises(DataError) as caught:
        read(tmp_path, export)
    assert {fault.where for fault in caught.value.faults} == {"deals.csv:3", "activities.csv:3", "deal_history.csv:3"}


def test_many_faults_are_capped_and_counted(tmp_path: Path) -> None:
    rows = b"".join(b"D1,2024-01-05T10:00:00Z,,email,outbound,,,x%d\n" % i for i in range(1000))
    export = good() | {"activities.csv": ACTIVITIES + rows}
    with pytest.raises(SchemaError) as caught:
        read(tmp_path, export)
    assert len(caught.value.faults) == 4
    assert [fault.where for fault in caught.value.faults] == [f"activities.csv:{line}" for line in (4, 5, 6, 7)]
    assert "997 more rows" in str(caught.value)


def test_lines_are_physical_lines(tmp_path: Path) -> None:
    """A quoted line break and blank lines before the bad cell move it down."""
    export = good()
    export["deals.csv"] = DEALS.replace(b"One\n", b'"One\nof\nthree"\n\n,,,,,,\n').replace(
        b"2024-01-03T09:00:00Z", b"soon"
    )
    with pytest.raises(SchemaError) as caught:
        read(tmp_path, export)
    assert [fault.where for fault in caught.value.faults] == ["deals.csv:7"]


def test_a_missing_folder_names_the_setting(tmp_path: Path) -> None:
    mapping = FilesMapping.model_validate({"stages": STAGES})
    with pytest.raises(MissingFileError, match="check source\\.path"):
        FilesFolder(tmp_path / "nowhere", mapping, ZoneInfo("UTC")).read()
