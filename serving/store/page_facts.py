"""What refreshes left for the pages: figures of nodes that a key may see, and what was read from the source."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select

from features.nodes import COMPANY, REP, TEAM
from serving.principal import Principal
from serving.store.repository import visible
from serving.store.tables import DEALS, EVENTS, LEDGER, NODE_FACTS, REFRESHES, REPS, SCORES, VERSION
from serving.store.upsert import upsert

KEPT = 30
"""As-ofs of which figures are kept: nightly ones make a month; `forecastle metrics` tells those of any past day."""
OF = NODE_FACTS.c


@dataclass(frozen=True)
class NodeFacts:
    """Figures of a node. name: to show; team: whose keys may see it; told: as `models.pipeline_rows` names them."""

    as_of: int
    level: str
    node: str
    name: str
    team: str | None
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Read:
    """A refresh. as_of, ran_at: UTC microseconds. told: the account of the source."""

    as_of: int
    ran_at: int
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """How full the store is. kind: of the database. events: all that were pushed; later: since a number of one.

    ledger: entries by their numbers; first_at, last_at: when the first and the last was asked for, None without any.
    """

    kind: str
    version: int
    deals: int
    scores: int
    events: int
    later: int
    ledger: int
    first_at: int | None
    last_at: int | None


def write_page_facts(connection: Connection, nodes: Sequence[Mapping[str, Any]], read: Mapping[str, Any]) -> None:
    """Store the figures of an as-of, in place of any of that very one, and let the oldest as-ofs go.

    nodes: rows of ``node_facts``; read: the row of ``refreshes``.
    """
    connection.execute(delete(NODE_FACTS).where(OF.as_of == read["as_of"]))
    if nodes:
        connection.execute(NODE_FACTS.insert(), [dict(row) for row in nodes])
    upsert(connection, REFRESHES, [read], ("ran_at", "body"))
    told = connection.execute(select(REFRESHES.c.as_of).order_by(REFRESHES.c.as_of.desc()).offset(KEPT).limit(1))
    if (last := told.scalar()) is not None:
        for table in (NODE_FACTS, REFRESHES):
            connection.execute(delete(table).where(table.c.as_of <= last))


def nodes_of(connection: Connection, principal: Principal) -> list[NodeFacts]:
    """Return the figures of the last refresh that a key may see: the company's, teams by name, reps by team and name.

    Reps of no team come last.
    """
    newest = select(func.max(OF.as_of)).scalar_subquery()
    asked = select(NODE_FACTS).where(OF.as_of == newest, visible(principal, OF.team))
    named = {row.rep_id: row.name for row in connection.execute(select(REPS))}
    found = [
        NodeFacts(
            row.as_of,
            row.level,
            row.node,
            named.get(row.node, row.node) if row.level == REP else row.node,
            row.team,
            json.loads(row.body),
        )
        for row in connection.execute(asked)
    ]
    rank = {COMPANY: 0, TEAM: 1}
    return sorted(
        found, key=lambda one: (rank.get(one.level, 2), one.team is None, one.team or "", one.name.casefold(), one.node)
    )


def refreshes(connection: Connection) -> list[Read]:
    """Return the refreshes that are kept, the newest first. They tell of the whole company: see who asks."""
    asked = select(REFRESHES).order_by(REFRESHES.c.as_of.desc())
    return [Read(row.as_of, row.ran_at, json.loads(row.body)) for row in connection.execute(asked)]


def kept(connection: Connection, event: int) -> Kept:
    """Return how full the store is. event: number of the last event that counts as seen."""

    def counted(table: Table) -> int:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())

    def edge(table: Table, number: str, place: Callable[[Any], Any]) -> Any:
        return connection.execute(select(place(table.c[number]))).scalar()

    first, last = (edge(LEDGER, "id", place) for place in (func.min, func.max))
    edges = connection.execute(select(LEDGER.c.id, LEDGER.c.asked_at).where(LEDGER.c.id.in_([first, last])))
    asked = {row.id: row.asked_at for row in edges}
    since = select(func.count()).select_from(EVENTS).where(EVENTS.c.seq > event)
    return Kept(
        kind=connection.dialect.name,
        version=int(connection.execute(select(VERSION.c.version)).scalar_one()),
        deals=counted(DEALS),
        scores=counted(SCORES),
        events=int(edge(EVENTS, "seq", func.max) or 0),
        later=int(connection.execute(since).scalar_one()),
        ledger=int(last or 0),
        first_at=asked.get(first),
        last_at=asked.get(last),
    )
