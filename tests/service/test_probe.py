"""A bundle is tried in a real child: one that kills it, one that takes too long, and one whose reasons are off."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import BundleDamagedError, BundleMismatchError
from models.bundle import Store
from serving.probe import probe
from tests import damaged
from tests.served import World

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def store(world: World, tmp_path: Path) -> Store:
    """A store with the world's bundle."""
    made = Store(tmp_path / "bundles")
    made.publish(world.config.state_dir / "bundles" / world.bundle.sha)
    return made


def test_a_good_bundle_passes_without_pandas_or_scikit_learn(store: Store, world: World) -> None:
    """They are installed here, and would take two thirds of the time."""
    probe(store.root / world.bundle.sha, 20)


def test_a_text_that_kills_a_process_kills_the_child(store: Store, world: World) -> None:
    folder = damaged.named(damaged.twin(store, world.bundle.sha, 1), damaged.BY_NAME["tree sizes that lie"])
    with pytest.raises(BundleDamagedError, match=r"died \(signal"):
        probe(folder, 20)


def test_a_bundle_that_takes_too_long_is_given_up(store: Store, world: World) -> None:
    with pytest.raises(BundleDamagedError, match=r"longer than 0.05 s \(serving.probe_seconds\)"):
        probe(store.root / world.bundle.sha, 0.05)


def test_what_kind_of_refusal_it_was_comes_back(store: Store, world: World) -> None:
    folder = damaged.named(damaged.twin(store, world.bundle.sha, 1), damaged.BY_NAME["another schema"])
    with pytest.raises(BundleMismatchError, match="fingerprint"):
        probe(folder, 20)


def test_reasons_that_do_not_add_up_are_refused(store: Store, world: World) -> None:
    """Counts of rows in a text move no score, only the reasons."""
    folder = damaged.named(damaged.twin(store, world.bundle.sha, 1), damaged.BY_NAME["a count of zero"])
    with pytest.raises(BundleDamagedError, match="reasons"):
        probe(folder, 20)
