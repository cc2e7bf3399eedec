"""What may be chosen from in the list of open deals, and what all that is chosen adds up to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from serving.principal import Principal
from serving.store.deal_list import Query
from serving.store.repository import visible
from serving.store.tables import REPS, SCORE_FLAGS, SCORES

OF = SCORES.c


@dataclass(frozen=True)
class Total:
    """How many deals, what they amount to in cents, and the latest as-of of any of them; None where there is none."""

    deals: int
    amount_cents: int
    as_of: int | None


@dataclass(frozen=True)
class Choices:
    """What may be chosen from, in order. owners: (id, name or id)."""

    teams: tuple[str, ...]
    owners: tuple[tuple[str, str], ...]
    stages: tuple[str, ...]
    categories: tuple[str, ...]
    flags: tuple[str, ...]


def total(connection: Connection, principal: Principal, query: Query) -> Total:
    """Add up the deals that are asked for, all pages together."""
    wanted = (visible(principal, OF.team), *replace(query, after=None).conditions())
    columns = (func.count().label("deals"), func.sum(OF.amount_cents).label("cents"), func.max(OF.as_of).label("at"))
    row = connection.execute(select(*columns).where(*wanted)).one()
    return Total(row.deals, int(row.cents or 0), row.at)


def choices(connection: Connection, principal: Principal) -> Choices:
    """Return what the open deals that may be seen can be chosen by."""
    mine = visible(principal, OF.team)
    # One look at the index for all of them: it holds a row a deal, and few are told apart by these four.
    told = connection.execute(select(OF.team, OF.owner_id, OF.stage, OF.category).where(mine).distinct()).all()
    teams, owners, stages, categories = ({row[k] for row in told} - {None} for k in range(4))
    named = {row.rep_id: row.name for row in connection.execute(select(REPS))}
    raised = select(SCORE_FLAGS.c.code).join(SCORES, OF.deal_id == SCORE_FLAGS.c.deal_id).where(mine).distinct()
    return Choices(
        tuple(sorted(teams)),
        tuple(sorted(((owner, named.get(owner, owner)) for owner in owners), key=lambda one: one[1].lower())),
        tuple(sorted(stages)),
        tuple(sorted(categories)),
        tuple(sorted(connection.execute(raised).scalars())),
    )
