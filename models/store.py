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
from pathlib import Path
from typing import Any

from configs.errors import BundleDamagedError, BundleMismatchError, NotPromotedError, NotTrainedError, UsageError

FORMAT = 1
MANIFEST = "manifest.json"
LIVE, CANDIDATE = "live", "candidate"
_SHA = re.compile(r"[0-9a-f]{64}")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def sha256(data: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def read_verified(folder: Path) -> tuple[dict[str, Any], dict[str, bytes], str]:
    """Return (manifest, file bytes by name, bundle SHA-256) after checking every digest.

    Raises BundleDamagedError or BundleMismatchError; nothing is parsed but the manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleDamagedError(f"{path}: no manifest: expected a bundle directory; promote a trained model first")
    raw = path.read_bytes()
    try:
        manifest = json.loads(raw)
        listed, version = dict(manifest["files"]), manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleDamagedError(
            f"{path}: not a manifest ({type(error).__name__}); publish the bundle again"
        ) from error
    if version != FORMAT:
        raise BundleMismatchError(
            f"{path}: format {version}, this version reads {FORMAT}; train again or install the version that wrote it"
        )
    files = {}
    for name, digest in listed.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise BundleDamagedError(
                f"{folder.name}/{name}: listed in the manifest and not there; publish the bundle again"
            )
        files[name] = (folder / name).read_bytes()
        found = sha256(files[name])
        if found != digest:
            raise BundleDamagedError(
                f"{folder.name}/{name}: SHA-256 {found[:12]}, expected {str(digest)[:12]}; publish the bundle again"
            )
    return manifest, files, sha256(raw)


class Store:
    """The local bundle store that serving reads: ``<root>/<sha256>/`` per bundle and one ``CURRENT`` pointer."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(self, folder: Path) -> str:
        """Verify a bundle and copy it into the store; returns its SHA-256. Publishing twice is harmless."""
        _, files, sha = read_verified(folder)
        target = self.root / sha
        if not target.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            half = Path(tempfile.mkdtemp(dir=self.root, prefix=".half-"))
            for name in (*files, MANIFEST):
                shutil.copyfile(folder / name, half / name)
                sync(half / name)
            half.chmod(0o755)
            half.rename(target)
            sync(self.root)
        return sha

    def point(self, sha: str) -> None:
        """Make a published bundle the current one."""
        if not (self.root / sha / MANIFEST).is_file():
            raise BundleDamagedError(f"{sha[:12]} is not in the store {self.root}: publish it first")
        write_pointer(self.root / "CURRENT", sha)

    def current(self) -> Path:
        """Return the current bundle's directory; raises NotPromotedError where there is none."""
        pointer = self.root / "CURRENT"
        if not pointer.is_file():
            raise NotPromotedError(
                f"{pointer} does not exist: no model is live; run `forecastle train` and `forecastle promote` first"
            )
        return self.root / read_pointer(pointer, "promote again")


def bundle_folder(state_dir: Path, model: str = LIVE) -> Path:
    """Return the directory of a model: ``live``, ``candidate`` or the id of the run that made it.

    Raises NotPromotedError or NotTrainedError where there is none, UsageError for a name that no run can have,
    BundleDamagedError for a damaged pointer. The bundle itself is not looked at.
    """
    if model == LIVE:
        return Store(state_dir / "bundles").current()
    root = state_dir / "candidates"
    if model == CANDIDATE:
        pointer, missing = root / "CANDIDATE", "no model has been trained; run `forecastle train` first"
    elif _RUN.fullmatch(model):
        pointer = root / "runs" / model
        missing = f"no run {model} made a model here; name live, candidate, or a run id that `forecastle train` printed"
    else:
        raise UsageError.at("--model", repr(model), expected="live, candidate or a run id")
    if not pointer.is_file():
        raise NotTrainedError(f"{pointer} does not exist: {missing}")
    return root / read_pointer(pointer, "train again")


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
