"""The as-of core beside DuckDB and Polars: the same 60 columns, equal values, one run. Run by `make bench`."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.measure import Measured, held, measured, say
from tests.bench.windows import Columns, asked, ours, with_duckdb, with_polars

ACTIVITIES, REQUESTS = 10_000_000, 1_000_000
TIMES = 3  # the best of so many runs; of one for DuckDB, which takes too long to wait for luck
pytestmark = [pytest.mark.timeout(1800)]


def test_windows_over_ten_million_activities() -> None:
    pytest.importorskip("duckdb", reason="make bench installs the peers")
    pytest.importorskip("polars", reason="make bench installs the peers")
    question = asked(ACTIVITIES, REQUESTS)
    mine = told("as-of core", measured(lambda: ours(question), TIMES))
    peers = {
        "DuckDB, join and aggregate": (told("DuckDB", measured(lambda: with_duckdb(question))), 10.0),
        "Polars, cumulative sums and as-of joins": (
            told("Polars", measured(lambda: with_polars(question), TIMES)),
            2.0,
        ),
    }
    for name, (peer, _) in peers.items():
        same(mine.value, peer.value, name)
    for name, (peer, least) in peers.items():
        ratio = peer.seconds / mine.seconds
        held(f"times as fast as {name}", ratio, f"at least {least:g}", ratio >= least)


def test_instants_that_need_ranks() -> None:
    """Odd microseconds of 400,000 deals do not fit the key: slower, and the same answers."""
    few = asked(300_000, 30_000, resolution=1)
    whole = measured(lambda: ours(asked(300_000, 30_000)))
    odd = measured(lambda: ours(few))
    say(f"whole seconds {whole.seconds:.3f} s, odd microseconds {odd.seconds:.3f} s (300,000 activities)")
    if pytest.importorskip("duckdb", reason="make bench installs the peers"):
        same(odd.value, with_duckdb(few), "DuckDB")


def told(name: str, got: Measured[Columns]) -> Measured[Columns]:
    say(f"{name:<12} {got.seconds:7.2f} s   peak memory {got.peak / 1e9:5.2f} GB above the input")
    return got


def same(mine: Columns, theirs: Columns, name: str) -> None:
    assert mine.keys() == theirs.keys()
    for column, values in mine.items():
        slack = 1e-9 if column.startswith("since") else 0.0
        np.testing.assert_allclose(theirs[column], values, rtol=0, atol=slack, err_msg=f"{name}: {column}")
