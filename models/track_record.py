"""How right each flag was on the company's own past: small figures that a bundle carries and answers show beside it.

They are measured with certain thresholds (`training.flag_record`); under other ones they would speak of another flag,
and are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property, lru_cache
from typing import Any

from configs.flags import Flags
from models.reference_io import plain_json

TRACK_RECORD = "flags.json"
SHARES = ("precision", "low", "high", "usual", "recall")


@dataclass(frozen=True)
class FlagRecord:
    """What came of the deals that carried one flag within its alert budget, a deal and week at a time.

    outcome: what counts, in words. precision: the share that came out so, with its 95 % interval low..high (rows of a
    deal go together). usual: that of deals without the flag in the same stages, None without any. recall: share of the
    deals that came out so which had carried the flag before. lead_days: median from the first such flag to the
    outcome. deals, periods: how many the figures rest on.
    """

    outcome: str
    precision: float
    low: float
    high: float
    usual: float | None
    recall: float
    lead_days: float
    deals: int
    periods: int

    @cached_property
    def told(self) -> dict[str, Any]:
        """What `record_json` says, made once: every flag of every answer says it."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        rounded = {name: round(told[name], 3) for name in SHARES if told[name] is not None}
        return told | rounded | {"lead_days": round(self.lead_days, 1)}


@dataclass(frozen=True)
class TrackRecord:
    """The records by code; a flag that too few deals carried has none. limits: `limits_hash` of the thresholds."""

    limits: str
    by_code: Mapping[str, FlagRecord] = field(default_factory=dict)

    def under(self, limits: Flags) -> Mapping[str, FlagRecord]:
        """Return the records by code, none where flags have other thresholds now than those that were measured."""
        return self.by_code if self.limits == limits_hash(limits) else {}


@lru_cache(maxsize=16)
def limits_hash(limits: Flags) -> str:
    """Return the SHA-256 (hex) of the section `flags`."""
    return hashlib.sha256(json.dumps(limits.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def track_record_files(record: TrackRecord) -> dict[str, bytes]:
    """Return the file of a bundle that holds the records."""
    told = {code: asdict(of) for code, of in sorted(record.by_code.items())}
    return {TRACK_RECORD: plain_json({"limits": record.limits, "by_code": told})}


def read_track_record(files: Mapping[str, bytes]) -> TrackRecord:
    """Read what `track_record_files` wrote; raises KeyError, TypeError or ValueError where it holds no records."""
    told = json.loads(files[TRACK_RECORD])
    return TrackRecord(str(told["limits"]), {str(code): _record(of) for code, of in told["by_code"].items()})


def _record(told: Mapping[str, Any]) -> FlagRecord:
    record = FlagRecord(**told)
    shares = [getattr(record, name) for name in SHARES if name != "usual" or record.usual is not None]
    if type(told["outcome"]) is not str or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"{TRACK_RECORD} holds no shares")
    if any(type(told[name]) is not int for name in ("deals", "periods")) or not record.lead_days >= 0:
        raise ValueError(f"{TRACK_RECORD} does not say what it was measured on")
    return record


def record_json(record: FlagRecord | None) -> dict[str, Any] | None:
    """Return a record as the plain object that stands beside a flag: shares to three places, days to one."""
    return None if record is None else record.told.copy()
