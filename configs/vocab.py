"""Closed vocabularies: the only words that configs, tables and answers may use for these things.

Each is a ``StrEnum``, so a member *is* its text: ``Direction.INBOUND == "inbound"``.
"""

from enum import StrEnum


class Target(StrEnum):
    """What the default head predicts."""

    IN_PERIOD = "in_period"  # won in [as_of, end of the period)
    EVENTUAL = "eventual"  # won in the end
    CONVERTED = "converted"  # a lead converts within `leads.within_days`


class LedgerMode(StrEnum):
    """What is kept of a score that is served."""

    DURABLE = "durable"  # on disk before the answer
    BEST_EFFORT = "best_effort"  # soon after the answer; what there is no room for is dropped and counted
    OFF = "off"


class TokenAlgorithm(StrEnum):
    """How an access token may be signed: by a private key alone, never by a secret that both sides know."""

    RS256 = "RS256"
    PS256 = "PS256"
    ES256 = "ES256"


class ForecastCategory(StrEnum):
    """The seller's confidence in a deal; not its stage."""

    PIPELINE = "pipeline"
    BEST_CASE = "best_case"
    COMMIT = "commit"
    CLOSED = "closed"
    OMITTED = "omitted"


class ActivityKind(StrEnum):
    """What people did."""

    EMAIL = "email"
    CALL = "call"
    MEETING = "meeting"
    CONTENT = "content"
    CONTRACT = "contract"
    WEB = "web"
    CAMPAIGN = "campaign"  # a lead answered one (inbound), or was put into it (outbound)


class Direction(StrEnum):
    """Who acted: the buyer (inbound), we (outbound) or both (mutual)."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    MUTUAL = "mutual"


class TableName(StrEnum):
    """The canonical tables that a source may fill."""

    DEALS = "deals"
    DEAL_HISTORY = "deal_history"
    ACTIVITIES = "activities"
    CONTACTS = "contacts"
    ACCOUNTS = "accounts"
    REPS = "reps"
    QUOTAS = "quotas"
    CALLS = "calls"
    LEADS = "leads"
    LEAD_HISTORY = "lead_history"
    LEAD_ACTIVITIES = "lead_activities"


class LeadEvent(StrEnum):
    """What becomes of a lead, in the order of the funnel."""

    NEW = "new"  # it stands where it began: also one that was given up and taken up again
    WORKED = "worked"  # somebody took it up
    MQL = "mql"  # marketing hands it to sales
    SQL = "sql"  # sales accepts it
    CONVERTED = "converted"  # it became an opportunity: `deal_id`
    DISQUALIFIED = "disqualified"


class LeadField(StrEnum):
    """Fields of a lead that a mapping may declare constant from creation."""

    SOURCE = "source"
    INDUSTRY = "industry"
    SIZE = "size"
    REGION = "region"


class Unworked(StrEnum):
    """What training does with a lead that nobody worked before its window ended, and that did not convert."""

    EXCLUDE = "exclude"  # left out, and counted
    KEEP = "keep"  # a lead like any other: for records that do not tell what anybody did


class AccountField(StrEnum):
    """Fields of an account that a mapping may declare constant."""

    INDUSTRY = "industry"
    SIZE = "size"
    REGION = "region"


class AttributeKind(StrEnum):
    """The type of a deal attribute that is constant from creation."""

    NUMBER = "number"
    CATEGORY = "category"


class SourceKind(StrEnum):
    """Where the records come from."""

    FILES = "files"
    EVENT_LOG = "event_log"
    SIMULATED = "simulated"
    SALESFORCE = "salesforce"
    HUBSPOT = "hubspot"


class HubSpotObject(StrEnum):
    """The objects of a HubSpot export."""

    CONTACTS = "contacts"
    CONTACTS_HISTORY = "contacts_property_history"
    EMAILS = "emails"
    CALLS = "calls"
    MEETINGS = "meetings"
    MEETINGS_HISTORY = "meetings_property_history"
    TASKS = "tasks"
    TASKS_HISTORY = "tasks_property_history"
    NOTES = "notes"
    FORM_SUBMISSIONS = "form_submissions"
    PAGE_VIEWS = "page_views"
    EMAIL_EVENTS = "email_events"
    MARKETING_EVENTS = "marketing_events"
    DEALS = "deals"
    DEALS_HISTORY = "deals_property_history"


class SalesforceObject(StrEnum):
    """The objects of a Salesforce export."""

    OPPORTUNITY = "Opportunity"
    OPPORTUNITY_HISTORY = "OpportunityHistory"
    OPPORTUNITY_FIELD_HISTORY = "OpportunityFieldHistory"
    TASK = "Task"
    EVENT = "Event"
    EMAIL_MESSAGE = "EmailMessage"
    EMAIL_MESSAGE_RELATION = "EmailMessageRelation"
    OPPORTUNITY_CONTACT_ROLE = "OpportunityContactRole"
    CONTACT = "Contact"
    ACCOUNT = "Account"
    USER = "User"
    FORECASTING_QUOTA = "ForecastingQuota"
    PERIOD = "Period"
    LEAD = "Lead"
    LEAD_HISTORY = "LeadHistory"
    CAMPAIGN_MEMBER = "CampaignMember"
    FORECAST_CALL = "ForecastCall"


class DealField(StrEnum):
    """Fields of a deal that a mapping may declare constant."""

    TYPE = "type"
    SOURCE = "source"


class ContactField(StrEnum):
    """Fields of a person on a deal that a mapping may declare constant."""

    ROLE = "role"
    SENIORITY = "seniority"


class PeriodKind(StrEnum):
    """The length of a forecast period."""

    QUARTER = "quarter"
    MONTH = "month"


class Grid(StrEnum):
    """At which instants a deal is looked at in training."""

    WEEKLY = "weekly"  # Mondays 00:00 and each period's start
    AGES = "ages"  # fixed ages since creation


class FeatureGroup(StrEnum):
    """The feature groups that a config may switch on."""

    DEAL = "deal"
    CLOCK = "clock"
    VELOCITY = "velocity"
    NORMS = "norms"
    ACTIVITY = "activity"
    ENGAGEMENT = "engagement"
    PEOPLE = "people"
    HISTORY = "history"
    HABITS = "habits"
    TARGETS = "targets"
    LEAD = "lead"
    LEAD_ENGAGEMENT = "lead_engagement"
    LEAD_RATES = "lead_rates"


LEAD_GROUPS = (FeatureGroup.LEAD, FeatureGroup.LEAD_ENGAGEMENT, FeatureGroup.LEAD_RATES)
DEAL_GROUPS = tuple(group for group in FeatureGroup if group not in LEAD_GROUPS)


class Baseline(StrEnum):
    """The baseline models that stand in every table."""

    CONSTANT = "constant"
    CRM_PROBABILITY = "crm_probability"  # the CRM's own, where its close date lies in the period
    STAGE_RATE = "stage_rate"
    CATEGORY_TIME_LEFT = "category_time_left"
    STAGE_TIME_LEFT = "stage_time_left"
    RIDGE = "ridge"


class Ablation(StrEnum):
    """What a backtest fits beside the close model to show what its features are worth."""

    GROUPS = "groups"  # the close model without each feature group in turn
    REP_ID = "rep_id"  # one seed with the raw rep id among the features, beside one seed without
    REP_ID_ONLY = "rep_id_only"  # the same with the id in place of the facts about the rep


class Offset(StrEnum):
    """The model that the trees start from."""

    RIDGE = "ridge"
    TABLE = "table"


class Calibrate(StrEnum):
    """Whether an affine calibration in log-odds may be fitted."""

    AUTO = "auto"  # only where it wins on later periods
    NONE = "none"


class AuditAction(StrEnum):
    """What training does with a field that the leak audit quarantines."""

    DROP = "drop"  # no feature of it is built
    REFUSE = "refuse"  # it is built, and the gate fails


class Eligibility(StrEnum):
    """Which rows may train."""

    HORIZON = "horizon"  # the whole label window ended before the cut
    RESOLVED = "resolved"  # the deal was closed before the cut, as published work on flat sets does


class StudyStorage(StrEnum):
    """Where tuning keeps its trials."""

    SQLITE = "sqlite"  # study.db
    JOURNAL = "journal"  # study.journal: a file that only grows, for file systems where SQLite may not lock


class JudgedRows(StrEnum):
    """Which rows of a period settings are judged on."""

    NEW = "new"  # of deals that did not train, from a week after the period's start on: purged and embargoed
    EVERY = "every"  # as a backtest has them: a deal's own earlier rows may have trained


class UnknownStage(StrEnum):
    """What to do with a stage that the mapping does not list."""

    REFUSE = "refuse"
    KEEP = "keep"


class Alias(StrEnum):
    """The two names a registered model may carry; a champion is the buyer's advocate, never a model."""

    CANDIDATE = "candidate"
    LIVE = "live"


PLANNED = "planned"
"""The activity outcome that announces something in the future: planned, not done."""

CANCELLED = ("cancelled", "canceled")
"""Activity outcomes of what was called off, and so never was, whoever would have done it."""

NOT_HAPPENED = (*CANCELLED, "no_show", "declined")
"""Activity outcomes that say it did not happen; a CRM keeps the scheduled start of what was called off."""
