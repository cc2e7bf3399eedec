"""Reference facts as files: what a bundle carries, and what a running service is told of those since.

``reference.npz`` holds the events as plain integer arrays called ``kind.column`` (NumPy reads them, serving needs no
Arrow) and ``vocabulary.json`` the entities they are about. The same facts give the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from configs.errors import BundleDamagedError, BundleMismatchError
from features.reference import EVENTS, LATER, Events, Reference, Vocabulary, no_events, reference_of
from features.timeline import Int

REFERENCE, VOCABULARY = "reference.npz", "vocabulary.json"


def reference_files(reference: Reference) -> dict[str, bytes]:
    """Return file name -> content."""
    words = reference.vocabulary
    said = {"values": words.values, "rep_team": words.rep_team.tolist(), "teams": words.teams}
    columns = {f"{kind}.{name}": c for kind, facts in reference.events.items() for name, c in facts.columns.items()}
    return {REFERENCE: _npz(columns), VOCABULARY: plain_json(said)}


def read_reference(files: Mapping[str, bytes], dimensions: tuple[str, ...], stage_count: int) -> Reference:
    """Return the reference that ``reference_files`` wrote, for a model with these dimensions and open stages.

    Raises BundleDamagedError where a file can't be read, BundleMismatchError where what the model needs is missing.
    """
    try:
        told = json.loads(files[VOCABULARY])
        values = {name: tuple(listed) for name, listed in told["values"].items()}
        teams = tuple(map(str, told.get("teams", ())))  # absent in what earlier versions wrote
        words = Vocabulary(values, np.array(told["rep_team"], dtype=np.int64), teams)
        arrays = _arrays(files[REFERENCE])
    except (ValueError, KeyError, TypeError, AttributeError, OSError, zipfile.BadZipFile) as error:
        raise BundleDamagedError(
            f"the reference facts cannot be read ({type(error).__name__}): expected {REFERENCE} and {VOCABULARY}; "
            "publish them again"
        ) from error
    absent = [kind for kind in LATER if f"{kind}.known_at" not in arrays]
    kinds = [kind for kind in EVENTS if kind not in absent]
    needed = {f"{kind}.{name}" for kind in kinds for name in ("known_at", *EVENTS[kind])}
    needed |= {f"closes.{name}" for name in dimensions}
    missing = sorted(needed - set(arrays)) + sorted({"rep", "account", *dimensions} - set(words.values))
    if missing:
        raise BundleMismatchError(
            f"the reference facts lack {', '.join(missing)}, which the model needs; "
            "write them again for the model that is live"
        )
    told_of = {
        kind: Events({n.partition(".")[2]: c for n, c in arrays.items() if n.startswith(f"{kind}.")}) for kind in kinds
    }
    return reference_of(words, told_of | {kind: no_events(kind) for kind in absent}, dimensions, stage_count)


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
