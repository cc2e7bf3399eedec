"""The record of the flags: what is written is read, what is damaged is refused, and only its own thresholds tell it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from configs.flags import Flags
from models.track_record import (
    TRACK_RECORD,
    FlagRecord,
    TrackRecord,
    limits_hash,
    read_track_record,
    record_json,
    track_record_files,
)

ONE = FlagRecord("lost within 90 days", 0.4567, 0.3, 0.6, 0.25, 0.123456, 41.26, 37, 4)
RECORD = TrackRecord(limits_hash(Flags()), {"stalled": ONE, "overdue": replace(ONE, usual=None)})


def test_what_is_written_is_read() -> None:
    files = track_record_files(RECORD)
    assert read_track_record(files) == RECORD
    assert track_record_files(read_track_record(files)) == files


def test_it_is_told_for_its_own_thresholds_only() -> None:
    assert RECORD.under(Flags()) == RECORD.by_code
    assert RECORD.under(Flags.model_validate({"stalled": {"min_days": 22}})) == {}


@pytest.mark.parametrize(
    "wrong",
    [{"precision": 1.2}, {"usual": -0.1}, {"deals": 3.5}, {"periods": True}, {"lead_days": -1}, {"outcome": 3}],
    ids=str,
)
def test_what_holds_no_figures_is_refused(wrong: dict[str, Any]) -> None:
    told = json.loads(track_record_files(RECORD)[TRACK_RECORD])
    told["by_code"]["stalled"] |= wrong
    with pytest.raises(ValueError, match=TRACK_RECORD):
        read_track_record({TRACK_RECORD: json.dumps(told).encode()})


def test_beside_a_flag_it_is_rounded() -> None:
    assert record_json(None) is None
    assert record_json(replace(ONE, usual=None)) == {
        "outcome": "lost within 90 days",
        "precision": 0.457,
        "low": 0.3,
        "high": 0.6,
        "usual": None,
        "recall": 0.123,
        "lead_days": 41.3,
        "deals": 37,
        "periods": 4,
    }
