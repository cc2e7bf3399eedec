"""What is off by default, switched on in the real service: access tokens, and spans for a collector."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.collector import attributes, collecting
from tests.issuer import AUDIENCE, ISSUER, SUBJECT, Issuer, seconds
from tests.running import STOP_S, running
from tests.served import World

pytestmark = [pytest.mark.service, pytest.mark.timeout(180)]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_token_opens_it_and_its_spans_are_its_own(world: World, tmp_path: Path) -> None:
    """One for each request, by template, below the caller's; none of BentoML's, which tell paths and addresses."""
    issuer = Issuer(tmp_path / "jwks.json", seconds(datetime.now(UTC)))
    section = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": issuer.jwks_file}
    overrides = [*world.overrides, "serving.workers=1", *(f"serving.oauth.{name}={it}" for name, it in section.items())]
    token = f"Bearer {issuer.token(scope='status')}"
    sampled = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    (tmp_path / "serve").mkdir()
    with (
        collecting() as collector,
        running(
            world.config, world.config_path, overrides, tmp_path / "serve", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url
        ) as server,
    ):
        status, _, body = server.ask("GET", "/v1/status", Authorization=token, **sampled)
        assert (status, json.loads(body)["name"]) == (200, world.bundle.about.name)
        assert server.ask("GET", "/v1/deals/a-deal/score?as_of=now", Authorization=token, **sampled)[0] == 403
        assert server.ask("GET", "/v1/status", Authorization=token[:-9], **sampled)[0] == 401
        assert server.ask("GET", "/readyz", Authorization="", **sampled)[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(STOP_S) == 0
        lines = [line for line in server.lines("request") if line.get("trace_id") == TRACE]
        told = {span.span_id.hex(): attributes(span) for span in collector.got if span.trace_id.hex() == TRACE}
        assert [told[line["span_id"]]["http.response.status_code"] for line in lines] == [200, 403, 401]
        assert len(told) == 3
        assert {span.parent_span_id.hex() for span in collector.got if span.trace_id.hex() == TRACE} == {PARENT}
        assert {name for each in told.values() for name in each} <= {
            "http.request.method", "http.route", "http.response.status_code", "error.type"
        }  # fmt: skip
        assert SUBJECT not in server.log.read_text()
