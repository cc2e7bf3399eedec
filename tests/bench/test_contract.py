"""What a scan and hostile requests do to the service: series, memory, and answers that are no server error."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.load import load_config
from serving.app import create_app
from serving.operations import OPERATIONS
from tests.bench.measure import held, resident, say
from tests.companies import DEMO
from tests.served import world_in
from tests.service.test_contract import ask_anything
from tests.service.test_metrics import scan, series
from tests.stored import cut_export, few_deals, office_in, service

PATHS, KEYS = 10_000, 1_000
CASES = 500  # of every operation


@pytest.mark.timeout(600)
def test_a_scan_of_paths_and_keys(tmp_path: Path) -> None:
    app = create_app(load_config(DEMO, [f"state_dir={tmp_path}"]), log=lambda _: None)
    asyncio.run(scan(app, Random(1), 500, 50))  # what stands from the first requests on is no growth
    before = resident("VmRSS")
    asyncio.run(scan(app, Random(2), PATHS, KEYS))
    grown = (resident("VmRSS") - before) / 1e6
    count = len(series(app.state.api.metrics.exposed(None).decode()))
    held(f"series after {PATHS:,} paths and {KEYS:,} wrong keys", count, "under 200", count < 200)
    held("MB of memory more", grown, "at most 20", grown <= 20)


@pytest.mark.timeout(1800)
def test_fuzz_of_every_operation(tmp_path: Path) -> None:
    """The client holds every answer against the contract."""
    world = world_in(tmp_path)
    few = few_deals(world)
    (tmp_path / "office").mkdir()
    office = office_in(world, tmp_path / "office", cut_export(world, tmp_path / "export", few))
    office.refresh()
    for each in (one for one in OPERATIONS if one.parameters or one.request):  # else there is one request to send
        asked = 0
        with service(office) as running:

            @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(data=st.data())
            def ask(data: st.DataObject) -> None:
                nonlocal asked
                asked += 1
                ask_anything(running, few, each, data)  # noqa: B023 -- called at once

            ask()
        say(f"met     {each.name}: {asked:,} requests, no 5xx, answers as in the contract (target {CASES} requests)")
