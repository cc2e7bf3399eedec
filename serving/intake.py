"""From the deals of a request to a record that can be asked, with a problem for each deal that can't be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from configs.errors import Fault, ForecastleError, InvalidRequestError, LimitExceededError, UnknownStageError
from configs.flags import Flags
from configs.mapping import Mapping as MappingFile
from configs.schema import Serving
from configs.vocab import AttributeKind, UnknownStage
from features.asof import Requests
from features.inline import tables_from_records
from features.record import ACCOUNT_FIELDS, Record, build_record
from features.registry import Schema
from features.schema import OWN
from features.settle import Dictionary, dictionary_of
from models.bundle import Bundle
from serving.facts import Facts
from serving.schemas import MAX_FAULTS, deal_faults
from serving.scoring import scorable

_PLACE = re.compile(r"/deals/(\d+)(/[a-z_]+/\d+)?")
_LISTS = ("history", "activities", "contacts")


@dataclass(frozen=True)
class Loaded:
    """A model ready to answer. words: the company's words for ours; keep_unknown: what to do with an unknown stage.

    flags: the thresholds of the flags.
    """

    bundle: Bundle
    facts: Facts
    words: Dictionary
    keep_unknown: bool
    flags: Flags


@dataclass(frozen=True)
class Intake:
    """What of a request can be scored. positions: the place in the request of each row of `requests`.

    problems: place -> why a deal can't be scored. Every place is in one of the two. ignored: place -> the attributes it
    sends that the leak audit left out of the model.
    """

    record: Record | None
    requests: Requests
    positions: tuple[int, ...]
    problems: Mapping[int, ForecastleError]
    ignored: Mapping[int, tuple[str, ...]]


def ready(bundle: Bundle, facts: Facts, mapping: MappingFile, flags: Flags) -> Loaded:
    """Join a bundle with its reference facts, the words of the mapping and the thresholds of the flags."""
    return Loaded(bundle, facts, dictionary_of(mapping), mapping.stages.unknown is UnknownStage.KEEP, flags)


def attributes_of(schema: Schema) -> dict[str, AttributeKind]:
    """Return the fields of a deal that the model uses beside the fixed ones. Account fields are among them.

    They are encoded as the deal's own, so that two deals of one request can't disagree about an account.
    """
    categories = dict.fromkeys((name for name in schema.dimensions if name not in OWN), AttributeKind.CATEGORY)
    return categories | dict.fromkeys(schema.numbers, AttributeKind.NUMBER)


def take_in(deals: Sequence[object], as_of: int, loaded: Loaded, limits: Serving, first: int = 0) -> Intake:
    """Check and encode the deals of a request as of an instant (UTC microseconds). first: place of the first of them.

    Inside, a deal is called by its place in the request: the same deal_id may stand twice, and no deal can touch
    another.
    """
    problems: dict[int, ForecastleError] = {}
    attributes, left_out = attributes_of(loaded.bundle.about.schema), loaded.bundle.about.left_out
    good: list[int] = []
    records: list[dict[str, Any]] = []
    by_place = dict(enumerate(deals, first))
    for place, deal in by_place.items():
        error = _shape_error(deal, f"/deals/{place}", attributes, left_out, limits)
        if error is not None:
            problems[place] = error
        elif isinstance(deal, dict):
            good.append(place)
            records.append(flat(deal, place, attributes))
    about = loaded.bundle.about
    inline = tables_from_records(
        records,
        ZoneInfo(about.time_zone),
        about.stages,
        attributes=attributes,
        dictionary=loaded.words,
        keep_unknown_stages=loaded.keep_unknown,
    )
    for row, faults in inline.faults.items():
        problems[good[row]] = refusal(faults, by_place[good[row]], good[row])
    record = build_record(
        inline.tables, about.stages, loaded.bundle.calendar, about.schema, reference=loaded.facts.reference
    )
    places = [int(name or 0) for name in record.deal_ids.strings()]
    every = np.arange(len(places), dtype=np.int64)
    asked = Requests(every, np.full(len(places), as_of, dtype=np.int64))
    known, is_open = scorable(record.view(asked))
    for row in np.flatnonzero(~is_open).tolist():
        problems[places[row]] = _not_open(f"/deals/{places[row]}", bool(known[row]))
    kept = asked.take(is_open)
    positions = tuple(places[row] for row in kept.deal.tolist())
    ignored = {place: names for place in positions if (names := _ignored(by_place[place], left_out))}
    return Intake(record, kept, positions, problems, ignored)


def _ignored(deal: object, left_out: Sequence[str]) -> tuple[str, ...]:
    """Return the facts with a value that the model was kept from, in whichever part of the deal they stand."""
    if not isinstance(deal, dict):
        return ()
    given = {**deal, **(deal.get("account") or {}), **(deal.get("attributes") or {})}
    return tuple(name for name in left_out if given.get(name) is not None)


def _shape_error(
    deal: object, pointer: str, attributes: Mapping[str, AttributeKind], left_out: Sequence[str], limits: Serving
) -> ForecastleError | None:
    """Return why a deal can't even be encoded, or None."""
    if isinstance(deal, dict):
        lists = (deal.get(name) for name in _LISTS)
        events = sum(len(listed) for listed in lists if isinstance(listed, list))
        if events > limits.max_events_per_deal:
            most = f"at most {limits.max_events_per_deal:,} history rows, activities and contacts"
            remedy = "leave out the oldest activities, or raise serving.max_events_per_deal"
            return LimitExceededError(
                faults=[Fault("too_many_events", "", f"{events:,} events", most, remedy, pointer)]
            )
    faults = deal_faults(deal, pointer)
    if faults:
        return InvalidRequestError(faults=faults)
    return unknown_attributes(deal, pointer, attributes, left_out)


def unknown_attributes(
    deal: object, pointer: str, attributes: Mapping[str, AttributeKind], left_out: Sequence[str]
) -> ForecastleError | None:
    """Return the error of a deal whose ``attributes`` the model does not know, or None."""
    given = deal.get("attributes") if isinstance(deal, dict) else None
    unknown = [name for name in given or () if name not in attributes and name not in left_out]
    if unknown:
        expected = f"some of {', '.join(attributes)}" if attributes else "no attributes: the model uses none"
        return InvalidRequestError(
            faults=[
                Fault("unknown_attribute", "", "an attribute that is not known", expected, "", f"{pointer}/attributes")
            ]
        )
    return None


def flat(deal: Mapping[str, Any], place: int, attributes: Mapping[str, AttributeKind]) -> dict[str, Any]:
    """The deal as a record of one level: attributes and the account's fields become its own, its place its id."""
    own = {name: value for name, value in deal.items() if name not in ("attributes", "account")}
    account = {name: value for name, value in (deal.get("account") or {}).items() if name in ACCOUNT_FIELDS}
    given = {**account, **(deal.get("attributes") or {})}
    return own | {name: given[name] for name in given if name in attributes} | {"deal_id": str(place)}


def refusal(faults: Sequence[Fault], deal: object, place: int) -> ForecastleError:
    """The error of a deal whose rows can't be used, its faults placed in the request and without the values."""
    told = [_placed(fault, deal, place) for fault in faults[:MAX_FAULTS]]
    if len(faults) > MAX_FAULTS:
        told.append(Fault("more", "", f"{len(faults) - MAX_FAULTS} more faults", path=f"/deals/{place}"))
    stages_only = all(fault.code == "unknown_stage" for fault in faults)
    return UnknownStageError(faults=told) if stages_only else InvalidRequestError(faults=told)


def _placed(fault: Fault, deal: object, place: int) -> Fault:
    found = _PLACE.match(fault.where)
    column = fault.path.partition(".")[2]
    nested = (found[2] or "") if found else ""
    inside = f"/{column}" if column and column != "deal_id" else ""  # a deal_id stands for the whole row
    path = f"/deals/{place}{nested or _part(deal, column)}{inside}"
    # Other remedies speak of mapping files, which a caller does not have.
    near = fault.remedy.partition("? ")[0] + "?" if fault.remedy.startswith("did you mean") else ""
    return Fault(fault.code, "", fault.code.replace("_", " "), fault.expected, near, path)


def _part(deal: object, column: str) -> str:
    """Where a value stood that `flat` made the deal's own: ``/attributes``, ``/account``, or empty for the deal."""
    for part in ("attributes", "account"):
        given = deal.get(part) if isinstance(deal, dict) else None
        if isinstance(given, dict) and column in given:
            return f"/{part}"
    return ""


def _not_open(pointer: str, known: bool) -> ForecastleError:
    """Why a deal that was read has no score at the as-of."""
    if known:
        got, remedy = (
            "the deal is won, lost, deleted or merged into another at the as-of",
            "score open deals only, or ask for an earlier as_of",
        )
        return InvalidRequestError(faults=[Fault("deal_closed", "", got, "an open deal", remedy, pointer)])
    got, remedy = "the deal is not known before the as-of", "ask for a later as_of, or correct created_at and known_at"
    return InvalidRequestError(faults=[Fault("deal_not_known", "", got, "a deal known before as_of", remedy, pointer)])
