"""Source `salesforce`: a folder of object exports, one file an object, as the canonical tables.

Nothing that has a history is read from the current row. What each object is read for, and when its rows are known, is
in ``objects``; every row of every object is kept or refused by reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from configs.errors import ConfigError, Fault
from configs.mapping import Mapping as MappingFile
from configs.salesforce import SalesforceMapping
from configs.schema import Config, SalesforceSource
from configs.vocab import Target
from features.ingest import Ingest, Notice
from features.sources.assemble import FAR, assemble, refusal_of
from features.sources.base import source
from features.sources.chains import circles
from features.sources.exports import Export, Layout, Rows, read_export
from features.sources.frames import Stacked
from features.sources.salesforce.activities import activity_table
from features.sources.salesforce.attribution import Attribution, People
from features.sources.salesforce.deal_history import history_table
from features.sources.salesforce.deals import Deals, deal_table, history_codes, incomplete
from features.sources.salesforce.fields import FIELD_HISTORY, field_log
from features.sources.salesforce.ids import masters, unify
from features.sources.salesforce.leads import HISTORY as LEAD_HISTORY
from features.sources.salesforce.leads import Leads
from features.sources.salesforce.money import currencies, currency_faults
from features.sources.salesforce.objects import OBJECTS
from features.sources.salesforce.people import (
    account_of_contacts,
    account_table,
    call_table,
    contact_table,
    quota_table,
    rep_table,
)
from features.tables import NAT

TOLD_AT = {
    "Task": ("CreatedDate", "CompletedDateTime", "LastModifiedDate"),
    "Event": ("CreatedDate", "LastModifiedDate"),
    "EmailMessage": ("CreatedDate", "FirstOpenedDate"),
    "OpportunityContactRole": ("CreatedDate",),
    "ForecastCall": ("SubmittedAt",),
    "Lead": ("CreatedDate",),
    LEAD_HISTORY: ("CreatedDate",),
    "CampaignMember": ("CreatedDate",),
}
"""Times at which an export came to know something, beside its histories."""


@dataclass(frozen=True)
class Salesforce:
    """A folder of exports and the mapping that explains them. target: what is asked of it, so what must be there."""

    folder: Path
    mapping: SalesforceMapping
    zone: ZoneInfo
    target: Target = Target.IN_PERIOD

    def read(self) -> Ingest:
        """Read every object. Raises a DataError with every fault of one kind of check at once."""
        export = read_export(self.folder, _layout(self.mapping), self.zone, self.target)
        shorten = unify(export)
        accounts, faults = masters(export["Account"], "MasterRecordId")
        contacts, more = masters(export["Contact"], "MasterRecordId")
        faults += more + _manager_circles(export["User"])
        deals = Deals(export, self.mapping, accounts)
        leads = Leads(export, self.mapping, contacts)
        deal, more = history_codes(deals, "OpportunityHistory")
        told, some = history_codes(deals, FIELD_HISTORY)
        fields = field_log(export, told, self.mapping, self.zone, shorten)
        named = currencies(export, fields)
        faults += [*more, *some, *incomplete(deals, deal), *fields.faults, *leads.faults]
        faults += currency_faults(named, self.mapping.currency)
        if faults:
            raise refusal_of(faults)
        history = history_table(deals, deal, fields, len(named) > 1)
        of_deals = {"deals": deal_table(deals, fields), "deal_history": history.stacked}
        people = People(
            frozenset(export["Contact"].coded("Id").values),
            frozenset(export["Lead"].coded("Id").values),
            contacts,
            account_of_contacts(export),
        )
        owned = of_deals["deals"].table.coded("account_id")
        attribution = Attribution(deals, owned, history, people)
        acts, lost = activity_table(export, self.mapping, attribution, leads, _until(export))
        tables = _smaller(export, self.mapping, contacts)
        if export.has("Opportunity"):
            tables = of_deals | {"activities": acts["activities"]} | tables
        if export.has("Lead"):
            tables |= leads.tables() | {"lead_activities": acts["lead_activities"]}
            lost += leads.notices()
        notices: tuple[Notice, ...] = (*export.notices, *fields.notices, *history.notices, *lost)
        return assemble(tables, self.mapping, self.zone, events=export.reports(), notices=notices)


def _layout(mapping: SalesforceMapping) -> Layout:
    told = {name.value: file for name, file in mapping.objects.items()}
    return Layout(OBJECTS, told, {"Opportunity": mapping.attributes, "Lead": mapping.leads.attributes})


def _smaller(export: Export, mapping: SalesforceMapping, contacts: dict[str, str]) -> dict[str, Stacked]:
    """The tables that one object fills, of objects that have a file."""
    tables: dict[str, tuple[str, Callable[[], Stacked]]] = {
        "contacts": ("OpportunityContactRole", lambda: contact_table(export, mapping, contacts)),
        "accounts": ("Account", lambda: account_table(export)),
        "reps": ("User", lambda: rep_table(export)),
        "quotas": ("ForecastingQuota", lambda: quota_table(export, mapping)),
        "calls": ("ForecastCall", lambda: call_table(export)),
    }
    return {name: make() for name, (of, make) in tables.items() if export.has(of)}


def _manager_circles(users: Rows) -> list[Fault]:
    """A fault for each circle of managers. A user who is her own manager is at the top."""
    pairs = zip(users.coded("Id").strings(), users.coded("ManagerId").strings(), strict=True)
    step = {user: manager for user, manager in pairs if user is not None and manager is not None and user != manager}
    return circles(users, step, "ManagerId", "reports to")


def _until(export: Export) -> int:
    """The last instant that the export tells of; one long after the last change of a deal is a slip of the pen."""
    of = ("Opportunity", "OpportunityHistory", FIELD_HISTORY) if export.has("Opportunity") else ("Lead", LEAD_HISTORY)
    histories = [export[name].ints("CreatedDate") for name in of]
    last = max((int(times.max()) for times in histories if len(times)), default=NAT)
    told = [export[name].ints(column) for name, columns in TOLD_AT.items() for column in columns]
    sound = [times[(times <= last + FAR)] for times in told]
    return max([last, *(int(times.max()) for times in sound if len(times))])


@source("salesforce")
def open_salesforce(config: Config, mapping: MappingFile, zone: ZoneInfo) -> Salesforce:
    """Open the folder that the config names. Raises ConfigError where config or mapping are of another kind."""
    if not isinstance(config.source, SalesforceSource) or not isinstance(mapping, SalesforceMapping):
        raise ConfigError.at("source.kind", config.source.kind.value, expected="salesforce, with a mapping of its own")
    return Salesforce(config.source.path, mapping, zone, config.target)
