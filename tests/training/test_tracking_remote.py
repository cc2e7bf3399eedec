"""Tracking elsewhere: a real PostgreSQL that is down while a model is trained and promoted, and comes back later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from configs.load import load_config
from configs.schema import Config
from models.bundle import load
from models.store import bundle_folder
from tests.companies import DEMO, demo_config
from tests.postgres import PASSWORD, Cluster, free_port, postgres
from tests.trained import LIGHT, Trained
from training.promote_command import promote, rollback, sync
from training.runs import find
from training.sync import catch_up, pending_folder
from training.tracking import Tracker
from training.train_command import train

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres() as running:
        yield running


@dataclass(frozen=True)
class Later:
    """Trained and promoted while the database was down; told: what both answered, err: what they warned of."""

    config: Config
    trained: dict[str, Any]
    promoted: dict[str, Any]
    notes: tuple[str, ...]
    synced: dict[str, Any]


@pytest.fixture(scope="module")
def later(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Later:
    state = tmp_path_factory.mktemp("remote") / "state"
    config = demo_config(state, *LIGHT, f"tracking.uri={cluster.uri}")
    cluster.stop()
    told = train(config, None, [f"tracking.uri={cluster.uri}"])
    answered = promote(config)
    notes = tuple(sorted(path.name for path in pending_folder(state).iterdir()))
    assert load(bundle_folder(state, "live")).sha == told["bundle_sha256"]  # serving needs no database
    assert bundle_folder(state, told["run_id"]).name == told["bundle_sha256"]  # nor does `score --model RUN`
    cluster.start()
    return Later(config, told, answered, notes, sync(config))


def test_tracking_that_is_down_costs_a_note_and_nothing_else(later: Later) -> None:
    assert later.trained["run_id"] == later.trained["run_name"]
    assert later.trained["tracked"] is False
    assert later.promoted["registry_version"] is None
    assert len(later.notes) == 2
    assert f"{later.trained['run_name']}.json" in later.notes


def test_what_was_missed_is_logged_later(later: Later, cluster: Cluster) -> None:
    import mlflow

    assert later.synced == {"logged": 2, "left": 0}
    assert not list(pending_folder(later.config.state_dir).iterdir())
    client = mlflow.MlflowClient(cluster.uri, cluster.uri)
    experiment = client.get_experiment_by_name("demo/close")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == later.trained["run_name"]
    assert run.data.tags["bundle.sha256"] == later.trained["bundle_sha256"]
    table = {row["name"]: row["scores"] for row in later.trained["report"]["table"]}
    assert run.data.metrics["close.log_loss"] == pytest.approx(table["close"]["log_loss"], rel=1e-12)
    for alias in ("candidate", "live"):
        version = client.get_model_version_by_alias("demo-close", alias)
        assert version.tags["bundle.sha256"] == later.trained["bundle_sha256"]
    # both ids stand for the run from now on
    assert find(later.config.state_dir, run.info.run_id) == find(later.config.state_dir, later.trained["run_name"])
    assert bundle_folder(later.config.state_dir, run.info.run_id).name == later.trained["bundle_sha256"]


def test_the_model_loads_from_the_database_by_alias(later: Later, cluster: Cluster) -> None:
    import mlflow

    mlflow.set_tracking_uri(cluster.uri)
    mlflow.set_registry_uri(cluster.uri)
    bundle = load(bundle_folder(later.config.state_dir, "live"))
    rows = pd.DataFrame(bundle.golden.values, columns=list(bundle.golden.names))
    answered = mlflow.pyfunc.load_model("models:/demo-close@live").predict(rows)
    assert np.asarray(answered).tobytes() == bundle.model.predict(bundle.golden).tobytes()


def test_telling_again_changes_nothing(later: Later, cluster: Cluster) -> None:
    import mlflow

    assert catch_up(later.config) == (0, 0)
    run = find(later.config.state_dir, later.trained["run_name"])
    bundle = load(bundle_folder(later.config.state_dir, "live"))
    folder = later.config.state_dir / "candidates" / bundle.sha
    tracker = Tracker.of(later.config)
    assert tracker.log(run.record(), bundle, folder) == tracker.log(run.record(), bundle, folder)
    client = mlflow.MlflowClient(cluster.uri, cluster.uri)
    assert len(client.search_model_versions("name='demo-close'")) == 1


def test_no_password_is_written_anywhere(later: Later, cluster: Cluster) -> None:
    """Not in a run, a report, a card, a note or an artifact; whoever needs it has it in the config or environment."""
    files = [path for path in later.config.state_dir.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in repr(later.config)
    assert PASSWORD not in str(later.config.model_dump(mode="json"))
    assert PASSWORD not in Tracker.of(later.config).shown
    told = json.loads((find(later.config.state_dir, later.trained["run_name"]).folder / "config.json").read_text())
    assert told["tracking"]["uri"] == f"postgresql+psycopg://forecastle:***@127.0.0.1:{cluster.port}/postgres"


def test_the_password_may_come_from_the_environment(
    later: Later, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    Tracker(tmp_path, "demo", cluster.uri.replace(f":{PASSWORD}", "")).check()


# --- other ways to be down -------------------------------------------------------------------------------------------


def copied(trained: Trained, tmp_path: Path, *overrides: str) -> Config:
    """A state directory in which a run is kept and MLflow has not been told of it."""
    for name in ("candidates", "runs"):
        shutil.copytree(trained.state / name, tmp_path / "state" / name)
    config = load_config(DEMO, [f"state_dir={tmp_path / 'state'}", *overrides])
    note = pending_folder(config.state_dir) / f"{trained.told['run_name']}.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"kind": "run", "run": trained.told["run_name"]}))
    return config


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg"])
def test_where_nobody_listens(
    trained: Trained, tmp_path: Path, scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = copied(trained, tmp_path, f"tracking.uri={scheme}://me:s3cret@127.0.0.1:{free_port()}/db")
    assert catch_up(config) == (0, 1)
    assert promote(config)["registry_version"] is None
    err = capsys.readouterr().err
    assert "warning: tracking is down" in err
    assert "s3cret" not in err
    assert load(bundle_folder(config.state_dir, "live")).sha == trained.candidate.sha
    assert len(list(pending_folder(config.state_dir).iterdir())) == 2


def test_a_damaged_sqlite_store_is_down_until_it_is_moved_away(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = copied(trained, tmp_path)
    store = config.state_dir / "mlflow"
    store.mkdir()
    (store / "mlflow.db").write_bytes(b"no database at all" * 100)
    assert promote(config)["registry_version"] is None
    assert "warning: tracking is down" in capsys.readouterr().err
    shutil.rmtree(store)
    assert sync(config) == {"logged": 2, "left": 0}
    assert "can't be read" not in capsys.readouterr().err
    assert promote(config)["registry_version"] == "1"


def test_an_artifact_folder_without_rights_is_down_too(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    artifacts = (tmp_path / "file" / "below").as_uri()
    config = copied(trained, tmp_path, f"tracking.artifacts={artifacts}")
    assert catch_up(config) == (0, 1)
    assert len(list(pending_folder(config.state_dir).iterdir())) == 1


def test_a_newer_move_of_the_alias_wins_over_an_older_note(trained: Trained, tmp_path: Path) -> None:
    """The first promote is noted while tracking is down; what waits must not undo what came after it."""
    config = copied(trained, tmp_path)
    note = pending_folder(config.state_dir) / "20200101T000000Z-live-0000.json"
    note.write_text(json.dumps({"kind": "live", "bundle_sha256": "0" * 64, "tags": {}}))
    assert promote(config)["registry_version"] == "1"
    assert not list(pending_folder(config.state_dir).iterdir())


def test_notes_that_cannot_be_read_are_left_and_named(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = copied(trained, tmp_path)
    (note,) = pending_folder(config.state_dir).iterdir()
    note.write_text("{")
    (note.parent / "gone.json").write_text(json.dumps({"kind": "run", "run": "gone"}))
    assert catch_up(config) == (0, 1)
    err = capsys.readouterr().err
    assert f"{note} can't be read" in err
    assert "run gone can't be logged any more" in err
    assert list(note.parent.iterdir()) == [note]


def test_rollback_moves_the_alias_back(trained: Trained, tmp_path: Path) -> None:
    """Two bundles in one registry: one of another seed, made by hand from the first."""
    from dataclasses import replace

    import mlflow

    from models.bundle import save
    from models.store import write_pointer

    config = copied(trained, tmp_path)
    first = promote(config)["bundle_sha256"]
    root = config.state_dir / "candidates"
    other = replace(trained.candidate, about=replace(trained.candidate.about, first_as_of=0))
    sha = save(other, root / "new")
    (root / "new").rename(root / sha)
    told = json.loads((root / f"{first}.json").read_text())
    (root / f"{sha}.json").write_text(json.dumps(told | {"bundle_sha256": sha, "compared_with": first}))
    write_pointer(root / "CANDIDATE", sha)
    tracker = Tracker.of(config)
    tracker.log(replace(trained.run.record(), tags={}), replace(other, sha=sha), root / sha)
    assert promote(config)["registry_version"] == "2"
    client = mlflow.MlflowClient(tracker.uri)
    assert client.get_registered_model("demo-close").tags["live.before"] == "1"
    assert rollback(config)["registry_version"] == "1"
    assert client.get_model_version_by_alias("demo-close", "live").version in (1, "1")
