"""Leads of a Salesforce export: their status by its history alone, conversions, and whose their activities are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import DataError, MissingFileError, UnmappedError
from configs.vocab import Target
from features.ingest import Ingest
from features.sources.salesforce.attribution import OF_CONTACT
from features.sources.salesforce.leads import MARKER, NEVER_CONVERTED, ORPHAN
from tests.sf import hist, opp, read, refused, rows, t

Made = dict[str, list[dict[str, Any]]]
WORDS = {
    "leads": {
        "new": ["Open - Not Contacted"],
        "worked": ["Working - Contacted"],
        "converted": ["Closed - Converted"],
        "disqualified": ["Closed - Not Converted"],
    }
}


def lead(key: str, **columns: Any) -> dict[str, Any]:
    """A lead of 5 January."""
    return {"Id": key, "CreatedDate": t("01-05"), "IsConverted": "false", "ConvertedDate": "", **columns}


def converted(key: str, day: str, **columns: Any) -> dict[str, Any]:
    return lead(key, IsConverted="true", ConvertedDate=f"2024-{day}", **columns)


def status(key: str, at: str, old: str, new: str) -> dict[str, Any]:
    return {"LeadId": key, "CreatedDate": at, "Field": "Status", "OldValue": old, "NewValue": new}


def task(at: str, **columns: Any) -> dict[str, Any]:
    """A call that was made and logged at once."""
    return {
        "WhatId": "",
        "TaskSubtype": "Call",
        "IsClosed": "true",
        "CreatedDate": at,
        "CompletedDateTime": at,
    } | columns


def leads_of(folder: Path, **listed: list[dict[str, Any]]) -> Ingest:
    """Read an export that has leads alone."""
    return read(folder, listed, target=Target.CONVERTED, **WORDS)


def events(ingest: Ingest) -> list[tuple[Any, ...]]:
    return sorted(rows(ingest.tables.lead_history, "lead_id", "known_at", "event", "deal_id"), key=lambda row: row[:2])


def acts(ingest: Ingest, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(rows(ingest.tables.lead_activities, "lead_id", "known_at", *columns))


def test_a_status_counts_from_when_history_says_so(tmp_path: Path) -> None:
    ingest = leads_of(
        tmp_path,
        Lead=[lead("L1", Status="Closed - Not Converted"), lead("L2", Status="Working - Contacted")],
        LeadHistory=[
            {"LeadId": "L1", "CreatedDate": t("01-05"), "Field": "created"},
            status("L1", t("01-09"), "Open - Not Contacted", "Working - Contacted"),
            status("L1", t("02-01"), "Working - Contacted", "Closed - Not Converted"),
            status("L1", t("02-02"), "Closed - Not Converted", "Open - Not Contacted"),
            {"LeadId": "L1", "CreatedDate": t("01-07"), "Field": "Owner", "OldValue": "U1", "NewValue": "U2"},
            status("L9", t("02-02"), "Open - Not Contacted", "Working - Contacted"),
        ],
    )
    assert events(ingest) == [
        ("L1", "01-09 09:00:00", "worked", None),
        ("L1", "02-01 09:00:00", "disqualified", None),
        ("L1", "02-02 09:00:00", "new", None),  # taken up again
    ]  # and nothing of L2, whose status stands there now without a date
    assert refused(ingest, "LeadHistory") == {ORPHAN: 1, MARKER: 1, "a field that is not read": 1}
    assert ingest.report["Lead"].rows_kept == 2
    assert ingest.tables.deals.n == 0


def test_the_status_before_its_first_change_was_there_at_creation(tmp_path: Path) -> None:
    history = [status("L1", t("01-20"), "Working - Contacted", "Closed - Not Converted")]
    ingest = leads_of(tmp_path, Lead=[lead("L1")], LeadHistory=history)
    assert events(ingest) == [
        ("L1", "01-05 09:00:00", "worked", None),
        ("L1", "01-20 09:00:00", "disqualified", None),
    ]


def test_a_conversion_is_one_and_counts_from_its_history_else_the_end_of_its_day(tmp_path: Path) -> None:
    ingest = leads_of(
        tmp_path,
        Lead=[
            converted("L1", "01-20", ConvertedOpportunityId="D1"),
            converted("L2", "01-20"),
            lead("L3"),
            lead("L4", IsConverted="true"),
        ],
        LeadHistory=[
            status("L1", t("01-20", "10:00:00"), "Working - Contacted", "Closed - Converted"),
            {"LeadId": "L1", "CreatedDate": t("01-20", "10:00:00"), "Field": "leadConverted"},
            status("L3", t("01-21"), "Open - Not Contacted", "Closed - Converted"),
        ],
    )
    assert events(ingest) == [
        ("L1", "01-05 09:00:00", "worked", None),
        ("L1", "01-20 10:00:00", "converted", "D1"),
        ("L2", "01-20 23:59:59", "converted", None),  # without a deal, which is fine
    ]
    assert refused(ingest, "LeadHistory") == {NEVER_CONVERTED: 1}
    assert ingest.report.noticed("conversion_untold") == 1
    assert ingest.report.noticed("unlisted_deal") == 0  # there is no list of deals at all


def test_who_wants_to_be_left_alone_says_so_in_either_field(tmp_path: Path) -> None:
    said = [("true", ""), ("false", "true"), ("false", "false"), ("", "")]
    listed = [lead(f"L{i}", HasOptedOutOfEmail=mail, DoNotCall=call) for i, (mail, call) in enumerate(said)]
    assert rows(leads_of(tmp_path, Lead=listed).tables.leads, "opted_out") == [(1,), (1,), (0,), (None,)]


def test_what_was_done_about_a_lead(tmp_path: Path) -> None:
    ingest = leads_of(
        tmp_path,
        Lead=[lead("L1"), lead("L2", IsDeleted="true"), lead("L3", MasterRecordId="L1", IsDeleted="true")],
        Task=[
            task(t("01-10"), WhoId="L1", CreatedDate=t("01-08"), CompletedDateTime=t("01-10")),
            task(t("01-10"), WhoId="L2"),
            task(t("01-10"), WhoId="L3"),
            task(t("01-11"), WhoId="L1", Id="T9", TaskSubtype="Email"),  # told by the mail below
        ],
        Event=[
            {
                "WhatId": "",
                "WhoId": "L1",
                "CreatedDate": t("01-12"),
                "StartDateTime": t("01-15"),
                "EndDateTime": t("01-15"),
            }
        ],
        EmailMessage=[
            {
                "Id": "M1",
                "ActivityId": "T9",
                "RelatedToId": "",
                "CreatedDate": t("01-11"),
                "FirstOpenedDate": t("01-13"),
            },
            {"Id": "M2", "RelatedToId": "", "CreatedDate": t("01-14"), "Incoming": "true"},
            {"Id": "M3", "RelatedToId": "", "CreatedDate": t("01-16")},
        ],
        EmailMessageRelation=[
            {"EmailMessageId": "M2", "RelationId": "U1"},
            {"EmailMessageId": "M2", "RelationId": "L1"},
        ],
        CampaignMember=[
            {"LeadId": "L1", "CreatedDate": t("01-06"), "HasResponded": "true", "FirstRespondedDate": "2024-01-07"},
            {"LeadId": "L1", "CreatedDate": t("01-06"), "HasResponded": "true", "FirstRespondedDate": ""},
            {"LeadId": "", "ContactId": "C1", "CreatedDate": t("01-06")},
        ],
    )
    assert acts(ingest, "kind", "direction", "outcome") == [
        ("L1", "01-06 09:00:00", "campaign", "outbound", "sent"),
        ("L1", "01-06 09:00:00", "campaign", "outbound", "sent"),
        ("L1", "01-07 23:59:59", "campaign", "inbound", "responded"),  # a bare date: the end of that day
        ("L1", "01-08 09:00:00", "call", "outbound", "planned"),
        ("L1", "01-10 09:00:00", "call", "outbound", None),
        ("L1", "01-11 09:00:00", "email", "outbound", None),
        ("L1", "01-12 09:00:00", "meeting", "mutual", "planned"),
        ("L1", "01-13 09:00:00", "content", "inbound", "opened"),
        ("L1", "01-14 09:00:00", "email", "inbound", None),
        ("L1", "01-15 09:00:00", "meeting", "mutual", "held"),
    ]
    assert refused(ingest, "Task") == {"belongs to a lead that is not in leads": 2, "told by its EmailMessage": 1}
    assert refused(ingest, "EmailMessage") == {"names no opportunity and no account": 1}
    assert refused(ingest, "CampaignMember") == {OF_CONTACT: 1}
    assert refused(ingest, "Lead") == {"merged into another record": 1, "deleted": 1}
    assert ingest.report.noticed("answer_untold") == 1


def moved(contact: dict[str, Any], **columns: Any) -> Made:
    """A lead that became a contact on 20 January at 10:00, and calls with that contact around it."""
    days = [("01-04", "09"), ("01-10", "09"), ("01-20", "09"), ("01-20", "11"), ("01-25", "09")]
    return {
        "Lead": [converted("L1", "01-20", ConvertedContactId="C1"), lead("L2")],
        "Contact": [{"Id": "C1", **contact}],
        "Task": [task(t(day, f"{hour}:00:00"), WhoId="C1", **columns) for day, hour in days],
    }


@pytest.mark.parametrize(
    ("born", "kept"),
    [
        (t("01-20", "10:00:00"), ["01-10 09", "01-20 09"]),  # what was logged before there was a contact
        ("", ["01-10 09"]),  # nothing tells the hour: the day of the conversion is the contact's
        (t("01-01"), []),  # an older contact: what was done then may have been about it
    ],
)
def test_what_a_conversion_took_from_a_lead_is_given_back(tmp_path: Path, born: str, kept: list[str]) -> None:
    ingest = leads_of(tmp_path, **moved({"CreatedDate": born}))
    assert [row[:2] for row in acts(ingest)] == [("L1", f"{instant}:00:00") for instant in kept]
    assert ingest.report.noticed("given_back") == len(kept)
    assert ingest.report.noticed("activities_lost") == (not kept)


def test_history_tells_the_hour_of_a_conversion(tmp_path: Path) -> None:
    log = [{"LeadId": "L1", "CreatedDate": t("01-20", "10:00:00"), "Field": "leadConverted"}]
    ingest = leads_of(tmp_path, **moved({"CreatedDate": ""}), LeadHistory=log)
    assert [row[1] for row in acts(ingest)] == ["01-10 09:00:00", "01-20 09:00:00"]


def test_no_activity_known_after_a_conversion_is_the_leads(tmp_path: Path) -> None:
    made = moved({"CreatedDate": t("01-20", "10:00:00")}, CompletedDateTime=t("02-01"))
    ingest = leads_of(tmp_path, **made)
    assert {row[2] for row in acts(ingest, "outcome")} == {"planned"}  # all were done after it


def test_a_contact_of_several_leads_or_of_none_that_is_told_gives_nothing_back(tmp_path: Path) -> None:
    made = moved({"CreatedDate": t("01-20", "10:00:00")})
    made["Lead"] += [converted("L3", "01-20", ConvertedContactId="C1"), converted("L4", "01-20")]
    ingest = leads_of(tmp_path, **made)
    assert acts(ingest) == []
    assert ingest.report.noticed("activities_lost") == 3


def test_deals_keep_what_they_had_and_leads_get_theirs(tmp_path: Path) -> None:
    made = moved({"CreatedDate": t("01-20", "10:00:00")}, WhatId="D1") | {
        "Opportunity": [opp("D1", CreatedDate=t("01-20", "10:00:00"))],
        "OpportunityHistory": [hist("D1", t("01-20", "10:00:00"), "Qualify")],
    }
    without = {name: listed for name, listed in made.items() if name != "Lead"}
    (tmp_path / "a").mkdir()
    alone, both = read(tmp_path / "a", without, **WORDS), read(tmp_path / "b", made, **WORDS)
    assert rows(alone.tables.activities, "deal_id", "known_at") == rows(both.tables.activities, "deal_id", "known_at")
    assert len(acts(both)) == 2
    for report in both.report.tables:
        assert report.rows_in == report.rows_kept + report.rows_refused


def test_words_that_nobody_named_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnmappedError, match="'Nurturing'"):
        leads_of(tmp_path, Lead=[lead("L1")], LeadHistory=[status("L1", t("01-09"), "", "Nurturing")])


def test_leads_must_be_there_where_they_are_asked_for_and_a_history_must_be_of_them(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"Lead\.csv"):
        leads_of(tmp_path / "a", Opportunity=[opp("D1")])
    many = [status(f"X{i}", t("01-09"), "", "Working - Contacted") for i in range(25)]
    with pytest.raises(DataError, match="25 of 25 rows are of leads that are not in the export"):
        leads_of(tmp_path / "b", Lead=[lead("L1")], LeadHistory=many)


def test_declared_attributes_of_leads(tmp_path: Path) -> None:
    words = {"leads": WORDS["leads"] | {"attributes": {"seats": {"kind": "number", "column": "Seats__c"}}}}
    ingest = read(tmp_path, {"Lead": [lead("L1", Seats__c="12")]}, target=Target.CONVERTED, **words)
    assert ingest.tables.leads.floats("seats").tolist() == [12.0]


def exported(company: Made, until: int) -> Made:
    """What Salesforce exports at the end of day `until`: later rows are not there, and converted leads are contacts."""

    def known(row: dict[str, Any], column: str = "CreatedDate") -> bool:
        return bool(row[column]) and row[column] < day(until + 1)[: len(row[column])]

    gone = {row["Id"]: row["ConvertedContactId"] for row in company["Lead"] if known(row, "ConvertedDate")}
    leads = [
        row
        if row["Id"] in gone
        else {**row, "IsConverted": "false", "ConvertedDate": "", "ConvertedContactId": "", "Status": "Open"}
        for row in company["Lead"]
        if known(row)
    ]
    tasks = [
        {
            **row,
            "WhoId": gone.get(row["WhoId"], row["WhoId"]),
            "IsClosed": str(known(row, "CompletedDateTime")).lower(),
            "CompletedDateTime": row["CompletedDateTime"] if known(row, "CompletedDateTime") else "",
        }
        for row in company["Task"]
        if known(row)
    ]
    rest = {name: [row for row in company[name] if known(row)] for name in ("Contact", "LeadHistory")}
    return {"Lead": leads, "Task": tasks, **rest}


def day(number: int, clock: str = "00:00:00") -> str:
    return t(f"{1 + number // 28:02d}-{1 + number % 28:02d}", clock)


def a_company(seed: int) -> Made:
    """Leads of which most convert, each at an hour that its contact tells, and their tasks."""
    rng = np.random.default_rng(seed)
    made: Made = {"Lead": [], "Contact": [], "LeadHistory": [], "Task": []}
    for i in range(12):
        born, ends = int(rng.integers(0, 20)), int(rng.integers(25, 80))
        converts, contact, at = bool(rng.random() < 0.6), f"C{i}", day(ends, "12:00:00")
        made["Lead"].append(
            lead(f"L{i}", CreatedDate=day(born, "08:00:00"))
            | ({"IsConverted": "true", "ConvertedDate": at[:10], "ConvertedContactId": contact} if converts else {})
        )
        made["LeadHistory"].append(
            status(f"L{i}", day(born + 2, "09:00:00"), "Open - Not Contacted", "Working - Contacted")
        )
        if converts:
            made["Contact"].append({"Id": contact, "CreatedDate": at})
        for start in rng.integers(born + 1, 80, 6).tolist():
            done = start + int(rng.integers(0, 30))
            mine = not converts or start <= ends  # a task of later is the contact's from the beginning
            made["Task"].append(
                task(
                    day(start, "09:00:00"), CompletedDateTime=day(done, "15:00:00"), WhoId=f"L{i}" if mine else contact
                )
            )
    return made


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_later_export_tells_the_same_of_what_was_known_before(tmp_path: Path, seed: int) -> None:
    company = a_company(seed)
    whole = leads_of(tmp_path / "whole", **exported(company, 110))
    assert whole.report.noticed("given_back") > 10
    columns = ("lead_id", "known_at", "occurred_at", "kind", "direction", "outcome")
    for until in (30, 50, 75):
        earlier = leads_of(tmp_path / str(until), **exported(company, until))
        end = day(until + 1)[5:10] + " 00:00:00"
        for name, what in (("lead_activities", columns), ("lead_history", ("lead_id", "known_at", "event"))):
            told = [row for row in rows(whole.tables[name], *what) if row[1] < end]
            assert sorted(map(str, rows(earlier.tables[name], *what))) == sorted(map(str, told)), (name, until)
