"""The same config and data give the same bundle, byte for byte; what lies after --as-of leaves no trace in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from configs.schema import Config
from features.ingest import Ingest
from features.known import known_before
from features.periods import parse_as_of
from features.sources.base import open_source
from features.tables import Coded, CrmTables, Table
from models.bundle import load, save
from tests.companies import ROOT, demo_config
from training.fit import fingerprint, fit_bundle
from training.prepare import prepare

LIGHT = (
    "model.num_threads=1",
    "model.seeds=2",
    "model.max_rounds=15",
    "features.groups=[deal, clock, engagement, history]",
    "timing.max_pairs=8000",
)
AS_OF = "2024-10-01"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def config(state: Path) -> Config:
    return demo_config(state, *LIGHT)


@pytest.fixture(scope="module")
def ingest(config: Config) -> Ingest:
    return open_source(config).read()


def bundle_files(config: Config, ingest: Ingest, folder: Path, as_of: str = AS_OF) -> dict[str, bytes]:
    """Train as of an instant, save, and read back every file."""
    cut = parse_as_of(as_of, config.time_zone)
    prepared = prepare(config, ingest, cut)
    bundle, notes = fit_bundle(prepared, fingerprint(known_before(ingest.tables, cut)))
    assert notes.rounds > 0  # else nothing of the trees is tested here
    assert bundle.timing is not None
    assert bundle.amount is not None
    save(bundle, folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def different(left: dict[str, bytes], right: dict[str, bytes]) -> list[str]:
    return [name for name in left.keys() | right.keys() if left.get(name) != right.get(name)]


@pytest.fixture(scope="module")
def first(config: Config, ingest: Ingest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return bundle_files(config, ingest, tmp_path_factory.mktemp("first") / "bundle")


def test_two_fits_are_the_same_bytes(config: Config, first: dict[str, bytes], tmp_path: Path) -> None:
    again = open_source(config).read()
    assert different(first, bundle_files(config, again, tmp_path / "bundle")) == []


def test_another_process_with_another_hash_seed_gives_the_same_bytes(
    config: Config, state: Path, first: dict[str, bytes], tmp_path: Path
) -> None:
    code = (
        "from pathlib import Path\n"
        "from features.sources.base import open_source\n"
        "from tests.training.test_reproducible import LIGHT, bundle_files\n"
        "from tests.companies import demo_config\n"
        f"config = demo_config(Path({str(state)!r}), *LIGHT)\n"
        f"bundle_files(config, open_source(config).read(), Path({str(tmp_path / 'bundle')!r}))\n"
    )
    seed = "17" if os.environ.get("PYTHONHASHSEED") == "4242" else "4242"
    told = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=told, check=True, capture_output=True)
    assert different(first, {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()}) == []


def test_what_lies_after_the_as_of_leaves_no_trace(
    config: Config, ingest: Ingest, first: dict[str, bytes], tmp_path: Path
) -> None:
    """Trained on an export made at the as-of itself: no later deal, rep, account or word is in the bundle."""
    cut = parse_as_of(AS_OF, config.time_zone)
    exported = known_before(ingest.tables, cut)
    fewer = CrmTables.of({name: recoded(table) for name, table in exported.by_name().items()})
    assert fewer.deals.n < ingest.tables.deals.n
    assert different(first, bundle_files(config, replace(ingest, tables=fewer), tmp_path / "bundle")) == []


def recoded(table: Table) -> Table:
    """The table as a reader would have coded it: with no value that no row holds."""
    coded = {name: Coded.of(data.strings()) for name, data in table.columns.items() if isinstance(data, Coded)}
    return Table.of(table.name, {**table.columns, **coded}, table.n)


def test_another_seed_gives_another_bundle(
    state: Path, ingest: Ingest, first: dict[str, bytes], tmp_path: Path
) -> None:
    other = bundle_files(demo_config(state, *LIGHT, "seed=8"), ingest, tmp_path / "bundle")
    assert {"trees.txt", "manifest.json"} <= set(different(first, other))


def test_the_bundle_tells_no_path_host_or_wall_time(first: dict[str, bytes], state: Path) -> None:
    for name, data in first.items():
        assert str(state).encode() not in data, name
        assert str(ROOT).encode() not in data, name
    told = json.loads(first["manifest.json"])
    assert set(told) == {"format", "about", "files"}
    assert not {"run_id", "host", "created_at", "user", "git"} & set(told["about"])


def test_a_saved_bundle_is_the_same_once_loaded(first: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name, data in first.items():
        (folder / name).write_bytes(data)
    bundle = load(folder)
    save(bundle, tmp_path / "again")
    assert different(first, {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}) == []
