"""The metrics: few series whatever is sent, true counts, and one truth for several workers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.metrics import METHODS, SHARED, Metrics
from serving.operations import OPERATIONS
from tests.served import World, posted
from tests.service.conftest import Serve, Served
from tests.service.test_events import told
from tests.stored import Office, Service, office_in, service

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
MOST = 360
HOST = "http://testserver"


def series(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every series of a text, as Prometheus' own parser reads it; none stands there twice."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def asked(served: Served | Service) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The series of a service."""
    got = served.client.get("/v1/metrics", headers=served.headers)
    assert got.status_code == 200
    assert got.headers["content-type"].startswith("text/plain; version=0.0.4")
    return series(got.text)


def value(found: Mapping[Any, float], name: str, **labels: str) -> float:
    """One series, 0 where it is not there."""
    return found.get((f"forecastle_{name}", frozenset(labels.items())), 0.0)


async def scan(app: Any, random: Random, paths: int, keys: int) -> None:
    """Ask so many paths that hold anything, and every route with so many keys that are none."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
        for k in range(paths):
            rest = "".join(random.choices("abcXYZ0129/_-.%\u00e9\n", k=random.randint(1, 30)))
            start = random.choice(["", "", "/v1", "/v1/deals", "/v1/deals/score"])
            await client.request(random.choice(["GET", "POST", "PUT", "BREW", f"M{k}"]), f"{HOST}{start}/{quote(rest)}")
        for k in range(keys):
            each = random.choice(OPERATIONS)
            headers = {"X-API-Key": f"fc_{k:08x}_{k}", "X-Request-Id": f"id-{k}"}
            await client.request(each.method, each.path.replace("{deal_id}", f"D{k}"), headers=headers)


def test_a_scan_and_wrong_keys_leave_few_series(served: Served) -> None:
    asyncio.run(scan(served.client.app, Random(7), 2_000, 200))
    found = asked(served)
    assert len(found) < MOST
    words = {word for _, labels in found for _, word in labels}
    routes = {route.path for route in served.client.app.routes}  # those of the contract, and the pages
    assert {each.path for each in OPERATIONS} < routes
    assert {word for word in words if word.startswith("/")} <= routes
    assert {dict(labels)["method"] for name, labels in found if "method" in dict(labels)} <= METHODS | {"other"}
    counted = sum(number for (name, _), number in found.items() if name == "forecastle_requests_total")
    assert counted == 2_200
    assert value(found, "problems_total", code="unauthorized") > 50


def test_every_series_that_can_be_is_few() -> None:
    """Each route, in each class of status that the contract has for it, with every code."""
    made = Metrics()
    for each in OPERATIONS:
        for status, code in [(200, None), *((kind.status, kind.code) for kind in each.problems)]:
            made.request(each.method, each.path, status, 0.1, code)
            made.scores("deals", 1, {code: 1} if code else {}, 1)
            made.events({code or "stored": 1})
    for method in (*METHODS, "M1", "M2"):
        made.request(method, None, 404, 0.1, "not_found")
    assert MOST / 2 < len(series(made.exposed([]).decode())) < 2 * MOST


def test_deals_are_counted_by_what_became_of_them(served: Served, world: World, ids: list[str]) -> None:
    body = world.body(ids[:4])
    body["deals"][0]["history"][-1]["stage"] = "c4n4ry"
    body["deals"][1]["attributes"] = {"c4n4ry": 1}
    body["deals"][2] = 5
    got = served.score(posted(body))
    assert [result["ok"] for result in got.json()["results"]] == [False, False, False, True]
    found = asked(served)
    assert value(found, "deals_scored_total") == 1
    assert value(found, "deals_refused_total", code="unknown_stage") == 1
    assert value(found, "deals_refused_total", code="invalid_request") == 2
    assert value(found, "reasons_off_total") == 0
    labels = {"method": "POST", "route": "/v1/deals/score", "status_class": "2xx"}
    assert value(found, "requests_total", **labels) == value(found, "request_seconds_count", route=labels["route"]) == 1
    assert value(found, "request_seconds_bucket", route=labels["route"], le="+Inf") == 1
    model = {"version": world.bundle.version, "bundle_sha256": world.bundle.sha, "reference": "source"}
    assert value(found, "model_info", **model) == 1
    assert "c4n4ry" not in str(found)


def test_without_a_model_there_is_no_series_of_one(serve: Serve) -> None:
    assert [name for name, _ in asked(serve(loaded=None)) if name == "forecastle_model_info"] == []


@pytest.fixture
def running(office: Office) -> Iterator[Service]:
    with service(office) as one:
        yield one


def test_events_are_counted_once(running: Service) -> None:
    wrong = {"event_id": "x", "deal_id": "N1"}
    for _ in range(2):
        running.push(*told()[:2], wrong, **{"Idempotency-Key": "one"})
    running.push(*told()[:1])
    found = asked(running)
    outcomes = {name: value(found, "events_total", outcome=name) for name in ("stored", "duplicate", "invalid_request")}
    assert outcomes == {"stored": 2, "duplicate": 1, "invalid_request": 1}


@pytest.mark.parametrize(("mode", "dropped", "errors"), [("durable", 0, 1), ("best_effort", 1, 1), ("off", 0, 0)])
def test_a_broken_store_is_counted(
    world: World, export: Path, tmp_path: Path, ids: list[str], mode: str, dropped: int, errors: int
) -> None:
    office = office_in(world, tmp_path, export, f"serving.ledger={mode}")
    with service(office) as one:
        (office.config.state_dir / "serving" / "store.db").write_bytes(b"no database" * 1000)
        one.post(world.body(ids[:1]))
        found = asked(one)
    assert value(found, "ledger_rows_dropped_total") == dropped
    assert value(found, "store_errors_total", code="store_error") == errors


WORKER = """
import sys
from serving.metrics import Metrics
made = Metrics()
made.request("GET", "/v1/health", 200, 0.2, None)
made.scores("deals", int(sys.argv[1]), {"invalid_request": 1}, 0)
sys.stdout.buffer.write(made.exposed([]))
"""


def test_workers_tell_the_sum_of_all_of_them(tmp_path: Path) -> None:
    """As under BentoML: processes that share a folder; what one counted is told by the next, and outlives it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), SHARED: str(tmp_path)}
    texts = [
        subprocess.run(
            [sys.executable, "-c", WORKER, str(rows)], env=environment, capture_output=True, check=True
        ).stdout
        for rows in (3, 4)
    ]
    first, both = (series(text.decode()) for text in texts)
    assert [value(found, "deals_scored_total") for found in (first, both)] == [3, 7]
    assert value(both, "deals_refused_total", code="invalid_request") == 2
    assert value(both, "request_seconds_count", route="/v1/health") == 2
    assert first.keys() == both.keys()
