"""All groups: time and memory grow with the rows and no faster; and what one request costs. Run by `make bench`."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest

from features.build import build_features
from features.tables import Coded, CrmTables
from tests.bench.measure import held, measured, say
from tests.bench.one_request import one_deal
from tests.bench.synthetic import company, plan, record_of, weekly

DEALS, WEEKS = 20_000, 12
CALLS_PER_FEATURE = 10  # of NumPy on short arrays, which is what one request comes down to
pytestmark = [pytest.mark.timeout(1800)]


def test_time_and_memory_are_linear_in_rows() -> None:
    wanted = plan()
    per_row: list[float] = []
    for times in (1, 2, 4):
        tables = company(times * DEALS)
        requests = weekly(tables, WEEKS)
        built = measured(lambda t=tables, r=requests: build_features(record_of(t), r, wanted), times=5)  # type: ignore[misc]
        rows = tables.deal_history.n + tables.activities.n + tables.contacts.n + len(requests)
        per_row.append(built.busy / rows)
        share = built.peak / (size(tables) + built.value.values.nbytes)
        say(
            f"{times}x: {len(requests):,} requests, {len(wanted.names)} features, {rows:,} rows in all: "
            f"{built.seconds:.2f} s, {per_row[-1] * 1e6:.2f} us of a core a row, peak memory {built.peak / 1e6:.0f} MB"
        )
        if not np.isnan(share):
            held(f"{times}x: peak memory over input and output", share, "at most 3", share <= 3)
    growth = per_row[-1] / per_row[0]
    held("time of a core per row, 4x against 1x", growth, "at most 1.35", growth <= 1.35)


def test_one_request_with_200_events() -> None:
    build, ask = one_deal()
    records = [build() for _ in range(300)]
    fresh = median([_timed(partial(ask, record)) for record in records])
    record = build()
    again = median([_timed(partial(ask, record)) for _ in range(300)])
    made = median([_timed(build) for _ in range(100)])
    count = len(plan().names)
    bare = median([_timed(partial(_bare, count * CALLS_PER_FEATURE)) for _ in range(300)])
    say(f"one deal with 200 events, {count} features, p50: its record {made * 1e3:.2f} ms, then all groups:")
    say(f"{fresh * 1e3:.2f} ms (about 1 ms is wanted), asked again {again * 1e3:.2f} ms")
    say(f"{count * CALLS_PER_FEATURE} bare NumPy calls on 200 numbers {bare * 1e3:.2f} ms")
    held("all groups, in bare NumPy calls' time", fresh / bare, "at most 8", fresh / bare <= 8)


def _bare(calls: int) -> None:
    left, right = np.arange(200), np.arange(200)
    for _ in range(calls):
        np.add(left, right)


def _timed(call) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median(seconds: list[float]) -> float:
    return float(np.median(seconds))


def size(tables: CrmTables) -> int:
    """Bytes of the tables' columns, their words included."""
    total = 0
    for table in tables.by_name().values():
        for column in table.columns.values():
            coded = isinstance(column, Coded)
            total += column.codes.nbytes + sum(map(len, column.values)) if coded else column.nbytes
    return total
