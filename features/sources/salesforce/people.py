"""From the smaller objects to `contacts`, `accounts`, `reps`, `quotas` and `calls`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from configs.salesforce import SalesforceMapping
from features.sources.columns import at, renamed
from features.sources.exports import Export, Rows
from features.sources.frames import Stacked
from features.sources.salesforce.leads import MERGED
from features.sources.salesforce.money import CODE, in_base
from features.tables import NAT, Coded, ColumnData, IntArray, Table

NO_PERIOD = "names no period that the export knows"
AGAIN = "the same person on the same deal, added in the same second"


def _table(name: str, rows: Rows, columns: Mapping[str, ColumnData], chosen: IntArray) -> Stacked:
    """A table of some rows of an object."""
    data = {label: at(column, chosen) for label, column in columns.items()}
    table = Table.of(name, data, len(chosen))
    return Stacked(table, lambda row: rows.place(int(chosen[row])), (rows.label,), len(chosen))


def contact_table(export: Export, mapping: SalesforceMapping, masters: Mapping[str, str]) -> Stacked:
    """People on deals. masters: merged contact -> the one it went into."""
    rows, contacts = export["OpportunityContactRole"], export["Contact"]
    person = renamed(rows.coded("ContactId"), masters)
    deal, known_at = rows.coded("OpportunityId"), rows.ints("CreatedDate")
    live = np.flatnonzero(rows.live)
    order = live[np.lexsort((live, known_at[live], person.codes[live], deal.codes[live]))]
    same = (
        (deal.codes[order][1:] == deal.codes[order][:-1])
        & (person.codes[order][1:] == person.codes[order][:-1])
        & (known_at[order][1:] == known_at[order][:-1])
    )
    again = np.zeros(rows.n, dtype=bool)
    again[order[1:][same]] = True
    rows.refuse(again, AGAIN)
    columns: dict[str, ColumnData] = {"deal_id": deal, "contact_id": person, "known_at": known_at}
    if "role" in mapping.fixed_contact_fields:
        columns["role"] = rows.coded("Role")
    if "seniority" in mapping.fixed_contact_fields:
        seniority = contacts.coded("seniority")
        listed = contacts.coded("Id").strings()
        columns["seniority"] = at(seniority, person.codes_in([text or "" for text in listed]).astype(np.int64))
    return _table("contacts", rows, columns, np.flatnonzero(rows.live))


def account_table(export: Export) -> Stacked:
    """Accounts that stand for themselves."""
    rows = export["Account"]
    rows.refuse(rows.coded("MasterRecordId").codes >= 0, MERGED)
    columns: dict[str, ColumnData] = {
        "account_id": rows.coded("Id"),
        "name": rows.coded("Name"),
        "industry": rows.coded("Industry"),
        "size": rows.coded("size"),
        "region": rows.coded("region"),
    }
    return _table("accounts", rows, columns, np.flatnonzero(rows.live))


def rep_table(export: Export) -> Stacked:
    """Users, as they stand now."""
    rows = export["User"]
    columns: dict[str, ColumnData] = {
        "rep_id": rows.coded("Id"),
        "manager_id": rows.coded("ManagerId"),
        "team": rows.coded("team"),
        "territory": rows.coded("territory"),
        "hired": rows.ints("hired"),
        "left": rows.ints("left"),
        "name": rows.coded("Name"),
    }
    return _table("reps", rows, columns, np.flatnonzero(rows.live))


def quota_table(export: Export, mapping: SalesforceMapping) -> Stacked:
    """Quotas, by the start of their period."""
    rows, periods = export["ForecastingQuota"], export["Period"]
    listed = [text or "" for text in periods.coded("Id").strings()]
    named = at(periods.ints("StartDate"), rows.coded("PeriodId").codes_in(listed).astype(np.int64))
    start = rows.ints("StartDate")
    if not isinstance(named, Coded):
        start = np.where(start != NAT, start, named.astype(np.int64))
    rows.refuse(start == NAT, NO_PERIOD)
    amount = in_base(rows.ints("QuotaAmount"), rows.coded(CODE), mapping.currency)
    columns: dict[str, ColumnData] = {
        "rep_id": rows.coded("QuotaOwnerId"),
        "period_start": start,
        "amount": amount,
        "known_at": rows.ints("CreatedDate"),
    }
    return _table("quotas", rows, columns, np.flatnonzero(rows.live))


def call_table(export: Export) -> Stacked:
    """What people said they would bring in."""
    rows = export["ForecastCall"]
    columns: dict[str, ColumnData] = {
        "rep_id": rows.coded("OwnerId"),
        "submitted_at": rows.ints("SubmittedAt"),
        "period_start": rows.ints("QuarterStart"),
        "category": rows.coded("ForecastCategoryName"),
        "amount": rows.ints("Amount"),
    }
    return _table("calls", rows, columns, np.flatnonzero(rows.live))


def account_of_contacts(export: Export) -> dict[str, str]:
    """Account of every contact that has one."""
    rows = export["Contact"]
    has = rows.coded("AccountId").codes >= 0
    pairs = zip(rows.coded("Id").take(has).strings(), rows.coded("AccountId").take(has).strings(), strict=True)
    return {contact: account for contact, account in pairs if contact is not None and account is not None}
