"""The as-of core beside DuckDB and Polars: the same 60 columns, equal values, one run. Run by `make bench`.

The cost of a join grows with the rows that each request meets; that of the as-of core and of the as-of joins does not.
So the shape matters: a hundred activities a deal, each deal asked about ten times, is that of a training grid.
"""

from __future__ import annotations

import numpy as np
import pytest

from features.chunks import cores
from tests.bench.measure import Measured, held, measured, say
from tests.bench.windows import Asked, Columns, asked, ours, with_duckdb, with_polars

ACTIVITIES, REQUESTS = 10_000_000, 1_000_000
TIMES = 4  # the best of so many runs; of one for DuckDB, which takes too long to wait for luck
pytestmark = [pytest.mark.timeout(1800)]


def test_windows_over_ten_million_activities() -> None:
    duck, polars = ratios("100 activities a deal", asked(ACTIVITIES, REQUESTS, per_deal=100))
    held("times as fast as DuckDB's join and aggregate", duck, "at least 10", duck >= 10)
    held("times as fast as Polars, cumulative sums and as-of joins", polars, "at least 2", polars >= 2)


def test_windows_over_deals_that_hold_little() -> None:
    """25 activities a deal, where a join has least to do: told, and held only to be the fastest."""
    duck, polars = ratios("25 activities a deal", asked(ACTIVITIES, REQUESTS, per_deal=25))
    held("times as fast as DuckDB's join and aggregate", duck, "above 1", duck > 1)
    held("times as fast as Polars, cumulative sums and as-of joins", polars, "above 1", polars > 1)


def test_instants_that_need_ranks() -> None:
    """Odd microseconds of many deals do not fit the key: the same answers by another way."""
    pytest.importorskip("duckdb", reason="make bench installs the peers")
    question = asked(300_000, 30_000, per_deal=1, resolution=1)
    same(ours(question), with_duckdb(question), "DuckDB")


def ratios(name: str, question: Asked) -> tuple[float, float]:
    """How many times as long DuckDB and Polars take; all three must give equal values."""
    for peer in ("duckdb", "polars"):
        pytest.importorskip(peer, reason="make bench installs the peers")
    say(f"\n{len(question.as_of):,} requests over {len(question.deal):,} activities, {name}; {cores()} cores")
    # One side after the other: memory that went back to the system between two turns would cost more than the work.
    mine = told("as-of core", measured(lambda: ours(question), TIMES))
    polars = told("Polars", measured(lambda: with_polars(question), TIMES))
    same(mine.value, polars.value, "Polars")
    duck = told("DuckDB", measured(lambda: with_duckdb(question)))
    same(mine.value, duck.value, "DuckDB")
    return duck.seconds / mine.seconds, polars.seconds / mine.seconds


def told(name: str, got: Measured[Columns]) -> Measured[Columns]:
    say(
        f"{name:<12} {got.seconds:7.2f} s, busy {got.busy:6.2f} s, peak memory {got.peak / 1e9:5.2f} GB above the input"
    )
    return got


def same(mine: Columns, theirs: Columns, name: str) -> None:
    assert mine.keys() == theirs.keys()
    for column, values in mine.items():
        slack = 1e-9 if column.startswith("since") else 0.0
        np.testing.assert_allclose(theirs[column], values, rtol=0, atol=slack, err_msg=f"{name}: {column}")
