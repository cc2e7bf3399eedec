"""The step of the store that brings what the pages need: sessions, overrides, and narrow indexes to list deals from."""

from __future__ import annotations

from sqlalchemy import Connection

from serving.store.overrides import OVERRIDES_APPEND_ONLY

_ROW_ID = {"sqlite": "INTEGER NOT NULL PRIMARY KEY", "postgresql": "BIGSERIAL PRIMARY KEY"}
_STATEMENTS = (
    "CREATE TABLE sessions (token_sha256 TEXT NOT NULL PRIMARY KEY, key_prefix TEXT NOT NULL, key_hash TEXT NOT NULL, "
    "began_at BIGINT NOT NULL, seen_at BIGINT NOT NULL)",
    "CREATE TABLE overrides (id {row_id}, deal_id TEXT NOT NULL, made_at BIGINT NOT NULL, principal TEXT NOT NULL, "
    "name TEXT NOT NULL, p DOUBLE PRECISION, reason TEXT NOT NULL, model_p DOUBLE PRECISION NOT NULL, "
    "as_of BIGINT NOT NULL, window_end TEXT, model_version TEXT NOT NULL)",
    "CREATE INDEX overrides_of_deal ON overrides (deal_id, id)",
    "CREATE INDEX scores_listed ON scores (team, owner_id, stage, category, close_date, amount_cents, p, p_before, "
    "amount_expected, stage_since, pushes, last_buyer_at, as_of, deal_id)",
    "CREATE INDEX deals_named ON deals (deal_id, name, account_name)",
)


def step(connection: Connection) -> None:
    """Bring a store of the version before forward, within the caller's transaction."""
    dialect = connection.dialect.name
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement.format(row_id=_ROW_ID[dialect]))
    for statement in OVERRIDES_APPEND_ONLY[dialect]:
        connection.exec_driver_sql(statement)
