"""Jobs in the store: a request cut into chunks, which a worker scores one after the other.

A worker holds a job by a lease that it renews; one whose lease ran out is anybody's, and goes on after its last whole
chunk. A chunk's results and its rows of the ledger are committed together, and only by the worker that holds the job,
so however often a worker dies, no chunk is counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, func, or_, select, text, update

from configs.errors import JobsFullError
from configs.schema import Jobs
from serving.entries import Asked, Entry, Model
from serving.store.engine import Store
from serving.store.faults import FAULTS, store_fault
from serving.store.ledger import append
from serving.store.tables import JOB_CHUNKS, JOBS

_LOCK = 0x6A6F6273  # of PostgreSQL: what waits is counted by one at a time
RETRY_S = 10  # until somebody who found too many jobs may ask again


class JobState(StrEnum):
    """Where a job stands; each leads to one of those after it."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


WAITING = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class NewJob:
    """A job as it comes. deals: how many; size: bytes of its body; times in UTC microseconds."""

    job_id: str
    principal: str
    as_of: int
    explain: bool
    in_sample: bool
    deals: int
    size: int
    received_at: int
    expires_at: int


@dataclass(frozen=True)
class Job(NewJob):
    """A job as it stands. done: deals of whole chunks. problem: JSON, why it failed."""

    state: str
    done: int
    finished_at: int | None
    problem: str | None


@dataclass(frozen=True)
class Held:
    """A job that a worker holds. attempts: how often it was taken up since its last whole chunk."""

    job_id: str
    worker: str
    principal: str
    as_of: int
    explain: bool
    in_sample: bool
    attempts: int


@dataclass(frozen=True)
class Chunk:
    """Some deals of a job. first: place of the first in the request; deals: JSON, packed."""

    first: int
    deals: bytes


@dataclass(frozen=True)
class Page:
    """What became of a chunk, packed. after: place of the next chunk's first deal, None on the last."""

    result: bytes
    after: int | None


def queue_job(connection: Connection, job: NewJob, chunks: Sequence[Chunk], caps: Jobs) -> None:
    """Store a job that waits. Raises JobsFullError where too many wait, or too many bytes of them."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    waiting = select(JOBS.c.principal, JOBS.c.size).where(JOBS.c.state.in_(WAITING))
    sizes = [(row.principal == job.principal, int(row.size)) for row in connection.execute(waiting)]
    mine = [size for own, size in sizes if own]
    every = [size for _, size in sizes]
    _refuse_excess(mine, job.size, caps.max_waiting_key, caps.max_waiting_key_mb, "of this key")
    _refuse_excess(every, job.size, caps.max_waiting, caps.max_waiting_mb, "in all")
    flags = {"explain": int(job.explain), "in_sample": int(job.in_sample)}
    state = {"state": JobState.QUEUED, "done": 0, "leased_until": 0, "attempts": 0}
    connection.execute(JOBS.insert(), vars(job) | flags | state)
    connection.execute(JOB_CHUNKS.insert(), [vars(chunk) | {"job_id": job.job_id} for chunk in chunks])


def _refuse_excess(sizes: Sequence[int], size: int, most: int, most_mb: float, whose: str) -> None:
    if len(sizes) >= most:
        raise JobsFullError(f"{len(sizes):,} jobs {whose} wait or run, at most {most:,} may", retry_after=RETRY_S)
    if sum(sizes) + size > most_mb * 1_000_000:
        told = f"jobs {whose} that wait or run would have {(sum(sizes) + size) / 1e6:.1f} MB, at most {most_mb:g} may"
        raise JobsFullError(told, retry_after=RETRY_S)


def take_up(connection: Connection, worker: str, now: int, until: int) -> Held | None:
    """Hold the job that has waited longest, or that another worker let go; None where there is none."""
    asked = select(JOBS).where(_free(now)).order_by(JOBS.c.received_at, JOBS.c.job_id).limit(1)
    found = connection.execute(asked.with_for_update(skip_locked=True)).one_or_none()  # SQLite's writers queue anyway
    if found is None:
        return None
    attempts = int(found.attempts) + 1
    held = {"state": JobState.RUNNING, "worker": worker, "leased_until": until, "attempts": attempts}
    connection.execute(update(JOBS).where(JOBS.c.job_id == found.job_id).values(**held))
    return Held(
        found.job_id, worker, found.principal, int(found.as_of), bool(found.explain), bool(found.in_sample), attempts
    )


def renew(connection: Connection, held: Held, until: int) -> bool:
    """Hold a job for longer; False where another worker has it, or nobody any more. until 0: let it go."""
    mine = and_(JOBS.c.job_id == held.job_id, JOBS.c.worker == held.worker, JOBS.c.state == JobState.RUNNING)
    return connection.execute(update(JOBS).where(mine).values(leased_until=until)).rowcount == 1


def keep_chunk(
    connection: Connection,
    held: Held,
    chunk: Chunk,
    count: int,
    result: bytes,
    until: int,
    rows: tuple[Sequence[Entry], Asked, Model],
) -> bool:
    """Store what became of a chunk's deals with their rows of the ledger; False where the job is held no longer."""
    if not renew(connection, held, until):
        return False
    this = and_(JOB_CHUNKS.c.job_id == held.job_id, JOB_CHUNKS.c.first == chunk.first, JOB_CHUNKS.c.result.is_(None))
    if connection.execute(update(JOB_CHUNKS).where(this).values(result=result, deals=None)).rowcount != 1:
        return False
    more = {"done": JOBS.c.done + count, "attempts": 0}
    connection.execute(update(JOBS).where(JOBS.c.job_id == held.job_id).values(**more))
    append(connection, *rows)
    return True


def end_job(connection: Connection, held: Held, now: int, expires_at: int, problem: str | None) -> bool:
    """Say that a job is done, or why it failed; False where it is held no longer. What it was asked is let go."""
    if not renew(connection, held, 0):
        return False
    state = JobState.DONE if problem is None else JobState.FAILED
    ended = {"state": state, "finished_at": now, "expires_at": expires_at, "problem": problem, "worker": None}
    connection.execute(update(JOBS).where(JOBS.c.job_id == held.job_id).values(**ended))
    if problem is not None:
        connection.execute(update(JOB_CHUNKS).where(JOB_CHUNKS.c.job_id == held.job_id).values(deals=None, result=None))
    return True


def purge(connection: Connection, now: int) -> int:
    """Delete jobs whose time is over, but for those that a worker holds; returns how many."""
    gone = [row.job_id for row in connection.execute(select(JOBS.c.job_id).where(_over(now)))]
    for job_id in gone:
        connection.execute(delete(JOB_CHUNKS).where(JOB_CHUNKS.c.job_id == job_id))
        connection.execute(delete(JOBS).where(JOBS.c.job_id == job_id))
    return len(gone)


class JobBook:
    """Reads of jobs. Raises StoreError where they cannot be read."""

    def __init__(self, store: Store) -> None:
        self._engine = store.engine

    def job(self, principal: str, job_id: str) -> Job | None:
        """Return a job of the key that made it; None for any other."""
        (found,) = self._rows(select(JOBS).where(_mine(principal, job_id))) or (None,)
        if found is None:
            return None
        told = {name: found[name] for name in Job.__dataclass_fields__}
        return Job(**told | {"explain": bool(found["explain"]), "in_sample": bool(found["in_sample"])})

    def page(self, principal: str, job_id: str, first: int) -> Page | None:
        """Return what became of the chunk that begins at a place; None where there is none."""
        mine = select(JOBS.c.job_id).where(_mine(principal, job_id))
        chunks = select(JOB_CHUNKS).where(JOB_CHUNKS.c.job_id.in_(mine), JOB_CHUNKS.c.first >= first)
        found = self._rows(chunks.order_by(JOB_CHUNKS.c.first).limit(2))
        if not found or found[0]["first"] != first or found[0]["result"] is None:
            return None
        return Page(bytes(found[0]["result"]), int(found[1]["first"]) if len(found) > 1 else None)

    def next_chunk(self, held: Held) -> Chunk | None:
        """Return the first chunk of a job that nothing became of yet; those of a job that failed are gone."""
        left = and_(JOB_CHUNKS.c.job_id == held.job_id, JOB_CHUNKS.c.result.is_(None), JOB_CHUNKS.c.deals.is_not(None))
        (found,) = self._rows(select(JOB_CHUNKS).where(left).order_by(JOB_CHUNKS.c.first).limit(1)) or (None,)
        return None if found is None else Chunk(int(found["first"]), bytes(found["deals"]))

    def to_do(self, now: int) -> bool:
        """Whether there is a job to be taken up, or to be deleted."""
        return bool(self._rows(select(func.count().label("n")).where(or_(_free(now), _over(now))))[0]["n"])

    def _rows(self, asked: Any) -> Sequence[RowMapping]:
        try:
            with self._engine.begin() as connection:
                return connection.execute(asked).mappings().all()
        except FAULTS as error:
            raise store_fault(error, self._engine) from error


def _mine(principal: str, job_id: str) -> ColumnElement[bool]:
    return and_(JOBS.c.job_id == job_id, JOBS.c.principal == principal)


def _free(now: int) -> ColumnElement[bool]:
    """Nobody holds it."""
    left = and_(JOBS.c.state == JobState.RUNNING, JOBS.c.leased_until < now)
    return or_(JOBS.c.state == JobState.QUEUED, left)


def _over(now: int) -> ColumnElement[bool]:
    """Its time is over, and nobody works on it."""
    return and_(JOBS.c.expires_at < now, or_(JOBS.c.state != JobState.RUNNING, JOBS.c.leased_until < now))
