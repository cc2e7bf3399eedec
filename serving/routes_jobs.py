"""``/v1/jobs``: requests that are too large to be answered at once are taken, worked off, and their results fetched."""

from __future__ import annotations

import asyncio
import json
import re
from functools import partial
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from configs.errors import Fault, InvalidRequestError, JobNotDoneError, UnknownJobError
from serving.answers import iso, to_json
from serving.api import Api
from serving.jobs import ROUTE, new_job, unpacked
from serving.principal import Scope
from serving.routes_deals import parameters_of
from serving.routes_events import REPLAYED_HEADER, idempotency_key
from serving.store.jobs import Job, JobBook, JobState, NewJob, queue_job
from serving.store.taken import Key, keep_reply, reply_before

POLL_S = 2  # until it is worth asking again
PAGE_PARAMETERS = ("cursor",)
_JOB_ID = re.compile(r"[0-9a-f]{32}")
_PLACE = re.compile(r"0|[1-9][0-9]{0,8}")


class JobRoutes:
    """The routes and the api they belong to."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def make(self, request: Request) -> Response:
        """Take a job; it is on disk when this is answered."""
        api = self._api
        principal = api.principal(request, Scope.SCORE)
        api.expect_json(request)
        key_text = idempotency_key(request)
        loaded = api.model()
        body = await api.body(request, api.limits.jobs.max_mb, "serving.jobs.max_mb")
        request_id, now = request.scope["state"]["request_id"], api.now()
        job, chunks = await api.in_thread(partial(new_job, body, principal.key, now, loaded, api.limits), len(body))
        digest = sha256(f"{ROUTE}\n".encode() + body).hexdigest() if key_text else ""
        key = Key(principal.key, key_text, digest) if key_text else None

        def work(connection: Connection) -> tuple[bytes, bool]:
            before = reply_before(connection, key) if key else None
            if before is not None:
                return before, True
            queue_job(connection, job, chunks, api.limits.jobs)
            answer = to_json({"request_id": request_id} | _job_json(_queued(job)))
            if key:
                keep_reply(connection, key, answer, now)
            return answer, False

        answer, before = await asyncio.wrap_future(await api.from_store(lambda store: store.writer.submit(work)))
        if not before:
            request.scope["state"]["rows"] = job.deals
            api.metrics.job("queued")
            api.job_came.set()
        headers = {"Location": json.loads(answer)["status_url"]} | ({REPLAYED_HEADER: "true"} if before else {})
        return Response(answer, 202, headers, "application/json")

    async def told(self, request: Request) -> Response:
        """Say where a job stands."""
        job = await self._job(request)
        document = {"request_id": request.scope["state"]["request_id"]} | _job_json(job)
        return Response(to_json(document), media_type="application/json")

    async def result(self, request: Request) -> Response:
        """Give a page of what came of a job that is done."""
        job = await self._job(request)
        cursor = parameters_of(request, PAGE_PARAMETERS).get("cursor", "0")
        if job.state != JobState.DONE:
            raise JobNotDoneError(f"the job is {job.state}: ask {_url(job)} how it stands")
        page = None
        if _PLACE.fullmatch(cursor):
            page = await self._api.from_store(lambda store: JobBook(store).page(job.principal, job.job_id, int(cursor)))
        if page is None:
            got, expected = "not a cursor of this job", "next_cursor of the page before"
            raise InvalidRequestError(faults=[Fault("wrong_value", "", got, expected, path="/cursor")])
        after = None if page.after is None else str(page.after)
        about = {"request_id": request.scope["state"]["request_id"], "job_id": job.job_id, "next_cursor": after}
        body = await self._api.in_thread(lambda: to_json(unpacked(page.result) | about))
        return Response(body, media_type="application/json")

    async def _job(self, request: Request) -> Job:
        """Return the job of the path. Raises UnknownJobError, also where another key made it."""
        principal = self._api.principal(request, Scope.SCORE)
        job_id = request.path_params["job_id"]
        job = None
        if _JOB_ID.fullmatch(job_id):
            job = await self._api.from_store(lambda store: JobBook(store).job(principal.key, job_id))
        if job is None:
            raise UnknownJobError("this key made no such job, or its time is over")
        return job


def _queued(job: NewJob) -> Job:
    return Job(**vars(job), state=JobState.QUEUED, done=0, finished_at=None, problem=None)


def _url(job: Job) -> str:
    return f"/v1/jobs/{job.job_id}"


def _job_json(job: Job) -> dict[str, Any]:
    """Return where a job stands as members of an answer."""
    told = {
        "job_id": job.job_id,
        "state": str(job.state),
        "deals": job.deals,
        "done": job.done,
        "as_of": iso(job.as_of),
        "explain": job.explain,
        "received_at": iso(job.received_at),
        "finished_at": None if job.finished_at is None else iso(job.finished_at),
        "expires_at": iso(job.expires_at),
        "status_url": _url(job),
        "result_url": f"{_url(job)}/result",
        "poll_after_seconds": POLL_S,
    }
    return told if job.problem is None else told | {"problem": json.loads(job.problem)}
