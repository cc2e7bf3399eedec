"""``forecastle serve`` in a process of its own, asked over a socket."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from configs.schema import Config
from serving.auth import create_key, keys_file
from tests.stored import EVERYTHING

ROOT = Path(__file__).parents[1]
START_S, STOP_S = 120, 30  # BentoML takes 10 s on a quiet machine


@dataclass(frozen=True)
class Server:
    """A running service."""

    process: subprocess.Popen[str]
    port: int
    key: str
    log: Path

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request; the headers are those of a good one unless given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"} | headers
            connection.request(method, path, body, {name: value for name, value in sent.items() if value})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def score(self, body: bytes, **headers: str) -> tuple[int, Any]:
        """Post a body to the scoring route."""
        status, _, data = self.ask("POST", "/v1/deals/score", body, **headers)
        return status, json.loads(data)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log that tell of an event."""
        told = [line for line in self.log.read_text(errors="replace").splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, told) if line["event"] == event]

    def begin(self, body: bytes) -> socket.socket:
        """Send the head of a scoring request and return when the service waits for its body: it is under way."""
        under_way = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        head = (
            f"POST /v1/deals/score HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        )
        under_way.sendall(head.encode())
        assert under_way.recv(1000).startswith(b"HTTP/1.1 100")
        return under_way

    def wait(self, what: str, there: Callable[[], bool], seconds: float = 60) -> float:
        """Wait until something is so and return how long that took."""
        start = time.monotonic()
        while not there():
            assert self.process.poll() is None, self.log.read_text()
            if time.monotonic() - start > seconds:
                pytest.fail(f"{what}: not so after {seconds:g} s: {self.log.read_text()[-4000:]}")
            time.sleep(0.05)
        return time.monotonic() - start


def answers(port: int) -> bool:
    """Whether anybody listens at a port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def new_key(config: Config, port: int) -> str:
    """A key that may do everything at the service of a port."""
    return create_key(keys_file(config), f"port {port}", datetime.now(UTC), rights=EVERYTHING)


@contextmanager
def running(config: Config, path: Path, overrides: Sequence[str], folder: Path, **more: str) -> Iterator[Server]:
    """Start the service as a user would, wait until it is ready, and kill it at the end if it still runs.

    config: what the overrides make of the file at `path`; folder: where it starts and leaves its log; more: its
    environment beside this one, the directories of a PYTHONPATH behind this code's.
    """
    port = free_port()
    words = [word for each in [*overrides, f"serving.port={port}"] for word in ("--set", each)]
    command = [sys.executable, "-c", "import forecastle; forecastle.main()", "serve", str(path), *words]
    found = os.pathsep.join(part for part in (str(ROOT), more.pop("PYTHONPATH", "")) if part)
    environment = {**os.environ, "PYTHONPATH": found, **more}
    with started(command, environment, new_key(config, port), port, folder) as server:
        yield server


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], key: str, port: int, folder: Path
) -> Iterator[Server]:
    """Run a command that serves on a port, where a key works, wait until it is ready, and kill it at the end."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, text=True, start_new_session=True
        )
    server = Server(process, port, key, folder / "log")
    try:
        server.wait("ready", lambda: _is_ready(server), START_S)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait(STOP_S)


def _is_ready(server: Server) -> bool:
    try:
        return server.ask("GET", "/readyz")[0] == 200
    except OSError:
        return False
