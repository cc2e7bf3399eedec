"""Stored leads: the score of every open one, and what a refresh told beside them.

Leads belong to no team in the record, so `Leads` is for keys that see every team; the page refuses others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select

from serving.store.tables import LEAD_REFRESHES, LEAD_SCORES
from serving.store.upsert import chunks, upsert

KEPT = 30
"""Refreshes of which counts, queue and funnel are kept."""
OF = LEAD_SCORES.c
LISTED = (
    OF.lead_id, OF.p_convert, OF.value_expected, OF.score, OF.grade, OF.queue_rank, OF.queue_why, OF.name, OF.source,
    OF.status, OF.created_at, OF.last_act, OF.last_act_at,
)  # fmt: skip


@dataclass(frozen=True)
class Lead:
    """What a list shows of a stored lead beside its reasons; None where that is not known."""

    lead_id: str
    p_convert: float
    value_expected: float | None
    score: int
    grade: str
    queue_rank: int | None
    queue_why: str | None
    name: str | None
    source: str | None
    status: str | None
    created_at: int | None
    last_act: str | None
    last_act_at: int | None


@dataclass(frozen=True)
class LeadRefresh:
    """The last refresh of leads. as_of, ran_at: UTC microseconds. told: see `serving.lead_refresh`."""

    as_of: int
    ran_at: int
    told: Mapping[str, Any]


def write_leads(connection: Connection, rows: Sequence[Mapping[str, Any]], refresh: Mapping[str, Any]) -> None:
    """Store the scores of a refresh in place of all before, and what it tells; the oldest of the latter go.

    rows: of ``lead_scores``; refresh: the row of ``lead_refreshes``.
    """
    connection.execute(delete(LEAD_SCORES))
    if rows:
        connection.execute(LEAD_SCORES.insert(), [dict(row) for row in rows])
    upsert(connection, LEAD_REFRESHES, [refresh], ("ran_at", "body"))
    told = select(LEAD_REFRESHES.c.as_of).order_by(LEAD_REFRESHES.c.as_of.desc()).offset(KEPT).limit(1)
    if (last := connection.execute(told).scalar()) is not None:
        connection.execute(delete(LEAD_REFRESHES).where(LEAD_REFRESHES.c.as_of <= last))


def newest_leads(connection: Connection) -> int | None:
    """Return the as-of of the last refresh of leads, UTC microseconds; None where there was none."""
    found = connection.execute(select(func.max(LEAD_REFRESHES.c.as_of))).scalar()
    return None if found is None else int(found)


def last_refresh(connection: Connection) -> LeadRefresh | None:
    """Return the last refresh of leads; None where there was none."""
    asked = select(LEAD_REFRESHES).order_by(LEAD_REFRESHES.c.as_of.desc()).limit(1)
    row = connection.execute(asked).first()
    return None if row is None else LeadRefresh(row.as_of, row.ran_at, json.loads(row.body))


def stored_leads(connection: Connection) -> list[Lead]:
    """Return every open lead, by id."""
    return [Lead(**row) for row in connection.execute(select(*LISTED).order_by(OF.lead_id)).mappings()]


def reasons_of(connection: Connection, leads: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the reasons of some leads, as `score-leads` tells them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for some in chunks(leads):
        asked = select(OF.lead_id, OF.reasons).where(OF.lead_id.in_(some))
        found |= {row.lead_id: json.loads(row.reasons) for row in connection.execute(asked)}
    return found


def model_version(connection: Connection) -> str | None:
    """Return the version of the model that scored the stored leads."""
    return connection.execute(select(OF.model_version).limit(1)).scalar()
