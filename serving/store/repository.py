"""What may be read from the store. Every question about deals and forecasts passes through one filter, `visible`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, false, func, select, true

from serving.principal import Principal
from serving.store.deal_list import SORTS, DealFacts, Query, facts_of, names_of
from serving.store.engine import Store
from serving.store.faults import FAULTS, store_fault
from serving.store.states import State, history_of
from serving.store.tables import DEAL_STATES, DEALS, EVENTS, LEDGER, OUTCOMES, SCORE_FLAGS, SCORES, TOMBSTONES
from serving.store.upsert import chunks

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
class StoredScore:
    """The latest score of a deal. place: its value of what the query sorts by. flags: codes within the alert budget.

    change: of the probability within a week, None where `DealFacts.p_before` is.
    """

    deal_id: str
    as_of: int
    owner_id: str | None
    team: str | None
    model_version: str
    answer: dict[str, Any]
    flags: frozenset[str]
    place: Any
    facts: DealFacts
    change: float | None


@contextmanager
def reading(store: Store) -> Iterator[Connection]:
    """Open a read of the store as it is at one instant. Raises StoreError where it can't be read."""
    try:
        with store.engine.begin() as connection:
            yield connection
    except FAULTS as error:
        raise store_fault(error, store.engine) from error


class Repository:
    """Reads of a store. Raises StoreError where it can't be read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def deal(self, principal: Principal, deal_id: str) -> StoredDeal | None:
        """Return what is stored of a deal; None where there is nothing, or nothing that may be seen."""
        mine = select(DEALS.c.deal_id, DEALS.c.body).where(DEALS.c.deal_id == deal_id, visible(principal, DEALS.c.team))
        with reading(self._store) as connection:
            return next(iter(stored_deals(connection, mine)), None)

    def scores(self, principal: Principal, query: Query) -> list[StoredScore]:
        """Return the stored scores that a query asks for, in its order."""
        place = SORTS[query.sort].label("place")
        chosen = select(SCORES.c.deal_id, place).where(visible(principal, SCORES.c.team), *query.conditions())
        asked = chosen.order_by(*query.order()).limit(query.limit)
        with reading(self._store) as connection:
            places = {row.deal_id: row.place for row in connection.execute(asked)}
            return _listed(connection, places)

    def score(self, principal: Principal, deal_id: str) -> StoredScore | None:
        """Return the latest score of an open deal; None where there is none, or none that may be seen."""
        mine = select(SCORES.c.deal_id).where(SCORES.c.deal_id == deal_id, visible(principal, SCORES.c.team))
        with reading(self._store) as connection:
            return next(iter(_listed(connection, dict.fromkeys(connection.execute(mine).scalars()))), None)

    def flagged(self, principal: Principal, most: int) -> list[StoredScore]:
        """Return open deals with flags within the alert budget: of each owner the `most` largest, by owner and size."""
        of = SCORES.c
        size = func.coalesce(of.amount_cents, -1)
        place = func.row_number().over(partition_by=of.owner_id, order_by=(size.desc(), of.deal_id)).label("place")
        up = of.deal_id.in_(select(SCORE_FLAGS.c.deal_id))
        mine = select(of.deal_id, of.owner_id, place).where(visible(principal, of.team), up).subquery()
        asked = select(mine).where(mine.c.place <= most).order_by(mine.c.owner_id, mine.c.place)
        with reading(self._store) as connection:
            return _listed(connection, {row.deal_id: row.place for row in connection.execute(asked)})

    def outcome(self, principal: Principal, deal_id: str) -> tuple[str, int] | None:
        """Return (won or lost, closed_at) of a deal's last close; None where none may be seen."""
        of = OUTCOMES.c
        asked = select(of.outcome, of.closed_at).join(DEALS, DEALS.c.deal_id == of.deal_id)
        mine = asked.where(of.deal_id == deal_id, visible(principal, DEALS.c.team)).order_by(of.closed_at.desc())
        with reading(self._store) as connection:
            row = connection.execute(mine).first()
        return None if row is None else (row.outcome, row.closed_at)

    def count(self, principal: Principal, query: Query) -> int:
        """Return how many stored scores a query asks for, from its place on, whatever its limit."""
        asked = select(func.count()).select_from(SCORES)
        with reading(self._store) as connection:
            return int(
                connection.execute(asked.where(visible(principal, SCORES.c.team), *query.conditions())).scalar_one()
            )

    def score_history(self, principal: Principal, deal_id: str) -> list[tuple[int, State]]:
        """Return how a deal stood at each refresh that saw it otherwise than before, oldest first; while it was theirs.

        A deal that may not be seen now has none.
        """
        if self.deal(principal, deal_id) is None:
            return []
        with reading(self._store) as connection:
            return history_of(connection, deal_id, visible(principal, DEAL_STATES.c.team))

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
            with reading(self._store) as connection:
                rows = connection.execute(asked).all()
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


def visible(principal: Principal, team: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition under which a row may be seen. Deny by default: a row of no team is for everyone's keys."""
    if principal.teams is None:
        return true()
    return team.in_(sorted(principal.teams)) if principal.teams else false()


def _listed(connection: Connection, places: Mapping[str, Any]) -> list[StoredScore]:
    """Return stored scores in the order of `places`: deal -> its value of what is sorted by."""
    rows: dict[str, Any] = {}
    for some in chunks(list(places)):
        found = connection.execute(select(SCORES).where(SCORES.c.deal_id.in_(some))).mappings()
        rows |= {row["deal_id"]: row for row in found}
    shown = _shown(connection, list(places))
    names = names_of(connection, list(places), [row["owner_id"] for row in rows.values()])
    return [
        StoredScore(
            **{column: row[column] for column in ("deal_id", "as_of", "owner_id", "team", "model_version")},
            answer=json.loads(row["answer"]),
            flags=shown.get(row["deal_id"], frozenset()),
            place=place,
            facts=facts_of(row, names),
            change=None if row["p_before"] is None else row["p"] - row["p_before"],
        )
        for row, place in ((rows[name], place) for name, place in places.items())
    ]


def _shown(connection: Connection, names: Sequence[str]) -> dict[str, frozenset[str]]:
    shown: dict[str, set[str]] = {}
    for some in chunks(names):
        for row in connection.execute(select(SCORE_FLAGS).where(SCORE_FLAGS.c.deal_id.in_(some))):
            shown.setdefault(row.deal_id, set()).add(row.code)
    return {name: frozenset(codes) for name, codes in shown.items()}
