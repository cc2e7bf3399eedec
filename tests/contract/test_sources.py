"""What every registered source owes: tables that keep their contract, rows that add up, a history that can be replayed,
a refusal of stages that nobody named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from configs.errors import UnmappedError
from configs.load import load_config
from configs.schema import Config
from configs.vocab import SourceKind
from features.checks import check_tables
from features.ingest import Ingest
from features.sources.base import SOURCES, LeadSource, open_source
from features.stages import OPEN
from features.tables import NAT, TABLES, Coded, is_missing
from tests.sf import change, hist, opp, t, write

STAGES = {"order": ["Qualify", "Propose"], "won": ["Closed Won"], "lost": ["Closed Lost"]}
DEALS = "deal_id,account_id,created_at\nD1,A1,2024-01-02T09:00:00Z\nD2,A1,2024-01-02T09:00:00Z\n"
LOG = [
    ("D1", "01-02", "Qualify"),
    ("D2", "01-02", "Propose"),
    ("D1", "02-01", "Propose"),
    ("D1", "03-01", "Closed Won"),
]


def canonical(folder: Path) -> dict[str, Any]:
    """Canonical files."""
    (folder / "deals.csv").write_text(DEALS)
    rows = "".join(f"{deal},2024-{day}T09:00:00Z,{stage},U1\n" for deal, day, stage in LOG)
    (folder / "deal_history.csv").write_text("deal_id,known_at,stage,owner_id\n" + rows)
    return {"stages": STAGES}


def event_log(folder: Path) -> dict[str, Any]:
    rows = "".join(f"{deal},{stage},2024-{day}T09:00:00Z\n" for deal, day, stage in LOG)
    (folder / "events.csv").write_text("case,what,when\n" + rows)
    return {"stages": STAGES, "case_id": "case", "activity": "what", "timestamp": "when"}


def salesforce(folder: Path) -> dict[str, Any]:
    made = {
        "Opportunity": [opp("D1", StageName="Closed Won"), opp("D2", StageName="Propose")],
        "OpportunityHistory": [hist(deal, t(day), stage) for deal, day, stage in LOG],
        "OpportunityFieldHistory": [change("D1", t("02-01"), "NextStep", "", "Call")],
        "Task": [{"WhatId": "D1", "CreatedDate": t("02-02"), "TaskSubtype": "Call", "IsClosed": "false"}],
    }
    write(folder, made)
    return {"stages": STAGES}


def hubspot(folder: Path) -> dict[str, Any]:
    """Contacts, which are read as leads."""
    (folder / "contacts.csv").write_text(
        "hs_object_id,createdate\n" + "".join(f"{lead},2024-01-02T09:00:00Z\n" for lead in ("D1", "D2"))
    )
    stages = {"Qualify": "lead", "Propose": "marketingqualifiedlead", "Closed Won": "opportunity"}
    rows = "".join(f"{lead},lifecyclestage,{stages[stage]},2024-{day}T09:00:00Z\n" for lead, day, stage in LOG)
    (folder / "contacts_property_history.csv").write_text("contactId,property,value,timestamp\n" + rows)
    return {"stages": STAGES}


EXAMPLES: dict[str, Callable[[Path], dict[str, Any]]] = {
    SourceKind.FILES: canonical,
    SourceKind.SIMULATED: canonical,
    SourceKind.EVENT_LOG: event_log,
    SourceKind.SALESFORCE: salesforce,
    SourceKind.HUBSPOT: hubspot,
}


def config_of(folder: Path, kind: str, **stages: Any) -> Config:
    """A config over a source's small example; stages: keys of its mapping's stages that are otherwise."""
    mapping = EXAMPLES[kind](folder)
    mapping["stages"] = mapping["stages"] | stages
    (folder.parent / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    said = {
        "name": "example",
        "time_zone": "UTC",
        "target": "converted" if kind == SourceKind.HUBSPOT else "in_period",
        "period": {"kind": "quarter"},
        "source": {"kind": str(kind), "path": str(folder), "mapping": "mapping.yaml"},
    }
    path = folder.parent / "config.yaml"
    path.write_text(yaml.safe_dump(said))
    return load_config(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "export").mkdir()
    return tmp_path / "export"


LEADS_ALONE = (SourceKind.HUBSPOT,)
of_deals = pytest.mark.parametrize("kind", [kind for kind in SourceKind if kind not in LEADS_ALONE], ids=str)


@pytest.fixture(params=list(SourceKind), ids=str)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read(folder: Path, kind: str, **stages: Any) -> Ingest:
    """What a source reads, leads not yet in the shape of deals."""
    opened = open_source(config_of(folder, kind, **stages))
    return (opened.source if isinstance(opened, LeadSource) else opened).read()


@pytest.fixture
def ingest(folder: Path, kind: str) -> Ingest:
    return read(folder, kind)


def test_every_source_has_an_example(folder: Path) -> None:
    open_source(config_of(folder, SourceKind.FILES))  # registers all of them
    assert set(SOURCES) == set(EXAMPLES) == set(SourceKind)


def test_tables_keep_their_contract(ingest: Ingest) -> None:
    assert not [f.code for f in check_tables(ingest.tables, ingest.stages) if f.fatal]
    for name, table in ingest.tables.by_name().items():
        assert set(TABLES[name].names) <= set(table.columns)
        for column in TABLES[name].columns:
            if not column.nullable:
                assert not is_missing(table[column.name]).any(), (name, column.name)
        for data in table.columns.values():
            if isinstance(data, Coded):  # a vocabulary is sorted, and holds what rows use
                assert data.values == tuple(sorted({text for text in data.strings() if text is not None}))


def test_rows_add_up(ingest: Ingest) -> None:
    for report in ingest.report.tables:
        assert report.rows_in == report.rows_kept + sum(refusal.rows for refusal in report.refused)
        if report.table in TABLES:
            assert report.rows_kept == ingest.tables[report.table].n, report.table
    assert (ingest.tables.deals.n, ingest.tables.leads.n) in ((2, 0), (0, 2))


@of_deals
def test_the_history_can_be_replayed(ingest: Ingest) -> None:
    history = ingest.tables.deal_history
    known_at, seq = history.ints("known_at"), history.ints("seq")
    deal, stage = history.coded("deal_id").strings(), history.coded("stage").strings()
    order = np.lexsort((seq, known_at))
    assert len({(deal[i], known_at[i], seq[i]) for i in order}) == history.n
    first, last = {}, {}
    for i in order.tolist():
        first.setdefault(deal[i], stage[i])
        last[deal[i]] = stage[i]
    assert first == {"D1": "Qualify", "D2": "Propose"}
    assert last == {"D1": "Closed Won", "D2": "Propose"}
    assert ingest.stages.outcomes(sorted(first.values())).tolist() == [OPEN, OPEN]
    assert (known_at != NAT).all()


def test_equal_records_give_equal_tables(folder: Path, kind: str, ingest: Ingest) -> None:
    again = read(folder, kind)
    for name, table in ingest.tables.by_name().items():
        for column, data in table.columns.items():
            other = again.tables[name][column]
            if isinstance(data, Coded):
                assert data.strings() == other.strings()  # type: ignore[union-attr]
            else:
                np.testing.assert_array_equal(data, other)


@of_deals
def test_an_unknown_stage_is_refused_by_name(folder: Path, kind: str) -> None:
    with pytest.raises(UnmappedError, match="'Propose'"):
        open_source(config_of(folder, kind, order=["Qualify"])).read()
