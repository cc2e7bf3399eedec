"""Ready feature rows: from the body of ``POST /v1/rows/score`` to the body of its answer; pure, the clock is given.

For callers who build features with this code themselves, and ask for the probability of the close head alone, as often
as they can. The rows are believed to hold what was known before ``as_of``, and nothing later: they carry no history to
check it by. Every row is checked on its own, so that one bad row spoils no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import isfinite
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from configs.base import did_you_mean
from configs.errors import Fault, InvalidRequestError, LimitExceededError, OtherFeaturesError
from configs.schema import Serving
from features.build import FeatureMatrix
from features.tables import NAT
from models.base import Float
from models.bundle import Bundle
from serving.answers import PROBABILITY, Answer, identity, iso, read_as_of, to_json
from serving.entries import BYTES, UNTOLD, Entry, heads_text
from serving.intake import Loaded
from serving.problems import problem
from serving.schemas import MAX_FAULTS, MAX_MEMBERS, PLAIN_NAME, Id, Word, read_envelope

MOST = 1e300  # a value is at most so far from zero
KINDS = frozenset({float, int, type(None)})  # of a value, as JSON is read; true and false are none of them
_VALUE = {"type": "number", "nullable": True, "description": "a finite number; null where the feature is missing"}
_ROW = {"type": "array", "items": _VALUE, "minItems": 1, "maxItems": MAX_MEMBERS, "description": "in columns' order"}

Row = Annotated[Any, WithJsonSchema(_ROW)]


class RowsRequest(BaseModel):
    """The body of ``POST /v1/rows/score``; the rows are checked one by one afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    as_of: Annotated[str, StringConstraints(max_length=40)] = Field(
        description="instant that the rows were built for, ISO 8601 with an offset or Z, or `now`"
    )
    in_sample: bool = Field(default=False, description="allow an as-of before the model's trained_as_of")
    feature_hash: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="feature_hash of the model that the rows were built for; those of another are not scored"
    )
    columns: list[Word] = Field(
        min_length=1,
        max_length=MAX_MEMBERS,
        description="feature_names of the model, as /v1/status has them: all of them, in any order",
    )
    ids: list[Id] = Field(min_length=1, description="what you call the deal of each row")
    rows: list[Row] = Field(min_length=1, description="the rows, with a value for each of columns")


def answer_rows(body: bytes, now: int, request_id: str, loaded: Loaded, limits: Serving) -> Answer:
    """Answer ``POST /v1/rows/score``. now: UTC microseconds.

    Raises BadJsonError, InvalidRequestError, OtherFeaturesError, LimitExceededError or InSampleError for the request
    as a whole; what is wrong with one row stands in its place among the results.
    """
    request, bundle = _read(body), loaded.bundle
    if request.feature_hash != bundle.about.plan_fingerprint:
        got = "rows for other features than the model of this service has"
        remedy = "build them for the model that /v1/status names"
        fault = Fault("other_features", "", got, f"its {bundle.about.plan_fingerprint}", remedy, "/feature_hash")
        raise OtherFeaturesError(faults=[fault])
    as_of = read_as_of(request.as_of, now, bundle, request.in_sample)
    _refuse_excess(request, limits)
    shape = _shape(request.columns, bundle)
    sound = {place: values for place, row in enumerate(request.rows) if (values := _values(row, shape)) is not None}
    scored = _scored(sound, shape, bundle)
    problems = {
        place: InvalidRequestError(faults=_faults(row, f"/rows/{place}", shape))
        for place, row in enumerate(request.rows)
        if place not in scored
    }
    period = _period(bundle, as_of)
    results = [
        {"id": name, "ok": False, "problem": problem(problems[place])}
        if place in problems
        else {"id": name, "ok": True} | _result(scored[place], period, bundle.about.target)
        for place, name in enumerate(request.ids)
    ]
    document = identity(loaded) | {"as_of": iso(as_of), "request_id": request_id, "results": results}
    entries = tuple(_entry(request.ids[place], one, as_of, period) for place, one in scored.items())
    return Answer(to_json(document), len(scored), Counter(one.code for one in problems.values()), entries)


def of_unknown_facts(loaded: Loaded) -> Loaded:
    """Return the model as the ledger is to name it: nobody knows with which reference facts the rows were built."""
    return replace(loaded, facts=replace(loaded.facts, as_of=NAT, sha=""))


def _read(body: bytes) -> RowsRequest:
    """Return the envelope of a body. Raises BadJsonError or InvalidRequestError; neither repeats what was sent."""
    request = read_envelope(body, RowsRequest)
    if len(request.ids) != len(request.rows):
        got, expected = f"{len(request.ids):,} ids", f"{len(request.rows):,}, one for each row"
        raise InvalidRequestError(faults=[Fault("wrong_value", "", got, expected, path="/ids")])
    return request


def _refuse_excess(request: RowsRequest, limits: Serving) -> None:
    most = limits.max_deals_plain
    if len(request.rows) > most:
        got = f"{len(request.rows):,} rows"
        fault = Fault("too_many_rows", "", got, f"at most {most:,}", "send fewer at a time", "/rows")
        raise LimitExceededError(faults=[fault])


@dataclass(frozen=True)
class _Shape:
    """What rows look like. order: where each of the model's features stands, None where in its own order.

    rank: where the stage's rank stands; stages: how many there are.
    """

    width: int
    order: list[int] | None
    rank: int
    stages: int


def _shape(columns: Sequence[str], bundle: Bundle) -> _Shape:
    """Return what the rows must look like.

    Raises InvalidRequestError where a column is no feature of the model or stands twice, or where one is missing.
    """
    names = bundle.plan.names
    order = None
    if tuple(columns) != names:
        place = {name: i for i, name in enumerate(columns)}
        if place.keys() != set(names) or len(columns) != len(names):
            raise InvalidRequestError(
                faults=_capped([*_strange(columns, names), *_missing(columns, names)], "/columns")
            )
        order = [place[name] for name in names]
    return _Shape(len(names), order, columns.index("stage_rank"), len(bundle.about.stages.order))


def _capped(faults: Sequence[Fault], path: str) -> list[Fault]:
    more = len(faults) - MAX_FAULTS
    return [*faults[:MAX_FAULTS], *([Fault("more", "", f"{more} more faults", path=path)] if more > 0 else [])]


def _strange(columns: Sequence[str], names: Sequence[str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for place, name in enumerate(columns):
        told = name if PLAIN_NAME.fullmatch(name) else "this name"
        if name not in names:
            got = f"{told} is no feature of the model"
            yield Fault("unknown_column", "", got, "", did_you_mean(name[:64], names), f"/columns/{place}")
        elif name in seen:
            yield Fault("duplicate", "", f"{told} stands twice", "every feature once", path=f"/columns/{place}")
        seen.add(name)


def _missing(columns: Sequence[str], names: Sequence[str]) -> Iterator[Fault]:
    given = set(columns)
    for name in names:
        if name not in given:
            yield Fault("missing", "", f"{name} is missing", "all features of the model", path="/columns")


def _values(row: object, shape: _Shape) -> Float | None:
    """Return a row as float64[width], NaN where a value is null; None where something is wrong with it."""
    if not isinstance(row, list) or len(row) != shape.width or not KINDS.issuperset(map(type, row)):
        return None
    if row[shape.rank] is not None and row[shape.rank] not in range(shape.stages):
        return None
    try:
        values = np.array(row, dtype=np.float64)
    except OverflowError:  # an integer beyond all floats
        return None
    return None if (np.abs(values) > MOST).any() else values


def _faults(row: object, path: str, shape: _Shape) -> list[Fault]:
    """Return what is wrong with a row that `_values` or the model does not take."""
    if not isinstance(row, list):
        return [Fault("wrong_type", "", "not a list", "a list of values", path=path)]
    if len(row) != shape.width:
        return [Fault("wrong_value", "", f"{len(row):,} values", f"{shape.width:,}, one for each column", path=path)]
    expected = "a finite number, or null where the feature is missing"
    faults = []
    for j, value in enumerate(row):
        if type(value) not in KINDS:
            faults.append(Fault("wrong_type", "", "not a number", expected, path=f"{path}/{j}"))
        elif value is not None and not abs(value) <= MOST:
            faults.append(Fault("wrong_value", "", "too large", expected, path=f"{path}/{j}"))
        elif j == shape.rank and value is not None and value not in range(shape.stages):
            ranks = f"0 to {shape.stages - 1}, or null where the stage is not known"
            faults.append(Fault("wrong_value", "", "no stage has this rank", ranks, path=f"{path}/{j}"))
    none = Fault(
        "wrong_value", "", "no probability follows from it", "no null where a feature is never missing", path=path
    )
    return _capped(faults or [none], path)


@dataclass(frozen=True)
class _Scored:
    """What the close head says of one row. features: as the ledger keeps them."""

    p: float
    log_odds: float
    rung: str
    features: bytes


def _scored(rows: Mapping[int, Float], shape: _Shape, bundle: Bundle) -> dict[int, _Scored]:
    """Score rows by their place; those that no finite log-odds follow from are left out."""
    if not rows:
        return {}
    values = np.stack(list(rows.values()))
    matrix = FeatureMatrix(
        bundle.plan.names, values if shape.order is None else np.ascontiguousarray(values[:, shape.order])
    )
    said = bundle.heads.predict(matrix, None)
    parts = (said.p.tolist(), said.log_odds.tolist(), bundle.heads.rungs(said.blind), matrix.values.astype(BYTES))
    return {
        place: _Scored(p, log_odds, rung, features.tobytes())
        for place, p, log_odds, rung, features in zip(rows, *parts, strict=True)
        if isfinite(log_odds)
    }


def _period(bundle: Bundle, as_of: int) -> tuple[int, str] | None:
    """Return the end of the period that p speaks of: an instant, and its last day. None for the head `eventual`."""
    if bundle.about.target != "in_period":
        return None
    calendar = bundle.calendar
    index = int(calendar.index(np.array([as_of]))[0])
    return int(calendar.starts[index + 1]), calendar.last_day(index).isoformat()


def _result(one: _Scored, period: tuple[int, str] | None, target: str) -> dict[str, Any]:
    """Return a score as members of a result."""
    end = {} if period is None else {"period_end": period[1]}
    return {PROBABILITY[target]: one.p} | end | {"log_odds": one.log_odds, "rung": one.rung}


def _entry(name: str, one: _Scored, as_of: int, period: tuple[int, str] | None) -> Entry:
    """Return what the ledger is to keep of a row."""
    return Entry(
        deal_id=name.replace("\x00", "\ufffd"),  # PostgreSQL's texts
        as_of=as_of,
        window_end=None if period is None else period[0],
        features=one.features,
        features_sha256=sha256(one.features).hexdigest(),
        told=UNTOLD,
        p=one.p,
        log_odds=one.log_odds,
        heads=heads_text(None, None, one.rung),
        reasons=None,
    )
