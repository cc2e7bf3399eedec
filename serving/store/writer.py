"""Group commit: one thread takes what waits to be written, commits it together, and only then lets the waiting go.

A commit that is on disk costs a sync of the disk, whatever it holds. Jobs that arrive during one sync share the next,
and so do those that arrive while another process has its turn.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError

from configs.errors import StoreError
from serving.store.faults import FAULTS, store_fault

T = TypeVar("T")
MOST = 512  # jobs of one transaction
_STOP = None
_SICK = (OperationalError, InterfaceError, InternalError, sqlite3.Error)
"""What a database raises that cannot go on: nothing of the transaction can be trusted."""


@dataclass(frozen=True)
class _Job(Generic[T]):
    """What to write, and where its result goes. work: gets a connection inside a transaction."""

    work: Callable[[Connection], T]
    future: Future[T]


class Writer:
    """The only writer of a process. most: jobs of one transaction; 1 commits one by one. turn: waited for before it."""

    def __init__(
        self, engine: Engine, most: int = MOST, turn: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._engine = engine.execution_options(writes=True)
        self._most = most
        self._turn = turn
        self._waiting: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False
        self.commits = 0

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Have `work` run inside a transaction; the future gives its result once that is committed.

        The future raises StoreError where the transaction could not be committed, or what `work` raised: that undoes
        the work of this job alone. `work` may run twice, so it must change nothing but the database.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
                self._thread.start()
            self._waiting.put(_Job(work, future))
        return future

    def close(self) -> None:
        """Write what waits, then stop."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._waiting.put(_STOP)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (job := self._waiting.get()) is not _STOP:
            with self._turn():
                jobs = [job, *self._at_hand(self._most - 1)]
                self._commit([job for job in jobs if job is not _STOP])
            if jobs[-1] is _STOP:
                return

    def _at_hand(self, most: int) -> Iterator[_Job[Any] | None]:
        """Take what waits already, up to the order to stop."""
        for _ in range(most):
            if self._waiting.empty():
                return
            yield (job := self._waiting.get())
            if job is _STOP:
                return

    def _commit(self, jobs: list[_Job[Any]]) -> None:
        """Run all jobs in one transaction and hand out what became of them; nobody waits for a cancelled one.

        Where one is wrong, all are run again: that is rare, and what they did before is undone.
        """
        jobs = [job for job in jobs if job.future.set_running_or_notify_cancel()]
        if not jobs:
            return
        try:
            try:
                done = self._together(jobs)
            except _SICK:
                raise
            except Exception:  # noqa: BLE001 -- one of them is wrong: which, is found out now
                done = self._apart(jobs)
            self.commits += 1
        except FAULTS as error:
            fault = store_fault(error, self._engine)
            done = [fault] * len(jobs)
        except Exception as error:  # noqa: BLE001 -- the thread must live, and every caller must hear
            done = [error] * len(jobs)
        for job, result in zip(jobs, done, strict=True):
            if isinstance(result, Exception):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

    def _together(self, jobs: list[_Job[Any]]) -> list[Any]:
        """Run jobs in one transaction; where one of them raises, none is done."""
        with self._engine.begin() as connection:
            return [job.work(connection) for job in jobs]

    def _apart(self, jobs: list[_Job[Any]]) -> list[Any]:
        """Run jobs in one transaction, each between savepoints, which cost as much as the row of a ledger."""
        with self._engine.begin() as connection:
            return [self._attempt(connection, job.work) for job in jobs]

    def _attempt(self, connection: Connection, work: Callable[[Connection], T]) -> T | Exception:
        """Run one job between savepoints. What is wrong with the job is returned; with the database, raised."""
        try:
            with connection.begin_nested():
                return work(connection)
        except _SICK:
            raise
        except DBAPIError as error:
            return store_fault(error, self._engine)
        except Exception as error:  # noqa: BLE001 -- one caller's error is not the others'
            return error
