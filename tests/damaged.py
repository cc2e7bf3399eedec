"""Bundles that differ from a good one: another model of the same kind, and damage of every sort, hashes made to fit."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import Bundle, save
from models.calibrate import Affine
from models.close_files import TREES
from models.reference_io import plain_json
from models.store import MANIFEST, Store, sha256

Files = dict[str, bytes]
Damage = Callable[[Files], None]


def another(bundle: Bundle, store: Store, folder: Path, by: float = 0.25) -> str:
    """Publish a model that answers otherwise: log-odds higher by some. Returns its SHA-256."""
    old = bundle.model.calibration
    model = replace(bundle.model, calibration=Affine(old.intercept + by, old.slope))
    save(replace(bundle, model=model), folder)
    return store.publish(folder)


def twin(store: Store, sha: str, number: int) -> Path:
    """A good bundle with the same answers under a name of its own."""
    files = files_of(store.root / sha)
    manifest = json.loads(files[MANIFEST])
    manifest["about"]["rows"] += number
    files[MANIFEST] = plain_json(manifest)
    return written(store.root / sha256(files[MANIFEST]), files)


def files_of(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder with these files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def on_disk(folder: Path, damage: Damage) -> Path:
    """Damage files and tell the manifest nothing."""
    files = files_of(folder)
    damage(files)
    return written(folder, files)


def listed(folder: Path, damage: Damage) -> Path:
    """Damage files and write their digests into the manifest, whose own still names the folder."""
    return written(folder, _listed(folder, damage))


def named(folder: Path, damage: Damage) -> Path:
    """Damage files, write their digests into the manifest, and name the folder after it: every digest is right."""
    files = _listed(folder, damage)
    shutil.rmtree(folder)
    return written(folder.with_name(sha256(files[MANIFEST])), files)


def _listed(folder: Path, damage: Damage) -> Files:
    files = files_of(folder)
    damage(files)
    manifest = json.loads(files[MANIFEST])
    manifest["files"] = {name: sha256(data) for name, data in files.items() if name != MANIFEST}
    files[MANIFEST] = plain_json(manifest)
    return files


# --- damage ----------------------------------------------------------------------------------------------------------


def cut(name: str, share: float) -> Damage:
    """A file that ends early."""

    def damage(files: Files) -> None:
        files[name] = files[name][: round(len(files[name]) * share)]

    return damage


def gone(name: str) -> Damage:
    """A file that is not there."""
    return lambda files: void(files.pop(name))


def flipped(name: str, rng: np.random.Generator) -> Damage:
    """One bit of a file the other way."""

    def damage(files: Files) -> None:
        data = bytearray(files[name])
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        files[name] = bytes(data)

    return damage


def told(change: Callable[[dict[str, Any]], object]) -> Damage:
    """A manifest that says something else."""

    def damage(files: Files) -> None:
        manifest = json.loads(files[MANIFEST])
        change(manifest)
        files[MANIFEST] = plain_json(manifest)

    return damage


def line(field: str, change: Callable[[list[str]], None], tree: int = 0) -> Damage:
    """A line of one tree with other words."""

    def damage(files: Files) -> None:
        head, *blocks = files[TREES].decode().split("\nTree=")
        found = re.search(rf"^{field}=(.*)$", blocks[tree], re.MULTILINE)
        assert found is not None
        words = found[1].split(" ")
        change(words)
        blocks[tree] = blocks[tree][: found.start(1)] + " ".join(words) + blocks[tree][found.end(1) :]
        files[TREES] = "\nTree=".join([head, *blocks]).encode()

    return damage


def word(place: int, text: str) -> Callable[[list[str]], None]:
    """One word of a line replaced."""

    def change(words: list[str]) -> None:
        words[place] = text

    return change


def void(_: object) -> None:
    """Nothing."""


BY_NAME: dict[str, Damage] = {
    "a NaN leaf": line("leaf_value", word(-1, "nan")),
    "an infinite leaf": line("leaf_value", word(-1, "inf")),
    "a NaN threshold": line("threshold", word(0, "nan")),
    "a cycle": line("left_child", word(1, "0")),
    "a child that is not there": line("right_child", word(0, "99999")),
    "a column that is not there": line("split_feature", word(0, "9999")),
    "categories": line("decision_type", word(0, "1")),
    "a leaf less": line("num_leaves", word(0, "3")),
    "tree sizes that lie": lambda files: files.update(
        {TREES: re.sub(rb"(?m)^tree_sizes=\d+", b"tree_sizes=7", files[TREES])}
    ),
    "a count of zero": line("internal_count", lambda words: words.__setitem__(0, "0" * len(words[0]))),
    "another golden answer": lambda files: files.update({"golden.json": _other_golden(files["golden.json"])}),
    "trees cut at half": cut(TREES, 0.5),
    "trees cut near the end": cut(TREES, 0.97),
    "empty trees": cut(TREES, 0.0),
    "an empty close.json": cut("close.json", 0.0),
    "half a reference": cut("reference.npz", 0.5),
    "no golden rows": gone("golden.json"),
    "another schema": told(lambda manifest: manifest["about"]["schema"]["dimensions"].append("colour")),
    "another format": told(lambda manifest: manifest.update(format=99)),
    "another time zone": told(lambda manifest: manifest["about"].update(time_zone="Asia/Tokyo")),
}
"""Damage that must be found out even where every digest is right."""


def _other_golden(data: bytes) -> bytes:
    document = json.loads(data)
    text = json.dumps(document["p"])
    digit = next(found for found in re.finditer(r"0x1\.([0-9a-f])", text))
    swapped = "1" if digit[1] != "1" else "2"
    document["p"] = json.loads(text[: digit.start(1)] + swapped + text[digit.end(1) :])
    return plain_json(document)


def damages(store: Store, sha: str, count: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Yield (what was done, folder) of many damaged bundles: a bit alone, a bit with its digest, every digest right."""
    rng = np.random.default_rng(seed)
    names = sorted(name for name in files_of(store.root / sha) if name != MANIFEST)
    kinds = list(BY_NAME.items())
    for number in range(count):
        folder = twin(store, sha, number + 1)
        if number % 3 == 2:
            what, damage = kinds[number // 3 % len(kinds)]
            yield f"{what}, every digest right", named(folder, damage)
        else:
            name = names[int(rng.integers(len(names)))]
            how = (on_disk, listed)[number % 3]
            yield f"a bit of {name}, {how.__name__}", how(folder, flipped(name, rng))
