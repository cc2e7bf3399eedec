"""What may be read from the store. Every question about deals passes through one filter, `_visible`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, or_, select, true

from serving.principal import Principal
from serving.store.engine import Store
from serving.store.faults import FAULTS, store_fault
from serving.store.tables import DEALS, EVENTS, LEDGER, SCORE_FLAGS, SCORES, TOMBSTONES

SORTS: dict[str, ColumnElement[Any]] = {
    "deal_id": SCORES.c.deal_id,
    "p": SCORES.c.p,
    "amount_expected": func.coalesce(SCORES.c.amount_expected, -1.0),
}
"""What stored scores can be sorted by; with a minus in front the largest comes first."""
READ_AT_ONCE = 1_000


@dataclass(frozen=True)
class StoredEvent:
    """One fact that a CRM pushed. body: as received, parsed."""

    seq: int
    part: str
    known_at: int
    body: dict[str, Any]
    fact_sha256: str


@dataclass(frozen=True)
class Tombstone:
    """That a deal is gone. kind: deleted, merged or vanished (from the source). known_at: UTC microseconds."""

    kind: str
    known_at: int


@dataclass(frozen=True)
class StoredDeal:
    """All that is stored of a deal. body: as the source tells it, None where only events tell of it."""

    deal_id: str
    body: dict[str, Any] | None
    events: tuple[StoredEvent, ...]
    tombstone: Tombstone | None


@dataclass(frozen=True)
class Query:
    """Which stored scores: by flag and team where given, sorted, after a place, so many.

    sort: a name of `SORTS`. after: sort value and deal_id of the last one seen.
    """

    flag: str | None
    team: str | None
    sort: str
    descending: bool
    after: tuple[Any, str] | None
    limit: int


@dataclass(frozen=True)
class StoredScore:
    """The latest score of a deal. place: its value of what the query sorts by. flags: codes within the alert budget."""

    deal_id: str
    as_of: int
    owner_id: str | None
    team: str | None
    model_version: str
    answer: dict[str, Any]
    flags: frozenset[str]
    place: Any


class Repository:
    """Reads of a store. Raises StoreError where it can't be read."""

    def __init__(self, store: Store) -> None:
        self._engine = store.engine

    def deal(self, principal: Principal, deal_id: str) -> StoredDeal | None:
        """Return what is stored of a deal; None where there is nothing, or nothing that may be seen."""
        mine = select(DEALS.c.deal_id, DEALS.c.body).where(
            DEALS.c.deal_id == deal_id, _visible(principal, DEALS.c.team)
        )
        try:
            with self._engine.begin() as connection:
                return next(iter(stored_deals(connection, mine)), None)
        except FAULTS as error:
            raise store_fault(error, self._engine) from error

    def scores(self, principal: Principal, query: Query) -> list[StoredScore]:
        """Return the stored scores that a query asks for, in its order."""
        place = SORTS[query.sort]
        wanted = [_visible(principal, SCORES.c.team)]
        if query.team is not None:
            wanted.append(SCORES.c.team == query.team)
        if query.flag is not None:
            flagged = select(SCORE_FLAGS.c.deal_id).where(SCORE_FLAGS.c.code == query.flag)
            wanted.append(SCORES.c.deal_id.in_(flagged))
        if query.after is not None:
            wanted.append(_beyond(place, query.after, query.descending))
        order = [one.desc() if query.descending else one for one in (place, SCORES.c.deal_id)]
        asked = select(SCORES, place.label("place")).where(*wanted).order_by(*order).limit(query.limit)
        try:
            with self._engine.begin() as connection:
                rows = connection.execute(asked).mappings().all()
                shown = _shown(connection, [row["deal_id"] for row in rows])
        except FAULTS as error:
            raise store_fault(error, self._engine) from error
        return [
            StoredScore(
                row["deal_id"],
                row["as_of"],
                row["owner_id"],
                row["team"],
                row["model_version"],
                json.loads(row["answer"]),
                shown.get(row["deal_id"], frozenset()),
                row["place"],
            )
            for row in rows
        ]

    def ledger(self, *, request: str | None, deal: str | None, since: int | None) -> Iterator[Sequence[Any]]:
        """Yield rows of the ledger, some at a time, in the order written; only the command line asks for them."""
        wanted = [
            column == value
            for column, value in ((LEDGER.c.request_id, request), (LEDGER.c.deal_id, deal))
            if value is not None
        ]
        if since is not None:
            wanted.append(LEDGER.c.asked_at >= since)
        last = 0
        while True:
            asked = select(LEDGER).where(LEDGER.c.id > last, *wanted).order_by(LEDGER.c.id).limit(READ_AT_ONCE)
            try:
                with self._engine.begin() as connection:
                    rows = connection.execute(asked).all()
            except FAULTS as error:
                raise store_fault(error, self._engine) from error
            if not rows:
                return
            yield rows
            last = rows[-1].id


def stored_deals(connection: Connection, asked: Select[Any]) -> Iterator[StoredDeal]:
    """Yield the deals of a query for (deal_id, body), each with its events in the order received and its tombstone."""
    bodies = {row.deal_id: row.body for row in connection.execute(asked)}
    for some in chunks(list(bodies)):
        events: dict[str, list[StoredEvent]] = {name: [] for name in some}
        for row in connection.execute(select(EVENTS).where(EVENTS.c.deal_id.in_(some)).order_by(EVENTS.c.seq)):
            events[row.deal_id].append(
                StoredEvent(row.seq, row.part, row.known_at, json.loads(row.body), row.fact_sha256)
            )
        stones = {
            row.deal_id: Tombstone(row.kind, row.known_at)
            for row in connection.execute(select(TOMBSTONES).where(TOMBSTONES.c.deal_id.in_(some)))
        }
        for name in some:
            body = None if bodies[name] is None else json.loads(bodies[name])
            yield StoredDeal(name, body, tuple(events[name]), stones.get(name))


def chunks(names: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """Yield names some at a time: a statement takes only so many values."""
    for start in range(0, len(names), size):
        yield names[start : start + size]


def _visible(principal: Principal, team: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition under which a row may be seen. Deny by default: a row of no team is for everyone's keys."""
    if principal.teams is None:
        return true()
    return team.in_(sorted(principal.teams)) if principal.teams else false()


def _beyond(place: ColumnElement[Any], after: tuple[Any, str], descending: bool) -> ColumnElement[bool]:
    """Return the condition of coming after a place in the order of (place, deal_id)."""
    value, name = after
    further = place < value if descending else place > value
    later = SCORES.c.deal_id < name if descending else SCORES.c.deal_id > name
    return or_(further, and_(place == value, later))


def _shown(connection: Connection, names: Sequence[str]) -> dict[str, frozenset[str]]:
    shown: dict[str, set[str]] = {}
    for some in chunks(names):
        for row in connection.execute(select(SCORE_FLAGS).where(SCORE_FLAGS.c.deal_id.in_(some))):
            shown.setdefault(row.deal_id, set()).add(row.code)
    return {name: frozenset(codes) for name, codes in shown.items()}
