"""Contacts of HubSpot by the shipped mapping: lifecycle history, engagements, and what HubSpot does to both."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from configs.load import load_mapping
from configs.mapping import FilesMapping
from configs.vocab import SourceKind, Target
from features.ingest import Ingest
from features.leads import as_leads
from features.sources.assemble import NO_LEAD
from features.sources.files import FilesFolder
from tests.sf import refused, rows

ROOT = Path(__file__).parents[3]
MS = 1_704_448_800_000  # 5 January 2024, 10:00 UTC
EXPORT = {
    "contacts": (
        "hs_object_id,createdate,hs_analytics_source,industry,numemployees,country,hs_email_optout,lifecyclestage",
        "1,2024-01-02T09:00:00Z,ORGANIC_SEARCH,RETAIL,12,NL,,opportunity",
        "2,2024-01-02T09:00:00Z,OFFLINE,,,,true,lead",
        "3,2024-01-03T09:00:00Z,OFFLINE,,,,false,customer",
        "4,2024-01-04T09:00:00.123Z,OFFLINE,,,,false,customer",
    ),
    "contacts_property_history": (
        "contactId,property,value,timestamp,sourceType",
        "1,lifecyclestage,lead,2024-01-02T09:00:00Z,FORM",
        "1,lifecyclestage,marketingqualifiedlead,2024-01-05T09:00:00Z,WORKFLOWS",
        "1,lifecyclestage,,2024-01-06T09:00:00Z,CRM_UI",  # cleared, to be set back
        "1,lifecyclestage,lead,2024-01-06T09:00:00Z,CRM_UI",
        "1,lifecyclestage,opportunity,2024-01-20T09:00:00Z,DEALS",
        "1,lifecyclestage,customer,2024-02-20T09:00:00Z,DEALS",
        "1,hs_lead_status,OPEN,2024-01-03T09:00:00Z,CRM_UI",
        "3,lifecyclestage,other,2024-01-04T09:00:00Z,BATCH_UPDATE",
        "3,lifecyclestage,salesqualifiedlead,2024-01-01T09:00:00Z,IMPORT",  # before the import made the contact
        "4,lifecyclestage,customer,2024-01-04T09:00:00.123Z,IMPORT",
        "99,lifecyclestage,lead,2024-01-02T09:00:00Z,FORM",  # merged away
    ),
    "emails": (
        "contact_id,hs_timestamp,hs_createdate,hs_email_direction",
        "1,2024-01-03T09:00:00Z,2024-01-03T09:05:00Z,EMAIL",
        "1,2024-01-04T09:00:00Z,2024-01-04T09:01:00Z,INCOMING_EMAIL",
    ),
    "calls": (
        "contact_id,hs_timestamp,hs_createdate,hs_call_direction,hs_call_disposition",
        "3,2024-01-04T09:00:00Z,2024-01-04T18:00:00Z,OUTBOUND,connected",
    ),
    "meetings": (
        "contact_id,hs_meeting_start_time,hs_createdate,hs_lastmodifieddate,hs_meeting_outcome",
        "1,2024-01-10T09:00:00Z,2024-01-05T09:00:00Z,2024-01-10T10:00:00Z,COMPLETED",
        "3,2024-01-11T09:00:00Z,2024-01-05T09:00:00Z,2024-01-11T10:00:00Z,NO_SHOW",
    ),
    "form_submissions": ("contact_id,submittedAt", f"1,{MS}"),
    "page_views": ("contact_id,occurredAt", "1,2024-01-05T11:00:00.000Z"),
    "email_events": (
        "contact_id,type,created,filteredEvent",
        f"1,DELIVERED,{MS},false",
        f"1,OPEN,{MS + 1000},true",  # a machine
        f"1,OPEN,{MS + 60_000},false",
        f"1,CLICK,{MS + 61_000},false",
    ),
}


def mapping() -> FilesMapping:
    shipped = load_mapping(ROOT / "configs" / "mappings" / "hubspot.yaml", SourceKind.FILES)
    assert isinstance(shipped, FilesMapping)
    return shipped


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    for name, lines in EXPORT.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return FilesFolder(tmp_path, mapping(), ZoneInfo("UTC"), Target.CONVERTED).read()


def history(ingest: Ingest, contact: str) -> list[tuple[Any, ...]]:
    listed = rows(ingest.tables.lead_history, "lead_id", "known_at", "event")
    return sorted(row[1:] for row in listed if row[0] == contact)


def test_the_lifecycle_stage_counts_from_each_of_its_timestamps(ingest: Ingest) -> None:
    assert history(ingest, "1") == [
        ("01-02 09:00:00", "new"),
        ("01-05 09:00:00", "mql"),
        ("01-06 09:00:00", "new"),  # set back
        ("01-20 09:00:00", "converted"),
        ("02-20 09:00:00", "converted"),
    ]
    assert history(ingest, "3") == [("01-03 09:00:00", "sql")]  # with the contact, which the import made later
    assert ingest.report.noticed("history_before_lead") == 1
    reasons = refused(ingest, "lead_history")
    assert reasons.pop("property is not lifecyclestage") == 1
    assert reasons.pop(NO_LEAD) == 1
    assert list(reasons.values()) == [2]  # cleared, and other


def test_as_leads_the_first_conversion_counts_and_imported_customers_are_never_open(ingest: Ingest) -> None:
    leads = as_leads(ingest, mapping())
    assert leads.tables.deals.coded("deal_id").strings() == ["1", "3", "4"]  # 2 opted out
    assert leads.report.noticed("after_conversion") == 1
    assert leads.became is not None
    assert (leads.became.converted_at[[0, 2]] - ingest.tables.leads.ints("created_at")[[0, 3]]).tolist() == [
        18 * 86_400_000_000,
        0,
    ]
    assert "industry" not in leads.tables.deals.columns  # a current value, unless the mapping says otherwise


def test_what_was_done_about_a_contact(ingest: Ingest) -> None:
    columns = ("lead_id", "known_at", "kind", "direction", "outcome")
    assert sorted(rows(ingest.tables.lead_activities, *columns), key=lambda row: row[:3]) == [
        ("1", "01-03 09:05:00", "email", "outbound", None),
        ("1", "01-04 09:01:00", "email", "inbound", None),
        ("1", "01-05 09:00:00", "meeting", "mutual", "planned"),
        ("1", "01-05 10:00:00", "campaign", "outbound", "sent"),
        ("1", "01-05 10:00:00", "content", "inbound", "submitted"),
        ("1", "01-05 10:01:00", "content", "inbound", "opened"),
        ("1", "01-05 10:01:01", "campaign", "inbound", "clicked"),
        ("1", "01-05 11:00:00", "web", "inbound", None),
        ("1", "01-10 10:00:00", "meeting", "mutual", "held"),
        ("3", "01-04 18:00:00", "call", "outbound", None),
        ("3", "01-05 09:00:00", "meeting", "mutual", "planned"),
    ]
    assert refused(ingest, "lead_activities")["filteredEvent is not false"] == 1
    for report in ingest.report.tables:
        assert report.rows_in == report.rows_kept + report.rows_refused
