"""Hand-made HubSpot exports of a few rows: CSV from dicts, or JSON as the CRM API returns it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from configs.hubspot import HubSpotMapping
from features.ingest import Ingest
from features.sources.hubspot.source import HubSpot
from tests.sf import Row, rows

MAPPING: dict[str, Any] = {
    "stages": {"order": ["appointmentscheduled", "contractsent"], "won": ["closedwon"], "lost": ["closedlost"]},
    "leads": {"fixed_fields": ["source"]},
}


def portal(**told: Any) -> HubSpotMapping:
    """The tiny mapping, with what it is given besides."""
    return HubSpotMapping.model_validate_json(json.dumps(MAPPING | told))


def t(day: str, clock: str = "09:00:00") -> str:
    """A time as HubSpot writes it: t("01-02") is 2024-01-02T09:00:00.000Z."""
    return f"2024-{day}T{clock}.000Z"


def contact(key: str, at: str = t("01-02"), **columns: Any) -> dict[str, Any]:
    """A contact as a row."""
    return {"hs_object_id": key, "createdate": at, "hs_analytics_source": "ORGANIC_SEARCH", **columns}


def said(key: str, at: str, value: str, name: str = "lifecyclestage", **columns: Any) -> dict[str, Any]:
    """A row of a property history."""
    return {"contactId": key, "property": name, "value": value, "timestamp": at, **columns}


def done(key: str, who: str, at: str, entered: str | None = None, **columns: Any) -> dict[str, Any]:
    """An engagement."""
    return {"hs_object_id": key, "contact_ids": who, "hs_timestamp": at, "hs_createdate": entered or at, **columns}


def record(row: Row, history: dict[str, list[dict[str, str]]] | None = None, **top: Any) -> dict[str, Any]:
    """A row as the record that the API returns; associations and history where they are given."""
    key, who = row["hs_object_id"], row.get("contact_ids")
    made = {"id": key, "properties": {k: v for k, v in row.items() if k != "contact_ids"}, "archived": False, **top}
    if who is not None:
        listed = [{"id": one, "type": "to_contact"} for one in who.split(";") if one]
        made["associations"] = {"contacts": {"results": listed}}
    if history is not None:
        made["propertiesWithHistory"] = history
    return made


def page(*records: Any) -> str:
    """A page of the API as text."""
    return json.dumps({"results": records, "paging": {"next": {"after": "100"}}}) + "\n"


def text_of(listed: Sequence[Row]) -> str:
    """Rows as CSV."""
    out = io.StringIO()
    columns = list(dict.fromkeys(key for row in listed for key in row))
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(dict(row) for row in listed)
    return out.getvalue()


def write(folder: Path, **objects: Sequence[Row] | str) -> Path:
    """Write every object: rows as <object>.csv, text as <object>.json."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = {"contacts_property_history": [said("0", t("01-01"), "lead")], **objects}
    if isinstance(objects["contacts"], str) and "propertiesWithHistory" in objects["contacts"]:
        del objects["contacts_property_history"]
    for name, listed in objects.items():
        text, suffix = (listed, "json") if isinstance(listed, str) else (text_of(listed), "csv")
        (folder / f"{name}.{suffix}").write_text(text, encoding="utf-8")
    return folder


def read(folder: Path, told: dict[str, Any] | None = None, **objects: Sequence[Row] | str) -> Ingest:
    """Write an export, where one is given, and read it; every row of every table must be accounted for."""
    if objects:
        write(folder, **objects)
    ingest = HubSpot(folder, portal(**(told or {})), ZoneInfo("UTC")).read()
    for report in ingest.report.tables:
        assert report.rows_in == report.rows_kept + report.rows_refused
    return ingest


def history(ingest: Ingest, lead: str) -> list[tuple[Any, ...]]:
    """The history of one lead."""
    listed = rows(ingest.tables.lead_history, "lead_id", "known_at", "event")
    return sorted(row[1:] for row in listed if row[0] == lead)


def acts(ingest: Ingest) -> list[tuple[Any, ...]]:
    """What was done about leads: lead, known_at, occurred_at, kind, direction, outcome."""
    columns = ("lead_id", "known_at", "occurred_at", "kind", "direction", "outcome")
    return sorted(rows(ingest.tables.lead_activities, *columns), key=str)


def why(ingest: Ingest, table: str) -> dict[str, int]:
    """Rows of a table that were refused, by reason."""
    return {refusal.reason: refusal.rows for refusal in ingest.report[table].refused}
