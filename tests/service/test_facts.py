"""Which reference facts a service answers with, and that it says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from configs.errors import BundleDamagedError, BundleMismatchError, MissingFileError
from configs.schema import Config
from models.reference_io import read_reference, reference_files
from serving.facts import BUNDLE, POINTER, SOURCE, load_facts, serving_dir, write_snapshot
from serving.refresh import refresh_reference
from tests.served import World

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def config(world: World, tmp_path: Path) -> Config:
    """The world's config with an empty state directory and the export as its source."""
    export = next((world.config.state_dir / "simulated").iterdir()) / "export"
    source = world.config.source.model_copy(update={"path": export})
    return world.config.model_copy(update={"state_dir": tmp_path, "source": source})


def same(world: World, other: object) -> bool:
    """Whether reference facts are those of the world's source."""
    assert hasattr(other, "closes")
    ours = world.seen.record.reference
    return ours.vocabulary.values == other.vocabulary.values and all(
        np.array_equal(ours.closes.columns[name], other.closes.columns[name]) for name in ours.closes.columns
    )


def test_a_worker_sees_what_the_source_said(world: World, config: Config) -> None:
    told: list[str] = []
    facts = refresh_reference(config, world.bundle, told.append)
    loaded = load_facts(config.state_dir, world.bundle)
    assert (facts.origin, loaded.origin, told) == (SOURCE, SOURCE, [])
    assert facts.as_of == loaded.as_of == world.seen.as_of
    assert same(world, loaded.reference)


def test_without_a_source_the_bundle_must_do(world: World, config: Config, tmp_path: Path) -> None:
    gone = config.model_copy(update={"source": config.source.model_copy(update={"path": tmp_path / "gone"})})
    told: list[str] = []
    refresh_reference(config, world.bundle, told.append)
    facts = refresh_reference(gone, world.bundle, told.append)
    loaded = load_facts(config.state_dir, world.bundle)
    assert facts.origin == loaded.origin == BUNDLE
    assert loaded.why == MissingFileError.title
    assert loaded.as_of == world.bundle.about.trained_as_of
    assert "gone" in told[0]  # the operator sees the path, a caller of /v1/status does not
    assert str(tmp_path) not in loaded.why


def test_without_pandas_the_bundle_must_do(world: World, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "features.sources.base", None)
    facts = refresh_reference(config, world.bundle, lambda _: None)
    assert facts.origin == BUNDLE
    assert "pandas is not installed" in facts.why


@pytest.mark.parametrize("lacking", ["features.sources.base", "features.sources.simulated"])
def test_without_pandas_what_a_refresh_elsewhere_left_is_served(
    world: World, config: Config, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    """A serving image beside a training one, over the same state: a restart does not fall back to older facts."""
    left = refresh_reference(config, world.bundle, lambda _: None)
    monkeypatch.setitem(sys.modules, lacking, None)
    told: list[str] = []
    assert refresh_reference(config, world.bundle, told.append).sha == left.sha
    assert load_facts(config.state_dir, world.bundle).sha == left.sha
    assert "the facts of the last refresh are served" in told[0]


def test_without_a_snapshot_the_bundle_must_do(world: World, tmp_path: Path) -> None:
    facts = load_facts(tmp_path, world.bundle)
    assert (facts.origin, facts.why) == (BUNDLE, "no snapshot of the source was taken")


@pytest.mark.parametrize("file", ["reference.npz", "vocabulary.json", "manifest.json"])
def test_a_damaged_snapshot_is_not_used(world: World, tmp_path: Path, file: str) -> None:
    folder = write_snapshot(tmp_path, world.seen.record.reference, world.seen.as_of)
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[: len(data) // 2])
    facts = load_facts(tmp_path, world.bundle)
    assert (facts.origin, facts.why) == (BUNDLE, "the snapshot of the source is damaged")
    assert facts.as_of == world.bundle.about.trained_as_of


def test_a_damaged_snapshot_is_written_anew(world: World, tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path, world.seen.record.reference, world.seen.as_of)
    (folder / "reference.npz").write_bytes(b"")
    assert write_snapshot(tmp_path, world.seen.record.reference, world.seen.as_of) == folder
    assert load_facts(tmp_path, world.bundle).origin == SOURCE


@pytest.mark.parametrize("pointed", ['{"folder": "../x"}', '{"folder": "reference-0"}', "[]", "{", '{"folder": 3}'])
def test_an_odd_pointer_is_not_followed(world: World, tmp_path: Path, pointed: str) -> None:
    serving_dir(tmp_path).mkdir()
    (serving_dir(tmp_path) / POINTER).write_text(pointed)
    assert load_facts(tmp_path, world.bundle).origin == BUNDLE


def test_snapshots_do_not_pile_up(world: World, tmp_path: Path) -> None:
    for later in range(4):
        write_snapshot(tmp_path, world.seen.record.reference, world.seen.as_of + later)
    kept = sorted(path.name for path in serving_dir(tmp_path).glob("reference-*"))
    assert len(kept) == 2
    assert json.loads((serving_dir(tmp_path) / POINTER).read_text())["folder"] in kept


def test_a_snapshot_for_another_model_is_not_used(world: World, tmp_path: Path) -> None:
    from dataclasses import replace

    write_snapshot(tmp_path, replace(world.seen.record.reference, stage_count=3), world.seen.as_of)
    assert "other attributes or stages" in load_facts(tmp_path, world.bundle).why


def test_reference_files_round_trip_and_refuse(world: World) -> None:
    reference = world.seen.record.reference
    files = reference_files(reference)
    assert files == reference_files(reference)
    assert same(world, read_reference(files, reference.dimensions, reference.stage_count))
    with pytest.raises(BundleMismatchError, match="colour"):
        read_reference(files, ("colour",), reference.stage_count)
    with pytest.raises(BundleDamagedError):
        read_reference(files | {"reference.npz": b"PK\x03\x04"}, reference.dimensions, reference.stage_count)
    with pytest.raises(BundleDamagedError):
        read_reference(files | {"vocabulary.json": b"[]"}, reference.dimensions, reference.stage_count)
