"""Contacts of HubSpot as leads: the dated history of their lifecycle, and what HubSpot does to both."""

from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from configs.errors import ConfigError, DataError, MissingFileError, SchemaError
from configs.hubspot import HubSpotMapping
from configs.load import load_config, load_mapping
from configs.vocab import SourceKind
from features.leads import as_leads
from features.sources.base import open_source
from features.sources.hubspot.contacts import ARCHIVED, MERGED
from features.sources.hubspot.engagements import MERGE_UNTOLD
from features.sources.hubspot.history import ORPHAN, UNREAD
from features.sources.hubspot.lifecycle import CLEARED, MERGED_HISTORY, NO_STEP, STATUS
from features.sources.hubspot.source import HubSpot
from tests.hs import acts, contact, done, history, portal, read, said, t, why, write
from tests.sf import rows

ROOT = Path(__file__).parents[3]
STATUS_OF = "hs_lead_status"


def test_the_lifecycle_stage_counts_from_each_of_its_timestamps(tmp_path: Path) -> None:
    ingest = read(
        tmp_path,
        contacts=[contact("1", lifecyclestage="customer"), contact("2", t("01-03")), contact("4", t("01-04"))],
        contacts_property_history=[
            said("1", t("02-20"), "customer"),  # newest first, as the API tells it
            said("1", t("01-20"), "opportunity"),
            said("1", t("01-06"), "lead"),  # set back, after it was cleared
            said("1", t("01-06"), ""),
            said("1", t("01-05"), "marketingqualifiedlead"),
            said("1", t("01-02"), "subscriber"),
            said("2", t("01-04"), "evangelist"),
            said("2", t("01-01"), "salesqualifiedlead"),  # from before an import made the contact
            said("1", t("01-03"), "x@example.com", "email"),
            said("99", t("01-02"), "lead"),
            said("4", t("01-04"), "customer", sourceType="IMPORT"),
        ],
    )
    assert history(ingest, "1") == [
        ("01-02 09:00:00", "new"),
        ("01-05 09:00:00", "mql"),
        ("01-06 09:00:00", "new"),
        ("01-20 09:00:00", "converted"),
        ("02-20 09:00:00", "converted"),
    ]
    assert history(ingest, "2") == [("01-03 09:00:00", "sql")]
    assert ingest.report.noticed("history_before_lead") == 1
    assert why(ingest, "contacts_property_history") == {CLEARED: 1, NO_STEP: 1, UNREAD: 1, ORPHAN: 1}
    leads = as_leads(ingest, portal(), ZoneInfo("UTC"))
    assert leads.report.noticed("after_conversion") == 1
    assert leads.became is not None
    waited = leads.became.converted_at - ingest.tables.leads.ints("created_at")
    assert waited[[0, 2]].tolist() == [18 * 86_400_000_000, 0]  # an imported customer is never open


def test_a_status_disqualifies_and_takes_up_again(tmp_path: Path) -> None:
    ingest = read(
        tmp_path,
        {"leads": {"worked": ["IN_PROGRESS"], "sql": ["48839201"]}},
        contacts=[contact("1"), contact("2")],
        contacts_property_history=[
            said("1", t("01-02"), "lead"),
            said("1", t("01-03"), "NEW", STATUS_OF),
            said("1", t("01-04"), "IN_PROGRESS", STATUS_OF),
            said("1", t("01-05"), "marketingqualifiedlead"),
            said("1", t("01-06"), "IN_PROGRESS", STATUS_OF),  # worked, but further by then
            said("1", t("01-07"), "UNQUALIFIED", STATUS_OF),
            said("1", t("01-08"), "unqualified", STATUS_OF),
            said("1", t("01-09"), "", STATUS_OF),  # taken up again: the stage in force
            said("2", t("01-05"), "48839201"),
            said("2", t("01-06"), "77777"),
        ],
    )
    assert [event for _, event in history(ingest, "1")] == ["new", "worked", "mql", "disqualified", "mql"]
    assert [event for _, event in history(ingest, "2")] == ["sql"]
    assert why(ingest, "contacts_property_history") == {STATUS: 3, NO_STEP: 1}
    strange = [notice for notice in ingest.report.notices if notice.code == "unknown_stage"]
    assert [notice.rows for notice in strange] == [1]
    assert "'77777'" in strange[0].message


def test_a_bulk_edit_counts_and_is_noticed(tmp_path: Path) -> None:
    many = [str(number) for number in range(30)]
    bulk = [said(key, t("02-01"), "marketingqualifiedlead") for key in many]
    ingest = read(
        tmp_path,
        {"bulk_contacts": 25},
        contacts=[contact(key) for key in many],
        contacts_property_history=[*bulk, said("3", t("02-02"), "salesqualifiedlead")],
    )
    assert ingest.report.noticed("bulk_edit") == 30
    assert ingest.tables.lead_history.n == 31
    assert read(tmp_path).report.noticed("bulk_edit") == 0  # fewer than 100


def test_contacts_without_history_are_counted(tmp_path: Path) -> None:
    ingest = read(
        tmp_path,
        contacts=[contact("1", lifecyclestage="customer"), contact("2", lifecyclestage="lead"), contact("3")],
        contacts_property_history=[said("2", t("01-02"), "lead")],
    )
    assert ingest.report.noticed("no_lifecycle") == 2
    assert ingest.report.noticed("conversion_untold") == 1
    assert history(ingest, "1") == []


def test_times_are_iso_or_milliseconds_since_1970(tmp_path: Path) -> None:
    ms = 1_704_445_200_000  # 5 January 2024, 09:00 UTC
    ingest = read(
        tmp_path,
        contacts=[contact("1", str(ms)), contact("2", t("01-05"))],
        contacts_property_history=[
            said("1", str(ms + 86_400_123), "opportunity"),
            said("2", t("01-06"), "opportunity"),
        ],
    )
    created = ingest.tables.leads.ints("created_at")
    assert created[0] == created[1] == ms * 1000
    when = ingest.tables.lead_history.ints("known_at")
    assert np.diff(np.sort(when)).tolist() == [123_000]
    with pytest.raises(SchemaError, match="1704445200"):  # seconds are not guessed at
        read(tmp_path, contacts=[contact("1", "1704445200")])


def test_archived_contacts_and_opt_outs(tmp_path: Path) -> None:
    ingest = read(
        tmp_path,
        contacts=[
            contact("1", hs_email_optout="", hs_email_optout_8="true", archived="false"),
            contact("2", hs_email_optout="true", archived="false", hs_email_optout_survey_reason="NEVER_SIGNED_UP"),
            contact("3", hs_email_optout="false", archived="true"),
            contact("4", archivedAt=t("03-01")),
            contact("5", hs_email_optout_8="false", Industry="RETAIL", NumEmployees="12", country="NL", company="Acme"),
        ],
        contacts_property_history=[said("5", t("01-02"), "lead"), said("3", t("01-02"), "lead")],
    )
    assert rows(ingest.tables.leads, "lead_id", "opted_out", "industry", "size", "region", "name") == [
        ("1", 1, None, None, None, None),
        ("2", 1, None, None, None, None),
        ("5", 0, "RETAIL", "12", "NL", "Acme"),
    ]
    assert why(ingest, "contacts (exported)") == {ARCHIVED: 2}
    assert why(ingest, "contacts_property_history") == {ORPHAN: 1}
    told = read(tmp_path, {"opt_outs": ["hs_email_optout"]})  # of one subscription is no opt-out then
    assert told.tables.leads.ints("opted_out").tolist()[1:] == [1, np.iinfo(np.int64).min]


def test_what_names_a_merged_contact_counts_for_the_one_that_is_left_from_the_merge_on(tmp_path: Path) -> None:
    merge = 1_706_778_000_000  # 1 February 2024, 09:00 UTC
    ingest = read(
        tmp_path,
        contacts=[
            contact("1", hs_merged_object_ids="7;8", hs_calculated_merged_vids=f"7:{merge}"),
            contact("7"),
            contact("2", hs_merged_object_ids="2"),  # into itself: nothing
        ],
        contacts_property_history=[
            said("1", t("01-02"), "lead"),
            said("7", t("01-02"), "salesqualifiedlead"),
            said("2", t("03-02"), "lead"),
        ],
        emails=[
            done("e1", "7", t("01-10"), hs_email_direction="EMAIL"),
            done("e2", "1;7", t("01-11"), hs_email_direction="INCOMING_EMAIL"),
            done("e3", "8", t("01-12"), hs_email_direction="EMAIL"),
            done("e4", "7", t("02-03"), hs_email_direction="EMAIL"),
        ],
    )
    assert ingest.tables.leads.coded("lead_id").strings() == ["1", "2"]
    assert why(ingest, "contacts (exported)") == {MERGED: 1}
    assert why(ingest, "contacts_property_history") == {MERGED_HISTORY: 1}
    assert why(ingest, "emails") == {MERGE_UNTOLD: 1}
    assert [row[:3] for row in acts(ingest)] == [
        ("1", "01-11 09:00:00", "01-11 09:00:00"),
        ("1", "02-01 09:00:00", "01-10 09:00:00"),
        ("1", "02-03 09:00:00", "02-03 09:00:00"),
    ]
    assert ingest.report.noticed("merge_untold") == 1
    assert ingest.report.noticed("known_with_lead") == 1


def test_contacts_merged_in_a_circle_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a circle"):
        read(tmp_path, contacts=[contact("1", hs_merged_object_ids="2"), contact("2", hs_merged_object_ids="1")])


def test_the_conversion_names_the_deal_that_it_turned_into(tmp_path: Path) -> None:
    deal = {"dealstage": "closedwon", "amount": "900", "closedate": t("03-01")}
    ingest = read(
        tmp_path,
        contacts=[contact(key) for key in ("1", "2", "3")],
        contacts_property_history=[said(key, t("01-20", "15:00:00"), "opportunity") for key in ("1", "2", "3")],
        deals=[
            {"hs_object_id": "d0", "contact_ids": "1", "createdate": t("01-10"), **deal},  # before
            {"hs_object_id": "d2", "contact_ids": "1", "createdate": t("01-25"), **deal},
            {"hs_object_id": "d1", "contact_ids": "2;1", "createdate": t("01-20"), **deal},  # on the day
            {"hs_object_id": "d3", "contact_ids": "3", "createdate": t("02-25"), **deal},  # too late
            {"hs_object_id": "d4", "contact_ids": "3", "createdate": t("01-21"), **deal, "archived": "true"},
        ],
        deals_property_history=[
            {"dealId": "d1", "property": "dealstage", "value": value, "timestamp": at}
            for at, value in ((t("01-20"), "appointmentscheduled"), (t("02-10"), "closedwon"))
        ]
        + [{"dealId": "d1", "property": "amount", "value": "500.5", "timestamp": t("01-22")}],
    )
    events = rows(ingest.tables.lead_history, "lead_id", "event", "deal_id")
    assert events == [("1", "converted", "d1"), ("2", "converted", "d1"), ("3", "converted", None)]
    assert ingest.report.noticed("unlinked") == 1
    told = rows(ingest.tables.deal_history, "deal_id", "known_at", "stage", "amount", "assumed")
    assert [row for row in told if row[0] in ("d0", "d1")] == [
        ("d1", "01-20 09:00:00", "appointmentscheduled", 900.0, "amount"),
        ("d1", "02-10 09:00:00", "closedwon", 500.5, None),
        ("d0", "01-10 09:00:00", "appointmentscheduled", 900.0, "stage,amount"),
        ("d0", "03-01 09:00:00", "closedwon", 900.0, "stage,amount"),
    ]
    became = as_leads(ingest, portal(), ZoneInfo("UTC")).became
    assert became is not None
    assert became.cents.tolist()[:2] == [50050, 50050]
    assert became.linked.tolist() == [True, True, False]


def test_amounts_of_several_currencies_are_the_companys_own(tmp_path: Path) -> None:
    deal = {"contact_ids": "1", "createdate": t("01-20"), "dealstage": "contractsent", "amount": "900"}
    ingest = read(
        tmp_path,
        contacts=[contact("1")],
        deals=[
            {"hs_object_id": "d0", **deal, "deal_currency_code": "EUR", "amount_in_home_currency": "900"},
            {"hs_object_id": "d1", **deal, "deal_currency_code": "USD", "amount_in_home_currency": "800"},
        ],
    )
    assert rows(ingest.tables.deal_history, "deal_id", "amount") == [("d0", 900.0), ("d1", 800.0)]


def test_history_must_be_there(tmp_path: Path) -> None:
    write(tmp_path, contacts=[contact("1")])
    (tmp_path / "contacts_property_history.csv").unlink()
    with pytest.raises(MissingFileError, match="propertiesWithHistory"):
        read(tmp_path)


def test_contacts_of_another_export_than_their_history_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="contacts that are not in the export"):
        read(
            tmp_path,
            contacts=[contact("1")],
            contacts_property_history=[said(str(number), t("01-03"), "lead") for number in range(40)],
        )


def test_only_leads_are_read(tmp_path: Path) -> None:
    write(tmp_path / "export", contacts=[contact("1")], contacts_property_history=[said("1", t("01-02"), "lead")])
    file = ROOT / "configs" / "mappings" / "hubspot.yaml"
    source = f"{{kind: hubspot, path: '{tmp_path / 'export'}', mapping: '{file}'}}"
    config = tmp_path / "leads.yaml"
    config.write_text(f"name: leads\ntime_zone: UTC\ntarget: converted\nperiod: {{kind: quarter}}\nsource: {source}\n")
    assert open_source(load_config(config)).read().tables.deals.n == 1
    for target in ("in_period", "eventual"):
        with pytest.raises(ConfigError, match="leads only are read so far"):
            open_source(load_config(config, [f"target={target}"]))


def test_the_shipped_mapping_reads_a_portal_as_it_comes(tmp_path: Path) -> None:
    shipped = load_mapping(ROOT / "configs" / "mappings" / "hubspot.yaml", SourceKind.HUBSPOT)
    assert isinstance(shipped, HubSpotMapping)
    write(
        tmp_path,
        contacts=[contact("1")],
        contacts_property_history=[said("1", t("01-02"), "lead"), said("1", t("01-09"), "customer")],
    )
    ingest = HubSpot(tmp_path, shipped, ZoneInfo("Europe/Amsterdam")).read()
    assert [event for _, event in history(ingest, "1")] == ["new", "converted"]
