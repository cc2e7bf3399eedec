"""The real thing: ``forecastle serve`` in a process of its own, asked over a socket, stopped by SIGTERM."""

from __future__ import annotations

import http.client
import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serving.answers import iso
from serving.auth import create_key, keys_file
from serving.replay import replay
from serving.scoring import score
from tests.raw import HEALTH, bomb, refused_framing, sized
from tests.raw import told as told_raw
from tests.running import ROOT, STOP_S, Server, running
from tests.served import World, posted
from tests.service.test_events import told
from tests.service.test_metrics import series, value
from tests.stored import few_deals

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start the service as a user would, its processes watched (tests/audited), and stop it at the end."""
    overrides = [*world.overrides, "serving.max_body_mb=2", "serving.workers=1"]
    audited = {"PYTHONPATH": str(ROOT / "tests" / "audited"), "FORECASTLE_AUDIT_LOG": str(audit_log(world))}
    folder = tmp_path_factory.mktemp("serve")
    with running(world.config, world.config_path, overrides, folder, **audited) as server:
        yield server


def audit_log(world: World) -> Path:
    """Where the processes of the service write what they must not do."""
    return world.config.state_dir.parent / "audit.log"


def test_it_scores_with_the_bits_of_the_batch(server: Server, world: World, ids: list[str]) -> None:
    from serving.batch import open_deals

    batch = score(world.seen.record, open_deals(world.seen.record, world.as_of), world.bundle, False, world.seen.as_of)
    expected = {one.deal_id: one.p for one in batch}
    status, told = server.score(posted(world.body(ids[:20])))
    assert status == 200
    assert {result["deal_id"]: result["p_won_in_period"] for result in told["results"]} == {
        name: expected[name] for name in ids[:20]
    }
    assert told["model_version"] == world.bundle.version


def test_what_is_pushed_is_scored_and_what_was_answered_can_be_replayed(server: Server, world: World) -> None:
    """Callers at once share commits; every one of their rows is there when they have their answer."""
    answers = list(
        ThreadPoolExecutor(8).map(lambda _: server.score(posted(world.body(few_deals(world)[:3]))), range(24))
    )
    assert [status for status, _ in answers] == [200] * 24
    pushed = json.dumps({"events": told("B1")}).encode()
    assert [one["ok"] for one in json.loads(server.ask("POST", "/v1/events", pushed)[2])["results"]] == [True] * 6
    status, _, body = server.ask("GET", f"/v1/deals/B1/score?as_of={iso(world.as_of)}")
    assert (status, json.loads(body)["result"]["deal_id"]) == (200, "B1")
    replayed = [replay(world.config, answers[k][1]["request_id"], None, None, lambda _: None) for k in (0, -1)]
    assert [(tally.agree, tally.rows) for tally in replayed] == [(3, 3), (3, 3)]
    assert replay(world.config, None, "B1", None, lambda _: None).agree == 1
    every = replay(world.config, None, None, None, lambda _: None)
    assert every.agree == every.rows >= 24 * 3 + 1


def test_status_says_that_the_facts_are_fresh(server: Server) -> None:
    status, _, body = server.ask("GET", "/v1/status")
    assert (status, json.loads(body)["reference"]["origin"]) == (200, "source")


@pytest.mark.parametrize("path", ["/v1/health", "/v1/ready", "/livez", "/readyz"])
def test_probes_need_no_key(server: Server, path: str) -> None:
    assert server.ask("GET", path, Authorization="")[0] == 200


def test_its_first_page_is_ours(server: Server) -> None:
    status, headers, body = server.ask("GET", "/")
    assert (status, headers["location"], body) == (303, "/forecast", b"")


@pytest.mark.parametrize("path", ["/schema.json", "/docs.json", "/metrics", "/v1/nope", "/%2e%2e/etc/passwd"])
def test_nothing_of_bentoml_shows(server: Server, path: str) -> None:
    status, headers, body = server.ask("GET", path)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert json.loads(body)["code"] == "not_found"
    assert b"bento" not in body.lower()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Authorization": ""}, 401),
        (b"{}", {"Authorization": "Bearer fc_00000000_no"}, 401),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Content-Type": "application/vnd.bentoml+pickle"}, 415),
        (b"{}", {}, 422),
        (b"[" * 100_000, {}, 400),
        (b" " * 2_000_001, {}, 413),
        (b" " * 8_000_000, {}, 413),
    ],
)
def test_what_is_refused(server: Server, body: bytes, headers: dict[str, str], status: int) -> None:
    got, told = server.score(body, **headers)
    assert (got, told["status"]) == (status, status)


def test_connections_are_bounded_before_any_route(server: Server) -> None:
    """More of this in test_connection.py; here it is that BentoML's workers have it."""
    assert told_raw(server.port, HEALTH + b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n").statuses == [431]
    compressed = sized(server.key, bomb(100), b"Content-Encoding: gzip")
    assert told_raw(server.port, compressed).statuses == [415]
    for name, raw in refused_framing(server.key):
        got = told_raw(server.port, raw, answers=2)
        assert (got.statuses[:1], got.closed, 404 in got.statuses) == ([400], True, False), name


def test_a_path_with_a_line_break_is_ours_too(server: Server) -> None:
    """Patterns of a mount do not match one, so BentoML would answer: without our log, and with its own words."""
    before = len(server.lines("request"))
    status, headers, body = server.ask("GET", "/v1/%0a2026-11-29%20[INFO]%20forged", **{"X-Request-Id": "broken-path"})
    assert (status, json.loads(body)["code"], headers["x-request-id"]) == (404, "not_found", "broken-path")
    server.wait("the request is logged", lambda: len(server.lines("request")) > before)
    assert [line["route"] for line in server.lines("request")[before:]] == [None]
    assert "forged" not in server.log.read_text()


@pytest.mark.parametrize("path", ["/v1/status", "/v1/deals", "/v1/metrics", "/v1/deals/B1/score"])
def test_a_key_counts_in_its_header_alone(server: Server, path: str) -> None:
    """Not in a cookie, which a browser would send for any page, nor in an address, which is logged on the way."""
    assert server.ask("GET", f"{path}?api_key={server.key}&key={server.key}", Authorization="")[0] == 401
    cookie = f"api_key={server.key}; key={server.key}; session={server.key}; Authorization=Bearer {server.key}"
    status, headers, _ = server.ask("GET", path, Authorization="", Cookie=cookie)
    assert (status, headers.get("set-cookie")) == (401, None)


def test_no_other_site_may_read(server: Server) -> None:
    """No CORS header, whatever the origin, before and after a key; a preflight is told nothing."""
    for method, path in [("GET", "/v1/health"), ("GET", "/v1/status"), ("OPTIONS", "/v1/deals/score")]:
        asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
        _, headers, _ = server.ask(method, path, **asked)
        assert [name for name in headers if name.lower().startswith("access-control")] == []
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_a_chunked_body_over_the_limit_is_413(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/deals/score", (b" " * 100_000 for _ in range(25)), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_another_method_is_405(server: Server) -> None:
    status, headers, body = server.ask("GET", "/v1/deals/score")
    assert (status, headers["allow"], json.loads(body)["code"]) == (405, "OPTIONS, POST", "method_not_allowed")


def test_its_metrics_are_shared_by_the_workers(server: Server, world: World) -> None:
    """Counted in files of BentoML's folder, where other workers would find them; raw paths leave no series."""
    for _ in range(3):
        server.ask("GET", "/v1/nope/%0aforged")
    status, headers, body = server.ask("GET", "/v1/metrics")
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/plain")
    found = series(body.decode())
    assert value(found, "requests_total", method="GET", route="none", status_class="4xx") >= 3
    assert (
        value(found, "model_info", version=world.bundle.version, bundle_sha256=world.bundle.sha, reference="source")
        == 1
    )
    assert b"forged" not in body
    assert list((world.config.state_dir / "serving" / "bentoml").rglob("counter_*.db"))


def test_the_contract_is_the_committed_one(server: Server) -> None:
    status, _, body = server.ask("GET", "/v1/openapi.json", Authorization="")
    assert (status, body) == (200, (ROOT / "docs" / "openapi.json").read_bytes())


def test_a_key_made_while_it_runs_works_at_once(server: Server, world: World) -> None:
    key = create_key(keys_file(world.config), "late", datetime.now(UTC))
    assert server.ask("GET", "/v1/status", Authorization=f"Bearer {key}")[0] == 200


def test_y_no_process_unpickles_or_calls_outside(server: Server, world: World) -> None:
    """After all of the above: the parent, the workers and the children that probe a bundle. Libraries included.

    Calls that uvloop makes itself are seen by strace in test_container.py alone.
    """
    lines = [line.split(" ", 2) for line in audit_log(world).read_text().splitlines()]
    watched = {pid for pid, event, _ in lines if event == "watched"}
    assert {str(server.process.pid), *(str(line["worker"]) for line in server.lines("model_loaded"))} <= watched
    here = re.compile(r"\('(127\.0\.0\.1|localhost)'|\(\('127\.0\.0\.1'|\('?/|\(None")
    assert [f"{event} {what}" for _, event, what in lines if event == "pickle.find_class"] == []
    calls = [f"{event} {what}" for _, event, what in lines if event.startswith("socket.")]
    assert calls
    assert [call for call in calls if not here.search(call)] == []


def test_z_it_stops_when_asked_and_wrote_only_below_its_state(server: Server, world: World) -> None:
    """Last of this module: it stops the server."""
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(STOP_S) == 0
    text = server.log.read_text()
    assert "Traceback" not in text
    assert '"event": "model_loaded"' in text
    assert server.key.split("_", 2)[2] not in text
    assert sorted(path.name for path in server.log.parent.iterdir()) == ["log"]
    assert (world.config.state_dir / "serving" / "bentoml").is_dir()
