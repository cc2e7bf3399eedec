"""The schema of a HubSpot mapping: what is your own portal's among files, properties and words.

Objects and properties have their API names unless the mapping says otherwise; case and underscores don't matter.
"""

from typing import Annotated

from pydantic import Field

from configs.base import Distinct
from configs.mapping import Leads, Mapping, Name, ObjectFile
from configs.vocab import HubSpotObject, LeadEvent

HUBSPOT_WORDS = {
    "subscriber": LeadEvent.NEW,
    "lead": LeadEvent.NEW,
    "marketingqualifiedlead": LeadEvent.MQL,
    "salesqualifiedlead": LeadEvent.SQL,
    "opportunity": LeadEvent.CONVERTED,
    "customer": LeadEvent.CONVERTED,
    "unqualified": LeadEvent.DISQUALIFIED,
}


class HubSpotLeads(Leads):
    """Lifecycle stages and lead statuses; HubSpot's own are known: opportunity and customer are a conversion."""

    def index(self) -> dict[str, LeadEvent]:
        """Return folded source word -> event; the mapping's own words come first."""
        return {**HUBSPOT_WORDS, **super().index()}


class HubSpotMapping(Mapping):
    """Mapping of the kind ``hubspot``. ``stages`` are those of deals, by their internal names."""

    leads: HubSpotLeads = Field(
        default_factory=HubSpotLeads,
        description="your lifecycle stages and, as words for worked and disqualified, lead statuses",
    )
    objects: dict[HubSpotObject, ObjectFile] = Field(
        default_factory=dict, description="objects whose file or properties have other names"
    )
    opt_outs: Annotated[tuple[Name, ...], Distinct] = Field(
        default=("hs_email_optout", "hs_email_optout_[0-9]*"),
        description="properties of contacts any of which, when true, keeps a contact out of training and scoring; "
        "[0-9]* stands for the id of a subscription type",
    )
    bulk_contacts: int = Field(
        default=100,
        ge=2,
        le=10_000_000,
        description="lifecycle changes of so many contacts within one second are noticed as a bulk edit; they count",
    )
    deal_within_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description="a contact's first deal that is created from the day of its conversion on, and within so many days "
        "after it, is what it turned into",
    )
