"""A span for each request, for those who collect traces (OpenTelemetry).

Off unless the standard OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, names a collector; nothing
else in this process calls outside. BentoML's own spans have the raw path, its query and the caller's address, so they
are not used: ours have the route's template.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from configs.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
DISABLED, NAME, PROTOCOL = "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_PROTOCOL"
TIMEOUT, SENDING_S = "OTEL_EXPORTER_OTLP_TIMEOUT", 3.0
"""What sending may take, so long does a service that stops wait for a collector that is down."""
EXPORTER = "opentelemetry.exporter.otlp.proto.http"
SPOKEN = "http/protobuf"
NO_ROUTE = "no route"
CONTEXT = ("traceparent", "tracestate")


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether an environment asks for spans. Raises UsageError where it does, and they could not be sent."""
    asked = any(environment.get(name) for name in ENDPOINTS)
    if not asked or environment.get(DISABLED, "").strip().lower() == "true":
        return False
    if environment.get(PROTOCOL, SPOKEN) != SPOKEN:
        raise UsageError.at(PROTOCOL, repr(environment[PROTOCOL][:40]), expected=SPOKEN)
    if not _installed():
        remedy = f"pip install 'forecastle[otlp]', or unset {' and '.join(ENDPOINTS)}"
        raise UsageError.at(ENDPOINTS[0], "the exporter is not installed", remedy=remedy)
    return True


def _installed() -> bool:
    try:
        return find_spec(EXPORTER) is not None
    except ImportError:
        return False


class Spans:
    """Begins and ends the spans of a process. Where nobody listens a span is lost; no request waits for one."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("forecastle")

    def begin(self, method: str, headers: Headers) -> Span:
        """Begin the span of a request, below the one that its headers name."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {name: headers[name] for name in CONTEXT if name in headers}
        above = TraceContextTextMapPropagator().extract(carrier, Context())  # not what BentoML has begun meanwhile
        return self._tracer.start_span(method, above, SpanKind.SERVER, {"http.request.method": method})

    def end(self, span: Span, method: str, route: str | None, status: int, code: str | None) -> None:
        """End a span. route: a template; code: of the problem that was answered."""
        from opentelemetry.trace import StatusCode

        span.update_name(f"{method} {route or NO_ROUTE}")
        span.set_attribute("http.response.status_code", status)
        if route is not None:
            span.set_attribute("http.route", route)
        if code is not None:
            span.set_attribute("error.type", code)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def flush(self) -> None:
        """Send what waits."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what waits and stop."""
        self._provider.shutdown()


def ids(span: Span) -> dict[str, str]:
    """Return the ids of a span as log lines have them."""
    context = span.get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def spans_of(environment: Mapping[str, str] = os.environ) -> Spans | None:
    """Return the spans that an environment asks for, None for none. Starts a thread. Raises UsageError."""
    if not wanted(environment):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({SERVICE_NAME: environment.get(NAME) or "forecastle"})
    provider = TracerProvider(resource=resource)
    seconds = None if TIMEOUT in environment else SENDING_S  # None: what the environment says
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=seconds)))
    return Spans(provider)
