"""Hand-made Salesforce exports of a few rows: CSV files from dicts, and what is read back as plain rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from configs.salesforce import SalesforceMapping
from configs.vocab import Target
from features.ingest import Ingest
from features.sources.salesforce.source import Salesforce
from features.tables import NAT, TABLES, Coded, Table

Row = Mapping[str, Any]
Objects = Mapping[str, Sequence[Row]]

MAPPING: dict[str, Any] = {
    "stages": {"order": ["Qualify", "Propose", "Negotiate"], "won": ["Closed Won"], "lost": ["Closed Lost"]},
    "task_types": {"Content Viewed": {"kind": "content", "direction": "inbound", "outcome": "viewed"}},
}


def t(day: str, clock: str = "09:00:00") -> str:
    """A time as Salesforce writes it: t("01-02") is 2024-01-02T09:00:00.000Z."""
    return f"2024-{day}T{clock}.000Z"


def opp(key: str, **columns: Any) -> dict[str, Any]:
    """An opportunity created on 2 January 2024 that is open in Qualify, unless said otherwise."""
    given = {"StageName": "Qualify", "OwnerId": "U1", "AccountId": "A1", "IsDeleted": "false"}
    return {"Id": key, "CreatedDate": t("01-02"), **given, **columns}


def hist(deal: str, at: str, stage: str, **columns: Any) -> dict[str, Any]:
    """A row of OpportunityHistory."""
    return {"OpportunityId": deal, "CreatedDate": at, "StageName": stage, **columns}


def change(deal: str, at: str, field: str, old: str, new: str, **columns: Any) -> dict[str, Any]:
    """A row of OpportunityFieldHistory."""
    return {"OpportunityId": deal, "CreatedDate": at, "Field": field, "OldValue": old, "NewValue": new, **columns}


def objects(**listed: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Objects by API name, with what must exist there though empty."""
    made = {name: [dict(row) for row in rows] for name, rows in listed.items()}
    made.setdefault("OpportunityHistory", [])
    return made


HEADERS = {
    "OpportunityHistory": ("Id", "OpportunityId", "CreatedDate", "StageName"),
    "OpportunityFieldHistory": ("Id", "OpportunityId", "CreatedDate", "Field", "OldValue", "NewValue"),
    "Task": ("Id", "WhatId", "CreatedDate"),
    "Event": ("Id", "WhatId", "CreatedDate", "StartDateTime"),
    "EmailMessage": ("Id", "ActivityId", "RelatedToId", "CreatedDate"),
    "Period": ("Id", "StartDate"),
    "LeadHistory": ("Id", "LeadId", "CreatedDate", "Field", "OldValue", "NewValue"),
    "CampaignMember": ("Id", "LeadId", "CreatedDate"),
}


def text_of(name: str, rows: Sequence[Row]) -> str:
    """One object as CSV; rows without an Id get one in their order."""
    columns = list(dict.fromkeys([*HEADERS.get(name, ()), *(key for row in rows for key in row)]))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for number, row in enumerate(rows):
        writer.writerow({"Id": f"{name}-{number:06d}", **row} if "Id" in columns else dict(row))
    return out.getvalue()


def write(folder: Path, made: Objects) -> Path:
    """Write every object as <Object>.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in made.items():
        (folder / f"{name}.csv").write_text(text_of(name, rows), encoding="utf-8")
    return folder


def read(
    folder: Path,
    made: Objects | None = None,
    zone: str = "UTC",
    target: Target = Target.IN_PERIOD,
    **mapping: Any,
) -> Ingest:
    """Write an export, where one is given, and read it with the tiny mapping and what it is given besides."""
    if made is not None:
        write(folder, made)
    return Salesforce(folder, SalesforceMapping.model_validate(MAPPING | mapping), ZoneInfo(zone), target).read()


def rows(table: Table, *columns: str) -> list[tuple[Any, ...]]:
    """Columns of a table as plain rows: times as texts without the year, money in units, a missing value as None."""
    kinds = {column.name: column.kind for column in TABLES[table.name].columns}
    return list(zip(*(_plain(table, name, kinds.get(name, "float")) for name in columns), strict=True))


def _plain(table: Table, name: str, kind: str) -> list[Any]:
    data = table[name]
    if isinstance(data, Coded):
        return data.strings()
    return [None if value in (NAT,) or value != value else _one(value, kind) for value in data.tolist()]


def _one(value: Any, kind: str) -> Any:
    if kind == "time":
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)).strftime("%m-%d %H:%M:%S")
    if kind == "date":
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=value)).strftime("%m-%d")
    return value / 100 if kind == "money" else value


def history(ingest: Ingest, *columns: str) -> list[tuple[Any, ...]]:
    """Rows of deal_history in order: known_at, then the columns."""
    table = ingest.tables.deal_history
    listed = rows(table, "deal_id", "known_at", "seq", *columns)
    return [(deal, at, *rest) for deal, at, _, *rest in sorted(listed, key=lambda row: row[:3])]


def refused(ingest: Ingest, name: str) -> dict[str, int]:
    """Refused rows of one table or object, by reason."""
    return {refusal.reason: refusal.rows for refusal in ingest.report[name].refused}
