"""From Opportunity and its two histories to `deals` and `deal_history`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from configs.errors import Fault
from configs.salesforce import SalesforceMapping
from features.ingest import EXAMPLES
from features.sources.assemble import FEW, MAX_SHARE
from features.sources.columns import at, first_rows, joined, renamed
from features.sources.exports import ATTRIBUTE, Export, Rows
from features.sources.frames import Stacked
from features.sources.salesforce.fields import FieldLog
from features.tables import Coded, ColumnData, IntArray, Table

Mask = NDArray[np.bool_]
ORPHAN = "its opportunity is not in the export"
UNDELETED = "deleted, while its opportunity is not"

CURRENT = {
    "stage": "StageName",
    "amount": "Amount",
    "close_date": "CloseDate",
    "forecast_category": "ForecastCategoryName",
    "owner_id": "OwnerId",
    "next_step_set": "NextStep",
    "probability": "Probability",
    "currency": "CurrencyIsoCode",
    "record_type": "RecordTypeId",
}


@dataclass(frozen=True)
class Deals:
    """The deals of an export. ids, rows: of each deal, its id and its row in Opportunity."""

    export: Export
    mapping: SalesforceMapping
    accounts: Mapping[str, str]  # merged account -> the one it went into

    @property
    def opportunity(self) -> Rows:
        """The object itself."""
        return self.export["Opportunity"]

    @cached_property
    def rows(self) -> IntArray:
        """int64[deals]: rows that are a deal; a repeated one is not."""
        return np.flatnonzero(self.opportunity.live)

    @cached_property
    def ids(self) -> Coded:
        """Id of each deal."""
        return self.opportunity.coded("Id").take(self.rows)

    @cached_property
    def names(self) -> list[str]:
        """Id of each deal, as text."""
        return [text or "" for text in self.ids.strings()]

    def codes(self, named: Coded) -> IntArray:
        """int64[n]: the deal that each id names, -1 where there is none."""
        return named.codes_in(self.names).astype(np.int64)

    def current(self, name: str) -> ColumnData:
        """What Opportunity says now of each deal; missing where it has no such column."""
        column = CURRENT.get(name, name)
        if column not in self.opportunity.columns:
            kind = self.opportunity.spec.field(column).kind
            if kind in ("id", "text"):
                return Coded.missing(len(self.rows))
            whole: ColumnData = self.opportunity.floats(column) if kind == "float" else self.opportunity.ints(column)
            return at(whole, self.rows)
        return at(self.opportunity.columns[column], self.rows)


def history_codes(deals: Deals, name: str) -> tuple[IntArray, list[Fault]]:
    """Deal of each row of a history. Rows of no deal, or deleted without it, are refused; many orphans are a fault."""
    rows = deals.export[name]
    deal = deals.codes(rows.coded("OpportunityId"))
    orphans = rows.live & (deal < 0)
    many = int(np.count_nonzero(orphans))
    faults = []
    if many >= FEW and many > MAX_SHARE * rows.n:
        got = f"{many:,} of {rows.n:,} rows are of opportunities that are not in the export"
        remedy = "export Opportunity whole, with deleted rows, at the same time as its history"
        where = rows.place(int(np.flatnonzero(orphans)[0]))
        faults.append(Fault("unknown_deal", where, got, "an Id of Opportunity", remedy, f"{name}.OpportunityId"))
    rows.refuse(orphans, ORPHAN)
    gone = np.append(deals.current("IsDeleted") == 1, True)
    rows.refuse(rows.true("IsDeleted") & ~gone[deal], UNDELETED)
    return np.where(rows.live, deal, -1), faults


def incomplete(deals: Deals, deal: IntArray) -> list[Fault]:
    """A fault where many deals have no row in OpportunityHistory: Salesforce writes one when a deal is created."""
    n = len(deals.rows)
    untold = np.setdiff1d(np.arange(n), deal)
    if len(untold) < FEW or len(untold) <= MAX_SHARE * n:
        return []
    examples = ", ".join(repr(deals.ids.decode(row)) for row in untold[:EXAMPLES].tolist())
    got = f"{len(untold):,} of {n:,} opportunities ({len(untold) / n:.1%}) have no history: {examples}"
    expected = f"a row in OpportunityHistory for at least {1 - MAX_SHARE:.0%} of them"
    remedy = "export OpportunityHistory whole, at the same time as Opportunity"
    label = deals.export["OpportunityHistory"].label
    return [Fault("incomplete_history", label, got, expected, remedy, "OpportunityHistory.OpportunityId")]


def deal_table(deals: Deals, log: FieldLog) -> Stacked:
    """The deals, by what they were when they were created: of a field with a history, the value before its changes."""
    rows, mapping = deals.opportunity, deals.mapping
    account = _at_creation(deals, log, "account_id", "AccountId")
    columns: dict[str, ColumnData] = {
        "deal_id": deals.ids,
        "account_id": renamed(account, deals.accounts) if isinstance(account, Coded) else account,
        "created_at": deals.current("CreatedDate"),
        "known_at": deals.current("CreatedDate"),
        "name": deals.current("Name"),
    }
    for name, column in (("type", "Type"), ("source", "LeadSource")):
        if name in mapping.fixed_deal_fields:
            columns[name] = _at_creation(deals, log, name, column)
    for name in mapping.attributes:
        columns[name] = _at_creation(deals, log, ATTRIBUTE + name, ATTRIBUTE + name)
    where = deals.rows
    table = Table.of("deals", columns, len(where))
    return Stacked(table, lambda row: rows.place(int(where[row])), (rows.label,), len(where))


def _at_creation(deals: Deals, log: FieldLog, name: str, column: str) -> ColumnData:
    """A field as it was before its first change."""
    now = deals.current(column)
    changes = log.by_field.get(name)
    if changes is None:
        return now
    first = first_rows(changes.deal, len(now))
    return at(joined([now, changes.old]), np.where(first >= 0, len(now) + first, np.arange(len(now))))
