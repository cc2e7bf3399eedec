"""The source `event_log`: a small log by hand, its faults, and the counts of BPI Challenge 2012."""

import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from configs.errors import DataError, MissingFileError, SchemaError, UnmappedError
from configs.load import load_config
from configs.mapping import EventLogMapping
from features.ingest import Ingest
from features.sources.base import open_source
from features.sources.event_log import EventLog
from features.stages import LOST, WON
from features.tables import NAT, Coded

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("FORECASTLE_DATA", ROOT.parent / "shared" / "data"))

LOG = """case,what,step,when,who,asked,channel
c2,Apply,COMPLETE,2024-01-02T10:00:00Z,bot,250,web
c1,Apply,COMPLETE,2024-01-01T10:00:00Z,7,100.5,shop
c1,Call back,SCHEDULE,2024-01-01T10:00:00Z,bot,100.5,shop
c1,Call back,START,2024-01-01T12:00:00Z,8,100.5,shop
c1,Call back,COMPLETE,2024-01-01T12:10:00Z,8,100.5,shop
c1,Review,COMPLETE,2024-01-02T10:00:00Z,,100.5,shop
c1,Review,START,2024-01-02T09:00:00Z,9,100.5,shop
c1,Grant,COMPLETE,2024-01-02T10:00:00Z,bot,100.5,web
c2,Refuse,COMPLETE,2024-01-03T10:00:00Z,9,250,web
c3,Call back,COMPLETE,2024-01-03T10:00:00Z,9,,
"""
MAPPING: dict[str, Any] = {
    "case_id": "case",
    "activity": "what",
    "timestamp": "when",
    "lifecycle": "step",
    "resource": "who",
    "system_resources": ["bot"],
    "amount": "asked",
    "attributes": {"channel": {"kind": "category"}, "asked": {"kind": "number"}},
    "stages": {"order": ["Apply", "Review"], "won": ["Grant"], "lost": ["Refuse"]},
    "activities": [
        {"event": "Call*", "lifecycle": ["SCHEDULE"], "kind": "call", "direction": "outbound", "outcome": "planned"},
        {"event": "Call*", "lifecycle": ["COMPLETE"], "kind": "call", "direction": "outbound"},
        {"event": "Apply", "kind": "web", "direction": "inbound"},
    ],
    "ignore": [{"event": "*", "lifecycle": ["START"]}],
}


def read(folder: Path, text: str = LOG, **more: Any) -> Ingest:
    path = folder / "log.csv"
    path.write_text(text)
    return EventLog(path, EventLogMapping.model_validate(MAPPING | more), ZoneInfo("UTC")).read()


def rows(coded: Coded, *others: object) -> list[tuple[object, ...]]:
    return list(zip(coded.strings(), *others, strict=True))  # type: ignore[call-overload]


def test_cases_become_deals(tmp_path: Path) -> None:
    deals = read(tmp_path).tables.deals
    assert rows(deals.coded("deal_id"), deals.coded("channel").strings()) == [
        ("c1", "shop"),
        ("c2", "web"),
        ("c3", None),
    ]
    np.testing.assert_array_equal(deals.floats("asked"), [100.5, 250.0, np.nan])
    first = [
        int(np.datetime64(text, "us").astype(np.int64)) for text in ("2024-01-01T10", "2024-01-02T10", "2024-01-03T10")
    ]
    assert deals.ints("created_at").tolist() == first
    assert deals.ints("known_at").tolist() == first


def test_stage_events_become_history(tmp_path: Path) -> None:
    history = read(tmp_path).tables.deal_history
    assert rows(history.coded("deal_id"), history.coded("stage").strings(), history.coded("owner_id").strings()) == [
        ("c2", "Apply", None),  # a machine owns nothing
        ("c1", "Apply", "7"),
        ("c1", "Review", "7"),  # carried forward: the row has no resource
        ("c1", "Grant", "7"),
        ("c2", "Refuse", "9"),
    ]
    assert history.ints("amount").tolist() == [25000, 10050, 10050, 10050, 25000]
    assert history.ints("seq").tolist() == [0, 1, 5, 7, 8]  # order in the file breaks the tie of Review and Grant


def test_rules_make_activities(tmp_path: Path) -> None:
    table = read(tmp_path).tables.activities
    assert rows(table.coded("deal_id"), table.coded("kind").strings(), table.coded("outcome").strings()) == [
        ("c2", "web", None),
        ("c1", "web", None),
        ("c1", "call", "planned"),
        ("c1", "call", None),
        ("c3", "call", None),
    ]
    assert table.coded("direction").values == ("inbound", "outbound")
    assert (table.ints("known_at") == table.ints("occurred_at")).all()


def test_report(tmp_path: Path) -> None:
    report = read(tmp_path).report
    events = report["events"]
    assert (events.rows_in, events.rows_kept, events.refused_for("ignored by the mapping")) == (10, 8, 2)
    assert events.refused[0].places == ("log.csv:5", "log.csv:8")
    assert {n.code: (n.rows, n.places) for n in report.notices} == {
        "attribute_changes": (1, ("'c1'",)),
        "no_history": (1, ("'c3'",)),
    }


def test_without_optional_columns(tmp_path: Path) -> None:
    text = "case,what,when\nc1,Apply,2024-01-01\nc1,Grant,2024-01-02\n"
    mapping = {key: MAPPING[key] for key in ("case_id", "activity", "timestamp", "stages")}
    path = tmp_path / "log.csv"
    path.write_text(text)
    tables = EventLog(path, EventLogMapping.model_validate(mapping), ZoneInfo("UTC")).read().tables
    assert tables.deal_history.coded("stage").strings() == ["Apply", "Grant"]
    assert tables.deal_history.ints("amount").tolist() == [NAT, NAT]
    assert tables.activities.n == 0


def test_events_that_nobody_names_are_refused(tmp_path: Path) -> None:
    text = LOG.replace("c2,Refuse,COMPLETE", "c2,Refusal,COMPLETE").replace("c1,Review,COMPLETE", "c1,Review,WITHDRAW")
    with pytest.raises(UnmappedError) as caught:
        read(tmp_path, text)
    assert [fault.where for fault in caught.value.faults] == ["log.csv:10", "log.csv:7"]
    assert "event 'Refusal' at 'COMPLETE' on 1 row; expected an event that the mapping names" in str(caught.value)
    assert "did you mean 'Refuse'? name it in the mapping under stages, activities or ignore" in str(caught.value)
    assert "event 'Review' at 'WITHDRAW'" in str(caught.value)


def test_bad_cells_are_all_named(tmp_path: Path) -> None:
    text = (
        LOG.replace("2024-01-03T10:00:00Z,9,250", "late,9,much")
        .replace("c1,Grant", ",Grant")
        .replace("c1,Apply", "c1,")
    )
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    found = sorted((fault.where, fault.code, fault.path) for fault in caught.value.faults)
    assert found == [
        ("log.csv:10", "wrong_type", "events.asked"),
        ("log.csv:10", "wrong_type", "events.asked"),  # as the amount and as the attribute
        ("log.csv:10", "wrong_type", "events.when"),
        ("log.csv:3", "missing_value", "events.what"),
        ("log.csv:9", "missing_value", "events.case"),
    ]


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError) as caught:
        read(tmp_path, timestamp="time", resource="whom")
    assert "log.csv:1: timestamp: no column 'time'" in str(caught.value)
    assert "log.csv:1: resource: no column 'whom'; expected it in the header; did you mean 'who'?" in str(caught.value)


def test_a_folder_may_hold_the_log(tmp_path: Path) -> None:
    mapping = EventLogMapping.model_validate(MAPPING)
    (tmp_path / "README.md").write_text("notes")
    with pytest.raises(MissingFileError, match=r"0 files that could be the log.*holds README\.md"):
        EventLog(tmp_path, mapping, ZoneInfo("UTC")).read()
    (tmp_path / "log.csv").write_text(LOG)
    assert EventLog(tmp_path, mapping, ZoneInfo("UTC")).read().tables.deals.n == 3
    (tmp_path / "other.csv").write_text(LOG)
    with pytest.raises(MissingFileError, match="2 files that could be the log"):
        EventLog(tmp_path, mapping, ZoneInfo("UTC")).read()
    (tmp_path / "events.csv").write_text(LOG)
    assert EventLog(tmp_path, mapping, ZoneInfo("UTC")).read().report["events"].files == ("events.csv",)


@pytest.mark.skipif(not (DATA / "bpic2012").is_dir(), reason=f"no third-party data at {DATA / 'bpic2012'}")
def test_bpic2012_counts() -> None:
    config = load_config(ROOT / "configs" / "bpic2012.yaml", [f"source.path={DATA / 'bpic2012'}"])
    got = open_source(config).read()
    history, deals = got.tables.deal_history, got.tables.deals
    stage = history.coded("stage")
    outcome = got.stages.outcomes(stage.values)[stage.codes]
    case = history.coded("deal_id").codes
    won, lost = set(case[outcome == WON].tolist()), set(case[outcome == LOST].tolist())
    assert (deals.n, len(won), len(lost), deals.n - len(won | lost)) == (13_087, 2_246, 10_442, 399)
    assert not won & lost
    events = got.report["events"]
    assert events.rows_in == 262_200 == events.rows_kept + events.rows_refused
