"""The smaller objects of a Salesforce export: who, targets, calls and leads; merged records, ids, names of columns."""

from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError, SchemaError
from features.ingest import Ingest
from features.sources.salesforce.ids import short
from features.tables import Coded, CrmTables
from tests.sf import change, hist, history, objects, opp, read, refused, rows, t, write


def company(**listed: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {
        "Opportunity": [opp("D1"), opp("D2", AccountId="A2")],
        "OpportunityHistory": [hist("D1", t("01-02"), "Qualify"), hist("D2", t("01-02"), "Qualify")],
    } | listed


def test_merged_accounts_and_contacts_go_by_the_one_that_is_left(tmp_path: Path) -> None:
    accounts = [
        {"Id": "A1", "Name": "Acme", "MasterRecordId": "A2", "IsDeleted": "true"},
        {"Id": "A2", "Name": "Acme Ltd", "MasterRecordId": "A3", "IsDeleted": "true"},
        {"Id": "A3", "Name": "Acme Inc", "Industry": "Metal", "NumberOfEmployees": "12", "BillingCountry": "NL"},
    ]
    contacts = [
        {"Id": "C1", "AccountId": "A1", "MasterRecordId": "C2", "IsDeleted": "true", "Seniority__c": "vp"},
        {"Id": "C2", "AccountId": "A3", "MasterRecordId": "", "Seniority__c": "director"},
    ]
    roles = [
        {"OpportunityId": "D1", "ContactId": "C1", "CreatedDate": t("01-05"), "Role": "Buyer"},
        {"OpportunityId": "D1", "ContactId": "C2", "CreatedDate": t("01-05"), "Role": "Boss"},
        {"OpportunityId": "D2", "ContactId": "C2", "CreatedDate": t("01-06"), "IsDeleted": "true"},
        {"OpportunityId": "D2", "ContactId": "C9", "CreatedDate": t("01-06")},
        {"OpportunityId": "D9", "ContactId": "C2", "CreatedDate": t("01-06")},
    ]
    task = {"WhatId": "A1", "WhoId": "C1", "TaskSubtype": "Call", "IsClosed": "false", "CreatedDate": t("02-01")}
    made = company(Account=accounts, Contact=contacts, OpportunityContactRole=roles, Task=[task])
    made["OpportunityHistory"].append(hist("D2", t("01-20"), "Closed Lost"))
    seniority = {"objects": {"Contact": {"columns": {"seniority": "Seniority__c"}}}}
    ingest = read(tmp_path, made, fixed_contact_fields=["role", "seniority"], **seniority)
    assert rows(ingest.tables.deals, "deal_id", "account_id") == [("D1", "A3"), ("D2", "A3")]
    columns = ("account_id", "name", "industry", "size", "region")
    assert rows(ingest.tables.accounts, *columns) == [("A3", "Acme Inc", "Metal", "12", "NL")]
    assert rows(ingest.tables.contacts, "deal_id", "contact_id", "role", "seniority") == [
        ("D1", "C2", "Buyer", "director"),
        ("D2", "C2", None, "director"),  # deleted since, nobody knows when
        ("D2", "C9", None, None),
    ]
    assert rows(ingest.tables.activities, "deal_id", "contact_id") == [("D1", "C2")]
    assert refused(ingest, "Account") == {"merged into another record": 2}
    assert refused(ingest, "OpportunityContactRole") == {
        "the same person on the same deal, added in the same second": 1,
    }
    assert refused(ingest, "contacts") == {"unattributed: its deal is not in deals": 1}


def test_fields_without_history_stay_out_unless_declared(tmp_path: Path) -> None:
    made = company(
        Contact=[{"Id": "C1", "Seniority__c": "vp"}],
        OpportunityContactRole=[
            {"OpportunityId": "D1", "ContactId": "C1", "CreatedDate": t("01-05"), "Role": "Buyer"},
        ],
    )
    made["Opportunity"][0] |= {"Type": "New", "LeadSource": "Web"}
    seniority = {"objects": {"Contact": {"columns": {"seniority": "Seniority__c"}}}}
    tables = read(tmp_path, made, **seniority).tables
    assert rows(tables.contacts, "role", "seniority") == [(None, None)]
    assert rows(tables.deals, "type", "source") == [(None, None), (None, None)]


def test_users_with_their_managers_and_teams(tmp_path: Path) -> None:
    users = [
        {"Id": "U1", "Name": "Ann", "ManagerId": "U2", "Division": "East", "Hired__c": "2020-02-01"},
        {"Id": "U2", "Name": "Ben", "ManagerId": "U2", "Division": ""},
    ]
    columns = {"User": {"columns": {"hired": ["Hired__c"], "territory": ["Territory__c"]}}}
    ingest = read(tmp_path, company(User=users), objects=columns)
    assert rows(ingest.tables.reps, "rep_id", "manager_id", "team", "territory", "hired", "name") == [
        ("U1", "U2", "East", None, "02-01", "Ann"),
        ("U2", "U2", None, None, None, "Ben"),
    ]


def test_quotas_count_from_their_creation_or_their_periods_start(tmp_path: Path) -> None:
    quotas = [
        {"QuotaOwnerId": "U1", "QuotaAmount": "100", "StartDate": "2024-01-01", "CreatedDate": t("02-15")},
        {"QuotaOwnerId": "U2", "QuotaAmount": "200.5", "PeriodId": "P2", "CreatedDate": t("01-15")},
        {"QuotaOwnerId": "U3", "QuotaAmount": "300", "PeriodId": "P2"},
        {"QuotaOwnerId": "U4", "QuotaAmount": "300", "PeriodId": "P9"},
        {"QuotaOwnerId": "U5", "QuotaAmount": "300"},
    ]
    periods = [{"Id": "P1", "StartDate": "2024-01-01"}, {"Id": "P2", "StartDate": "2024-04-01"}]
    ingest = read(tmp_path, company(ForecastingQuota=quotas, Period=periods))
    assert rows(ingest.tables.quotas, "rep_id", "period_start", "amount", "known_at") == [
        ("U1", "01-01", 100.0, "02-15 09:00:00"),  # set late: known late
        ("U2", "04-01", 200.5, "04-01 00:00:00"),
        ("U3", "04-01", 300.0, "04-01 00:00:00"),
    ]
    assert refused(ingest, "ForecastingQuota") == {"names no period that the export knows": 2}


def test_forecast_calls(tmp_path: Path) -> None:
    calls = [
        {
            "OwnerId": "U1",
            "SubmittedAt": t("01-08"),
            "QuarterStart": "2024-01-01",
            "ForecastCategoryName": "Best Case",
            "Amount": "12.5",
        }
    ]
    tables = read(tmp_path, company(ForecastCall=calls)).tables
    assert rows(tables.calls, "rep_id", "submitted_at", "period_start", "category", "amount") == [
        ("U1", "01-08 09:00:00", "01-01", "best_case", 12.5)
    ]


def test_leads_their_conversion_and_their_wish_to_be_left_alone(tmp_path: Path) -> None:
    lead = {"CreatedDate": t("01-05"), "LeadSource": "Web", "Industry": "Metal", "HasOptedOutOfEmail": "false"}
    leads = [
        {"Id": "L1", **lead, "IsConverted": "true", "ConvertedDate": "2024-01-20", "ConvertedOpportunityId": "D1"},
        {"Id": "L2", **lead, "IsConverted": "false", "HasOptedOutOfEmail": "true"},
        {"Id": "L3", **lead, "IsDeleted": "true", "MasterRecordId": "L2"},
        {"Id": "L4", **lead, "IsDeleted": "true"},
        {"Id": "L5", **lead, "IsConverted": "true", "ConvertedDate": "2024-01-05"},
    ]
    ingest = read(tmp_path, company(Lead=leads))
    assert rows(ingest.tables.leads, "lead_id", "created_at", "source", "opted_out") == [
        ("L1", "01-05 09:00:00", "Web", 0),
        ("L2", "01-05 09:00:00", "Web", 1),
        ("L5", "01-05 09:00:00", "Web", 0),
    ]
    assert rows(ingest.tables.lead_history, "lead_id", "known_at", "event", "deal_id") == [
        ("L1", "01-20 23:59:59", "converted", "D1"),  # a bare date: the end of that day
        ("L5", "01-05 23:59:59", "converted", None),
    ]
    assert refused(ingest, "Lead") == {"merged into another record": 1, "deleted": 1}


def test_ids_of_15_and_18_characters_are_one_record(tmp_path: Path) -> None:
    assert short("0015000000Gv7qJAAR") == "0015000000Gv7qJ"
    assert short("0015000000Gv7qJAAA") == "0015000000Gv7qJAAA"  # a wrong check: no Salesforce id
    assert short("D1") == "D1"
    long, fifteen = "0065000000Gv7qJAAR", "0065000000Gv7qJ"
    made = {
        "Opportunity": [opp(long, OwnerId="005500000000AbC")],
        "OpportunityHistory": [hist(fifteen, t("01-02"), "Qualify"), hist(fifteen, t("02-02"), "Propose")],
        "OpportunityFieldHistory": [
            change(long, t("02-02"), "Owner", "005500000000Zzz", "005500000000AbC"),
        ],
        "Task": [{"WhatId": long, "TaskSubtype": "Call", "IsClosed": "false", "CreatedDate": t("02-01")}],
    }
    ingest = read(tmp_path, made)
    assert [row[0] for row in history(ingest)] == [fifteen, fifteen]
    assert rows(ingest.tables.activities, "deal_id") == [(fifteen,)]
    assert history(ingest, "owner_id")[0][2] == "005500000000Zzz"
    alone = {"Opportunity": [opp(long)], "OpportunityHistory": [hist(long, t("01-02"), "Qualify")]}
    assert history(read(tmp_path / "alone", alone))[0][0] == long  # one form only: kept as it is


def test_two_forms_of_one_opportunity_are_a_repeated_key(tmp_path: Path) -> None:
    long, fifteen = "0065000000Gv7qJAAR", "0065000000Gv7qJ"
    made = {"Opportunity": [opp(long), opp(fifteen)], "OpportunityHistory": [hist(long, t("01-02"), "Qualify")]}
    with pytest.raises(DataError, match="'0065000000Gv7qJ' again"):
        read(tmp_path, made)


def test_several_currencies_are_refused_or_converted(tmp_path: Path) -> None:
    made = {
        "Opportunity": [opp("D1", CurrencyIsoCode="USD"), opp("D2", CurrencyIsoCode="EUR")],
        "OpportunityHistory": [
            hist("D1", t("01-02"), "Qualify", Amount="100"),
            hist("D2", t("01-02"), "Qualify", Amount="100.01"),
            hist("D2", t("02-02"), "Propose", Amount="100.01"),
        ],
        "OpportunityFieldHistory": [change("D2", t("02-02"), "CurrencyIsoCode", "GBP", "EUR")],
        "ForecastingQuota": [
            {"QuotaOwnerId": "U1", "QuotaAmount": "10", "StartDate": "2024-01-01", "CurrencyIsoCode": "EUR"}
        ],
    }
    with pytest.raises(SchemaError, match="amounts in EUR, GBP, USD; expected one currency, or rates"):
        read(tmp_path, made)
    with pytest.raises(SchemaError, match=r"OpportunityFieldHistory.csv:2: .*'GBP'; expected a currency"):
        read(tmp_path, made, currency={"base": "USD", "rates": {"EUR": 1.085}})
    ingest = read(tmp_path, made, currency={"base": "USD", "rates": {"EUR": 1.085, "GBP": 2}})
    assert history(ingest, "amount", "currency", "assumed") == [
        ("D1", "01-02 09:00:00", 100.0, "USD", "owner_id,currency"),
        ("D2", "01-02 09:00:00", 200.02, "GBP", "owner_id"),
        ("D2", "02-02 09:00:00", 108.51, "EUR", "owner_id"),  # 108.51085
    ]
    assert rows(ingest.tables.quotas, "amount") == [(10.85,)]


SNAKE = {
    "Opportunity": "opportunity",
    "OpportunityHistory": "opportunity_history",
    "OpportunityFieldHistory": "opportunity_field_history",
    "Task": "task",
    "Account": "account",
    "User": "user",
}


def test_snake_case_export_equals_the_one_with_api_names_bit_for_bit(tmp_path: Path) -> None:
    made = objects(
        Opportunity=[opp("D1", NextStep="x", Type="New", Amount="3", Product_Line__c="A"), opp("D2", AccountId="A2")],
        OpportunityHistory=[
            hist("D1", t("01-02"), "Qualify", Amount="10", CloseDate="2024-05-05", ForecastCategory="Forecast"),
            hist("D2", t("01-02"), "Qualify", Amount="", CloseDate="2024-05-05", ForecastCategory="Pipeline"),
        ],
        OpportunityFieldHistory=[change("D1", t("02-01"), "NextStep", "", "x")],
        Task=[{"WhatId": "D1", "TaskSubtype": "Call", "IsClosed": "false", "CreatedDate": t("02-01")}],
        Account=[{"Id": "A1", "NumberOfEmployees": "5"}, {"Id": "A2", "NumberOfEmployees": ""}],
        User=[{"Id": "U1", "Department": "East"}],
    )
    told = {"attributes": {"line": {"kind": "category", "column": "Product_Line__c"}}}
    api = read(tmp_path / "api", made, **told)
    write(tmp_path / "api2", made)
    snake = {
        SNAKE[name]: [
            {snake_case(key): value for key, value in ({"Id": f"{name}-{n:06d}"} | row).items()}
            | {"_fivetran_synced": t("12-31")}
            for n, row in enumerate(listed)
        ]
        for name, listed in made.items()
    }
    assert_equal(api, read(tmp_path / "snake", snake, **told))


def snake_case(name: str) -> str:
    """CreatedDate as created_date, Product_Line__c as product_line_c."""
    made = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return made.lstrip("_").replace("__", "_")


def assert_equal(one: Ingest, other: Ingest) -> None:
    assert one.stages == other.stages
    assert tables(one.tables) == tables(other.tables)


def tables(crm: CrmTables) -> dict[str, dict[str, Any]]:
    return {
        name: {
            column: (data.codes.tobytes(), data.values) if isinstance(data, Coded) else data.tobytes()
            for column, data in table.columns.items()
        }
        for name, table in crm.by_name().items()
    }


def test_two_files_or_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, company())
    (tmp_path / "opportunity_history.csv.gz").write_bytes(b"")
    with pytest.raises(SchemaError, match=r"OpportunityHistory.csv and opportunity_history.csv.gz side by side"):
        read(tmp_path)
    (tmp_path / "opportunity_history.csv.gz").unlink()
    text = (tmp_path / "Opportunity.csv").read_text().splitlines()
    (tmp_path / "Opportunity.csv").write_text(
        "\n".join([text[0] + ",owner_id", *(row + ",U" for row in text[1:])]) + "\n"
    )
    with pytest.raises(SchemaError, match="'OwnerId' and 'owner_id', which are one name but for case and underscores"):
        read(tmp_path)


def test_mapping_names_files_and_columns(tmp_path: Path) -> None:
    made = {"Deals": [{"Key": "D1", "Born": t("01-02"), "Phase": "Qualify"}], "OpportunityHistory": []}
    made["OpportunityHistory"] = [hist("D1", t("01-02"), "Qualify")]
    told = {"file": "Deals.csv", "columns": {"Id": "Key", "CreatedDate": "Born", "OwnerId": ["Boss", "Owner__c"]}}
    assert rows(read(tmp_path, made, objects={"Opportunity": told}).tables.deals, "deal_id") == [("D1",)]
    told["columns"]["OwnerId"] = "Boss"
    with pytest.raises(SchemaError, match="no column 'Boss'; expected it in the header"):
        read(tmp_path, objects={"Opportunity": told})
    told["columns"] = {"Id": "Key", "CreatedDate": "Born", "Owner": "Key"}
    with pytest.raises(SchemaError, match=r"the mapping names 'Owner' under objects.Opportunity.columns"):
        read(tmp_path, objects={"Opportunity": told})


def test_repeated_rows_are_counted_and_contradictions_refused(tmp_path: Path) -> None:
    made = company()
    made["OpportunityHistory"] = [{"Id": f"H{n}", **row} for n, row in enumerate(made["OpportunityHistory"])]
    made["OpportunityHistory"] += made["OpportunityHistory"][:1]
    made["Opportunity"] += made["Opportunity"][:1]
    ingest = read(tmp_path, made)
    assert refused(ingest, "OpportunityHistory") == refused(ingest, "Opportunity") == {"a repeated row": 1}
    assert ingest.tables.deals.n == ingest.tables.deal_history.n == 2
    made["OpportunityHistory"][-1] = made["OpportunityHistory"][-1] | {"StageName": "Propose"}
    with pytest.raises(SchemaError, match=r"OpportunityHistory.csv:4: .*Id 'H0' again, with other values"):
        read(tmp_path, made)


def test_an_amount_that_no_rate_should_make_is_named(tmp_path: Path) -> None:
    made = company()
    made["OpportunityHistory"][0] |= {"Amount": "1e14", "CurrencyIsoCode": "IDR"}
    with pytest.raises(SchemaError, match=r"OpportunityHistory.csv:2: deal_history.amount: 1,000,000,000,000,000.00"):
        read(tmp_path, made, currency={"base": "USD", "rates": {"IDR": 1e9}})
