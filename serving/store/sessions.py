"""Sessions of the pages: who logged in with which key, kept by the digest of a token that only the browser holds.

Instants are UTC microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, or_, select, update

from serving.store.tables import SESSIONS


@dataclass(frozen=True)
class Session:
    """One login. key_hash: of the key as the file of keys has it, so a key made anew under the prefix is another."""

    token_sha256: str
    key_prefix: str
    key_hash: str
    began_at: int
    seen_at: int


def begin(connection: Connection, session: Session, ended: int, unseen: int) -> None:
    """Keep a session; those that began before `ended` or were last seen before `unseen` go."""
    connection.execute(delete(SESSIONS).where(or_(SESSIONS.c.began_at < ended, SESSIONS.c.seen_at < unseen)))
    connection.execute(SESSIONS.insert(), vars(session))


def session_of(connection: Connection, token_sha256: str) -> Session | None:
    """Return the session of a token's digest; None where there is none."""
    row = connection.execute(select(SESSIONS).where(SESSIONS.c.token_sha256 == token_sha256)).mappings().one_or_none()
    return None if row is None else Session(**row)


def seen(connection: Connection, token_sha256: str, now: int) -> None:
    """Keep when a session was last seen."""
    connection.execute(update(SESSIONS).where(SESSIONS.c.token_sha256 == token_sha256).values(seen_at=now))


def end(connection: Connection, token_sha256: str) -> None:
    """End a session."""
    connection.execute(delete(SESSIONS).where(SESSIONS.c.token_sha256 == token_sha256))
