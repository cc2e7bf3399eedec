"""What requests ask about: deals, and leads in the shape of deals. How their words and shapes differ.

Both go one way from the body to the answer: `serving.intake`, `serving.scoring`, `serving.answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from configs.errors import Fault, ForecastleError, OptedOutError
from configs.vocab import AttributeKind, Target
from features.leads import inline_leads
from features.record import ACCOUNT_FIELDS
from features.settle import Dictionary
from features.tables import CrmTables
from serving.schemas import deal_faults, lead_faults

Attributes = Mapping[str, AttributeKind]
LEAD_FIELDS = ("industry", "size", "region")
"""Of a lead in a request: its own, where a deal's stand in its account."""


@dataclass(frozen=True)
class Kind:
    """One kind of item.

    one, many: what it is called, in messages and in paths of a request. lists: its nested lists. faults: what is wrong
    with its shape. barred: why it is not scored, whatever else is known of it. flat: the item as a deal of one level,
    with its place for an id. shaped: the tables of such deals as the record wants them. columns: what requests call
    columns of deals that they call otherwise. shut, open: words for one that is closed at the as-of.
    """

    one: str
    many: str
    lists: tuple[str, ...]
    faults: Callable[[object, str], tuple[Fault, ...]]
    barred: Callable[[Mapping[str, Any], str], ForecastleError | None]
    flat: Callable[[Mapping[str, Any], int, Attributes, Dictionary], dict[str, Any]]
    shaped: Callable[[CrmTables], CrmTables]
    shut: str
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name of the field that names an item."""
        return f"{self.one}_id"


def flat_deal(
    deal: Mapping[str, Any], place: int, attributes: Attributes, _: Dictionary | None = None
) -> dict[str, Any]:
    """The deal as a record of one level: attributes and the account's fields become its own, its place its id."""
    own = {name: value for name, value in deal.items() if name not in ("attributes", "account")}
    account = {name: value for name, value in (deal.get("account") or {}).items() if name in ACCOUNT_FIELDS}
    given = {**account, **(deal.get("attributes") or {})}
    return own | {name: given[name] for name in given if name in attributes} | {"deal_id": str(place)}


def flat_lead(lead: Mapping[str, Any], place: int, attributes: Attributes, words: Dictionary) -> dict[str, Any]:
    """The lead as a deal of one level: what became of it are its stages, in our words, its place its id."""
    given = {**{name: lead.get(name) for name in LEAD_FIELDS}, **(lead.get("attributes") or {})}
    return {
        **{name: value for name, value in given.items() if name in attributes},
        "deal_id": str(place),
        "created_at": lead["created_at"],
        "known_at": lead.get("known_at"),
        "source": lead.get("source"),
        "history": [
            {
                "known_at": row["known_at"],
                "seq": row.get("seq"),
                "stage": words.translate("lead_history", "event", row["event"].strip()),
            }
            for row in lead.get("history", ())
        ],
        "activities": lead.get("activities", ()),
    }


def _opted_out(lead: Mapping[str, Any], pointer: str) -> ForecastleError | None:
    if lead.get("opted_out") is not True:
        return None
    fault = Fault("opted_out", "", "a lead that opted out", "", "leave such leads out", f"{pointer}/opted_out")
    return OptedOutError(faults=[fault])


DEALS = Kind(
    one="deal",
    many="deals",
    lists=("history", "activities", "contacts"),
    faults=deal_faults,
    barred=lambda deal, pointer: None,
    flat=flat_deal,
    shaped=lambda tables: tables,
    shut="won, lost, deleted or merged into another",
)
LEADS = Kind(
    one="lead",
    many="leads",
    lists=("history", "activities"),
    faults=lead_faults,
    barred=_opted_out,
    flat=flat_lead,
    shaped=inline_leads,
    shut="converted or disqualified",
    columns={"stage": "event"},
)


def kind_of(target: str) -> Kind:
    """Return what a model with a target is asked about."""
    return LEADS if target == Target.CONVERTED else DEALS
