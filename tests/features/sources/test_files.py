"""The source `files`: formats agree to the bit, mapping parts do what they say, and every row is accounted for."""

import gzip
import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from configs.errors import DataError, SchemaError, StateError
from configs.load import load_config
from configs.mapping import FilesMapping
from features.ingest import Ingest, Refusal, TableReport
from features.sources.base import SOURCES, open_source, source
from features.sources.files import FilesFolder
from features.tables import Coded, CrmTables

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("FORECASTLE_DATA", ROOT.parent / "shared" / "data"))
ZONE = ZoneInfo("Europe/Amsterdam")
STAGES = {"order": ["Qualify", "Propose"], "won": ["Won"], "lost": ["Lost"]}

DEALS = """deal_id,account_id,created_at,known_at,type,source,name,region_code,score
D1,A1,2024-01-02T09:00:00.25Z,,new,web,"One, ""best"" Inc",NL,1.5
D2,A1,2024-01-03 10:00:00,2024-01-03 12:00:00,new,event,Two,,
D3,,2024-01-04,,renewal,web,,DE,-2
"""
HISTORY = """deal_id,known_at,stage,amount,close_date,forecast_category,owner_id,next_step_set,probability
D1,2024-01-02T09:00:00.25Z,Qualify,100.505,2024-03-31,Pipeline,R1,true,0.1
D1,2024-02-02T09:00:00Z,Won,8.345,2024-02-02,closed,R1,false,1
D2,2024-01-03 10:00:00,Propose,20,,BEST CASE,R2,,0.65
D3,2024-01-05,Qualify,,,,,,
"""
ACTIVITIES = """deal_id,occurred_at,known_at,kind,direction,contact_id,outcome,minutes
D2,2024-01-06T10:00:00Z,2024-01-06T11:00:00Z,Meeting,mutual,C2,Planned,30
D1,2024-01-05T10:00:00Z,,email,Outbound,C1,,
D9,2024-01-05T10:00:00Z,,email,outbound,C1,,
"""
ATTRIBUTES = {"region_code": {"kind": "category"}, "score": {"kind": "number"}}


def mapping(**more: Any) -> FilesMapping:
    return FilesMapping.model_validate({"stages": STAGES} | more)


def write(folder: Path, **tables: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.csv").write_bytes(text.encode())
    return folder


def read(folder: Path, **more: Any) -> Ingest:
    return FilesFolder(folder, mapping(**more), ZONE).read()


def export(folder: Path) -> Path:
    return write(folder, deals=DEALS, deal_history=HISTORY, activities=ACTIVITIES)


def assert_same(one: CrmTables, other: CrmTables) -> None:
    for name, table in one.by_name().items():
        assert table.n == other[name].n
        assert [*table.columns] == [*other[name].columns]
        for column, data in table.columns.items():
            against = other[name][column]
            if isinstance(data, Coded):
                assert isinstance(against, Coded)
                assert (data.values, data.codes.tolist()) == (against.values, against.codes.tolist()), column
            else:
                assert not isinstance(against, Coded)
                assert data.dtype == against.dtype
                assert data.tobytes() == against.tobytes(), f"{name}.{column}"


def micros(text: str) -> int:
    return int(np.datetime64(text, "us").astype(np.int64))


def test_encodings(tmp_path: Path) -> None:
    tables = read(export(tmp_path), attributes=ATTRIBUTES).tables
    deals, history, activities = tables.deals, tables.deal_history, tables.activities
    assert deals.coded("deal_id").strings() == ["D1", "D2", "D3"]
    assert deals.coded("name").strings() == ['One, "best" Inc', "Two", None]
    created = ["2024-01-02T09:00:00.25", "2024-01-03T09:00:00", "2024-01-04T22:59:59.999999"]
    assert deals.ints("created_at").tolist() == [micros(text) for text in created]
    known = [created[0], "2024-01-03T11:00:00", created[2]]
    assert deals.ints("known_at").tolist() == [micros(text) for text in known]
    assert deals.coded("region_code").strings() == ["NL", None, "DE"]
    np.testing.assert_array_equal(deals.floats("score"), [1.5, np.nan, -2.0])
    assert history.ints("amount")[:3].tolist() == [10050, 834, 2000]  # half to even
    assert history.ints("seq").tolist() == [0, 1, 2, 3]
    assert history.coded("forecast_category").strings() == ["pipeline", "closed", "best_case", None]
    assert history.ints("next_step_set")[:2].tolist() == [1, 0]
    assert activities.coded("kind").strings() == ["meeting", "email"]
    assert activities.coded("outcome").strings() == ["planned", None]
    assert activities.coded("contact_id").values == ("C1", "C2")
    assert activities.ints("known_at")[1] == activities.ints("occurred_at")[1]


def test_report_accounts_for_every_row(tmp_path: Path) -> None:
    report = read(export(tmp_path)).report
    assert report["deals"] == TableReport("deals", ("deals.csv",), 3, 3)
    refused = Refusal("unattributed: its deal is not in deals", 1, ("activities.csv:4",))
    assert report["activities"] == TableReport("activities", ("activities.csv",), 3, 2, (refused,))
    assert [notice.message for notice in report.notices] == ["columns not used: region_code, score"]
    assert report.to_json()["tables"][0]["rows_in"] == 3
    with pytest.raises(KeyError):
        report["quotas"]
    with pytest.raises(ValueError, match="3 rows in, but 1 kept and 1 refused"):
        TableReport("deals", (), 3, 1, (refused,))


@pytest.mark.parametrize("form", ["gzip", "bom", "crlf", "padded", "no_last_line_break"])
def test_forms_of_csv_agree(form: str, tmp_path: Path) -> None:
    folder, plain = export(tmp_path / "other"), read(export(tmp_path / "plain"), attributes=ATTRIBUTES).tables
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        if form == "gzip":
            path.unlink()
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
        elif form == "bom":
            path.write_bytes(b"\xef\xbb\xbf" + data)
        elif form == "crlf":
            path.write_bytes(data.replace(b"\n", b"\r\n"))
        elif form == "padded":
            path.write_bytes(data.replace(b"D1,", b" D1 ,").replace(b"Qualify,", b"Qualify ,").replace(b",,", b", ,"))
        else:
            path.write_bytes(data.removesuffix(b"\n"))
    got = read(folder, attributes=ATTRIBUTES)
    assert_same(got.tables, plain)
    assert any("may have been cut off" in n.message for n in got.report.notices) == (form == "no_last_line_break")


@pytest.mark.parametrize("typed", [True, False])
def test_parquet_agrees_with_csv(typed: bool, tmp_path: Path) -> None:
    plain = read(export(tmp_path / "plain"), attributes=ATTRIBUTES).tables
    folder = tmp_path / "parquet"
    folder.mkdir()
    for name in ("deals", "deal_history", "activities"):
        frame = pd.read_csv(tmp_path / "plain" / f"{name}.csv", dtype=None if typed else str)
        if typed and name == "activities":
            frame["occurred_at"] = pd.to_datetime(frame["occurred_at"])
            frame["kind"] = frame["kind"].astype("category")
        if typed and name == "deal_history":
            frame["close_date"] = pd.to_datetime(frame["close_date"]).dt.date
        frame.to_parquet(folder / f"{name}.parquet")
    got = read(folder, attributes=ATTRIBUTES)
    assert_same(got.tables, plain)
    assert got.report["activities"].refused[0].places == ("activities.parquet:row 3",)


def test_naive_parquet_timestamps_are_wall_clock(tmp_path: Path) -> None:
    folder = write(tmp_path, deal_history=HISTORY.replace("D2", "D1").replace("D3", "D1"))
    frame = pd.DataFrame({"deal_id": ["D1", "D2", "D3"], "created_at": pd.to_datetime(["2023-07-01 12:00"] * 3)})
    frame.to_parquet(folder / "deals.parquet")
    assert set(read(folder).tables.deals.ints("created_at").tolist()) == {micros("2023-07-01T10:00:00")}


def test_parquet_faults_have_rows_and_nested_columns_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, deal_history=HISTORY)
    (folder / "deals.parquet").unlink(missing_ok=True)
    pd.DataFrame({"deal_id": ["D1", "D2"], "created_at": ["2024-01-01", "soon"]}).to_parquet(folder / "deals.parquet")
    with pytest.raises(DataError, match=r"deals\.parquet:row 2: deals\.created_at: 'soon'"):
        read(folder)
    pd.DataFrame({"deal_id": [["D1"]], "created_at": ["2024-01-01"]}).to_parquet(folder / "deals.parquet")
    with pytest.raises(SchemaError, match="a column of type list"):
        read(folder)


def test_blank_rows_are_counted(tmp_path: Path) -> None:
    folder = export(tmp_path)
    write(folder, deals=DEALS.replace("D2,", "\n,,,,,,,,\n\nD2,") + "\n")
    report = read(folder).report["deals"]
    assert (report.rows_in, report.rows_kept, report.refused_for("blank row")) == (7, 3, 4)


def test_a_cut_is_refused_or_noticed_wherever_it_falls(tmp_path: Path) -> None:
    export(tmp_path)
    whole = HISTORY.encode()
    for end in range(1, len(whole)):
        (tmp_path / "deal_history.csv").write_bytes(whole[:end])
        try:
            notices = read(tmp_path).report.notices
        except DataError:
            continue
        # A cut between rows leaves deals without history; one in the last cell leaves no line break.
        assert {n.code for n in notices} & {"odd_file", "no_history"}, whole[:end]


def test_few_deals_without_history_are_kept(tmp_path: Path) -> None:
    """Fewer than 20, or at most a fifth: a truncated file is told apart from deals that nobody has touched yet."""
    some = "".join(f"E{i},,2024-01-04,,,,,,\n" for i in range(19))
    assert read(write(export(tmp_path), deals=DEALS + some)).report.noticed("no_history") == 19
    many = "".join(f"E{i},,2024-01-04,,,,,,\n" for i in range(100))
    told = "".join(f"E{i},2024-01-05,Qualify,,,,,,\n" for i in range(80))
    read(write(tmp_path, deals=DEALS + many, deal_history=HISTORY + told))
    more = told.replace("E79,", "E78,")
    with pytest.raises(SchemaError, match=r"21 of 103 deals \(20\.4%\) have no history: 'E79', 'E80', 'E81'"):
        read(write(tmp_path, deals=DEALS + many, deal_history=HISTORY + more))


def test_the_last_line_break_of_other_files_is_no_sign_of_a_cut_history(tmp_path: Path) -> None:
    folder = write(export(tmp_path), deals=DEALS + "E1,,2024-01-04,,,,,,")
    assert read(folder).report.noticed("no_history") == 1


def test_a_creation_on_a_bare_date_is_bounded_by_the_history_of_that_day(tmp_path: Path) -> None:
    deals = "deal_id,created_at,known_at\nD1,2024-03-04,\nD2,2024-03-04,2024-03-06\nD3,2024-03-04,\nD4,2024-03-04,\n"
    history = (
        "deal_id,known_at,stage\nD1,2024-03-04T15:00:00Z,Won\nD1,2024-03-04T08:00:00Z,Qualify\n"
        "D2,2024-03-06 09:00:00,Qualify\nD3,2024-03-03T23:00:00Z,Lost\nD3,2024-03-03T22:59:59Z,Qualify\n"
        "D4,2024-03-04,Won\n"
    )
    got = read(write(tmp_path, deals=deals, deal_history=history))
    end = "2024-03-04T22:59:59.999999"  # Amsterdam is an hour ahead
    created = ["2024-03-04T08:00:00", end, "2024-03-03T23:00:00", end]
    assert got.tables.deals.ints("created_at").tolist() == [micros(text) for text in created]
    created[1] = "2024-03-06T08:00:00"
    assert got.tables.deals.ints("known_at").tolist() == [micros(text) for text in created]
    notice = next(n for n in got.report.notices if n.code == "created_same_day")
    assert (notice.rows, notice.places) == (3, ("deals.csv:2", "deals.csv:3", "deals.csv:4"))
    assert got.report.noticed("history_before_created") == 1


def test_an_exact_creation_bounds_a_bare_known_at(tmp_path: Path) -> None:
    deals = "deal_id,created_at,known_at\nD1,2024-03-04T12:00:00Z,2024-03-04\n"
    history = "deal_id,known_at,stage\nD1,2024-03-04T08:00:00Z,Qualify\n"
    table = read(write(tmp_path, deals=deals, deal_history=history)).tables.deals
    assert table.ints("created_at").tolist() == table.ints("known_at").tolist() == [micros("2024-03-04T12:00:00")]


def test_rows_far_in_the_future_are_left_out(tmp_path: Path) -> None:
    """The last row of history is of 2 February 2024."""
    late = "D2,2031-01-06T10:00:00Z,,call,,,,\nD2,2031-01-06T10:00:00Z,2024-01-06,call,,,planned,\n"
    folder = write(
        export(tmp_path),
        deals=DEALS + "D4,,2031-02-01,,,,,,\nD5,,2025-02-02T09:00:00Z,,,,,,\nD6,,2031-02-01,,,,,,\n",
        deal_history=HISTORY + "D6,2024-01-05,Qualify,,,,,,\n",
        activities=ACTIVITIES + late + "D2,2025-02-02T09:00:00.000001Z,,call,,,,\nD4,2024-01-06,,call,,,,\n",
        contacts="deal_id,contact_id,known_at\nD1,C1,2031-01-02\nD1,C2,2024-01-02\n",
        calls="rep_id,submitted_at,period_start,category,amount\nR1,2031-01-05,2024-01-01,commit,9\n",
    )
    got = read(folder)
    tables, report = got.tables, got.report
    assert tables.deals.coded("deal_id").strings() == ["D1", "D2", "D3", "D5"]
    assert [tables.activities.n, tables.contacts.n, tables.calls.n] == [3, 1, 0]
    counts = {table.table: table.refused_for("far in the future") for table in report.tables}
    assert counts == {"deals": 2, "deal_history": 0, "activities": 2, "contacts": 1, "calls": 1}
    for name in ("deal_history", "activities"):
        assert report[name].refused_for("its deal is left out") == 1
    places = {n.table: n.places for n in report.notices if n.code == "far_future"}
    assert places == {
        "deals": ("deals.csv:5", "deals.csv:7"),
        "activities": ("activities.csv:5", "activities.csv:7"),
        "contacts": ("contacts.csv:2",),
        "calls": ("calls.csv:2",),
    }


def test_order_of_rows_changes_no_vocabulary(tmp_path: Path) -> None:
    folder = export(tmp_path)
    before = read(folder).tables.activities
    lines = ACTIVITIES.splitlines()
    write(folder, activities="\n".join([lines[0], *lines[:0:-1]]) + "\n")
    after = read(folder).tables.activities
    assert after.coded("deal_id").values == before.coded("deal_id").values
    assert after.take(np.array([1, 0])).coded("deal_id").codes.tolist() == before.coded("deal_id").codes.tolist()


def test_unknown_stages_may_be_kept(tmp_path: Path) -> None:
    folder = write(export(tmp_path), deal_history=HISTORY.replace("Propose", "Limbo"))
    got = read(folder, stages=STAGES | {"unknown": "keep"})
    assert got.tables.deal_history.coded("stage").strings() == ["Qualify", "Won", None, "Qualify"]
    assert got.report.noticed("unknown_stage") == 1
    notice = next(n for n in got.report.notices if n.code == "unknown_stage")
    assert "'Limbo'" in notice.message
    assert notice.places == ("deal_history.csv:4",)


PIPELINE = """id,created,closed,status,value,rep,hidden
1,1/31/2024,2/29/2024,W,10,Ann,x
2,2/1/2024,,O,,Bob,
3,,,O,,Ann,
4,2/2/2024,2/3/2024,L,0,Ann,
5,2/2/2024,2/3/2024,?,0,Ann,
"""
PARTS: dict[str, Any] = {
    "deals": [
        {
            "file": "pipeline.csv",
            "columns": {"deal_id": "id", "created_at": "created"},
            "constants": {"type": "new"},
            "require": ["created"],
            "date_format": {"created": "%m/%d/%Y"},
        }
    ],
    "deal_history": [
        {
            "file": "pipeline.csv",
            "columns": {"deal_id": "id", "known_at": "created", "owner_id": "rep"},
            "constants": {"stage": "Qualify", "next_step_set": True, "probability": 0.5},
            "date_format": {"created": "%m/%d/%Y"},
            "require": ["created"],
        },
        {
            "file": "pipeline.csv",
            "columns": {"deal_id": "id", "known_at": "closed", "stage": "status", "amount": "value", "owner_id": "rep"},
            "values": {"stage": {"W": "Won", "L": "Lost"}},
            "where": {"status": ["W", "L"]},
            "date_format": {"closed": "%m/%d/%Y"},
        },
    ],
}


def test_mapping_parts(tmp_path: Path) -> None:
    got = read(write(tmp_path, pipeline=PIPELINE), tables=PARTS)
    history = got.tables.deal_history
    assert history.coded("deal_id").strings() == ["1", "2", "4", "5", "1", "4"]
    assert history.coded("stage").strings() == ["Qualify"] * 4 + ["Won", "Lost"]
    assert history.ints("next_step_set")[:4].tolist() == [1, 1, 1, 1]
    assert history.floats("probability")[0] == 0.5
    assert history.ints("seq").tolist() == [0, 1, 2, 3, 4, 5]
    assert history.ints("known_at")[0] == micros("2024-01-31T22:59:59.999999")
    assert got.tables.deals.coded("type").strings() == ["new"] * 4
    report = got.report["deal_history"]
    assert (report.files, report.rows_in, report.rows_kept) == (("pipeline.csv",), 10, 6)
    assert report.refused_for("created is empty") == 1
    assert report.refused_for("status is not W or L") == 3
    assert [n.message for n in got.report.notices if n.code == "ignored_columns"] == ["columns not used: hidden"]


def test_history_of_left_out_deals_is_left_out(tmp_path: Path) -> None:
    parts = {"deals": PARTS["deals"], "deal_history": [PARTS["deal_history"][1] | {"where": {"id": ["1", "3"]}}]}
    text = PIPELINE.replace("3,,,O", "3,,2/9/2024,W")
    report = read(write(tmp_path, pipeline=text), tables=parts).report["deal_history"]
    assert (report.rows_kept, report.refused_for("its deal is left out")) == (1, 1)


def test_faults_of_a_mapping_against_the_files(tmp_path: Path) -> None:
    folder = write(tmp_path, pipeline=PIPELINE)
    columns = {"deal_id": "Id", "colour": "rep"}
    part = PARTS["deals"][0] | {"columns": columns, "date_format": {}, "require": ["craeted"]}
    with pytest.raises(SchemaError) as caught:
        read(folder, tables=PARTS | {"deals": [part]}, attributes={"tier": {"kind": "number"}})
    text = str(caught.value)
    assert "the mapping fills 'colour'; expected a column of deals" in text
    assert "the mapping fills no 'created_at'" in text
    assert "no column 'Id'; expected it in the header; did you mean 'id'?" in text
    assert "no column 'craeted'; expected it in the header; did you mean 'created'?" in text
    assert "no column 'tier'" in text


def test_a_namesake_is_left_alone_where_the_mapping_names_other_tables(tmp_path: Path) -> None:
    folder = write(tmp_path, pipeline=PIPELINE, accounts="account,sector\nAcme,retail\n")
    got = read(folder, tables=PARTS)
    assert got.tables.accounts.n == 0
    assert "accounts.csv is not read" in str(got.report.notices)
    write(folder, accounts="account_id,industry\nAcme,retail\n")
    assert read(folder, tables=PARTS).tables.accounts.n == 1


def test_all_canonical_tables_are_read(tmp_path: Path) -> None:
    folder = write(
        export(tmp_path),
        contacts="deal_id,contact_id,known_at,role,seniority\nD1,C1,2024-01-02,user,staff\nD8,C1,2024-01-02,,\n",
        accounts="account_id,industry\nA1,retail\n",
        reps="rep_id,manager_id,team,hired,left\nR1,M1,North,2020-01-01,\n",
        quotas="rep_id,period_start,amount\nR1,2024-01-01,1000\n",
        calls="rep_id,submitted_at,period_start,category,amount\nR7,2024-01-05T08:00:00Z,2024-01-01,Commit,900\n",
    )
    got = read(folder)
    assert [table.n for table in got.tables.by_name().values()] == [3, 4, 2, 1, 1, 1, 1, 1, 0, 0, 0]
    assert got.tables.calls.coded("category").strings() == ["commit"]
    assert got.tables.quotas.ints("amount").tolist() == [100_000]
    assert {n.code: n.rows for n in got.report.notices if n.rows} == {"unlisted_owner_id": 1, "unlisted_rep_id": 1}
    assert got.report["contacts"].refused_for("unattributed: its deal is not in deals") == 1


def config_file(folder: Path, kind: str, lines: str = "") -> Path:
    (folder / "map.yaml").write_text("stages: {order: [Qualify, Propose], won: [Won], lost: [Lost]}\n")
    path = folder / "config.yaml"
    path.write_text(
        "name: t\ntime_zone: Europe/Amsterdam\ntarget: in_period\nperiod: {kind: quarter}\n"
        f"source:\n  kind: {kind}\n{lines}state_dir: {folder / 'state'}\n"
    )
    return path


def test_open_source_follows_the_config(tmp_path: Path) -> None:
    folder = export(tmp_path / "data")
    for kind in ("files", "simulated"):
        path = config_file(tmp_path, kind, f"  path: {folder}\n  mapping: map.yaml\n")
        assert open_source(load_config(path)).read().tables.deals.n == 3
    assert set(SOURCES) >= {"files", "event_log", "simulated"}
    with pytest.raises(ValueError, match="registered twice"):
        source("files")(lambda config, mapping, zone: FilesFolder(folder, mapping, zone))  # type: ignore[arg-type]


def test_simulated_refuses_a_path_with_the_truth(tmp_path: Path) -> None:
    folder = export(tmp_path / "company")
    (folder / "truth").mkdir()
    path = config_file(tmp_path, "simulated", f"  path: {folder}\n  mapping: map.yaml\n")
    with pytest.raises(SchemaError, match=r"the folder holds truth.*set source\.path to .*export"):
        open_source(load_config(path))
    for inside in ("truth", "renamed"):
        other = tmp_path / inside
        other.mkdir()
        (other / "deals_truth.csv").write_text("deal_id\n")
        with pytest.raises(SchemaError, match="an export, without the truth"):
            open_source(load_config(path, [f"source.path={other}"]))


def test_simulated_generates_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from features.sources import company

    written: list[Path] = []

    def fake_write(made: object, out: Path) -> None:
        export(out / "export").touch()
        (out / "truth").mkdir()
        written.append(out)

    monkeypatch.setattr(company, "simulate", lambda settings: settings)
    monkeypatch.setattr(company, "write", fake_write)
    path = config_file(tmp_path, "simulated", "  mapping: map.yaml\n")
    for _ in range(2):
        assert open_source(load_config(path)).read().tables.deals.n == 3
    open_source(load_config(path, ["source.simulate.seed=8"]))
    folders = sorted((tmp_path / "state" / "simulated").iterdir())
    assert len(written) == len(folders) == 2
    assert not any(folder.name.startswith(".") for folder in folders)

    def full(made: object, out: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(company, "write", full)
    with pytest.raises(StateError, match="No space left"):
        open_source(load_config(path, ["source.simulate.seed=9"]))
    assert sorted((tmp_path / "state" / "simulated").iterdir()) == folders


@pytest.mark.skipif(not (DATA / "maven_crm").is_dir(), reason=f"no third-party data at {DATA / 'maven_crm'}")
def test_maven_counts() -> None:
    config = load_config(ROOT / "configs" / "maven.yaml", [f"source.path={DATA / 'maven_crm'}"])
    got = open_source(config).read()
    deals = got.report["deals"]
    assert (deals.rows_in, deals.rows_kept, deals.refused_for("engage_date is empty")) == (8800, 8300, 500)
    history = got.tables.deal_history
    stage = history.coded("stage")
    counts = np.bincount(stage.codes, minlength=len(stage.values))
    assert dict(zip(stage.values, counts.tolist(), strict=True)) == {"Engaging": 8300, "Lost": 2473, "Won": 4238}
    assert got.report["deal_history"].rows_in == 17_600
