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
from models.close_files import CLOSE, TREES, close_json, read_close
from models.exact import from_hex, to_hex
from models.heads import Heads, Prediction
from models.lead_files import LEADS, leads_files, read_leads
from models.profile import Profile
from models.reference_io import plain_json
from models.timing import TIMING, read_timing, timing_files

CALENDAR, PROFILE, GOLDEN = "calendar.json", "profile.json", "golden.json"


@dataclass(frozen=True)
class Golden:
    """Rows that every load probes: their features and what the CRM told of them (None in a bundle of format 1)."""

    matrix: FeatureMatrix
    told: Told | None


def heads_files(heads: Heads) -> dict[str, bytes]:
    """Return the files of every head; those of a head that is absent, and trees where none helped, are absent too."""
    files = {CLOSE: plain_json(close_json(heads.close))}
    if heads.close.trees is not None:
        files[TREES] = heads.close.trees.text.encode()
    if heads.timing is not None:
        files |= timing_files(heads.timing)
    if heads.amount is not None:
        files |= amount_files(heads.amount)
    if heads.leads is not None:
        files |= leads_files(heads.leads)
    return files


def read_heads(files: Mapping[str, bytes], names: tuple[str, ...], horizon_days: int) -> Heads:
    """Return the heads that `heads_files` wrote, over these feature columns; raises what their parsers raise."""
    timing = read_timing(files, names) if TIMING in files else None
    amount = read_amount(files, names) if AMOUNT in files else None
    if timing is not None and not 0 < horizon_days <= timing.longest:
        raise ValueError(f"{TIMING} answers up to {timing.longest:g} days, the bundle asks for {horizon_days}")
    leads = read_leads(files, names) if LEADS in files else None
    close = read_close(json.loads(files[CLOSE]), names, files.get(TREES))
    return Heads(close, timing, amount, horizon_days, leads)


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
    if said.amount is not None:
        told["amount"] = to_hex(said.amount)
    if said.leads is not None:
        told["leads"] = {name: to_hex(value) for name, value in vars(said.leads).items()}
    return told


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
