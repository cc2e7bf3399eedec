"""Callers that ask a running service without a pause, and what they were told."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.load import load_config
from configs.schema import Config
from models.bundle import Store
from serving.answers import answer, iso
from serving.fits import load_model
from serving.replay import Tally, replay
from tests import damaged
from tests.running import Server
from tests.served import World, posted
from tests.stored import few_deals

DEALS = 3

Said = tuple[str, str]
"""Of an answer: the version that it names, and its results as text, every digit of them."""


@dataclass(frozen=True)
class Place:
    """Where a service runs: its config, what makes it of the world's, a store with two models, and where it logs."""

    world: World
    config: Config
    overrides: tuple[str, ...]
    store: Store
    first: str
    second: str
    folder: Path

    @property
    def body(self) -> bytes:
        """A request about a few deals, with reasons."""
        return posted(self.world.body(few_deals(self.world)[:DEALS]))

    def expected(self, *shas: str) -> set[Said]:
        """What each model says to `body`, with the reference facts that the service has now."""
        loaded = [load_model(self.config, self.store.root / sha) for sha in shas]
        return {said(answer(self.body, self.world.as_of, "", one, self.config.serving).body) for one in loaded}


def place_in(world: World, export: Path, folder: Path, *overrides: str) -> Place:
    """A state directory of its own with two models, the first of them live."""
    state = folder / "state"
    words = (*world.overrides, f"state_dir={state}", f"source.path={export}", *overrides)
    store = Store(state / "bundles")
    first = store.publish(world.config.state_dir / "bundles" / world.bundle.sha)
    second = damaged.another(world.bundle, store, folder / "second")
    store.point(first)
    return Place(world, load_config(world.config_path, words), words, store, first, second, folder)


def said(body: bytes) -> Said:
    """Read an answer."""
    told = json.loads(body)
    return told["model_version"], json.dumps(told["results"], sort_keys=True)


@dataclass
class Heard:
    """What callers were told. failed: anything but a score, retries counted out. retried: connections that broke."""

    answers: Counter[Said] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    retried: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        """Answers so far."""
        return sum(self.answers.values())

    def ask(self, server: Server, body: bytes, retries: int) -> None:
        """Ask once, and again after a broken connection as often as is allowed."""
        for left in range(retries, -1, -1):
            try:
                status, _, got = server.ask("POST", "/v1/deals/score", body)
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.retried += left > 0
                    self.failed += [repr(error)] * (left == 0)
                continue
            with self._lock:
                if status == 200:
                    self.answers[said(got)] += 1
                else:
                    self.failed.append(f"{status}: {got[:200]!r}")
            return


@contextmanager
def callers(server: Server, body: bytes, count: int, retries: int = 0) -> Iterator[Heard]:
    """Ask from `count` threads at once, again and again, until the block ends; every answer has come by then."""
    heard, done = Heard(), threading.Event()

    def call() -> None:
        while not done.is_set():
            heard.ask(server, body, retries)

    threads = [threading.Thread(target=call) for _ in range(count)]
    for one in threads:
        one.start()
    try:
        yield heard
    finally:
        done.set()
        for one in threads:
            one.join()


def living(server: Server) -> Mapping[int, str]:
    """The workers that run and have loaded a model: process id -> the version that each took up last."""
    loaded = {line["worker"]: line["model"] for line in server.lines("model_loaded")}
    return {pid: version for pid, version in loaded.items() if _runs(pid)}


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for_model(server: Server, sha: str, seconds: float = 60) -> float:
    """Wait until a model is the one that every worker took up last; returns how long that took."""
    return server.wait(
        "every worker serves it",
        lambda: all(version.endswith(sha[:12]) for version in living(server).values()),
        seconds,
    )


def wait_for_refusal(server: Server, sha: str, workers: int) -> float:
    """Wait until every worker has refused a bundle; returns how long that took."""
    return server.wait(
        "every worker refused it",
        lambda: [line["bundle"] for line in server.lines("model_refused")].count(sha[:12]) >= workers,
    )


def wait_for_answers(server: Server, heard: Heard, more: int) -> None:
    """Wait until so many more answers have come."""
    until = heard.count + more
    server.wait("callers are answered", lambda: heard.count >= until)


def kill_one(server: Server) -> float:
    """Kill a worker, wait until another has loaded a model in its place, and return how long that took."""
    before = living(server)
    os.kill(next(iter(before)), signal.SIGKILL)
    return server.wait("a worker is back", lambda: bool(set(living(server)) - set(before)), 60)


@dataclass(frozen=True)
class Outlived:
    """A job whose worker was killed. results: of all its pages; expected: what the scoring route says of the same."""

    deals: int
    done_when_killed: int
    results: list[Any]
    expected: list[Any]
    replayed: Tally
    seconds: float


def job_outlives_its_worker(server: Server, place: Place, deals: int = 1_500) -> Outlived:
    """Kill the worker that runs a job after its first chunk, and wait until another one has ended it."""
    world = place.world
    few = world.body(few_deals(world)[:12])["deals"]
    body = {"as_of": iso(world.as_of), "explain": True, "deals": [few[k % 12] for k in range(deals)]}
    status, _, made = server.ask("POST", "/v1/jobs/score", posted(body))
    assert status == 202, made
    job = json.loads(made)
    server.wait("a chunk is done", lambda: _ask(server, job["status_url"])["done"] > 0)
    (line,) = [one for one in server.lines("job_taken") if one["job"] == job["job_id"]]
    os.kill(line["worker"], signal.SIGKILL)
    half = _ask(server, job["status_url"])["done"]
    seconds = server.wait("the job is done", lambda: _ask(server, job["status_url"])["state"] == "done")
    server.wait("every worker is up", lambda: len(living(server)) == place.config.serving.workers)
    results: list[Any] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = _ask(server, f"{job['result_url']}?cursor={cursor}")
        results += page["results"]
        cursor = page["next_cursor"]
    loaded = load_model(place.config, place.store.root / place.first)
    whole = answer(posted(body | {"deals": few}), world.as_of, "", loaded, place.config.serving)
    expected = json.loads(whole.body)["results"]
    replayed = replay(place.config, job["job_id"], None, None, lambda _: None)
    return Outlived(deals, half, results, [expected[k % 12] for k in range(deals)], replayed, seconds)


def _ask(server: Server, path: str) -> Any:
    """Ask a route, again where the connection broke."""
    for _ in range(20):
        with suppress(OSError, http.client.HTTPException):
            status, _, body = server.ask("GET", path)
            assert status == 200, body
            return json.loads(body)
    raise AssertionError(f"{path}: no answer")


PROBES = ("/readyz", "/v1/ready", "/livez", "/v1/health")


@dataclass(frozen=True)
class Stopped:
    """What a service said that was asked to stop. finished: the statuses of what was under way.

    probes: the status of each of `PROBES` before it stopped listening, taken: of a request that came only then.
    """

    finished: list[int]
    probes: tuple[int, ...]
    taken: int


def stopped_under_way(server: Server, body: bytes, count: int) -> Stopped:
    """Ask the service to stop while so many requests are under way."""
    begun = [server.begin(body) for _ in range(count)]
    workers = len(living(server))
    server.process.send_signal(signal.SIGTERM)
    server.wait("every worker drains", lambda: len(server.lines("draining")) == workers)
    probes = tuple(server.ask("GET", path, Authorization="")[0] for path in PROBES)
    taken = server.ask("POST", "/v1/deals/score", body)[0]
    statuses = []
    for one in begun:
        one.sendall(body)
        answer = http.client.HTTPResponse(one)
        answer.begin()
        answer.read()
        statuses.append(answer.status)
        one.close()
    return Stopped(statuses, probes, taken)
