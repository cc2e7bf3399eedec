"""Telling MLflow, now or later: a store that is down costs a warning, never a run.

A note is written before MLflow is tried and removed once it has been told, so that a crash in between loses nothing:
``<state_dir>/tracking/pending/<run>.json`` for a run, ``<utc>-live-<n>.json`` for a move of the alias `live`. Whatever
command comes next tells what is left, runs first; telling twice leaves one run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from configs.console import say
from configs.errors import BundleError, TrackingError, UsageError
from configs.schema import Config
from models.bundle import load
from training.runs import Kept, also_known_as, dumped, find, write_text
from training.tracking import Tracker


def pending_folder(state_dir: Path) -> Path:
    """Where notes of what MLflow has not been told lie."""
    return state_dir / "tracking" / "pending"


def warn_if_down(config: Config) -> bool:
    """Say that the store can't be reached, before any work; returns whether it can be."""
    try:
        Tracker.of(config).check()
    except TrackingError as error:
        say(f"warning: tracking is down ({error}); what is trained is kept and logged by a later command")
        return False
    return True


def tell_run(config: Config, run: Kept) -> str | None:
    """Tell MLflow of a run; returns its id there, None where it must wait."""
    note = _note(config, run.name, {"kind": "run", "run": run.name})
    return _tell_run(config, note, run.name)


def tell_live(config: Config, sha: str, tags: Mapping[str, str] | None = None) -> str | None:
    """Move the alias `live`; returns the version in the registry, None where it must wait."""
    root = pending_folder(config.state_dir)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-live-{len(list(root.glob('*-live-*.json'))):04d}"
    note = _note(config, name, {"kind": "live", "bundle_sha256": sha, "tags": dict(tags or {})})
    return _tell_live(config, note, sha, dict(tags or {}))


def catch_up(config: Config) -> tuple[int, int]:
    """Tell MLflow what it has not been told; returns how many notes were dealt with and how many are left."""
    notes = sorted(pending_folder(config.state_dir).glob("*.json"))
    if not notes or not warn_if_down(config):
        return 0, len(notes)
    said = [(note, _read(note)) for note in notes]
    done = 0
    for note, told in said:
        if told.get("kind") == "run":
            done += _tell_run(config, note, str(told.get("run"))) is not None
    for note, told in said:  # an alias needs the version that its run makes
        if told.get("kind") == "live":
            tags = told.get("tags")
            sha = str(told.get("bundle_sha256"))
            done += _tell_live(config, note, sha, tags if isinstance(tags, dict) else {}) is not None
    left = len(list(pending_folder(config.state_dir).glob("*.json")))
    say(f"tracking: {done} of {len(notes)} note(s) that had waited are logged" + (f", {left} left" if left else ""))
    return done, left


def _tell_run(config: Config, note: Path, name: str) -> str | None:
    try:
        run = find(config.state_dir, name)
        folder = config.state_dir / "candidates" / run.sha
        record, bundle = run.record(), load(folder, run.sha)
    except (BundleError, UsageError) as error:
        say(f"warning: run {name} can't be logged any more: {error}")
        note.unlink(missing_ok=True)
        return None
    try:
        run_id = Tracker.of(config).log(record, bundle, folder)
    except TrackingError as error:
        say(f"warning: run {name} is not logged yet: {error}; `forecastle sync` or the next command tries again")
        return None
    also_known_as(config.state_dir, run, run_id)
    note.unlink(missing_ok=True)
    return run_id


def _tell_live(config: Config, note: Path, sha: str, tags: Mapping[str, str]) -> str | None:
    try:
        version = Tracker.of(config).go_live(sha, tags)
    except TrackingError as error:
        say(f"warning: the alias `live` is not moved yet: {error}; `forecastle sync` or the next command tries again")
        return None
    for older in sorted(note.parent.glob("*-live-*.json")):
        if older.name <= note.name:  # what waited longer is overtaken: the alias stands where it should
            older.unlink(missing_ok=True)
    return version


def _note(config: Config, name: str, told: Mapping[str, object]) -> Path:
    folder = pending_folder(config.state_dir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    write_text(path, dumped(told))
    return path


def _read(note: Path) -> dict[str, object]:
    """Return what a note says, nothing where it is damaged: what can't be read is left for people to see."""
    try:
        told = json.loads(note.read_bytes())
    except (OSError, ValueError):
        say(f"warning: {note} can't be read")
        return {}
    return told if isinstance(told, dict) else {}
