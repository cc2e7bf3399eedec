"""Ready rows, one a request, from 8 clients: the service beside `mlflow models serve` of the same bundle.

Both have 2 workers and the same clients (`tests.bench.closed_loop`). The service is measured as it is by default, every
score on disk before its answer, and beside that with a ledger in best effort and without one; MLflow keeps nothing.
Both give the very bits of `bundle.model.predict`, which is looked at first. Time it on a quiet machine:
FORECASTLE_THROUGHPUT=short takes a second each, to see that it runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.vocab import DEAL_GROUPS
from features.build import FeatureMatrix
from models.base import Float
from serving.answers import iso
from tests.bench.closed_loop import Heard, Load, ask, post
from tests.bench.measure import held, say
from tests.bench.mlflow_peer import environment, serving
from tests.companies import QUICK, SMALL
from tests.ready_rows import row_of, rows_body
from tests.running import STOP_S, Server, running
from tests.served import LIGHT, World, world_in
from tests.stored import cut_export, few_deals, office_in

SHORT = os.environ.get("FORECASTLE_THROUGHPUT") == "short"
SECONDS, WARM = (1.0, 0.5) if SHORT else (8.0, 2.0)
CLIENTS, WORKERS, ROWS = 8, 2, 40
TIMES = 5
LEDGERS = ("durable", "best_effort", "off")
pytestmark = [pytest.mark.timeout(1800)]

Bodies = Callable[[World, Float], Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The small company with every group of features."""
    folder = tmp_path_factory.mktemp("throughput")
    return world_in(folder, (*SMALL, *QUICK, *LIGHT, f"features.groups=[{', '.join(DEAL_GROUPS)}]"))


def split(world: World, values: Float) -> dict[str, Any]:
    return {"dataframe_split": {"columns": list(world.bundle.plan.names), "data": [row_of(row) for row in values]}}


def records(world: World, values: Float) -> dict[str, Any]:
    names = world.bundle.plan.names
    return {"dataframe_records": [dict(zip(names, row_of(row), strict=True)) for row in values]}


def inputs(world: World, values: Float) -> dict[str, Any]:
    names = world.bundle.plan.names
    return {"inputs": {name: row_of(column) for name, column in zip(names, values.T, strict=True)}}


FORMS: dict[str, Bodies] = {"dataframe_split": split, "dataframe_records": records, "inputs": inputs}
"""The forms of a request that MLflow takes; the fastest counts."""


def test_ready_rows_beside_mlflow(world: World, tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).choice(len(world.prepared.examples), ROWS, replace=False)
    values = world.prepared.examples.matrix.values[drawn]
    say(f"        {len(world.bundle.plan.names)} features; {CLIENTS} clients, {WORKERS} workers each:")
    best = max(heard.rate for heard in peers(world, values, tmp_path))
    export = cut_export(world, tmp_path / "export", few_deals(world))
    times = {ledger: ours(world, values, export, tmp_path / ledger, ledger).rate / best for ledger in LEDGERS}
    say(f"        times `mlflow models serve`: {', '.join(f'{name} {ratio:.1f}' for name, ratio in times.items())}")
    ratio = times["durable"]
    held("times as many rows a second as `mlflow models serve`", ratio, f"at least {TIMES}", ratio >= TIMES)


def peers(world: World, values: Float, folder: Path) -> list[Heard]:
    """What MLflow does with each form."""
    (folder / "peer").mkdir()
    stored = world.config.state_dir / "bundles" / world.bundle.sha
    with serving(world.bundle, stored, environment(folder), folder / "peer", WORKERS) as server:
        found = []
        for name, form in FORMS.items():
            told = said(server, "/invocations", form(world, values))
            same(world, values, told["predictions"])
            bodies = [post("/invocations", json.dumps(form(world, row[None])).encode()) for row in values]
            found.append(load(f"mlflow, {name}", server, bodies))
        return found


def ours(world: World, values: Float, export: Path, folder: Path, ledger: str) -> Heard:
    """What the service does with one kind of ledger."""
    folder.mkdir()
    office = office_in(world, folder, export)
    more = [*world.overrides, f"state_dir={office.config.state_dir}", f"source.path={export}"]
    more += [f"serving.workers={WORKERS}", f"serving.ledger={ledger}"]
    with running(office.config, world.config_path, more, folder) as server:
        server.wait("every worker is up", lambda: len(server.lines("model_loaded")) == WORKERS)
        told = said(server, "/v1/rows/score", rows_body(world.bundle, values, iso(world.as_of)))
        same(world, values, [one["p_won_in_period"] for one in told["results"]])
        key = {"Authorization": f"Bearer {server.key}"}
        bodies = [rows_body(world.bundle, row[None], iso(world.as_of), [f"D{i}"]) for i, row in enumerate(values)]
        requests = [post("/v1/rows/score", json.dumps(body).encode(), **key) for body in bodies]
        heard = load(f"ledger {ledger}", server, requests)
        server.process.terminate()  # killed, it would leave its workers to the next one
        server.process.wait(STOP_S)
        return heard


def load(name: str, server: Server, requests: list[str]) -> Heard:
    heard = ask(Load(server.port, tuple(requests), CLIENTS, SECONDS, WARM))
    say(f"        {name}: {heard.told()}")
    return heard


def said(server: Server, path: str, body: dict[str, Any]) -> Any:
    status, _, data = server.ask("POST", path, json.dumps(body).encode())
    assert status == 200, data
    return json.loads(data)


def same(world: World, values: Float, told: list[float]) -> None:
    """The answers are the bits of the model."""
    expected = world.bundle.model.predict(FeatureMatrix(world.bundle.plan.names, values))
    assert np.array(told).tobytes() == expected.tobytes()
