"""Which reference facts the service answers with: those of the source as it stood at the start, else the bundle's own.

``forecastle serve`` reads the source once and leaves a snapshot of its closes beside the service's state; every
worker loads that, so the endpoint sees the same rates as ``forecastle score`` on the same source. Without pandas or
without the source the closes in the bundle (known before ``trained_as_of``) stand in, and the status says why.

========================================  =====================================================
``<state_dir>/serving/reference-<sha>/``  a snapshot; its manifest holds the digest of each file
``<state_dir>/serving/REFERENCE``         JSON: folder of the snapshot, or why there is none
========================================  =====================================================
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import BundleDamagedError, BundleError, BundleMismatchError, StateError
from features.reference import Reference
from features.tables import NAT, CrmTables
from models.bundle import Bundle
from models.reference_io import plain_json, read_reference, reference_files
from models.store import FORMAT, MANIFEST, read_verified, sha256, sync, write_folder

SOURCE, BUNDLE = "source", "bundle"
POINTER = "REFERENCE"


@dataclass(frozen=True)
class Facts:
    """Reference facts. as_of: the last fact of what they were read from, UTC microseconds. why: empty for `source`.

    sha: of the snapshot that holds them, or of the bundle; empty where they were never written down.
    """

    reference: Reference
    as_of: int
    origin: str
    why: str = ""
    sha: str = ""


def serving_dir(state_dir: Path) -> Path:
    """The service's own folder in the state directory."""
    return state_dir / "serving"


def last_fact(tables: CrmTables) -> int:
    """Return the latest known_at of deals, their history and activities, UTC microseconds; NAT where there are none."""
    return max(
        int(table.ints("known_at").max(initial=NAT)) for table in (tables.deals, tables.deal_history, tables.activities)
    )


def own_facts(bundle: Bundle, why: str) -> Facts:
    """The facts that the bundle carries, and why they must do."""
    return Facts(bundle.reference, bundle.about.trained_as_of, BUNDLE, why, bundle.sha)


def write_snapshot(state_dir: Path, reference: Reference, as_of: int) -> Path:
    """Write a snapshot and point to it, atomically; older ones are removed. Raises StateError."""
    root = serving_dir(state_dir)
    files = reference_files(reference)
    about = {"as_of": as_of, "dimensions": list(reference.dimensions), "stage_count": reference.stage_count}
    digests = {name: sha256(data) for name, data in sorted(files.items())}
    manifest = plain_json({"format": FORMAT, "about": about, "files": digests})
    name = f"reference-{sha256(manifest)}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not _whole(root / name):
            write_folder(root / name, {**files, MANIFEST: manifest})
        before = _pointed(root).get("folder")
        _point(root, {"folder": name, "why": ""})
        for old in root.glob("reference-*"):
            if old.name not in (name, before):  # a worker of a service that still runs may be reading the one before
                shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _unwritable(root, error) from error
    return root / name


def point_to_bundle(state_dir: Path, why: str) -> None:
    """Say that the bundle's own facts must do, and why. Raises StateError."""
    root = serving_dir(state_dir)
    try:
        root.mkdir(parents=True, exist_ok=True)
        _point(root, {"folder": None, "why": why})
    except OSError as error:
        raise _unwritable(root, error) from error


def load_facts(state_dir: Path, bundle: Bundle) -> Facts:
    """Return the facts that the pointer names where they fit the bundle, else the bundle's own with the reason."""
    try:
        return read_facts(state_dir, bundle)
    except BundleError as error:
        return own_facts(bundle, error.message)


def read_facts(state_dir: Path, bundle: Bundle) -> Facts:
    """Return the facts that the pointer names; the bundle's own where it names none.

    Raises BundleDamagedError or BundleMismatchError, without paths in the message, for a snapshot that is not usable.
    """
    root = serving_dir(state_dir)
    pointed = _pointed(root)
    folder = pointed.get("folder")
    if not isinstance(folder, str) or Path(folder).name != folder:
        return own_facts(bundle, str(pointed.get("why") or "no snapshot of the source was taken"))
    try:
        manifest, files, sha = read_verified(root / folder, snapshot_sha(Path(folder)))
        about: dict[str, Any] = manifest["about"]
        schema, stages = bundle.about.schema, bundle.about.stages
        if tuple(about["dimensions"]) != schema.dimensions or about["stage_count"] != len(stages.order):
            raise BundleMismatchError("the snapshot of the source is for a model with other attributes or stages")
        reference = read_reference(files, schema.dimensions, len(stages.order))
        return Facts(reference, int(about["as_of"]), SOURCE, sha=sha)
    except (BundleDamagedError, KeyError, TypeError, ValueError, OSError) as error:
        raise BundleDamagedError("the snapshot of the source is damaged") from error


def snapshot_sha(folder: Path) -> str:
    """Return the SHA-256 that names a snapshot."""
    return folder.name.partition("-")[2]


def _whole(folder: Path) -> bool:
    """Whether a snapshot is there and undamaged."""
    try:
        read_verified(folder, snapshot_sha(folder))
    except BundleError:
        return False
    return True


def _pointed(root: Path) -> dict[str, Any]:
    """What the pointer says; empty where there is none or it can't be read."""
    try:
        told = json.loads((root / POINTER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _point(root: Path, told: dict[str, Any]) -> None:
    half = root / f".{POINTER}-{os.getpid()}"
    half.write_bytes(plain_json(told))
    sync(half)
    half.replace(root / POINTER)
    sync(root)


def _unwritable(root: Path, error: OSError) -> StateError:
    return StateError.at(str(root), f"cannot be written ({error.strerror})", remedy="check its rights and free space")
