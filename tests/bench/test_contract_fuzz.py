"""Schemathesis against the real service: every operation that its contract names, every check, whole chains of calls.

FORECASTLE_FUZZ=short asks a tenth of it, to see that it runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.measure import held, say
from tests.leads_served import lead_world
from tests.running import Server, running
from tests.served import world_in
from tests.stored import cut_export, few_deals, office_in

pytest.importorskip("schemathesis", reason="`make bench` installs it")

CASES = 50 if os.environ.get("FORECASTLE_FUZZ") == "short" else 500
MOST_S = 3_000
REFUSED = [400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 428, 429, "5xx"]
"""How what breaks the contract may be answered; another check finds any 5xx."""
TAKEN = ["2xx", 401, 403, 404, 409, 410, 422, 429]
"""How what fits the contract may be: a schema can't say which cursor is of this question, nor which day is known."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "world").mkdir()
    world = world_in(folder / "world")
    export = cut_export(world, folder / "export", few_deals(world))
    (folder / "office").mkdir()
    office = office_in(world, folder / "office", export, "serving.workers=1")
    office.refresh()
    leads = lead_world(folder / "leads")
    words = [f"state_dir={office.config.state_dir}", f"source.path={export}", "serving.workers=1"]
    words.append(f"serving.leads={leads.path}")
    with running(office.config, world.config_path, [*world.overrides, *words], folder) as server:
        yield server


@pytest.mark.timeout(MOST_S + 600)
def test_schemathesis_finds_nothing(server: Server, tmp_path: Path) -> None:
    contract = json.loads(server.ask("GET", "/v1/openapi.json")[2])
    (tmp_path / "st.toml").write_text(settings(contract))
    told_as = tmp_path / "openapi.json"  # from its own address the route that gives it would not be tried
    told_as.write_text(json.dumps(contract))
    report = tmp_path / "report.json"
    words = [
        *("--checks", "all", "--max-examples", str(CASES), "--continue-on-failure", "--seed", "1", "--warnings", "off"),
        *("--request-timeout", "30", "--report", "json", "--report-json-path", str(report)),
        *("-H", f"Authorization: Bearer {server.key}", "--url", f"http://127.0.0.1:{server.port}", str(told_as)),
    ]
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--no-color",
        "--config-file",
        str(tmp_path / "st.toml"),
        "run",
    ]
    done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True)
    assert report.exists(), done.stdout[-4000:] + done.stderr[-4000:]
    told = json.loads(report.read_text())
    for failure in told["failures"]:
        say(f"        {failure['title']}: {', '.join(failure['operations'])}")
    if told["failures"] or told["errors"]:
        say(done.stdout[-20_000:])
    operations, cases = told["operations"], told["test_cases"]
    phases = ", ".join(f"{name} {phase['status']}" for name, phase in told["phases"].items())
    say(f"        schemathesis {told['schemathesis_version']}, {cases['generated']:,} requests: {phases}")
    every = sum(len(methods) for methods in contract["paths"].values())
    held(
        "operations of the contract that were tried",
        operations["tested"],
        f"all {every}",
        operations["tested"] == every,
    )
    held("errors of the run itself", len(told["errors"]), "0", not told["errors"])
    held("things that schemathesis finds", cases["unique_failures"], "0", cases["unique_failures"] == 0)
    faults = [line for line in server.lines("request") if line["status"] >= 500]
    held("answers 5xx in the service's own log", len(faults), "0", not faults)


def settings(contract: dict[str, Any]) -> str:
    """Schemathesis' settings, which follow from the contract.

    Where there is a body more is taken than the contract says (decision 0032), and of a list each item fails alone,
    inside a 200.
    """
    lines = [f"checks.positive_data_acceptance.expected-statuses = {json.dumps(TAKEN)}"]
    lines += [f"checks.negative_data_rejection.expected-statuses = {json.dumps(REFUSED)}"]
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            if "requestBody" in operation:
                lines += ["[[operations]]", f"include-name = {json.dumps(f'{method.upper()} {path}')}"]
                lines += [f"checks.negative_data_rejection.expected-statuses = {json.dumps([200, *REFUSED])}"]
    return "\n".join(lines) + "\n"
