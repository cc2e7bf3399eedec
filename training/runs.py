"""Runs on disk: what training did is written here first, and MLflow is told from here, now or later.

============================================  ==================================================================
``<state_dir>/runs/<name>/run.json``          what made it and what came of it; the whole folder is logged
``<state_dir>/runs/<name>/config.json``       the config; ``mapping.yaml``, ``tuned.yaml``: copies of what it names
``<state_dir>/runs/<id>``                     one line: the name of the run that MLflow knows by that id
``<state_dir>/tracking/pending/*.json``       what MLflow has not been told yet
============================================  ==================================================================
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from configs.errors import BundleDamagedError, NotTrainedError, UsageError
from configs.schema import Config
from models.store import RUN_ID, read_pointer, write_pointer
from training.tracking import DataRecord, RunRecord

RUN = "run.json"
TRAIN_AGAIN = "run `forecastle train` again"


@dataclass(frozen=True)
class Kept:
    """A run as it was written. told: the whole of run.json."""

    folder: Path
    told: dict[str, Any]

    @property
    def name(self) -> str:
        """The local run id."""
        return self.folder.name

    @property
    def sha(self) -> str:
        """SHA-256 of the bundle that it made."""
        return str(self.told["bundle_sha256"])

    def record(self) -> RunRecord:
        """Return what MLflow is to be told; raises BundleDamagedError where the folder does not hold it."""
        try:
            said = dict(self.told["record"])
            data = DataRecord(**said.pop("data"))
            documents = {path.name: path.read_text(encoding="utf-8") for path in sorted(self.folder.iterdir())}
            return RunRecord(**said, documents=documents, data=data)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise BundleDamagedError(f"{self.folder}: no run ({type(error).__name__}); {TRAIN_AGAIN}") from error


def new_name(state_dir: Path, wanted: str) -> str:
    """Reserve a run name that nobody has: the wanted one, else with -2, -3 and so on."""
    root = state_dir / "runs"
    root.mkdir(parents=True, exist_ok=True)
    for k in count(1):
        name = wanted if k == 1 else f"{wanted}-{k}"
        try:
            (root / name).mkdir()
        except FileExistsError:
            continue
        return name
    raise AssertionError("count never ends")


def keep(
    state_dir: Path, record: RunRecord, sha: str, made_by: Mapping[str, Any], config: Config, files: Mapping[str, str]
) -> Kept:
    """Write a run into its reserved folder in one step; files: further documents by name."""
    told = {
        "run_name": record.run_name,
        "bundle_sha256": sha,
        "made_by": dict(made_by),
        "record": {key: value for key, value in asdict(record).items() if key != "documents"},
    }
    root = state_dir / "runs"
    with tempfile.TemporaryDirectory(dir=root, prefix=".half-") as half:
        new = Path(half) / "run"
        new.mkdir()
        for name, text in {**files, **_named_files(config), RUN: dumped(told)}.items():
            (new / name).write_text(text, encoding="utf-8")
        (new / "config.json").write_text(dumped(config.model_dump(mode="json")), encoding="utf-8")
        folder = root / record.run_name
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    return Kept(folder, told)


def _named_files(config: Config) -> dict[str, str]:
    """Return copies of the files that a config names and that change the model."""
    named = {"mapping.yaml": config.source.mapping, "tuned.yaml": config.model.tuned}
    return {name: Path(path).read_text(encoding="utf-8") for name, path in named.items() if path is not None}


def find(state_dir: Path, run: str) -> Kept:
    """Return a run by its local name or MLflow's id. Raises UsageError, NotTrainedError, BundleDamagedError."""
    if not RUN_ID.fullmatch(run):
        raise UsageError.at("RUN", repr(run), expected="a run id that `forecastle train` printed")
    folder = state_dir / "runs" / run
    if folder.is_file():
        folder = folder.parent / folder.read_text(encoding="utf-8").strip()
    path = folder / RUN
    if not path.is_file():
        raise NotTrainedError(f"{path} does not exist: no run {run} is kept here; name a run id that `train` printed")
    try:
        told = json.loads(path.read_bytes())
        if not {"run_name", "bundle_sha256", "made_by", "record"} <= told.keys():
            raise KeyError("keys")
    except (ValueError, KeyError, AttributeError) as error:
        raise BundleDamagedError(f"{path}: not a run ({type(error).__name__}); {TRAIN_AGAIN}") from error
    return Kept(folder, told)


def also_known_as(state_dir: Path, run: Kept, run_id: str) -> None:
    """Let MLflow's id of a run stand for it: for `score --model`, for `reproduce`, and in what `train` told."""
    (state_dir / "runs" / run_id).write_text(run.name + "\n", encoding="utf-8")
    write_pointer(state_dir / "candidates" / "runs" / run_id, run.sha)
    path = state_dir / "candidates" / f"{run.sha}.json"
    told = json.loads(path.read_bytes()) if path.is_file() else {}
    if told.get("run_name") == run.name:
        write_text(path, dumped(told | {"run_id": run_id}))


def bundle_of(state_dir: Path, run: str) -> str:
    """Return the SHA-256 of the bundle that a run made."""
    return read_pointer(state_dir / "candidates" / "runs" / run, TRAIN_AGAIN)


def dumped(value: object) -> str:
    """Return JSON as files hold it."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one."""
    half = path.with_name(f".{path.name}.half")
    half.write_text(text, encoding="utf-8")
    half.replace(path)
