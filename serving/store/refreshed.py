"""What `forecastle refresh` reads from the store and writes to it, within one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from serving.store.repository import StoredDeal, stored_deals
from serving.store.tables import BRIDGES, DEALS, EVENTS, FORECASTS, OUTCOMES, REPS, SCORE_FLAGS, SCORES, TOMBSTONES
from serving.store.upsert import chunks, upsert


@dataclass(frozen=True)
class Known:
    """What the store holds of the deals. facts: deal_id -> digest of what the source told, None: only events tell.

    last_event: deal_id -> number of its last event, 0 where there is none.
    """

    facts: Mapping[str, str | None]
    last_event: Mapping[str, int]


@dataclass(frozen=True)
class Standing:
    """On what a stored score stands: unchanged facts on the same day by the same model give it again."""

    facts_sha256: str | None
    last_event: int
    day: int
    bundle_sha256: str


def known_deals(connection: Connection) -> Known:
    """Return which deals are stored, and with what."""
    rows = connection.execute(select(DEALS.c.deal_id, DEALS.c.facts_sha256, DEALS.c.last_event)).all()
    return Known({row.deal_id: row.facts_sha256 for row in rows}, {row.deal_id: int(row.last_event) for row in rows})


def standings(connection: Connection) -> dict[str, Standing]:
    """Return on what every stored score stands."""
    columns = (SCORES.c.deal_id, SCORES.c.facts_sha256, SCORES.c.last_event, SCORES.c.day, SCORES.c.bundle_sha256)
    return {row.deal_id: Standing(*row[1:]) for row in connection.execute(select(*columns))}


def newest(connection: Connection) -> int | None:
    """Return the latest as-of of the stored scores, UTC microseconds; None where there are none."""
    found = connection.execute(select(func.max(SCORES.c.as_of))).scalar()
    return None if found is None else int(found)


def write_facts(
    connection: Connection,
    rows: Sequence[Mapping[str, Any]],
    whose: Sequence[Mapping[str, Any]],
    reps: Sequence[Mapping[str, Any]],
) -> None:
    """Store what the source tells of deals (deal_id, body, facts_sha256), and whose they are (owner_id, team).

    Names are to show: `whose` has name and account_name too; reps: rep_id, name.
    """
    upsert(connection, DEALS, rows, ("body", "facts_sha256"))
    upsert(connection, DEALS, whose, ("owner_id", "team", "name", "account_name"))
    upsert(connection, REPS, reps, ("name",))


def write_stones(connection: Connection, rows: Sequence[dict[str, Any]], vanished: Sequence[dict[str, Any]]) -> None:
    """Store which deals the source says are gone, and which have newly vanished from it.

    A deal that is back in the source is gone no longer unless it says so; what events told stays.
    """
    told = {row["deal_id"] for row in vanished}
    back = select(DEALS.c.deal_id).where(DEALS.c.facts_sha256.is_not(None))
    gone = delete(TOMBSTONES).where(TOMBSTONES.c.origin == "source", TOMBSTONES.c.deal_id.in_(back))
    connection.execute(gone)
    columns = ("kind", "origin", "known_at")
    upsert(connection, TOMBSTONES, [row | {"origin": "source"} for row in rows if row["deal_id"] not in told], columns)
    upsert(connection, TOMBSTONES, [row | {"origin": "source", "kind": "vanished"} for row in vanished], columns)
    for some in chunks(sorted(told)):
        # Without a digest its facts count as new where it comes back.
        connection.execute(update(DEALS).where(DEALS.c.deal_id.in_(some)).values(facts_sha256=None))


def with_events(connection: Connection) -> Iterable[StoredDeal]:
    """Yield every deal that an event tells of."""
    told = select(EVENTS.c.deal_id)
    return stored_deals(connection, select(DEALS.c.deal_id, DEALS.c.body).where(DEALS.c.deal_id.in_(told)))


def gone_by(connection: Connection, origin: str) -> dict[str, int]:
    """Return from when each deal is gone that its origin (source or event) says so of, UTC microseconds."""
    told = select(TOMBSTONES.c.deal_id, TOMBSTONES.c.known_at).where(TOMBSTONES.c.origin == origin)
    return {row.deal_id: int(row.known_at) for row in connection.execute(told)}


def answers(connection: Connection) -> dict[str, str]:
    """Return the stored answers by deal, JSON."""
    return {row.deal_id: row.answer for row in connection.execute(select(SCORES.c.deal_id, SCORES.c.answer))}


def write_scores(
    connection: Connection, rows: Sequence[Mapping[str, Any]], keep: set[str], shown: Sequence[tuple[str, str]]
) -> None:
    """Store new scores; those of deals not to be kept go. shown: (code, deal_id) of flags within the budget."""
    stored = [row.deal_id for row in connection.execute(select(SCORES.c.deal_id))]
    connection.execute(delete(SCORE_FLAGS))
    for some in chunks([name for name in stored if name not in keep]):
        connection.execute(delete(SCORES).where(SCORES.c.deal_id.in_(some)))
    columns = [column.name for column in SCORES.columns if not column.primary_key]
    upsert(connection, SCORES, rows, columns)
    upsert(
        connection,
        DEALS,
        [{"deal_id": row["deal_id"], "owner_id": row["owner_id"], "team": row["team"]} for row in rows],
        ("owner_id", "team"),
    )
    if shown:
        connection.execute(SCORE_FLAGS.insert(), [{"code": code, "deal_id": deal_id} for code, deal_id in shown])


def write_forecast(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store a forecast; one of the same as-of, window and node is replaced, and bridges to it are forgotten."""
    for as_of in {row["as_of"] for row in rows}:
        connection.execute(delete(BRIDGES).where(BRIDGES.c.as_of == as_of))
    upsert(connection, FORECASTS, rows, [column.name for column in FORECASTS.columns if not column.primary_key])


def write_outcomes(connection: Connection, rows: Sequence[Mapping[str, Any]], deals: Sequence[str]) -> None:
    """Store what came of deals, in place of what was known of them before."""
    for some in chunks(deals):
        connection.execute(delete(OUTCOMES).where(OUTCOMES.c.deal_id.in_(some)))
    if rows:
        connection.execute(OUTCOMES.insert(), [dict(row) for row in rows])
