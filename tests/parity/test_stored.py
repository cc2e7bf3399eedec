"""One deal by events and GET, posted inline, and in the batch file: the same bits, whatever the events' order."""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random
from typing import Any

import pytest

from serving.answers import iso
from serving.batch import open_deals, score_file
from serving.events import LISTS
from serving.example import request_of
from serving.refresh import snapshot
from tests.served import World
from tests.stored import Service, office_in, service

pytestmark = pytest.mark.timeout(120)
DEALS = 12


def events_of(deal: dict[str, Any]) -> list[dict[str, Any]]:
    """A deal as posted inline, as one event for each fact; the place in a list becomes seq."""
    name = deal["deal_id"]
    head = {field: value for field, value in deal.items() if field not in ("deal_id", *LISTS.values())}
    parts = [("deal", head)]
    for part, listed in LISTS.items():
        rows = deal.get(listed, ())
        parts += [(part, row | {"seq": k} if part == "change" else row) for k, row in enumerate(rows)]
    return [{"event_id": f"{name}:{k}", "deal_id": name, part: fact} for k, (part, fact) in enumerate(parts)]


def test_events_inline_and_the_file_agree_to_the_last_bit(world: World, tmp_path: Path) -> None:
    office = office_in(world, tmp_path, tmp_path)
    snapshot(office.config, world.seen)
    chosen = open_deals(world.seen.record, world.as_of)
    ids = sorted(name for name in world.seen.record.deal_ids.take(chosen.deal).strings() if name)[
        :: len(chosen) // DEALS
    ]
    body = request_of(world.seen.tables, world.bundle, world.as_of, ids, False)
    events = [event for deal in body["deals"] for event in events_of(deal)]
    Random(7).shuffle(events)
    score_file(world.config, [world.as_of], tmp_path / "scores.csv", "live", False, lambda _: None)
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = {row["deal_id"]: row for row in csv.DictReader(file)}
    with service(office) as served:
        push(served, events)
        inline = served.post(body).json()["results"]
        for name, one in zip(ids, inline, strict=True):
            stored = served.score(name, iso(world.as_of)).json()["result"]
            assert stored == {field: value for field, value in one.items() if field != "ok"}
            assert stored["p_won_in_period"].hex() == float(rows[name]["p_won_in_period"]).hex()
            for field in ("p_won", "p_lost", "p_open", "amount_expected", "slip_risk"):
                assert stored[field] == (float(rows[name][field]) if rows[name][field] else None), field


def push(served: Service, events: list[dict[str, Any]]) -> None:
    """Push events a few hundred at a time."""
    for start in range(0, len(events), 300):
        got = served.push(*events[start : start + 300]).json()
        assert all(one["ok"] for one in got["results"]), got
