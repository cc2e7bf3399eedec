"""The simulated company as a Salesforce export: its forms, and nothing lost: a slow reader finds every row again."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from configs.errors import UsageError
from features.sources.company import Company, CompanySettings, simulate, write
from features.sources.company_salesforce import salesforce_frames, write_salesforce
from features.sources.company_salesforce_forms import write_object

ZONE = "America/New_York"
SETTINGS = CompanySettings(seed=3, periods=3, wins_per_period=40, burn_in_periods=2)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
HISTORY_WORDS = {
    "Pipeline": "pipeline",
    "BestCase": "best_case",
    "Forecast": "commit",
    "Omitted": "omitted",
    "Closed": "closed",
}
TASK_TYPES = {
    "Content Viewed": ("content", "inbound", "viewed"),
    "Email Opened": ("content", "inbound", "opened"),
    "Web Visit": ("web", "inbound", ""),
    "Contract Sent": ("contract", "outbound", "sent"),
    "Contract Returned": ("contract", "inbound", "returned"),
}
Row = dict[str, str]
Fact = tuple[str, ...]  # deal, kind, direction, outcome, known_at, occurred_at (day of it for tasks), minutes


@cache
def company() -> Company:
    """The company without its leads."""
    whole = simulate(SETTINGS)
    return Company({name: frame for name, frame in whole.export.items() if "lead" not in name}, whole.truth)


@cache
def objects() -> dict[str, list[Row]]:
    return texts(salesforce_frames(company(), ZONE))


def texts(frames: dict[str, pd.DataFrame]) -> dict[str, list[Row]]:
    """The frames as plain texts, a missing one empty."""
    return {name: frame.astype("str").fillna("").to_dict("records") for name, frame in frames.items()}


def canonical(name: str, of: Company | None = None) -> list[dict[str, Any]]:
    """A canonical table as plain rows: times and dates as texts of the Salesforce form, None where missing."""
    frame = (of or company()).export[name].copy()
    for column in frame.columns:
        if isinstance(frame[column].dtype, pd.DatetimeTZDtype):
            frame[column] = frame[column].dt.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        elif frame[column].dtype.kind == "M":
            frame[column] = frame[column].dt.strftime("%Y-%m-%d")
        frame[column] = frame[column].astype(object).where(frame[column].notna(), None)
    return frame.to_dict("records")


# --- forms -----------------------------------------------------------------------------------------------------------


def test_objects_and_columns_are_those_of_salesforce() -> None:
    columns = {name: list(rows[0]) for name, rows in objects().items()}
    assert set(columns) == {
        *("Opportunity", "OpportunityHistory", "OpportunityFieldHistory", "Task", "Event", "EmailMessage"),
        *("OpportunityContactRole", "Contact", "Account", "User", "ForecastingQuota", "Period", "ForecastCall"),
    }
    assert " ".join(columns["OpportunityHistory"]) == (
        "Id OpportunityId CreatedDate CreatedById StageName Amount CloseDate Probability ForecastCategory "
        "PrevAmount PrevCloseDate IsDeleted"
    )
    assert (
        columns["OpportunityFieldHistory"] == "Id OpportunityId CreatedDate CreatedById Field OldValue NewValue".split()
    )
    assert columns["ForecastCall"] == "Id OwnerId SubmittedAt QuarterStart ForecastCategoryName Amount".split()
    custom = {name for frame in columns.values() for name in frame if name.endswith("__c")}
    assert custom == {"Contact__c", "Seniority__c", "Size__c", "Region__c", "Territory__c", "Hired__c", "Left__c"}


def test_values_have_salesforce_forms() -> None:
    times = ("CreatedDate", "CompletedDateTime", "StartDateTime", "EndDateTime", "MessageDate", "FirstOpenedDate")
    times = (*times, "LastModifiedDate", "SystemModstamp", "SubmittedAt")
    for name, rows in objects().items():
        for row in rows[:500]:
            for column, value in row.items():
                where = (name, column, value)
                if column in times:
                    assert value == "" or TIME.fullmatch(value), where
                elif column in ("CloseDate", "ActivityDate", "StartDate", "EndDate", "QuarterStart", "PrevCloseDate"):
                    assert value == "" or DATE.fullmatch(value), where
                elif column.startswith("Is") or column == "Incoming":
                    assert value in ("true", "false"), where
                elif column.endswith("Amount"):
                    assert value == "" or re.fullmatch(r"\d+\.\d\d", value), where
                elif column == "Probability":
                    assert value in {str(percent) for percent in range(101)}, where
    assert {row["ForecastCategory"] for row in objects()["OpportunityHistory"]} == set(HISTORY_WORDS)
    names = {row["ForecastCategoryName"] for row in objects()["Opportunity"]}
    assert names == {"Pipeline", "Best Case", "Commit", "Omitted", "Closed"}
    calls = [row for row in objects()["Task"] if row["TaskSubtype"] == "Call"]
    assert {row["CallDisposition"] for row in calls} == {"Connected", "No Answer"}
    assert {row["CallType"] for row in calls} == {"Inbound", "Outbound"}


def test_ids_are_unique_and_number_the_rows_in_text_order() -> None:
    for name, rows in objects().items():
        ids = [row["Id"] for row in rows]
        assert len(set(ids)) == len(ids), name
        assert ids == sorted(ids), name
        assert len({len(i) for i in ids}) == 1, name
    for name in ("OpportunityHistory", "OpportunityFieldHistory", "Task", "Event", "EmailMessage"):
        created = [row["CreatedDate"] for row in objects()[name]]
        assert created == sorted(created), name


def test_references_resolve() -> None:
    ids = {name: {row["Id"] for row in rows} for name, rows in objects().items()}
    for name, column, target in (
        ("OpportunityHistory", "OpportunityId", "Opportunity"),
        ("OpportunityFieldHistory", "OpportunityId", "Opportunity"),
        ("Task", "WhatId", "Opportunity"),
        ("Task", "WhoId", "Contact"),
        ("Event", "WhoId", "Contact"),
        ("EmailMessage", "RelatedToId", "Opportunity"),
        ("EmailMessage", "Contact__c", "Contact"),
        ("OpportunityContactRole", "ContactId", "Contact"),
        ("Contact", "AccountId", "Account"),
        ("Opportunity", "OwnerId", "User"),
        ("Opportunity", "AccountId", "Account"),
        ("User", "ManagerId", "User"),
        ("ForecastingQuota", "PeriodId", "Period"),
    ):
        told = {row[column] for row in objects()[name]} - {""}
        assert set() < told <= ids[target], (name, column)


def test_no_truth_is_told() -> None:
    hidden = {name for frame in company().truth.values() for name in frame.columns} - {"deal_id", "rep_id"}
    states = {"engaged", "cooling", "quiet", "gone"}
    for name, rows in objects().items():
        assert not hidden & set(rows[0]), name
        assert not states & {value for row in rows for value in row.values()}, name


def test_equal_settings_give_equal_bytes_and_files_are_rfc_4180(tmp_path: Path) -> None:
    counts = write_salesforce(company(), tmp_path / "a", ZONE)
    write_salesforce(simulate(SETTINGS), tmp_path / "b", ZONE)
    files = {path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a").rglob("*.*")}
    assert files == {path.relative_to(tmp_path / "b"): path.read_bytes() for path in (tmp_path / "b").rglob("*.*")}
    for name, rows in objects().items():
        with (tmp_path / "a" / "export" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file, strict=True)) == rows, name
        assert counts[name] == len(rows)
    phrases = {row["NewValue"] for row in objects()["OpportunityFieldHistory"]}
    assert any('"' in phrase for phrase in phrases)
    assert any("," in phrase for phrase in phrases)
    write(company(), tmp_path / "c")
    for path in (tmp_path / "c" / "truth").iterdir():  # the truth does not depend on the shape
        assert path.read_bytes() == (tmp_path / "a" / "truth" / path.name).read_bytes()


def test_hostile_texts_survive_the_writer(tmp_path: Path) -> None:
    evil = ['=cmd|"x"', "a,b", "two\nlines", "", "\u202eright", None]
    write_object(pd.DataFrame({"Id": range(6), "Name": pd.Series(evil, dtype="str")}).astype("str"), tmp_path / "X.csv")
    with (tmp_path / "X.csv").open(encoding="utf-8", newline="") as file:
        assert [row["Name"] for row in csv.DictReader(file, strict=True)] == [text or "" for text in evil]


# --- the history can be replayed -------------------------------------------------------------------------------------


def by_deal(rows: Iterable[Row]) -> dict[str, list[Row]]:
    made: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["CreatedDate"], row["Id"])):
        made[row["OpportunityId"]].append(row)
    return made


def replayed(told: dict[str, list[Row]]) -> list[Fact]:
    """Every state of every deal from the two histories; what neither tells is read from the current row."""
    histories, fields = by_deal(told["OpportunityHistory"]), by_deal(told["OpportunityFieldHistory"])
    users = {row["Id"] for row in told["User"]}
    states = []
    for current in told["Opportunity"]:
        deal = current["Id"]
        changes = [r for r in fields[deal] if r["Field"] == "NextStep" or r["NewValue"] in users]
        now = {"Owner": current["OwnerId"], "NextStep": current["NextStep"]}
        for change in reversed(changes):
            now[change["Field"]] = change["OldValue"]
        core: Row = {}
        for second in sorted({row["CreatedDate"] for row in [*histories[deal], *changes]}):
            rows = [row for row in histories[deal] if row["CreatedDate"] == second] or [core]
            for k, core in enumerate(rows):
                if k == len(rows) - 1:
                    now.update({r["Field"]: r["NewValue"] for r in changes if r["CreatedDate"] == second})
                states.append(
                    (
                        deal,
                        second,
                        core["StageName"],
                        core["Amount"],
                        core["CloseDate"],
                        HISTORY_WORDS[core["ForecastCategory"]],
                        f"{int(core['Probability']) / 100}",
                        now["Owner"],
                        str(now["NextStep"] != ""),
                    )
                )
    return states


def recorded(of: Company | None = None) -> list[Fact]:
    """The canonical history in the same form."""
    rows = sorted(canonical("deal_history", of), key=lambda row: (row["deal_id"], row["seq"]))
    return [
        (
            row["deal_id"],
            row["known_at"],
            row["stage"],
            "" if row["amount"] is None else f"{row['amount']:.2f}",
            row["close_date"],
            row["forecast_category"],
            f"{row['probability']}",
            row["owner_id"],
            str(bool(row["next_step_set"])),
        )
        for row in rows
    ]


def test_every_state_can_be_replayed_from_the_histories() -> None:
    assert replayed(objects()) == recorded()


def test_the_current_row_is_what_the_close_left() -> None:
    last = {state[0]: state for state in recorded()}
    for row in objects()["Opportunity"]:
        state = last[row["Id"]]
        assert (row["StageName"], row["Amount"], row["CloseDate"]) == state[2:5]
        assert (row["OwnerId"], str(row["NextStep"] != "")) == state[7:]
        assert row["LastModifiedDate"] == state[1]
    closed = [row for row in objects()["Opportunity"] if row["StageName"].startswith("Closed")]
    assert {row["ForecastCategoryName"] for row in closed} == {"Closed"}
    assert {row["Probability"] for row in closed} == {"0", "100"}


def test_owner_changes_come_as_names_and_as_ids_with_their_old_values() -> None:
    names = {row["Id"]: row["Name"] for row in objects()["User"]}
    rows = [row for row in objects()["OpportunityFieldHistory"] if row["Field"] == "Owner"]
    assert len(rows) > 20
    for told, ids in zip(rows[::2], rows[1::2], strict=True):
        assert (told["OpportunityId"], told["CreatedDate"]) == (ids["OpportunityId"], ids["CreatedDate"])
        assert (told["OldValue"], told["NewValue"]) == (names[ids["OldValue"]], names[ids["NewValue"]])
        assert ids["OldValue"] != ids["NewValue"]


def test_previous_values_are_those_of_the_row_before() -> None:
    for rows in by_deal(objects()["OpportunityHistory"]).values():
        assert (rows[0]["PrevAmount"], rows[0]["PrevCloseDate"]) == ("", "")
        for before, after in pairwise(rows):
            assert (after["PrevAmount"], after["PrevCloseDate"]) == (before["Amount"], before["CloseDate"])


def with_history(rows: list[dict[str, Any]]) -> Company:
    """The company with another history: one deal's rows, times in minutes after its creation unless given."""
    export = company().export
    deals = export["deals"].iloc[:1]
    base = export["deal_history"].sort_values(["deal_id", "seq"]).iloc[[0]]
    made = pd.concat([base] * len(rows), ignore_index=True)
    made["seq"] = range(len(rows))
    for k, row in enumerate(rows):
        made["known_at"] = made["known_at"].where(made.index != k, deals["created_at"].iloc[0] + row.pop("after"))
        for name, value in row.items():
            if name not in made:
                made[name] = pd.Series(None, made.index, "str")
            made.loc[k, name] = value
    return Company({**export, "deals": deals, "deal_history": made}, {})


def test_saves_of_one_second_and_saves_that_change_nothing_are_all_told() -> None:
    at = pd.Timedelta
    odd = with_history(
        [
            {"after": at(0), "next_step_set": False},
            {"after": at("1h"), "stage": "Propose", "next_step_set": False},
            {"after": at("1h"), "stage": "Propose", "next_step_set": True},
            {"after": at("2h"), "stage": "Propose", "next_step_set": True},  # nothing changed
            {"after": at("3h"), "stage": "Propose", "next_step_set": False, "owner_id": "U0003"},  # field history only
        ]
    )
    told = texts(salesforce_frames(odd, ZONE))
    assert replayed(told) == recorded(odd)
    assert len(told["OpportunityHistory"]) == 4
    assert [row["Field"] for row in told["OpportunityFieldHistory"]] == ["NextStep", "Owner", "Owner", "NextStep"]


def test_who_saved_a_row_is_told_where_the_company_knows() -> None:
    at = pd.Timedelta
    rows = [
        {"after": at(0), "edited_by": "U0004", "next_step_set": False},
        {"after": at("1h"), "edited_by": "U0001", "stage": "Propose", "next_step_set": True, "owner_id": "U0003"},
    ]
    told = texts(salesforce_frames(with_history(rows), ZONE))
    assert [row["CreatedById"] for row in told["OpportunityHistory"]] == ["U0004", "U0001"]
    assert [row["CreatedById"] for row in told["OpportunityFieldHistory"]] == ["U0001"] * 3
    if "edited_by" not in company().export["deal_history"]:
        assert {row["CreatedById"] for row in objects()["OpportunityHistory"]} == {""}


# --- every activity is told once -------------------------------------------------------------------------------------


def facts_of(told: dict[str, list[Row]]) -> Counter[Fact]:
    """What the objects tell, as SEMANTICS has it: one fact a Task or mail, up to two an Event or an opened mail."""
    facts: list[Fact] = []
    for row in told["Task"]:
        calls = row["TaskSubtype"] == "Call"
        said = (
            ("call", row["CallType"].lower(), row["CallDisposition"].lower().replace(" ", "_"))
            if calls
            else TASK_TYPES[row["Type"]]
        )
        length = str(int(row["CallDurationInSeconds"]) // 60) if calls else ""
        day = "" if said[2] == "opened" else row["ActivityDate"]
        facts.append((row["WhatId"], *said, row["CompletedDateTime"], day, length))
    for row in told["EmailMessage"]:
        way = "inbound" if row["Incoming"] == "true" else "outbound"
        facts.append((row["RelatedToId"], "email", way, "", row["CreatedDate"], row["MessageDate"], ""))
        if opened := row["FirstOpenedDate"]:
            assert opened >= row["CreatedDate"]
            facts.append((row["RelatedToId"], "content", "inbound", "opened", opened, "", ""))
    last = max(row["CreatedDate"] for name in ("OpportunityHistory", "Task", "EmailMessage") for row in told[name])
    for row in told["Event"]:
        start, length = row["StartDateTime"], row["DurationInMinutes"]
        one = (row["WhatId"], "meeting", "mutual")
        if row["CreatedDate"] < start:
            facts.append((*one, "planned", row["CreatedDate"], start, length))
        if row["IsDeleted"] == "true":
            facts.append((*one, "cancelled", row["LastModifiedDate"], "", ""))
        elif row["EndDateTime"] <= last:
            known = max(row["CreatedDate"], row["EndDateTime"], row["LastModifiedDate"])
            facts.append((*one, "held", known, start, length))
    return Counter(facts)


def acts_of(of: Company | None = None) -> Counter[Fact]:
    """The canonical activities in the same form: what the shape cannot say (see the docs) is left out."""
    facts = []
    rows = (of or company()).export["activities"]
    local = rows["occurred_at"].dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d")
    for row, day in zip(canonical("activities", of), local, strict=True):
        outcome = row["outcome"] or ""
        exact = row["kind"] in ("email", "meeting") and outcome != "cancelled"
        when = row["occurred_at"] if exact else "" if outcome in ("cancelled", "opened") else day
        length = "" if row["minutes"] is None or outcome == "cancelled" else f"{row['minutes']:.0f}"
        facts.append((row["deal_id"], row["kind"], row["direction"], outcome, row["known_at"], when, length))
    return Counter(facts)


def test_every_activity_is_told_once_and_dropped_plans_are_all_that_is_added() -> None:
    told, acts = facts_of(objects()), acts_of()
    assert not acts - told
    added = told - acts
    assert {fact[1:4] for fact in added} == {("meeting", "mutual", "cancelled")}
    # Those are the planned meetings that ended without a follow-up: dropped at the deal's close, or never logged.
    kinds = Counter(row["outcome"] for row in canonical("activities") if row["kind"] == "meeting")
    open_events = sum(
        row["IsDeleted"] == "false" and row["LastModifiedDate"] == row["CreatedDate"] < row["StartDateTime"]
        for row in objects()["Event"]
    )
    assert 0 < open_events < 100
    assert sum(added.values()) == len(objects()["Event"]) - open_events - kinds["held"] - kinds["cancelled"]
    closes = {s[0]: s[1] for s in reversed(recorded()) if s[5] == "closed"}
    ends = {(row["WhatId"], row["EndDateTime"]) for row in objects()["Event"]}
    at_close = [fact for fact in added if fact[4] == closes.get(fact[0])]
    assert at_close
    assert all((fact[0], fact[4]) in ends for fact in added if fact not in at_close)


def test_counts_by_kind_add_up() -> None:
    kinds = Counter(row["kind"] for row in canonical("activities"))
    assert len(objects()["EmailMessage"]) == kinds["email"]
    opened = sum(row["FirstOpenedDate"] != "" for row in objects()["EmailMessage"])
    assert len(objects()["Task"]) == sum(kinds[kind] for kind in ("call", "content", "contract", "web")) - opened
    assert Counter(row["TaskSubtype"] for row in objects()["Task"])["Call"] == kinds["call"]


def with_activities(rows: list[tuple[Any, ...]]) -> Company:
    """The company with a few activities of its first deal alone.

    Of each row: kind, direction, outcome, occurred and known (hours after noon of 2022-01-01), minutes, contact.
    """
    noon = pd.Timestamp("2022-01-01T12:00Z")
    words = ("kind", "direction", "outcome")
    export = company().export
    made = {
        "deal_id": [str(export["deals"]["deal_id"].iloc[0])] * len(rows),
        **{word: pd.Series([row[k] for row in rows], dtype="str") for k, word in enumerate(words)},
        "occurred_at": pd.DatetimeIndex([noon + pd.Timedelta(hours=row[3]) for row in rows]).as_unit("s"),
        "known_at": pd.DatetimeIndex([noon + pd.Timedelta(hours=row[4]) for row in rows]).as_unit("s"),
        "minutes": pd.Series([row[5] for row in rows], dtype="float64"),
        "contact_id": pd.Series([row[6] for row in rows], dtype="str"),
    }
    frame = pd.DataFrame(made).sort_values("known_at", kind="stable", ignore_index=True)
    return Company({**export, "activities": frame}, {})


def meeting(
    outcome: str, start: float, known: float, minutes: float | None = 30, contact: Any = None
) -> tuple[Any, ...]:
    return ("meeting", "mutual", outcome, start, known, minutes, contact)


def events(rows: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    """(created, start, touched, deleted) of each Event, hours after noon of 2022-01-01."""

    def hours(text: str) -> str:
        return f"{(pd.Timestamp(text) - pd.Timestamp('2022-01-01T12:00Z')) / pd.Timedelta(hours=1):g}"

    told = texts(salesforce_frames(with_activities(rows), ZONE))["Event"]
    return [
        (*(hours(row[name]) for name in ("CreatedDate", "StartDateTime", "LastModifiedDate")), row["IsDeleted"])
        for row in told
    ]


def test_a_plan_and_what_came_of_it_are_one_event() -> None:
    assert events([meeting("planned", 48, 1), meeting("held", 48, 50)]) == [("1", "48", "50", "false")]
    # The scheduled start stands on the cancelled row: before, at or after it.
    assert events([meeting("planned", 48, 1), meeting("cancelled", 48, 20, None)]) == [("1", "48", "20", "true")]
    assert events([meeting("planned", 48, 1), meeting("cancelled", 48, 49, None)]) == [("1", "48", "49", "true")]
    # The instant of calling off stands on it instead.
    assert events([meeting("planned", 48, 1), meeting("cancelled", 19.5, 20, None)]) == [("1", "48", "20", "true")]
    assert events([meeting("held", 48, 50)]) == [("50", "48", "50", "false")]
    assert events([meeting("cancelled", 48, 50, None)]) == [("48", "48", "50", "true")]


def test_two_meetings_at_one_time_are_paired_in_order() -> None:
    rows = [meeting("planned", 48, 1), meeting("planned", 48, 2), meeting("held", 48, 50), meeting("cancelled", 48, 30)]
    assert events(rows) == [("1", "48", "50", "false"), ("2", "48", "30", "true")]
    assert events(rows) == events(rows[::-1])
    longer = [meeting("planned", 48, 1, 30), meeting("planned", 48, 2, 60), meeting("held", 48, 50, 60)]
    assert ("2", "48", "50", "false") in events(longer)


def test_an_event_names_the_contact_of_its_plan() -> None:
    first, second = (str(c) for c in company().export["contacts"]["contact_id"].iloc[:2])
    rows = [meeting("planned", 48, 1, 30, first), meeting("held", 48, 50, 30, second)]
    assert [row["WhoId"] for row in texts(salesforce_frames(with_activities(rows), ZONE))["Event"]] == [first]


def test_a_plan_that_nobody_followed_up_is_dropped_once_it_is_over() -> None:
    end = company().export["activities"]["known_at"].max() - pd.Timestamp("2022-01-01T12:00Z")
    last = end / pd.Timedelta(hours=1)
    [(created, _, touched, gone)] = events([meeting("planned", last + 100, 1)])
    assert (created, touched, gone) == ("1", "1", "false")
    assert [(e[2], e[3]) for e in events([meeting("planned", 3, 1, 30)])] == [("3.5", "true")]


def test_an_opening_stands_on_the_nearest_mail_before_it() -> None:
    mail = ("email", "outbound", None)
    opened = ("content", "inbound", "opened")
    rows = [
        (*mail, 1, 1.25, None, None),
        (*mail, 2, 2.25, None, None),
        (*opened, 3, 3.25, None, None),
        (*opened, 4, 4.25, None, None),
        (*opened, 5, 5.25, None, None),  # no mail is left for it
        ("email", "inbound", None, 5, 5.5, None, None),
    ]
    told = texts(salesforce_frames(with_activities(rows), ZONE))
    assert [row["FirstOpenedDate"][11:16] for row in told["EmailMessage"]] == ["16:15", "15:15", ""]
    assert [(row["Type"], row["CreatedDate"][11:16]) for row in told["Task"]] == [("Email Opened", "17:15")]


def test_an_opening_prefers_the_mail_to_its_contact() -> None:
    first, second = (str(c) for c in company().export["contacts"]["contact_id"].iloc[:2])
    rows = [
        ("email", "outbound", None, 1, 1, None, first),
        ("email", "outbound", None, 2, 2, None, second),
        ("content", "inbound", "opened", 3, 3, None, first),
        ("content", "inbound", "opened", 4, 4, None, None),
    ]
    told = texts(salesforce_frames(with_activities(rows), ZONE))
    assert [row["FirstOpenedDate"][11:13] for row in told["EmailMessage"]] == ["15", "16"]
    assert not told["Task"]


def test_what_has_no_form_is_refused_not_dropped() -> None:
    with pytest.raises(UsageError, match="fax inbound read"):
        salesforce_frames(with_activities([("fax", "inbound", "read", 1, 1, None, None)]), ZONE)
    with pytest.raises(UsageError, match="1 meetings"):
        salesforce_frames(with_activities([meeting("moved", 48, 1)]), ZONE)
    with pytest.raises(UsageError, match="renewals"):
        salesforce_frames(Company({**company().export, "renewals": pd.DataFrame()}, {}), ZONE)


# --- the lists -------------------------------------------------------------------------------------------------------


def test_quotas_calls_people_and_accounts_are_all_there() -> None:
    period = {row["Id"]: row["StartDate"] for row in objects()["Period"]}
    told = [(r["QuotaOwnerId"], period[r["PeriodId"]], float(r["QuotaAmount"])) for r in objects()["ForecastingQuota"]]
    assert told == [(r["rep_id"], r["period_start"], r["amount"]) for r in canonical("quotas")]
    words = {"Commit": "commit", "Best Case": "best_case"}
    calls = [
        (r["OwnerId"], r["SubmittedAt"], r["QuarterStart"], words[r["ForecastCategoryName"]], float(r["Amount"]))
        for r in objects()["ForecastCall"]
    ]
    names = ("rep_id", "submitted_at", "period_start", "category", "amount")
    assert calls == [tuple(r[name] for name in names) for r in canonical("calls")]
    for name, table, columns in (
        ("User", "reps", {"Id": "rep_id", "ManagerId": "manager_id", "Department": "team", "Left__c": "left"}),
        ("Account", "accounts", {"Id": "account_id", "Industry": "industry", "Size__c": "size", "Name": "name"}),
        ("Contact", "contacts", {"Id": "contact_id", "Seniority__c": "seniority", "CreatedDate": "known_at"}),
        ("OpportunityContactRole", "contacts", {"OpportunityId": "deal_id", "Role": "role"}),
        (
            "Opportunity",
            "deals",
            {"Id": "deal_id", "CreatedDate": "created_at", "Type": "type", "LeadSource": "source"},
        ),
    ):
        rows = [tuple(row[c] for c in columns) for row in objects()[name]]
        assert rows == [tuple(row[c] or "" for c in columns.values()) for row in canonical(table)], name
    assert [row["IsActive"] == "true" for row in objects()["User"]] == [
        row["left"] is None for row in canonical("reps")
    ]
