"""What the files of a bundle hold: heads, calendar, profile and golden rows, as plain JSON with exact floats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.build import FeatureMatrix
from features.periods import Calendar
from features.tables import Coded
from features.told import Told
from models.amount import AMOUNT, amount_files, read_amount
from models.calibrate import Affine
from models.close import CloseModel
from models.exact import from_hex, to_hex
from models.heads import Heads, Prediction
from models.ladder import RIDGE_RUNG, RUNGS, TREES_RUNG, Doubt
from models.linear import Linear
from models.profile import Profile
from models.reference_io import plain_json
from models.tables import RateCurve, RateTable
from models.timing import TIMING, read_timing, timing_files
from models.trees import Trees

CLOSE, TREES, CALENDAR, PROFILE, GOLDEN = "close.json", "trees.txt", "calendar.json", "profile.json", "golden.json"
_ARRAYS = ("weights", "missing_weights", "low", "high", "mean", "scale")
_NUMBERS = ("intercept", "table_weight", "table_mean")


@dataclass(frozen=True)
class Golden:
    """Rows that every load probes: their features and what the CRM told of them (None in a bundle of format 1)."""

    matrix: FeatureMatrix
    told: Told | None


def heads_files(heads: Heads) -> dict[str, bytes]:
    """Return the files of every head; those of a head that is absent, and trees where none helped, are absent too."""
    files = {CLOSE: plain_json(_close_json(heads.close))}
    if heads.close.trees is not None:
        files[TREES] = heads.close.trees.text.encode()
    if heads.timing is not None:
        files |= timing_files(heads.timing)
    if heads.amount is not None:
        files |= amount_files(heads.amount)
    return files


def read_heads(files: Mapping[str, bytes], names: tuple[str, ...], horizon_days: int) -> Heads:
    """Return the heads that `heads_files` wrote, over these feature columns; raises what their parsers raise."""
    timing = read_timing(files, names) if TIMING in files else None
    amount = read_amount(files, names) if AMOUNT in files else None
    if timing is not None and not 0 < horizon_days <= timing.longest:
        raise ValueError(f"{TIMING} answers up to {timing.longest:g} days, the bundle asks for {horizon_days}")
    return Heads(_close_model(json.loads(files[CLOSE]), names, files.get(TREES)), timing, amount, horizon_days)


def calendar_json(calendar: Calendar) -> bytes:
    """Write the fiscal calendar."""
    told = {name: getattr(calendar, name).tolist() for name in ("starts", "days", "holidays")}
    return plain_json(told | {"zone": calendar.zone})


def read_calendar(data: bytes) -> Calendar:
    """Read what `calendar_json` wrote; raises ValueError, KeyError or TypeError where it holds no periods."""
    told = json.loads(data)
    starts, days, holidays = (np.array(told[name], dtype=np.int64) for name in ("starts", "days", "holidays"))
    if len(starts) < 2 or starts.shape != days.shape:
        raise ValueError(f"{CALENDAR} holds no periods")
    return Calendar(starts, days, told["zone"], holidays)


def profile_json(profile: Profile) -> bytes:
    """Write what is usual by stage."""
    return plain_json({"names": profile.names, "rate": profile.rate, "medians": to_hex(profile.medians)})


def read_profile(data: bytes, names: tuple[str, ...], stages: int) -> Profile:
    """Read what `profile_json` wrote of a model with these columns and so many open stages; raises as the others do."""
    told = json.loads(data)
    profile = Profile(tuple(told["names"]), from_hex(told["medians"]), told["rate"])
    if profile.names != names or profile.medians.shape != (stages + 1, len(names)):
        raise ValueError(f"{PROFILE} is of another model")
    return profile


def golden_json(golden: Golden, heads: Heads) -> bytes:
    """Write the golden rows with what the heads say of them."""
    document: dict[str, Any] = {"values": to_hex(golden.matrix.values)}
    if golden.told is None:
        return plain_json(document | {"p": to_hex(heads.close.predict(golden.matrix))})
    return plain_json(
        document | {"told": _told_json(golden.told)} | _answers(heads.predict(golden.matrix, golden.told))
    )


def read_golden(data: bytes, names: tuple[str, ...]) -> Golden:
    """Read the rows that `golden_json` wrote; raises as the others do."""
    document = json.loads(data)
    matrix = FeatureMatrix(names, from_hex(document["values"]).reshape(-1, len(names)))
    return Golden(matrix, _told(document["told"]) if "told" in document else None)


def same_answers(data: bytes, golden: Golden, heads: Heads) -> bool:
    """Whether every head says of the golden rows what it said where it was trained, to the last bit."""
    document = json.loads(data)
    if golden.told is None:
        return bool(document["p"] == to_hex(heads.close.predict(golden.matrix)))
    answers = _answers(heads.predict(golden.matrix, golden.told))
    return {name: value for name, value in document.items() if name not in ("values", "told")} == answers


def _answers(said: Prediction) -> dict[str, Any]:
    """What the heads say, exactly: missing values are texts too, so equal answers are equal JSON."""
    outlook = {} if said.outlook is None else {name: to_hex(value) for name, value in vars(said.outlook).items()}
    told = {"p": to_hex(said.p), "outlook": outlook}
    return told if said.amount is None else told | {"amount": to_hex(said.amount)}


def _told_json(told: Told) -> dict[str, Any]:
    return {
        "amount_cents": told.amount_cents.tolist(),
        "close_days": to_hex(told.close_days),
        "period_days": to_hex(told.period_days),
        "segments": {name: column.strings() for name, column in told.segments.items()},
    }


def _told(document: Mapping[str, Any]) -> Told:
    return Told(
        np.array(document["amount_cents"], dtype=np.int64),
        from_hex(document["close_days"]),
        from_hex(document["period_days"]),
        {name: Coded.of(words) for name, words in document["segments"].items()},
    )


def _close_json(model: CloseModel) -> dict[str, Any]:
    told: dict[str, Any] = {
        "table": _table_json(model.table),
        "calibration": [to_hex(model.calibration.intercept), to_hex(model.calibration.slope)],
        "rung": model.rung,
    }
    if model.doubt is not None:
        told["doubt"] = [to_hex(model.doubt.low), to_hex(model.doubt.high), model.doubt.basis]
    if isinstance(model.offset, Linear):
        told["linear"] = {name: to_hex(getattr(model.offset, name)) for name in (*_ARRAYS, *_NUMBERS)}
    return told


def _table_json(table: RateTable | RateCurve) -> dict[str, Any]:
    told: dict[str, Any] = {"rates": to_hex(table.rates), "overall": to_hex(table.overall)}
    if isinstance(table, RateCurve):
        return told | {"knots": to_hex(table.knots)}
    return told | {"column": table.column, "edges": [to_hex(edge) for edge in table.edges]}


def _table(told: Mapping[str, Any]) -> RateTable | RateCurve:
    rates, overall = from_hex(told["rates"]), from_hex(told["overall"])
    if "knots" not in told:
        return RateTable(told["column"], tuple(from_hex(edge) for edge in told["edges"]), rates, overall)
    knots = from_hex(told["knots"])
    if len(knots) < 2 or not (np.diff(knots) > 0).all() or rates.ndim != 2 or rates.shape[1] != len(knots):
        raise ValueError(f"{CLOSE} holds no curve of rates")
    return RateCurve(knots, rates, overall)


def _close_model(told: dict[str, Any], names: tuple[str, ...], trees: bytes | None) -> CloseModel:
    table = _table(told["table"])
    offset: Linear | RateTable | RateCurve = table
    if "linear" in told:
        read = {name: from_hex(told["linear"][name]) for name in (*_ARRAYS, *_NUMBERS)}
        if any(len(read[name]) != len(names) for name in _ARRAYS):
            raise ValueError(f"{CLOSE}: the ridge is of other features than the bundle's")
        offset = Linear(names=names, table=table, **read)
    intercept, slope = (from_hex(value) for value in told["calibration"])
    grown = Trees(names, trees.decode()) if trees is not None else None
    doubt = None
    if "doubt" in told:
        low, high, basis = told["doubt"]
        doubt = Doubt(from_hex(low), from_hex(high), str(basis))
    rung = told.get("rung", TREES_RUNG if grown else RIDGE_RUNG)  # format 1 did not say
    if rung not in RUNGS:
        raise ValueError(f"{CLOSE} names the rung {rung!r}, expected one of {', '.join(RUNGS)}")
    return CloseModel(names, offset, grown, Affine(intercept, slope), rung, doubt)
