"""The objects of a Salesforce export and the columns that are read of each: everything else is left alone.

The table in docs/salesforce.md is made from here. A column is looked for under its API name, whatever the case and
underscores; where Salesforce has no such field (team, size ...), under the first of ``names`` that is there.
"""

from __future__ import annotations

from dataclasses import dataclass

from configs.vocab import Target
from features.tables import OF_DEALS, OF_LEADS, Kind


@dataclass(frozen=True)
class Field:
    """One column. ``required``: the file must have it; ``filled``: it must hold a value; ``raw``: never decoded.

    ours: something that Salesforce has no field for, looked for under `names`, or only where the mapping says.
    aliases: other names that exports give to the column.
    """

    name: str
    kind: Kind
    required: bool = False
    filled: bool = False
    raw: bool = False
    names: tuple[str, ...] = ()
    ours: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def candidates(self) -> tuple[str, ...]:
        """Columns to look for, in order."""
        return (*(self.names or (() if self.ours else (self.name,))), *self.aliases)


@dataclass(frozen=True)
class ObjectSpec:
    """One object. ``feeds``: what we make of it; ``clock``: when a row of it is known.

    required_for: the targets whose export must have it.
    """

    name: str
    feeds: str
    clock: str
    fields: tuple[Field, ...]
    required_for: tuple[Target, ...] = ()
    deleted: bool = False  # the export should hold deleted rows (queryAll)

    def field(self, name: str) -> Field:
        """The declared field. Raises KeyError, naming the object, where there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.name} declares no {name!r}")


def _must(name: str, kind: Kind, *names: str) -> Field:
    """A column that must be there and hold a value on every row."""
    return Field(name, kind, required=True, filled=True, names=names)


def _there(name: str, kind: Kind, *names: str) -> Field:
    """A column that must be there."""
    return Field(name, kind, required=True, names=names)


def _may(name: str, kind: Kind, *names: str) -> Field:
    return Field(name, kind, names=names)


def _ours(name: str, kind: Kind, *names: str) -> Field:
    """Something that has no field of its own in Salesforce."""
    return Field(name, kind, names=names, ours=True)


_ROW_ID = Field("Id", "id", raw=True)  # orders rows of one second, and tells repeated rows

_SPECS = (
    ObjectSpec(
        "Opportunity",
        "deals",
        "CreatedDate",
        (
            _must("Id", "id"),
            _must("CreatedDate", "time"),
            _may("CreatedById", "id"),
            _may("AccountId", "id"),
            _may("Name", "text"),
            _may("Type", "text"),
            _may("LeadSource", "text"),
            _may("RecordTypeId", "id"),
            _may("StageName", "text"),
            _may("Amount", "money"),
            _may("CloseDate", "date"),
            _may("Probability", "float"),
            Field("ForecastCategoryName", "text", aliases=("ForecastCategory",)),
            _may("NextStep", "text"),
            _may("OwnerId", "id"),
            _may("CurrencyIsoCode", "text"),
            _may("IsDeleted", "bool"),
            _may("LastModifiedDate", "time"),
            _may("SystemModstamp", "time"),
            _ours("merged_into", "id"),
        ),
        required_for=OF_DEALS,
        deleted=True,
    ),
    ObjectSpec(
        "OpportunityHistory",
        "deal_history",
        "CreatedDate",
        (
            _ROW_ID,
            _must("OpportunityId", "id"),
            _must("CreatedDate", "time"),
            _may("CreatedById", "id"),
            _must("StageName", "text"),
            _may("Amount", "money"),
            _may("CloseDate", "date"),
            _may("Probability", "float"),
            Field("ForecastCategory", "text", aliases=("ForecastCategoryName",)),
            _may("CurrencyIsoCode", "text"),
            _may("PrevAmount", "money"),
            _may("PrevCloseDate", "date"),
            _may("IsDeleted", "bool"),
        ),
        required_for=OF_DEALS,
        deleted=True,
    ),
    ObjectSpec(
        "OpportunityFieldHistory",
        "deal_history",
        "CreatedDate",
        (
            _ROW_ID,
            _must("OpportunityId", "id"),
            _must("CreatedDate", "time"),
            _may("CreatedById", "id"),
            _must("Field", "text"),
            _there("OldValue", "text"),
            _there("NewValue", "text"),
            _may("IsDeleted", "bool"),
        ),
        deleted=True,
    ),
    ObjectSpec(
        "Task",
        "activities, lead_activities",
        "planned: CreatedDate; done: later of CreatedDate and CompletedDateTime (LastModifiedDate where that is empty)",
        (
            _ROW_ID,
            _there("WhatId", "id"),
            _may("WhoId", "id"),
            _may("AccountId", "id"),
            _must("CreatedDate", "time"),
            _may("CompletedDateTime", "time"),
            _may("LastModifiedDate", "time"),
            _may("ActivityDate", "time"),
            _may("IsClosed", "bool"),
            _may("Status", "text"),
            _may("TaskSubtype", "text"),
            _may("Type", "text"),
            _may("CallType", "text"),
            _may("CallDisposition", "text"),
            _may("CallDurationInSeconds", "float"),
            _may("IsDeleted", "bool"),
        ),
        deleted=True,
    ),
    ObjectSpec(
        "Event",
        "activities, lead_activities",
        "upcoming: CreatedDate; held: the latest of EndDateTime, CreatedDate and LastModifiedDate; "
        "a deleted one: cancelled at LastModifiedDate, or held if that is more than a day after its end",
        (
            _ROW_ID,
            _there("WhatId", "id"),
            _may("WhoId", "id"),
            _may("AccountId", "id"),
            _must("CreatedDate", "time"),
            _must("StartDateTime", "time"),
            _may("EndDateTime", "time"),
            _may("DurationInMinutes", "float"),
            _may("LastModifiedDate", "time"),
            _may("IsDeleted", "bool"),
            _may("IsChild", "bool"),
            _may("IsRecurrence", "bool"),
        ),
        deleted=True,
    ),
    ObjectSpec(
        "EmailMessage",
        "activities, lead_activities",
        "CreatedDate; its first opening: FirstOpenedDate",
        (
            _ROW_ID,
            Field("ActivityId", "id", raw=True),
            _there("RelatedToId", "id"),
            _must("CreatedDate", "time"),
            _may("MessageDate", "time"),
            _may("Incoming", "bool"),
            _may("FirstOpenedDate", "time"),
            _may("Status", "text"),
            _may("IsDeleted", "bool"),
            _ours("contact_id", "id"),
        ),
        deleted=True,
    ),
    ObjectSpec(
        "EmailMessageRelation",
        "lead_activities: which lead a mail is about",
        "",
        (_ROW_ID, Field("EmailMessageId", "id", required=True, raw=True), _there("RelationId", "id")),
    ),
    ObjectSpec(
        "OpportunityContactRole",
        "contacts",
        "CreatedDate",
        (
            _ROW_ID,
            _must("OpportunityId", "id"),
            _must("ContactId", "id"),
            _must("CreatedDate", "time"),
            _may("Role", "text"),
            _may("IsDeleted", "bool"),
        ),
        deleted=True,
    ),
    ObjectSpec(
        "Contact",
        "contacts, and whose account an activity is about",
        "current only",
        (
            _must("Id", "id"),
            _may("AccountId", "id"),
            _may("CreatedDate", "time"),
            _may("MasterRecordId", "id"),
            _ours("seniority", "text"),
        ),
        deleted=True,
    ),
    ObjectSpec(
        "Account",
        "accounts",
        "current only",
        (
            _must("Id", "id"),
            _may("Name", "text"),
            _may("Industry", "text"),
            _ours("size", "text", "NumberOfEmployees"),
            _ours("region", "text", "BillingCountry"),
            _may("MasterRecordId", "id"),
            _may("IsDeleted", "bool"),
        ),
        deleted=True,
    ),
    ObjectSpec(
        "User",
        "reps",
        "current only",
        (
            _must("Id", "id"),
            _may("Name", "text"),
            _may("ManagerId", "id"),
            _ours("team", "text", "Department", "Division"),
            _ours("territory", "text"),
            _ours("hired", "date"),
            _ours("left", "date"),
        ),
    ),
    ObjectSpec(
        "ForecastingQuota",
        "quotas",
        "the later of CreatedDate and the period's start",
        (
            _ROW_ID,
            _must("QuotaOwnerId", "id"),
            _must("QuotaAmount", "money"),
            _may("StartDate", "date"),
            _may("PeriodId", "id"),
            _may("CreatedDate", "time"),
            _may("CurrencyIsoCode", "text"),
        ),
    ),
    ObjectSpec("Period", "quotas: when they begin", "", (_must("Id", "id"), _must("StartDate", "date"))),
    ObjectSpec(
        "Lead",
        "leads, lead_history",
        "CreatedDate; conversion: LeadHistory, else the end of ConvertedDate; opt-outs as they stand now",
        (
            _must("Id", "id"),
            _must("CreatedDate", "time"),
            _may("Company", "text"),
            _may("LeadSource", "text"),
            _may("Industry", "text"),
            _ours("size", "text", "NumberOfEmployees"),
            _ours("region", "text", "Country"),
            _may("IsConverted", "bool"),
            _may("ConvertedDate", "time"),
            _may("ConvertedOpportunityId", "id"),
            _may("ConvertedContactId", "id"),
            _may("HasOptedOutOfEmail", "bool"),
            _may("DoNotCall", "bool"),
            _may("MasterRecordId", "id"),
            _may("IsDeleted", "bool"),
        ),
        required_for=OF_LEADS,
        deleted=True,
    ),
    ObjectSpec(
        "LeadHistory",
        "lead_history",
        "CreatedDate",
        (
            _ROW_ID,
            _must("LeadId", "id"),
            _must("CreatedDate", "time"),
            _must("Field", "text"),
            _there("OldValue", "text"),
            _there("NewValue", "text"),
        ),
        deleted=True,
    ),
    ObjectSpec(
        "CampaignMember",
        "lead_activities",
        "sent: CreatedDate; answered: the end of FirstRespondedDate",
        (
            _ROW_ID,
            _there("LeadId", "id"),
            _may("ContactId", "id"),
            _must("CreatedDate", "time"),
            _may("HasResponded", "bool"),
            _may("FirstRespondedDate", "time"),
            _may("IsDeleted", "bool"),
        ),
        deleted=True,
    ),
    ObjectSpec(
        "ForecastCall",
        "calls",
        "SubmittedAt",
        (
            _ROW_ID,
            _must("OwnerId", "id"),
            _must("SubmittedAt", "time"),
            _must("QuarterStart", "date"),
            _must("ForecastCategoryName", "text"),
            _must("Amount", "money"),
        ),
    ),
)
OBJECTS: dict[str, ObjectSpec] = {spec.name: spec for spec in _SPECS}

TRACKED = {
    "StageName": "stage",
    "Amount": "amount",
    "CloseDate": "close_date",
    "Probability": "probability",
    "ForecastCategoryName": "forecast_category",
    "NextStep": "next_step_set",
    "Owner": "owner_id",
    "RecordType": "record_type",
    "CurrencyIsoCode": "currency",
    "Account": "account_id",
    "Type": "type",
    "LeadSource": "source",
}
"""Fields of Opportunity whose history is read, as OpportunityFieldHistory.Field names them."""

NOT_STANDARD = ("ForecastCall",)
"""Objects that a company keeps itself: Salesforce holds the current call only."""
