"""The objects of a HubSpot export and the properties that are read of each: everything else is left alone.

The table in docs/hubspot.md is made from here. A property is looked for under its API name, whatever the case and
underscores. Rows of a history are of a property's every value, newest or oldest first.
"""

from __future__ import annotations

from features.sources.objects import Field, ObjectSpec, may, must, ours, there
from features.tables import OF_LEADS

KEY = "hs_object_id"
CONTACTS, DEALS, MEETINGS, TASKS = "contacts", "deals", "meetings", "tasks"
HISTORY = "_property_history"

_ID = Field(KEY, "id", required=True, filled=True, aliases=("id",))
_ROW = Field(KEY, "id", aliases=("id",))
_WHO = Field("contact_ids", "text", required=True, aliases=("contact_id", "contactId", "contact_vid"))
_WHEN = must("hs_timestamp", "time")
_ENTERED = Field("hs_createdate", "time", required=True, filled=True, aliases=("createdate", "createdAt"))
_TOUCHED = Field("hs_lastmodifieddate", "time", aliases=("updatedAt",))
_GONE = (may("archived", "bool"), may("archivedAt", "time"))


def _engagement(name: str, clock: str, *fields: Field, when: Field = _WHEN) -> ObjectSpec:
    return ObjectSpec(name, "lead_activities", clock, (_ROW, _WHO, when, _ENTERED, *fields, *_GONE), key="")


def _history(of: str, feeds: str, *aliases: str, required: bool = False) -> ObjectSpec:
    fields = (
        Field("object_id", "id", required=True, filled=True, aliases=(*aliases, KEY)),
        must("property", "text", "property", "propertyName"),
        there("value", "text"),
        must("timestamp", "time"),
        may("sourceType", "text", "sourceType", "source"),
    )
    return ObjectSpec(of + HISTORY, feeds, "timestamp", fields, OF_LEADS if required else (), key="", inside=of)


_SPECS = (
    ObjectSpec(
        CONTACTS,
        "leads",
        "createdate",
        (
            _ID,
            Field("createdate", "time", required=True, filled=True, aliases=("createdAt",)),
            may("hs_analytics_source", "text"),
            may("industry", "text"),
            ours("size", "text", "numemployees", "company_size"),
            ours("region", "text", "country", "hs_country_region_code"),
            may("company", "text"),
            may("lifecyclestage", "text"),
            may("hs_merged_object_ids", "text"),
            may("hs_calculated_merged_vids", "text"),
            *_GONE,
        ),
        OF_LEADS,
        key=KEY,
    ),
    _history(CONTACTS, "lead_history", "contactId", "contact_id", "vid", required=True),
    _engagement("emails", "the later of hs_createdate and hs_timestamp", may("hs_email_direction", "text")),
    _engagement("calls", "the later of hs_createdate and hs_timestamp", may("hs_call_direction", "text")),
    _engagement(
        MEETINGS,
        "planned: hs_createdate; held, cancelled: history of hs_meeting_outcome, else hs_lastmodifieddate",
        may("hs_meeting_end_time", "time"),
        may("hs_meeting_outcome", "text"),
        may("hs_meeting_start_time", "time"),
        _TOUCHED,
        when=may("hs_timestamp", "time"),
    ),
    _history(MEETINGS, "lead_activities", "meetingId", "meeting_id"),
    _engagement(
        TASKS,
        "planned: hs_createdate; done: hs_task_completion_date, else history of hs_task_status, else "
        "hs_lastmodifieddate",
        may("hs_task_type", "text"),
        may("hs_task_status", "text"),
        may("hs_task_completion_date", "time"),
        _TOUCHED,
        when=may("hs_timestamp", "time"),
    ),
    _history(TASKS, "lead_activities", "taskId", "task_id"),
    ObjectSpec("notes", "nothing: each is refused", "", (_ROW,), key=""),
    ObjectSpec("form_submissions", "lead_activities", "submittedAt", (_WHO, must("submittedAt", "time")), key=""),
    ObjectSpec("page_views", "lead_activities", "occurredAt", (_WHO, must("occurredAt", "time")), key=""),
    ObjectSpec(
        "email_events",
        "lead_activities",
        "created",
        (_WHO, must("type", "text"), must("created", "time"), may("filteredEvent", "bool")),
        key="",
    ),
    ObjectSpec(
        "marketing_events",
        "lead_activities",
        "occurredAt",
        (_WHO, must("state", "text", "state", "eventType"), must("occurredAt", "time")),
        key="",
    ),
    ObjectSpec(
        DEALS,
        "what a conversion turned into",
        "createdate",
        (
            _ID,
            _WHO,
            Field("createdate", "time", required=True, filled=True, aliases=("createdAt",)),
            must("dealstage", "text"),
            may("amount", "money"),
            may("closedate", "time"),
            may("deal_currency_code", "text"),
            may("amount_in_home_currency", "money"),
            *_GONE,
        ),
        key=KEY,
    ),
    _history(DEALS, "deal_history", "dealId", "deal_id"),
)
OBJECTS: dict[str, ObjectSpec] = {spec.name: spec for spec in _SPECS}
ENGAGEMENTS = ("emails", "calls", MEETINGS, TASKS)
EVENTS = {
    "form_submissions": "submittedAt",
    "page_views": "occurredAt",
    "email_events": "created",
    "marketing_events": "occurredAt",
}
"""Objects of what a contact did, and the property that tells when."""
