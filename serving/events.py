"""Events that a CRM pushes: what a request looks like, and each of them checked on its own.

An event tells one fact of one deal: its creation, a change, an activity or a contact, in the words of a scoring
request. It is read by the very path that reads a deal given inline, so what is accepted can be scored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, NotRequired
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from configs.errors import Fault, ForecastleError, InvalidRequestError, LimitExceededError
from configs.vocab import AttributeKind
from features.inline import Inline, tables_from_records
from features.periods import DAY
from features.tables import Table
from serving.intake import Loaded, attributes_of, refusal, unknown_attributes
from serving.kinds import flat_deal
from serving.schemas import (
    CLOSED,
    Account,
    Activity,
    Attribute,
    Contact,
    HistoryRow,
    Id,
    Time,
    Word,
    faults_in,
    read_json,
)
from serving.wire import ACTIVITIES, CONTACTS, DEALS, HISTORY, UNKNOWN_STAGE, cells

PARTS = ("deal", "change", "activity", "contact")
LISTS = {"change": "history", "activity": "activities", "contact": "contacts"}
"""Where the fact of an event stands in a deal given inline."""
_TABLES = {"deal": ("deals", DEALS), "change": ("deal_history", HISTORY)}
_TABLES |= {"activity": ("activities", ACTIVITIES), "contact": ("contacts", CONTACTS)}


@with_config(CLOSED)
class Created(TypedDict):
    """What is fixed when a deal is created. Sent again, it replaces what was sent before."""

    created_at: Time
    known_at: NotRequired[Time | None]
    account_id: NotRequired[Id | None]
    account: NotRequired[Account | None]
    type: NotRequired[Word | None]
    source: NotRequired[Word | None]
    attributes: NotRequired[dict[Word, Attribute] | None]


@with_config(CLOSED)
class Event(TypedDict):
    """One fact of one deal: exactly one of deal, change, activity and contact. An event_id counts once, for ever."""

    event_id: Id
    deal_id: Id
    deal: NotRequired[Created | None]
    change: NotRequired[HistoryRow | None]
    activity: NotRequired[Activity | None]
    contact: NotRequired[Contact | None]


class EventsRequest(BaseModel):
    """The body of ``POST /v1/events``; the events are checked one by one afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    events: list[Any] = Field(min_length=1, description="the events, in any order")


_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_FIELDS: Mapping[str, Sequence[str]] = {
    "": tuple(Event.__annotations__),
    "deal": tuple(Created.__annotations__),
    "change": tuple(HistoryRow.__annotations__),
    "activity": tuple(Activity.__annotations__),
    "contact": tuple(Contact.__annotations__),
}


@dataclass(frozen=True)
class Fact:
    """An event that was accepted. known_at: UTC microseconds. body: the fact as received, JSON.

    body_sha256: of the whole event. fact_sha256: of what it says in our words. ends: whether it deletes or merges the
    deal: "deleted", "merged" or None.
    """

    event_id: str
    deal_id: str
    part: str
    known_at: int
    body: str
    body_sha256: str
    fact_sha256: str
    ends: str | None


def read_events(body: bytes, most: int) -> list[Any]:
    """Return the events of a body. Raises BadJsonError, InvalidRequestError or LimitExceededError."""
    data = read_json(body)
    try:
        events = EventsRequest.model_validate(data).events
    except ValidationError as error:
        raise InvalidRequestError(faults=faults_in(error, "", {"": tuple(EventsRequest.model_fields)})) from None
    if len(events) > most:
        got, expected = f"{len(events):,} events", f"at most {most:,}"
        raise LimitExceededError(
            faults=[Fault("too_many_events", "", got, expected, "send fewer at a time", "/events")]
        )
    return events


def check_events(events: Sequence[Any], now: int, loaded: Loaded) -> list[Fact | ForecastleError]:
    """Return for each event the fact that it tells, or why it is refused. now: UTC microseconds."""
    about = loaded.bundle.about
    attributes = attributes_of(about.schema)
    found: dict[int, Fact | ForecastleError] = {}
    deals: dict[int, dict[str, Any]] = {}
    for place, event in enumerate(events):
        error = _shape_error(event, f"/events/{place}", attributes, about.left_out)
        if error is not None:
            found[place] = error
        else:
            deals[place] = _alone(event)
    places = list(deals)
    inline = tables_from_records(
        [flat_deal(deal, place, attributes) for place, deal in deals.items()],
        ZoneInfo(about.time_zone),
        about.stages,
        attributes=attributes,
        dictionary=loaded.words,
        keep_unknown_stages=loaded.keep_unknown,
    )
    for row, faults in inline.faults.items():
        place = places[row]
        found[place] = _placed(refusal(faults, deals[place], place), place, _part(events[place]))
    for place, (known_at, fact) in _said(inline, events).items():
        found[place] = _fact(events[place], known_at, fact) if known_at <= now + DAY else _in_the_future(events, place)
    return [found[place] for place in range(len(events))]


def fact_sha(part: str, row: Mapping[str, Any]) -> str:
    """Return the digest of a fact as a row of a request in our words (`serving.wire`)."""
    return sha256(f"{part}:{plain(row)}".encode()).hexdigest()


def plain(value: object) -> str:
    """Write JSON in one way only."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _part(event: Any) -> str:
    return next(part for part in PARTS if event.get(part) is not None)


def _shape_error(
    event: Any, pointer: str, attributes: Mapping[str, AttributeKind], left_out: Sequence[str]
) -> ForecastleError | None:
    """Return why an event can't even be encoded, or None."""
    try:
        _EVENT.validate_python(event)
    except ValidationError as error:
        return InvalidRequestError(faults=faults_in(error, pointer, _FIELDS))
    for name in ("event_id", "deal_id"):
        if not event[name].isprintable():  # nor is a NUL or half a character, which databases refuse
            got, path = "characters that can't be printed", f"{pointer}/{name}"
            return InvalidRequestError(faults=[Fault("wrong_value", "", got, "a printable id", path=path)])
    parts = [part for part in PARTS if event.get(part) is not None]
    if len(parts) != 1:
        got = f"{', '.join(parts)} in one event" if parts else "an event that tells nothing"
        fault = Fault("one_part", "", got, f"exactly one of {', '.join(PARTS)}", path=pointer)
        return InvalidRequestError(faults=[fault])
    return unknown_attributes(event.get("deal") or {}, f"{pointer}/deal", attributes, left_out)


def _alone(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deal that holds this fact alone; created, where that is not the fact, when the fact became known."""
    part = _part(event)
    fact = event[part]
    if part == "deal":
        return dict(fact)
    return {"created_at": fact.get("known_at") or fact.get("occurred_at"), LISTS[part]: [fact]}


def _said(inline: Inline, events: Sequence[Any]) -> dict[int, tuple[int, dict[str, Any]]]:
    """Return of each event that could be read known_at and its fact in our words."""
    said: dict[int, tuple[int, dict[str, Any]]] = {}
    for part, (name, columns) in _TABLES.items():
        table: Table = getattr(inline.tables, name)
        rows = cells(table, columns, np.arange(table.n, dtype=np.int64))
        for (place, row), known_at in zip(rows, table.ints("known_at").tolist(), strict=True):
            if _part(events[int(place)]) == part:  # beside it stands the deal that was made up for it
                said[int(place)] = (known_at, row)
    return said


def _fact(event: Mapping[str, Any], known_at: int, row: dict[str, Any]) -> Fact:
    part, ends = _part(event), None
    if part == "change":
        row.setdefault("stage", UNKNOWN_STAGE)
        ends = "merged" if row.get("merged_into") is not None else "deleted" if row.get("is_deleted") else None
    whole = sha256(plain(event).encode()).hexdigest()
    return Fact(
        event["event_id"], event["deal_id"], part, known_at, plain(event[part]), whole, fact_sha(part, row), ends
    )


def _in_the_future(events: Sequence[Any], place: int) -> ForecastleError:
    got, path = "known more than a day after the service's clock", f"/events/{place}/{_part(events[place])}/known_at"
    return InvalidRequestError(faults=[Fault("in_the_future", "", got, "a time until then", path=path)])


def _placed(error: ForecastleError, place: int, part: str) -> ForecastleError:
    """Return the error of a deal as one of the event that it was made of."""
    start = f"/deals/{place}"
    inside = f"{start}/{LISTS[part]}/0" if part in LISTS else start
    own = [fault for fault in error.faults if fault.path.startswith(inside)]  # not of the creation that was made up
    faults = [
        replace(fault, path=f"/events/{place}/{part}" + fault.path.removeprefix(inside).removeprefix(start))
        for fault in own or error.faults
    ]
    return type(error)(error.message, faults)
