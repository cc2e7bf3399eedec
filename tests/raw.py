"""Bytes over a socket, as no client library would send them, and what came back."""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

HOST = b"Host: localhost\r\n"
HEALTH = b"GET /v1/health HTTP/1.1\r\n" + HOST
STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True)
class Heard:
    """What a connection was told. closed: the other side hung up; else it waited for more."""

    data: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        """The status of each answer, in order."""
        return [int(status) for status in STATUS_LINE.findall(self.data)]


def told(port: int, *parts: bytes, seconds: float = 2.0, answers: int = 1) -> Heard:
    """Send parts, then read until so many answers have come, the other side hangs up, or it is silent for so long.

    A connection that breaks while it is written to is read all the same: the answer may be there already.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except OSError:
            pass
        return heard(connection, answers)


def heard(connection: socket.socket, answers: int) -> Heard:
    """Read what a connection is told."""
    data = b""
    while len(STATUS_LINE.findall(data)) < answers or not _whole(data):
        try:
            more = connection.recv(65_536)
        except TimeoutError:
            return Heard(data, False)
        except OSError:
            return Heard(data, True)
        if not more:
            return Heard(data, True)
        data += more
    return Heard(data, False)


def _whole(data: bytes) -> bool:
    """The last answer has its whole body."""
    head, gap, body = data[data.rfind(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(gap) and (length is None or len(body) >= int(length[1]))


def post(key: str, *headers: bytes, path: str = "/v1/deals/score") -> bytes:
    """The head of a good POST, its last empty line included; headers without their line ends."""
    lines = [
        f"POST {path} HTTP/1.1".encode(),
        HOST.strip(),
        f"Authorization: Bearer {key}".encode(),
        b"Content-Type: application/json",
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def sized(key: str, body: bytes, *headers: bytes) -> bytes:
    """A POST with a body and its true length."""
    return post(key, b"Content-Length: %d" % len(body), *headers) + body


def bomb(megabytes: int) -> bytes:
    """Zeros that were compressed to a thousandth."""
    return gzip.compress(bytes(megabytes * 1_000_000))


def refused_framing(key: str) -> Iterable[tuple[str, bytes]]:
    """Requests whose end two readers could see in two places, or whose head holds what no head may: name, bytes."""
    smuggled = b"GET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    yield "length and chunks", post(key, b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + smuggled
    yield "two lengths", post(key, b"Content-Length: 2", b"Content-Length: 50") + b"{}" + smuggled
    yield "one length twice", post(key, b"Content-Length: 2", b"Content-Length: 2") + b"{}"
    yield "a list of lengths", post(key, b"Content-Length: 2, 2") + b"{}"
    yield "a negative length", post(key, b"Content-Length: -1") + b"{}"
    yield "a length with a sign", post(key, b"Content-Length: +2") + b"{}"
    yield "a length beyond 64 bits", post(key, b"Content-Length: " + b"9" * 30) + b"{}"
    yield "an unknown transfer coding", post(key, b"Transfer-Encoding: xchunked") + b"0\r\n\r\n"
    yield "chunked, but not last", post(key, b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n"
    yield "a blank before the colon", post(key, b"Transfer-Encoding : chunked") + b"0\r\n\r\n"
    yield "a chunk size that is no number", post(key, b"Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n"
    yield "a chunk size beyond 64 bits", post(key, b"Transfer-Encoding: chunked") + b"F" * 18 + b"\r\n{}\r\n"
    yield "a chunk longer than it says", post(key, b"Transfer-Encoding: chunked") + b"1\r\n{}\r\n0\r\n\r\n"
    yield "a body longer than it says", post(key, b"Content-Length: 1") + b"{}\r\n\r\n"
    yield "a folded header", HEALTH + b"X-A: b\r\n c\r\n\r\n"
    yield "line feeds alone", b"GET /v1/health HTTP/1.1\nHost: localhost\n\n"
    yield "a return inside a header", HEALTH + b"X-A: b\rX-B: c\r\n\r\n"
    yield "a NUL in the path", b"GET /v1/he\0alth HTTP/1.1\r\n" + HOST + b"\r\n"
    yield "a NUL in a header", HEALTH + b"X-A: b\0c\r\n\r\n"
    yield "a proxy's CONNECT", b"CONNECT example.org:443 HTTP/1.1\r\n" + HOST + b"\r\n"
    yield "TLS", bytes.fromhex("16030100c8010000c40303") + bytes(200)
    yield "noise", bytes(range(256)) * 10
