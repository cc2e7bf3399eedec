"""Who is let in: places, bytes and rates; what is turned away, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest

from configs.errors import OverloadedError, RateLimitedError
from configs.schema import Jobs
from serving.admission import BODIES, Admission, Rates
from serving.metrics import Metrics
from tests.contracted import check
from tests.served import World, posted
from tests.service.conftest import Serve, Served
from tests.service.test_metrics import asked, value

pytestmark = pytest.mark.timeout(120)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """A caller that sends its body in parts, each when the test says so, and what it was answered."""

    def __init__(self, served: Served, *parts: bytes, **headers: str) -> None:
        self.parts: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[Any] = []
        sent = served.headers | headers
        self.scope = {
            "type": "http", "method": "POST", "path": "/v1/deals/score", "raw_path": b"/v1/deals/score",
            "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1", "server": ("testserver", 80),
            "client": ("test", 1), "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items()],
        }  # fmt: skip
        for part in parts:
            self.parts.put_nowait(part)
        self.task = asyncio.create_task(served.client.app(self.scope, self._receive, self._send))  # type: ignore[arg-type]

    async def _receive(self) -> Any:
        part = await self.parts.get()
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    async def answer(self) -> httpx.Response:
        """Wait until it is answered; the answer is as the contract has it."""
        await self.task
        start, *rest = self.sent
        request = httpx.Request("POST", "http://testserver/v1/deals/score")
        body = b"".join(one.get("body", b"") for one in rest)
        got = httpx.Response(start["status"], headers=start["headers"], content=body, request=request)
        check(got)
        return got


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def gathered(served: Served, *paths: tuple[str, str], body: bytes) -> list[httpx.Response]:
    """Ask at once, each before any is answered."""
    transport = httpx.ASGITransport(served.client.app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        calls: list[Coroutine[Any, Any, httpx.Response]] = [
            client.request(method, path, content=body if method == "POST" else None, headers=served.headers)
            for method, path in paths
        ]
        answers = await asyncio.gather(*calls)
    for one in answers:
        check(one)
    return answers


SCORE = ("POST", "/v1/deals/score")


def test_past_its_places_a_worker_says_so_and_when_to_ask_again(serve: Serve, world: World, ids: list[str]) -> None:
    served = serve(max_in_flight=2)
    body = posted(world.body(ids[:1]))
    answers = asyncio.run(gathered(served, *[SCORE] * 5, body=body))
    assert sorted(got.status_code for got in answers) == [200, 200, 503, 503, 503]
    for got in answers:
        if got.status_code == 503:
            assert (got.json()["code"], got.json()["retry_after_seconds"]) == ("overloaded", 1)
            assert (got.headers["retry-after"], got.json()["instance"]) == ("1", "/v1/deals/score")
    found = asked(served)
    assert value(found, "requests_shed_total", reason="overloaded") == 3
    assert value(found, "requests_in_flight") == 0
    assert served.score(body).status_code == 200  # every place was given back


def test_health_readiness_metrics_and_status_are_never_turned_away(serve: Serve, world: World, ids: list[str]) -> None:
    served = serve(max_in_flight=1, rate_per_second=0.001, rate_burst=1)
    others = [("GET", f"/v1/{name}") for name in ("health", "ready", "metrics", "status")] * 3
    answers = asyncio.run(gathered(served, SCORE, SCORE, *others, body=posted(world.body(ids[:1]))))
    assert [got.status_code for got in answers] == [200, 503, *[200] * 12]
    assert b"forecastle_requests_in_flight 1.0" in answers[4].content


def test_a_request_that_fails_gives_its_place_back(serve: Serve) -> None:
    served = serve(max_in_flight=1)
    for _ in range(3):
        assert served.score(b"[").status_code == 400
        assert served.client.post("/v1/deals/score", headers={}).status_code == 401


def test_a_body_that_comes_slowly_takes_no_place(serve: Serve, world: World, ids: list[str]) -> None:
    served = serve(max_in_flight=1)
    body = posted(world.body(ids[:1]))

    async def run() -> list[int]:
        slow = [Slow(served, body[:100]) for _ in range(3)]
        await settle()
        (quick,) = await gathered(served, SCORE, body=body)
        statuses = [quick.status_code]
        for one in slow:
            one.parts.put_nowait(body[100:])
            one.parts.put_nowait(None)
            statuses.append((await one.answer()).status_code)
        return statuses

    assert asyncio.run(run()) == [200] * 4


def test_a_body_that_is_there_when_the_place_is_gone_is_turned_away(serve: Serve, world: World, ids: list[str]) -> None:
    served = serve(max_in_flight=1)
    body = posted(world.body(ids[:1]))

    async def run() -> list[int]:
        one, other = Slow(served, body), Slow(served, body)
        await settle()
        for slow in (one, other):
            slow.parts.put_nowait(None)
        return [(await slow.answer()).status_code for slow in (one, other)]

    assert asyncio.run(run()) == [200, 503]


def test_a_body_that_does_not_come_is_408_and_the_connection_closes(serve: Serve) -> None:
    served = serve(body_seconds=0.001, max_in_flight=1)

    async def run() -> list[httpx.Response]:
        return [await Slow(served, b"{").answer(), await Slow(served).answer()]

    for got in asyncio.run(run()):
        assert (got.status_code, got.json()["code"]) == (408, "request_timeout")
        assert got.headers["connection"] == "close"
        assert "0.001 seconds" in got.json()["detail"]


def test_a_body_that_is_too_large_and_slow_is_413(serve: Serve) -> None:
    served = serve(body_seconds=0.001, max_body_mb=0.001)

    async def run() -> httpx.Response:
        return await Slow(served, b" " * 2_000).answer()

    assert asyncio.run(run()).status_code == 413


def test_only_so_many_bytes_of_bodies_are_held(serve: Serve) -> None:
    served = serve(max_body_mb=0.001, jobs=Jobs(max_mb=0.001))

    async def run() -> list[int]:
        held = [Slow(served, b" " * 900) for _ in range(BODIES)]
        await settle()
        beyond = (await Slow(served, b" " * 900).answer()).status_code
        for one in held:
            one.parts.put_nowait(None)
        return [beyond, *[(await one.answer()).status_code for one in held]]

    assert asyncio.run(run()) == [503, *[400] * BODIES]
    assert served.client.app.state.api.admission.room == BODIES * 1_000  # type: ignore[attr-defined]


def test_a_key_past_its_rate_is_told_when_it_is_let_in_again(serve: Serve, world: World, ids: list[str]) -> None:
    served = serve(rate_per_second=0.01, rate_burst=2)
    body = posted(world.body(ids[:1]))
    got = [served.score(body) for _ in range(3)]
    assert [one.status_code for one in got] == [200, 200, 429]
    assert got[2].json()["code"] == "rate_limited"
    assert 90 <= got[2].json()["retry_after_seconds"] == int(got[2].headers["retry-after"]) <= 100
    assert served.client.get("/v1/deals", headers=served.headers).status_code == 429
    assert value(asked(served), "requests_shed_total", reason="rate_limited") == 2
    assert served.client.post("/v1/deals/score", headers={"X-API-Key": "fc_00000000_x"}).status_code == 401


def test_a_bucket_fills_at_its_rate_up_to_its_burst() -> None:
    clock, waits = Clock(), set[int]()
    rates = Rates(2.0, 3, clock)

    def let_in() -> int:
        count = 0
        while True:
            try:
                rates.take("a")
            except RateLimitedError as error:
                waits.add(error.retry_after)
                return count
            count += 1

    assert let_in() == 3
    clock.now += 1.0
    assert let_in() == 2
    clock.now += 0.25
    assert let_in() == 0  # what is refused costs nothing: the half token is still there
    clock.now += 0.25
    assert let_in() == 1
    clock.now += 1e6
    assert let_in() == 3
    rates.take("b")
    assert waits == {1}


def test_without_a_rate_every_request_is_let_in() -> None:
    rates = Rates(None, 1, Clock())
    for _ in range(1000):
        rates.take("a")


def test_a_place_is_given_back_once() -> None:
    metrics = Metrics()
    admission = Admission(1, 100, metrics)
    with admission.place() as first:
        first.hold(60)
        with pytest.raises(OverloadedError), admission.place():
            pass
        first.give_back()
        first.give_back()
        with admission.place() as second:
            with pytest.raises(OverloadedError):
                second.hold(41)
            second.hold(40)
            with pytest.raises(OverloadedError):
                first.take()
    assert (metrics.in_flight, admission.room) == (0, 100)


def test_short_work_lets_the_loop_turn_between_pieces(served: Served) -> None:
    """Whoever comes while pieces wait is heard after the one that runs, not after all of them."""
    api = served.client.app.state.api  # type: ignore[attr-defined]
    order: list[str] = []

    async def run() -> None:
        pieces = [asyncio.create_task(api.in_turn(lambda k=k: order.append(f"piece {k}"))) for k in range(3)]
        while len(order) < 3 or order[-1] != "piece 2":
            await asyncio.sleep(0)
            if order and order[-1].startswith("piece"):
                order.append("heard")
            if all(one.done() for one in pieces):
                break
        await asyncio.gather(*pieces)

    asyncio.run(run())
    told = [one for one in order if one.startswith("piece")]
    assert told == ["piece 0", "piece 1", "piece 2"]
    assert order.index("heard") < order.index("piece 1")
    assert order[order.index("piece 1") + 1 : order.index("piece 2")] == ["heard"]
