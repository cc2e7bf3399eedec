"""Bundles with every head, with some, and of the format before: what is saved is loaded, what is damaged is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import BundleDamagedError, BundleMismatchError
from models.bundle import Bundle, load, save
from models.close import CloseModel
from models.store import MANIFEST, sha256
from tests.served import World

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def saved(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in which every head has trees: those of the close head, where a small company gives none."""
    bundle, grown = world.bundle, world.bundle.model.trees
    assert bundle.amount is not None
    folder = tmp_path_factory.mktemp("saved") / "bundle"
    save(replace(bundle, amount=replace(bundle.amount, trees=grown, low=-9.0, high=9.0)), folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(saved, tmp_path / "bundle"))


def rewrite(folder: Path, name: str, change: Callable[[Any], Any], listed: bool = True) -> None:
    """Change a JSON file (or the manifest) and, where `listed`, its digest too."""
    path = folder / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    if listed and name != MANIFEST:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["files"][name] = sha256(path.read_bytes())
        (folder / MANIFEST).write_text(json.dumps(manifest))


def without(*names: str) -> Callable[[Any], Any]:
    """Take files off a manifest."""

    def change(manifest: dict[str, Any]) -> dict[str, Any]:
        kept = {name: digest for name, digest in manifest["files"].items() if name not in names}
        return manifest | {"files": kept}

    return change


def test_every_head_is_loaded_with_its_bits(world: World) -> None:
    """The world's bundle was saved and loaded; it holds all heads, and golden rows of all they look at."""
    bundle = world.bundle
    assert bundle.timing is not None
    assert bundle.amount is not None
    assert bundle.told is not None
    said = bundle.heads.predict(bundle.golden, bundle.told)
    assert said.outlook is not None
    assert said.amount is not None
    assert len(np.unique(said.amount)) > 10
    assert len(np.unique(said.outlook.p_won)) > 10
    assert bundle.about.horizon_days == world.config.horizon_days


@pytest.mark.parametrize("gone", [("timing",), ("amount",), ("timing", "amount")])
def test_a_head_may_be_absent(world: World, tmp_path: Path, gone: tuple[str, ...]) -> None:
    sha = save(replace(world.bundle, **dict.fromkeys(gone)), tmp_path / "bundle")
    again = load(tmp_path / "bundle", sha)
    assert [name for name in ("timing", "amount") if getattr(again, name) is None] == list(gone)
    assert not [path.name for path in (tmp_path / "bundle").iterdir() if path.name.startswith(gone)]
    assert again.model.predict(again.golden).tobytes() == world.bundle.model.predict(world.bundle.golden).tobytes()


def models(bundle: Bundle) -> dict[str, CloseModel]:
    """The live close head on every rung."""
    model = bundle.model
    return {
        "trees": model,
        "ridge": replace(model, trees=None, rung="ridge"),
        "table": CloseModel(model.names, model.table, None, rung="table"),
    }


@pytest.mark.parametrize("rung", ["trees", "ridge", "table"])
def test_every_rung_is_saved_and_loaded(world: World, tmp_path: Path, rung: str) -> None:
    model = models(world.bundle)[rung]
    save(replace(world.bundle, model=model), tmp_path / "bundle")
    again = load(tmp_path / "bundle")
    assert (again.model.rung, (tmp_path / "bundle" / "trees.txt").exists()) == (rung, rung == "trees")
    assert again.model.doubt == model.doubt
    assert again.model.predict(again.golden).tobytes() == model.predict(again.golden).tobytes()
    assert again.heads.rungs(np.array([False, True])) == [rung, "table"]


def test_a_bundle_of_the_format_before_is_read(world: World, tmp_path: Path) -> None:
    """It has the close head alone, and golden rows of that; the manifest says nothing of a horizon."""
    folder = tmp_path / "bundle"
    save(replace(world.bundle, timing=None, amount=None, told=None), folder)
    assert set(json.loads((folder / "golden.json").read_text())) == {"values", "p"}

    def older(manifest: dict[str, Any]) -> dict[str, Any]:
        about = {name: value for name, value in manifest["about"].items() if name != "horizon_days"}
        return manifest | {"format": 1, "about": about}

    rewrite(
        folder,
        "close.json",
        lambda told: {name: value for name, value in told.items() if name not in ("rung", "doubt")},
    )
    rewrite(folder, MANIFEST, older)
    old = load(folder)
    assert (old.timing, old.amount, old.told) == (None, None, None)
    assert old.model.rung == ("ridge" if old.model.trees is None else "trees")
    assert old.model.predict(old.golden).tobytes() == world.bundle.model.predict(world.bundle.golden).tobytes()


@pytest.mark.parametrize("version", [0, 3, "2", None])
def test_another_format_is_refused(folder: Path, version: object) -> None:
    rewrite(folder, MANIFEST, lambda manifest: manifest | {"format": version})
    with pytest.raises(BundleMismatchError, match="reads 1 and 2"):
        load(folder)


@pytest.mark.parametrize(
    ("names", "lacks"),
    [
        (("timing.json",), "timing.json"),
        (("amount.json",), "amount.json"),
        (("close.json",), "close.json"),
        (("golden.json", "profile.json"), "profile.json, golden.json"),
    ],
)
def test_a_file_that_others_need_must_be_listed(folder: Path, names: tuple[str, ...], lacks: str) -> None:
    rewrite(folder, MANIFEST, without(*names))
    with pytest.raises(BundleDamagedError, match=f"does not list {lacks}"):
        load(folder)


def test_a_bundle_of_before_has_no_record_of_its_flags(world: World, folder: Path) -> None:
    assert load(folder).track_record == world.bundle.track_record is not None
    rewrite(folder, MANIFEST, without("flags.json"))
    assert load(folder).track_record is None


def test_a_record_without_figures_is_refused(folder: Path) -> None:
    rewrite(folder, "flags.json", lambda told: told | {"by_code": {"stalled": {"precision": 0.5}}})
    with pytest.raises(BundleDamagedError, match="do not hold a model"):
        load(folder)


@pytest.mark.parametrize("names", [("amount_trees.txt",), ("timing_won.txt", "timing_lost.txt"), ("trees.txt",)])
def test_golden_rows_find_trees_that_are_gone(folder: Path, names: tuple[str, ...]) -> None:
    """The files that are left are whole, and the manifest agrees with them: only the answers tell."""
    if not any((folder / name).exists() for name in names):
        pytest.skip("no tree helped this head")
    rewrite(folder, MANIFEST, without(*names))
    with pytest.raises(BundleDamagedError, match="golden rows are answered otherwise"):
        load(folder)


def test_golden_rows_find_the_twelfth_digit_of_an_amount(folder: Path) -> None:
    rewrite(folder, "amount.json", lambda told: told | {"base": (float.fromhex(told["base"]) + 1e-12).hex()})
    with pytest.raises(BundleDamagedError, match="golden rows are answered otherwise"):
        load(folder)


@pytest.mark.parametrize("name", ["amount.json", "timing.json"])
def test_a_changed_file_of_a_head_is_found_by_its_digest(folder: Path, name: str) -> None:
    rewrite(folder, name, lambda told: told, listed=False)
    with pytest.raises(BundleDamagedError, match="SHA-256"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("amount.json", lambda told: []),
        ("amount.json", lambda told: told | {"base": "much"}),
        ("amount.json", lambda told: told | {"base": "nan"}),
        ("amount.json", lambda told: told | {"stages": []}),
        ("amount.json", lambda told: told | {"segments": {"colour": {"red": "0x0p+0"}}}),
        ("amount.json", lambda told: {name: value for name, value in told.items() if name != "level"}),
        ("close.json", lambda told: told | {"rung": "roof"}),
        ("close.json", lambda told: told | {"doubt": ["0x1p+0"]}),
        ("timing.json", lambda told: {}),
        ("golden.json", lambda told: told | {"told": {}}),
        ("golden.json", lambda told: told | {"told": told["told"] | {"amount_cents": ["1"]}}),
    ],
)
def test_a_file_that_holds_something_else_is_refused(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    rewrite(folder, name, change)
    with pytest.raises(BundleDamagedError):
        load(folder)


@pytest.mark.parametrize("days", ["365", 365.0, True, 0, 10**9])
def test_a_horizon_that_no_curve_answers_is_refused(folder: Path, days: object) -> None:
    rewrite(folder, MANIFEST, lambda manifest: manifest | {"about": manifest["about"] | {"horizon_days": days}})
    with pytest.raises((BundleMismatchError, BundleDamagedError)):
        load(folder)
