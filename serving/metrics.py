"""What Prometheus can ask about the service: few series, whatever is sent to it.

Labels are templates of routes, classes of status and codes of the error tree, never a path, a key or a word of a
request. BentoML sets PROMETHEUS_MULTIPROC_DIR for its workers: then counts and times are those of all workers since
the service started, whichever of them answers. Elsewhere they are those of the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from serving.intake import Loaded

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SHARED = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 8.0)  # 8 s: what a caller waits for at most
NO_ROUTE = "none"


def told_method(method: str) -> str:
    """Return a method, ``other`` for one that a caller made up."""
    return method if method in METHODS else "other"


class Metrics:
    """The metrics of one worker. Threads may count at once. in_flight: requests it works on, as `Admission` has it."""

    def __init__(self) -> None:
        self._registry = mine = CollectorRegistry()
        about = "requests by route template, method and class of status; route none: no such route"
        self._requests = Counter("forecastle_requests", about, ("method", "route", "status_class"), registry=mine)
        self._seconds = Histogram(
            "forecastle_request_seconds", "time to answer", ("route",), buckets=SECONDS, registry=mine
        )
        self._problems = Counter("forecastle_problems", "requests refused or failed, by code", ("code",), registry=mine)
        self._shed = Counter(
            "forecastle_requests_shed", "requests turned away unread, by code", ("reason",), registry=mine
        )
        self.in_flight = 0
        self._scored = {
            many: Counter(f"forecastle_{many}_scored", "scores given", registry=mine) for many in ("deals", "leads")
        }
        self._refused = {
            many: Counter(f"forecastle_{many}_refused", f"{many} without a score, by code", ("code",), registry=mine)
            for many in ("deals", "leads")
        }
        self._events = Counter(
            "forecastle_events",
            "events pushed: stored, duplicate or the code of a refusal",
            ("outcome",),
            registry=mine,
        )
        self._jobs = Counter("forecastle_jobs", "jobs: queued, done or failed", ("outcome",), registry=mine)
        self._reasons_off = Counter(
            "forecastle_reasons_off", "explained scores, of those checked, whose reasons do not add up", registry=mine
        )
        self._dropped = Counter("forecastle_ledger_rows_dropped", "scores that the ledger has not kept", registry=mine)
        self._store_errors = Counter(
            "forecastle_store_errors", "failures of the store, by code", ("code",), registry=mine
        )

    def request(self, method: str, route: str | None, status: int, seconds: float, code: str | None) -> None:
        """Count one request. code: of its problem, None without one."""
        self._requests.labels(told_method(method), route or NO_ROUTE, f"{status // 100}xx").inc()
        if route is not None:
            self._seconds.labels(route).observe(seconds)
        if code is not None:
            self._problems.labels(code).inc()

    def shed(self, reason: str) -> None:
        """Count a request that was turned away. reason: the code of its problem."""
        self._shed.labels(reason).inc()

    def scores(self, many: str, scored: int, refused: Mapping[str, int], reasons_off: int) -> None:
        """Count the items of a request. many: "deals" or "leads"; refused: by code."""
        self._scored[many].inc(scored)
        self._reasons_off.inc(reasons_off)
        for code, count in refused.items():
            self._refused[many].labels(code).inc(count)

    def events(self, outcomes: Mapping[str, int]) -> None:
        """Count the events of a request by what became of them."""
        for outcome, count in outcomes.items():
            self._events.labels(outcome).inc(count)

    def job(self, outcome: str) -> None:
        """Count a job by what became of it."""
        self._jobs.labels(outcome).inc()

    def dropped(self, rows: int) -> None:
        """Count rows that the ledger has not kept."""
        self._dropped.inc(rows)

    def store_error(self, code: str) -> None:
        """Count a failure of the store."""
        self._store_errors.labels(code).inc()

    def exposed(self, loaded: Sequence[Loaded | None]) -> bytes:
        """Return all metrics in Prometheus' text format; models and requests in flight are those of this worker."""
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        about = CollectorRegistry()
        about.register(_Now(loaded, self.in_flight))
        return generate_latest(registry) + generate_latest(about)


class _Now(Collector):
    """What is so in one worker when it is asked: neither a swap nor a killed worker leaves a series behind."""

    def __init__(self, loaded: Sequence[Loaded | None], in_flight: int) -> None:
        self._loaded = loaded
        self._in_flight = in_flight

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        about = "requests that the worker that answers works on"
        yield GaugeMetricFamily("forecastle_requests_in_flight", about, self._in_flight)
        labels = ("version", "bundle_sha256", "reference")
        gauge = GaugeMetricFamily("forecastle_model_info", "1 for a model of the worker that answers", labels=labels)
        for loaded in self._loaded:
            if loaded is not None:
                gauge.add_metric([loaded.bundle.version, loaded.bundle.sha, loaded.facts.origin], 1.0)
        yield gauge
