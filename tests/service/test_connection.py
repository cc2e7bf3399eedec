"""Connections as hostile as a socket allows, against the app under uvicorn with the connections that BentoML gets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS

from configs.schema import Serving
from serving import connection
from serving.connection import MOST_BYTES, Bounded, bound_connections
from tests.raw import HEALTH, HOST, bomb, heard, post, refused_framing, sized, told
from tests.running import free_port
from tests.service.conftest import Serve, Served

pytestmark = pytest.mark.timeout(120)

HEAD_S = 0.4
MUCH = 40
"""Of parts that a test sends at most: far more than any limit lets through."""


@dataclass(frozen=True)
class Listening:
    """An app that listens."""

    port: int
    served: Served


@pytest.fixture
def listening(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    monkeypatch.setattr(connection, "HEAD_S", HEAD_S)
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])
    monkeypatch.setattr(Bounded, "around", None)
    bound_connections()
    served = serve(max_body_mb=0.2)
    config = uvicorn.Config(served.client.app, port=free_port(), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Listening(config.port, served)
    server.should_exit = True
    thread.join()


def test_a_middleware_may_stand_before_the_servers_app(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hears who calls from a trusted proxy, as the app behind it does, and need not ask that app."""
    seen: list[Any] = []

    class Around:
        def __init__(self, inner: ASGIApp) -> None:
            self._inner = inner

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["client"][0])
            own = scope["path"] == "/v1/health"
            await (Response(status_code=204) if own else self._inner)(scope, receive, send)

    monkeypatch.setattr(Bounded, "around", Around)
    assert told(listening.port, HEALTH + b"X-Forwarded-For: 192.0.2.7\r\n\r\n").statuses == [204]
    assert told(listening.port, HEALTH.replace(b"health", b"ready") + b"\r\n").statuses == [200]
    assert seen == ["192.0.2.7", "127.0.0.1"]


def test_framing_that_can_be_read_in_two_ways_is_400_and_ends_the_connection(listening: Listening) -> None:
    for name, raw in refused_framing(listening.served.key):
        got = told(listening.port, raw, answers=2)
        assert got.statuses[:1] == [400], name
        assert got.closed, name
        assert 404 not in got.statuses, f"{name}: what was smuggled was answered"


@pytest.mark.parametrize("start", [HEALTH + b"X-Long: ", b"GET /", HEALTH, b"G" * 10, b"\r\n"])
def test_a_head_that_does_not_end_is_cut_off(listening: Listening, start: bytes) -> None:
    part = b"\r\n" * 8_000 if start == b"\r\n" else b"X-A: b\r\n" * 2_000 if start == HEALTH else b"a" * 16_000
    got = told(listening.port, start, *[part] * MUCH, answers=2)
    assert got.closed
    assert got.statuses in ([431], [400], [])  # none where the rest, which nobody reads, resets the connection


@pytest.mark.parametrize("head", [HEALTH + b"X-Long: %s\r\n\r\n", HEALTH + b"%s\r\n"])
def test_a_whole_head_past_the_limit_is_431(listening: Listening, head: bytes) -> None:
    many = b"".join(b"X-%d: a\r\n" % k for k in range(MOST_BYTES // 5))
    got = told(listening.port, head % (many if head.endswith(b"%s\r\n") else b"a" * MOST_BYTES))
    assert got.statuses == [431]
    assert told(listening.port, HEALTH + b"X-Long: " + b"a" * (MOST_BYTES - 500) + b"\r\n\r\n").statuses == [200]


def test_a_trailer_that_does_not_end_is_cut_off(listening: Listening) -> None:
    head = post(listening.served.key, b"Transfer-Encoding: chunked")
    assert told(listening.port, head, b"2\r\n{}\r\n0\r\nX-Trailer: ", *[b"a" * 16_000] * MUCH, answers=2).closed
    assert told(listening.port, head, b"2;", *[b"a" * 16_000] * MUCH, answers=2).closed


def test_small_chunks_are_no_offence(listening: Listening) -> None:
    """Twice the limit of a head, in parts of 10 bytes."""
    head = post(listening.served.key, b"Transfer-Encoding: chunked")
    parts = [b"a\r\n" + b" " * 10 + b"\r\n"] * (2 * MOST_BYTES // 15)
    assert told(listening.port, head, *parts, b"2\r\n{}\r\n0\r\n\r\n").statuses == [422]


@pytest.mark.parametrize("start", [b"", b"GET ", HEALTH + b"X-A: "])
def test_a_head_that_drips_is_408(listening: Listening, start: bytes) -> None:
    with socket.create_connection(("127.0.0.1", listening.port), timeout=HEAD_S / 8) as one:
        one.sendall(start)
        for _ in range(24):
            got = heard(one, 1)
            if got.data:
                break
            one.sendall(b"a") if start else None
    assert got.statuses == [408]


def test_the_second_head_of_a_connection_is_timed_too(listening: Listening) -> None:
    got = told(listening.port, HEALTH + b"\r\n", b"GET /v1", answers=3, seconds=8 * HEAD_S)
    assert (got.statuses, got.closed) == ([200, 408], True)


def test_an_idle_connection_is_not_told_that_it_is_late(listening: Listening) -> None:
    got = told(listening.port, HEALTH + b"\r\n", answers=2, seconds=3 * HEAD_S)
    assert (got.statuses, got.closed) == ([200], False)


def test_a_body_that_takes_longer_than_a_head_may_is_waited_for(listening: Listening) -> None:
    with socket.create_connection(("127.0.0.1", listening.port), timeout=2 * HEAD_S) as one:
        one.sendall(post(listening.served.key, b"Content-Length: 2") + b"{")
        assert heard(one, 1).data == b""
        one.sendall(b"}")
        assert heard(one, 1).statuses == [422]


def test_pipelined_requests_are_answered_in_order(listening: Listening) -> None:
    nope = b"GET /v1/nope HTTP/1.1\r\n" + HOST + b"\r\n"
    wanted = [200, 404, 422] * 10
    one = HEALTH + b"\r\n" + nope + sized(listening.served.key, b"{}")
    assert told(listening.port, one * 10, answers=30).statuses == wanted


def test_a_compressed_body_is_415_and_never_unpacked(listening: Listening) -> None:
    for coding in (b"gzip", b"deflate", b"br", b"zstd", b"identity, gzip"):
        raw = sized(listening.served.key, bomb(10), b"Content-Encoding: " + coding)
        assert told(listening.port, raw).statuses == [415]
    assert told(listening.port, sized(listening.served.key, b"{}", b"Content-Encoding: identity")).statuses == [422]


def test_a_line_break_in_a_path_forges_neither_a_header_nor_a_line(listening: Listening) -> None:
    raw = b"GET /v1/%0d%0aX-Forged:%201%0d%0a%0d%0aHTTP/1.1%20200%20OK HTTP/1.1\r\n" + HOST
    got = told(listening.port, raw + b"X-Request-Id: a%0ab\r\ntraceparent: 00-x\r\n\r\n")
    assert got.statuses == [404]
    assert b"orged" not in got.data
    (line,) = listening.served.lines
    assert line["route"] is None
    assert "orged" not in str(line)
    assert len(line["request_id"]) == 16


@pytest.mark.skipif("body_seconds" not in Serving.model_fields, reason="bodies have no time limit yet")
def test_a_body_that_drips_is_408(serve: Serve) -> None:
    served = serve(body_seconds=HEAD_S)
    config = uvicorn.Config(served.client.app, port=free_port(), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with socket.create_connection(("127.0.0.1", config.port), timeout=HEAD_S / 8) as one:
        one.sendall(post(served.key, b"Content-Length: 1000"))
        for _ in range(24):
            got = heard(one, 1)
            if got.data:
                break
            one.sendall(b" ")
    server.should_exit = True
    thread.join()
    assert got.statuses == [408]
