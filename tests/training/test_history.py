"""What was live when: rollback walks back through it, and a crash at any moment misleads nobody."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from models.store import Store, write_pointer
from training.history import HISTORY, ROLLBACK, Entry, append, before, current, entries

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def live(store: Store, sha: str) -> None:
    store.root.mkdir(exist_ok=True)
    write_pointer(store.root / "CURRENT", sha)


def promote(store: Store, sha: str, *, crash: bool = False) -> None:
    append(store, Entry("2026-01-01T00:00:00+00:00", "promote", sha, current(store)))
    if not crash:
        live(store, sha)


def back(store: Store, *, crash: bool = False) -> str:
    target = before(store)
    append(store, Entry("2026-01-01T00:00:00+00:00", ROLLBACK, target, current(store)))
    if not crash:
        live(store, target)
    return target


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "bundles")


def test_nothing_was_before(store: Store) -> None:
    assert before(store) == ""
    promote(store, A)
    assert before(store) == ""


def test_it_walks_back_model_by_model(store: Store) -> None:
    for sha in (A, B, C):
        promote(store, sha)
    assert [back(store), back(store)] == [B, A]
    assert before(store) == ""
    assert current(store) == A


def test_what_was_rolled_back_is_not_come_back_to(store: Store) -> None:
    promote(store, A)
    promote(store, B)
    back(store)
    promote(store, C)
    assert back(store) == A
    assert before(store) == ""


def test_a_model_may_go_live_twice(store: Store) -> None:
    for sha in (A, B, A):
        promote(store, sha)
    assert [back(store), back(store)] == [B, A]


def test_what_was_live_before_there_was_a_history_counts(store: Store) -> None:
    live(store, A)
    promote(store, B)
    assert back(store) == A


@pytest.mark.parametrize("shas", [(A, B), (A, B, A), (A, B, C)])
def test_a_crash_before_the_pointer_moves_changes_nothing(store: Store, shas: tuple[str, ...]) -> None:
    for sha in shas:
        promote(store, sha)
    was = before(store)
    promote(store, "d" * 64, crash=True)
    assert before(store) == was
    back(store, crash=True)
    assert (current(store), before(store)) == (shas[-1], was)
    assert back(store) == was


def test_entries_are_kept_for_good_and_in_order(store: Store) -> None:
    for sha in (A, B, C):
        promote(store, sha)
    first = (store.root / HISTORY).read_bytes()
    back(store)
    assert (store.root / HISTORY).read_bytes().startswith(first)
    assert [entry.bundle_sha256 for entry in entries(store)] == [A, B, C, B]
    assert all(old.bundle_sha256 == new.before for old, new in pairwise(entries(store)))


def test_a_line_that_was_cut_off_is_left_out_and_hurts_no_other(store: Store) -> None:
    promote(store, A)
    promote(store, B)
    path = store.root / HISTORY
    path.write_bytes(path.read_bytes() + b'{"at": "2026-01-01T00:0')
    assert before(store) == A
    promote(store, C)
    assert [entry.bundle_sha256 for entry in entries(store)] == [A, B, C]
    assert back(store) == B
