"""What every route needs: who asks, the model, the body within its limits, the store, and threads for the work.

Only this layer reads the clock.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import anyio.to_thread
from starlette.requests import Request

from configs.errors import (
    ForbiddenError,
    NotReadyError,
    StateError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from configs.schema import Serving
from configs.vocab import LedgerMode
from serving.answers import iso, model_of
from serving.auth import ApiKey, KeyRing, check_key, key_of
from serving.entries import Asked, Entry
from serving.intake import Loaded
from serving.metrics import Metrics
from serving.principal import Principal, Scope
from serving.store.engine import Store
from serving.store.ledger import Ledger

THREADS = 2  # at a time: NumPy and LightGBM give the lock away, JSON does not
DRAIN = 5
"""Of a body that is refused, so many times the limit are read and thrown away: a caller who is still sending would see
a reset connection instead of the answer."""

Clock = Callable[[], int]
T = TypeVar("T")


def clock() -> int:
    """Return the time as UTC microseconds."""
    return time.time_ns() // 1_000


@dataclass(frozen=True)
class Started:
    """When work on a request began: asked_at in UTC microseconds, and a counter of seconds for how long it took."""

    asked_at: int
    counter: float


@dataclass(frozen=True)
class Refusal:
    """Something on disk that is not served. what: `model` or `facts`; sha: of the bundle; at: UTC microseconds."""

    what: str
    code: str
    sha: str
    at: int


@dataclass(frozen=True)
class Watched:
    """What became of models and facts in this process. since: of the model that serves, UTC microseconds."""

    since: int | None = None
    swaps: int = 0
    refused: int = 0
    last: Refusal | None = None

    def told(self) -> dict[str, object]:
        """Return what the status says."""
        last = self.last
        refusal = last and {"what": last.what, "code": last.code, "bundle_sha256": last.sha, "at": iso(last.at)}
        since = None if self.since is None else iso(self.since)
        return {"since": since, "swaps": self.swaps, "refused": self.refused, "last_refusal": refusal}


class Api:
    """Shared by the routes. loaded: None until a model is there, replaced as a whole, so take it once a request.

    watched: how that went. opened: opens the store, when it is first needed.
    """

    def __init__(
        self, limits: Serving, keys: KeyRing, now: Clock, opened: Callable[[], Store], metrics: Metrics
    ) -> None:
        self.loaded: Loaded | None = None
        self.watched = Watched()
        self.limits = limits
        self.now = now
        self.metrics = metrics
        self._keys = keys
        self._open = opened
        self._opening = threading.Lock()
        self._store: Store | None = None
        self._ledger: Ledger | None = None
        self._unkept = 0
        self._threads: anyio.CapacityLimiter | None = None

    @property
    def most_bytes(self) -> int:
        """Return how large a body may be."""
        return round(self.limits.max_body_mb * 1_000_000)

    def model(self) -> Loaded:
        """Return the model. Raises NotReadyError where there is none yet."""
        if self.loaded is None:
            raise NotReadyError("no model is loaded yet; try again in a few seconds")
        return self.loaded

    def keys(self) -> tuple[ApiKey, ...]:
        """Return the API keys as their file has them now."""
        return self._keys.keys()

    def principal(self, request: Request, scope: Scope) -> Principal:
        """Return who asks. Raises UnauthorizedError, the same whatever was wrong with the key, or ForbiddenError."""
        given = key_of(request.headers.get("authorization"), request.headers.get("x-api-key"))
        key = check_key(given, self.keys(), datetime.fromtimestamp(self.now() / 1e6, UTC))
        if key is None:
            raise UnauthorizedError(
                "send a valid API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`; "
                "`forecastle keys create` makes one"
            )
        request.scope["state"]["key"] = key.prefix
        if not key.may(scope):
            raise ForbiddenError(
                f"this key lacks the scope {scope}: `forecastle keys create --scope {scope}` makes one"
            )
        return key.principal

    def expect_json(self, request: Request) -> None:
        """Raise UnsupportedMediaTypeError where the body is not said to be JSON."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedMediaTypeError("the header Content-Type must say application/json")

    async def body(self, request: Request) -> bytes:
        """Return the body. Raises TooLargeError past the limit, whether or not Content-Length tells the truth."""
        most = self.most_bytes
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
            raise TooLargeError(f"the body is over {most:,} bytes: send fewer at a time, or raise serving.max_body_mb")
        return b"".join(parts)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run work in one of a few threads, so that health answers meanwhile."""
        if self._threads is None:  # belongs to the event loop, so it is made inside it
            self._threads = anyio.CapacityLimiter(THREADS)
        return await anyio.to_thread.run_sync(work, limiter=self._threads)

    def store(self) -> Store:
        """Return the store, opened when it is first asked for. Raises StoreError, or UsageError for its URL."""
        with self._opening:
            if self._store is None:
                self._store = self._open()
                self._ledger = Ledger(self._store, self.limits.ledger, self.metrics.dropped)
            return self._store

    def close(self) -> None:
        """Write what waits and close the store."""
        with self._opening:
            if self._store is not None:
                self._store.close()
            self._store = self._ledger = None

    def started(self) -> Started:
        """Return when work on a request begins: now."""
        return Started(self.now(), time.perf_counter())

    async def keep(
        self, request: Request, principal: Principal, loaded: Loaded, entries: Sequence[Entry], started: Started
    ) -> None:
        """Have the ledger keep what a request is about to be told. Raises StoreError where it must and cannot."""
        if self.limits.ledger is LedgerMode.OFF or not entries:
            return
        took = (time.perf_counter() - started.counter) * 1000
        route = request.scope["route"].path
        asked = Asked(request.scope["state"]["request_id"], principal.key, route, started.asked_at, round(took, 3))
        try:
            self.store()
            assert self._ledger is not None  # noqa: S101 -- made with the store
            kept = self._ledger.write(entries, asked, model_of(loaded))
        except StateError as error:
            if self.limits.ledger is LedgerMode.DURABLE:
                raise
            self._unkept += len(entries)
            self.metrics.store_error(error.code)
            self.metrics.dropped(len(entries))
            return
        if kept is not None:
            await asyncio.wrap_future(kept)

    def ledger_told(self) -> dict[str, object]:
        """Return what the status says of the ledger, since this process started."""
        made = self._ledger
        written, dropped = (made.written, made.dropped) if made is not None else (0, 0)
        return {"mode": str(self.limits.ledger), "written": written, "dropped": dropped + self._unkept}
