"""What managers say of deals: a probability and a reason, kept beside what the model said. Rows are only ever added."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from serving.store.tables import OVERRIDES

OVERRIDES_APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER overrides_no_update BEFORE UPDATE ON overrides "
        "BEGIN SELECT RAISE(ABORT, 'overrides are append-only'); END",
        "CREATE TRIGGER overrides_no_delete BEFORE DELETE ON overrides "
        "BEGIN SELECT RAISE(ABORT, 'overrides are append-only'); END",
        "CREATE TRIGGER overrides_no_replace BEFORE INSERT ON overrides "
        "WHEN EXISTS (SELECT 1 FROM overrides WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'overrides are append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION overrides_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'overrides are append-only'; END $$",
        "CREATE TRIGGER overrides_no_change BEFORE UPDATE OR DELETE ON overrides "
        "FOR EACH ROW EXECUTE FUNCTION overrides_refuse()",
        "CREATE TRIGGER overrides_no_truncate BEFORE TRUNCATE ON overrides "
        "FOR EACH STATEMENT EXECUTE FUNCTION overrides_refuse()",
    ),
}
"""What makes the overrides append-only, by dialect."""


@dataclass(frozen=True)
class Override:
    """One word of a manager's. made_at, as_of: UTC microseconds. principal, name: of the key it was said with.

    p: None where an earlier word is taken back. model_p: what the model said beside it, as of `as_of`, of a win by
    window_end (ISO day; None: in the end).
    """

    deal_id: str
    made_at: int
    principal: str
    name: str
    p: float | None
    reason: str
    model_p: float
    as_of: int
    window_end: str | None
    model_version: str


def add(connection: Connection, override: Override) -> None:
    """Keep one more."""
    connection.execute(OVERRIDES.insert(), vars(override))


def of_deal(connection: Connection, deal_id: str) -> list[Override]:
    """Return what was said of a deal, the latest first; who asks has been found to see the deal."""
    columns = [column for column in OVERRIDES.columns if column.name != "id"]
    asked = select(*columns).where(OVERRIDES.c.deal_id == deal_id).order_by(OVERRIDES.c.id.desc())
    return [Override(**row) for row in connection.execute(asked).mappings()]
