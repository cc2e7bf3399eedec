"""Which open deals carry a flag that the alert budget lets through."""

from __future__ import annotations

from sqlalchemy import Connection, select

from serving.principal import Principal
from serving.store.repository import visible
from serving.store.tables import SCORE_FLAGS, SCORES


def flagged(connection: Connection, principal: Principal) -> list[str]:
    """Return the ids of flagged deals that may be seen, in order."""
    asked = select(SCORES.c.deal_id).join(SCORE_FLAGS, SCORE_FLAGS.c.deal_id == SCORES.c.deal_id)
    return sorted(connection.execute(asked.where(visible(principal, SCORES.c.team)).distinct()).scalars())
