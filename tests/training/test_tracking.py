"""MLflow for real, in SQLite: what `train` and `promote` leave behind, what loads by alias, and that nothing strays."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from configs.errors import NotTrainedError, TrackingError
from configs.load import CANONICAL_MAPPING
from models.bundle import load
from models.store import bundle_folder
from tests.companies import demo_config
from tests.trained import Trained, home
from training.promote_command import promote
from training.runs import find
from training.tracking import LOCAL_RUN, RunRecord, Tracker

pytestmark = pytest.mark.timeout(180)  # the first use of a store makes its tables

NOTE = RunRecord("by-hand", {"a": "1"}, {"close.auc": 0.7}, {"as_of": "2024-01-01"}, {"note.json": {"told": True}})


def by_alias(trained: Trained, alias: str) -> Any:
    """The pyfunc that anyone with MLflow gets."""
    import mlflow

    mlflow.set_tracking_uri(trained.tracker.uri)
    mlflow.set_registry_uri(trained.tracker.uri)
    return mlflow.pyfunc.load_model(f"models:/{trained.tracker.name}@{alias}")


def test_the_run_is_logged(trained: Trained) -> None:
    import mlflow

    run = mlflow.MlflowClient(trained.tracker.uri).get_run(trained.told["run_id"])
    assert run.data.params["model.seeds"] == "2"
    assert run.data.tags["bundle.sha256"] == trained.told["bundle_sha256"] == trained.candidate.sha
    assert {"config.sha256", "data.fingerprint", "as_of", "code.version", "lock.sha256", "rung"} <= set(run.data.tags)
    assert re.fullmatch(r"[0-9]{8}T[0-9]{6}Z-[0-9a-z]{7}-[0-9a-f]{8}", run.info.run_name)
    assert run.info.run_name.endswith(f"-{trained.candidate.about.config_hash[:8]}")
    assert run.info.run_name == run.data.tags["run.local"] == trained.told["run_name"]
    assert run.info.status == "FINISHED"
    assert mlflow.MlflowClient(trained.tracker.uri).get_experiment(run.info.experiment_id).name == "demo/close"
    table = {row["name"]: row["scores"] for row in trained.told["report"]["table"]}
    assert run.data.metrics["close.log_loss"] == pytest.approx(table["close"]["log_loss"], rel=1e-12)
    assert run.data.metrics["gates.passed"] == 1.0
    assert run.data.metrics["gate.calibration_slope"] > 0.5
    assert run.data.metrics["stage_time_left.auc"] == pytest.approx(table["stage_time_left"]["auc"], rel=1e-12)


def test_the_data_are_logged_with_our_own_digest(trained: Trained) -> None:
    import mlflow

    (logged,) = mlflow.MlflowClient(trained.tracker.uri).get_run(trained.told["run_id"]).inputs.dataset_inputs
    assert logged.dataset.digest == trained.candidate.about.data_fingerprint[:32]
    assert json.loads(logged.dataset.profile)["deals"] > 2000
    assert [(tag.key, tag.value) for tag in logged.tags] == [("mlflow.data.context", "training")]


def test_the_runs_documents_are_there(trained: Trained) -> None:
    folder = trained.tracker.root / "artifacts" / trained.told["run_id"] / "artifacts"
    assert json.loads((folder / "report.json").read_text()) == trained.told["report"]
    assert json.loads((folder / "config.json").read_text())["name"] == "demo"
    assert (folder / "mapping.yaml").read_text() == CANONICAL_MAPPING.read_text()
    assert "# Model card" in (folder / "model_card.md").read_text()
    assert json.loads((folder / "model_card.json").read_text())["model"]["run"] == trained.told["run_name"]
    assert {path.name for path in folder.iterdir()} == {path.name for path in trained.run.folder.iterdir()}


def test_the_candidate_loads_by_alias_and_answers_bit_for_bit(trained: Trained) -> None:
    bundle = trained.candidate
    rows = pd.DataFrame(bundle.golden.values, columns=list(bundle.golden.names))
    answered = by_alias(trained, "candidate").predict(rows)
    assert np.asarray(answered).tobytes() == bundle.model.predict(bundle.golden).tobytes()
    loaded = by_alias(trained, "candidate")
    assert loaded.metadata.signature.inputs.input_names() == list(bundle.golden.names)
    assert list(loaded.input_example.columns) == list(bundle.golden.names)
    turned = rows[rows.columns[::-1]]  # columns go by name, not by place
    assert np.asarray(by_alias(trained, "candidate").predict(turned)).tobytes() == np.asarray(answered).tobytes()


def test_both_ids_of_a_run_name_its_bundle(trained: Trained) -> None:
    assert trained.told["run_id"] != trained.told["run_name"]
    for run in (trained.told["run_id"], trained.told["run_name"]):
        assert bundle_folder(trained.state, run) == bundle_folder(trained.state, "candidate")
        assert find(trained.state, run) == trained.run


def test_promoting_sets_the_alias_and_publishes_the_bundle(trained: Trained) -> None:
    assert trained.told["gates_passed"]
    answered = promote(trained.config)
    assert answered["bundle_sha256"] == trained.told["bundle_sha256"]
    live = load(bundle_folder(trained.state, "live"))
    assert live.sha == trained.told["bundle_sha256"]
    rows = pd.DataFrame(live.golden.values, columns=list(live.golden.names))
    assert np.asarray(by_alias(trained, "live").predict(rows)).tobytes() == live.model.predict(live.golden).tobytes()
    assert promote(trained.config) == answered  # twice is harmless


def test_nothing_to_promote(tmp_path: Path) -> None:
    with pytest.raises(NotTrainedError):
        promote(demo_config(tmp_path))


def test_versions_count_up_and_the_alias_moves(trained: Trained, tmp_path: Path) -> None:
    """Two runs in a fresh store: the second is the candidate, and the live one before is kept as a tag."""
    import mlflow

    tracker = Tracker(tmp_path, "twice")
    bundle, folder = trained.candidate, bundle_folder(trained.state, "candidate")
    other = replace(bundle, sha="f" * 64)
    tracker.log(NOTE, bundle, folder)
    assert tracker.go_live(bundle.sha) == "1"
    tracker.log(NOTE, other, folder)
    client = mlflow.MlflowClient(tracker.uri)
    assert client.get_model_version_by_alias("twice-close", "candidate").version == 2
    assert client.get_model_version_by_alias("twice-close", "live").version == 1
    assert tracker.go_live(other.sha) == "2"
    assert client.get_registered_model("twice-close").tags["live.before"] == "1"
    assert {run.data.params["a"] for run in client.search_runs(["1"])} == {"1"}


def test_a_bundle_that_no_run_made_cannot_go_live(trained: Trained) -> None:
    with pytest.raises(TrackingError, match="train again"):
        trained.tracker.go_live("0" * 64)


def test_a_broken_store_is_one_clear_error(trained: Trained, tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, "broken")
    tracker.root.mkdir(parents=True)
    (tracker.root / "mlflow.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(TrackingError, match="what was trained is safe on disk"):
        tracker.log(NOTE, trained.candidate, bundle_folder(trained.state, "candidate"))


def test_a_run_is_logged_once_however_often_it_is_told(trained: Trained, tmp_path: Path) -> None:
    """A run that was cut off in the middle is deleted and logged anew; one that is whole stays."""
    import mlflow

    tracker = Tracker(tmp_path, "again")
    bundle, folder = trained.candidate, bundle_folder(trained.state, "candidate")
    record = replace(NOTE, tags={**NOTE.tags, LOCAL_RUN: "run-1"})
    whole = tracker.log(record, bundle, folder)
    assert tracker.log(record, bundle, folder) == whole
    client = mlflow.MlflowClient(tracker.uri)
    experiment = client.get_experiment_by_name("again/close").experiment_id
    cut_off = client.create_run(experiment, tags={LOCAL_RUN: "run-2"}).info.run_id
    other = tracker.log(replace(NOTE, tags={LOCAL_RUN: "run-2"}), bundle, folder)
    assert {run.info.run_id for run in client.search_runs([experiment])} == {whole, other}
    assert client.get_run(cut_off).info.lifecycle_stage == "deleted"


def test_more_than_a_call_holds(trained: Trained, tmp_path: Path) -> None:
    import mlflow

    many = RunRecord("many", {f"p{k}": str(k) for k in range(150)}, {f"m{k}": float(k) for k in range(1200)}, {})
    tracker = Tracker(tmp_path, "many")
    run_id = tracker.log(many, trained.candidate, bundle_folder(trained.state, "candidate"))
    data = mlflow.MlflowClient(tracker.uri).get_run(run_id).data
    assert data.params == dict(many.params)
    assert data.metrics == dict(many.metrics)


def test_the_store_is_one_sqlite_file(trained: Trained) -> None:
    with sqlite3.connect(trained.tracker.root / "mlflow.db") as store:
        (runs,) = store.execute("select count(*) from runs").fetchone()
    store.close()
    assert runs >= 1


def test_there_is_no_pickle_and_nothing_strays(trained: Trained) -> None:
    """No pickled file under the state directory, nothing in the home directory, no `mlruns` where the tests run."""
    names = [path for path in trained.state.rglob("*") if path.is_file()]
    assert names
    assert not [path for path in names if path.suffix in (".pkl", ".pickle", ".joblib", ".cloudpickle")]
    assert not [path for path in names if path.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05")]
    assert home() == trained.home_before
    assert not (Path.cwd() / "mlruns").exists()


def test_telemetry_is_off(trained: Trained) -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
