"""Where work is cut, and how many cores do it, changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from features import chunks


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("rows", [0, 1, 7, 50])
def test_rows_come_back_in_their_places(rows: int, threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr(chunks, "CHUNK", 7)
    order = np.random.default_rng(rows).permutation(rows)
    got = chunks.answered(order, 2, lambda some: [some * 1.0, some * -2.0])
    assert got.tolist() == [[row, -2.0 * row] for row in range(rows)]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_long_sort_is_a_sort(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr(chunks, "LONG", 10)
    values = np.random.default_rng(1).integers(-(2**62), 2**62, 1001)
    expected = sorted(values.tolist())
    chunks.sort_long(values)
    assert values.tolist() == expected


def test_an_error_in_one_piece_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    def work(item: int) -> None:
        if item == 3:
            raise KeyError(item)

    with pytest.raises(KeyError):
        chunks.side_by_side(work, [1, 2, 3, 4])


@pytest.mark.parametrize(("asked", "expected"), [("1", 1), ("1000", chunks.MOST), ("2", 2)])
def test_cores_are_those_asked_for(asked: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert chunks.cores() == expected
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert chunks.cores() >= 1
