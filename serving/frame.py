"""What stands around every request: an id, one line of log, and a problem document for every error."""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configs.errors import BusyError, ForecastleError, InternalError, StateError
from serving.answers import to_json
from serving.metrics import Metrics, told_method
from serving.problems import media_type, problem
from serving.spans import Spans, ids, spans_of

Log = Callable[[Mapping[str, Any]], None]
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-(?P<id>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LOGGED = ("trace_id", "span_id", "rows", "refused", "reasons_off", "key", "code")
GONE = 499  # the caller left before the answer
_QUIET = {"/v1/health", "/v1/ready"}  # asked every few seconds by probes: logged only when they fail


def log_line(fields: Mapping[str, Any]) -> None:
    """Write one JSON line to standard error."""
    with suppress(OSError, ValueError):  # a closed stderr must not fail a request
        sys.stderr.write(json.dumps({"ts": datetime.now(UTC).isoformat(timespec="milliseconds"), **fields}) + "\n")
        sys.stderr.flush()


ErrorAnswer = Callable[[ForecastleError, Scope], Response]
"""What a request is answered that went wrong."""


def problem_response(error: ForecastleError, scope: Scope) -> Response:
    """Return an error as a response to the request of this scope."""
    headers = Headers(scope=scope)
    document = problem(error, scope.get("state", {}).get("request_id", ""), instance=_route(scope) or "")
    extra = {"WWW-Authenticate": 'Bearer realm="forecastle"'} if error.status == 401 else {}
    if isinstance(error, BusyError):
        extra["Retry-After"] = str(error.retry_after)
    return Response(to_json(document), error.status, extra, media_type(headers.get("accept")))


class Frame:
    """ASGI middleware around the routes. It sits inside Starlette's own error handler, which would log messages.

    answer: what a request is answered whose error no route told. spans: asked once, by the process that serves.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        log: Log = log_line,
        answer: ErrorAnswer = problem_response,
        spans: Callable[[], Spans | None] = spans_of,
    ) -> None:
        self._app = app
        self._spans = spans()
        self._answer = answer
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked, traced = headers.get("x-request-id", ""), _TRACE.fullmatch(headers.get("traceparent", ""))
        state = scope.setdefault("state", {})
        state["request_id"] = asked if _SANE_ID.fullmatch(asked) else secrets.token_hex(8)
        if traced is not None:
            state["trace_id"] = traced["id"]
        if self._spans is not None and scope["path"] not in _QUIET:
            state["span"] = span = self._spans.begin(told_method(scope["method"]), headers)
            state |= ids(span)
        started, status = time.perf_counter(), 0

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = list(message.get("headers", []))
                message = {**message, "headers": given + _headers(state["request_id"], {name for name, _ in given})}
            await send(message)

        failure: BaseException | None = None
        try:
            await self._app(scope, receive, framed)
        except ClientDisconnect:
            if not status:  # nobody hears it; but a host may hold a request until something is sent
                await Response(status_code=GONE)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 -- the last line of defence: every error becomes an answer and a log line
            failure = error
            if not status:
                told = error if isinstance(error, ForecastleError) else InternalError()
                await self._answer(told, scope)(scope, receive, framed)
        self._write(scope, status, started, failure)

    def _write(self, scope: Scope, status: int, started: float, failure: BaseException | None) -> None:
        """Count a request and write its line."""
        route, state, seconds = _route(scope), scope["state"], time.perf_counter() - started
        status = status or GONE
        if failure is not None:
            state["code"] = failure.code if isinstance(failure, ForecastleError) else InternalError.code
        self._metrics.request(scope["method"], route, status, seconds, state.get("code"))
        if self._spans is not None and "span" in state:
            self._spans.end(state["span"], told_method(scope["method"]), route, status, state.get("code"))
        if isinstance(failure, StateError):
            self._metrics.store_error(failure.code)
        if route in _QUIET and status < 400:
            return
        line = {
            "event": "request",
            "method": scope["method"] if scope["method"].isalpha() else "?",
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "request_id": state["request_id"],
            **{name: state[name] for name in _LOGGED if name in state},
        }
        if failure is not None and (not isinstance(failure, ForecastleError) or failure.status >= 500):
            line["error"] = {"type": type(failure).__name__, "at": places(failure)}
        self._log(line)


def _headers(request_id: str, given: set[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the headers that every answer gets, but for those it has of its own."""
    every = [
        (b"x-request-id", request_id.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return [header for header in every if header[0] not in given]


def _route(scope: Scope) -> str | None:
    """The template of the route that the request matched, None for no route: a path may hold anything."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else None


def places(error: BaseException) -> list[str]:
    """Return where an error came from, innermost last, without its message, which may hold data."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return [f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}" for frame in frames]
