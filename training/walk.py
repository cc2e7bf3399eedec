"""Finished folds of a walk, kept on disk, so that a walk that was killed goes on where it stood.

A fold has a folder of its own under ``DIR/.walk``, named by the SHA-256 of everything that its figures depend on: the
config, every value of the data, the cut, the libraries and this code. Another config, other data or other code never
find it. It is written beside its place and then renamed, and every byte is checked before it is believed.

==============  ==========================================================
``fold.npz``    float64 columns of the test rows, no pickle
``fold.json``   what was chosen, and the SHA-256 of all of it
``model/``      the newest fold's model, as a bundle
==============  ==========================================================
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from configs.errors import BundleDamagedError, BundleMismatchError
from models.bundle import Bundle, load, save

FOLDER, ARRAYS, TOLD, MODEL = ".walk", "fold.npz", "fold.json", "model"
LIBRARIES = ("lightgbm", "numpy", "scikit-learn", "scipy")
PACKAGES = ("configs", "features", "models", "training")
Array = NDArray[Any]
Told = TypeVar("Told")


@dataclass(frozen=True)
class Piece:
    """One finished fold. arrays: by name. told: plain values. bundle: the model, where the walk needs it again."""

    arrays: Mapping[str, Array]
    told: Mapping[str, Any]
    bundle: Bundle | None = None


@dataclass(frozen=True)
class Walk:
    """The kept folds of one folder. said: hears of what is damaged. used: keys of this walk, see `prune`."""

    folder: Path
    said: Callable[[str], None] = lambda _: None
    used: set[str] = field(default_factory=set)

    @classmethod
    def under(cls, out: Path, said: Callable[[str], None]) -> Walk:
        """Return the walk that is kept under the folder of a report."""
        return cls(out / FOLDER, said)

    def take(self, key: str) -> Piece | None:
        """Return a fold that was finished before, None where there is none that is whole."""
        self.used.add(key)
        place = self.folder / key
        if not place.is_dir():
            return None
        try:
            return _read(place)
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            self.said(f"{place}: not a whole fold ({type(error).__name__}: {error}); it is computed again")
        except (BundleDamagedError, BundleMismatchError) as error:
            self.said(f"{place}: {error}; the fold is computed again")
        return None

    def put(self, key: str, piece: Piece) -> None:
        """Keep a finished fold; nobody ever sees half of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".half-") as half:
            made = Path(half) / "fold"
            made.mkdir()
            data, told = _npz(piece.arrays), dict(piece.told)
            (made / ARRAYS).write_bytes(data)
            sha = save(piece.bundle, made / MODEL) if piece.bundle is not None else ""
            (made / TOLD).write_text(json.dumps({"told": told, "sha256": _sealed(data, told, sha), "model": sha}))
            place = self.folder / key
            if place.exists():  # damaged, or another walk into the same folder was quicker
                shutil.rmtree(place)
            made.rename(place)

    def prune(self) -> None:
        """Remove folds that this walk had no use for, and halves that a killed one left behind."""
        for place in self.folder.iterdir() if self.folder.is_dir() else ():
            if place.name not in self.used:
                shutil.rmtree(place, ignore_errors=True)


def _read(place: Path) -> Piece:
    data = (place / ARRAYS).read_bytes()
    found = json.loads((place / TOLD).read_text())
    if found["sha256"] != _sealed(data, found["told"], found["model"]):
        raise ValueError("its content is not what was written")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        columns = {name: arrays[name] for name in arrays.files}
    bundle = load(place / MODEL, found["model"]) if found["model"] else None
    return Piece(columns, found["told"], bundle)


def _sealed(data: bytes, told: Mapping[str, Any], model: str) -> str:
    return hashlib.sha256(data + json.dumps(told, sort_keys=True).encode() + model.encode()).hexdigest()


def _npz(arrays: Mapping[str, Array]) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **dict(arrays))
    return out.getvalue()


def key_of(parts: Mapping[str, object], names: Collection[str]) -> str:
    """Return the SHA-256 (hex) that names a fold. parts: what its figures depend on. names: its columns, in order."""
    said = {"parts": dict(parts), "names": list(names), "code": code_version()}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@cache
def code_version() -> str:
    """Return the SHA-256 (hex) over this code, the libraries that fit, and the machine that their bits depend on."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}:".encode() + path.read_bytes())
    told = [f"{name}=={version(name)}" for name in LIBRARIES]
    told += [platform.python_version(), platform.machine(), platform.system()]
    digest.update("\n".join(told).encode())
    return digest.hexdigest()


def revived(kind: type[Told], value: Any) -> Told:
    """Return plain values as the dataclass they were made of by `asdict`; tuples are tuples again.

    A union may only be of something and None.
    """
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{each.name: revived(hints[each.name], value[each.name]) for each in fields(kind)})
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return tuple(revived(inner, each) for each in value)  # type: ignore[return-value]
    if get_origin(kind) is UnionType and value is not None:
        return revived(get_args(kind)[0], value)  # type: ignore[no-any-return]
    return value  # type: ignore[no-any-return]
