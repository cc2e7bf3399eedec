"""What went wrong in a database, as an error of ours."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from configs.errors import StoreError, StoreFullError

NO_SPACE = "53100"  # PostgreSQL's disk_full
LITTLE = 65_536  # bytes free on a disk on which nothing can be written any more


FAULTS = (DBAPIError, sqlite3.Error)
"""What a database raises; the latter where a connection could not even be prepared."""


def store_fault(error: DBAPIError | sqlite3.Error, engine: Engine) -> StoreError:
    """Return the error of ours that tells it. The database's own words may hold data: only its type is named."""
    original = error.orig if isinstance(error, DBAPIError) else error
    kind = type(original).__name__
    if _full(original, engine):
        return StoreFullError(f"{where(engine)}: no space left ({kind}); free some, and it goes on by itself")
    return StoreError(f"{where(engine)}: {kind}; check its rights, its space, and that the database runs")


def where(engine: Engine) -> str:
    """Name a store without its password."""
    return engine.url.render_as_string(hide_password=True)


def _full(original: BaseException | None, engine: Engine) -> bool:
    if getattr(original, "sqlstate", None) == NO_SPACE:
        return True
    code = getattr(original, "sqlite_errorcode", None)
    if code is None or engine.url.database is None:
        return False
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return True
    # Where the index of the write-ahead log can't grow SQLite speaks of an I/O error, or can't open it.
    trouble = code & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    return trouble and shutil.disk_usage(Path(engine.url.database).parent).free < LITTLE
