"""The real service, asked as a CRM asks: how long one deal takes, and how long many in one call take.

Over a socket, durable ledger and all, with a model as large as the demo's and the facts of every deal in the request.
Time it on a quiet machine with two cores.

FORECASTLE_LATENCY=short asks a small model a few times, to see that it runs.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest

from serving.batch import open_deals
from tests.bench.measure import held, say
from tests.load import living
from tests.running import Server, running
from tests.served import World, posted, world_in

SHORT = os.environ.get("FORECASTLE_LATENCY") == "short"
WORKERS, CALLS, WARM, TIMES = 2, 20 if SHORT else 500, 20, 5
pytestmark = pytest.mark.timeout(1800)

Ask = Callable[[bytes], tuple[float, int, Any]]
"""Posts a body; gives seconds, status and what was answered."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("latency")
    return world_in(folder) if SHORT else world_in(folder, ())


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    overrides = [*world.overrides, f"serving.workers={WORKERS}"]
    with running(world.config, world.config_path, overrides, tmp_path_factory.mktemp("serve")) as server:
        server.wait("every worker is up", lambda: len(living(server)) == WORKERS)
        yield server


def test_one_deal_at_a_time(world: World, server: Server) -> None:
    """Deal after deal, each with 200 events, scored, explained and flagged."""
    bodies = [body(world, [deal], explain=True) for deal in deals_with(world, 200, 50)]
    with kept_alive(server) as ask:
        for sent in islice(cycle(bodies), WARM):
            scored(ask(sent), 1, explain=True)
        milliseconds = [1000 * scored(ask(sent), 1, explain=True) for sent in islice(cycle(bodies), CALLS)]
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99]).tolist()
    model = world.bundle
    say(
        f"        one deal with 200 events, {len(model.plan.names)} features, rung {model.model.rung}: p99 {p99:.1f} ms"
    )
    targets = ((50, p50, 10), (95, p95, 25))
    for share, value, target in targets:
        told = f"milliseconds for one deal with 200 events, p{share} of {CALLS}"
        held(told, value, f"at most {target}", value <= target)


@pytest.mark.parametrize(("count", "explain", "target"), [(1000, False, 1.0), (100, True, 0.5)])
def test_many_in_one_call(world: World, server: Server, count: int, explain: bool, target: float) -> None:
    sent = body(world, deals_with(world, 20, count), explain)
    held("10^6 bytes of the body", len(sent) / 1e6, "at most 10", len(sent) <= 10**7)
    with kept_alive(server) as ask:
        seconds = [scored(ask(sent), count, explain) for _ in range(TIMES)]
    median = float(np.median(seconds))
    what = f"seconds for {count:,} deals with 20 events{' and reasons' if explain else ''}, median of {TIMES}"
    say(f"        the slowest {max(seconds):.2f} s")
    held(what, median, f"at most {target:g}", median <= target)


def test_more_with_reasons_is_no_call(world: World, server: Server) -> None:
    with kept_alive(server) as ask:
        _, status, _ = ask(body(world, deals_with(world, 20, 101), explain=True))
    held("status for 101 deals with reasons", status, "not 200", status != 200)


def scored(told: tuple[float, int, Any], count: int, explain: bool) -> float:
    """Return the seconds of an answer that is whole."""
    seconds, status, answer = told
    assert status == 200, answer
    results = answer["results"]
    assert len(results) == count
    for result in results:
        assert result["ok"], result
        assert result["flags"] is not None
        assert bool(result.get("reasons")) is explain
    return seconds


def body(world: World, deals: Sequence[Mapping[str, Any]], explain: bool) -> bytes:
    return posted(world.body([]) | {"deals": deals, "explain": explain})


def deals_with(world: World, events: int, count: int) -> list[dict[str, Any]]:
    """Open deals with exactly so many events: their last activities, or theirs and those of others again."""
    open_now = open_deals(world.seen.record, world.as_of)
    ids = [name for name in world.seen.record.deal_ids.take(open_now.deal).strings() if name]
    deals = world.body(sorted(ids)[:count])["deals"]
    others = [activity for deal in deals for activity in deal["activities"]]
    made = []
    for number, deal in enumerate(islice(cycle(deals), count)):
        room = events - len(deal["history"]) - len(deal["contacts"])
        activities = list(islice(cycle(deal["activities"] or others), max(room, 0)))
        fixed = {"history": deal["history"][-events:], "contacts": deal["contacts"]} if room < 0 else {}
        made.append(deal | fixed | {"deal_id": f"{deal['deal_id']}-{number}", "activities": activities})
    return made


@contextmanager
def kept_alive(server: Server) -> Iterator[Ask]:
    """One connection for many calls, as a client of a CRM holds it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}

    def ask(sent: bytes) -> tuple[float, int, Any]:
        start = time.perf_counter()
        connection.request("POST", "/v1/deals/score", sent, headers)
        answer = connection.getresponse()
        told = answer.read()
        return time.perf_counter() - start, answer.status, json.loads(told)

    try:
        yield ask
    finally:
        connection.close()
