"""Reference facts as files: what a bundle carries, and what a running service is told of the closes since.

``reference.npz`` holds the closes as plain integer arrays (NumPy reads them, serving needs no Arrow) and
``vocabulary.json`` the entities they are about. The same facts give the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from configs.errors import BundleDamagedError, BundleMismatchError
from features.reference import FACTS, Closes, Reference, Vocabulary, reference_of
from features.timeline import Int

CLOSES, VOCABULARY = "reference.npz", "vocabulary.json"
KEYS = ("known_at", "account", "rep", "stages", "categories")


def reference_files(reference: Reference) -> dict[str, bytes]:
    """Return file name -> content."""
    words = reference.vocabulary
    said = {"values": words.values, "rep_team": words.rep_team.tolist()}
    return {CLOSES: _npz(reference.closes.columns), VOCABULARY: plain_json(said)}


def read_reference(files: Mapping[str, bytes], dimensions: tuple[str, ...], stage_count: int) -> Reference:
    """Return the reference that ``reference_files`` wrote, for a model with these dimensions and open stages.

    Raises BundleDamagedError where a file can't be read, BundleMismatchError where what the model needs is missing.
    """
    try:
        told = json.loads(files[VOCABULARY])
        values = {name: tuple(listed) for name, listed in told["values"].items()}
        words = Vocabulary(values, np.array(told["rep_team"], dtype=np.int64))
        closes = Closes(_arrays(files[CLOSES]))
    except (ValueError, KeyError, TypeError, AttributeError, OSError, zipfile.BadZipFile) as error:
        raise BundleDamagedError(
            f"the reference facts cannot be read ({type(error).__name__}): expected {CLOSES} and {VOCABULARY}; "
            "publish them again"
        ) from error
    needed = {*KEYS, *dimensions, *FACTS}
    missing = sorted(needed - set(closes.columns)) + sorted({"rep", "account", *dimensions} - set(words.values))
    if missing:
        raise BundleMismatchError(
            f"the reference facts lack {', '.join(missing)}, which the model needs; "
            "write them again for the model that is live"
        )
    return reference_of(words, closes, dimensions, stage_count)


def plain_json(value: object) -> bytes:
    """Write JSON the same way everywhere: keys in order, one value a line, UTF-8."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _npz(columns: Mapping[str, Int]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **dict(sorted(columns.items())))
    return out.getvalue()


def _arrays(data: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name].astype(np.int64, copy=False) for name in arrays.files}
