"""`forecastle reproduce`: the same files from what a run recorded, or which files differ and why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from configs.errors import BundleDamagedError, NotTrainedError, UsageError
from configs.schema import Config
from models.store import MANIFEST, sha256
from tests.companies import DEMO, demo_config
from tests.trained import Trained
from training.cli import register
from training.provenance import NO_GIT, code_tags, run_name
from training.reproduce import differences, reproduce
from training.runs import RUN, dumped

pytestmark = pytest.mark.timeout(180)

app = typer.Typer()
register(app)


def copied(trained: Trained, tmp_path: Path) -> Path:
    state = tmp_path / "state"
    for name in ("candidates", "runs"):
        shutil.copytree(trained.state / name, state / name)
    return state


def edited(state: Path, trained: Trained, name: str, change: Any) -> None:
    """Rewrite one JSON file of the run."""
    path = state / "runs" / trained.told["run_name"] / name
    told = json.loads(path.read_bytes())
    change(told)
    path.write_text(dumped(told))


def test_a_run_is_reproduced_byte_for_byte(trained: Trained) -> None:
    """From the command line, by the id that `train` printed (MLflow's), from the recorded config alone."""
    before = {path: path.read_bytes() for path in trained.state.rglob("*.json")}
    done = CliRunner().invoke(app, ["reproduce", trained.told["run_id"], "--state-dir", str(trained.state), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["identical"] is True
    assert told["differing"] == []
    assert set(told["files"]) == {
        path.name for path in (trained.state / "candidates" / trained.candidate.sha).iterdir()
    }
    assert "byte for byte" in done.stdout
    assert {path: path.read_bytes() for path in trained.state.rglob("*.json")} == before


def test_what_differs_is_named_with_the_reason(trained: Trained, tmp_path: Path) -> None:
    """The recorded config trains with another seed than the bundle was made with; the run was of another commit."""
    state = copied(trained, tmp_path)
    edited(state, trained, "config.json", lambda told: told.update(seed=told["seed"] + 1))
    edited(state, trained, RUN, lambda told: told["made_by"]["libraries"].update(lightgbm="3.0.0"))
    sets = ["--config", str(DEMO), "--set", f"state_dir={state}"]
    done = CliRunner().invoke(app, ["reproduce", trained.told["run_name"], *sets, "--json"])
    assert done.exit_code == 1, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["identical"] is False
    assert {"trees.txt", MANIFEST} <= set(told["differing"])
    assert "calendar.json" not in told["differing"]
    assert any(why.startswith("the config, or a file that it names, differs: ") for why in told["why"])
    assert any(why.startswith("lightgbm: 3.0.0, now ") for why in told["why"])
    assert "not identical" in done.stdout


def test_every_difference_has_its_words() -> None:
    was = {
        "data_fingerprint": "a" * 64,
        "config_hash": "b" * 64,
        "threads": 2,
        "tags": {"git.sha": "c" * 40, "git.dirty": "false", "code.version": "0.1.0", "lock.sha256": "d" * 64},
        "libraries": {"lightgbm": "4.7.0", "numpy": "2.2"},
    }
    assert differences(was, was) == []
    now = {
        "data_fingerprint": "e" * 64,
        "config_hash": "f" * 64,
        "threads": 4,
        "tags": {"git.sha": "0" * 40, "git.dirty": "true", "code.version": "0.2.0"},
        "libraries": {"lightgbm": "4.8.0", "numpy": "2.2"},
    }
    assert differences(was, now) == [
        "the data differ: aaaaaaaaaaaa, now eeeeeeeeeeee",
        "the config, or a file that it names, differs: bbbbbbbbbbbb, now ffffffffffff",
        "threads: 2, now 4",
        "the code is of another commit: cccccccccccc, now 000000000000",
        "the code has other uncommitted changes, or had: false, now true",
        "the code has another version: 0.1.0, now 0.2.0",
        "the lock of the libraries differs: dddddddddddd, now unknown",
        "lightgbm: 4.7.0, now 4.8.0",
    ]


def test_a_run_that_is_not_kept(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(NotTrainedError, match="no run nobody is kept here"):
        reproduce(trained.state, "nobody")
    with pytest.raises(UsageError):
        reproduce(trained.state, "../etc")
    state = copied(trained, tmp_path)
    (state / "runs" / trained.told["run_name"] / RUN).write_text("{}")
    with pytest.raises(BundleDamagedError, match="not a run"):
        reproduce(state, trained.told["run_name"])


def test_a_bundle_that_was_damaged_is_not_compared_with(trained: Trained, tmp_path: Path) -> None:
    state = copied(trained, tmp_path)
    path = state / "candidates" / trained.candidate.sha / "close.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleDamagedError, match=r"close\.json"):
        reproduce(state, trained.told["run_name"])


def test_set_needs_a_config(trained: Trained) -> None:
    done = CliRunner().invoke(app, ["reproduce", trained.told["run_name"], "--set", "seed=3"])
    assert done.exit_code == 2


def test_the_run_keeps_all_that_it_takes(trained: Trained) -> None:
    made_by = trained.run.told["made_by"]
    assert made_by["data_fingerprint"] == trained.candidate.about.data_fingerprint
    assert made_by["trained_as_of"] == trained.candidate.about.trained_as_of
    assert made_by["overrides"] == ["card.contact=revenue operations"]
    assert made_by["libraries"]["lightgbm"][0].isdigit()
    assert trained.run.sha == sha256((trained.state / "candidates" / trained.candidate.sha / MANIFEST).read_bytes())


def test_names_and_tags_of_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert run_name("abcdef0123456789", {"git.sha": "1234567890"}, at) == "20260304T050607Z-1234567-abcdef01"
    assert run_name("abcdef0123456789", {}, at) == f"20260304T050607Z-{NO_GIT}-abcdef01"
    monkeypatch.chdir(tmp_path)
    assert "git.sha" not in code_tags(tmp_path)


def test_two_runs_in_one_second_have_two_names(config_in: Config) -> None:
    from training.runs import new_name

    names = [new_name(config_in.state_dir, "20260304T050607Z-1234567-abcdef01") for _ in range(3)]
    assert names == [f"20260304T050607Z-1234567-abcdef01{end}" for end in ("", "-2", "-3")]


@pytest.fixture
def config_in(tmp_path: Path) -> Config:
    return demo_config(tmp_path / "state")
