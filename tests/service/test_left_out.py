"""A field that knows the outcome, from the export to the answer: left out of the model, accepted and ignored."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from starlette.testclient import TestClient

from configs.load import CANONICAL_MAPPING, load_config, mapping_of
from configs.schema import Config
from features.periods import parse_as_of
from serving.app import create_app
from serving.auth import create_key, keys_file
from serving.batch import score_file
from serving.example import example_request
from serving.facts import load_facts
from serving.fits import load_fitting
from serving.intake import ready
from serving.refresh import refresh_reference, sourced
from tests.companies import DEMO, QUICK, small_company
from tests.leaky import drawn, facts
from tests.service.conftest import NOW
from training.gates import COLD
from training.promote_command import promote
from training.train_command import train

pytestmark = pytest.mark.timeout(120)
LEAK, HONEST = "final_discount", "seats"
TRAINED, ASKED = "2025-04-01", "2025-05-05T00:00:00"
LIGHT = (
    "model.num_threads=1",
    "model.seeds=1",
    "model.max_rounds=10",
    "backtest.test_periods=1",
    "features.groups=[deal, clock]",
    "timing.enabled=false",
)


def company(folder: Path) -> Config:
    """The small company's export with two more columns of its deals, one of them written after the outcome."""
    state = folder / "before"
    small_company(state)
    export = next((state / "simulated").glob("*/export"))
    told = drawn(facts(state))
    place = {name: i for i, name in enumerate(facts(state).record.deal_ids.strings())}
    head, *rows = (export / "deals.csv").read_text().splitlines()
    at = [place[row.split(",")[0]] for row in rows]
    columns = [np.asarray(told[name])[at].tolist() for name in (LEAK, HONEST)]
    more = [f"{row},{leak!r},{seats!r}" for row, leak, seats in zip(rows, *columns, strict=True)]
    (export / "deals.csv").write_text("\n".join([f"{head},{LEAK},{HONEST}", *more]) + "\n")
    mapping = yaml.safe_load(CANONICAL_MAPPING.read_text())
    mapping["attributes"] = {name: {"kind": "number"} for name in (LEAK, HONEST)}
    (folder / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    source = f"source={{kind: files, path: {export}, mapping: {folder / 'mapping.yaml'}}}"
    return load_config(DEMO, [source, f"state_dir={folder / 'state'}", *QUICK, *LIGHT])


def client(config: Config) -> tuple[TestClient, dict[str, str]]:
    """The service as a worker starts it."""
    bundle = load_fitting(config)
    refresh_reference(config, bundle, lambda _: None)
    app = create_app(config, lambda: round(NOW.timestamp() * 1_000_000), lambda _: None)
    app.state.api.loaded = ready(bundle, load_facts(config.state_dir, bundle), mapping_of(config), config.flags)
    key = create_key(keys_file(config), "test", NOW)
    return TestClient(app), {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def test_what_the_audit_left_out_is_accepted_and_ignored(tmp_path: Path) -> None:
    config = company(tmp_path)
    told = train(config, parse_as_of(TRAINED, config.time_zone))
    gates = {verdict["gate"]: verdict for verdict in told["report"]["verdicts"]}
    assert COLD not in gates
    assert gates["leak audit: usable fields in quarantine"]["note"] == f"left out: {LEAK}"
    promote(config, force=True, reason="a short fit, of which only the serving is looked at")
    bundle = load_fitting(config)
    assert bundle.about.left_out == (LEAK,)
    assert bundle.about.schema.numbers == (HONEST,)
    as_of = parse_as_of(ASKED, config.time_zone)
    out = tmp_path / "scores.csv"
    score_file(config, [as_of], out, "live", False, lambda _: None)
    assert len(out.read_text().splitlines()) > 10
    service, headers = client(config)

    def results(body: dict[str, Any]) -> list[dict[str, Any]]:
        got = service.post("/v1/deals/score", content=json.dumps(body), headers=headers)
        assert got.status_code == 200
        found: list[dict[str, Any]] = got.json()["results"]
        return found

    body = example_request(sourced(config, bundle), bundle, as_of, 4, in_sample=False)
    assert [set(deal["attributes"]) for deal in body["deals"]] == [{HONEST}] * 4
    before = results(body)
    assert all(result["ok"] for result in before)
    sent = copy.deepcopy(body)
    for deal, value in zip(sent["deals"], (0.15, 0.0, None), strict=False):
        deal["attributes"][LEAK] = value
    sent["deals"][3]["attributes"]["other"] = 1.0
    after = results(sent)
    for k in (0, 1):
        *notes, last = after[k]["data_notes"]
        assert last.startswith(f"left_out: {LEAK} was not looked at: the leak audit found")
        assert after[k] | {"data_notes": notes} == before[k]
    assert after[2] == before[2]  # nothing was said
    assert after[3]["problem"]["errors"][0]["code"] == "unknown_attribute"
