"""Leases of jobs as a machine: workers take, lose, write late, let go and die in any order; all is counted once."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import Connection, select

from configs.errors import JobsFullError
from configs.load import load_config
from configs.schema import Jobs
from serving.entries import Asked, Entry, Model
from serving.store.engine import open_store
from serving.store.jobs import (
    Chunk,
    Held,
    JobBook,
    JobState,
    NewJob,
    end_job,
    keep_chunk,
    purge,
    queue_job,
    renew,
    take_up,
)
from serving.store.tables import JOB_CHUNKS, LEDGER
from serving.store.taken import Key, keep_reply, reply_before
from tests.companies import DEMO

T = TypeVar("T")
LEASE, KEEP, EACH = 20, 500, 2
CAPS = Jobs(max_waiting_key=3, max_waiting=5)
ENTRY = Entry("D1", 5, None, b"\x00" * 8, "digest", "{}", 0.5, 0.0, "{}", None)
MODEL = Model("sha", "version", "hash", 4, "reference")
workers = st.sampled_from(["a", "b", "c"])
keys = st.sampled_from(["k1", "k2"])


@dataclass
class Told:
    """What must be so of a job. holder: the worker that took it up last; written: chunks; until: end of its lease."""

    job: NewJob
    chunks: int
    state: JobState = JobState.QUEUED
    holder: str = ""
    until: int = 0
    written: int = 0


class Leases(RuleBasedStateMachine):
    """One store, three workers. hands: what each believes to hold; begun: the chunk that it has computed so far."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(load_config(DEMO, [f"state_dir={Path(self.folder.name)}"]))
        self.now = 1_000
        self.jobs: dict[str, Told] = {}
        self.hands: dict[str, Held] = {}
        self.begun: dict[str, Chunk | None] = {}
        self.replies: dict[tuple[str, str], bytes] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def write(self, work: Callable[[Connection], T]) -> T:
        return self.store.writer.submit(work).result()

    def held(self, worker: str) -> Told | None:
        """The job that a worker may still write to; None where it has none, or lost it."""
        told = self.jobs.get(self.hands[worker].job_id)
        return told if told is not None and told.holder == worker and told.state is JobState.RUNNING else None

    @rule(principal=keys, chunks=st.integers(1, 3), word=st.sampled_from(["", "once"]))
    def queue(self, principal: str, chunks: int, word: str) -> None:
        name = f"{len(self.jobs):032x}"
        job = NewJob(name, principal, 5, False, False, chunks * EACH, 10, self.now, self.now + KEEP)
        parts = [Chunk(k * EACH, b"deals") for k in range(chunks)]
        key = Key(principal, word, "digest") if word else None

        def work(connection: Connection) -> bytes | None:
            before = reply_before(connection, key) if key else None
            if before is None:
                queue_job(connection, job, parts, CAPS)
                if key:
                    keep_reply(connection, key, name.encode(), self.now)
            return before

        waiting = [one for one in self.jobs.values() if one.state in (JobState.QUEUED, JobState.RUNNING)]
        mine = sum(one.job.principal == principal for one in waiting)
        known = self.replies.get((principal, word))
        try:
            before = self.write(work)
        except JobsFullError:
            assert known is None
            assert mine >= CAPS.max_waiting_key or len(waiting) >= CAPS.max_waiting
            return
        assert before == known
        if before is None:
            assert mine < CAPS.max_waiting_key
            assert len(waiting) < CAPS.max_waiting
            self.jobs[name] = Told(job, chunks)
            if word:
                self.replies[principal, word] = name.encode()

    @rule(worker=workers)
    def take(self, worker: str) -> None:
        """A worker that died takes another job up when it is started again; what it held is forgotten."""
        free = [
            one
            for one in self.jobs.values()
            if one.state is JobState.QUEUED or (one.state is JobState.RUNNING and one.until < self.now)
        ]
        held = self.write(lambda c: take_up(c, worker, self.now, self.now + LEASE))
        self.begun[worker] = None
        if held is None:
            assert not free
            self.hands.pop(worker, None)
            return
        oldest = min(free, key=lambda one: (one.job.received_at, one.job.job_id))
        assert held.job_id == oldest.job.job_id
        self.hands[worker] = held
        oldest.state, oldest.holder, oldest.until = JobState.RUNNING, worker, self.now + LEASE

    @rule(worker=workers)
    def begin(self, worker: str) -> None:
        """Compute a chunk; it is written later, if at all."""
        if worker in self.hands:
            self.begun[worker] = JobBook(self.store).next_chunk(self.hands[worker])

    @rule(worker=workers)
    def finish(self, worker: str) -> None:
        """Write what was computed, or end the job where nothing is left of it."""
        if worker not in self.hands:
            return
        held, told, chunk = self.hands[worker], self.held(worker), self.begun.get(worker)
        if chunk is not None:
            rows = ([replace(ENTRY, deal_id=f"D{chunk.first + k}") for k in range(EACH)], self.asked(held), MODEL)
            kept = self.write(lambda c: keep_chunk(c, held, chunk, EACH, b"page", self.now + LEASE, rows))
            assert kept == (told is not None)
            if told is not None:
                told.written, told.until = told.written + 1, self.now + LEASE
            self.begun[worker] = None
        elif told is not None and told.written == told.chunks:
            assert self.write(lambda c: end_job(c, held, self.now, self.now + KEEP, None))
            told.state = JobState.DONE
            told.job = replace(told.job, expires_at=self.now + KEEP)

    def asked(self, held: Held) -> Asked:
        return Asked(held.job_id, held.principal, "/v1/jobs/score", self.now, 1.0)

    @rule(worker=workers, let_go=st.booleans())
    def keep_or_let_go(self, worker: str, let_go: bool) -> None:
        if worker in self.hands:
            held, told, until = self.hands[worker], self.held(worker), 0 if let_go else self.now + LEASE
            assert self.write(lambda c: renew(c, held, until)) == (told is not None)
            if told is not None:
                told.until = until

    @rule(worker=workers)
    def fail(self, worker: str) -> None:
        if worker in self.hands:
            held, told = self.hands[worker], self.held(worker)
            assert self.write(lambda c: end_job(c, held, self.now, self.now + KEEP, "{}")) == (told is not None)
            if told is not None:
                told.state = JobState.FAILED
                told.job = replace(told.job, expires_at=self.now + KEEP)

    @rule(seconds=st.sampled_from([1, LEASE + 1, KEEP // 2]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def clear(self) -> None:
        over = {
            name
            for name, one in self.jobs.items()
            if one.job.expires_at < self.now and (one.state is not JobState.RUNNING or one.until < self.now)
        }
        gone = {name for name in over if JobBook(self.store).job(self.jobs[name].job.principal, name) is not None}
        assert self.write(lambda c: purge(c, self.now)) == len(gone)
        for name in over:
            self.jobs[name].state = JobState.FAILED  # nobody finds it any more

    @invariant()
    def every_deal_is_counted_once(self) -> None:
        with self.store.engine.begin() as connection:
            rows = Counter(connection.execute(select(LEDGER.c.request_id, LEDGER.c.deal_id)).all())
            pages = connection.execute(select(JOB_CHUNKS.c.job_id, JOB_CHUNKS.c.result, JOB_CHUNKS.c.deals)).all()
        assert set(rows.values()) <= {1}
        count = Counter(name for name, _ in rows)
        for name, told in self.jobs.items():
            assert count[name] == told.written * EACH
            job = JobBook(self.store).job(told.job.principal, name)
            if job is not None:
                assert (job.state, job.done) == (told.state, told.written * EACH)
                whole = [result for owner, result, _ in pages if owner == name and result is not None]
                assert len(whole) == (0 if told.state is JobState.FAILED else told.written)
                assert told.state is not JobState.DONE or len(whole) == told.chunks


TestLeases = Leases.TestCase
TestLeases.settings = settings(
    max_examples=10, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
