"""What every route needs: who asks, the model, the body within its limits, the store, and threads for the work.

Only this layer reads the clock.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import anyio.to_thread
from starlette.requests import Request

from configs.errors import (
    ForbiddenError,
    NoLeadsError,
    NotReadyError,
    RequestTimeoutError,
    StateError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from configs.schema import Serving
from configs.vocab import LedgerMode
from serving.admission import BODIES, Admission, Place, Rates
from serving.answers import iso, model_of
from serving.auth import ApiKey, KeyRing, check_key, key_of
from serving.entries import Asked, Entry
from serving.intake import Loaded
from serving.metrics import Metrics
from serving.principal import Principal, Scope
from serving.store.engine import Store
from serving.store.ledger import Ledger
from serving.tokens import Token, Tokens, is_token

LARGE_FROM = 250_000
"""Bodies of this many bytes and more are worked on in a lane of their own, so that a deal never waits for a thousand.
A lane is one thread: what two do at a time takes turns at Python's lock, and both together took half as much again."""
STORE_THREADS = 4  # that may wait for the database; they are others, so that a slow one holds up no other work
AGAIN_S = 1.0  # until a store that could not be opened is tried again
BRIEFLY_S = 0.2  # that an answer in best effort waits for a store to be opened
DRAIN = 5
"""Of a body that is refused, so many times the limit are read and thrown away: a caller who is still sending would see
a reset connection instead of the answer."""

MAX_BODY = "serving.max_body_mb"

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
class Unopened:
    """Why the store could not be opened, and until when (monotonic seconds) that is the answer."""

    error: StateError
    until: float


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


@dataclass
class Slot:
    """The model of leads, beside that of the deals. loaded, watched: as in `Api`; now: the clock."""

    now: Clock
    loaded: Loaded | None = None
    watched: Watched = Watched()


@dataclass
class Body:
    """A body as it comes. most: bytes of one that is kept; too_large: said to be more, or is; whole: it ended."""

    most: int
    too_large: bool
    size: int = 0
    parts: list[bytes] = field(default_factory=list)
    whole: bool = False

    @property
    def given_up(self) -> bool:
        """Whether even reading and throwing away has to end."""
        return self.size > self.most * DRAIN

    def take(self, part: bytes) -> int:
        """Take a part and return how many of its bytes are kept."""
        self.size += len(part)
        self.too_large = self.too_large or self.size > self.most
        if self.too_large:
            self.parts.clear()
            return 0
        self.parts.append(part)
        return len(part)


class Api:
    """Shared by the routes. loaded: None until a model is there, replaced as a whole, so take it once a request.

    leads: the same of leads, None where the service has none. watched: how that went. draining: it is about to stop.
    opened: opens the store, when it is first needed. job_came: set where a job was queued.
    """

    def __init__(
        self,
        limits: Serving,
        keys: KeyRing,
        tokens: Tokens | None,
        now: Clock,
        opened: Callable[[], Store],
        metrics: Metrics,
    ) -> None:
        self.loaded: Loaded | None = None
        self.watched = Watched()
        self.leads: Slot | None = None
        self.draining = False
        self.limits = limits
        self.now = now
        self.metrics = metrics
        self.job_came = threading.Event()
        self.admission = Admission(limits.max_in_flight, self._room(), metrics)
        self._rates = Rates(limits.rate_per_second, limits.rate_burst, time.monotonic)
        self._turn = asyncio.Lock()
        self._keys, self._tokens = keys, tokens
        self._open = opened
        self._opening = threading.Lock()
        self._opener: threading.Thread | None = None
        self._unopened: Unopened | None = None
        self._store: Store | None = None
        self._also: list[Callable[[], None]] = []
        self._ledger: Ledger | None = None
        self._unkept = 0
        self._lanes: tuple[anyio.CapacityLimiter, ...] = ()
        self._store_threads: anyio.CapacityLimiter | None = None

    @property
    def most_bytes(self) -> int:
        """Return how large a body may be."""
        return round(self.limits.max_body_mb * 1_000_000)

    def _room(self) -> int:
        """Return how many bytes of bodies may be held: some of the largest, or one of the largest jobs."""
        return max(BODIES * self.most_bytes, round(self.limits.jobs.max_mb * 1_000_000))

    def model(self) -> Loaded:
        """Return the model. Raises NotReadyError where there is none yet."""
        if self.loaded is None:
            raise NotReadyError("no model is loaded yet; try again in a few seconds")
        return self.loaded

    def lead_model(self) -> Loaded:
        """Return the model of leads. Raises NoLeadsError where the service has none, NotReadyError where it waits."""
        if self.leads is None:
            raise NoLeadsError("this service scores deals alone: name the config of the leads as serving.leads")
        if self.leads.loaded is None:
            raise NotReadyError("no model of leads is loaded yet: it is taken up soon after it is promoted")
        return self.leads.loaded

    def ready(self) -> Loaded:
        """Return the model. Raises NotReadyError where there is none yet, or where no more requests should come."""
        if self.draining:
            raise NotReadyError("the service is about to stop; ask another one")
        return self.model()

    def keys(self) -> tuple[ApiKey, ...]:
        """Return the API keys as their file has them now."""
        return self._keys.keys()

    def principal(self, request: Request, scope: Scope) -> Principal:
        """Return who asks.

        Raises UnauthorizedError, the same whatever was wrong with key or token, ForbiddenError, or RateLimitedError.
        """
        asks = self._let_in(request.headers.get("authorization"), request.headers.get("x-api-key"))
        if asks is None:
            also = "" if self._tokens is None else ", or a valid access token as `Authorization: Bearer TOKEN`"
            raise UnauthorizedError(
                "send a valid API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`; "
                f"`forecastle keys create` makes one{also}"
            )
        request.scope["state"]["key"] = asks.principal.key
        if not asks.may(scope):
            what, remedy = "token", "ask its issuer for one that has it"
            if isinstance(asks, ApiKey):
                what, remedy = "key", f"`forecastle keys create --scope {scope}` makes one"
            raise ForbiddenError(f"this {what} lacks the scope {scope}: {remedy}")
        if scope is not Scope.STATUS:  # how the service is, is asked when it has too much to do
            self._rates.take(asks.principal.key)
        return asks.principal

    def _let_in(self, authorization: str | None, x_api_key: str | None) -> ApiKey | Token | None:
        """Return the key or token that two headers carry, None where it does not count."""
        now = datetime.fromtimestamp(self.now() / 1e6, UTC)
        if self._tokens is not None and is_token(token := key_of(authorization, None)):
            return self._tokens.check(token, now)
        return check_key(key_of(authorization, x_api_key), self.keys(), now)

    def expect_json(self, request: Request) -> None:
        """Raise UnsupportedMediaTypeError where the body is not said to be JSON, or is compressed."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedMediaTypeError("the header Content-Type must say application/json")
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UnsupportedMediaTypeError("send the body as it is: no Content-Encoding is taken")

    async def body(self, request: Request, most_mb: float | None = None, setting: str = MAX_BODY) -> bytes:
        """Return the body of a request that has its place. most_mb: the limit of `setting`, where it is another.

        Raises TooLargeError past the limit, whether or not Content-Length tells the truth, RequestTimeoutError where it
        takes too long, and OverloadedError where there is no room for it, or others took the place while it came.
        """
        most = self.most_bytes if most_mb is None else round(most_mb * 1_000_000)
        said = request.headers.get("content-length", "")
        body = Body(most, said.isdigit() and int(said) > most)
        place: Place = request.scope["state"]["place"]
        place.give_back()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.body_seconds):
                async for part in request.stream():
                    place.hold(body.take(part))
                    if body.given_up:
                        break
                body.whole = True
        if body.too_large:
            raise TooLargeError(f"the body is over {most:,} bytes: send fewer at a time, or raise {setting}")
        if not body.whole:
            seconds = self.limits.body_seconds
            raise RequestTimeoutError(f"the body did not come within {seconds:g} seconds, see serving.body_seconds")
        place.take()
        return b"".join(body.parts)

    async def in_turn(self, work: Callable[[], T]) -> T:
        """Run short work in the event loop, a piece a turn: whoever comes meanwhile is heard before the next one."""
        async with self._turn:
            await asyncio.sleep(0)
            return work()

    async def in_thread(self, work: Callable[[], T], size: int = 0) -> T:
        """Run work in a thread, so that health answers meanwhile; size: bytes of the body that it is about."""
        if not self._lanes:  # they belong to the event loop, so they are made inside it
            self._lanes = anyio.CapacityLimiter(1), anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(work, limiter=self._lanes[size >= LARGE_FROM])

    async def from_store(self, work: Callable[[Store], T]) -> T:
        """Run work that waits for the store in threads of its own. Raises what `store` does."""
        if self._store_threads is None:
            self._store_threads = anyio.CapacityLimiter(STORE_THREADS)
        return await anyio.to_thread.run_sync(lambda: work(self.store()), limiter=self._store_threads)

    def store(self) -> Store:
        """Return the store, opened when it is first asked for, which may take the database's time.

        Raises StoreError, or UsageError for its URL.
        """
        with self._opening:
            if self._store is None:
                if self._unopened is not None and time.monotonic() < self._unopened.until:
                    raise self._unopened.error.with_traceback(None)
                try:
                    self._store = self._open()
                except StateError as error:
                    self._unopened = Unopened(error, time.monotonic() + AGAIN_S)
                    raise
                self._ledger = Ledger(self._store, self.limits.ledger, self.metrics.dropped)
            return self._store

    def at_close(self, work: Callable[[], None]) -> None:
        """Have something closed with the store."""
        self._also.append(work)

    def close(self) -> None:
        """Write what waits and close the store."""
        for work in self._also:
            work()
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
        ledger = await self._ledger_now()
        if ledger is None:
            self._unkept += len(entries)
            self.metrics.dropped(len(entries))
            return
        kept = ledger.write(entries, asked, model_of(loaded))
        if kept is not None:
            await asyncio.wrap_future(kept)

    async def _ledger_now(self) -> Ledger | None:
        """Return the ledger; in best effort None where its store is not open, which is seen to behind the answer."""
        if self._ledger is None and self.limits.ledger is LedgerMode.DURABLE:
            await self.from_store(lambda _: None)
        elif self._ledger is None and (self._opener is None or not self._opener.is_alive()):
            self._opener = threading.Thread(target=self._try_to_open, name="store-opener", daemon=True)
            self._opener.start()
            await anyio.to_thread.run_sync(self._opener.join, BRIEFLY_S)
        return self._ledger

    def _try_to_open(self) -> None:
        try:
            self.store()
        except StateError as error:
            self.metrics.store_error(error.code)

    def wrote(self, rows: int) -> None:
        """Count rows of the ledger that a job wrote in a transaction of its own."""
        if self._ledger is not None:
            self._ledger.wrote(rows)

    def ledger_told(self) -> dict[str, object]:
        """Return what the status says of the ledger, since this process started."""
        made = self._ledger
        written, dropped = (made.written, made.dropped) if made is not None else (0, 0)
        return {"mode": str(self.limits.ledger), "written": written, "dropped": dropped + self._unkept}
