"""Clients that ask a service without a pause, in a process of their own: each waits for its answer, then asks again.

``python -m tests.bench.closed_loop`` reads a `Load` as JSON from standard input and writes a `Heard`. All connections
are kept alive and share one event loop, which costs so little a request that the services are the bottleneck; the CPU
seconds tell. The same for every service that is measured.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import uvloop

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Load:
    """Whole requests as Latin-1 text, sent in turns by every client; answers count after `warm` seconds."""

    port: int
    requests: tuple[str, ...]
    clients: int
    seconds: float
    warm: float


@dataclass
class Heard:
    """Answers with status 200 and their times in milliseconds, all others, and the CPU seconds of the clients."""

    seconds: float
    answers: int = 0
    ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    busy: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    def told(self) -> str:
        """The figures in a line."""
        p50, p95 = np.quantile(self.ms, (0.5, 0.95))
        return (
            f"{self.rate:,.0f} answers a second, p50 {p50:.1f} ms, p95 {p95:.1f} ms, clients busy "
            f"{self.busy / self.seconds:.0%} of a core"
        )


class Client(asyncio.Protocol):
    """One connection. turn: which request is next."""

    def __init__(self, requests: tuple[bytes, ...], turn: int, heard: Heard, since: float) -> None:
        self._requests = requests
        self._turn = turn
        self._heard = heard
        self._since = since
        self._left = b""
        self._sent = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of asyncio's
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._left += data
        head, found, body = self._left.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._left = b""
        now = time.perf_counter()
        if now >= self._since:
            if head.startswith(b"HTTP/1.1 200"):
                self._heard.answers += 1
                self._heard.ms.append((now - self._sent) * 1000)
            else:
                self._heard.failed.append((head[:20] + body[:200]).decode("latin-1"))
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if time.perf_counter() < self._since + self._heard.seconds:
            self._heard.failed.append(f"connection lost: {error!r}")

    def _ask(self) -> None:
        assert self.transport is not None
        self._sent = time.perf_counter()
        self.transport.write(self._requests[self._turn % len(self._requests)])
        self._turn += 1


def _length(head: bytes) -> int:
    """The length that an answer says its body has; both services say one."""
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


async def _ask_all(load: Load) -> Heard:
    heard = Heard(load.seconds)
    requests = tuple(one.encode("latin-1") for one in load.requests)
    since = time.perf_counter() + load.warm
    loop = asyncio.get_running_loop()
    for turn in range(load.clients):
        await loop.create_connection(partial(Client, requests, turn * 7, heard, since), "127.0.0.1", load.port)
    await asyncio.sleep(since - time.perf_counter())
    busy = time.process_time()
    await asyncio.sleep(load.seconds)
    heard.busy = time.process_time() - busy
    return heard


def ask(load: Load) -> Heard:
    """Ask from a process of its own. Raises AssertionError where an answer was not 200."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.closed_loop"], cwd=ROOT, input=json.dumps(asdict(load)),
        capture_output=True, text=True, timeout=load.seconds + load.warm + 60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    heard = Heard(**json.loads(done.stdout))
    assert heard.answers, "no answer came in time"
    assert heard.failed == [], heard.failed[:3]
    return heard


def post(path: str, body: bytes, **headers: str) -> str:
    """A whole request."""
    told = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body))} | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n{body.decode('latin-1')}"


def main() -> None:
    told = json.load(sys.stdin)
    heard = uvloop.run(_ask_all(Load(**told | {"requests": tuple(told["requests"])})))
    json.dump(asdict(heard), sys.stdout)


if __name__ == "__main__":
    main()
