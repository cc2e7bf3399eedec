"""A score as a row of the ledger: what it takes to compute it again, to the last bit, and what was said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from features.build import FeatureMatrix
from features.tables import NAT, Coded
from features.told import Told
from serving.scoring import Ahead, DealScore, Scoring, Worth, reason_json

BYTES = "<f8"  # of a feature vector: the ledger may be read on another kind of machine
UNTOLD = "null"  # in the place of what the heads were told, where the close head alone was asked


@dataclass(frozen=True)
class Entry:
    """One score. as_of, window_end: UTC microseconds. features: float64 as `BYTES`. told, heads, reasons: JSON.

    told: `UNTOLD` where the features are all that is known of the deal, or all that a lead's heads ask.
    """

    deal_id: str
    as_of: int
    window_end: int | None
    features: bytes
    features_sha256: str
    told: str
    p: float
    log_odds: float
    heads: str
    reasons: str | None


@dataclass(frozen=True)
class Asked:
    """What a request's entries have in common. asked_at: UTC microseconds; latency_ms: until all was computed."""

    request_id: str
    principal: str
    route: str
    asked_at: int
    latency_ms: float


@dataclass(frozen=True)
class Model:
    """What answered. reference_as_of: UTC microseconds; reference_sha256: of the snapshot or bundle it came from.

    NAT and "" where the features were given, so that nobody knows.
    """

    bundle_sha256: str
    model_version: str
    feature_hash: str
    reference_as_of: int
    reference_sha256: str


def entries_of(scoring: Scoring, ids: Sequence[str], explained: bool) -> tuple[Entry, ...]:
    """Return an entry for every score. ids: what the caller calls the deals."""
    values = np.ascontiguousarray(scoring.matrix.values, dtype=BYTES)
    ends = scoring.window_end.tolist()
    told = [UNTOLD] * len(ids) if scoring.told is None else map(text_of, told_rows(scoring.told))
    rows = zip(ids, scoring.scores, values, ends, told, strict=True)
    return tuple(_entry(deal, one, row.tobytes(), end, said, explained) for deal, one, row, end, said in rows)


def _entry(deal_id: str, one: DealScore, features: bytes, end: int, told: str, explained: bool) -> Entry:
    return Entry(
        deal_id=deal_id,
        as_of=one.as_of,
        window_end=None if end == NAT else end,
        features=features,
        features_sha256=sha256(features).hexdigest(),
        told=told,
        p=one.p,
        log_odds=one.log_odds,
        heads=heads_text(one.ahead, one.amount_expected, one.rung, one.worth),
        reasons=text_of(list(reason_json(one.reasons))) if explained else None,
    )


def heads_text(ahead: Ahead | None, amount_expected: float | None, rung: str, worth: Worth | None = None) -> str:
    """Return what the heads beside the close head say, as the ledger keeps it; worth: of a lead."""
    if worth is not None:
        return text_of(asdict(worth) | {"rung": rung})
    return text_of(ahead_json(ahead) | {"amount_expected": amount_expected, "rung": rung})


def ahead_json(ahead: Ahead | None) -> dict[str, Any]:
    """Return what may become of a deal as members of a result; null where there is no timing head, or no date."""
    if ahead is None:
        return dict.fromkeys(("p_won", "p_lost", "p_open", "close_date", "slip_risk"))
    days = None if ahead.close_date is None else [day.isoformat() for day in ahead.close_date]
    return {
        "p_won": ahead.p_won,
        "p_lost": ahead.p_lost,
        "p_open": ahead.p_open,
        "close_date": None if days is None else dict(zip(("p10", "p50", "p90"), days, strict=True)),
        "slip_risk": ahead.slip_risk,
    }


def told_rows(told: Told) -> Iterator[dict[str, Any]]:
    """Yield each row of what the heads are told, as JSON holds it: null where missing."""
    segments = {name: column.strings() for name, column in told.segments.items()}
    rows = zip(told.amount_cents.tolist(), told.close_days.tolist(), told.period_days.tolist(), strict=True)
    for i, (cents, close, period) in enumerate(rows):
        yield {
            "amount_cents": None if cents == NAT else cents,
            "close_days": None if close != close else close,
            "period_days": None if period != period else period,
            "segments": {name: words[i] for name, words in segments.items()},
        }


def told_of(rows: Sequence[Mapping[str, Any]]) -> Told:
    """Return the rows of `told_rows` as one Told. Raises KeyError, TypeError or ValueError where they are not that."""
    names = list(rows[0]["segments"])
    return Told(
        np.array([NAT if row["amount_cents"] is None else row["amount_cents"] for row in rows], dtype=np.int64),
        np.array([_number(row["close_days"]) for row in rows], dtype=np.float64),
        np.array([_number(row["period_days"]) for row in rows], dtype=np.float64),
        {name: Coded.of([row["segments"][name] for row in rows]) for name in names},
    )


def matrix_of(vectors: Sequence[bytes], names: tuple[str, ...]) -> FeatureMatrix:
    """Return feature vectors of the ledger as a matrix. Raises ValueError where one has another length."""
    values = np.stack([np.frombuffer(vector, dtype=BYTES) for vector in vectors]).astype(np.float64)
    if values.shape[1] != len(names):
        raise ValueError(f"{values.shape[1]} features, expected {len(names)}")
    return FeatureMatrix(names, np.ascontiguousarray(values))


def text_of(value: object) -> str:
    """Write JSON for the ledger; floats in their shortest form that reads back as the same bits.

    In ASCII: texts of a CRM may hold what a database does not take.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
