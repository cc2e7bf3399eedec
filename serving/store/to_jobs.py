"""The step of the store that brings jobs."""

from __future__ import annotations

from sqlalchemy import Connection


def step(connection: Connection) -> None:
    """Bring a store of the version before forward, within the caller's transaction."""
    blob = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    for statement in (
        "CREATE TABLE jobs (job_id TEXT NOT NULL, principal TEXT NOT NULL, state TEXT NOT NULL, as_of BIGINT NOT NULL, "
        "explain SMALLINT NOT NULL, in_sample SMALLINT NOT NULL, deals INTEGER NOT NULL, done INTEGER NOT NULL, "
        "size BIGINT NOT NULL, received_at BIGINT NOT NULL, finished_at BIGINT, expires_at BIGINT NOT NULL, "
        "worker TEXT, leased_until BIGINT NOT NULL, attempts INTEGER NOT NULL, problem TEXT, PRIMARY KEY (job_id))",
        "CREATE INDEX jobs_by_state ON jobs (state, received_at)",
        f"CREATE TABLE job_chunks (job_id TEXT NOT NULL, first INTEGER NOT NULL, deals {blob}, result {blob}, "
        "PRIMARY KEY (job_id, first))",
    ):
        connection.exec_driver_sql(statement)
