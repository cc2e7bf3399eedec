"""The HTTP service as a Starlette app. It runs under any ASGI server; `serving.service` mounts it in BentoML.

======  ====================  =====================================================
POST    ``/v1/deals/score``   probabilities with reasons for deals given inline
GET     ``/v1/health``        the process answers; no key
GET     ``/v1/ready``         a model is loaded, else 503; no key
GET     ``/v1/status``        the model, how fresh its facts are, the limits
======  ====================  =====================================================

Only this layer reads the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from configs.errors import (
    ForecastleError,
    MethodNotAllowedError,
    NotFoundError,
    NotReadyError,
    RequestError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from configs.schema import Config, Serving
from serving.answers import answer, identity, iso, to_json
from serving.auth import KeyRing, check_key, key_of, keys_file
from serving.facts import SOURCE
from serving.frame import Frame, Log, log_line, problem_response
from serving.intake import Loaded

THREAD_FROM = 16_000
"""Bodies of this many bytes and more are answered in a thread, so that health answers meanwhile: a few deals' worth."""
THREADS = 2  # at a time: NumPy and LightGBM give the lock away, JSON does not
DRAIN = 5
"""Of a body that is refused, so many times the limit are read and thrown away: a caller who is still sending would see
a reset connection instead of the answer."""

Clock = Callable[[], int]


def clock() -> int:
    """Return the time as UTC microseconds."""
    return time.time_ns() // 1_000


class Api:
    """The routes and what they need. loaded: None until a model is there."""

    def __init__(self, limits: Serving, keys: KeyRing, now: Clock) -> None:
        self.loaded: Loaded | None = None
        self._limits = limits
        self._keys = keys
        self._now = now
        self._threads: anyio.CapacityLimiter | None = None

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """A model is loaded."""
        return _json({"status": "ready", "model_version": self._model().bundle.version})

    async def status(self, request: Request) -> Response:
        """What is served, and how fresh it is."""
        self._authorize(request)
        loaded = self._model()
        about, facts = loaded.bundle.about, loaded.facts
        return _json(
            identity(loaded)
            | {
                "name": about.name,
                "target": about.target,
                "time_zone": about.time_zone,
                "trained_as_of": iso(about.trained_as_of),
                "trained_on": {"rows": about.rows, "deals": about.deals, "since": iso(about.first_as_of)},
                "features": len(loaded.bundle.plan.names),
                "heads": loaded.bundle.heads.names(),
                "stages": list(about.stages.order),
                "reference": {
                    "origin": facts.origin,
                    "fresh": facts.origin == SOURCE,
                    "why": facts.why,
                    "closed_deals": len(facts.reference.closes),
                    "reps": facts.reference.vocabulary.size("rep"),
                },
                "limits": {
                    "body_bytes": self._most_bytes,
                    "deals_plain": self._limits.max_deals_plain,
                    "deals_explained": self._limits.max_deals_explained,
                    "events_per_deal": self._limits.max_events_per_deal,
                },
            }
        )

    async def score(self, request: Request) -> Response:
        """Score deals given with their history."""
        self._authorize(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedMediaTypeError("the header Content-Type must say application/json")
        loaded = self._model()
        body = await _body(request, self._most_bytes)
        state = request.scope["state"]
        work = partial(answer, body, self._now(), state["request_id"], loaded, self._limits)
        got = work() if len(body) < THREAD_FROM else await anyio.to_thread.run_sync(work, limiter=self._limiter())
        state |= {"rows": got.scored, "refused": got.refused}
        if got.reasons_off:
            state["reasons_off"] = got.reasons_off
        return Response(got.body, media_type="application/json")

    @property
    def _most_bytes(self) -> int:
        return round(self._limits.max_body_mb * 1_000_000)

    def _model(self) -> Loaded:
        if self.loaded is None:
            raise NotReadyError("no model is loaded yet; try again in a few seconds")
        return self.loaded

    def _authorize(self, request: Request) -> None:
        """Let a request with a valid key pass. Raises UnauthorizedError, the same whatever was wrong."""
        given = key_of(request.headers.get("authorization"), request.headers.get("x-api-key"))
        key = check_key(given, self._keys.keys(), datetime.fromtimestamp(self._now() / 1e6, UTC))
        if key is None:
            raise UnauthorizedError(
                "send a valid API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`; "
                "`forecastle keys create` makes one"
            )
        request.scope["state"]["key"] = key.prefix

    def _limiter(self) -> anyio.CapacityLimiter:
        if self._threads is None:  # belongs to the event loop, so it is made inside it
            self._threads = anyio.CapacityLimiter(THREADS)
        return self._threads


def create_app(config: Config, now: Clock = clock, log: Log = log_line) -> Starlette:
    """Return the app; set ``app.state.api.loaded`` to make it ready."""
    keys = KeyRing(keys_file(config), lambda code: log({"event": "keys_unreadable", "code": code}))
    api = Api(config.serving, keys, now)
    routes = [
        Route("/v1/deals/score", api.score, methods=["POST"]),
        Route("/v1/health", api.health),
        Route("/v1/ready", api.ready),
        Route("/v1/status", api.status),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Frame, log=log)],
        exception_handlers={ForecastleError: _told, HTTPException: _unrouted},
    )
    app.router.redirect_slashes = False
    app.state.api = api
    return app


async def _body(request: Request, most: int) -> bytes:
    """Return the body. Raises TooLargeError past `most` bytes, whether or not Content-Length tells the truth."""
    said = request.headers.get("content-length", "")
    too_large = said.isdigit() and int(said) > most
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        too_large = too_large or size > most
        if too_large:
            parts.clear()
            if size > most * DRAIN:
                break
        else:
            parts.append(part)
    if too_large:
        raise TooLargeError(
            f"the body is over {most:,} bytes: send fewer deals at a time, or raise serving.max_body_mb"
        )
    return b"".join(parts)


async def _told(request: Request, error: Exception) -> Response:
    """An error of ours as a problem document."""
    if not isinstance(error, RequestError) and getattr(error, "status", 500) >= 500:
        raise error  # the frame answers it and logs where it came from
    assert isinstance(error, ForecastleError)  # noqa: S101 -- registered for this class alone
    request.scope["state"]["code"] = error.code
    response = problem_response(error, request.scope)
    if isinstance(error, TooLargeError):
        response.headers["Connection"] = "close"
    return response


async def _unrouted(request: Request, error: Exception) -> Response:
    """What no route takes: 404, or 405 with the methods that are allowed (204 for OPTIONS)."""
    headers = getattr(error, "headers", None) or {}
    if getattr(error, "status_code", 404) != MethodNotAllowedError.status:
        told: ForecastleError = NotFoundError("there is no such route; see the routes in README.md")
        return await _told(request, told)
    allow = ", ".join(sorted({"OPTIONS", *headers.get("Allow", "").split(", ")} - {""}))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allow})
    response = await _told(request, MethodNotAllowedError(f"this route takes {allow}"))
    response.headers["Allow"] = allow
    return response


def _json(document: dict[str, object]) -> Response:
    return Response(to_json(document), media_type="application/json")


__all__ = ["Api", "ClientDisconnect", "clock", "create_app"]
