"""Bundles on disk: digests checked before anything is read, a store with one pointer, and the candidates of training.

======================================  ====================================================================
``<state_dir>/bundles/<sha>/``          published bundles; ``CURRENT`` beside them names the live one
``<state_dir>/candidates/<sha>/``       bundles that training made; ``CANDIDATE`` beside them names the newest
``<state_dir>/candidates/runs/<run>``   the SHA-256 of the bundle that a run made
======================================  ====================================================================

Pointers are files of one line, replaced atomically.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.errors import (
    BundleDamagedError,
    BundleMismatchError,
    ForecastleError,
    NotPromotedError,
    NotTrainedError,
    StateError,
    UsageError,
)

FORMAT = 2
READS = (1, 2)
"""Formats that this version reads: its own and the one before."""
MANIFEST = "manifest.json"
LIVE, CANDIDATE = "live", "candidate"
CURRENT = "CURRENT"
PUBLISHED = "bundles"
_SHA = re.compile(r"[0-9a-f]{64}")
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def sha256(data: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def read_verified(folder: Path, sha: str = "") -> tuple[dict[str, Any], dict[str, bytes], str]:
    """Return (manifest, file bytes by name, bundle SHA-256) after checking every digest.

    sha: the digest that the manifest must have; where empty, the folder's name if that is one. Without either, who
    changes a file and its line in the manifest is not found out.
    Raises BundleDamagedError or BundleMismatchError; nothing is parsed but the manifest.
    """
    path, remedy = folder / MANIFEST, _remedy(folder)
    if not path.is_file():
        raise BundleDamagedError(f"{path}: no manifest, expected a bundle directory; {remedy}")
    raw = path.read_bytes()
    named, found = sha or (folder.name if _SHA.fullmatch(folder.name) else ""), sha256(raw)
    try:
        manifest = json.loads(raw)
        listed, version = dict(manifest["files"]), manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleDamagedError(f"{path}: not a manifest ({type(error).__name__}); {remedy}") from error
    if named and found != named:
        raise BundleDamagedError(f"{path}: SHA-256 {found[:12]}, expected {named[:12]}, which names it; {remedy}")
    if version not in READS:
        reads = " and ".join(map(str, READS))
        raise BundleMismatchError(
            f"{path}: format {version}, this version reads {reads}; train again or install the version that wrote it"
        )
    files = {}
    for name, digest in listed.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise BundleDamagedError(f"{folder}/{name}: listed in the manifest and not there; {remedy}")
        files[name] = (folder / name).read_bytes()
        if (got := sha256(files[name])) != digest:
            raise BundleDamagedError(
                f"{folder}/{name}: SHA-256 {got[:12]}, expected {str(digest)[:12]} as the manifest says; {remedy}"
            )
    return manifest, files, found


def _remedy(folder: Path) -> str:
    """The command that mends what lies in a folder: a published bundle is a copy of the candidate."""
    if folder.parent.name == PUBLISHED:
        return "run `forecastle promote` again, which publishes the candidate anew"
    return "run `forecastle train` again"


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a directory of files beside `target` and swap it in; what was there before is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".half-"))
    try:
        half = aside / "new"
        half.mkdir(mode=0o755)
        for name, data in files.items():
            (half / name).write_bytes(data)
            sync(half / name)
        if os.path.lexists(target):
            target.rename(aside / "old")
        half.rename(target)
        sync(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def writable_folder(folder: Path, where: str, wrong: type[ForecastleError] = StateError) -> None:
    """Check, before any work, that files can be written into a folder that may not exist yet; nothing is left behind.

    where: what named it, such as ``--out x``. Raises `wrong` where something else than a folder stands there or above,
    StateError where it can't be made or written.
    """
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise wrong.at(where, f"{nearest} is no folder", expected="a folder, or a place for a new one")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        got, remedy = f"{nearest} cannot be written ({error.strerror})", "check its rights and free space"
        raise StateError.at(where, got, remedy=remedy) from error


class Store:
    """The local bundle store that serving reads: ``<root>/<sha256>/`` per bundle and one ``CURRENT`` pointer."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(self, folder: Path) -> str:
        """Verify a bundle and copy it into the store; returns its SHA-256. Publishing twice is harmless.

        A copy that is there already is verified too, and replaced where it is damaged.
        """
        _, files, sha = read_verified(folder)
        target = self.root / sha
        try:
            read_verified(target, sha)
        except (BundleDamagedError, BundleMismatchError):
            write_folder(target, {**files, MANIFEST: (folder / MANIFEST).read_bytes()})
            read_verified(target, sha)
        return sha

    def point(self, sha: str) -> None:
        """Make a published bundle the current one."""
        if not (self.root / sha / MANIFEST).is_file():
            raise BundleDamagedError(f"{sha[:12]} is not in the store {self.root}: publish it first")
        write_pointer(self.root / CURRENT, sha)

    def current(self) -> Path:
        """Return the current bundle's directory; raises NotPromotedError where there is none."""
        pointer = self.root / CURRENT
        if not pointer.is_file():
            raise NotPromotedError(
                f"{pointer} does not exist: no model is live; run `forecastle train` and `forecastle promote` first"
            )
        return self.root / read_pointer(pointer, "run `forecastle promote` again")


def bundle_folder(state_dir: Path, model: str = LIVE) -> Path:
    """Return the directory of a model: ``live``, ``candidate`` or the id of the run that made it.

    Raises NotPromotedError or NotTrainedError where there is none, UsageError for a name that no run can have,
    BundleDamagedError for a damaged pointer. The bundle itself is not looked at.
    """
    if model == LIVE:
        return Store(state_dir / PUBLISHED).current()
    root = state_dir / "candidates"
    if model == CANDIDATE:
        pointer, missing = root / "CANDIDATE", "no model has been trained; run `forecastle train` first"
    elif RUN_ID.fullmatch(model):
        pointer = root / "runs" / model
        missing = f"no run {model} made a model here; name live, candidate, or a run id that `forecastle train` printed"
    else:
        raise UsageError.at("--model", repr(model), expected="live, candidate or a run id")
    if not pointer.is_file():
        raise NotTrainedError(f"{pointer} does not exist: {missing}")
    return root / read_pointer(pointer, "run `forecastle train` again")


def read_pointer(path: Path, remedy: str) -> str:
    """Return the SHA-256 that a pointer file holds; raises BundleDamagedError where it holds anything else."""
    sha = path.read_text(encoding="utf-8", errors="replace").strip()
    if not _SHA.fullmatch(sha):
        raise BundleDamagedError(f"{path} holds no SHA-256; {remedy}")
    return sha


def write_pointer(path: Path, sha: str) -> None:
    """Make a pointer name `sha`, atomically."""
    half = path.with_name(f".{path.name}-{os.getpid()}")
    half.write_text(sha + "\n")
    sync(half)
    half.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make the operating system write a file or a directory through."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
