"""The law of the oracle: every question to the as-of view equals a short, stupid loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import asof, order, ranks
from features.asof import Seen, look
from features.periods import DAY
from features.tables import NAT
from features.timeline import Timeline, timeline

HALF_DAY = DAY // 2


@pytest.fixture(params=["few rows", "many rows"], autouse=True, scope="module")
def ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Few rows and many are sorted, searched and counted in different ways: both must equal the loop."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many rows":
            for module in (asof, order, ranks):
                patch.setattr(module, "FEW", 0)
            patch.setattr(ranks, "ROWS_EACH", 1)
        yield


@dataclass(frozen=True)
class Fact:
    """One row as a loop sees it."""

    entity: int
    known_at: int
    value: int
    at: int
    who: int
    hit: bool


# Few distinct instants, so that ties and rows exactly at the as-of are common.
moments = st.integers(0, 12).map(lambda k: k * HALF_DAY)
facts = st.lists(
    st.builds(
        Fact,
        entity=st.integers(-1, 3),
        known_at=moments,
        value=st.one_of(st.just(NAT), st.integers(-5, 5)),
        at=st.one_of(st.just(NAT), moments),
        who=st.one_of(st.just(NAT), st.integers(0, 3)),
        hit=st.booleans(),
    ),
    max_size=25,
)
asks = st.lists(st.tuples(st.integers(-1, 3), moments), min_size=1, max_size=8)
windows = st.sampled_from([None, HALF_DAY, DAY, 3 * DAY])
wheres = st.sampled_from([None, "hit", "!hit"])
floors = st.lists(st.one_of(st.just(NAT), moments), min_size=8, max_size=8)


def built(rows: list[Fact]) -> Timeline:
    columns = {
        "value": np.array([r.value for r in rows], dtype=np.int64),
        "at": np.array([r.at for r in rows], dtype=np.int64),
        "who": np.array([r.who for r in rows], dtype=np.int64),
        "hit": np.array([r.hit for r in rows], dtype=bool),
    }
    entity = np.array([r.entity for r in rows], dtype=np.int64)
    known_at = np.array([r.known_at for r in rows], dtype=np.int64)
    return timeline("facts", 4, entity, known_at, columns)


def visible(rows: list[Fact], entity: int, as_of: int, where: str | None, within: int | None) -> list[Fact]:
    """Rows of an entity strictly before the as-of, in order of known_at then of arrival."""
    keep = []
    for row in sorted(rows, key=lambda r: r.known_at):
        wanted = where is None or row.hit == (where == "hit")
        recent = within is None or row.known_at >= as_of - within
        if row.entity == entity and entity >= 0 and row.known_at < as_of and wanted and recent:
            keep.append(row)
    return keep


def seen(rows: list[Fact], asked: list[tuple[int, int]]) -> Seen:
    entity, as_of = (np.array(part, dtype=np.int64) for part in zip(*asked, strict=True))
    return look(built(rows), entity, as_of)


@given(facts, asks, wheres, windows)
def test_count(rows: list[Fact], asked: list[tuple[int, int]], where: str | None, within: int | None) -> None:
    expected = [float(len(visible(rows, e, t, where, within))) for e, t in asked]
    assert seen(rows, asked).count(where, within).tolist() == expected


@given(facts, asks, wheres, windows)
def test_total(rows: list[Fact], asked: list[tuple[int, int]], where: str | None, within: int | None) -> None:
    expected = [float(sum(r.value for r in visible(rows, e, t, where, within) if r.value != NAT)) for e, t in asked]
    assert seen(rows, asked).total("value", where, within).tolist() == expected


@given(facts, asks, wheres)
def test_totals(rows: list[Fact], asked: list[tuple[int, int]], where: str | None) -> None:
    """Side by side or one by one, sums are the same."""
    got = seen(rows, asked)
    assert got.totals(("value", "at"), where).tolist() == [got.total(name, where).tolist() for name in ("value", "at")]


@given(facts, asks, wheres, windows, floors)
def test_since(
    rows: list[Fact], asked: list[tuple[int, int]], where: str | None, within: int | None, floor: list[int]
) -> None:
    """Each request has its own floor; one at or after the as-of leaves nothing, a missing one leaves all."""
    since = np.array(floor[: len(asked)], dtype=np.int64)
    kept = [
        [r for r in visible(rows, e, t, where, within) if r.known_at >= low]
        for (e, t), low in zip(asked, floor, strict=False)
    ]
    got = seen(rows, asked)
    assert got.count(where, within, since=since).tolist() == [float(len(k)) for k in kept]
    sums = [float(sum(r.value for r in k if r.value != NAT)) for k in kept]
    assert got.total("value", where, within, since=since).tolist() == sums


@given(facts, asks, wheres)
def test_last_and_first(rows: list[Fact], asked: list[tuple[int, int]], where: str | None) -> None:
    kept = [visible(rows, e, t, where, None) for e, t in asked]
    assert seen(rows, asked).last("value", where).tolist() == [k[-1].value if k else NAT for k in kept]
    assert seen(rows, asked).first("value", where).tolist() == [k[0].value if k else NAT for k in kept]


@given(facts, asks, wheres)
def test_nth(rows: list[Fact], asked: list[tuple[int, int]], where: str | None) -> None:
    for k in (1, 2, 3):
        found = [visible(rows, e, t, where, None) for e, t in asked]
        assert seen(rows, asked).nth("value", k, where).tolist() == [
            v[k - 1].value if len(v) >= k else NAT for v in found
        ]


@given(facts, asks, wheres)
def test_latest(rows: list[Fact], asked: list[tuple[int, int]], where: str | None) -> None:
    expected = [max((r.at for r in visible(rows, e, t, where, None)), default=NAT) for e, t in asked]
    assert seen(rows, asked).latest("at", where).tolist() == expected


@given(facts, asks, wheres)
def test_days_since(rows: list[Fact], asked: list[tuple[int, int]], where: str | None) -> None:
    got = seen(rows, asked)
    for i, (e, t) in enumerate(asked):
        known = [r.known_at for r in visible(rows, e, t, where, None)]
        happened = [r.at for r in visible(rows, e, t, where, None) if r.at != NAT]
        for value, instants, pick in (
            (got.days_since(where)[i], known, max),
            (got.days_since_first(where)[i], known, min),
            (got.days_since(where, clock="at")[i], happened, max),
        ):
            assert value == (t - pick(instants)) / DAY if instants else np.isnan(value)


@given(facts, asks, wheres, windows)
def test_distinct(rows: list[Fact], asked: list[tuple[int, int]], where: str | None, within: int | None) -> None:
    expected = [float(len({r.who for r in visible(rows, e, t, where, within) if r.who != NAT})) for e, t in asked]
    assert seen(rows, asked).distinct("who", where, within).tolist() == expected


@given(facts, asks, wheres)
def test_decayed(rows: list[Fact], asked: list[tuple[int, int]], where: str | None) -> None:
    expected = [sum(2.0 ** -((t - r.known_at) / DAY) for r in visible(rows, e, t, where, None)) for e, t in asked]
    np.testing.assert_allclose(seen(rows, asked).decayed(DAY, where), expected, rtol=1e-12)


@given(facts, asks, wheres, windows)
def test_upcoming(rows: list[Fact], asked: list[tuple[int, int]], where: str | None, within: int | None) -> None:
    expected = []
    for e, t in asked:
        ahead = [r.at - t for r in visible(rows, e, t, where, None) if r.at != NAT]
        expected.append(float(sum(a >= 0 and (within is None or a < within) for a in ahead)))
    assert seen(rows, asked).upcoming("at", where, within).tolist() == expected


@given(facts, asks, wheres)
def test_soonest(rows: list[Fact], asked: list[tuple[int, int]], where: str | None) -> None:
    expected = [
        min((r.at for r in visible(rows, e, t, where, None) if r.at != NAT and r.at >= t), default=NAT)
        for e, t in asked
    ]
    assert seen(rows, asked).soonest("at", where).tolist() == expected


@given(facts, asks, wheres, windows)
def test_one_request_alone_has_the_bits_it_has_among_many(
    rows: list[Fact], asked: list[tuple[int, int]], where: str | None, within: int | None
) -> None:
    def answers(some: list[tuple[int, int]]) -> list[np.ndarray]:
        s = seen(rows, some)
        return [
            s.count(where, within),
            s.count(where, within, since=s.as_of - DAY),
            s.total("value", where, within),
            s.decayed(DAY, where),
            s.distinct("who", None, within),
        ]

    together = answers(asked)
    for i, ask in enumerate(asked):
        for column, alone in zip(together, answers([ask]), strict=True):
            assert column[i : i + 1].tobytes() == alone.tobytes()
