"""Working off jobs: one thread a worker, a chunk at a time, and requests go first.

Each chunk is scored by the model that serves just then, with the code of the scoring route, and its page names that
model: after a swap no worker need keep the old one, and one that takes a job over may never have had it.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from configs.errors import Fault, ForecastleError, InternalError, LimitExceededError, StateError
from configs.schema import Serving
from configs.vocab import LedgerMode
from serving.answers import check_as_of, identity, iso, judge, model_of, read_as_of, results_of, to_json
from serving.api import Api
from serving.entries import Asked
from serving.frame import Log, log_line, places
from serving.intake import Loaded
from serving.problems import problem
from serving.schemas import read_request
from serving.scoring import reasons_off
from serving.store.jobs import Chunk, Held, JobBook, NewJob, end_job, keep_chunk, purge, renew, take_up

ROUTE = "/v1/jobs/score"
CHUNK = 100  # deals that are scored, committed and paged together
SECOND = 1_000_000  # in microseconds
ATTEMPTS = 5  # a job that its worker did not survive so often in a row is not tried again
BEATS = 30  # for so many thirds of a lease a chunk is waited for
PATIENCE_S, NAP_S = 1.0, 0.01  # between chunks requests go first, for so long


def new_job(body: bytes, principal: str, now: int, loaded: Loaded, limits: Serving) -> tuple[NewJob, tuple[Chunk, ...]]:
    """Return a job of a body of the scoring route. now: UTC microseconds; the as_of `now` is that.

    Raises BadJsonError, InvalidRequestError, LimitExceededError or InSampleError for the request as a whole.
    """
    request = read_request(body)
    as_of = read_as_of(request.as_of, now, loaded.bundle, request.in_sample)
    most, count = limits.jobs.max_deals, len(request.deals)
    if count > most:
        got, expected = f"{count:,} deals in a job", f"at most {most:,}"
        raise LimitExceededError(faults=[Fault("too_many_deals", "", got, expected, "make several jobs", "/deals")])
    chunks = tuple(Chunk(k, pack(request.deals[k : k + CHUNK])) for k in range(0, count, CHUNK))
    expires_at = now + kept_for(limits)
    job_id = secrets.token_hex(16)
    job = NewJob(job_id, principal, as_of, request.explain, request.in_sample, count, len(body), now, expires_at)
    return job, chunks


def pack(deals: Sequence[object]) -> bytes:
    """Return deals as they were parsed, with every bit of every number."""
    return zlib.compress(json.dumps(deals).encode(), 1)


def unpacked(data: bytes) -> Any:
    """Return what was packed."""
    return json.loads(zlib.decompress(data))


def kept_for(limits: Serving) -> int:
    """Return how long a job is kept, in microseconds."""
    return round(limits.jobs.keep_hours * 3_600 * SECOND)


class JobRunner:
    """Works off the jobs of the store. start: in a thread of its own; worker: what its leases are known by."""

    def __init__(self, api: Api, log: Log = log_line) -> None:
        self._api, self._log = api, log
        self._worker = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._lease = round(api.limits.jobs.lease_seconds * SECOND)
        self._trouble = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the chunk that is under way; another worker goes on with the job at once."""
        self._stopped.set()
        self._api.job_came.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> bool:
        """Delete what is over, take up one job, and work on it as long as it is held; return whether there was one."""
        if self._api.loaded is None:
            return False
        store, now = self._api.store(), self._api.now()
        if not JobBook(store).to_do(now):
            return False
        store.writer.submit(partial(purge, now=now)).result()
        taken = partial(take_up, worker=self._worker, now=now, until=now + self._lease)
        held = store.writer.submit(taken).result()
        if held is None:
            return False
        self._log({"event": "job_taken", "worker": os.getpid(), "job": held.job_id, "attempt": held.attempts})
        self._work(held)
        return True

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                more = self.look()
                self._trouble = ""
            except Exception as error:  # noqa: BLE001 -- the thread must go on looking, whatever one job ran into
                self._complain(error)
                more = False
            if not more:
                self._api.job_came.wait(self._api.limits.watch_seconds)
                self._api.job_came.clear()

    def _complain(self, error: Exception) -> None:
        """Log what kept it from looking, once until something else does: a store may be down for hours."""
        trouble = error.code if isinstance(error, ForecastleError) else type(error).__name__
        if trouble != self._trouble:
            self._log({"event": "jobs_failed", "worker": os.getpid(), "code": trouble})
        self._trouble = trouble

    def _work(self, held: Held) -> None:
        """Score chunk after chunk. Trouble with the store leaves the job to whoever finds its lease run out."""
        book = JobBook(self._api.store())
        try:
            if held.attempts > ATTEMPTS:
                raise InternalError
            while not self._stopped.is_set():
                chunk = book.next_chunk(held)
                if chunk is None:
                    self._end(held, None)
                    return
                with self._alive(held):
                    if not self._score(held, chunk):
                        self._log({"event": "job_lost", "worker": os.getpid(), "job": held.job_id})
                        return
                self._let_others()
            self._api.store().writer.submit(partial(renew, held=held, until=0)).result()
        except StateError:
            raise
        except Exception as error:  # noqa: BLE001 -- the job must end, and whoever asked must hear why
            told = error if isinstance(error, ForecastleError) else InternalError()
            self._end(held, told, {"type": type(error).__name__, "at": places(error)})

    def _score(self, held: Held, chunk: Chunk) -> bool:
        """Score a chunk and keep what came of it; False where another worker has the job."""
        api, loaded = self._api, self._api.model()
        check_as_of(held.as_of, loaded.bundle, held.in_sample)
        started, deals = api.started(), unpacked(chunk.deals)
        judged = judge(deals, held.as_of, held.explain, loaded, api.limits, chunk.first)
        results = results_of(deals, judged, loaded, held.explain, chunk.first)
        page = zlib.compress(to_json(identity(loaded) | {"as_of": iso(held.as_of), "results": results}), 1)
        took = round((time.perf_counter() - started.counter) * 1000, 3)
        asked = Asked(held.job_id, held.principal, ROUTE, started.asked_at, took)
        entries = () if api.limits.ledger is LedgerMode.OFF else judged.entries
        rows = (entries, asked, model_of(loaded))
        until = api.now() + self._lease
        kept = api.store().writer.submit(lambda c: keep_chunk(c, held, chunk, len(deals), page, until, rows)).result()
        if kept:
            refused = Counter(error.code for error in judged.problems.values())
            api.metrics.scores("deals", len(judged.scores), refused, reasons_off(list(judged.scores.values())))
            api.wrote(len(entries))
        return kept

    def _end(self, held: Held, error: ForecastleError | None, where: dict[str, object] | None = None) -> None:
        """Say in the store and in the log how a job ended."""
        now = self._api.now()
        told = None if error is None else json.dumps(problem(error))
        ended = partial(end_job, held=held, now=now, expires_at=now + kept_for(self._api.limits), problem=told)
        if self._api.store().writer.submit(ended).result():
            outcome = "done" if error is None else "failed"
            self._api.metrics.job(outcome)
            line = {"event": f"job_{outcome}", "worker": os.getpid(), "job": held.job_id}
            self._log(line if error is None else line | {"code": error.code, "error": where})

    @contextmanager
    def _alive(self, held: Held) -> Iterator[None]:
        """Renew the lease while a chunk is worked on, but not for ever: it may hang."""
        over = threading.Event()

        def beat() -> None:
            for _ in range(BEATS):
                if over.wait(self._lease / SECOND / 3):
                    return
                with suppress(StateError):
                    until = self._api.now() + self._lease
                    self._api.store().writer.submit(partial(renew, held=held, until=until)).result()

        thread = threading.Thread(target=beat, name="job-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _let_others(self) -> None:
        """Wait until no request is under way, but not for ever."""
        for _ in range(round(PATIENCE_S / NAP_S)):
            if not self._api.metrics.in_flight or self._stopped.wait(NAP_S):
                return
