"""The real service under load: 50 swaps, 300 damaged bundles, a rollback, 20 killed workers, and a stop.

FORECASTLE_SURVIVAL=short makes fewer of each, to see that it runs.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from configs.errors import BundleError
from models.bundle import load
from models.bundle_files import TREES
from serving.probe import probe
from tests import damaged
from tests.bench.measure import held, say
from tests.load import (
    Heard,
    Place,
    Said,
    callers,
    kill_one,
    living,
    place_in,
    stopped_under_way,
    wait_for_answers,
    wait_for_model,
    wait_for_refusal,
)
from tests.running import STOP_S, Server, running
from tests.served import world_in
from tests.stored import cut_export, few_deals

SHORT = os.environ.get("FORECASTLE_SURVIVAL") == "short"
SWAPS, KILLS, BROKEN, FLIPS, ASKED = (4, 2, 21, 15, 100) if SHORT else (50, 20, 300, 150, 5000)
CLIENTS, WORKERS, UNDER_WAY = 8, 2, 100
LEAST = 5_000_000
"""Growth in bytes of a worker that is still no leak: the allocator keeps what it had."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("survival")
    (folder / "world").mkdir()
    world = world_in(folder / "world")
    export = cut_export(world, folder / "export", few_deals(world))
    return place_in(world, export, folder, f"serving.workers={WORKERS}")


@contextmanager
def service(place: Place, *overrides: str) -> Iterator[Server]:
    """The service with every worker up."""
    with running(place.config, place.world.config_path, [*place.overrides, *overrides], place.folder) as server:
        server.wait("every worker is up", lambda: len(living(server)) == WORKERS)
        yield server


@pytest.mark.timeout(7200)
def test_damaged_bundles(place: Place) -> None:
    """Workers look often, or most of the time would be waiting."""
    with service(place, "serving.watch_seconds=0.2") as server:
        broken(server, place)
    place.store.point(place.first)


@pytest.mark.timeout(7200)
def test_swaps_kills_and_a_stop(place: Place) -> None:
    """Workers look as often as they do by default."""
    with service(place) as server:
        swaps(server, place)
        kills(server, place)
        began = time.monotonic()
        stopped = stopped_under_way(server, place.body, UNDER_WAY)
        code = server.process.wait(STOP_S)
        taken = time.monotonic() - began
    done = Counter(stopped.finished)
    unready = stopped.probes.count(503)
    held("probes of readiness that say 503 before listening ends", unready, "2 of 2", stopped.probes[:2] == (503, 503))
    held("status of a request that comes only then", stopped.taken, "200", stopped.taken == 200)
    held("of 100 requests under way at SIGTERM, finished", done[200], "100, exit code 0", (done[200], code) == (100, 0))
    held("seconds to stop", taken, "at most 15", taken <= 15)


@pytest.mark.timeout(7200)
def test_bits_that_no_digest_betrays(place: Place) -> None:
    """Bits of the trees' text, every digest made to fit: what the probe can't see is told, not hidden."""
    model, golden = place.world.bundle.model, place.world.bundle.golden
    everyone = place.world.prepared.examples.matrix
    outcomes: Counter[str] = Counter()
    other = 0
    for number in range(FLIPS):
        flip = damaged.flipped(TREES, np.random.default_rng([7, number]))
        folder = damaged.named(damaged.twin(place.store, place.first, 10_000 + number), flip)
        try:
            probe(folder, 20)
        except BundleError as error:
            outcomes[next((how for how in ("not whole", "died", "reasons") if how in str(error)), "otherwise")] += 1
        else:
            passed = load(folder).model
            other += not np.array_equal(passed.predict(golden), model.predict(golden))
            same = np.array_equal(passed.predict(everyone), model.predict(everyone))
            outcomes["passed, every score the same" if same else "passed, some score another"] += 1
        shutil.rmtree(folder)
    say(f"        bits of {TREES}: {', '.join(f'{count} {how}' for how, count in outcomes.most_common())}")
    held("of these passed, and answer a golden row otherwise", other, "0", other == 0)


def swaps(server: Server, place: Place) -> None:
    seconds, grown = [], []
    with callers(server, place.body, CLIENTS) as heard:
        for number in range(SWAPS):
            sha = (place.second, place.first)[number % 2]
            place.store.point(sha)
            seconds.append(wait_for_model(server, sha))
            wait_for_answers(server, heard, 2 * CLIENTS)
            grown.append(max(map(memory, living(server))))
    told(f"{SWAPS} swaps", heard, place.expected(place.first, place.second))
    first, back = max(seconds[:1]), max(seconds[1:])
    held("seconds until every worker serves a model that is new to it", first, "at most 30", first <= 30)
    held("seconds until every worker is rolled back", back, "at most 10", back <= 10)
    growth = grown[-1] - grown[len(grown) // 2]
    held("bytes that a worker grew by in the later half of the swaps", growth, f"at most {LEAST:,}", growth <= LEAST)


def broken(server: Server, place: Place) -> None:
    before = set(living(server))
    kinds: Counter[str] = Counter()
    with callers(server, place.body, 1) as heard:
        for what, folder in damaged.damages(place.store, place.first, BROKEN, seed=7):
            place.store.point(folder.name)
            wait_for_refusal(server, folder.name, WORKERS)
            kinds[what.rpartition(", ")[2]] += 1
            shutil.rmtree(folder)
    refused = sum(kinds.values())
    say(f"        damaged bundles: {', '.join(f'{count} {how}' for how, count in sorted(kinds.items()))}")
    held("damaged bundles refused by every worker", refused, f"all {BROKEN}", refused == BROKEN)
    held("workers that died of one", len(before - set(living(server))), "0", before == set(living(server)))
    told("while they were refused", heard, place.expected(place.first))


def kills(server: Server, place: Place) -> None:
    with callers(server, place.body, CLIENTS, retries=1) as heard:
        seconds = [kill_one(server) for _ in range(KILLS)]
        wait_for_answers(server, heard, max(0, ASKED - heard.count))
    told(f"{KILLS} kills", heard, place.expected(place.first))
    held("answers under kills", heard.count, f"at least {ASKED}", heard.count >= ASKED)
    say(f"        connections that broke and were asked again once: {heard.retried}")
    held("seconds until a killed worker is back", max(seconds), "at most 30", max(seconds) <= 30)


def told(what: str, heard: Heard, expected: set[Said]) -> None:
    """Say how many requests failed, and whether every answer is that of a model that served, to the last bit."""
    for line in heard.failed[:5]:
        say(f"        {line}")
    held(f"{what}: requests that failed, of {heard.count:,}", len(heard.failed), "0", not heard.failed)
    other = sum(count for answer, count in heard.answers.items() if answer not in expected)
    held(f"{what}: answers of neither model", other, "0", other == 0 and bool(heard.answers))


def memory(pid: int) -> float:
    """Bytes that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("VmRSS"))
