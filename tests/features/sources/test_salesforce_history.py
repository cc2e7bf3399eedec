"""Deals of a Salesforce export: what each row of their history says, by its own clock, never by the current row."""

from pathlib import Path

import numpy as np
import pytest

from configs.errors import DataError, SchemaError
from features.stages import LOST, OPEN, WON
from tests.sf import change, hist, history, objects, opp, read, refused, rows, t

USERS = [{"Id": "U1", "Name": "Ann"}, {"Id": "U2", "Name": "Ben"}, {"Id": "ADM", "Name": "Admin"}]


def test_states_are_merged_from_both_histories(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[opp("D1", StageName="Closed Won", Amount="1", OwnerId="U9", NextStep="", CloseDate="2024-09-09")],
        OpportunityHistory=[
            hist("D1", t("01-02"), "Qualify", Amount="100.50", CloseDate="2024-03-31", Probability="10"),
            hist("D1", t("02-01"), "Propose", Amount="120", CloseDate="2024-03-31", Probability="40"),
            hist("D1", t("03-01"), "Closed Won", Amount="90", CloseDate="2024-03-01", Probability="100"),
        ],
        OpportunityFieldHistory=[
            change("D1", t("01-20"), "NextStep", "", "Call"),
            change("D1", t("02-01"), "Owner", "U1", "U2"),
        ],
        User=USERS,
    )
    ingest = read(tmp_path, made)
    columns = ("stage", "amount", "close_date", "probability", "owner_id", "next_step_set", "assumed")
    assert history(ingest, *columns) == [
        ("D1", "01-02 09:00:00", "Qualify", 100.5, "03-31", 0.1, "U1", 0, None),
        ("D1", "01-20 09:00:00", "Qualify", 100.5, "03-31", 0.1, "U1", 1, None),
        ("D1", "02-01 09:00:00", "Propose", 120.0, "03-31", 0.4, "U2", 1, None),
        ("D1", "03-01 09:00:00", "Closed Won", 90.0, "03-01", 1.0, "U2", 1, None),
    ]
    assert ingest.tables.deal_history.ints("seq").tolist() == [0, 1, 2, 3]
    for name in ("Opportunity", "OpportunityHistory", "OpportunityFieldHistory", "deals", "deal_history"):
        assert ingest.report[name].rows_refused == 0


def test_reopened_deal_has_two_episodes(tmp_path: Path) -> None:
    stages = ["Qualify", "Closed Lost", "Propose", "Closed Won"]
    made = objects(
        Opportunity=[opp("D1", StageName="Closed Won")],
        OpportunityHistory=[hist("D1", t(f"0{month}-02"), stage) for month, stage in enumerate(stages, 1)],
    )
    ingest = read(tmp_path, made)
    stage = ingest.tables.deal_history.coded("stage")
    outcomes = np.append(ingest.stages.outcomes(stage.values), -9)[stage.codes]
    assert outcomes.tolist() == [OPEN, LOST, OPEN, WON]
    assert ingest.tables.deals.n == 1


def test_deleted_deal_ends_with_a_tombstone(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[
            opp("D1", IsDeleted="true", LastModifiedDate=t("04-01")),
            opp("D2", IsDeleted="true", SystemModstamp=t("05-01")),
            opp("D3", IsDeleted="true"),  # nothing says when: at its last row
            opp("D4", IsDeleted="true", LastModifiedDate=t("01-20")),  # before its last row: at it
            opp("D5"),
        ],
        OpportunityHistory=[
            hist(f"D{number}", at, stage, IsDeleted="true" if number < 5 else "false")
            for number in range(1, 6)
            for at, stage in ((t("01-02"), "Qualify"), (t("02-01"), "Propose"))
        ]
        + [hist("D5", t("03-01"), "Negotiate", IsDeleted="true")],
    )
    ingest = read(tmp_path, made)
    assert [row for row in history(ingest, "stage", "is_deleted") if row[3] == 1] == [
        ("D1", "04-01 09:00:00", "Propose", 1),
        ("D2", "05-01 09:00:00", "Propose", 1),
        ("D3", "02-01 09:00:00", "Propose", 1),
        ("D4", "02-01 09:00:00", "Propose", 1),
    ]
    assert refused(ingest, "OpportunityHistory") == {"deleted, while its opportunity is not": 1}
    assert [row for row in history(ingest, "stage") if row[0] == "D5"] == [
        ("D5", "01-02 09:00:00", "Qualify"),
        ("D5", "02-01 09:00:00", "Propose"),
    ]


def test_merged_deal_names_the_one_that_goes_on(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[
            opp("D1", IsDeleted="true", LastModifiedDate=t("04-01"), MergedInto__c="D2"),
            opp("D2", LastModifiedDate=t("04-01")),
        ],
        OpportunityHistory=[hist("D1", t("01-02"), "Qualify"), hist("D2", t("01-02"), "Qualify")],
    )
    ingest = read(tmp_path, made, objects={"Opportunity": {"columns": {"merged_into": "MergedInto__c"}}})
    assert [row for row in history(ingest, "is_deleted", "merged_into") if row[2] or row[3]] == [
        ("D1", "04-01 09:00:00", 1, "D2")
    ]


def test_owner_is_who_it_was_also_before_a_hand_over_after_the_close(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[opp("D1", StageName="Closed Won", OwnerId="U2"), opp("D2", OwnerId="U1")],
        OpportunityHistory=[
            hist("D1", t("01-02"), "Qualify"),
            hist("D1", t("02-01"), "Closed Won"),
            hist("D2", t("01-02"), "Qualify"),
        ],
        OpportunityFieldHistory=[
            change("D1", t("03-01"), "Owner", "Ann", "Ben"),  # Salesforce writes names ...
            change("D1", t("03-01"), "Owner", "U1", "U2"),  # ... and ids
        ],
        User=USERS,
    )
    ingest = read(tmp_path, made)
    assert history(ingest, "stage", "owner_id", "assumed") == [
        ("D1", "01-02 09:00:00", "Qualify", "U1", None),
        ("D1", "02-01 09:00:00", "Closed Won", "U1", None),
        ("D1", "03-01 09:00:00", "Closed Won", "U2", None),
        ("D2", "01-02 09:00:00", "Qualify", "U1", "owner_id"),  # never changed: the current one, and it says so
    ]
    assert refused(ingest, "OpportunityFieldHistory") == {"a lookup told by its id as well": 1}


def test_owner_told_by_name_alone(tmp_path: Path) -> None:
    twins = [*USERS, {"Id": "U7", "Name": "Kim"}, {"Id": "U8", "Name": "Kim"}]
    made = objects(
        Opportunity=[opp("D1", OwnerId="U2")],
        OpportunityHistory=[hist("D1", t("01-02"), "Qualify")],
        OpportunityFieldHistory=[
            change("D1", t("02-01"), "Owner", "Ann", "Ben"),  # one user each: as good as ids
            change("D1", t("03-01"), "Owner", "Ben", "Kim"),  # two users of that name
        ],
        User=twins,
    )
    ingest = read(tmp_path, made)
    assert history(ingest, "owner_id") == [("D1", "01-02 09:00:00", "U1"), ("D1", "02-01 09:00:00", "U2")]
    assert refused(ingest, "OpportunityFieldHistory") == {"a lookup told by a name that no id goes with": 1}


PROCESSES = [
    {"name": "Renewal", "record_types": ["012R", "Renewals"], "order": ["Qualify", "Renegotiate"], "won": ["Renewed"]},
    {"name": "Partner", "order": ["Registered", "Approved"]},
]


def test_record_types_have_their_own_stages(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[
            opp("D1", RecordTypeId="012N"),
            opp("D2", RecordTypeId="012R"),
            opp("D3"),
            opp("D4", RecordTypeId="012R"),
        ],
        OpportunityHistory=[
            hist("D1", t("01-02"), "Qualify"),
            hist("D2", t("01-02"), "Qualify"),
            hist("D2", t("02-02"), "Renegotiate"),
            hist("D2", t("03-02"), "Renewed"),
            hist("D3", t("01-02"), "Approved"),  # told by its name
            hist("D4", t("01-02"), "Qualify"),
            hist("D4", t("03-02"), "Qualify"),
        ],
        OpportunityFieldHistory=[change("D4", t("02-02"), "RecordType", "Sales", "Renewals")],
    )
    ingest = read(tmp_path, made, processes=PROCESSES)
    assert history(ingest, "stage") == [
        ("D1", "01-02 09:00:00", "Qualify"),
        ("D2", "01-02 09:00:00", "Renewal: Qualify"),
        ("D2", "02-02 09:00:00", "Renegotiate"),
        ("D2", "03-02 09:00:00", "Renewed"),
        ("D3", "01-02 09:00:00", "Approved"),
        ("D4", "01-02 09:00:00", "Qualify"),
        ("D4", "02-02 09:00:00", "Renewal: Qualify"),  # another process from then on
        ("D4", "03-02 09:00:00", "Renewal: Qualify"),
    ]
    stages = ingest.stages
    assert stages.order == (
        *("Qualify", "Propose", "Negotiate"),
        *("Renewal: Qualify", "Renegotiate"),
        *("Registered", "Approved"),
    )
    assert stages.won == ("Closed Won", "Renewed")
    assert stages.ranks(["Negotiate", "Renewal: Qualify", "Renewed"]).tolist() == [2, 3, 7]
    assert stages.places(["Negotiate", "Renewal: Qualify", "Approved", "Renewed"]).tolist() == [2, 0, 1, -1]


def test_bulk_edit_of_two_hundred_deals_in_a_second_keeps_its_editor(tmp_path: Path) -> None:
    names = [f"D{number:03d}" for number in range(200)]
    made = objects(
        Opportunity=[opp(name) for name in names],
        OpportunityHistory=[
            hist(name, at, stage, CreatedById=who)
            for name in names
            for at, stage, who in ((t("01-02"), "Qualify", "U1"), (t("02-01"), "Propose", "ADM"))
        ],
        User=USERS,
    )
    edits = [row for row in history(read(tmp_path, made), "stage", "edited_by") if row[1] == "02-01 09:00:00"]
    assert len(edits) == 200
    assert {row[2:] for row in edits} == {("Propose", "ADM")}


def test_ties_within_a_second_go_to_field_history_for_its_own_field(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[opp("D1", Amount="7")],
        OpportunityHistory=[
            hist("D1", t("01-02"), "Qualify", Amount="10", CreatedById="U1"),
            hist("D1", t("02-01"), "Propose", Amount="20", CreatedById="U1"),
        ],
        OpportunityFieldHistory=[
            change("D1", t("02-01"), "Amount", "10", "25", CreatedById="U2"),
            change("D1", t("02-01"), "NextStep", "a", "", CreatedById="U2"),
        ],
    )
    assert history(read(tmp_path, made), "stage", "amount", "next_step_set", "edited_by") == [
        ("D1", "01-02 09:00:00", "Qualify", 10.0, 1, "U1"),
        ("D1", "02-01 09:00:00", "Propose", 25.0, 0, "U1"),  # one save, one row
    ]


def test_several_rows_of_one_second_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[opp("D1")],
        OpportunityHistory=[
            hist("D1", t("02-01"), "Negotiate", Id="0080002"),
            hist("D1", t("01-02"), "Qualify", Id="0080000"),
            hist("D1", t("02-01"), "Propose", Id="0080001"),
        ],
        OpportunityFieldHistory=[
            change("D1", t("02-01"), "NextStep", "b", "c", Id="0170002"),
            change("D1", t("02-01"), "NextStep", "", "b", Id="0170001"),
        ],
    )
    ingest = read(tmp_path, made)
    assert history(ingest, "seq", "stage", "next_step_set") == [
        ("D1", "01-02 09:00:00", 0, "Qualify", 0),
        ("D1", "02-01 09:00:00", 1, "Propose", 0),
        ("D1", "02-01 09:00:00", 2, "Negotiate", 1),  # field history belongs to the last save of its second
    ]


def test_missing_creation_row_has_the_values_before_the_first_change(tmp_path: Path) -> None:
    first = {"Amount": "50", "CloseDate": "2024-06-30", "PrevAmount": "40", "PrevCloseDate": "2024-05-31"}
    made = objects(
        Opportunity=[opp("D1", Amount="99"), opp("D2"), opp("D3", StageName="Closed Won")],
        OpportunityHistory=[
            hist("D1", t("02-01"), "Propose", Probability="40", **first),
            hist("D2", t("02-01"), "Propose", Probability="40", Amount="5"),
            hist("D3", t("02-01"), "Closed Won", Probability="100", Amount="5"),
        ],
        OpportunityFieldHistory=[
            change("D1", t("02-01"), "StageName", "Qualify", "Propose"),
            change("D2", t("03-01"), "StageName", "Propose", "Negotiate"),
        ],
    )
    ingest = read(tmp_path, made)
    assert history(ingest, "stage", "amount", "close_date", "probability", "assumed") == [
        ("D1", "01-02 09:00:00", "Qualify", 40.0, "05-31", 0.4, "owner_id,probability"),
        ("D1", "02-01 09:00:00", "Propose", 50.0, "06-30", 0.4, "owner_id"),
        # The later change says that Propose was there before; the amount is the first that is known.
        ("D2", "01-02 09:00:00", "Propose", 5.0, None, 0.4, "amount,owner_id,probability"),
        ("D2", "02-01 09:00:00", "Propose", 5.0, None, 0.4, "owner_id"),
        ("D2", "03-01 09:00:00", "Negotiate", 5.0, None, 0.4, "owner_id"),
        # The first that is known of D3 is how it ended: nothing stands before it.
        ("D3", "02-01 09:00:00", "Closed Won", 5.0, None, 1.0, "owner_id"),
    ]
    assert ingest.report.noticed("no_open_row") == 1


def test_stage_that_nobody_told_at_creation_is_the_first_one_and_assumed(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[opp("D1")],
        OpportunityHistory=[hist("D1", t("02-01"), "Propose"), hist("D1", t("03-01"), "Negotiate")],
    )
    assert history(read(tmp_path, made), "stage", "assumed")[0] == ("D1", "01-02 09:00:00", "Propose", "stage,owner_id")


def test_deals_without_any_history(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[
            opp("D1", Amount="10", Probability="20", CloseDate="2024-06-30"),
            opp("D2", StageName="Closed Lost", Amount="10", Probability="0", CloseDate="2024-02-02"),
            opp("D3"),
        ],
        OpportunityHistory=[hist("D3", t("01-02"), "Qualify", Amount="1", Probability="10")],
        OpportunityFieldHistory=[change("D2", t("02-01"), "NextStep", "a", "b")],
    )
    ingest = read(tmp_path, made)
    # Open now: as it stands, and it says so; but CloseDate is a column that no history tells of any deal.
    columns = ("stage", "amount", "probability", "close_date", "assumed")
    assert history(ingest, *columns)[0] == (
        *("D1", "01-02 09:00:00", "Qualify", 10.0, 0.2, None),
        "stage,amount,owner_id,next_step_set,probability",
    )
    # Closed now: its stage would be the outcome.
    assert [row[0] for row in history(ingest)] == ["D1", "D3"]
    assert ingest.report.noticed("closed_without_history") == 1
    assert ingest.report.noticed("no_history") == 1
    assert refused(ingest, "OpportunityFieldHistory") == {"its deal has no history of its stage": 1}


def test_field_history_alone_tells_a_deal(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[opp("D1", StageName="Closed Won", Amount="77", CloseDate="2024-02-01"), opp("D2")],
        OpportunityHistory=[hist("D2", t("01-02"), "Qualify", Amount="3", CloseDate="2024-09-30")],
        OpportunityFieldHistory=[
            change("D1", t("01-02"), "created", "", ""),
            change("D1", t("02-01"), "StageName", "Negotiate", "Closed Won"),
            change("D1", t("01-15"), "Amount", "", "50.0"),
        ],
    )
    ingest = read(tmp_path, made)
    # The close date of a closed deal without history of it is when it closed: left out.
    assert history(ingest, "stage", "amount", "close_date")[:3] == [
        ("D1", "01-02 09:00:00", "Negotiate", None, None),
        ("D1", "01-15 09:00:00", "Negotiate", 50.0, None),
        ("D1", "02-01 09:00:00", "Closed Won", 50.0, None),
    ]
    assert refused(ingest, "OpportunityFieldHistory") == {"created: the opportunity's own row says so": 1}


def test_history_that_begins_closed_has_no_row_that_knows_it(tmp_path: Path) -> None:
    """Field history is kept for two years only: the first change may be the re-opening of a deal."""
    made = objects(
        Opportunity=[opp("D1"), opp("D2")],
        OpportunityHistory=[hist("D2", t("01-02"), "Qualify")],
        OpportunityFieldHistory=[
            change("D1", t("02-01"), "NextStep", "a", "b"),
            change("D1", t("03-01"), "StageName", "Closed Lost", "Propose"),
        ],
    )
    assert history(read(tmp_path, made), "stage", "next_step_set")[0] == ("D1", "03-01 09:00:00", "Propose", 1)


def test_without_field_history_it_says_what_is_lost(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[opp("D1", NextStep="Call", OwnerId="U2")],
        OpportunityHistory=[hist("D1", t("01-02"), "Qualify"), hist("D1", t("02-01"), "Propose")],
    )
    ingest = read(tmp_path, made)
    assert history(ingest, "owner_id", "next_step_set", "assumed") == [
        ("D1", "01-02 09:00:00", "U2", None, "owner_id"),
        ("D1", "02-01 09:00:00", "U2", None, "owner_id"),
    ]
    notices = {notice.code: notice for notice in ingest.report.notices}
    assert "owners are the current ones" in notices["no_field_history"].message
    assert notices["assumed"].rows == 2
    assert "owner_id: rows of 1 deals" in notices["assumed"].message
    lost = "amount, close_date, forecast_category, probability, next_step_set"
    assert lost in notices["untracked_fields"].message


def test_forecast_categories_are_salesforces_own_words(tmp_path: Path) -> None:
    words = ["Pipeline", "BestCase", "MostLikely", "Forecast", "Closed", "Omitted", "Upside"]
    made = objects(
        Opportunity=[opp("D1")],
        OpportunityHistory=[
            hist("D1", t(f"01-{day:02d}"), "Qualify", ForecastCategory=word) for day, word in enumerate(words, 2)
        ],
        OpportunityFieldHistory=[change("D1", t("01-20"), "ForecastCategoryName", "Upside", "Commit")],
    )
    ingest = read(tmp_path, made, categories={"best_case": ["Upside"]})
    assert [row[2] for row in history(ingest, "forecast_category")] == [
        *("pipeline", "best_case", "best_case", "commit", "closed", "omitted", "best_case", "commit")
    ]


def test_fields_fixed_at_creation_are_read_before_their_first_change(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[
            opp("D1", Type="Upgrade", LeadSource="Web", Product_Line__c="B", Seats__c="7", AccountId="A2"),
            opp("D2", Type="New", LeadSource="Event", Product_Line__c="A", Seats__c="", AccountId="A1"),
        ],
        OpportunityHistory=[hist("D1", t("01-02"), "Qualify"), hist("D2", t("01-02"), "Qualify")],
        OpportunityFieldHistory=[
            change("D1", t("02-01"), "Type", "New", "Upgrade"),
            change("D1", t("02-01"), "Product_Line__c", "A", "B"),
            change("D1", t("02-01"), "Account", "A1", "A2"),
            change("D1", t("02-01"), "Account", "Acme", "Bolt"),
            change("D1", t("02-01"), "Competitor__c", "x", "y"),
        ],
        Account=[{"Id": "A1", "Name": "Acme"}, {"Id": "A2", "Name": "Bolt"}],
    )
    attributes = {
        "line": {"kind": "category", "column": "Product_Line__c"},
        "seats": {"kind": "number", "column": "Seats__c"},
    }
    ingest = read(tmp_path, made, attributes=attributes, fixed_deal_fields=["type"])
    columns = ("deal_id", "type", "source", "line", "seats", "account_id")
    assert rows(ingest.tables.deals, *columns) == [
        ("D1", "New", None, "A", 7.0, "A1"),
        ("D2", "New", None, "A", None, "A1"),
    ]
    assert refused(ingest, "OpportunityFieldHistory") == {
        "a field that is not read": 1,
        "a lookup told by its id as well": 1,
    }
    assert "'Competitor__c'" in next(n.message for n in ingest.report.notices if n.code == "unread_fields")


def test_history_of_opportunities_that_are_not_there_is_refused_and_counted(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[opp("D1")],
        OpportunityHistory=[hist("D1", t("01-02"), "Qualify"), hist("D9", t("01-02"), "Qualify")],
        OpportunityFieldHistory=[change("D9", t("01-02"), "NextStep", "", "x")],
    )
    ingest = read(tmp_path, made)
    reason = "its opportunity is not in the export"
    assert refused(ingest, "OpportunityHistory") == refused(ingest, "OpportunityFieldHistory") == {reason: 1}
    many = made | {"OpportunityHistory": [hist(f"X{n}", t("01-02"), "Qualify") for n in range(30)]}
    with pytest.raises(DataError, match="30 of 30 rows are of opportunities that are not in the export"):
        read(tmp_path, many)


def test_history_that_lacks_for_many_deals_is_refused(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[opp(f"D{n}") for n in range(60)],
        OpportunityHistory=[hist(f"D{n}", t("01-02"), "Qualify") for n in range(30)],
    )
    with pytest.raises(DataError, match=r"30 of 60 opportunities \(50.0%\) have no history"):
        read(tmp_path, made)


def test_names_the_objects_that_have_no_file(tmp_path: Path) -> None:
    made = objects(Opportunity=[opp("D1")], OpportunityHistory=[hist("D1", t("01-02"), "Qualify")], Period=[])
    (said,) = [notice.message for notice in read(tmp_path, made).report.notices if notice.code == "absent_objects"]
    assert said.startswith("no file of OpportunityFieldHistory, Task, Event, EmailMessage")
    assert "Period" not in said  # it has a file, though no rows


def test_a_time_that_cannot_be_read_names_no_remedy_that_the_mapping_lacks(tmp_path: Path) -> None:
    made = objects(Opportunity=[opp("D1")], OpportunityHistory=[hist("D1", "02/01/2024", "Qualify")])
    with pytest.raises(SchemaError, match="write every time as ISO 8601") as refusal:
        read(tmp_path, made)
    assert "date_format" not in str(refusal.value)
