"""The laws of time, on every source: truncation, time travel, order, batch = one (the oracle is in test_primitives)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.known import known_before
from features.tables import Coded, CrmTables, Table
from tests.pit.conftest import World
from training.prepare import calendar_of

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(
    max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
CLOCKS = {
    "deals": "known_at",
    "deal_history": "known_at",
    "activities": "known_at",
    "contacts": "known_at",
    "quotas": "known_at",
    "calls": "submitted_at",
    "leads": "known_at",
    "lead_history": "known_at",
}


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    return left.tobytes() == right.tobytes()


def at_one_instant(world: World, seed: int) -> tuple[int, np.ndarray]:
    """An as-of of the requests, and the requests at or before it."""
    as_of = int(np.random.default_rng(seed).choice(world.as_of))
    return as_of, np.flatnonzero(world.as_of <= as_of)


@FEW
@given(SEEDS)
def test_truncation(world: World, seed: int) -> None:
    """Deleting every fact known at or after the as-of moves no bit; reference facts are rebuilt from what is left."""
    as_of, rows = at_one_instant(world, seed)
    cut = known_before(world.ingest.tables, as_of)
    assert cut.deal_history.n < world.ingest.tables.deal_history.n or as_of >= world.end
    assert same_bits(world.features(world.ingest.tables, rows).values, world.features(cut, rows).values)


def test_truncation_at_the_ends_of_periods(world: World) -> None:
    """At a period's first instant, where what the period before has yielded becomes known, and a moment around it."""
    starts = calendar_of(world.config).starts
    inside = starts[(starts > world.as_of.min()) & (starts <= world.as_of.max())]
    for start in inside[[0, len(inside) // 2, -1]].tolist() if len(inside) else []:
        for as_of in (start - 1, start, start + 1):
            rows = np.flatnonzero(world.as_of < as_of)[-100:]
            there = replace(world, as_of=np.full(len(world.deals), as_of, dtype=np.int64))
            cut = known_before(world.ingest.tables, as_of)
            assert same_bits(there.features(world.ingest.tables, rows).values, there.features(cut, rows).values)


@FEW
@given(SEEDS)
def test_time_travel(world: World, seed: int) -> None:
    """Rewriting all that is known at or after the as-of, back-dating it and adding more, moves no bit."""
    rng = np.random.default_rng(seed)
    as_of, rows = at_one_instant(world, seed)
    bent = rewritten_after(world.ingest.tables, as_of, rng)
    assert same_bits(world.features(world.ingest.tables, rows).values, world.features(bent, rows).values)


@FEW
@given(SEEDS)
def test_order(world: World, seed: int) -> None:
    """Rows in any order give the same bits; seq, which is data, says what comes first among ties."""
    rng = np.random.default_rng(seed)
    tables = world.ingest.tables
    shuffled = replace(
        tables, **{name: getattr(tables, name).take(rng.permutation(getattr(tables, name).n)) for name in vars(tables)}
    )
    rows = np.arange(len(world.deals))
    assert same_bits(world.features(tables, rows).values, world.features(shuffled, rows).values)


@FEW
@given(SEEDS)
def test_batch_is_one(world: World, seed: int) -> None:
    """A request alone has the bits it has among all."""
    together = world.features(world.ingest.tables).values
    for row in np.random.default_rng(seed).choice(len(world.deals), size=8, replace=False):
        alone = world.features(world.ingest.tables, np.array([row])).values
        assert same_bits(together[row : row + 1], alone)


def test_features_do_vary(world: World) -> None:
    """The laws would hold for constants too: most columns must tell deals apart."""
    values = world.features(world.ingest.tables).values
    varying = [len(np.unique(column[~np.isnan(column)])) > 1 for column in values.T]
    assert np.mean(varying) > (0.9 if world.config.name == "demo" else 0.4)


def rewritten_after(tables: CrmTables, as_of: int, rng: np.random.Generator) -> CrmTables:
    """Shuffle the later rows' values among themselves, back-date what happened, and add them once more."""
    return replace(tables, **{name: _bent(getattr(tables, name), clock, as_of, rng) for name, clock in CLOCKS.items()})


def _bent(table: Table, clock: str, as_of: int, rng: np.random.Generator) -> Table:
    later = np.flatnonzero(table.ints(clock) >= as_of)
    if not len(later):
        return table
    moved = np.arange(table.n)
    moved[later] = rng.permutation(later)
    keep = {"deal_id", clock, "created_at"}
    columns = {name: data if name in keep else _at(data, moved) for name, data in table.columns.items()}
    if table.name == "activities":
        occurred = table.ints("occurred_at").copy()
        occurred[later] -= rng.integers(0, 400, len(later)) * 86_400_000_000
        columns["occurred_at"] = occurred
    bent = Table.of(table.name, columns, table.n)
    if table.name in ("deals", "leads"):
        return bent
    twice = np.concatenate([np.arange(table.n), rng.choice(later, size=len(later))])
    return bent.take(twice)


def _at(data: np.ndarray | Coded, idx: np.ndarray) -> np.ndarray | Coded:
    return data.take(idx) if isinstance(data, Coded) else data[idx]
