"""From the deals of a request to a record that can be asked, with a problem for each deal that can't be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from configs.errors import Fault, ForecastleError, InvalidRequestError, LimitExceededError, UnknownStageError
from configs.flags import Flags
from configs.mapping import Mapping as MappingFile
from configs.schema import Grades, Serving
from configs.vocab import AttributeKind, UnknownStage
from features.asof import Requests
from features.inline import tables_from_records
from features.record import Record, build_record
from features.registry import Schema
from features.schema import OWN
from features.settle import Dictionary, dictionary_of
from models.bundle import Bundle
from serving.facts import Facts
from serving.kinds import DEALS, LEADS, Kind, kind_of
from serving.schemas import MAX_FAULTS
from serving.scoring import scorable

_PLACE = re.compile(r"/deals/(\d+)(/[a-z_]+/\d+)?")


@dataclass(frozen=True)
class Loaded:
    """A model ready to answer. words: the company's words for ours; keep_unknown: what to do with an unknown stage.

    flags: the thresholds of the flags. grades: where those of leads begin.
    """

    bundle: Bundle
    facts: Facts
    words: Dictionary
    keep_unknown: bool
    flags: Flags
    grades: Grades = field(default_factory=Grades)

    @property
    def kind(self) -> Kind:
        """What the model is asked about."""
        return kind_of(self.bundle.about.schema.target)


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


def ready(bundle: Bundle, facts: Facts, mapping: MappingFile, flags: Flags, grades: Grades | None = None) -> Loaded:
    """Join a bundle with its reference facts, the words of the mapping and the thresholds of flags and grades."""
    keep_unknown = mapping.stages.unknown is UnknownStage.KEEP
    return Loaded(bundle, facts, dictionary_of(mapping), keep_unknown, flags, grades or Grades())


def attributes_of(schema: Schema) -> dict[str, AttributeKind]:
    """Return the fields of a deal that the model uses beside the fixed ones. Account fields are among them.

    They are encoded as the deal's own, so that two deals of one request can't disagree about an account.
    """
    categories = dict.fromkeys((name for name in schema.dimensions if name not in OWN), AttributeKind.CATEGORY)
    return categories | dict.fromkeys(schema.numbers, AttributeKind.NUMBER)


def take_in(deals: Sequence[object], as_of: int, loaded: Loaded, limits: Serving, first: int = 0) -> Intake:
    """Check and encode the deals or leads of a request as of an instant (UTC microseconds). first: place of the first.

    Inside, a deal is called by its place in the request: the same deal_id may stand twice, and no deal can touch
    another.
    """
    problems: dict[int, ForecastleError] = {}
    kind = loaded.kind
    attributes, left_out = attributes_of(loaded.bundle.about.schema), loaded.bundle.about.left_out
    good: list[int] = []
    records: list[dict[str, Any]] = []
    by_place = dict(enumerate(deals, first))
    for place, deal in by_place.items():
        error = _shape_error(deal, f"/{kind.many}/{place}", kind, attributes, left_out, limits)
        if error is not None:
            problems[place] = error
        elif isinstance(deal, dict):
            good.append(place)
            records.append(kind.flat(deal, place, attributes, loaded.words))
    about = loaded.bundle.about
    inline = tables_from_records(
        records,
        ZoneInfo(about.time_zone),
        about.stages,
        attributes=attributes,
        dictionary=loaded.words,
        keep_unknown_stages=loaded.keep_unknown,
        leads=kind is LEADS,
    )
    for row, faults in inline.faults.items():
        problems[good[row]] = refusal(faults, by_place[good[row]], good[row], kind)
    record = build_record(
        kind.shaped(inline.tables), about.stages, loaded.bundle.calendar, about.schema, reference=loaded.facts.reference
    )
    places = [int(name or 0) for name in record.deal_ids.strings()]
    every = np.arange(len(places), dtype=np.int64)
    asked = Requests(every, np.full(len(places), as_of, dtype=np.int64))
    known, is_open = scorable(record.view(asked))
    for row in np.flatnonzero(~is_open).tolist():
        problems[places[row]] = _not_open(f"/{kind.many}/{places[row]}", kind, bool(known[row]))
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
    deal: object,
    pointer: str,
    kind: Kind,
    attributes: Mapping[str, AttributeKind],
    left_out: Sequence[str],
    limits: Serving,
) -> ForecastleError | None:
    """Return why a deal or lead can't even be encoded, or must not be scored, or None."""
    if isinstance(deal, dict):
        lists = (deal.get(name) for name in kind.lists)
        events = sum(len(listed) for listed in lists if isinstance(listed, list))
        if events > limits.max_events_per_deal:
            most = f"at most {limits.max_events_per_deal:,} rows of {', '.join(kind.lists)}"
            remedy = "leave out the oldest activities, or raise serving.max_events_per_deal"
            return LimitExceededError(
                faults=[Fault("too_many_events", "", f"{events:,} events", most, remedy, pointer)]
            )
        if (barred := kind.barred(deal, pointer)) is not None:
            return barred
    faults = kind.faults(deal, pointer)
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


def refusal(faults: Sequence[Fault], deal: object, place: int, kind: Kind = DEALS) -> ForecastleError:
    """The error of a deal or lead whose rows can't be used, its faults placed in the request and without the values."""
    told = [_placed(fault, deal, place, kind) for fault in faults[:MAX_FAULTS]]
    if len(faults) > MAX_FAULTS:
        told.append(Fault("more", "", f"{len(faults) - MAX_FAULTS} more faults", path=f"/{kind.many}/{place}"))
    stages_only = all(fault.code == "unknown_stage" for fault in told)
    return UnknownStageError(faults=told) if stages_only else InvalidRequestError(faults=told)


def _placed(fault: Fault, deal: object, place: int, kind: Kind) -> Fault:
    found = _PLACE.match(fault.where)
    column = fault.path.partition(".")[2]
    ours, column = column, kind.columns.get(column, column)
    nested = (found[2] or "") if found else ""
    inside = f"/{column}" if column and column != "deal_id" else ""  # a deal_id stands for the whole row
    path = f"/{kind.many}/{place}{nested or _part(deal, column)}{inside}"
    # Other remedies speak of mapping files, which a caller does not have.
    near = fault.remedy.partition("? ")[0] + "?" if fault.remedy.startswith("did you mean") else ""
    code = fault.code.replace(ours, column) if ours != column else fault.code
    return Fault(code, "", code.replace("_", " "), fault.expected, near, path)


def _part(deal: object, column: str) -> str:
    """Where a value stood that `flat` made the deal's own: ``/attributes``, ``/account``, or empty for the deal."""
    for part in ("attributes", "account"):
        given = deal.get(part) if isinstance(deal, dict) else None
        if isinstance(given, dict) and column in given:
            return f"/{part}"
    return ""


def _not_open(pointer: str, kind: Kind, known: bool) -> ForecastleError:
    """Why a deal or lead that was read has no score at the as-of."""
    one = kind.one
    if known:
        code, got = f"{one}_closed", f"the {one} is {kind.shut} at the as-of"
        expected, remedy = f"an open {one}", f"score open {kind.many} only, or ask for an earlier as_of"
    else:
        code, got = f"{one}_not_known", f"the {one} is not known before the as-of"
        expected, remedy = f"a {one} known before as_of", "ask for a later as_of, or correct created_at and known_at"
    return InvalidRequestError(faults=[Fault(code, "", got, expected, remedy, pointer)])
