"""Who is let in: so many requests at once, so many bytes of bodies at once, and so many requests a second of a key.

What is turned away is turned away at once and unread, so that a caller hears it while others are being answered. Health
and readiness never pass here, and metrics and status have no rate: they are asked when there is too much to do.

A request takes no place while its body comes, or slow callers would take all of them; it asks for one before, so that
a body is not read in vain. Everything runs in the event loop of a worker, so nothing here needs a lock.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from configs.errors import OverloadedError, RateLimitedError
from serving.metrics import Metrics

Handler = Callable[[Request], Awaitable[Response]]
BODIES = 4
"""So many of the largest bodies may be held at once."""


class Admission:
    """The places of one worker. most: requests at once; room: bytes of bodies at once."""

    def __init__(self, most: int, room: int, metrics: Metrics) -> None:
        self._most = most
        self._metrics = metrics
        self.room = room

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for a request until it is answered. Raises OverloadedError where none is free."""
        place = Place(self)
        place.take()
        try:
            yield place
        finally:
            place.give_back()
            self.room += place.held

    def admitted(self, handler: Handler) -> Handler:
        """Return a handler that asks for a place first."""

        async def with_place(request: Request) -> Response:
            with self.place() as place:
                request.scope["state"]["place"] = place
                return await handler(request)

        return with_place

    def count(self, change: int) -> None:
        """Count a place taken (1) or given back (-1). Raises OverloadedError where none is free."""
        if change > 0 and self._metrics.in_flight >= self._most:
            raise OverloadedError("the worker has as much to do as it takes at once: ask again in a moment")
        self._metrics.in_flight += change


class Place:
    """That of one request. held: bytes of its body."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._taken = False
        self.held = 0

    def take(self) -> None:
        """Take the place, again after it was given back. Raises OverloadedError where none is free."""
        if not self._taken:
            self._admission.count(1)
            self._taken = True

    def give_back(self) -> None:
        """Let others have it."""
        if self._taken:
            self._admission.count(-1)
            self._taken = False

    def hold(self, size: int) -> None:
        """Hold more bytes of a body. Raises OverloadedError where there is no room for them."""
        if size > self._admission.room:
            raise OverloadedError("the worker holds as many bodies as it takes at once: ask again in a moment")
        self._admission.room -= size
        self.held += size


@dataclass
class _Bucket:
    """What a key may still send, as of an instant in seconds."""

    tokens: float
    at: float


class Rates:
    """A token bucket for each key that works. rate: requests a second, None: no limit; clock: seconds that only grow.

    Each worker has its own: a key that reaches all of them may send as often to each.
    """

    def __init__(self, rate: float | None, burst: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str) -> None:
        """Count a request of a key. Raises RateLimitedError, which says when the next one is let in."""
        if self._rate is None:
            return
        now = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(self._burst, now))
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < 1:
            wait = (1 - bucket.tokens) / self._rate
            told = f"this key may send {self._rate:g} requests a second to a worker, {self._burst:,} at once"
            raise RateLimitedError(told, retry_after=math.ceil(wait))
        bucket.tokens -= 1
