"""The bundle: everything a prediction needs, in one directory, without pickle.

======================  ==============================================================================
``manifest.json``       format, what the model is, and the SHA-256 of every other file
``trees.txt``           the merged LightGBM model (absent where no tree helped)
``close.json``          offset, stage x time table and calibration, floats written exactly
``timing.json``         the timing head, with ``timing_won.txt`` and ``timing_lost.txt`` (each may be absent)
``amount.json``         the amount head, with ``amount_trees.txt`` (each may be absent)
``leads.json``          what leads are worth, with ``lead_opportunity_trees.txt`` and ``lead_direct_trees.txt``
``bookings.json``       how far periods come out beside what was expected (may be absent)
``flags.json``          how right each flag was on past periods (may be absent)
``reference.npz``       closed deals known before ``trained_as_of`` (`models.reference_io`)
``vocabulary.json``     the entities they are about
``calendar.json``       the fiscal periods
``profile.json``        what is usual, by stage
``golden.json``         rows with exactly what every head says of them, probed at every load
======================  ==============================================================================

The digest of the manifest names the bundle. Loading verifies every file first: a damaged LightGBM text can crash a
process, hang it, or answer wrongly. The same config and data give the same bytes; run id, host and wall time live in
the tracking store. Where bundles live on disk: `models.store`. What the files hold: `models.bundle_files`.

Bundles of format 1 are read too: they have the close head alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.errors import BundleDamagedError, BundleMismatchError, ConfigError
from features.build import ALWAYS, FeatureMatrix, plan_features
from features.periods import Calendar
from features.reference import Reference
from features.registry import Context, Plan, Schema, Word
from features.stages import StageMap
from features.told import Told
from models.amount import AMOUNT, AMOUNT_TREES, AmountModel
from models.bookings import BOOKINGS, BookingsModel, bookings_files, read_bookings
from models.bundle_files import (
    CALENDAR,
    GOLDEN,
    PROFILE,
    Golden,
    calendar_json,
    golden_json,
    heads_files,
    profile_json,
    read_calendar,
    read_golden,
    read_heads,
    read_profile,
    same_answers,
)
from models.close import CloseModel
from models.close_files import CLOSE, TREES
from models.heads import Heads
from models.lead_files import DIRECT_TREES, LEADS, OPPORTUNITY_TREES
from models.leads import LeadHeads
from models.profile import Profile
from models.reference_io import REFERENCE, VOCABULARY, plain_json, read_reference, reference_files
from models.store import FORMAT, MANIFEST, read_verified, sha256
from models.store import Store as Store
from models.timing import TIMING, TIMING_LOST, TIMING_WON, TimingModel
from models.track_record import TRACK_RECORD, TrackRecord, read_track_record, track_record_files
from models.tree_text import check_trees

GOLDEN_ROWS = 20
REQUIRED = (CLOSE, REFERENCE, VOCABULARY, CALENDAR, PROFILE, GOLDEN)
"""Files without which nothing can be answered; the manifest must list them."""
OPTIONAL = {
    TREES: CLOSE,
    TIMING: "",
    TIMING_WON: TIMING,
    TIMING_LOST: TIMING,
    AMOUNT: "",
    AMOUNT_TREES: AMOUNT,
    LEADS: "",
    OPPORTUNITY_TREES: LEADS,
    DIRECT_TREES: LEADS,
    BOOKINGS: AMOUNT,
    TRACK_RECORD: "",
}
"""Files that may be absent, each with the file that it means nothing without."""


@dataclass(frozen=True)
class About:
    """What a bundle is. Instants are int64 UTC microseconds; fingerprints and hashes are SHA-256 in hex.

    horizon_days: that p_won, p_lost and p_open hold at; of leads, the days within which they convert.
    """

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
    horizon_days: int = 365
    left_out: tuple[str, ...] = ()  # declared facts that the leak audit kept out of the schema


@dataclass(frozen=True)
class Bundle:
    """A loaded model with all it needs; sha names it.

    timing, amount: None where the data had too little for that head, it was switched off, or the bundle is of format 1.
    bookings: None without an amount head, and in a bundle of an earlier version. track_record: of the flags, None in a
    bundle of an earlier version.
    leads: None for deals, and where the data had too little.
    golden: the rows that every load probes. told: what the CRM told of them, None in a bundle of format 1.
    """

    about: About
    plan: Plan
    model: CloseModel
    reference: Reference
    profile: Profile
    calendar: Calendar
    golden: FeatureMatrix
    timing: TimingModel | None = None
    amount: AmountModel | None = None
    told: Told | None = None
    bookings: BookingsModel | None = None
    track_record: TrackRecord | None = None
    sha: str = ""
    leads: LeadHeads | None = None

    @property
    def version(self) -> str:
        """Short name of the bundle for answers and files."""
        return f"{self.about.name}-{self.sha[:12]}"

    @property
    def heads(self) -> Heads:
        """The heads, to be asked together."""
        return Heads(self.model, self.timing, self.amount, self.about.horizon_days, self.leads)


def save(bundle: Bundle, folder: Path) -> str:
    """Write a bundle into `folder` (made anew) and return its SHA-256."""
    folder.mkdir(parents=True, exist_ok=False)
    files = {
        **heads_files(bundle.heads),
        **reference_files(bundle.reference),
        CALENDAR: calendar_json(bundle.calendar),
        PROFILE: profile_json(bundle.profile),
        GOLDEN: golden_json(Golden(bundle.golden, bundle.told), bundle.heads),
    }
    if bundle.bookings is not None and bundle.amount is not None:  # it tells nothing without amounts
        files |= bookings_files(bundle.bookings)
    if bundle.track_record is not None:
        files |= track_record_files(bundle.track_record)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    about = asdict(bundle.about) | {"stages": bundle.about.stages.to_json()}
    digests = {name: sha256(data) for name, data in sorted(files.items())}
    manifest = plain_json({"format": FORMAT, "about": about, "files": digests})
    (folder / MANIFEST).write_bytes(manifest)
    return sha256(manifest)


def load(folder: Path, sha: str = "") -> Bundle:
    """Load a bundle, every file verified before it is read. sha: the digest it must have, see `read_verified`.

    Raises BundleDamagedError or BundleMismatchError.
    """
    manifest, files, found = read_verified(folder, sha)
    lacking = [name for name in REQUIRED if name not in files]
    lacking += [needed for name, needed in OPTIONAL.items() if name in files and needed and needed not in files]
    if lacking:
        raise BundleDamagedError(
            f"{folder}/{MANIFEST} does not list {', '.join(lacking)}; run `forecastle train` again"
        )
    about = _about(manifest.get("about"), folder)
    plan = _plan(about, folder)
    try:
        bundle = _assembled(about, plan, files, found)
        same = same_answers(files[GOLDEN], Golden(bundle.golden, bundle.told), bundle.heads)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BundleDamagedError(
            f"{folder}: its files do not hold a model ({type(error).__name__}: {error}); run `forecastle train` again"
        ) from error
    if not same:
        raise BundleDamagedError(
            f"{folder.name}: golden rows are answered otherwise here than where it was trained; "
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
    for name in (TREES, TIMING_WON, TIMING_LOST, AMOUNT_TREES, OPPORTUNITY_TREES, DIRECT_TREES):
        if name in files:
            check_trees(files[name].decode())
    heads = read_heads(files, plan.names, about.horizon_days)
    stages = len(about.stages.order)
    golden = read_golden(files[GOLDEN], plan.names)
    return Bundle(
        about,
        plan,
        heads.close,
        read_reference(files, about.schema.dimensions, stages),
        read_profile(files[PROFILE], plan.names, stages),
        read_calendar(files[CALENDAR]),
        golden.matrix,
        heads.timing,
        heads.amount,
        golden.told,
        read_bookings(files) if BOOKINGS in files else None,
        read_track_record(files) if TRACK_RECORD in files else None,
        sha,
        heads.leads,
    )


def _about(told: Any, folder: Path) -> About:
    """Read what a bundle is; raises BundleMismatchError where a value is missing or of another type."""
    try:
        _check_types(told)
        schema = told["schema"]
        return About(
            **told
            | {
                "schema": Schema(
                    schema["target"],
                    tuple(schema["dimensions"]),
                    tuple(schema["numbers"]),
                    tuple(Word(**word) for word in schema.get("words", ())),
                    tuple(schema.get("rated", ())),
                ),
                "stages": StageMap.from_json(told["stages"]),
                "groups": tuple(told["groups"]),
                "drop": tuple(told["drop"]),
                "left_out": tuple(told.get("left_out", ())),
            }
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise BundleMismatchError(
            f"{folder}/{MANIFEST}: unexpected content of about ({error}); train and promote again"
        ) from error


def _check_types(told: Any) -> None:
    """Raise TypeError or KeyError where `About` can't be made of what a manifest says."""
    words = ("name", "target", "time_zone", "config_hash", "data_fingerprint", "plan_fingerprint")
    lists = (
        told["groups"],
        told["drop"],
        told.get("left_out", []),
        told["schema"]["dimensions"],
        told["schema"]["numbers"],
    )
    stages = [told["stages"][part] for part in ("order", "won", "lost")]
    right = {
        **{name: isinstance(told[name], str) for name in words},
        **{name: type(told[name]) is int for name in ("trained_as_of", "rows", "deals", "first_as_of")},
        "horizon_days": type(told.get("horizon_days", 1)) is int,  # format 1 has none
        "shrink": type(told["shrink"]) in (int, float),
        "groups, drop, left_out, schema, stages": all(map(_is_words, (*lists, *stages))),
        "schema.target": isinstance(told["schema"]["target"], str) and told["schema"]["target"] in ALWAYS,
    }
    wrong = [name for name, good in right.items() if not good]
    if wrong:
        raise TypeError(f"{', '.join(wrong)} of another type")


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
