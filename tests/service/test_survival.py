"""The real service under load: models swapped, damaged bundles promoted, a worker killed, the whole stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.refresh import refresh_reference
from tests import damaged
from tests.load import (
    Place,
    callers,
    job_outlives_its_worker,
    kill_one,
    living,
    place_in,
    stopped_under_way,
    wait_for_answers,
    wait_for_model,
    wait_for_refusal,
)
from tests.running import STOP_S, Server, running
from tests.served import World

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]

WORKERS, CLIENTS = 2, 4
QUICK = (
    f"serving.workers={WORKERS}",
    "serving.watch_seconds=0.2",
    "serving.probe_seconds=20",
    "serving.jobs.lease_seconds=1",
)


@pytest.fixture(scope="module")
def place(world: World, export: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place_in(world, export, tmp_path_factory.mktemp("survival"), *QUICK)


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Server]:
    with running(place.config, place.world.config_path, place.overrides, place.folder) as server:
        server.wait("every worker is up", lambda: len(living(server)) == WORKERS)
        yield server


def test_swaps_under_load_fail_no_request(server: Server, place: Place) -> None:
    """There and back: each answer is one model's, bit for bit, and names it."""
    with callers(server, place.body, CLIENTS) as heard:
        for sha in (place.second, place.first):
            place.store.point(sha)
            wait_for_model(server, sha)
            wait_for_answers(server, heard, 3 * CLIENTS)
    assert heard.failed == []
    assert set(heard.answers) == place.expected(place.first, place.second)


def test_a_damaged_bundle_leaves_the_old_one_serving(server: Server, place: Place) -> None:
    """One that no digest betrays and that kills whoever reads it, one whose digest is wrong."""
    worse = [
        damaged.named(damaged.twin(place.store, place.first, 1), damaged.BY_NAME["tree sizes that lie"]),
        damaged.listed(damaged.twin(place.store, place.first, 2), damaged.cut("trees.txt", 0.5)),
    ]
    with callers(server, place.body, CLIENTS) as heard:
        for folder in worse:
            place.store.point(folder.name)
            wait_for_refusal(server, folder.name, WORKERS)
        status = json.loads(server.ask("GET", "/v1/status")[2])
    assert heard.failed == []
    assert set(heard.answers) == place.expected(place.first)
    refusal = status["watch"]["last_refusal"]
    assert (status["watch"]["refused"], refusal["code"]) == (2, "bundle_damaged")
    assert refusal["bundle_sha256"] == worse[1].name
    assert status["bundle_sha256"] == place.first
    assert str(place.folder) not in json.dumps(status)


def test_a_worker_that_is_killed_comes_back(server: Server, place: Place) -> None:
    """The pointer names a damaged bundle since the test before: it must come back with what the other one serves."""
    with callers(server, place.body, 1, retries=1) as heard:
        kill_one(server)
    assert heard.failed == []
    assert heard.retried <= 1
    assert set(heard.answers) == place.expected(place.first)


def test_a_job_outlives_the_worker_that_runs_it(server: Server, place: Place) -> None:
    told = job_outlives_its_worker(server, place)
    assert told.done_when_killed < told.deals
    assert told.results == told.expected
    assert (told.replayed.agree, told.replayed.rows) == (told.deals, told.deals)


def test_facts_of_a_refresh_are_taken_up(server: Server, place: Place) -> None:
    before = len(server.lines("facts_loaded"))
    (place.config.state_dir / "serving" / "REFERENCE").unlink()
    server.wait("no facts but the bundle's", lambda: len(server.lines("facts_loaded")) == before + WORKERS)
    assert json.loads(server.ask("GET", "/v1/status")[2])["reference"]["origin"] == "bundle"
    facts = refresh_reference(place.config, place.world.bundle, lambda _: None)
    server.wait("fresh facts", lambda: len(server.lines("facts_loaded")) == before + 2 * WORKERS)
    status = json.loads(server.ask("GET", "/v1/status")[2])
    assert (status["reference"]["origin"], facts.origin) == ("source", "source")


def test_z_requests_under_way_end_when_it_is_stopped(server: Server, place: Place) -> None:
    """Last of this module: it stops the server. Not ready comes first, while requests are still taken."""
    stopped = stopped_under_way(server, place.body, 8)
    assert stopped.finished == [200] * 8
    assert (stopped.probes, stopped.taken) == ((503, 503, 200, 200), 200)
    assert server.process.wait(STOP_S) == 0
    assert "Traceback" not in server.log.read_text()
