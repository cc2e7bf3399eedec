"""A company's leads as a HubSpot export are the leads that its canonical files are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.load import load_config
from features.ingest import Ingest
from features.sources.base import open_source
from tests.hs import page, record
from tests.lead_world import lead_config, write_leads
from tests.sf import rows

MAPPING = """
stages: {order: [Open], won: [Closed Won], lost: [Closed Lost]}
leads:
  worked: [IN_PROGRESS]
  fixed_fields: [source, size]
  attributes: {seats: {kind: number}}
"""
SAID = {
    "worked": ("hs_lead_status", "IN_PROGRESS"),
    "disqualified": ("hs_lead_status", "UNQUALIFIED"),
    "converted": ("lifecyclestage", "opportunity"),
}


def as_hubspot(folder: Path, export: Path) -> Path:
    """Write canonical files as an export of HubSpot; return the config's path."""
    names = ("leads", "lead_history", "lead_activities", "deals", "deal_history")
    leads, history, acts, deals, stages = (pd.read_csv(export / f"{n}.csv", dtype=str).fillna("") for n in names)
    out = folder / "hubspot"
    out.mkdir()
    changes: dict[str, dict[str, list[dict[str, str]]]] = {lead: {} for lead in leads.lead_id}
    for lead, at in zip(leads.lead_id, leads.created_at, strict=True):
        changes[lead]["lifecyclestage"] = [{"value": "lead", "timestamp": at}]
    for lead, at, event in zip(history.lead_id, history.known_at, history.event, strict=True):
        name, value = SAID[event]
        changes[lead].setdefault(name, []).insert(0, {"value": value, "timestamp": at})
    contacts = leads.rename(
        columns={
            "lead_id": "hs_object_id",
            "created_at": "createdate",
            "source": "hs_analytics_source",
            "size": "company_size",
            "opted_out": "hs_email_optout",
        }
    ).to_dict("records")
    (out / "contacts.json").write_text(page(*(record(row, changes[row["hs_object_id"]]) for row in contacts)))
    visits = acts[acts.kind == "web"].rename(columns={"lead_id": "contact_id", "occurred_at": "occurredAt"})
    visits.to_csv(out / "page_views.csv", index=False)
    calls = acts[acts.kind == "call"].rename(columns={"lead_id": "contact_id", "occurred_at": "hs_timestamp"})
    calls.assign(hs_createdate=calls.hs_timestamp, hs_call_direction="OUTBOUND").to_csv(out / "calls.csv", index=False)
    last = stages.groupby("deal_id").stage.last()
    of = history[history.deal_id != ""].set_index("deal_id").lead_id
    told = stages.groupby("deal_id")
    made = []
    for key, at in zip(deals.deal_id, deals.created_at, strict=True):
        log = told.get_group(key)
        amount = log.amount.iloc[0]
        moved = [{"value": s, "timestamp": t} for s, t in zip(log.stage, log.known_at, strict=True)]
        row = {"hs_object_id": key, "createdate": at, "dealstage": last[key], "contact_ids": of[key], "amount": amount}
        made.append(record(row, {"dealstage": moved[::-1], "amount": [{"value": amount, "timestamp": at}]}))
    (out / "deals.json").write_text(page(*made))
    (folder / "hubspot.yaml").write_text(MAPPING)
    config = folder / "leads_hubspot.yaml"
    source = f"source: {{kind: hubspot, path: {out}, mapping: hubspot.yaml}}"
    text = (folder / "leads.yaml").read_text()
    config.write_text("\n".join(source if line.startswith("source:") else line for line in text.split("\n")))
    return config


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ingest, Ingest]:
    folder = tmp_path_factory.mktemp("company")
    write_leads(folder, 400)
    hubspot = load_config(as_hubspot(folder, folder / "export"))
    return open_source(lead_config(folder)).read(), open_source(hubspot).read()


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("deals", ("deal_id", "created_at", "known_at", "source", "size", "seats")),
        ("deal_history", ("deal_id", "known_at", "stage")),
        ("activities", ("deal_id", "known_at", "occurred_at", "kind", "direction")),
    ],
)
def test_the_tables_are_the_same(table: str, columns: tuple[str, ...], both: tuple[Ingest, Ingest]) -> None:
    one, other = (set(rows(getattr(ingest.tables, table), *columns)) for ingest in both)
    assert one == other
    assert len(one) > 300


def test_what_became_of_them_is_the_same(both: tuple[Ingest, Ingest]) -> None:
    canonical, hubspot = (ingest.became for ingest in both)
    assert canonical is not None
    assert hubspot is not None
    for name in ("converted_at", "won_at", "lost_at", "cents", "linked"):
        assert np.array_equal(getattr(canonical, name), getattr(hubspot, name)), name
    assert canonical.linked.sum() > 20
