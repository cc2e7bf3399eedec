"""`forecastle reproduce RUN`: retrain from what a run recorded and compare every file of the bundle by its digest."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from configs.console import say
from configs.errors import BundleDamagedError
from configs.load import config_hash, mapping_of, read_recorded
from configs.schema import Config
from features.known import known_before
from features.sources.base import open_source
from models.bundle import save
from models.lead_files import LEADS
from models.leads import Choice
from models.store import MANIFEST, read_verified, sha256
from training.backtest import untestable
from training.fingerprint import fingerprint
from training.fit import fit_bundle
from training.prepare import prepare
from training.provenance import code_tags, libraries
from training.runs import TRAIN_AGAIN, Kept, find

SAID = {
    "data_fingerprint": "the data differ",
    "config_hash": "the config, or a file that it names, differs",
    "git.sha": "the code is of another commit",
    "git.dirty": "the code has other uncommitted changes, or had",
    "code.version": "the code has another version",
    "lock.sha256": "the lock of the libraries differs",
}


def reproduce(state_dir: Path, run: str, config: Config | None = None) -> dict[str, Any]:
    """Train again as a run did and compare. Returns what `--json` prints; `identical` decides the exit code.

    config: where to find the data and the mapping, in place of what the run recorded. Nothing is written into the state
    directory. Raises NotTrainedError, BundleDamagedError, DataError.
    """
    kept = find(state_dir, run)
    made_by: Mapping[str, Any] = kept.told["made_by"]
    recorded = _recorded(kept, config)
    _, files, _ = read_verified(state_dir / "candidates" / kept.sha, kept.sha)
    before = {name: sha256(data) for name, data in files.items()} | {MANIFEST: kept.sha}
    say(f"training as run {kept.name} did")
    ingest = open_source(recorded).read()
    prepared = prepare(recorded, ingest, int(made_by["trained_as_of"]))
    data = fingerprint(known_before(ingest.tables, prepared.until))
    bundle, _ = fit_bundle(prepared, data, untested=bool(untestable(prepared)), choice=_choice(files))
    with tempfile.TemporaryDirectory() as half:
        folder = Path(half) / "bundle"
        save(bundle, folder)
        after = {path.name: sha256(path.read_bytes()) for path in folder.iterdir()}
    differing = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    now = {
        "data_fingerprint": bundle.about.data_fingerprint,
        "config_hash": config_hash(recorded, mapping_of(recorded)),
        "threads": recorded.model.num_threads,
        "tags": code_tags(),
        "libraries": libraries(),
    }
    reasons = differences(made_by, now)
    identical = not differing
    typer.echo(_told(kept, identical, len(before), differing, reasons))
    return {"run": kept.name, "identical": identical, "files": sorted(before), "differing": differing, "why": reasons}


def _choice(files: Mapping[str, bytes]) -> Choice | None:
    """Return which way a bundle tells what leads are worth: its run's backtest said so, which is not run again."""
    told = json.loads(files[LEADS]) if LEADS in files else None
    return None if told is None else Choice(told["ships"], told["why"])


def _recorded(kept: Kept, given: Config | None) -> Config:
    """Return the run's config with its own copies of the files that it names; the data are where they were."""
    try:
        config = read_recorded(json.loads((kept.folder / "config.json").read_bytes()))
    except (OSError, ValueError) as error:
        raise BundleDamagedError(f"{kept.folder}/config.json: {error}; {TRAIN_AGAIN}") from error
    source: dict[str, Any] = {}
    path = given.source.path if given is not None else kept.told["made_by"].get("source_path")
    if path is not None:
        source["path"] = Path(path)
    if (mapping := kept.folder / "mapping.yaml").is_file():
        source["mapping"] = mapping
    changed: dict[str, Any] = {"source": config.source.model_copy(update=source)}
    if (tuned := kept.folder / "tuned.yaml").is_file():
        changed["model"] = config.model.model_copy(update={"tuned": tuned})
    return config.model_copy(update=changed)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say what is not as it was when the run was made: data, config, code, libraries, threads."""
    pairs = [(key, before.get(key), now.get(key)) for key in ("data_fingerprint", "config_hash", "threads")]
    for part, keys in (("tags", list(SAID)[2:]), ("libraries", sorted(now["libraries"]))):
        pairs += [(key, before.get(part, {}).get(key), now[part].get(key)) for key in keys]
    return [f"{SAID.get(key, key)}: {_short(was)}, now {_short(new)}" for key, was, new in pairs if was != new]


def _short(value: object) -> str:
    text = "unknown" if value is None else str(value)
    return text[:12] if len(text) in (40, 64) else text


def _told(kept: Kept, identical: bool, count: int, differing: list[str], reasons: list[str]) -> str:
    if identical:
        others = f" although {'; '.join(reasons)}" if reasons else ""
        return f"identical: {count} files of bundle {kept.sha[:12]}, byte for byte{others}"
    why = reasons or ["nothing that was recorded differs: another machine, or a library that is not recorded"]
    return "\n".join(
        [f"not identical: {', '.join(differing)} of run {kept.name}", *(f"  because {reason}" for reason in why)]
    )
