"""Engagements and events of HubSpot: when each is known, and whose it is."""

from pathlib import Path
from typing import Any

import numpy as np

from features.acts import OPENED
from features.ingest import Ingest
from features.sources.hubspot.contacts import ARCHIVED
from features.sources.hubspot.engagements import (
    MACHINE,
    NO_ACTIVITY,
    NO_CONTACT,
    NO_DIRECTION,
    NO_START,
    NO_TIME,
    NOTE,
    OF_NOBODY,
    OTHER_EVENT,
    TWICE,
)
from features.sources.hubspot.history import ORPHAN, UNREAD
from tests.hs import acts, contact, done, read, said, t, why

LAST = [said("1", t("06-01"), "lead")]  # the last instant that the export tells of


def test_mails_and_calls_are_known_when_they_are_logged_not_before_they_happen(tmp_path: Path) -> None:
    ingest = read(
        tmp_path,
        contacts=[contact("1"), contact("2")],
        contacts_property_history=LAST,
        emails=[
            done("1", "1;2", t("01-03"), t("01-03", "09:05:00"), hs_email_direction="EMAIL"),
            done("2", "1", t("01-04"), hs_email_direction="INCOMING_EMAIL"),
            done("3", "1", t("01-05"), hs_email_direction="DRAFT_EMAIL"),
            done("4", "9", t("01-05"), hs_email_direction="EMAIL"),
            done("5", "", t("01-05"), hs_email_direction="EMAIL"),
            done("6", "1", t("01-05"), hs_email_direction="EMAIL", archived="true"),
            done("1", "2", t("01-03"), t("01-03", "09:05:00"), hs_email_direction="EMAIL"),
        ],
        calls=[
            done("1", "1", t("01-06"), t("01-09"), hs_call_direction="OUTBOUND"),
            done("2", "1", t("02-06"), t("01-09"), hs_call_direction=""),  # planned; it is a call when it is made
        ],
        notes=[done("1", "1", t("01-05"))],
    )
    assert acts(ingest) == [
        ("1", "01-03 09:05:00", "01-03 09:00:00", "email", "outbound", None),
        ("1", "01-04 09:00:00", "01-04 09:00:00", "email", "inbound", None),
        ("1", "01-09 09:00:00", "01-06 09:00:00", "call", "outbound", None),
        ("1", "02-06 09:00:00", "02-06 09:00:00", "call", "outbound", None),
        ("2", "01-03 09:05:00", "01-03 09:00:00", "email", "outbound", None),
    ]
    assert why(ingest, "emails") == {ARCHIVED: 1, NO_DIRECTION: 1, NO_CONTACT: 1, OF_NOBODY: 1, TWICE: 1}
    assert why(ingest, "notes") == {NOTE: 1}


def meetings(touched: str) -> list[dict[str, Any]]:
    """Five meetings that a clean-up touched later."""
    end = t("01-10", "10:00:00")
    listed = [
        done("1", "1", t("01-10"), t("01-05"), hs_meeting_end_time=end, hs_meeting_outcome="COMPLETED"),
        done("2", "1", t("01-11"), t("01-05"), hs_meeting_outcome="NO_SHOW"),
        done("3", "1", t("12-11"), t("01-05"), hs_meeting_outcome="SCHEDULED"),
        done("4", "1", t("01-12"), t("01-13"), hs_meeting_outcome="CANCELED"),  # entered after its start
        done("5", "1", "", t("01-13")),
    ]
    return [{**row, "hs_lastmodifieddate": touched} for row in listed]


def test_meetings_by_the_history_of_their_outcome(tmp_path: Path) -> None:
    outcome = "hs_meeting_outcome"
    ingest = read(
        tmp_path,
        contacts=[contact("1")],
        contacts_property_history=LAST,
        meetings=meetings(t("05-01")),
        meetings_property_history=[
            {"meetingId": key, "property": outcome, "value": value, "timestamp": at}
            for key, value, at in (
                ("1", "SCHEDULED", t("01-05")),
                ("1", "COMPLETED", t("01-10", "11:00:00")),
                ("1", "COMPLETED", t("03-10")),
                ("2", "NO_SHOW", t("01-12")),
                ("4", "CANCELED", t("01-14")),
                ("77", "COMPLETED", t("01-14")),
            )
        ]
        + [{"meetingId": "1", "property": "hs_meeting_title", "value": "COMPLETED", "timestamp": t("01-05")}],
    )
    assert [(row[1], row[2], row[5]) for row in acts(ingest)] == [
        ("01-05 09:00:00", "01-10 09:00:00", "planned"),
        ("01-05 09:00:00", "01-11 09:00:00", "planned"),
        ("01-05 09:00:00", "12-11 09:00:00", "planned"),  # in the future, and no more than planned
        ("01-10 11:00:00", "01-10 09:00:00", "held"),
        ("01-12 09:00:00", "01-11 09:00:00", "no_show"),
        ("01-13 09:00:00", "01-12 09:00:00", "held"),
        ("01-14 09:00:00", "01-12 09:00:00", "cancelled"),
    ]
    assert why(ingest, "meetings") == {NO_START: 1}
    assert why(ingest, "meetings_property_history") == {ORPHAN: 1, UNREAD: 1}


def test_without_history_an_outcome_is_known_when_the_meeting_was_last_touched(tmp_path: Path) -> None:
    lead = {"contacts": [contact("1")], "contacts_property_history": LAST}
    ingest = read(tmp_path, **lead, meetings=meetings(t("05-01")))
    told = {(row[2], row[5]): row[1] for row in acts(ingest)}
    assert told["01-10 09:00:00", "held"] == "05-01 09:00:00"
    assert told["01-11 09:00:00", "no_show"] == "05-01 09:00:00"
    untold = [row[5] for row in acts(read(tmp_path, **lead, meetings=meetings("")))]
    assert untold.count("held") == 1  # the one entered after its start
    assert "no_show" not in untold


def test_tasks_to_call_or_mail_are_planned_and_done(tmp_path: Path) -> None:
    task = {"hs_task_status": "COMPLETED", "hs_task_type": "CALL"}
    ingest = read(
        tmp_path,
        contacts=[contact("1")],
        contacts_property_history=LAST,
        tasks=[
            done("1", "1", t("01-10"), t("01-05"), **task, hs_task_completion_date=t("01-12")),
            done("2", "1", t("01-10"), t("01-05"), **task | {"hs_task_type": "EMAIL"}),
            done("3", "1", t("01-11"), t("01-05"), hs_task_type="CALL", hs_task_status="NOT_STARTED"),
            done("4", "1", t("01-10"), t("01-05"), **task | {"hs_task_type": "TODO"}),
            done("5", "1", t("01-10"), t("01-05"), **task),
        ],
        tasks_property_history=[
            {"taskId": "2", "property": "hs_task_status", "value": "COMPLETED", "timestamp": t("01-09")}
        ],
    )
    assert [row[1:] for row in acts(ingest)] == [
        ("01-05 09:00:00", "01-10 09:00:00", "call", "outbound", "planned"),
        ("01-05 09:00:00", "01-10 09:00:00", "email", "outbound", "planned"),
        ("01-05 09:00:00", "01-11 09:00:00", "call", "outbound", "planned"),
        ("01-09 09:00:00", "01-09 09:00:00", "email", "outbound", None),
        ("01-12 09:00:00", "01-10 09:00:00", "call", "outbound", None),
    ]
    assert why(ingest, "tasks") == {NO_ACTIVITY: 1, NO_TIME: 1}


def test_events_of_the_web_of_campaigns_and_of_machines(tmp_path: Path) -> None:
    def mail(kind: str, at: str, machine: str = "false") -> dict[str, str]:
        return {"contact_id": "1", "type": kind, "created": at, "filteredEvent": machine}

    ingest = read(
        tmp_path,
        contacts=[contact("1", t("01-05"))],
        contacts_property_history=LAST,
        form_submissions=[{"contact_id": "1", "submittedAt": "1704448800000"}],
        page_views=[
            {"contact_id": "1", "occurredAt": t("01-03")},  # before the contact was there: known with it
            {"contact_id": "1", "occurredAt": t("01-06")},
        ],
        email_events=[
            mail("DELIVERED", t("02-01")),
            mail("OPEN", t("02-01", "09:00:01"), "true"),
            mail("OPEN", t("02-02")),
            mail("CLICK", t("02-03")),
            mail("BOUNCE", t("02-03")),
        ],
        marketing_events=[
            {"contact_id": "1", "state": state, "occurredAt": t(day)}
            for state, day in (("REGISTERED", "03-01"), ("ATTENDED", "03-02"), ("NO_SHOW", "03-03"))
        ],
    )
    assert [(row[1], *row[3:]) for row in acts(ingest)] == [
        ("01-05 09:00:00", "web", "inbound", None),
        ("01-05 10:00:00", "content", "inbound", "submitted"),
        ("01-06 09:00:00", "web", "inbound", None),
        ("02-01 09:00:00", "campaign", "outbound", "sent"),
        ("02-02 09:00:00", "content", "inbound", OPENED),
        ("02-03 09:00:00", "campaign", "inbound", "clicked"),
        ("03-01 09:00:00", "campaign", "inbound", "registered"),
        ("03-02 09:00:00", "campaign", "inbound", "attended"),
        ("03-03 09:00:00", "campaign", "inbound", "no_show"),
    ]
    assert why(ingest, "email_events") == {MACHINE: 1, OTHER_EVENT: 1}
    assert ingest.report.noticed("known_with_lead") == 1


def test_the_order_of_the_rows_says_nothing(tmp_path: Path) -> None:
    contacts = [contact(str(number)) for number in range(6)]
    log = [
        said(str(n % 6), t(f"0{1 + n % 3}-03"), word) for n, word in enumerate(["lead", "customer", "opportunity"] * 6)
    ]
    mails = [done(str(n), f"{n % 6};{(n + 1) % 6}", t("02-03"), hs_email_direction="EMAIL") for n in range(9)]
    one = read(tmp_path / "one", contacts=contacts, contacts_property_history=log, emails=mails)
    mixed = np.random.default_rng(3).permutation(len(log)).tolist()
    two = read(
        tmp_path / "two",
        contacts=contacts[::-1],
        contacts_property_history=[log[i] for i in mixed],
        emails=mails[::-1],
    )
    assert acts(one) == acts(two)
    for table in (one, two):
        assert table.tables.lead_history.n == len(log)

    def sequence(ingest: Ingest) -> list[tuple[str | None, str | None]]:
        told = ingest.tables.lead_history
        lead, event = told.coded("lead_id"), told.coded("event").strings()
        order = np.lexsort((told.ints("seq"), told.ints("known_at"), lead.codes)).tolist()
        return [(lead.decode(i), event[i]) for i in order]

    assert sequence(one) == sequence(two)
