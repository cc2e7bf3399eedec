"""How long the server takes on a store of 100,000 open deals: forecast, list, one deal, and the file of all."""

from __future__ import annotations

import sqlite3
import statistics
import time
from pathlib import Path

import pytest

from serving.store.bridges import keep_bridges
from serving.store.engine import FILE
from serving.store.tables import STILL
from tests.bench.measure import held, say
from tests.paged import Visitor, key_for, visitor
from tests.served import world_in
from tests.stored import DAY, Office, cut_export, few_deals, office_in

DEALS = 100_000
TARGET_MS = 500
ROUNDS = 7
PATHS = (
    "/deals",
    "/deals?view=at_risk",
    "/deals?sort=change",
    "/deals?sort=close_date",
    "/deals?q=9999",
    "/deals?stage=Propose&sort=-p",
)


FORECASTS = ("/forecast", "/forecast?open=*", "/forecast?level=team&node=Team+1", "/forecast/moves?part=score_drift")


def grown_states(office: Office, count: int) -> None:
    """Copy how deals stood at each refresh until so many stand now, and work out the bridge as a refresh does."""
    with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
        names = [row[1] for row in store.execute("PRAGMA table_info(deal_states)")]
        rows = store.execute("SELECT * FROM deal_states").fetchall()
        (now,) = store.execute("SELECT count(*) FROM deal_states WHERE until = ?", [STILL]).fetchone()
        place = names.index("deal_id")
        for n in range(-(-count // now) - 1):
            more = [(*row[:place], f"{row[place]}-{n}", *row[place + 1 :]) for row in rows]
            store.executemany(f"INSERT INTO deal_states VALUES ({', '.join('?' * len(names))})", more)
    with office.store() as opened:
        start = time.process_time()
        keep_bridges(opened, office.now, office.config.time_zone)
        say(f"working out the bridges          {time.process_time() - start:7.1f} s of a refresh (CPU)")


def time_forecast(somebody: Visitor) -> float:
    """Say how long the pages of the forecast take, CPU, and return the slowest."""
    slowest = 0.0
    for path in FORECASTS:
        took = []
        for _ in range(ROUNDS):
            start = time.process_time()
            assert somebody.get(path).status_code == 200
            took.append((time.process_time() - start) * 1000)
        slowest = max(slowest, statistics.median(took))
        say(f"{path:42} {statistics.median(took):5.0f} ms (first {took[0]:.0f}) CPU, target {TARGET_MS} ms")
    return slowest


def grown(office: Office, count: int) -> None:
    """Copy the open deals of a store until it has so many, each copy with an id and figures of its own."""
    with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
        for table, key in (("scores", "deal_id"), ("deals", "deal_id")):
            names = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            mine = f"{table} WHERE deal_id IN (SELECT deal_id FROM scores)" if table == "deals" else table
            rows = store.execute(f"SELECT {', '.join(names)} FROM {mine} ORDER BY {key}").fetchall()
            place = {name: k for k, name in enumerate(names)}
            more = []
            for n in range(count - len(rows)):
                row = list(rows[n % len(rows)])
                row[place["deal_id"]] = f"{row[place['deal_id']]}-{n}"
                if table == "scores":
                    row[place["p"]] = (n * 7919 % 100_003) / 100_003
                    row[place["amount_cents"]] = n * 104_729 % 100_000_007
                more.append(row)
            store.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})", more)
        flags = store.execute("SELECT code FROM score_flags").fetchall()
        ids = store.execute("SELECT deal_id FROM scores WHERE deal_id LIKE '%-%' LIMIT ?", [count // 20]).fetchall()
        store.executemany(
            "INSERT OR IGNORE INTO score_flags VALUES (?, ?)",
            [(flags[n % len(flags)][0], deal) for n, (deal,) in enumerate(ids)],
        )


@pytest.mark.timeout(0)
def test_pages_of_100_000_deals(tmp_path: Path) -> None:
    folder = tmp_path / "world"
    folder.mkdir()
    world = world_in(folder)
    office = office_in(world, tmp_path, cut_export(world, tmp_path / "export", few_deals(world, 70)))
    for weeks in (1, 0):
        office.now = world.as_of - weeks * 7 * DAY
        office.refresh()
    grown(office, DEALS)
    grown_states(office, DEALS)
    with visitor(office) as somebody:
        somebody.log_in(key_for(office, "bench"))
        forecast = time_forecast(somebody)
        held("slowest page of the forecast, ms of CPU", forecast, f"< {TARGET_MS}", forecast < TARGET_MS)
        slowest = 0.0
        for path in PATHS:
            took = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                answer = somebody.get(path)
                took.append((time.perf_counter() - start) * 1000)
                assert answer.status_code == 200
            middle = statistics.median(took)
            slowest = max(slowest, middle)
            say(f"{path:32} {middle:7.0f} ms (first {took[0]:.0f}), target {TARGET_MS} ms")
        deal = somebody.get("/deals").text.split('href="/deals/')[-1].split('"')[0]
        start = time.perf_counter()
        assert somebody.get(f"/deals/{deal}").status_code == 200
        say(f"one deal                         {(time.perf_counter() - start) * 1000:7.0f} ms")
        start = time.perf_counter()
        rows = somebody.get("/deals.csv").text.count("\n")
        say(f"all as CSV                       {time.perf_counter() - start:7.1f} s for {rows:,} lines")
        assert rows > DEALS
    held("slowest page of the list, ms", slowest, f"< {TARGET_MS}", slowest < TARGET_MS)
