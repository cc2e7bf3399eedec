"""The step of the store that brings what managers ask: how deals stood at each refresh, and what lists show of them."""

from __future__ import annotations

from sqlalchemy import Connection

_TOLD = ("stage TEXT", "close_date TEXT", "category TEXT", "amount_cents BIGINT")
_COLUMNS = {
    "deals": ("name TEXT", "account_name TEXT"),
    "scores": (
        *_TOLD, "stage_since BIGINT", "pushes INTEGER", "created_at BIGINT", "last_buyer_at BIGINT",
        "next_meeting_at BIGINT", "p_before DOUBLE PRECISION",
    ),
    "forecasts": ("team TEXT",),
}  # fmt: skip
_STATEMENTS = (
    "CREATE TABLE reps (rep_id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL)",
    "CREATE TABLE deal_states (deal_id TEXT NOT NULL, slot SMALLINT NOT NULL, as_of BIGINT NOT NULL, "
    "until BIGINT NOT NULL, state TEXT NOT NULL, cents BIGINT NOT NULL, model_cents BIGINT, p DOUBLE PRECISION, "
    f"p_money DOUBLE PRECISION, worth DOUBLE PRECISION, {', '.join(_TOLD)}, owner_id TEXT, team TEXT, "
    "created_at BIGINT, bundle_sha256 TEXT NOT NULL, PRIMARY KEY (deal_id, slot, as_of))",
    "CREATE INDEX deal_states_until ON deal_states (until, as_of)",
    "CREATE INDEX deal_states_as_of ON deal_states (as_of)",
    "CREATE INDEX ledger_by_as_of ON ledger (as_of)",
    # A rep's team at an old as-of is not known any more: such rows are for keys that see all teams.
    "UPDATE forecasts SET team = node WHERE level = 'team' AND node <> 'no team'",
    "UPDATE scores SET day = -1",  # so that the next refresh scores every deal and stores what lists show
)


def step(connection: Connection) -> None:
    """Bring a store of the version before forward, within the caller's transaction."""
    for table, columns in _COLUMNS.items():
        for column in columns:
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column}")
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement)
