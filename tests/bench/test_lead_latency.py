"""The real service, asked about one lead at a time with its reasons, over a socket, durable ledger and all.

Time it on a quiet machine with two cores. FORECASTLE_LATENCY=short asks a few times, to see that it runs.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from itertools import cycle, islice

import numpy as np
import pytest

from serving.leads import score_leads
from tests.bench.measure import held, say
from tests.leads_served import lead_world
from tests.load import living
from tests.running import running
from tests.served import posted, world_in

SHORT = os.environ.get("FORECASTLE_LATENCY") == "short"
CALLS, WARM, WORKERS, TARGET = 20 if SHORT else 500, 20, 2, 8
pytestmark = pytest.mark.timeout(1800)


def test_one_lead_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lead after lead, those with most events, each scored and explained."""
    world, leads = world_in(tmp_path_factory.mktemp("deals")), lead_world(tmp_path_factory.mktemp("leads"))
    rows = score_leads(leads.config, leads.bundle, leads.seen, leads.as_of)
    whole = leads.body([row.lead_id for row in rows])
    most = sorted(whole["leads"], key=lambda lead: -len(lead["activities"]))[:50]
    bodies = [posted(whole | {"leads": [lead]}) for lead in most]
    overrides = [*world.overrides, f"serving.leads={leads.path}", f"serving.workers={WORKERS}"]
    took = []
    with running(world.config, world.config_path, overrides, tmp_path_factory.mktemp("serve")) as server:
        server.wait("every worker is up", lambda: len(living(server)) == WORKERS)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        for body in islice(cycle(bodies), WARM + CALLS):
            start = time.perf_counter()
            connection.request("POST", "/v1/leads/score", body, headers)
            answer = connection.getresponse()
            told = answer.read()
            took.append(1000 * (time.perf_counter() - start))
            assert answer.status == 200, told
            (result,) = json.loads(told)["results"]
            assert result["ok"]
            assert result["reasons"]
        connection.close()
    p50, p95, p99 = np.percentile(took[WARM:], [50, 95, 99]).tolist()
    events = np.mean([len(lead["activities"]) + len(lead["history"]) for lead in most])
    say(f"        one lead with {events:.0f} events, {len(leads.bundle.plan.names)} features: ")
    say(f"        p95 {p95:.1f} ms, p99 {p99:.1f} ms")
    held(f"milliseconds for one lead with reasons, p50 of {CALLS}", p50, f"at most {TARGET}", p50 <= TARGET)
