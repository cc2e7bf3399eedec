"""What a scoring request looks like, field by field, and the walk from a body to checked deals.

The envelope is checked as a whole; every deal is checked on its own, so that one bad deal spoils no other. Times
inside a deal may be ISO 8601 with an offset, without one (wall clock of the company's zone) or a bare date (known at
the end of its day), as in files. Amounts are JSON numbers or decimal text; both are read to the cent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    GetCoreSchemaHandler,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    with_config,
)
from pydantic_core import CoreSchema, ErrorDetails, core_schema
from typing_extensions import TypedDict

from configs.base import did_you_mean
from configs.errors import BadJsonError, Fault, InvalidRequestError

NOW = "now"
MAX_MEMBERS = 1_000  # of one JSON object: no deal has nearly as many fields
MAX_FAULTS = 20  # reported of one deal or envelope; the rest are counted
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True)
class _Cell:
    """A finite number, or a text of at most so many characters: it is read with the tables. optional: or null."""

    longest: int
    optional: bool = False

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(strict=True, max_length=self.longest)
        number = core_schema.float_schema(strict=True, allow_inf_nan=False, ge=-1e300, le=1e300)
        cell = core_schema.custom_error_schema(
            core_schema.union_schema([text, number], mode="left_to_right"),
            custom_error_type="number_type",
            custom_error_message="expected a finite number or decimal text",
        )
        return core_schema.nullable_schema(cell) if self.optional else cell


Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\S")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Time = Annotated[str, StringConstraints(min_length=10, max_length=40)]
_AS_NUMBER = {"type": "number", "description": "a finite number; its decimal text is taken too"}
_AS_TEXT = {
    "type": "string",
    "maxLength": 500,
    "description": "text, or the decimal text of a number; a number is taken too",
}
Number = Annotated[Any, _Cell(40), WithJsonSchema(_AS_NUMBER)]
Attribute = Annotated[Any, _Cell(500, optional=True), WithJsonSchema(_AS_TEXT)]
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]

CLOSED = ConfigDict(extra="forbid", strict=True)
"""Of every object in a request: no field that is not known, no value of another type."""


@with_config(CLOSED)
class HistoryRow(TypedDict):
    """The full state of a deal's tracked fields after one change, and when the CRM recorded it."""

    known_at: Time
    stage: Word
    seq: NotRequired[Whole | None]
    amount: NotRequired[Number | None]
    close_date: NotRequired[Word | None]
    forecast_category: NotRequired[Word | None]
    owner_id: NotRequired[Id | None]
    edited_by: NotRequired[Id | None]
    next_step_set: NotRequired[bool | None]
    probability: NotRequired[Number | None]
    currency: NotRequired[Word | None]
    is_deleted: NotRequired[bool | None]
    merged_into: NotRequired[Id | None]


@with_config(CLOSED)
class Activity(TypedDict):
    """Something people did, or plan to do."""

    occurred_at: Time
    kind: Word
    known_at: NotRequired[Time | None]
    direction: NotRequired[Word | None]
    contact_id: NotRequired[Id | None]
    outcome: NotRequired[Word | None]
    minutes: NotRequired[Number | None]


@with_config(CLOSED)
class Contact(TypedDict):
    """A person on the deal."""

    contact_id: Id
    known_at: Time
    role: NotRequired[Word | None]
    seniority: NotRequired[Word | None]


@with_config(CLOSED)
class Account(TypedDict):
    """What is fixed about the buyer."""

    industry: NotRequired[Word | None]
    size: NotRequired[Word | None]
    region: NotRequired[Word | None]


@with_config(CLOSED)
class Deal(TypedDict):
    """One deal with all that is known of it. ``history`` must be given, empty or not; other lists may be left out."""

    deal_id: Id
    created_at: Time
    history: Annotated[list[HistoryRow], FailFast()]
    known_at: NotRequired[Time | None]
    account_id: NotRequired[Id | None]
    account: NotRequired[Account | None]
    type: NotRequired[Word | None]
    source: NotRequired[Word | None]
    attributes: NotRequired[dict[Word, Attribute] | None]
    activities: NotRequired[Annotated[list[Activity], FailFast()]]
    contacts: NotRequired[Annotated[list[Contact], FailFast()]]


@with_config(CLOSED)
class LeadHistoryRow(TypedDict):
    """What became of a lead, and when the CRM recorded it: new, worked, mql, sql, converted or disqualified."""

    known_at: Time
    event: Word
    seq: NotRequired[Whole | None]
    deal_id: NotRequired[Id | None]


@with_config(CLOSED)
class LeadActivity(TypedDict):
    """Something that the lead did, or that somebody did about it."""

    occurred_at: Time
    kind: Word
    known_at: NotRequired[Time | None]
    direction: NotRequired[Word | None]
    outcome: NotRequired[Word | None]
    minutes: NotRequired[Number | None]


@with_config(CLOSED)
class Lead(TypedDict):
    """One lead with all that is known of it. One that opted out is refused, and is never scored."""

    lead_id: Id
    created_at: Time
    known_at: NotRequired[Time | None]
    source: NotRequired[Word | None]
    industry: NotRequired[Word | None]
    size: NotRequired[Word | None]
    region: NotRequired[Word | None]
    opted_out: NotRequired[bool | None]
    attributes: NotRequired[dict[Word, Attribute] | None]
    history: NotRequired[Annotated[list[LeadHistoryRow], FailFast()]]
    activities: NotRequired[Annotated[list[LeadActivity], FailFast()]]


class Asking(BaseModel):
    """What every scoring request says beside what it is about."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    as_of: Annotated[str, StringConstraints(max_length=40)] = Field(
        description="instant of the question, ISO 8601 with an offset or Z, or `now`; only facts known before it count"
    )
    explain: bool = Field(default=True, description="whether to give reasons")
    in_sample: bool = Field(default=False, description="allow an as-of before the model's trained_as_of")


class ScoreRequest(Asking):
    """The body of ``POST /v1/deals/score``; the deals are checked one by one afterwards (`deal_faults`)."""

    deals: list[Any] = Field(min_length=1, description="the deals, each with its history inline")


class LeadsRequest(Asking):
    """The body of ``POST /v1/leads/score``; the leads are checked one by one afterwards (`lead_faults`)."""

    leads: list[Any] = Field(min_length=1, description="the leads, each with its history and activities inline")


class JobRequest(ScoreRequest):
    """The body of ``POST /v1/jobs/score``: as of ``POST /v1/deals/score``, with more deals."""


Envelope = TypeVar("Envelope", bound=BaseModel)
_DEAL: TypeAdapter[Deal] = TypeAdapter(Deal)
_LEAD: TypeAdapter[Lead] = TypeAdapter(Lead)
_LEAD_FIELDS: Mapping[str, Sequence[str]] = {
    "": tuple(Lead.__annotations__),
    "history": tuple(LeadHistoryRow.__annotations__),
    "activities": tuple(LeadActivity.__annotations__),
}
_FIELDS: Mapping[str, Sequence[str]] = {
    "": tuple(Deal.__annotations__),
    "history": tuple(HistoryRow.__annotations__),
    "activities": tuple(Activity.__annotations__),
    "contacts": tuple(Contact.__annotations__),
    "account": tuple(Account.__annotations__),
}


def read_request(body: bytes) -> ScoreRequest:
    """Return the envelope of a body about deals. Raises as `read_envelope` does."""
    return read_envelope(body, ScoreRequest)


def read_envelope(body: bytes, shape: type[Envelope]) -> Envelope:
    """Return the envelope of a body. Raises BadJsonError or InvalidRequestError; neither repeats what was sent."""
    data = read_json(body)
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        raise InvalidRequestError(faults=faults_in(error, "", {"": tuple(shape.model_fields)})) from None


def read_json(body: bytes) -> object:
    """Parse JSON strictly: UTF-8, no NaN, no infinity, no key twice in an object. Raises BadJsonError."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJsonError(f"byte {error.start} is not UTF-8: send the body as UTF-8") from None
    try:
        return json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise BadJsonError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise BadJsonError("nested too deeply: a request has 5 levels") from None
    except ValueError:
        raise BadJsonError("a number has too many digits") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadJsonError("an object has the same key twice: send every key once")
    if len(members) > MAX_MEMBERS:
        raise BadJsonError(f"an object has more than {MAX_MEMBERS:,} members")
    return members


def _no_constant(_: str) -> None:
    raise BadJsonError("NaN and Infinity are not JSON: leave the field out, or send null")


def deal_faults(deal: object, pointer: str) -> tuple[Fault, ...]:
    """Return what is wrong with the shape of one deal; empty where nothing is. A fault's path is a JSON pointer."""
    return _item_faults(_DEAL, deal, pointer, _FIELDS)


def lead_faults(lead: object, pointer: str) -> tuple[Fault, ...]:
    """Return the same of one lead."""
    return _item_faults(_LEAD, lead, pointer, _LEAD_FIELDS)


def _item_faults(
    shape: TypeAdapter[Any], item: object, pointer: str, fields: Mapping[str, Sequence[str]]
) -> tuple[Fault, ...]:
    try:
        shape.validate_python(item)
    except ValidationError as error:
        return faults_in(error, pointer, fields)
    return ()


def faults_in(error: ValidationError, pointer: str, fields: Mapping[str, Sequence[str]]) -> tuple[Fault, ...]:
    """Turn pydantic's errors into faults that name the place and not the value.

    fields: the names of the fields of each part, that of the whole under the empty text.
    """
    details = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [_fault(detail, pointer, fields) for detail in details[:MAX_FAULTS]]
    if len(details) > MAX_FAULTS:
        faults.append(Fault("more", "", f"{len(details) - MAX_FAULTS} more faults", path=pointer))
    return tuple(faults)


def _fault(detail: ErrorDetails, pointer: str, fields: Mapping[str, Sequence[str]]) -> Fault:
    place, kind = detail["loc"], detail["type"]
    if kind == "extra_forbidden":
        name = str(place[-1])
        known = fields.get(str(place[0]) if len(place) > 1 else "", ())
        inside = "/".join([pointer, *(_step(step) for step in place[:-1])])
        path = f"{inside}/{name}" if PLAIN_NAME.fullmatch(name) else inside
        return Fault("unknown_field", "", "a field that is not known", "", did_you_mean(name[:64], known), path)
    path = "/".join([pointer, *(_step(step) for step in place)])
    code = "missing" if kind == "missing" else "wrong_type" if kind.endswith("_type") else "wrong_value"
    return Fault(code, "", detail["msg"], path=path)


def _step(step: int | str) -> str:
    """One step of a JSON pointer; a key that is no plain name is not repeated."""
    text = str(step)
    return text if PLAIN_NAME.fullmatch(text) else "*"
