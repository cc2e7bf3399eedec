"""A database that stands still in the midst of it: whatever needs it says so in time, all else goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from configs.errors import StoreError
from serving.store.engine import open_store
from tests.postgres import Cluster, postgres, standing_still
from tests.served import World
from tests.service.test_events import told
from tests.service.test_store import add, rows
from tests.stored import URL_ENV, Office, database, office_in, service

PATIENCE = 1.0
IN_TIME = 25.0
"""Seconds that are still in time on a busy machine: without limits it would be for ever. The bench has the figures."""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A cluster of this module's: others must not meet it standing still."""
    with postgres() as running:
        yield running


def office_with(ledger: str, world: World, folder: Path, export: Path) -> Office:
    words = (f"serving.store.url_env={URL_ENV}", f"serving.store.timeout_seconds={PATIENCE}")
    return office_in(world, folder, export, *words, f"serving.ledger={ledger}")


@pytest.fixture(params=["durable", "best_effort", "off"])
def office(
    request: pytest.FixtureRequest, own_cluster: Cluster, world: World, export: Path, tmp_path: Path
) -> Iterator[Office]:
    with database(own_cluster) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL_ENV, url)
        yield office_with(request.param, world, tmp_path, export)


def test_a_database_that_stands_still(office: Office, own_cluster: Cluster, world: World, ids: list[str]) -> None:
    """Durable scores, events and stored deals are a 503 in time, soon at once; other scores are as they were."""
    durable = office.config.serving.ledger == "durable"
    body = world.body(ids[:1])
    with service(office) as served, served.client:
        assert served.push(*told("N1")).status_code == 200  # opens the store, for which best effort waits only briefly
        before = served.post(body)
        assert before.status_code == 200
        with standing_still(own_cluster):
            began = time.monotonic()
            scored = served.post(body)
            assert scored.status_code == (503 if durable else 200)
            if durable:
                assert scored.json()["code"] == "store_error"
            else:
                assert scored.json()["results"] == before.json()["results"]
            with ThreadPoolExecutor(6) as pool:
                pushed = [pool.submit(served.push, *told(f"N{k}")) for k in range(2, 5)]
                read = [pool.submit(served.score, "N1") for _ in range(3)]
                assert served.client.get("/v1/health").status_code == 200
                answers = [one.result() for one in pushed + read]
            assert {one.status_code for one in answers} == {503}
            assert time.monotonic() - began < IN_TIME
        done = time.monotonic() + IN_TIME
        while served.push(*told("N9")).status_code != 200:
            assert time.monotonic() < done, "it should have come back by itself"
        assert served.post(body).status_code == 200
        assert served.client.get("/v1/status", headers=served.headers).json()["ledger"]["dropped"] == (
            office_drops(office)
        )


def office_drops(office: Office) -> int:
    """The rows that were asked for while nothing could be written."""
    return 0 if office.config.serving.ledger == "off" else 1


def test_a_database_that_stands_still_from_the_start(
    own_cluster: Cluster, world: World, export: Path, tmp_path: Path, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that never reached it: best effort answers without it, and keeps scores once it is back."""
    body = world.body(ids[:1])
    with database(own_cluster) as url:
        monkeypatch.setenv(URL_ENV, url)
        office = office_with("best_effort", world, tmp_path, export)
        with service(office) as served, served.client:
            with standing_still(own_cluster):
                began = time.monotonic()
                assert [served.post(body).status_code for _ in range(2)] == [200, 200]
                assert served.score("N1").status_code == 503
                assert time.monotonic() - began < IN_TIME
            done = time.monotonic() + IN_TIME
            while served.client.get("/v1/status", headers=served.headers).json()["ledger"]["written"] == 0:
                assert served.post(body).status_code == 200
                assert time.monotonic() < done, "it should have come back by itself"


def test_a_statement_that_takes_too_long_is_ended(
    own_cluster: Cluster, world: World, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server drops it as well; what comes after it is written."""
    with database(own_cluster) as url:
        monkeypatch.setenv(URL_ENV, url)
        store = open_store(office_with("durable", world, tmp_path, export).config)
        try:
            began = time.monotonic()
            with pytest.raises(StoreError):
                store.writer.submit(lambda connection: connection.execute(text("SELECT pg_sleep(20)"))).result(20)
            assert time.monotonic() - began < IN_TIME
            done = time.monotonic() + IN_TIME
            while store.writer.submit(add).exception(20) is not None:
                assert time.monotonic() < done
            assert rows(store) == 1
        finally:
            store.close()
