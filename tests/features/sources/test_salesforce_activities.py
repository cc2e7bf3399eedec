"""Activities of a Salesforce export: each record as its facts, each fact by its own clock, each on its own deal."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.ingest import Ingest
from features.sources.salesforce.attribution import FOREIGN, NONE_OPEN, NOTHING, OF_LEAD, SEVERAL_OPEN
from features.tables import TABLES
from tests.sf import hist, objects, opp, read, refused, rows, t

HELD = ("known_at", "occurred_at", "kind", "direction", "outcome", "minutes", "contact_id")


def company(**listed: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Two accounts: A1 has the open deal D1 and the lost deal D2, A2 has two open deals."""
    told = [
        hist("D1", t("01-02"), "Qualify"),
        hist("D2", t("01-02"), "Qualify"),
        hist("D2", t("02-01"), "Closed Lost"),
        hist("D3", t("01-02"), "Qualify"),
        hist("D4", t("01-02"), "Qualify"),
        hist("D3", t("12-20"), "Propose"),  # the export's last fact
    ]
    deals = [opp("D1"), opp("D2", StageName="Closed Lost"), opp("D3", AccountId="A2"), opp("D4", AccountId="A2")]
    people = [{"Id": "C1", "AccountId": "A1"}, {"Id": "C2", "AccountId": "A2"}, {"Id": "C3", "AccountId": ""}]
    return objects(Opportunity=deals, OpportunityHistory=told, Contact=people, **listed)


def facts(ingest: Ingest, *columns: str) -> list[tuple[Any, ...]]:
    """Activities by deal and time."""
    listed = rows(ingest.tables.activities, "deal_id", *(columns or HELD))
    return sorted(listed, key=lambda row: tuple(str(cell) for cell in row))


def call(**columns: Any) -> dict[str, Any]:
    given = {"WhatId": "D1", "TaskSubtype": "Call", "IsClosed": "true", "CallType": "Outbound"}
    return given | columns


def test_task_is_planned_when_entered_and_done_when_completed(tmp_path: Path) -> None:
    tasks = [
        call(
            CreatedDate=t("03-01"),
            CompletedDateTime=t("03-05", "10:00:00"),
            ActivityDate="2024-03-04",
            CallDisposition="Connected",
            CallDurationInSeconds="300",
            CallType="Inbound",
            WhoId="C1",
        )
    ]
    ingest = read(tmp_path, company(Task=tasks))
    assert facts(ingest) == [
        # What came of it, how long and who called is not known yet; we plan to call.
        ("D1", "03-01 09:00:00", "03-04 23:59:59", "call", "outbound", "planned", None, "C1"),
        ("D1", "03-05 10:00:00", "03-04 23:59:59", "call", "inbound", "connected", 5.0, "C1"),
    ]
    assert ingest.report["Task"].rows_kept == 1
    assert ingest.report["activities"].rows_kept == 2


def test_call_logged_three_days_late_is_known_three_days_late(tmp_path: Path) -> None:
    tasks = [call(CreatedDate=t("03-07"), CompletedDateTime=t("03-07"), ActivityDate="2024-03-04")]
    assert facts(read(tmp_path, company(Task=tasks)), "known_at", "occurred_at", "outcome") == [
        ("D1", "03-07 09:00:00", "03-04 23:59:59", None)
    ]


def test_task_done_at_creation_was_never_planned(tmp_path: Path) -> None:
    tasks = [call(CreatedDate=t("03-07"), CompletedDateTime=t("03-06"))]  # an import may set it to before
    assert facts(read(tmp_path, company(Task=tasks)), "known_at", "occurred_at") == [
        ("D1", "03-07 09:00:00", "03-07 09:00:00")
    ]


def test_bare_dates_end_with_the_local_day(tmp_path: Path) -> None:
    tasks = [call(CreatedDate=t("03-01"), ActivityDate="2024-03-05", IsClosed="false")]
    ingest = read(tmp_path, company(Task=tasks), zone="America/New_York")
    assert facts(ingest, "known_at", "occurred_at") == [("D1", "03-01 09:00:00", "03-06 04:59:59")]


def test_open_and_closed_tasks_without_a_time_of_completion(tmp_path: Path) -> None:
    tasks = [
        call(CreatedDate=t("03-01"), IsClosed="false"),
        call(CreatedDate=t("03-02"), LastModifiedDate=t("03-09")),
        call(CreatedDate=t("03-03")),
        call(CreatedDate=t("03-04"), IsClosed="", Status="Completed", LastModifiedDate=t("03-08")),
        call(CreatedDate=t("03-05"), IsClosed="", Status="Not Started", LastModifiedDate=t("03-08")),
    ]
    ingest = read(tmp_path, company(Task=tasks))
    assert facts(ingest, "known_at", "outcome") == [
        ("D1", "03-01 09:00:00", "planned"),
        ("D1", "03-02 09:00:00", "planned"),
        ("D1", "03-04 09:00:00", "planned"),
        ("D1", "03-05 09:00:00", "planned"),
        ("D1", "03-08 09:00:00", None),
        ("D1", "03-09 09:00:00", None),
    ]
    assert refused(ingest, "Task") == {"closed or deleted at a time that the export does not tell": 1}


def test_tasks_that_are_no_activity_are_counted(tmp_path: Path) -> None:
    done = {"CreatedDate": t("03-01"), "CompletedDateTime": t("03-01")}
    tasks = [
        call(**done, IsDeleted="true", LastModifiedDate=t("06-01")),  # was known until it was deleted
        call(**done, CallType="Internal"),
        {"WhatId": "D1", "TaskSubtype": "Task", "Type": "Content Viewed", "IsClosed": "true", **done},
        {"WhatId": "D1", "TaskSubtype": "Task", "Type": "Prep", "IsClosed": "true", **done},
        {"WhatId": "D1", "TaskSubtype": "", "Type": "", "IsClosed": "false", **done},
        {"WhatId": "D1", "TaskSubtype": "ListEmail", "Type": "Email", "IsClosed": "true", **done},
        call(**done, CallDisposition="Planned"),  # a word of ours: it says nothing of what came of a call
    ]
    ingest = read(tmp_path, company(Task=tasks))
    assert facts(ingest, "kind", "direction", "outcome") == [
        ("D1", "call", "outbound", None),
        ("D1", "call", "outbound", None),
        ("D1", "content", "inbound", "viewed"),
        ("D1", "email", "outbound", None),
    ]
    assert refused(ingest, "Task") == {
        "a to-do that is no activity: the mapping lists no such Type under task_types": 2,
        "an internal call": 1,
    }


def test_task_that_doubles_an_email_message_is_refused(tmp_path: Path) -> None:
    done = {"CreatedDate": t("03-01"), "CompletedDateTime": t("03-01"), "IsClosed": "true"}
    mail = {"RelatedToId": "D1", "CreatedDate": t("03-01"), "Incoming": "false"}
    tasks = [
        {"Id": "T1", "WhatId": "D1", "TaskSubtype": "Email", **done},
        {"Id": "T2", "WhatId": "D1", "TaskSubtype": "Email", **done},
        {"Id": "T3", "WhatId": "D1", "TaskSubtype": "Call", **done},
    ]
    mails = [{**mail, "ActivityId": "T1"}, {**mail, "ActivityId": "T3"}, {**mail, "ActivityId": ""}]
    ingest = read(tmp_path, company(Task=tasks, EmailMessage=mails))
    assert refused(ingest, "Task") == {"told by its EmailMessage": 1}
    assert [row[1] for row in facts(ingest, "kind")] == ["call", "email", "email", "email", "email"]


def event(**columns: Any) -> dict[str, Any]:
    return {
        "WhatId": "D1",
        "CreatedDate": t("03-01"),
        "StartDateTime": t("03-10", "14:00:00"),
        "EndDateTime": t("03-10", "15:00:00"),
    } | columns


def test_events_are_upcoming_then_held(tmp_path: Path) -> None:
    ingest = read(tmp_path, company(Event=[event(WhoId="C1")]))
    assert facts(ingest) == [
        ("D1", "03-01 09:00:00", "03-10 14:00:00", "meeting", "mutual", "planned", None, "C1"),
        ("D1", "03-10 15:00:00", "03-10 14:00:00", "meeting", "mutual", "held", 60.0, "C1"),
    ]


def test_event_entered_later_or_touched_later_is_known_later(tmp_path: Path) -> None:
    events = [
        event(CreatedDate=t("03-12")),  # logged two days after: never upcoming
        event(LastModifiedDate=t("03-11"), EndDateTime="", DurationInMinutes="30"),
        event(LastModifiedDate=t("03-02")),
    ]
    assert facts(read(tmp_path, company(Event=events)), "known_at", "outcome", "minutes") == [
        ("D1", "03-01 09:00:00", "planned", None),
        ("D1", "03-01 09:00:00", "planned", None),
        ("D1", "03-10 15:00:00", "held", 60.0),
        ("D1", "03-11 09:00:00", "held", 30.0),
        ("D1", "03-12 09:00:00", "held", 60.0),
    ]


def test_cancelled_and_moved_events(tmp_path: Path) -> None:
    events = [
        event(IsDeleted="true", LastModifiedDate=t("03-05")),
        event(IsDeleted="true"),  # deleted nobody knows when
        event(StartDateTime=t("03-20"), EndDateTime=t("03-20", "10:00:00"), LastModifiedDate=t("03-06")),  # moved to
    ]
    ingest = read(tmp_path, company(Event=events))
    assert facts(ingest, "known_at", "occurred_at", "outcome") == [
        ("D1", "03-01 09:00:00", "03-10 14:00:00", "planned"),
        ("D1", "03-01 09:00:00", "03-20 09:00:00", "planned"),
        ("D1", "03-05 09:00:00", "03-10 14:00:00", "cancelled"),
        ("D1", "03-20 10:00:00", "03-20 09:00:00", "held"),
    ]
    assert refused(ingest, "Event") == {"closed or deleted at a time that the export does not tell": 1}


def test_a_meeting_that_is_tidied_away_long_after_it_was_held(tmp_path: Path) -> None:
    """Within a day after its end a deletion says that nobody came; later it takes nothing back."""
    events = [event(IsDeleted="true", LastModifiedDate=t(day)) for day in ("03-11", "05-01")]
    ingest = read(tmp_path, company(Event=events))
    assert facts(ingest, "known_at", "outcome") == [
        ("D1", "03-01 09:00:00", "planned"),
        ("D1", "03-01 09:00:00", "planned"),
        ("D1", "03-10 15:00:00", "held"),
        ("D1", "03-11 09:00:00", "cancelled"),
    ]


def test_events_after_the_export_copies_and_series(tmp_path: Path) -> None:
    events = [
        event(StartDateTime="2025-03-01T09:00:00.000Z", EndDateTime="2025-03-01T10:00:00.000Z"),  # still to come
        event(CreatedDate=t("12-19"), StartDateTime=t("12-19"), EndDateTime=t("12-24")),  # begun, not over
        event(IsChild="true"),
        event(IsRecurrence="true"),
        event(EndDateTime=t("03-09")),
    ]
    ingest = read(tmp_path, company(Event=events))
    assert facts(ingest, "known_at", "outcome") == [("D1", "03-01 09:00:00", "planned")]
    assert refused(ingest, "Event") == {
        "a copy for an invitee": 1,
        "the pattern of a series; its occurrences count": 1,
        "ends before it begins": 1,
        "ends after the export, and was never upcoming": 1,
    }


def test_mails_their_openings_and_drafts(tmp_path: Path) -> None:
    mails = [
        {"RelatedToId": "D1", "CreatedDate": t("03-02"), "MessageDate": t("03-01"), "Incoming": "true"},
        {
            "RelatedToId": "D1",
            "CreatedDate": t("03-03"),
            "MessageDate": t("03-04"),  # a scheduled mail: never after it was known
            "Incoming": "false",
            "FirstOpenedDate": t("03-06"),
            "Contact__c": "C1",
        },
        {"RelatedToId": "D1", "CreatedDate": t("03-05"), "Status": "5"},
        {"RelatedToId": "D1", "CreatedDate": t("03-05"), "IsDeleted": "true"},
    ]
    ingest = read(
        tmp_path,
        company(EmailMessage=mails),
        objects={"EmailMessage": {"columns": {"contact_id": "Contact__c"}}},
    )
    assert facts(ingest) == [
        ("D1", "03-02 09:00:00", "03-01 09:00:00", "email", "inbound", None, None, None),
        ("D1", "03-03 09:00:00", "03-03 09:00:00", "email", "outbound", None, None, "C1"),
        ("D1", "03-05 09:00:00", "03-05 09:00:00", "email", "outbound", None, None, None),  # deleted since
        ("D1", "03-06 09:00:00", "03-06 09:00:00", "content", "inbound", "opened", None, "C1"),
    ]
    assert refused(ingest, "EmailMessage") == {"a draft": 1}


def test_activities_on_accounts_go_to_the_only_open_deal_at_that_instant(tmp_path: Path) -> None:
    done = {"CompletedDateTime": "", "IsClosed": "false"}
    tasks = [
        call(WhatId="A1", CreatedDate=t("01-10"), **done),  # D1 and D2 are open
        call(WhatId="A1", CreatedDate=t("02-01"), **done),  # D2 closes at this very instant: known just after
        call(WhatId="A1", CreatedDate=t("02-02"), **done),  # D1 alone
        call(WhatId="A1", CreatedDate=t("01-02"), **done),  # none yet: created at this very instant
        call(WhatId="A2", CreatedDate=t("03-01"), **done),  # two
        call(WhatId="A9", CreatedDate=t("03-01"), **done),  # nobody's account
        call(WhatId="500CASE", CreatedDate=t("03-01"), **done),
        call(WhatId="", AccountId="A1", CreatedDate=t("03-01"), **done),
        call(WhatId="", WhoId="C1", CreatedDate=t("03-02"), **done),  # the contact's account
        call(WhatId="", WhoId="C3", CreatedDate=t("03-01"), **done),
        call(WhatId="", WhoId="L1", CreatedDate=t("03-01"), **done),
        call(WhatId="", WhoId="00Q500000000AbC", CreatedDate=t("03-01"), **done),
        call(WhatId="", CreatedDate=t("03-01"), **done),
    ]
    leads = [{"Id": "L1", "CreatedDate": t("01-01")}]
    ingest = read(tmp_path, company(Task=tasks, Lead=leads))
    assert facts(ingest, "known_at", "contact_id") == [
        ("D1", "02-02 09:00:00", None),
        ("D1", "03-01 09:00:00", None),
        ("D1", "03-02 09:00:00", "C1"),
    ]
    assert refused(ingest, "Task") == {NOTHING: 2, FOREIGN: 2, OF_LEAD: 1, NONE_OPEN: 1, SEVERAL_OPEN: 3}
    assert rows(ingest.tables.lead_activities, "lead_id", "known_at") == [("L1", "03-01 09:00:00")]


def test_planned_on_the_only_open_deal_and_done_when_there_are_two(tmp_path: Path) -> None:
    made = company(Task=[call(WhatId="A3", CreatedDate=t("02-01"), CompletedDateTime=t("05-01"))])
    made["Opportunity"] += [opp("D5", AccountId="A3"), opp("D6", AccountId="A3", CreatedDate=t("04-01"))]
    made["OpportunityHistory"] += [hist("D5", t("01-02"), "Qualify"), hist("D6", t("04-01"), "Qualify")]
    ingest = read(tmp_path, made)
    assert facts(ingest, "outcome") == [("D5", "planned")]
    assert ingest.report["Task"].rows_kept == 1
    assert ingest.report.noticed("unattributed_facts") == 1


def test_reopened_and_deleted_deals_are_open_when_they_were(tmp_path: Path) -> None:
    dates = ("01-10", "02-10", "03-10", "04-10")
    made = company(Task=[call(WhatId="A3", CreatedDate=t(day), IsClosed="false") for day in dates])
    made["Opportunity"] += [opp("D5", AccountId="A3", IsDeleted="true", LastModifiedDate=t("04-01"))]
    for day, stage in (("01-02", "Qualify"), ("02-01", "Closed Lost"), ("03-01", "Qualify")):
        made["OpportunityHistory"].append(hist("D5", t(day), stage))
    ingest = read(tmp_path, made)
    assert [row[1][:5] for row in facts(ingest, "known_at")] == ["01-10", "03-10"]
    assert refused(ingest, "Task") == {NONE_OPEN: 2}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_only_open_deal_as_a_slow_reader_finds_it(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    deals = [opp(f"D{n}", AccountId=f"A{rng.integers(4)}", CreatedDate=t("01-01")) for n in range(12)]
    log = []
    for deal in deals:
        deal["CreatedDate"] = t(f"{rng.integers(1, 6):02d}-{rng.integers(1, 28):02d}")
        log.append(hist(deal["Id"], deal["CreatedDate"], "Qualify"))
        for _ in range(int(rng.integers(0, 4))):
            stage = str(rng.choice(["Qualify", "Closed Won", "Closed Lost"]))
            later = t(f"{rng.integers(6, 12):02d}-{rng.integers(1, 28):02d}")
            if later not in {row["CreatedDate"] for row in log if row["OpportunityId"] == deal["Id"]}:
                log.append(hist(deal["Id"], later, stage))
    tasks = [
        call(Id=f"T{n:03d}", WhatId=f"A{rng.integers(4)}", CreatedDate=t(f"{rng.integers(1, 12):02d}-{n % 27 + 1:02d}"))
        | {"IsClosed": "false", "WhoId": f"C{n}"}
        for n in range(150)
    ]
    made = objects(Opportunity=deals, OpportunityHistory=log, Task=tasks)
    expected = {}
    for task in tasks:
        found = [deal["Id"] for deal in deals if deal["AccountId"] == task["WhatId"] and is_open(deal, log, task)]
        if len(found) == 1:
            expected[task["WhoId"]] = found[0]
    got = {contact: deal for deal, contact in rows(read(tmp_path, made).tables.activities, "deal_id", "contact_id")}
    assert got == expected
    assert len(got) > 10


def is_open(deal: dict[str, Any], log: list[dict[str, Any]], task: dict[str, Any]) -> bool:
    """Whether a deal is known and open before a task, by its history."""
    when = task["CreatedDate"]
    told = sorted(row["CreatedDate"] + row["StageName"] for row in log if row["OpportunityId"] == deal["Id"])
    before = [text for text in told if text[:24] < when]
    return deal["CreatedDate"] < when and not before[-1].endswith(("Won", "Lost"))


def test_every_row_of_every_object_is_accounted_for(tmp_path: Path) -> None:
    tasks = [call(CreatedDate=t("03-01")), call(WhatId="X", CreatedDate=t("03-01"), CompletedDateTime=t("03-01"))]
    ingest = read(tmp_path, company(Task=tasks, Event=[event()], EmailMessage=[]))
    told = {report.table: report.rows_in for report in ingest.report.tables}
    assert told == {
        "Opportunity": 4,
        "OpportunityHistory": 6,
        "Task": 2,
        "Event": 1,
        "EmailMessage": 0,
        "Contact": 3,
        "deals": 4,
        "deal_history": 6,
        "activities": 2,
    }
    assert set(TABLES) >= {name for name in told if name.islower()}


def test_lengths_that_no_calendar_holds(tmp_path: Path) -> None:
    ingest = read(tmp_path, company(Event=[event(EndDateTime="", DurationInMinutes="1e30")]))
    assert facts(ingest, "known_at", "outcome") == [("D1", "03-01 09:00:00", "planned")]


def test_long_ids_of_another_kind_that_begin_alike_are_not_one_record(tmp_path: Path) -> None:
    told = {"WhatId": "D1", "TaskSubtype": "Email", "IsClosed": "true", "CreatedDate": t("03-01")}
    tasks = [told | {"Id": "replica-of-task-0001"}, told | {"Id": "replica-of-task-0002"}]
    mails = [{"RelatedToId": "D1", "CreatedDate": t("03-01"), "ActivityId": "replica-of-task-0001"}]
    ingest = read(
        tmp_path, company(Task=[task | {"LastModifiedDate": t("03-01")} for task in tasks], EmailMessage=mails)
    )
    assert refused(ingest, "Task") == {"told by its EmailMessage": 1}
