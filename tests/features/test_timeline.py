"""What a timeline is made of: the order of its rows, its keys, marked rows and fading sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import order
from features.fading import BLOCK, fading_sums
from features.order import Instants, total_order
from features.ranks import FEW, Edge, Everyone, Marked
from features.tables import NAT
from features.timeline import timeline

SPREADS = (3, 10**6, 10**13, 2**61, 2**62)  # microseconds: nearly all tied, up to more than the packed key can hold


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("entities", [1, 40, 2**40])
@pytest.mark.parametrize("with_seq", [False, True])
def test_the_packed_order_is_the_plain_one(spread: int, entities: int, with_seq: bool) -> None:
    rng = np.random.default_rng(spread % 1000)
    m = FEW + 1000
    entity = rng.integers(0, entities, m)
    # Negative instants too, and many rows within one step of the coarse time.
    known_at = rng.integers(-spread // 2, spread // 2 + 1, m) // rng.choice([1, 10**5], m)
    seq = rng.integers(0, 3, m) if with_seq else None
    keys = (known_at, entity) if seq is None else (seq, known_at, entity)
    assert np.array_equal(total_order(entities, entity, known_at, seq), np.lexsort(keys))


@given(st.data())
def test_a_key_finds_the_rows_before_an_instant(data: st.DataObject) -> None:
    """Whole seconds, odd microseconds, and spans that only ranks can tell apart."""
    unit = data.draw(st.sampled_from([1_000_000, 1_000, 1]))
    entities = data.draw(st.sampled_from([2, 10**9, 2**45]))
    known = np.sort(np.array(data.draw(st.lists(st.integers(-50, 10**10), min_size=1, max_size=20)))) * unit
    near = st.sampled_from([int(t) + d for t in known for d in (-1, 0, 1)])
    asked = np.array(data.draw(st.lists(st.one_of(near, st.sampled_from([NAT, 2**62])), min_size=1, max_size=9)))
    instants = Instants.of(entities, known)
    assert instants.width * (entities + 1) < 2**63
    for entity in (0, 1, entities - 1):
        key = instants.key(np.full(len(known), entity), known)
        found = np.searchsorted(key, instants.key(np.full(len(asked), entity), asked))
        assert found.tolist() == [int((known < t).sum()) for t in asked]
        others = instants.key(np.full(len(asked), entity - 1), asked)
        assert (others < key[0]).all()


def test_an_instant_is_a_rank_only_where_nothing_else_fits() -> None:
    odd = np.array([0, 1, 10**13])
    assert Instants.of(2, odd).distinct is None
    assert Instants.of(10**7, odd).distinct is not None
    assert Instants.of(10**5, odd // 10 * 1_000_000).quantum == order.QUANTA[-1]


@pytest.mark.parametrize("rows", [0, 1, 64, FEW, FEW + 1, FEW + 64, 3 * FEW])
def test_marked_rows_before_a_position(rows: int) -> None:
    rng = np.random.default_rng(rows)
    for mask in (rng.random(rows) < 0.3, np.ones(rows, bool), np.zeros(rows, bool)):
        marked, at = Marked(mask), np.arange(rows + 1)
        edge = Edge.of(at, rows)
        assert np.array_equal(marked.before(edge), np.concatenate([[0], np.cumsum(mask)]))
        assert np.array_equal(marked.row(np.arange(marked.size)), np.flatnonzero(mask))
        assert np.array_equal(Everyone(rows).before(edge), at)


def slow_sums(at: np.ndarray, half_life: int) -> np.ndarray:
    return np.array([np.exp2(-(at[i] - at[: i + 1]) / half_life).sum() for i in range(len(at))])


@given(st.lists(st.lists(st.integers(0, 20 * BLOCK), max_size=30), min_size=1, max_size=6), st.sampled_from([1, 7, 50]))
def test_fading_sums(entities: list[list[int]], half_life: int) -> None:
    """Gaps of many blocks, ties, entities without rows; alone or beside others, the same bits."""
    times = [np.sort(np.array(t, dtype=np.int64)) for t in entities]
    entity = np.repeat(np.arange(len(times)), [len(t) for t in times])
    together = fading_sums(entity, np.concatenate(times), half_life)
    for e, at in enumerate(times):
        mine = together[entity == e]
        np.testing.assert_allclose(mine, slow_sums(at, half_life), rtol=1e-12)
        assert mine.tobytes() == fading_sums(np.full(len(at), 7), at, half_life).tobytes()


def test_a_long_entity_fades_with_the_bits_it_has_alone() -> None:
    """Long runs are added one by one, short ones side by side."""
    rng = np.random.default_rng(3)
    size = np.append(rng.integers(0, 12, 400), [900, 5, 300])
    entity = np.repeat(np.arange(len(size)), size)
    at = rng.integers(0, 10**6, len(entity))
    at = at[np.lexsort((at, entity))]
    together = fading_sums(entity, at, 1000)
    for e in np.flatnonzero(size):
        rows = np.flatnonzero(entity == e)
        assert together[rows].tobytes() == fading_sums(entity[rows], at[rows], 1000).tobytes()


def test_more_columns_share_the_rows_and_nothing_else() -> None:
    rows = timeline("rows", 1, np.array([0, 0]), np.array([2, 1]), {"hit": np.array([True, False])})
    assert rows.marked("hit").size == 1
    more = rows.with_columns({"hit": np.array([True, True]), "x": np.array([5, 6])})
    assert more.marked("hit").size == 2
    assert more.values("known_at").tolist() == [1, 2]
    assert rows.columns.keys() == {"hit"}


def test_the_running_largest_where_values_leave_no_room() -> None:
    """The entity and the value share one key where they fit into it, else the value's rank stands in."""
    values = np.array([5, NAT, -(2**61), 2**61, 7])
    rows = timeline("rows", 3, np.array([0, 0, 1, 1, 2]), np.arange(5), {"x": values})
    assert rows.running_max("x", None).tolist() == [5, 5, -(2**61), 2**61, 7]
