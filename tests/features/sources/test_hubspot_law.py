"""An earlier export of HubSpot says the same of the past as a later one: no current value moves what was known before.

A small portal whose truth is a list of what happened is written as it stood at any instant, current values included.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.ingest import Ingest
from tests.hs import page, read, record

START = datetime(2023, 1, 2, 9)
STAGES = (
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "",
    "salesqualifiedlead",
    "evangelist",
    "opportunity",
    "customer",
)
STATUSES = ("OPEN", "UNQUALIFIED", "IN_PROGRESS", "")
LAST = "2024-01-01T00:00:00.000Z"
COLUMNS = {
    "leads": ("lead_id", "created_at", "known_at"),
    "lead_history": ("lead_id", "known_at", "event"),
    "lead_activities": ("lead_id", "known_at", "occurred_at", "kind", "direction", "outcome"),
}


def iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@cache
def life() -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Contacts and engagements with every value that their properties ever had: [(property, time, value)]."""
    rng = np.random.default_rng(7)
    contacts: list[dict[str, Any]] = []
    records: dict[str, list[dict[str, Any]]] = {"emails": [], "calls": [], "meetings": [], "tasks": []}
    for number in range(60):
        born = START + timedelta(hours=int(rng.integers(0, 24 * 250)))
        changes = [("lifecyclestage", iso(born), str(rng.choice(STAGES[:2])))]
        for _ in range(int(rng.integers(0, 7))):
            when = iso(born + timedelta(hours=int(rng.integers(1, 24 * 90))))
            name, words = ("lifecyclestage", STAGES) if rng.random() < 0.7 else ("hs_lead_status", STATUSES)
            changes.append((name, when, str(rng.choice(words))))
        contacts.append(
            {"id": str(number), "born": iso(born), "changes": sorted(changes, key=lambda change: change[1])}
        )
        for _ in range(int(rng.integers(0, 9))):
            _act(rng, records, str(number), born)
    for listed in records.values():
        for number, row in enumerate(listed):
            row["id"] = str(number)
    return contacts, records


def _act(rng: np.random.Generator, records: dict[str, list[dict[str, Any]]], who: str, born: datetime) -> None:
    entered = born + timedelta(hours=int(rng.integers(1, 24 * 90)))
    kind = str(rng.choice(list(records)))
    ahead = entered + timedelta(hours=int(rng.integers(-48, 24 * 20)))
    fixed, changes = {"hs_timestamp": iso(ahead), "hs_createdate": iso(entered), "contact_ids": who}, []
    later = iso(max(ahead, entered) + timedelta(hours=int(rng.integers(1, 99))))
    if kind == "emails":
        fixed["hs_email_direction"] = str(rng.choice(["EMAIL", "INCOMING_EMAIL"]))
    elif kind == "calls":
        fixed["hs_call_direction"] = str(rng.choice(["INBOUND", "OUTBOUND", ""]))
        changes = [("hs_call_disposition", iso(entered), "busy"), ("hs_call_disposition", later, "connected")]
    elif kind == "meetings":
        fixed["hs_meeting_end_time"] = iso(ahead + timedelta(hours=1))
        outcome = str(rng.choice(["COMPLETED", "NO_SHOW", "CANCELED"]))
        changes = [("hs_meeting_outcome", iso(entered), "SCHEDULED"), ("hs_meeting_outcome", later, outcome)]
    else:
        fixed["hs_task_type"] = str(rng.choice(["CALL", "EMAIL", "TODO"]))
        changes = [("hs_task_status", iso(entered), "NOT_STARTED")]
        if rng.random() < 0.7:
            changes += [("hs_task_status", later, "COMPLETED"), ("hs_task_completion_date", later, later)]
    tidied = iso(max(ahead, entered) + timedelta(days=int(rng.integers(5, 60))))
    changes.append(("hs_body_preview", tidied, "tidied"))  # so that hs_lastmodifieddate moves once more
    records[kind].append({"fixed": fixed, "entered": iso(entered), "changes": changes})


def _then(fixed: dict[str, str], changes: list[tuple[str, str, str]], until: str) -> tuple[dict[str, str], Any]:
    """A record's current values just before an instant, and its history, newest first."""
    told = [change for change in changes if change[1] < until]
    now = {name: value for name, _, value in told}
    touched = max((when for _, when, _ in told), default=fixed.get("hs_createdate", LAST))
    history = {
        name: [{"value": value, "timestamp": when} for other, when, value in reversed(told) if other == name]
        for name in now
    }
    return {**fixed, **now, "hs_lastmodifieddate": touched}, history


def export(folder: Path, until: str) -> Ingest:
    """The export as it would have been made at an instant."""
    contacts, records = life()
    made = {}
    listed = []
    for row in (row for row in contacts if row["born"] < until):
        fixed = {"hs_object_id": row["id"], "createdate": row["born"], "hs_email_optout": "false"}
        listed.append(record(*_then(fixed, row["changes"], until)))
    for name, rows in records.items():
        there = [row for row in rows if row["entered"] < until]
        then = [_then({"hs_object_id": row["id"], **row["fixed"]}, row["changes"], until) for row in there]
        made[name] = page(*(record(*one) for one in then))
    return read(folder, contacts=page(*listed), **made)


def told(ingest: Ingest, name: str, before: int) -> list[tuple[Any, ...]]:
    """What a table says that was known before an instant."""
    table = getattr(ingest.tables, name)
    known = table.take(table.ints("known_at") < before)
    columns = [
        known.coded(column).strings() if hasattr(known[column], "codes") else known.ints(column).tolist()
        for column in COLUMNS[name]
    ]
    return sorted(zip(*columns, strict=True), key=str)


@pytest.mark.parametrize("month", [4, 6, 9, 11])
def test_an_earlier_export_says_the_same_of_the_past_as_a_later_one(month: int, tmp_path: Path) -> None:
    now = datetime(2023, month, 1, tzinfo=UTC)
    micros = int(now.timestamp()) * 1_000_000
    earlier, later = export(tmp_path / "earlier", iso(now)), export(tmp_path / "later", LAST)
    for name in COLUMNS:
        said = told(earlier, name, micros)
        assert len(said) > 5
        assert said == told(later, name, micros)
        assert name == "leads" or len(told(later, name, 2**62)) > len(said)
