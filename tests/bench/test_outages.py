"""The real service while its database stands still: how soon it says so, what is not touched, how soon it is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.bench.measure import held
from tests.load import Place, place_in
from tests.postgres import Cluster, postgres, standing_still
from tests.running import Server, running
from tests.served import world_in
from tests.stored import URL_ENV, cut_export, database, few_deals

PATIENCE = 2.0
ASKED = 20


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    with postgres() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("outages")
    (folder / "world").mkdir()
    world = world_in(folder / "world")
    words = ("serving.workers=1", f"serving.store.url_env={URL_ENV}", f"serving.store.timeout_seconds={PATIENCE:g}")
    return place_in(world, cut_export(world, folder / "export", few_deals(world)), folder, *words)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("ledger", ["durable", "best_effort", "off"])
def test_a_database_that_stands_still(
    place: Place, own_cluster: Cluster, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database(own_cluster) as url:
        monkeypatch.setenv(URL_ENV, url)
        words = [*place.overrides, f"serving.ledger={ledger}"]
        with running(place.config, place.world.config_path, words, place.folder) as server:
            before = timed(lambda: score(server, place))
            assert {status for status, _ in before} == {200}
            with standing_still(own_cluster):
                during = timed(lambda: score(server, place))
                alive = timed(lambda: server.ask("GET", "/v1/health")[0])
            back = server.wait("scores are given again", lambda: score(server, place) == 200)
    expected = 503 if ledger == "durable" else 200
    right = sum(status == expected for status, _ in during)
    held(f"{ledger}: of {ASKED} scores meanwhile, answered {expected}", right, f"{ASKED}", right == ASKED)
    first, later = during[0][1], max(seconds for _, seconds in during[1:])
    held(f"{ledger}: seconds of the first", first, f"at most {PATIENCE + 1:g}", first <= PATIENCE + 1)
    held(f"{ledger}: seconds of the slowest after it", later, f"at most {PATIENCE + 1:g}", later <= PATIENCE + 1)
    if ledger != "durable":
        most = 2 * max(seconds for _, seconds in before) + 0.1
        held(f"{ledger}: seconds of the slowest in all", max(first, later), f"{most:.3f}", max(first, later) <= most)
    slowest = max(seconds for _, seconds in alive)
    held(f"{ledger}: seconds of the slowest health", slowest, "at most 0.25", slowest <= 0.25)
    held(f"{ledger}: seconds until scores are given again", back, "at most 10", back <= 10)


def score(server: Server, place: Place) -> int:
    return server.ask("POST", "/v1/deals/score", place.body)[0]


def timed(ask: Callable[[], int]) -> list[tuple[int, float]]:
    """Ask some times, one after the other: the status and the seconds of each."""
    told = []
    for _ in range(ASKED):
        began = time.monotonic()
        status = ask()
        told.append((status, time.monotonic() - began))
    return told
