"""Writing the ledger: on disk before the answer, soon after it, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from sqlalchemy import Connection

from configs.vocab import LedgerMode
from serving.entries import Asked, Entry, Model
from serving.store.engine import Store
from serving.store.tables import LEDGER

ROOM = 10_000  # rows that may wait in best effort
INSERT = LEDGER.insert()  # one for all: SQLAlchemy then knows it again


def append(connection: Connection, entries: Sequence[Entry], asked: Asked, model: Model) -> None:
    """Append rows within the caller's transaction."""
    common = vars(asked) | vars(model)
    if entries:
        connection.execute(INSERT, [vars(entry) | common for entry in entries])


class Ledger:
    """The ledger of one process.

    waiting: rows not on disk yet. written, dropped: rows, since it started; in durable mode the answer to what is
    dropped is refused. lost: told of rows that are dropped. room: rows that may wait in best effort.
    """

    def __init__(self, store: Store, mode: LedgerMode, lost: Callable[[int], None], room: int = ROOM) -> None:
        self._store = store
        self._mode = mode
        self._lost = lost
        self._room = room
        self._lock = threading.Lock()
        self.waiting = self.written = self.dropped = 0

    def write(self, entries: Sequence[Entry], asked: Asked, model: Model) -> Future[None] | None:
        """Have rows written. Durable: return what to wait for before answering; it raises StoreError. Else None.

        Best effort: rows beyond the room are dropped, and so are those that could not be written; both are counted.
        """
        rows = len(entries)
        if self._mode is LedgerMode.OFF or not rows:
            return None
        with self._lock:
            if self._mode is LedgerMode.BEST_EFFORT and self.waiting + rows > self._room:
                self._drop(rows)
                return None
            self.waiting += rows
        future = self._store.writer.submit(lambda connection: append(connection, entries, asked, model))
        future.add_done_callback(lambda done: self._count(rows, done.exception() is None))
        return future if self._mode is LedgerMode.DURABLE else None

    def wrote(self, rows: int) -> None:
        """Count rows that somebody else appended within their own transaction."""
        with self._lock:
            self.written += rows

    def _count(self, rows: int, written: bool) -> None:
        with self._lock:
            self.waiting -= rows
            if written:
                self.written += rows
            else:
                self._drop(rows)

    def _drop(self, rows: int) -> None:
        """Count rows that are not kept; the lock is held."""
        self.dropped += rows
        self._lost(rows)
