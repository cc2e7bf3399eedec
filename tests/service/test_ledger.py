"""The ledger behind the routes: what is kept of an answer, and what happens where nothing can be kept."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, select, text

from configs.vocab import LedgerMode
from features.build import build_features
from serving.batch import open_deals
from serving.refresh import snapshot
from serving.store.engine import FILE
from serving.store.ledger import Ledger
from serving.store.tables import LEDGER, OUTCOMES
from tests.companies import demo_config
from tests.served import World
from tests.service.test_events import told
from tests.service.test_store import ASKED, ENTRY, MODEL
from tests.stored import Kept, Office, office_in, service

pytestmark = pytest.mark.timeout(120)


def kept(office: Office) -> list[Any]:
    with office.store() as store, store.engine.begin() as connection:
        return list(connection.execute(select(LEDGER).order_by(LEDGER.c.id)).all())


def test_an_answer_is_in_the_ledger_with_its_features(either: Office, world: World, ids: list[str]) -> None:
    """Posted deals, those that can't be scored left out: the vector is the one that the batch computes."""
    body = world.body(ids[:3])
    body["deals"][1]["history"] = [{"known_at": "2025-01-01", "stage": "no such stage"}]
    snapshot(either.config, world.seen)
    with service(either) as served:
        told = served.post(body).json()
    rows = kept(either)
    assert [row.deal_id for row in rows] == [ids[0], ids[2]]
    names = world.seen.record.deal_ids.strings()
    chosen = open_deals(world.seen.record, world.as_of)
    matrix = build_features(world.seen.record, chosen, world.bundle.plan)
    place = {names[deal]: row for row, deal in enumerate(chosen.deal.tolist())}
    for row, result in zip(rows, (told["results"][0], told["results"][2]), strict=True):
        assert np.frombuffer(row.features, "<f8").shape == (len(world.bundle.plan.names),)
        assert bytes(row.features) == matrix.values[place[row.deal_id]].tobytes()
        assert row.features_sha256 == sha256(row.features).hexdigest()
        assert (row.p, row.log_odds) == (result["p_won_in_period"], result["log_odds"])
        assert json.loads(row.reasons) == result["reasons"]
        heads = json.loads(row.heads)
        assert heads == {name: result[name] for name in heads}
        assert row.request_id == told["request_id"]
        assert (row.route, row.as_of, row.asked_at) == ("/v1/deals/score", world.as_of, either.now)
        assert (row.bundle_sha256, row.model_version) == (told["bundle_sha256"], told["model_version"])
        assert row.feature_hash == told["feature_hash"]
        assert row.reference_sha256  # of the snapshot, else the bundle
        assert len(row.principal) == 8
        assert row.latency_ms > 0


def test_no_reasons_are_kept_unless_asked_for(office: Office, world: World, ids: list[str]) -> None:
    with service(office) as served:
        served.post(world.body(ids[:1], explain=False))
    assert [row.reasons for row in kept(office)] == [None]


def test_nothing_is_kept_of_a_request_that_is_refused(office: Office, world: World, ids: list[str]) -> None:
    with service(office) as served:
        assert served.post(world.body(ids[:1], as_of="soon")).status_code == 422
        assert served.post(world.body(ids[:1]) | {"deals": [{}]}).json()["results"][0]["ok"] is False
        assert served.client.get("/v1/status", headers=served.headers).json()["ledger"] == {
            "mode": "durable",
            "written": 0,
            "dropped": 0,
        }
    assert not (office.config.state_dir / "serving" / FILE).exists()


NASTY = ("nul\x00l", "half \ud800", "quote' OR 1=1 --", "snow ☃")


def test_hostile_ids_and_words_are_kept(either: Office, world: World, ids: list[str]) -> None:
    body = world.body(ids[: len(NASTY)])
    for deal, name in zip(body["deals"], NASTY, strict=True):
        deal |= {"deal_id": name, "type": name, "source": name}
    with service(either) as served:
        told = served.client.post("/v1/deals/score", content=json.dumps(body), headers=served.headers | JSON)
        assert [result["ok"] for result in told.json()["results"]] == [True, False, True, True]
    assert [row.deal_id for row in kept(either)] == ["nul\ufffdl", "quote' OR 1=1 --", "snow ☃"]


JSON = {"Content-Type": "application/json"}


def test_durable_refuses_what_it_cannot_keep(office: Office, world: World, ids: list[str]) -> None:
    """The table is locked away: a 503 with a code, and no score."""
    body = world.body(ids[:1])
    with service(office) as served:
        assert served.post(body).status_code == 200
        with office.store() as store, store.engine.begin() as connection:
            connection.execute(text("DROP VIEW ledger_outcomes"))
            connection.execute(text("ALTER TABLE ledger RENAME TO elsewhere"))
        got = served.post(body)
        assert (got.status_code, got.json()["code"]) == (503, "store_error")
        assert "p_won" not in got.text
        assert str(office.config.state_dir) not in got.text
        status = served.client.get("/v1/status", headers=served.headers).json()["ledger"]
        assert status == {"mode": "durable", "written": 1, "dropped": 1}
        with office.store() as store, store.engine.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO ledger"))
        assert served.post(body).status_code == 200


@pytest.mark.parametrize(("mode", "status", "dropped"), [("durable", 503, 0), ("best_effort", 200, 1), ("off", 200, 0)])
def test_a_store_that_cannot_be_opened(
    world: World, export: Path, tmp_path: Path, ids: list[str], mode: str, status: int, dropped: int
) -> None:
    office = office_in(world, tmp_path, export, f"serving.ledger={mode}")
    path = office.config.state_dir / "serving" / FILE
    with service(office) as served:
        path.write_bytes(b"no database" * 1000)
        got = served.post(world.body(ids[:1]))
        assert got.status_code == status
        assert served.client.get("/v1/status", headers=served.headers).json()["ledger"]["dropped"] == dropped
        assert served.score(ids[0]).json()["code"] == "store_error"


def test_best_effort_drops_what_it_has_no_room_for_and_counts(tmp_path: Path) -> None:
    with Kept(demo_config(tmp_path)).store() as store:
        lost: list[int] = []
        ledger = Ledger(store, LedgerMode.BEST_EFFORT, lost.append, room=3)
        entered, go = threading.Event(), threading.Event()
        store.writer.submit(lambda _: (entered.set(), go.wait(10)))
        assert entered.wait(10)
        assert [ledger.write([ENTRY] * rows, ASKED, MODEL) for rows in (2, 2, 1, 1)] == [None] * 4
        assert (ledger.waiting, ledger.written, ledger.dropped) == (3, 0, 3)
        go.set()
        store.writer.submit(lambda _: None).result(10)
        assert (ledger.waiting, ledger.written, ledger.dropped) == (0, 3, 3)
        assert lost == [2, 1]


def test_off_keeps_nothing(world: World, export: Path, tmp_path: Path, ids: list[str]) -> None:
    office = office_in(world, tmp_path, export, "serving.ledger=off")
    with service(office) as served:
        assert served.post(world.body(ids[:1])).status_code == 200
    assert not (office.config.state_dir / "serving" / FILE).exists()


def test_outcomes_are_joined_and_never_written_into_the_ledger(either: Kept) -> None:
    """The first close at or after the as-of; a win counts as true within the window alone."""
    with either.store() as store:
        ledger = Ledger(store, LedgerMode.DURABLE, lambda _: None)
        ends = dict.fromkeys(("before", "at", "within", "after", "lost", "open"), 10) | {"ever": None}
        rows = [replace(ENTRY, deal_id=name, as_of=5, window_end=end) for name, end in ends.items()]
        done = ledger.write(rows, ASKED, MODEL)
        assert done is not None
        done.result(10)
        closes = [
            ("before", 4, "won"),
            ("at", 5, "won"),
            ("within", 9, "won"),
            ("within", 12, "lost"),
            ("after", 10, "won"),
            ("lost", 7, "lost"),
            ("ever", 99, "won"),
        ]
        with store.engine.begin() as connection:
            connection.execute(insert(OUTCOMES), [{"deal_id": n, "closed_at": a, "outcome": o} for n, a, o in closes])
            found = connection.execute(text("SELECT deal_id, outcome, closed_at, came_true FROM ledger_outcomes"))
            joined = {row.deal_id: tuple(row[1:]) for row in found}
    assert joined == {
        "before": (None, None, None),
        "at": ("won", 5, 1),
        "within": ("won", 9, 1),
        "after": ("won", 10, 0),
        "lost": ("lost", 7, 0),
        "open": (None, None, None),
        "ever": ("won", 99, 1),
    }


def test_a_full_disk_is_a_503_and_no_score(world: World, export: Path, tiny_disk: Path, ids: list[str]) -> None:
    """Until there is space again: a clear code, nothing told that is not kept; health answers all the while."""
    office = office_in(world, tiny_disk, export)
    body, answers = world.body(ids[:20]), []
    with service(office) as served:
        assert served.post(body).status_code == 200
        ballast = tiny_disk / "ballast"
        ballast.write_bytes(b"\x00" * 200_000)
        for _ in range(60):
            got = served.post(body)
            answers.append(got.status_code)
            if got.status_code != 200:
                break
        assert (got.status_code, got.json()["code"]) == (503, "store_full")
        assert "results" not in got.json()
        pushed = (served.push(*told(f"N{k}")) for k in range(200))  # a small commit may still find room
        refused = next(one for one in pushed if one.status_code != 200)
        assert (refused.status_code, refused.json()["code"]) == (503, "store_full")
        assert served.client.get("/v1/health").status_code == 200
        ballast.unlink()
        assert served.post(body).status_code == 200
    assert len(kept(office)) == (answers.count(200) + 2) * 20
