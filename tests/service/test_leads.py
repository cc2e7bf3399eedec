"""Leads over HTTP: what is answered, what is refused, what is kept, and how their model comes and goes."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from configs.errors import ConfigError, NotReplayedError
from configs.load import leads_of, load_config
from configs.schema import Config
from features.build import FeatureMatrix
from models.base import Float
from models.leads import LeadHeads, LeadValue
from models.store import CURRENT, Store
from serving.app import create_app
from serving.auth import create_key, keys_file
from serving.leads import score_leads
from serving.replay import replay
from serving.watch import Watch
from tests.contracted import checked
from tests.leads_served import LeadWorld, lead_world
from tests.running import STOP_S, answers, running
from tests.served import World, posted
from tests.service.conftest import Served
from tests.stored import EVERYTHING

pytestmark = pytest.mark.timeout(180)

NOW = datetime(2024, 4, 20, 12, tzinfo=UTC)
ROUTE = "/v1/leads/score"
BARE = {"lead_id": "a", "created_at": "2024-04-01T10:00:00Z"}
SCORED = {"p_convert", "p_won", "amount_expected", "value_expected", "score", "grade", "log_odds", "rung", "data_notes"}

ServeLeads = Callable[..., Served]


class Worth(LeadHeads):
    """Heads whose answers a test can work out: half of those that convert are won, for 1000 each."""

    def told(self, matrix: FeatureMatrix, p_convert: Float) -> LeadValue:
        p_won = np.where(matrix.column("stage_rank") > 0, p_convert / 2, np.nan)
        return LeadValue(p_won, np.full(len(p_won), 1000.004), p_won * 1000.004)


HALF = Worth(120, None, None, None)


@pytest.fixture(scope="session")
def leads(tmp_path_factory: pytest.TempPathFactory) -> LeadWorld:
    return lead_world(tmp_path_factory.mktemp("leads"))


@pytest.fixture
def serve_leads(world: World, leads: LeadWorld, tmp_path: Path) -> ServeLeads:
    """Make an app that names the leads: serve_leads(worth=heads), or loaded=False for one whose leads wait."""

    def make(loaded: bool = True, worth: LeadHeads | None = None, **limits: Any) -> Served:
        serving = world.config.serving.model_copy(update={"leads": leads.path, **limits})
        config: Config = world.config.model_copy(update={"serving": serving, "state_dir": tmp_path / "app"})
        lines: list[Mapping[str, Any]] = []
        app = create_app(config, lambda: round(NOW.timestamp() * 1_000_000), lines.append)
        app.state.api.loaded = world.loaded
        if loaded:
            bundle = leads.bundle if worth is None else replace(leads.bundle, leads=worth)
            app.state.api.leads.loaded = replace(leads.loaded, bundle=bundle)
        key = create_key(keys_file(config), "test", NOW, rights=EVERYTHING)
        return Served(checked(TestClient(app)), key, lines)

    return make


def post(served: Served, *leads: object, **more: object) -> Any:
    body = {"as_of": "2024-04-15T00:00:00Z", "leads": list(leads)} | more
    return served.client.post(ROUTE, content=posted(body), headers=served.headers)


def problem_of(served: Served, lead: object) -> tuple[str, list[tuple[str, str]]]:
    """The code of the problem of one lead, with the places and codes of its faults."""
    (result,) = post(served, lead).json()["results"]
    assert result["ok"] is False
    told = result["problem"]
    return told["code"], [(error["pointer"], error["code"]) for error in told["errors"]]


def test_a_lead_is_scored_with_grade_value_and_reasons(serve_leads: ServeLeads, leads: LeadWorld) -> None:
    served = serve_leads(worth=HALF)
    worked = BARE | {"history": [{"known_at": "2024-04-02", "event": "worked"}], "source": "referral"}
    answer = post(served, worked, BARE | {"lead_id": "b"}).json()
    first, second = answer["results"]
    assert (answer["model_version"], answer["horizon_days"]) == (leads.bundle.version, 30)
    assert (answer["feature_hash"], answer["reference_as_of"][:4]) == (leads.bundle.about.plan_fingerprint, "2024")
    assert first.keys() == {"lead_id", "ok", "reasons"} | SCORED
    assert first["p_won"] == first["p_convert"] / 2
    assert (first["amount_expected"], first["value_expected"]) == (1000.0, round(first["p_won"] * 1000.004, 2))
    assert first["grade"] == "DCBA"[sum(first["p_convert"] >= cut for cut in (0.08, 0.2, 0.4))]
    assert sum(reason["log_odds"] for reason in first["reasons"]) == pytest.approx(first["log_odds"], abs=1e-9)
    assert not [reason for reason in first["reasons"] if "deal" in reason["sentence"]]
    assert (second["p_won"], second["amount_expected"], second["value_expected"]) == (None, 1000.0, None)
    assert "reasons" not in post(served, BARE, explain=False).json()["results"][0]


def test_a_bare_day_and_our_own_word_for_an_event(serve_leads: ServeLeads) -> None:
    """A lead created and worked on one bare day is worked, and the company's words are spelt as it likes."""
    served = serve_leads()
    day = BARE | {"created_at": "2024-04-01"}
    told = [day | {"history": [{"known_at": "2024-04-01T09:00:00Z", "event": word}]} for word in ("worked", " Worked ")]
    one, other = post(served, *told).json()["results"]
    assert one == other
    assert one["p_convert"] != post(served, day).json()["results"][0]["p_convert"]


def test_what_is_wrong_with_one_lead_spoils_no_other(serve_leads: ServeLeads) -> None:
    served = serve_leads()
    converted = BARE | {"history": [{"known_at": "2024-04-03", "event": "converted", "deal_id": "D1"}]}
    again = [*converted["history"], {"known_at": "2024-04-05", "event": "worked"}]
    cases = [
        (BARE | {"opted_out": True}, "opted_out", [("/leads/0/opted_out", "opted_out")]),
        (converted, "invalid_request", [("/leads/0", "lead_closed")]),
        (BARE | {"history": again}, "invalid_request", [("/leads/0", "lead_closed")]),
        (BARE | {"created_at": "2024-05-01T00:00:00Z"}, "invalid_request", [("/leads/0", "lead_not_known")]),
        ({"created_at": "2024-04-01T10:00:00Z"}, "invalid_request", [("/leads/0/lead_id", "missing")]),
        (BARE | {"stage": "new"}, "invalid_request", [("/leads/0/stage", "unknown_field")]),
        (
            BARE | {"history": [{"known_at": "2024-04-02", "event": "ringing"}]},
            "invalid_request",
            [("/leads/0/history/0/event", "unknown_event")],
        ),
        (
            BARE | {"activities": [{"occurred_at": "never ever", "kind": "web"}]},
            "invalid_request",
            [("/leads/0/activities/0/occurred_at", "wrong_type")],
        ),
        (BARE | {"attributes": {"shoe": 1}}, "invalid_request", [("/leads/0/attributes", "unknown_attribute")]),
    ]
    for lead, code, errors in cases:
        assert problem_of(served, lead) == (code, errors)
    results = post(served, *(lead for lead, _, _ in cases), BARE).json()["results"]
    assert [result["ok"] for result in results] == [False] * len(cases) + [True]
    assert results[-1] == post(served, BARE).json()["results"][0]


def test_the_limits_are_those_of_deals(serve_leads: ServeLeads) -> None:
    served = serve_leads(max_deals_plain=3, max_deals_explained=2, max_events_per_deal=4)
    assert post(served, BARE, BARE).status_code == 200
    assert post(served, BARE, BARE, BARE, explain=False).status_code == 200
    many = post(served, BARE, BARE, BARE).json()
    assert (many["code"], many["errors"][0]["code"]) == ("limit_exceeded", "too_many_leads")
    events = [{"occurred_at": "2024-04-02", "kind": "web"}] * 5
    assert problem_of(served, BARE | {"activities": events})[0] == "limit_exceeded"
    assert post(served, BARE, as_of="2024-01-01T00:00:00Z").json()["code"] == "in_sample"
    assert served.client.post(ROUTE, content=b"{}").status_code == 401


def test_without_leads_there_is_no_such_route_and_a_model_is_waited_for(
    serve_leads: ServeLeads, served: Served
) -> None:
    none = post(served, BARE)
    assert (none.status_code, none.json()["code"]) == (404, "no_leads")
    assert served.client.get("/v1/status", headers=served.headers).json()["leads"] is None
    waiting = serve_leads(loaded=False)
    answer = post(waiting, BARE)
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    told = waiting.client.get("/v1/status", headers=waiting.headers).json()["leads"]
    assert (told["model"], told["watch"]["swaps"]) == (None, 0)
    assert waiting.client.get("/v1/ready").status_code == 200


def test_scores_are_counted_as_leads_and_the_status_names_their_model(
    serve_leads: ServeLeads, leads: LeadWorld
) -> None:
    served = serve_leads()
    post(served, BARE, BARE | {"opted_out": True})
    text = served.client.get("/v1/metrics", headers=served.headers).text
    assert "forecastle_leads_scored_total 1.0" in text
    assert 'forecastle_leads_refused_total{code="opted_out"} 1.0' in text
    assert "forecastle_deals_scored_total 0.0" in text
    assert f'version="{leads.bundle.version}"' in text
    model = served.client.get("/v1/status", headers=served.headers).json()["leads"]["model"]
    assert (model["bundle_sha256"], model["fields"]) == (leads.bundle.sha, ["source", "size", "seats"])


def test_the_ledger_keeps_leads_and_replays_them_from_their_own_store(
    serve_leads: ServeLeads, leads: LeadWorld, tmp_path: Path
) -> None:
    served = serve_leads()
    body = leads.body([row.lead_id for row in score_leads(leads.config, leads.bundle, leads.seen, leads.as_of)[-20:]])
    assert served.client.post(ROUTE, content=posted(body), headers=served.headers).status_code == 200
    assert post(served, BARE, explain=False).status_code == 200
    served.client.app.state.api.close()  # type: ignore[attr-defined]
    config = load_config(leads.path).model_copy(update={"state_dir": tmp_path / "app"})
    deals = config.model_copy(update={"serving": config.serving.model_copy(update={"leads": leads.path})})
    tally = replay(deals, None, None, None, lambda _: None)
    assert (tally.rows, tally.agree) == (21, 21)
    assert replay(config, None, None, None, lambda _: None).told()["cannot_be_rebuilt"] == 21
    with sqlite3.connect(next(tmp_path.rglob("store.db"))) as store:
        assert {row[0] for row in store.execute("SELECT route FROM ledger")} == {ROUTE}
        store.execute("DROP TRIGGER ledger_no_update")
        store.execute("UPDATE ledger SET heads = replace(heads, ':0.', ':1.') WHERE deal_id = 'a'")
    with pytest.raises(NotReplayedError):
        replay(deals, None, None, None, lambda _: None)


def test_each_watch_keeps_to_its_own_model(world: World, leads: LeadWorld, tmp_path: Path) -> None:
    """Leads that are promoted while the service runs are taken up; the deals' model stays as it is."""
    serving = world.config.serving.model_copy(update={"leads": leads.path})
    api = create_app(world.config.model_copy(update={"serving": serving})).state.api
    lines: list[Mapping[str, Any]] = []
    config = leads.config.model_copy(update={"state_dir": tmp_path / "leads"})
    watch = Watch(config, api.leads, lines.append)
    watch.look()
    assert (api.leads.loaded, api.leads.watched.last.code) == (None, "none_promoted")
    store = Store(config.state_dir / "bundles")
    store.point(store.publish(leads.config.state_dir / "bundles" / leads.bundle.sha))
    watch.look()
    assert api.lead_model().bundle.sha == leads.bundle.sha
    assert (api.loaded, api.watched.swaps, api.leads.watched.swaps) == (None, 0, 1)
    assert [line["event"] for line in lines] == ["model_refused", "model_loaded"]


def test_the_config_of_the_leads_is_checked(world: World, leads: LeadWorld, tmp_path: Path) -> None:
    def named(path: Path, state: Path) -> Config:
        serving = world.config.serving.model_copy(update={"leads": path})
        return world.config.model_copy(update={"serving": serving, "state_dir": state})

    found = leads_of(named(leads.path, tmp_path))
    assert found is not None
    assert found.state_dir == leads.config.state_dir
    with pytest.raises(ConfigError, match="expected a config with target: converted"):
        leads_of(named(world.config_path, tmp_path))
    with pytest.raises(ConfigError, match="state_dir of the deals"):
        leads_of(named(leads.path, leads.config.state_dir))
    with pytest.raises(ConfigError):
        leads_of(named(tmp_path / "none.yaml", tmp_path))


def test_the_real_service_serves_both_and_takes_a_promoted_model_of_leads_up(
    world: World, leads: LeadWorld, tmp_path: Path
) -> None:
    """Started before any lead's model is live: 503, then answers with the bits of score-leads."""
    state = tmp_path / "leads"
    path = tmp_path / "leads.yaml"
    mapping = leads.path.parent / "mapping.yaml"
    text = leads.path.read_text().replace("mapping.yaml", str(mapping))
    path.write_text(text.replace(str(leads.config.state_dir), str(state)))
    overrides = [*world.overrides, f"serving.leads={path}", "serving.workers=1"]
    overrides += ["serving.watch_seconds=0.2", "serving.drain_seconds=0"]
    ids = [row.lead_id for row in score_leads(leads.config, leads.bundle, leads.seen, leads.as_of)[-5:]]
    body = posted(leads.body(ids))
    with running(world.config, world.config_path, overrides, tmp_path) as server:
        status, _, told = server.ask("POST", ROUTE, body)
        assert (status, json.loads(told)["code"]) == (503, "not_ready")
        store = Store(state / "bundles")
        store.point(store.publish(leads.config.state_dir / "bundles" / leads.bundle.sha))
        server.wait("leads are scored", lambda: server.ask("POST", ROUTE, body)[0] == 200)
        answer = json.loads(server.ask("POST", ROUTE, body)[2])
        assert answer["bundle_sha256"] == leads.bundle.sha
        assert [result["lead_id"] for result in answer["results"]] == ids
        assert all(result["reasons"] for result in answer["results"])
        about = json.loads(server.ask("GET", "/v1/status")[2])
        assert (about["bundle_sha256"], about["leads"]["watch"]["swaps"]) == (world.bundle.sha, 1)
        server.process.kill()
        until = time.monotonic() + STOP_S
        while answers(server.port) and time.monotonic() < until:
            time.sleep(0.1)
        assert not answers(server.port), "a worker goes on without who started it, and holds the port"
        assert server.lines("parent_gone")
    assert (state / "bundles" / CURRENT).is_file()
