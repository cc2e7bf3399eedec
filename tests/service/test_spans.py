"""Spans: none unless asked for; then one for each request, below the caller's, without a word of the request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from starlette.testclient import TestClient

from configs.errors import UsageError
from serving.app import create_app
from serving.environment import worker_environment
from serving.spans import NO_ROUTE, Spans, spans_of, wanted
from tests.collector import Collector, attributes, collecting
from tests.served import World
from tests.service.conftest import NOW

pytestmark = pytest.mark.timeout(120)  # the first of them makes the session's world

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ASKED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


class Traced:
    """An app whose spans go to a collector. lines: of its log."""

    def __init__(self, world: World, folder: Path, spans: Spans | None) -> None:
        self.spans, self.lines = spans, list[Any]()
        config = world.config.model_copy(update={"state_dir": folder})
        app = create_app(config, lambda: round(NOW.timestamp() * 1e6), self.lines.append, lambda: spans)
        app.state.api.loaded = world.loaded
        self.client = TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as server:
        yield server


@pytest.fixture
def traced(world: World, tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
    spans = spans_of()
    assert spans is not None
    yield Traced(world, tmp_path, spans)
    spans.close()


def test_a_span_stands_below_the_callers_and_in_the_log(traced: Traced, collector: Collector) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=x"}
    assert traced.client.get("/v1/deals/secret-deal/score?as_of=now", headers=headers).status_code == 401
    assert traced.spans is not None
    traced.spans.flush()
    (span,) = collector.got
    (line,) = traced.lines
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, PARENT, "vendor=x")
    assert (line["trace_id"], line["span_id"]) == (TRACE, span.span_id.hex())
    assert (span.name, span.kind) == ("GET /v1/deals/{deal_id}/score", Span.SPAN_KIND_SERVER)
    assert attributes(span) == {
        "http.request.method": "GET",
        "http.route": "/v1/deals/{deal_id}/score",
        "http.response.status_code": 401,
        "error.type": "unauthorized",
    }
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 0
    assert collector.resource["service.name"] == "forecastle"


def test_nothing_that_a_caller_wrote_is_sent(traced: Traced, collector: Collector) -> None:
    headers = {"X-Marked": "marked-1", "User-Agent": "marked-2", "traceparent": "00-marked", "tracestate": "a=marked-3"}
    traced.client.request("MARKED", "/v1/marked-4?q=marked-5", headers=headers, content=b"marked-6")
    traced.client.get("/v1/deals", headers=headers | {"Authorization": "Bearer fc_marked_7"})
    assert traced.spans is not None
    traced.spans.flush()
    assert sorted(span.name for span in collector.got) == ["GET /v1/deals", f"other {NO_ROUTE}"]
    assert not any("marked" in str(span).lower() for span in collector.got)
    assert all(not span.parent_span_id for span in collector.got)
    assert {line["trace_id"] for line in traced.lines} == {span.trace_id.hex() for span in collector.got}


def test_a_failure_is_an_error_and_probes_have_no_span(traced: Traced, collector: Collector) -> None:
    app: Any = traced.client.app
    app.state.api.loaded = None
    assert traced.client.get("/v1/health").status_code == 200
    assert traced.client.get("/v1/ready").status_code == 503
    app.state.api.keys = lambda: 1 / 0
    assert traced.client.get("/v1/status").status_code == 500
    assert traced.spans is not None
    traced.spans.flush()
    (span,) = collector.got
    assert (span.name, span.status.code) == ("GET /v1/status", Status.STATUS_CODE_ERROR)
    assert (attributes(span)["error.type"], span.status.message, list(span.events)) == ("internal", "", [])


def test_a_caller_who_did_not_sample_is_not_sampled(traced: Traced, collector: Collector) -> None:
    """The log has the ids all the same."""
    traced.client.get("/v1/status", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    assert traced.spans is not None
    traced.spans.flush()
    assert collector.got == []
    assert traced.lines[0]["trace_id"] == TRACE
    assert traced.lines[0]["span_id"] != PARENT


def test_without_a_collector_there_is_no_span(world: World, tmp_path: Path) -> None:
    assert spans_of({}) is None
    untraced = Traced(world, tmp_path, None)
    untraced.client.get("/v1/status", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert (untraced.lines[0]["trace_id"], "span_id" in untraced.lines[0]) == (TRACE, False)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, True),
        ({"OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, True),
    ],
)
def test_what_asks_for_spans(world: World, more: dict[str, str], expected: bool) -> None:
    """Workers get the SDK switched on where it is asked for, and off wherever it is not."""
    assert wanted(ASKED | more) is expected
    told = worker_environment(world.config, world.config_path, [], ASKED | more)
    assert told["OTEL_SDK_DISABLED"] == ("false" if expected else "true")
    assert worker_environment(world.config, world.config_path, [], {})["OTEL_SDK_DISABLED"] == "true"


def test_what_cannot_be_sent_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="http/protobuf"):
        wanted(ASKED | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    monkeypatch.setattr("serving.spans.EXPORTER", "no_such_exporter")
    with pytest.raises(UsageError, match=r"forecastle\[otlp\]"):
        wanted(ASKED)
