"""Leads as canonical files: alone or beside deals, and what is done about rows that can't be meant."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from configs.errors import DataError, MissingFileError, SchemaError, TooLittleDataError, UnmappedError
from configs.load import load_config, mapping_of
from configs.mapping import FilesMapping
from configs.schema import Config
from configs.vocab import Target
from features.ingest import Ingest
from features.sources.assemble import FAR_FUTURE, LEAD_LEFT_OUT, NO_LEAD
from features.sources.base import open_source
from features.sources.files import FilesFolder
from tests.lead_world import lead_config, write_leads
from tests.sf import refused, rows
from training.commands import readiness
from training.prepare import end_of, prepare

STAGES = {"order": ["Open"], "won": ["Won"], "lost": ["Lost"]}
LEADS = """lead_id,created_at,source,size,opted_out,seats
L1,2024-01-02T09:00:00Z,web,small,false,5
L2,2024-01-03T09:00:00Z,event,large,true,6
L3,2024-01-04T09:00:00Z,web,small,,7
"""
HISTORY = """lead_id,known_at,event,deal_id
L1,2024-01-05T09:00:00Z,Picked up,
L1,2024-02-02T09:00:00Z,converted,D1
L3,2024-02-03T09:00:00Z,converted,
L1,2024-02-04T09:00:00Z,disqualified,
"""
ACTS = """lead_id,occurred_at,known_at,kind,direction,outcome,minutes
L1,2024-01-06T10:00:00Z,,Mailing,outbound,sent,
L3,2024-01-06T10:00:00Z,2024-01-06T11:00:00Z,call,outbound,held,30
"""
MAPPING: dict[str, Any] = {
    "stages": STAGES,
    "activity_kinds": {"campaign": ["Mailing"]},
    "leads": {
        "worked": ["Picked up"],
        "fixed_fields": ["source"],
        "attributes": {"chairs": {"kind": "number", "column": "seats"}},
    },
}


def files(folder: Path, **changed: str | None) -> Path:
    """Write the files, some with other rows or left out (None)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ({"leads": LEADS, "lead_history": HISTORY, "lead_activities": ACTS} | changed).items():
        if text is not None:
            (folder / f"{name}.csv").write_text(text)
    return folder


def read(folder: Path, target: Target = Target.CONVERTED, **changed: str | None) -> Ingest:
    """Read what `files` writes, as it is before the leads stand in the place of deals."""
    return FilesFolder(files(folder, **changed), FilesMapping.model_validate(MAPPING), ZoneInfo("UTC"), target).read()


def config_of(folder: Path, target: str = "converted", **changed: str | None) -> Config:
    files(folder / "export", **changed)
    (folder / "mapping.yaml").write_text(yaml.safe_dump(MAPPING))
    said = {
        "name": "leads",
        "time_zone": "UTC",
        "target": target,
        "period": {"kind": "quarter"},
        "source": {"kind": "files", "path": str(folder / "export"), "mapping": "mapping.yaml"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(said))
    return load_config(folder / "config.yaml")


def test_leads_alone_are_a_source(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    ingest = open_source(config).read()
    assert ingest.tables.deals.coded("deal_id").strings() == ["L1", "L3"]  # L2 opted out
    assert ingest.tables.deals.floats("chairs").tolist() == [5.0, 7.0]
    assert "size" not in ingest.tables.deals.columns  # not declared
    assert ingest.tables.deals.coded("source").strings() == ["web", "web"]
    assert rows(ingest.tables.activities, "deal_id", "known_at", "kind") == [
        ("L1", "01-06 10:00:00", "campaign"),
        ("L3", "01-06 11:00:00", "call"),
    ]
    assert set(mapping_of(config).attributes) == {"chairs"}
    assert [report.table for report in ingest.report.tables] == ["leads", "lead_history", "lead_activities"]
    assert ingest.became is not None
    assert not ingest.became.linked.any()


def test_what_must_be_there_depends_on_what_is_asked(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"leads\.csv"):
        read(tmp_path / "a", leads=None)
    with pytest.raises(MissingFileError, match=r"deals\.csv"):
        read(tmp_path / "b", target=Target.IN_PERIOD)
    deals = {
        "deals": "deal_id,created_at\nD1,2024-02-02T09:00:00Z\n",
        "deal_history": "deal_id,known_at,stage\nD1,2024-02-02T09:00:00Z,Open\n",
    }
    no_leads: dict[str, str | None] = dict.fromkeys(("leads", "lead_history", "lead_activities"))
    assert read(tmp_path / "c", target=Target.IN_PERIOD, **deals, **no_leads).tables.leads.n == 0
    with pytest.raises(TooLittleDataError, match="no leads"):
        open_source(config_of(tmp_path / "d", **no_leads | {"leads": LEADS.splitlines()[0] + "\n"})).read()


def test_deals_beside_leads_need_their_history(tmp_path: Path) -> None:
    deals = "deal_id,created_at\n" + "".join(f"D{i},2024-02-02T09:00:00Z\n" for i in range(25))
    with pytest.raises(DataError, match=r"deal_history\.deal_id: 25 of 25 deals"):
        read(tmp_path, deals=deals)


def test_conversions_are_held_against_the_deals_that_are_there(tmp_path: Path) -> None:
    deals = {
        "deals": "deal_id,created_at\nD2,2024-02-02T09:00:00Z\n",
        "deal_history": "deal_id,known_at,stage\nD2,2024-02-02T09:00:00Z,Open\n",
    }
    ingest = read(tmp_path, **deals)
    assert ingest.report.noticed("unlisted_deal") == 1  # D1; L3 names none, which is fine
    assert ingest.tables.lead_history.n == 4


def test_rows_of_leads_that_nobody_knows_are_left_out_and_counted(tmp_path: Path) -> None:
    ingest = read(
        tmp_path,
        lead_history=HISTORY + "L9,2024-02-02T09:00:00Z,mql,\n",
        lead_activities=ACTS + "L9,2024-02-02T09:00:00Z,,web,inbound,,\nL8,2024-02-02T09:00:00Z,,web,inbound,,\n",
    )
    assert refused(ingest, "lead_history") == {NO_LEAD: 1}
    assert refused(ingest, "lead_activities") == {NO_LEAD: 2}
    assert ingest.report["lead_activities"].rows_in == 4


def test_a_history_that_is_mostly_of_unknown_leads_is_refused(tmp_path: Path) -> None:
    strangers = "".join(f"X{i},2024-02-02T09:00:00Z,mql,\n" for i in range(25))
    with pytest.raises(DataError, match="25 of 29 rows of history are of leads that are not in leads"):
        read(tmp_path, lead_history=HISTORY + strangers)


def test_a_slip_of_the_pen_moves_nothing(tmp_path: Path) -> None:
    ingest = read(
        tmp_path,
        leads=LEADS + "L4,2034-01-04T09:00:00Z,web,small,,7\n",
        lead_history=HISTORY + "L4,2024-02-02T09:00:00Z,mql,\nL1,2044-02-02T09:00:00Z,mql,\n",
        lead_activities=ACTS + "L3,2054-01-06T10:00:00Z,,web,inbound,,\n",
    )
    assert refused(ingest, "lead_activities") == {FAR_FUTURE: 1}
    assert refused(ingest, "leads") == {FAR_FUTURE: 1}
    assert refused(ingest, "lead_history") == {FAR_FUTURE: 1, LEAD_LEFT_OUT: 1}
    assert ingest.report.noticed("far_future") == 3


def test_history_known_before_its_lead_counts_from_the_lead_on(tmp_path: Path) -> None:
    early = "L3,2023-12-30T09:00:00Z,mql,\nL3,2023-12-29T09:00:00Z,Picked up,\n"
    ingest = read(tmp_path, lead_history=HISTORY + early)
    table = ingest.tables.lead_history
    mine = sorted(row[1:] for row in rows(table, "lead_id", "known_at", "seq", "event") if row[0] == "L3")
    assert [(at, event) for at, _, event in mine] == [
        ("01-04 09:00:00", "worked"),
        ("01-04 09:00:00", "mql"),
        ("02-03 09:00:00", "converted"),
    ]
    assert ingest.report.noticed("history_before_lead") == 2


def test_a_lead_of_a_bare_day_was_there_before_its_history_of_that_day(tmp_path: Path) -> None:
    leads = "lead_id,created_at\nL1,2024-01-05\n"
    plain = {"stages": STAGES, "leads": {"worked": ["Picked up"]}}
    folder = files(tmp_path, leads=leads + "L3,2024-01-04\n", lead_activities=None)
    ingest = FilesFolder(folder, FilesMapping.model_validate(plain), ZoneInfo("UTC"), Target.CONVERTED).read()
    assert rows(ingest.tables.leads, "created_at") == [("01-05 09:00:00",), ("01-04 23:59:59",)]
    assert ingest.report.noticed("created_same_day") == 1


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"lead_history": HISTORY.replace("Picked up", "Tickled")}, UnmappedError, "'Tickled'"),
        ({"lead_activities": ACTS.replace("Mailing", "Seance")}, UnmappedError, "'Seance'"),
        ({"lead_activities": ACTS.replace("Mailing,outbound", "Mailing,upward")}, DataError, "'upward'"),
        ({"lead_activities": ACTS.replace(",30\n", ",-30\n")}, SchemaError, "-30"),
        ({"leads": LEADS + "L1,2024-01-02T09:00:00Z,web,small,false,5\n"}, SchemaError, "'L1' again"),
        ({"leads": LEADS.replace("true", "perhaps")}, SchemaError, "'perhaps'"),
        ({"leads": LEADS.replace("seats", "stools")}, SchemaError, "no column 'seats'"),
        ({"leads": LEADS.replace("2024-01-03T09:00:00Z", "")}, SchemaError, "empty"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, changed: dict[str, str], error: type[DataError], says: str
) -> None:
    with pytest.raises(error, match=says):
        read(tmp_path, **changed)


def test_odd_but_possible_rows_are_kept_and_told(tmp_path: Path) -> None:
    early = "L1,2024-01-09T10:00:00Z,2024-01-08T10:00:00Z,call,outbound,held,\n"
    first = "L1,2024-01-02T09:00:00Z,2024-01-01T09:00:00Z,1\n"
    leads = "lead_id,created_at,known_at,seats\n" + first + "L3,2024-01-04T09:00:00Z,,2\n"
    ingest = read(tmp_path, leads=leads, lead_activities=ACTS + early)
    assert ingest.report.noticed("known_before_it_happened") == 1
    assert ingest.report.noticed("known_before_created") == 1


def test_the_record_of_leads_ends_with_what_was_last_done(tmp_path: Path) -> None:
    late = "L3,2024-03-06T10:00:00Z,,web,inbound,,\n"
    tables = open_source(config_of(tmp_path, lead_activities=ACTS + late)).read().tables
    day = 86_400_000_000
    assert (
        end_of(tables, "UTC", Target.CONVERTED) - end_of(tables, "UTC") == 32 * day
    )  # 7 March; 4 February, for what came after a conversion is left out


def test_readiness_names_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = config_of(
        tmp_path,
        leads=LEADS + "L5,2024-01-07T09:00:00Z,web,small,,7\n",
        lead_activities=ACTS + "L9,2024-02-02T09:00:00Z,,web,inbound,,\n",
    )
    said = readiness(config)
    assert {name: said[name] for name in said if name != "report"} == {
        "leads": 3,
        "converted": 2,
        "disqualified": 0,  # that came after the conversion
        "won": 0,
        "converted_without_deal": 2,
        "opted_out": 1,
        "unworked": 1,
        "after_conversion": 1,
        "unattributed": 1,
        "left_out": 0,
        "far_future": 0,
    }
    printed = capsys.readouterr().out
    for words in ("3 leads; 2 converted", "1 more opted out", "1 did not convert and nobody worked them", "1 after a"):
        assert words in printed


def test_readiness_and_training_agree_about_leads_that_nobody_worked(tmp_path: Path) -> None:
    write_leads(tmp_path, n=300)
    config = lead_config(tmp_path)
    said, prepared = readiness(config), prepare(config, open_source(config).read())
    assert said["unworked"] > 20
    assert prepared.unworked > 0
    assert said["leads"] + said["opted_out"] == 300
