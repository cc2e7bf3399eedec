"""What group commit is worth: rows a second that are on disk before they are confirmed, beside one commit a row."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Connection

from configs.load import load_config
from serving.entries import Asked, Entry, Model
from serving.store.engine import Store, open_store
from serving.store.ledger import append
from tests.bench.measure import held, say
from tests.companies import DEMO

CLIENTS, EACH = 32, 40  # callers that wait for their row before they send the next
ROUNDS = 3
ENTRY = Entry("D1", 5, None, b"\x00" * 752, "0" * 64, "{}", 0.1, -2.2, "{}", "[]" * 500)
ASKED = Asked("r1", "key", "/v1/deals/score", 6, 1.5)
MODEL = Model("sha", "version", "hash", 4, "reference")


def add(connection: Connection) -> None:
    append(connection, [ENTRY], ASKED, MODEL)


def seconds(store: Store) -> float:
    """Time until every caller has had all its rows confirmed."""

    def call() -> None:
        for _ in range(EACH):
            store.writer.submit(add).result()

    callers = [threading.Thread(target=call) for _ in range(CLIENTS)]
    start = time.perf_counter()
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    return time.perf_counter() - start


@pytest.mark.timeout(600)
def test_group_commit_beside_one_by_one(tmp_path: Path) -> None:
    """Both sides on the same disk, in turns, the best of each."""
    rows = CLIENTS * EACH
    together, alone = [], []
    commits = 0
    for turn in range(ROUNDS):
        for most, taken in ((512, together), (1, alone)):
            store = open_store(load_config(DEMO, [f"state_dir={tmp_path / f'{turn}-{most}'}"]), most=most)
            taken.append(seconds(store))
            commits = store.writer.commits if most > 1 else commits
            store.close()
    say(f"one by one {rows / min(alone):,.0f} rows a second, together {rows / min(together):,.0f}")
    say(f"{rows:,} rows of {CLIENTS} callers took {commits} commits")
    ratio = min(alone) / min(together)
    held("times as many rows a second by group commit", ratio, "at least 2 where a sync costs anything", ratio >= 1)
    held(
        "rows a commit", rows / commits, f"at least {CLIENTS / 4:g} of {CLIENTS} callers", rows / commits >= CLIENTS / 4
    )
