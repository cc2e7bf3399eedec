"""The real service with eight times the callers it has places for, and with a job beside them.

FORECASTLE_OVERLOAD=short makes each part 10 s instead of 60. What was refused is asked again after `PAUSE_S`, sooner
than the service says, so that turning away costs something too. Times are those of the callers, who share the cores:
what each side takes of them is told beside the goodput.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.answers import iso
from tests.bench.measure import held, say
from tests.load import living
from tests.running import Server, running
from tests.served import World, posted, world_in

SECONDS = 10.0 if os.environ.get("FORECASTLE_OVERLOAD") == "short" else 60.0
FEW, MANY, WORKERS = 8, 64, 2
PROCESSES = 2  # of callers: one alone would be what is measured
PAUSE_S, LOOK_S = 0.1, 0.05
JOB = 1_500  # deals
REFUSED = {("503", "overloaded"), ("429", "rate_limited")}


@dataclass
class Heard:
    """What callers were told. scored, refused: seconds of each; wrong: anything else, resets among it.

    busy, worked: CPU seconds of the callers, and of the workers meanwhile.
    """

    scored: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    busy: float = 0.0
    worked: float = 0.0

    def add(self, other: Heard) -> None:
        self.scored += other.scored
        self.refused += other.refused
        self.wrong += other.wrong
        self.busy += other.busy

    def take(self, status: int, headers: Any, body: bytes, seconds: float) -> bool:
        """Note an answer; whether it was a score."""
        if status == 200:
            self.scored.append(seconds)
            return True
        told = json.loads(body)
        if (str(status), told["code"]) in REFUSED and int(headers["Retry-After"]) == told["retry_after_seconds"] >= 1:
            self.refused.append(seconds)
        else:
            self.wrong.append(f"{status}: {body[:200]!r}")
        return False


def caller(port: int, key: str, body: bytes, until: float) -> Heard:
    """Ask over one connection until a time."""
    heard = Heard()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while time.time() < until:
        start = time.perf_counter()
        try:
            connection.request("POST", "/v1/deals/score", body, headers)
            got = connection.getresponse()
            scored = heard.take(got.status, got.headers, got.read(), time.perf_counter() - start)
        except (OSError, http.client.HTTPException) as error:
            heard.wrong.append(repr(error))
            connection.close()
            scored = False
        if not scored:
            time.sleep(PAUSE_S)
    connection.close()
    return heard


def callers(count: int, port: int, key: str, body: bytes, seconds: float) -> Heard:
    """Ask from so many threads of this process, which may have been started for it."""
    heard, until, busy = Heard(), time.time() + seconds, time.process_time()
    with ThreadPoolExecutor(count) as pool:
        for one in pool.map(lambda _: caller(port, key, body, until), range(count)):
            heard.add(one)
    heard.busy = time.process_time() - busy
    return heard


def asked_by(pool: ProcessPoolExecutor, server: Server, body: bytes, count: int, seconds: float) -> Heard:
    """Ask from so many callers at once."""
    before = worked(server)
    each = [pool.submit(callers, count // PROCESSES, server.port, server.key, body, seconds) for _ in range(PROCESSES)]
    heard = Heard()
    for one in each:
        heard.add(one.result())
    heard.worked = worked(server) - before
    return heard


def healthy(server: Server, seconds: float) -> list[float]:
    """Seconds that health took, asked again and again."""
    took = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        start = time.perf_counter()
        assert server.ask("GET", "/v1/health", Authorization="")[0] == 200
        took.append(time.perf_counter() - start)
        time.sleep(LOOK_S)
    return took


def worked(server: Server) -> float:
    """CPU seconds of the workers so far."""
    times = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in living(server)]
    return sum(int(ticks) for both in times for ticks in both) / os.sysconf("SC_CLK_TCK")


def say_cores(few: Heard, many: Heard) -> None:
    """Say who took the cores. A score costs both sides what it cost with few callers; the rest went to refusals."""
    for name, heard in (("8 callers", few), ("64 callers", many)):
        say(f"        {name}: workers took {heard.worked / SECONDS:.2f} cores, callers {heard.busy / SECONDS:.2f}")
    more, refused = len(many.scored) / len(few.scored), max(len(many.refused), 1)
    ours, theirs = ((then - more * now) / refused for then, now in ((many.worked, few.worked), (many.busy, few.busy)))
    say(f"        a refusal took {1000 * ours:.2f} ms of the workers' CPU and {1000 * theirs:.2f} ms of the callers'")
    yielded = more * few.worked / many.worked
    say(f"        scores for each CPU second of the workers, 64 callers beside 8: {yielded:.2f}")


def memory(server: Server) -> float:
    """Bytes that the workers hold, the larger of them."""
    told = [Path(f"/proc/{pid}/status").read_text().splitlines() for pid in living(server)]
    return max(int(line.split()[1]) * 1024.0 for lines in told for line in lines if line.startswith("VmRSS"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world_in(tmp_path_factory.mktemp("overload"))


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as made:
        yield made


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    overrides = [*world.overrides, f"serving.workers={WORKERS}"]
    with running(world.config, world.config_path, overrides, tmp_path_factory.mktemp("log")) as server:
        server.wait("every worker is up", lambda: len(living(server)) == WORKERS)
        yield server


def ms(seconds: list[float], percent: float) -> float:
    return float(np.percentile(seconds, percent)) * 1000


@pytest.mark.timeout(900)
def test_more_callers_than_places(server: Server, world: World, ids: list[str], pool: ProcessPoolExecutor) -> None:
    body = posted(world.body(ids[:1]))
    asked_by(pool, server, body, FEW, 3)  # what the first requests pay for is no part of it
    few = asked_by(pool, server, body, FEW, SECONDS)
    before = memory(server)
    with ThreadPoolExecutor(1) as beside:
        health = beside.submit(healthy, server, SECONDS)
        many = asked_by(pool, server, body, MANY, SECONDS)
        grown = (memory(server) - before) / 1e6
    after = asked_by(pool, server, body, FEW, 5)
    for name, heard, seconds in (("8 callers", few, SECONDS), ("64 callers", many, SECONDS), ("8 again", after, 5.0)):
        p50, p99 = ms(heard.scored, 50), ms(heard.scored, 99)
        say(f"        {name}: {len(heard.scored) / seconds:.0f} scores/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms")
        held(f"{name}: answers that were neither a score nor a refusal", len(heard.wrong), "0", not heard.wrong)
    inside = [line["ms"] / 1000 for line in server.lines("request") if line.get("code") == "overloaded"]
    say(f"        64 callers: {len(many.refused):,} refused, p95 {ms(many.refused, 95):.1f} ms at the caller")
    say(f"        and {ms(inside, 95):.1f} ms from when the worker looked at them")
    say_cores(few, many)
    goodput = len(many.scored) / len(few.scored)
    held("goodput of 64 callers beside that of 8", goodput, "at least 0.8", goodput >= 0.8)
    p50 = ms(many.refused, 50)
    held("ms until a caller is refused, p50 at the caller", p50, "at most 20", p50 <= 20)
    slow = ms(health.result(), 99)
    held("ms of health meanwhile, p99 at the caller", slow, "at most 250", slow <= 250)
    held("MB that a worker grew by", grown, "at most 50", grown <= 50)
    back = len(after.scored) / 5 / (len(few.scored) / SECONDS)
    held("throughput of 8 callers in the 5 s after", back, "at least 0.8 of before", back >= 0.8 and not after.refused)


@pytest.mark.timeout(900)
def test_a_job_beside_requests(server: Server, world: World, ids: list[str], pool: ProcessPoolExecutor) -> None:
    """Health, and two callers, while a job of explained deals runs; the job ends when they do."""
    deals = world.body(ids[:20])["deals"]
    body = posted({"as_of": iso(world.as_of), "explain": True, "deals": [deals[k % 20] for k in range(JOB)]})
    one = posted(world.body(ids[:1]))
    asked_by(pool, server, one, 2, 1)
    alone = asked_by(pool, server, one, 2, 5)
    start = time.monotonic()
    status, _, made = server.ask("POST", "/v1/jobs/score", body)
    assert status == 202
    url = json.loads(made)["status_url"]

    def state() -> Any:
        return json.loads(server.ask("GET", url)[2])

    with ThreadPoolExecutor(1) as beside:
        health = beside.submit(healthy, server, 5.0)
        with_job = asked_by(pool, server, one, 2, 5)
    midway = state()
    server.wait("the job is done", lambda: state()["state"] == "done", 300)
    say(
        f"        a job of {JOB:,} explained deals: {time.monotonic() - start:.1f} s, {midway['done']:,} beside callers"
    )
    for name, heard in (("2 callers", alone), ("2 callers and a job", with_job)):
        say(f"        {name}: p50 {ms(heard.scored, 50):.0f} ms, p95 {ms(heard.scored, 95):.0f} ms")
        held(
            f"{name}: answers that were no score",
            len(heard.wrong + heard.refused),
            "0",
            not heard.wrong + heard.refused,
        )
    slow = ms(health.result(), 99)
    held("ms of health beside a job, p99 at the caller", slow, "at most 100", slow <= 100)


@pytest.fixture(scope="module")
def ids(world: World) -> list[str]:
    """Deals that are open at the world's as-of."""
    from serving.batch import open_deals

    chosen = open_deals(world.seen.record, world.as_of)
    return sorted(name for name in world.seen.record.deal_ids.take(chosen.deal).strings() if name)
