"""The step of the store that brings the scores of leads, and what the page of leads shows beside them."""

from __future__ import annotations

from sqlalchemy import Connection


def step(connection: Connection) -> None:
    """Bring a store of the version before forward, within the caller's transaction."""
    double = "DOUBLE PRECISION" if connection.dialect.name == "postgresql" else "DOUBLE"
    for statement in (
        "CREATE TABLE lead_scores (lead_id TEXT NOT NULL PRIMARY KEY, as_of BIGINT NOT NULL, within_days INTEGER NOT "
        f"NULL, p_convert {double} NOT NULL, p_won {double}, amount_expected {double}, value_expected {double}, "
        "score INTEGER NOT NULL, grade TEXT NOT NULL, queue_rank INTEGER, queue_why TEXT, reasons TEXT NOT NULL, "
        "model_version TEXT NOT NULL, name TEXT, source TEXT, status TEXT, created_at BIGINT, last_act TEXT, "
        "last_act_at BIGINT)",
        "CREATE TABLE lead_refreshes (as_of BIGINT NOT NULL PRIMARY KEY, ran_at BIGINT NOT NULL, body TEXT NOT NULL)",
    ):
        connection.exec_driver_sql(statement)
