"""10,000 scores three ways: by the command, by the real service a thousand deals a call, and one deal a call.

FORECASTLE_PARITY=short compares a few hundred, to see that it runs.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.answers import iso
from serving.batch import open_deals
from tests.bench.measure import held, say
from tests.running import ROOT, Server, running
from tests.served import World, posted, world_in

ROWS = 300 if os.environ.get("FORECASTLE_PARITY") == "short" else 10_000
A_CALL = 1_000
FIGURES = ("p_won_in_period", "p_won", "p_lost", "p_open", "amount_expected", "slip_risk", "score")


@pytest.mark.timeout(3600)
def test_the_command_and_the_service_say_the_same(tmp_path: Path) -> None:
    world = world_in(tmp_path)
    as_ofs = enough(world)
    by_command = scored_by_command(world, as_ofs, tmp_path / "scores.csv")
    words = [*world.overrides, "serving.workers=1", "serving.ledger=off"]
    (tmp_path / "log").mkdir()
    with running(world.config, world.config_path, words, tmp_path / "log") as server:
        ids = {as_of: [name for name, at in by_command if at == as_of] for as_of in as_ofs}
        for what, size in ((f"{A_CALL:,} deals a call", A_CALL), ("one deal a call", 1)):
            by_service = {
                (name, as_of): one
                for as_of, names in ids.items()
                for start in range(0, len(names), A_CALL)
                for name, one in ask(server, world, as_of, names[start : start + A_CALL], size).items()
            }
            assert by_service.keys() == by_command.keys()
            differs = [apart(by_command[key], by_service[key]) for key in by_command]
            say(f"        {what}: {len(differs):,} deals at {len(as_ofs)} instants, {len(FIGURES)} figures of each")
            held(f"{what}: largest difference from the command", max(differs), "0", max(differs) == 0)
    held("rows compared", len(by_command), f"at least {ROWS:,}", len(by_command) >= ROWS)


def enough(world: World) -> list[int]:
    """Instants, the last first, at which as many deals are open in all as shall be compared."""
    chosen, count = [world.as_of], len(open_deals(world.seen.record, world.as_of))
    for as_of in np.unique(world.prepared.examples.as_of)[::-1].tolist():
        if count >= ROWS:
            break
        chosen.append(as_of)
        count += len(open_deals(world.seen.record, as_of))
    return chosen


def scored_by_command(world: World, as_ofs: list[int], out: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """What `forecastle score` writes, by deal and instant (UTC microseconds; the file tells local time)."""
    words = [word for each in world.overrides for word in ("--set", each)]
    words += [word for as_of in as_ofs for word in ("--as-of", iso(as_of))]
    command = [sys.executable, "-c", "import forecastle; forecastle.main()", "score", str(world.config_path)]
    subprocess.run(
        [*command, *words, "--out", str(out), "--in-sample"],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with out.open(newline="") as file:
        return {(row["deal_id"], instant(row["as_of"])): row for row in csv.DictReader(file)}


def instant(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


def ask(server: Server, world: World, as_of: int, ids: list[str], size: int) -> dict[str, dict[str, Any]]:
    """What the service says of deals, so many a call; their facts are looked up once, which takes longest."""
    body = world.body(ids, as_of=iso(as_of), explain=False, in_sample=True)
    deals, found = body["deals"], dict[str, dict[str, Any]]()
    for start in range(0, len(deals), size):
        status, told = server.score(posted(body | {"deals": deals[start : start + size]}))
        assert status == 200, told
        found |= {result["deal_id"]: result for result in told["results"]}
    return found


def apart(row: dict[str, Any], result: dict[str, Any]) -> float:
    """The largest difference of any figure; infinite where only one side has it."""
    pairs = [(float(row[name]) if row[name] else None, result[name]) for name in FIGURES]
    return max(0.0 if a == b else float("inf") if a is None or b is None else abs(a - b) for a, b in pairs)
