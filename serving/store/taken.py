"""Writing the events that a CRM pushes, within one transaction: each counts once, whatever is sent twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, text

from configs.errors import ConflictError
from features.periods import DAY
from serving.events import Fact
from serving.store.tables import DEALS, EVENTS, REPLIES, SCORE_FLAGS, SCORES, TOMBSTONES
from serving.store.upsert import chunks, upsert

STORED, DUPLICATE, REUSED = "stored", "duplicate", "reused"
KEPT = DAY  # a reply is given again for so long
_LOCK = 0x65766E74  # of PostgreSQL: events are numbered in the order in which they can be seen


@dataclass(frozen=True)
class Key:
    """The Idempotency-Key of a request, whose it is, and the digest of what was sent with it."""

    principal: str
    key: str
    body_sha256: str


def reply_before(connection: Connection, key: Key) -> bytes | None:
    """Return the answer that a key got before, None where it is new. Raises ConflictError where it came with others."""
    found = connection.execute(
        select(REPLIES).where(REPLIES.c.principal == key.principal, REPLIES.c.key == key.key)
    ).one_or_none()
    if found is None:
        return None
    if found.body_sha256 != key.body_sha256:
        raise ConflictError("this Idempotency-Key came before with another body: use a new key for a new request")
    return bytes(found.answer)


def keep_reply(connection: Connection, key: Key, answer: bytes, now: int) -> None:
    """Keep an answer for the same key to come; those of more than a day ago are forgotten. now: UTC microseconds."""
    connection.execute(delete(REPLIES).where(REPLIES.c.received_at < now - KEPT))
    connection.execute(REPLIES.insert(), vars(key) | {"received_at": now, "answer": answer})


def take_events(connection: Connection, facts: Sequence[Fact], principal: str, now: int) -> list[str]:
    """Store the facts that are new, and say of each whether it is `STORED`, `DUPLICATE` or `REUSED`.

    REUSED: its event_id came before with something else; nothing is stored of it. now: UTC microseconds.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    known = _known(connection, [fact.event_id for fact in facts])
    said: list[str] = []
    new: list[Fact] = []
    for fact in facts:
        before = known.get(fact.event_id)
        if before is None:
            known[fact.event_id] = fact.body_sha256
            new.append(fact)
        said.append(STORED if before is None else DUPLICATE if before == fact.body_sha256 else REUSED)
    if new:
        _insert(connection, new, principal, now)
    return said


def _known(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """Return the digests of events that came before, by event_id."""
    known: dict[str, str] = {}
    for some in chunks(names):
        rows = connection.execute(select(EVENTS.c.event_id, EVENTS.c.body_sha256).where(EVENTS.c.event_id.in_(some)))
        known |= {row.event_id: row.body_sha256 for row in rows}
    return known


def _insert(connection: Connection, facts: Sequence[Fact], principal: str, now: int) -> None:
    names = ("event_id", "deal_id", "part", "known_at", "body", "body_sha256", "fact_sha256")
    rows = [{name: getattr(fact, name) for name in names} for fact in facts]
    connection.execute(EVENTS.insert(), [row | {"principal": principal, "received_at": now} for row in rows])
    last = int(connection.execute(select(func.max(EVENTS.c.seq))).scalar_one())
    touched = [{"deal_id": name, "last_event": last} for name in dict.fromkeys(fact.deal_id for fact in facts)]
    upsert(connection, DEALS, touched, ("last_event",))
    stones: Mapping[str, dict[str, Any]] = {
        fact.deal_id: {"deal_id": fact.deal_id, "kind": fact.ends, "origin": "event", "known_at": fact.known_at}
        for fact in facts
        if fact.ends is not None
    }
    if stones:
        upsert(connection, TOMBSTONES, list(stones.values()), ("kind", "origin", "known_at"))
        for some in chunks(list(stones)):
            connection.execute(delete(SCORE_FLAGS).where(SCORE_FLAGS.c.deal_id.in_(some)))
            connection.execute(delete(SCORES).where(SCORES.c.deal_id.in_(some)))
