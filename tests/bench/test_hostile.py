"""The real service, one worker, while it is treated badly: what it answers, how much it grows, and what others notice.

FORECASTLE_HOSTILE=short sends less of everything, to see that it runs.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from urllib.parse import quote

import pytest

from configs.schema import Serving
from tests.bench.measure import held, say
from tests.load import living
from tests.raw import HEALTH, Heard, bomb, post, refused_framing, sized, told
from tests.running import Server, running
from tests.served import World, posted, world_in
from tests.service.test_metrics import series
from tests.stored import few_deals

SHORT = os.environ.get("FORECASTLE_HOSTILE") == "short"
PATHS, KEYS, WARM, SLOW, ASKED = (500, 50, 50, 20, 40) if SHORT else (10_000, 1_000, 300, 200, 400)
MOST_SERIES, SCAN_GROWTH, ATTACK_GROWTH = 2_000, 20e6, 30e6
LIMIT_S = 1.0
"""How long a body may take here, once bodies have a time limit."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("hostile") / "world"
    folder.mkdir()
    return world_in(folder)


@pytest.fixture(scope="module")
def body(world: World) -> bytes:
    return posted(world.body(few_deals(world)[:3]))


@pytest.fixture
def server(world: World, body: bytes, tmp_path: Path) -> Iterator[Server]:
    """Warm: what a worker allocates for its first requests is not growth."""
    timed = [f"serving.body_seconds={LIMIT_S}"] if "body_seconds" in Serving.model_fields else []
    overrides = [*world.overrides, "serving.workers=1", *timed]
    with running(world.config, world.config_path, overrides, tmp_path) as server:
        for _ in range(WARM):
            assert server.score(body)[0] == 200
        scan(server, Random(1), WARM, WARM)
        yield server


def resident(server: Server) -> float:
    """Bytes that the worker holds."""
    (pid,) = living(server)
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("VmRSS"))


def scan(server: Server, random: Random, paths: int, keys: int) -> Counter[int]:
    """Ask for paths that hold anything, and with keys that are none; counts statuses."""
    answers: Counter[int] = Counter()
    for _ in range(paths):
        rest = "".join(random.choices("abcXYZ0129/_-.%\u00e9\n", k=random.randint(1, 30)))
        start = random.choice(["", "/v1", "/v1/deals", "/v1/deals/score"])
        answers[server.ask(random.choice(["GET", "POST", "PUT"]), f"{start}/{quote(rest)}")[0]] += 1
    for k in range(keys):
        path = random.choice(["/v1/status", "/v1/deals", f"/v1/deals/D{k}/score", "/v1/metrics"])
        key = f"Bearer fc_{random.getrandbits(32):08x}_{random.getrandbits(256):x}"
        answers[server.ask("GET", path, Authorization=key)[0]] += 1
    return answers


@pytest.mark.timeout(3600)
def test_a_scan_of_paths_and_keys(server: Server) -> None:
    before = resident(server)
    answers = scan(server, Random(7), PATHS, KEYS)
    grown = resident(server) - before
    found = len(series(server.ask("GET", "/v1/metrics")[2].decode()))
    say(f"        {PATHS:,} paths and {KEYS:,} wrong keys: {dict(answers)}")
    other = sum(count for status, count in answers.items() if status not in (401, 404, 405))
    held("answers that are neither 401, 404 nor 405", other, "0", other == 0)
    held("wrong keys that were refused", answers[401], f"at least {KEYS}", answers[401] >= KEYS)
    held("series after the scan", found, f"under {MOST_SERIES:,}", found < MOST_SERIES)
    held("MB that the worker grew by in the scan", grown / 1e6, "at most 20", grown <= SCAN_GROWTH)


def endless(server: Server, head: bytes, part: bytes, megabytes: int, answers: int = 2) -> Heard:
    """Send a head and then a part again and again."""
    return told(server.port, head, *[part] * (megabytes * 1_000_000 // len(part)), seconds=20, answers=answers)


def attacks(server: Server) -> dict[str, tuple[Callable[[], Heard], set[int]]]:
    """Name -> what to do, and which statuses are right. A connection that is reset before any answer is right too."""
    key, port = server.key, server.port
    chunked = post(key, b"Transfer-Encoding: chunked")
    megabyte = b"f4240\r\n" + b" " * 1_000_000 + b"\r\n"
    found = {
        "a header of 100 MB": (lambda: endless(server, HEALTH + b"X-Long: ", b"a" * 65_536, 100), {431}),
        "100 MB of headers": (lambda: endless(server, HEALTH, b"X-A: b\r\n" * 8_000, 100), {431}),
        "a path of 100 MB": (lambda: endless(server, b"GET /", b"a" * 65_536, 100), {400, 431}),
        "a trailer of 100 MB": (
            lambda: endless(server, chunked + b"2\r\n{}\r\n0\r\nX-A: ", b"a" * 65_536, 100),
            {422, 431},
        ),
        "a body of 100 MB": (
            lambda: endless(server, post(key, b"Content-Length: 100000000"), b" " * 1_000_000, 100),
            {413},
        ),
        "100 MB in chunks": (lambda: endless(server, chunked, megabyte, 100), {413}),
        "100 MB without a key": (
            lambda: endless(
                server, post("fc_00000000_no", b"Content-Length: 100000000"), b" " * 1_000_000, 100, answers=1
            ),
            {401},
        ),
        "a gzip bomb of 100 MB": (lambda: told(port, sized(key, bomb(100), b"Content-Encoding: gzip")), {415}),
        "10^5 nested lists": (lambda: told(port, sized(key, b"[" * 100_000)), {400}),
        "10^5 nested objects": (lambda: told(port, sized(key, b'{"a":' * 100_000)), {400}),
        "1,000 pipelined requests": (
            lambda: told(port, (HEALTH + b"\r\n") * 1_000, answers=1_000, seconds=60),
            {200},
        ),
    }
    return found | {
        f"framing: {name}": (lambda raw=raw: told(port, raw, answers=2), {400}) for name, raw in refused_framing(key)
    }


@contextmanager
def timing(server: Server, body: bytes) -> Iterator[list[float]]:
    """Another caller, asking for scores without a pause; milliseconds of each."""
    taken: list[float] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            start = time.perf_counter()
            assert server.score(body)[0] == 200
            taken.append((time.perf_counter() - start) * 1e3)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield taken
    finally:
        done.set()
        thread.join()


def p99(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]


@pytest.mark.timeout(3600)
def test_what_is_sent_is_refused_and_leaves_nothing(server: Server, body: bytes) -> None:
    """Each attack three times: what one alone leaves may be the allocator's."""
    before = resident(server)
    for name, (attack, right) in attacks(server).items():
        for _ in range(1 if SHORT else 3):
            statuses = set(attack().statuses)
        held(f"{name}: statuses that are wrong", len(statuses - right), f"0, of {sorted(right)}", statuses <= right)
    grown = resident(server) - before
    held("MB that the worker grew by", grown / 1e6, "at most 30", grown <= ATTACK_GROWTH)
    assert server.score(body)[0] == 200
    assert "Traceback" not in server.log.read_text()


@pytest.mark.timeout(3600)
def test_others_are_answered_while_heads_and_bodies_drip(server: Server, body: bytes) -> None:
    """Connections that send a byte every half second, 200 of them; p99 of another caller beside that without them."""
    with timing(server, body) as alone:
        server.wait("a caller alone was answered", lambda: len(alone) >= ASKED, 600)
    before = resident(server)
    heads, bodies = dripping(server, HEALTH + b"X-A: "), dripping(server, post(server.key, b"Content-Length: 1000"))
    stop = threading.Event()
    thread = threading.Thread(target=drip, args=([*heads, *bodies], stop))
    thread.start()
    with timing(server, body) as beside:
        server.wait("a caller beside them was answered", lambda: len(beside) >= ASKED, 600)
    grown = resident(server) - before
    time.sleep(12)  # a head may take 10 s
    stop.set()
    thread.join()
    ends = {"heads": Counter(map(answered, heads)), "bodies": Counter(map(answered, bodies))}
    say(f"        p99 alone {p99(alone):.1f} ms, beside {2 * SLOW} slow connections {p99(beside):.1f} ms; ends {ends}")
    held("p99 beside slow connections / alone", p99(beside) / p99(alone), "at most 2", p99(beside) <= 2 * p99(alone))
    held("MB that the worker grew by", grown / 1e6, "at most 30", grown <= ATTACK_GROWTH)
    held("heads that dripped and were told 408", ends["heads"][408], f"all {SLOW}", ends["heads"][408] == SLOW)
    if "body_seconds" in Serving.model_fields:
        held("bodies that dripped and were told 408", ends["bodies"][408], f"all {SLOW}", ends["bodies"][408] == SLOW)


def dripping(server: Server, head: bytes) -> list[socket.socket]:
    """Connections that have begun."""
    made = [socket.create_connection(("127.0.0.1", server.port), timeout=2) for _ in range(SLOW)]
    for one in made:
        one.sendall(head)
    return made


def drip(connections: list[socket.socket], stop: threading.Event) -> None:
    """Send each a byte every half second; those that are closed are left."""
    while not stop.wait(0.5):
        for one in connections:
            with contextlib.suppress(OSError):
                one.sendall(b" ")


def answered(connection: socket.socket) -> int:
    """The status that a connection was told, 0 for none; it is closed then."""
    with connection, contextlib.suppress(OSError):
        return next(iter(Heard(connection.recv(65_536), True).statuses), 0)
    return 0
