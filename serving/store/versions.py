"""The version of a store's tables: a new store gets the newest, an older one is brought forward, a newer is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, inspect, select, text, update

from configs.errors import StoreVersionError
from serving.store import to_calls, to_deal_states, to_jobs, to_leads, to_page_facts, to_pages
from serving.store.overrides import OVERRIDES_APPEND_ONLY
from serving.store.tables import APPEND_ONLY, LEDGER_OUTCOMES_SQL, METADATA, VERSION

Step = Callable[[Connection], None]
STEPS: Mapping[int, Step] = {
    1: to_jobs.step,
    2: to_deal_states.step,
    3: to_pages.step,
    4: to_calls.step,
    5: to_page_facts.step,
    6: to_leads.step,
}
"""From each version to the one after. A step says itself what it changes: `tables` describes the newest alone."""
LATEST = 7
_LOCK = 0x666F7265  # of PostgreSQL, so that two workers do not both make the tables; SQLite's writers queue anyway


def bring_forward(connection: Connection, steps: Mapping[int, Step] = STEPS, latest: int = LATEST) -> None:
    """Make or migrate the tables, within the caller's transaction. Raises StoreVersionError where they are newer."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if not inspect(connection).has_table(VERSION.name):
        METADATA.create_all(connection)
        for statement in (LEDGER_OUTCOMES_SQL, *APPEND_ONLY[dialect], *OVERRIDES_APPEND_ONLY[dialect]):
            connection.exec_driver_sql(statement)
        connection.execute(VERSION.insert(), {"version": latest})
        return
    found = int(connection.execute(select(VERSION.c.version)).scalar_one())
    if found > latest:
        raise StoreVersionError(
            f"the store has version {found}, this version of forecastle knows {latest} at most: install the newer one"
        )
    for version in range(found, latest):
        steps[version](connection)
    if found < latest:
        connection.execute(update(VERSION).values(version=latest))
