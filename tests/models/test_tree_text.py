"""A text of trees is looked at before LightGBM gets it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from configs.errors import BundleDamagedError
from models.bundle import Store, load
from models.bundle_files import TREES
from models.store import MANIFEST
from models.tree_text import check_trees
from tests import damaged
from tests.served import World

OF_A_TREE = (
    "a NaN leaf",
    "an infinite leaf",
    "a NaN threshold",
    "a cycle",
    "a child that is not there",
    "a column that is not there",
    "categories",
    "a leaf less",
    "trees cut at half",
    "trees cut near the end",
    "empty trees",
)


def test_what_training_wrote_is_whole(world: World) -> None:
    bundle = world.bundle
    assert bundle.model.trees is not None
    check_trees(bundle.model.trees.text)


def test_a_split_that_only_tells_what_is_missing_is_whole(world: World) -> None:
    """LightGBM writes an infinite threshold where every value goes one way and every missing one the other."""
    assert world.bundle.model.trees is not None
    text = world.bundle.model.trees.text
    first = re.search(r"^threshold=\S+", text, re.MULTILINE)
    assert first is not None
    check_trees(text.replace(first[0], "threshold=inf", 1))


@pytest.mark.parametrize("name", OF_A_TREE)
def test_what_is_not_whole_is_refused(world: World, name: str) -> None:
    assert world.bundle.model.trees is not None
    files = {TREES: world.bundle.model.trees.text.encode()}
    damaged.BY_NAME[name](files)
    with pytest.raises((ValueError, KeyError)):
        check_trees(files[TREES].decode())


def test_a_bundle_is_refused_before_lightgbm_reads_it(world: World, tmp_path: Path) -> None:
    """In this very process, which a cycle would hang."""
    store = Store(tmp_path)
    sha = store.publish(world.config.state_dir / "bundles" / world.bundle.sha)
    folder = damaged.named(damaged.twin(store, sha, 1), damaged.BY_NAME["a cycle"])
    assert (folder / MANIFEST).is_file()
    with pytest.raises(BundleDamagedError, match="tree 0 is not whole"):
        load(folder)
