"""The bundle: everything a prediction needs, in one directory, without pickle.

======================  ==============================================================================
``manifest.json``       format, what the model is, and the SHA-256 of every other file
``trees.txt``           the merged LightGBM model (absent where no tree helped)
``close.json``          offset, stage x time table and calibration, floats written exactly
``reference.npz``       closed deals known before ``trained_as_of`` (`models.reference_io`)
``vocabulary.json``     the entities they are about
``calendar.json``       the fiscal periods
``profile.json``        what is usual, by stage
``golden.json``         feature rows with their exact probabilities, probed at every load
======================  ==============================================================================

The digest of the manifest names the bundle. Loading verifies every file first: a damaged LightGBM text can crash a
process, hang it, or answer wrongly. The same config and data give the same bytes; run id, host and wall time live in
the tracking store. Where bundles live on disk: `models.store`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import BundleDamagedError, BundleMismatchError, ConfigError
from features.build import ALWAYS, FeatureMatrix, plan_features
from features.periods import Calendar
from features.reference import Reference
from features.registry import Context, Plan, Schema
from features.stages import StageMap
from models.base import Float
from models.calibrate import Affine
from models.close import CloseModel
from models.ladder import RUNGS, Doubt
from models.linear import Linear
from models.profile import Profile
from models.reference_io import REFERENCE, VOCABULARY, plain_json, read_reference, reference_files
from models.store import FORMAT, MANIFEST, read_verified, sha256
from models.store import Store as Store
from models.tables import RateTable
from models.trees import Trees

GOLDEN_ROWS = 20
REQUIRED = ("close.json", REFERENCE, VOCABULARY, "calendar.json", "profile.json", "golden.json")
"""Files without which nothing can be answered; the manifest must list them."""


@dataclass(frozen=True)
class About:
    """What a bundle is. Instants are int64 UTC microseconds; fingerprints and hashes are SHA-256 in hex."""

    name: str
    target: str
    time_zone: str
    trained_as_of: int
    rows: int
    deals: int
    first_as_of: int
    config_hash: str
    data_fingerprint: str
    plan_fingerprint: str
    groups: tuple[str, ...]
    drop: tuple[str, ...]
    shrink: float
    schema: Schema
    stages: StageMap


@dataclass(frozen=True)
class Bundle:
    """A loaded model with all it needs; sha names it."""

    about: About
    plan: Plan
    model: CloseModel
    reference: Reference
    profile: Profile
    calendar: Calendar
    golden: FeatureMatrix
    sha: str = ""

    @property
    def version(self) -> str:
        """Short name of the bundle for answers and files."""
        return f"{self.about.name}-{self.sha[:12]}"


def save(bundle: Bundle, folder: Path) -> str:
    """Write a bundle into `folder` (made anew) and return its SHA-256."""
    folder.mkdir(parents=True, exist_ok=False)
    files = _files(bundle)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    about = asdict(bundle.about) | {"stages": bundle.about.stages.to_json()}
    digests = {name: sha256(data) for name, data in sorted(files.items())}
    manifest = plain_json({"format": FORMAT, "about": about, "files": digests})
    (folder / MANIFEST).write_bytes(manifest)
    return sha256(manifest)


def _files(bundle: Bundle) -> dict[str, bytes]:
    model = bundle.model
    calendar = bundle.calendar
    files = {
        "close.json": plain_json(_close_json(model)),
        **reference_files(bundle.reference),
        "calendar.json": plain_json(
            {
                "zone": calendar.zone,
                "starts": calendar.starts.tolist(),
                "days": calendar.days.tolist(),
                "holidays": calendar.holidays.tolist(),
            }
        ),
        "profile.json": plain_json(
            {"names": bundle.profile.names, "rate": bundle.profile.rate, "medians": _hex(bundle.profile.medians)}
        ),
        "golden.json": plain_json({"values": _hex(bundle.golden.values), "p": _hex(model.predict(bundle.golden))}),
    }
    if model.trees is not None:
        files["trees.txt"] = model.trees.text.encode()
    return files


def load(folder: Path, sha: str = "") -> Bundle:
    """Load a bundle, every file verified before it is read. sha: the digest it must have, see `read_verified`.

    Raises BundleDamagedError or BundleMismatchError.
    """
    manifest, files, found = read_verified(folder, sha)
    lacking = [name for name in REQUIRED if name not in files]
    if lacking:
        raise BundleDamagedError(
            f"{folder}/{MANIFEST} does not list {', '.join(lacking)}; run `forecastle train` again"
        )
    about = _about(manifest.get("about"), folder)
    plan = _plan(about, folder)
    try:
        bundle = _assembled(about, plan, files, found)
        same = np.array_equal(bundle.model.predict(bundle.golden), _unhex(json.loads(files["golden.json"])["p"]))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BundleDamagedError(
            f"{folder}: its files do not hold a model ({type(error).__name__}: {error}); run `forecastle train` again"
        ) from error
    if not same:
        raise BundleDamagedError(
            f"{folder.name}: golden rows give other probabilities here than where it was trained; "
            "train it again on this type of machine"
        )
    return bundle


def _plan(about: About, folder: Path) -> Plan:
    """Return the plan of a bundle's features; raises BundleMismatchError where this code has other ones."""
    remedy = "run the version of forecastle that trained it, or train and promote again"
    try:
        plan = plan_features(Context(about.schema, about.shrink), about.groups, about.drop)
    except ConfigError as error:
        raise BundleMismatchError(
            f"{folder.name}: this code lacks the bundle's features ({error}): {remedy}"
        ) from error
    if plan.fingerprint() != about.plan_fingerprint:
        raise BundleMismatchError(
            f"{folder.name}: the bundle's features are not those of this code (fingerprint "
            f"{about.plan_fingerprint[:12]}, here {plan.fingerprint()[:12]}): {remedy}"
        )
    return plan


def _assembled(about: About, plan: Plan, files: Mapping[str, bytes], sha: str) -> Bundle:
    """Read the files of a bundle; raises what their parsers raise."""
    model = _close_model(json.loads(files["close.json"]), plan.names, files.get("trees.txt"))
    reference = read_reference(files, about.schema.dimensions, len(about.stages.order))
    dates = json.loads(files["calendar.json"])
    starts, days, holidays = (np.array(dates[name], dtype=np.int64) for name in ("starts", "days", "holidays"))
    calendar = Calendar(starts, days, dates["zone"], holidays)
    usual = json.loads(files["profile.json"])
    profile = Profile(tuple(usual["names"]), _unhex(usual["medians"]), usual["rate"])
    golden = json.loads(files["golden.json"])
    rows = FeatureMatrix(plan.names, _unhex(golden["values"]).reshape(-1, len(plan.names)))
    if len(calendar.starts) < 2 or calendar.starts.shape != calendar.days.shape:
        raise ValueError("calendar.json holds no periods")
    if profile.names != plan.names or profile.medians.shape != (len(about.stages.order) + 1, len(plan.names)):
        raise ValueError("profile.json is of another model")
    return Bundle(about, plan, model, reference, profile, calendar, rows, sha)


def _about(told: Any, folder: Path) -> About:
    """Read what a bundle is; raises BundleMismatchError where a value is missing or of another type."""
    try:
        _check_types(told)
        schema = told["schema"]
        return About(
            **told
            | {
                "schema": Schema(schema["target"], tuple(schema["dimensions"]), tuple(schema["numbers"])),
                "stages": StageMap.from_json(told["stages"]),
                "groups": tuple(told["groups"]),
                "drop": tuple(told["drop"]),
            }
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise BundleMismatchError(
            f"{folder}/{MANIFEST}: unexpected content of about ({error}); train and promote again"
        ) from error


def _check_types(told: Any) -> None:
    """Raise TypeError or KeyError where `About` can't be made of what a manifest says."""
    words = ("name", "target", "time_zone", "config_hash", "data_fingerprint", "plan_fingerprint")
    lists = (told["groups"], told["drop"], told["schema"]["dimensions"], told["schema"]["numbers"])
    stages = [told["stages"][part] for part in ("order", "won", "lost")]
    right = {
        **{name: isinstance(told[name], str) for name in words},
        **{name: type(told[name]) is int for name in ("trained_as_of", "rows", "deals", "first_as_of")},
        "shrink": type(told["shrink"]) in (int, float),
        "groups, drop, schema, stages": all(map(_is_words, (*lists, *stages))),
        "schema.target": isinstance(told["schema"]["target"], str) and told["schema"]["target"] in ALWAYS,
    }
    wrong = [name for name, good in right.items() if not good]
    if wrong:
        raise TypeError(f"{', '.join(wrong)} of another type")


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _close_json(model: CloseModel) -> dict[str, Any]:
    table = model.table
    told: dict[str, Any] = {
        "table": {
            "column": table.column,
            "edges": [float(e).hex() for e in table.edges],
            "rates": _hex(table.rates),
            "overall": table.overall.hex(),
        },
        "calibration": [model.calibration.intercept.hex(), model.calibration.slope.hex()],
        "rung": model.rung,
    }
    if model.doubt is not None:
        told["doubt"] = [model.doubt.low.hex(), model.doubt.high.hex(), model.doubt.basis]
    if isinstance(model.offset, Linear):
        linear = model.offset
        arrays = ("weights", "missing_weights", "low", "high", "mean", "scale")
        told["linear"] = {name: _hex(getattr(linear, name)) for name in arrays} | {
            name: getattr(linear, name).hex() for name in ("intercept", "table_weight", "table_mean")
        }
    return told


def _close_model(told: dict[str, Any], names: tuple[str, ...], trees: bytes | None) -> CloseModel:
    table = RateTable(
        told["table"]["column"],
        tuple(float.fromhex(e) for e in told["table"]["edges"]),
        _unhex(told["table"]["rates"]),
        float.fromhex(told["table"]["overall"]),
    )
    offset: Linear | RateTable = table
    if "linear" in told:
        parts = told["linear"]
        read: dict[str, Any] = {
            name: _unhex(value) if isinstance(value, list) else float.fromhex(value) for name, value in parts.items()
        }
        offset = Linear(names=names, table=table, **read)
    intercept, slope = (float.fromhex(value) for value in told["calibration"])
    grown = Trees(names, trees.decode()) if trees is not None else None
    doubt = None
    if "doubt" in told:
        low, high, basis = told["doubt"]
        doubt = Doubt(float.fromhex(low), float.fromhex(high), str(basis))
    if told["rung"] not in RUNGS:
        raise ValueError(f"close.json names the rung {told['rung']!r}, expected one of {', '.join(RUNGS)}")
    return CloseModel(names, offset, grown, Affine(intercept, slope), told["rung"], doubt)


def _hex(values: Float) -> list[Any]:
    """Write floats exactly."""
    return [_hex(row) for row in values] if values.ndim > 1 else [float(value).hex() for value in values]


def _unhex(values: list[Any]) -> Float:
    if values and isinstance(values[0], list):
        return np.array([_unhex(row) for row in values], dtype=np.float64)
    return np.array([float.fromhex(value) for value in values], dtype=np.float64)
