"""Batch scores: one file, a row for every deal open at every as-of, through the same `score` as the endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from configs.errors import InSampleError, UsageError
from configs.flags import Flags
from configs.schema import Config
from configs.writing import Cell
from features.asof import Requests
from features.known import known_before
from features.periods import DAY
from features.record import Record
from features.tables import NAT
from models.bundle import Bundle
from models.flag_budget import LOOK_BACK, NOBODY, Incumbents, Tally, carriers_of, within_budget
from models.store import writable_folder
from serving.answers import EPOCH, MICROSECOND, PROBABILITY, iso
from serving.facts import last_fact
from serving.fits import load_fitting
from serving.refresh import Sourced, sourced
from serving.scoring import DealScore, flag_json, flags_of, reason_json, reasons_off, scorable, score
from serving.table_files import Kind, write_table

SCHEMA_VERSION = 3
"""Of the columns of a file of scores; goes up when a column is added, changed or removed."""

SUFFIXES = (".csv", ".parquet")
QUIET = 7 * DAY  # for so long a source may have nothing to tell
Progress = Callable[[str], None]
OTHER_LIMITS = (
    "how right flags were is left out: training measured it under other settings of flags than the config has now, "
    "or on too few deals"
)
CLOSE_DATES = ("close_date_p10", "close_date_p50", "close_date_p90")
FLOATS = (*PROBABILITY.values(), "p_won", "p_lost", "p_open", "amount_expected", "slip_risk")
KINDS: dict[str, Kind] = {"score": "int64", "schema_version": "int64", **dict.fromkeys(FLOATS, "float64")}


@dataclass(frozen=True)
class Written:
    """What a batch made. as_of: UTC microseconds, in the order asked; rows: per as-of.

    flags: by code, over all as-ofs, how many deals raise a flag and how many of these the file shows.
    """

    out: Path
    as_of: tuple[int, ...]
    rows: tuple[int, ...]
    model_version: str
    bundle_sha256: str
    flags: Mapping[str, Tally] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """Return what --json says of any file that a batch wrote."""
        return {
            "out": str(self.out),
            "rows": sum(self.rows),
            "as_of": [iso(instant) for instant in self.as_of],
            "model_version": self.model_version,
            "bundle_sha256": self.bundle_sha256,
        }


def local_iso(instant: int, zone: str) -> str:
    """Return an instant as ISO 8601 with the offset of the zone."""
    return (EPOCH + instant * MICROSECOND).astimezone(ZoneInfo(zone)).isoformat()


def open_deals(record: Record, as_of: int) -> Requests:
    """Return a request for every deal open at an as-of, in the record's order of deals."""
    every = np.arange(len(record.deal_ids), dtype=np.int64)
    asked = Requests(every, np.full(len(every), as_of, dtype=np.int64))
    return asked.take(scorable(record.view(asked))[1])


def check_out(out: Path) -> None:
    """Check, before any work, that a file can be written. Raises UsageError or StateError."""
    if out.is_dir():
        raise UsageError.at("--out", f"{out} is a folder", expected="the name of a file")
    writable_folder(out.parent, f"--out {out}", UsageError)


def check_table(out: Path) -> None:
    """Check the same of a table, whose name says how it is written."""
    if out.suffix not in SUFFIXES:
        raise UsageError.at("--out", repr(out.name), expected=f"a name that ends in {' or '.join(SUFFIXES)}")
    check_out(out)


def check_as_of(bundle: Bundle, as_ofs: Sequence[int], in_sample: bool) -> None:
    """Refuse an as-of that the model has seen past (InSampleError) or beyond its calendar (UsageError)."""
    trained, starts = bundle.about.trained_as_of, bundle.calendar.starts
    for as_of in as_ofs:
        if not starts[0] <= as_of < starts[-1]:
            raise UsageError.at("--as-of", iso(as_of), expected="an instant within the fiscal calendar of the model")
        if as_of < trained and not in_sample:
            raise InSampleError.at(
                "--as-of",
                f"{iso(as_of)} is before the model's trained_as_of {iso(trained)}",
                remedy="ask for a later day, train with an earlier --as-of, or give --in-sample: a fit, not a forecast",
            )


def stale_source(seen: Sourced, as_of: int, zone: str) -> str | None:
    """Say that an as-of lies more than a week after the source's last fact: what came since then is missing; else None.

    as_of: UTC microseconds.
    """
    if seen.as_of == NAT:
        return "warning: the source holds no fact at all"
    if as_of - seen.as_of <= QUIET:
        return None
    days, last = (as_of - seen.as_of) // DAY, local_iso(seen.as_of, zone)
    return (
        f"warning: {local_iso(as_of, zone)} is {days} days after the source's last fact ({last}): what happened since "
        "then is not known; read a newer export"
    )


def score_file(
    config: Config, as_ofs: Sequence[int], out: Path, model: str, in_sample: bool, progress: Progress
) -> Written:
    """Score every deal open at each as-of and write the file, atomically; the same as-of twice counts once.

    Raises UsageError, InSampleError, a BundleError, a DataError or StateError; then no file is written.
    """
    check_table(out)
    as_ofs = tuple(dict.fromkeys(as_ofs))
    bundle = load_fitting(config, model, progress)
    check_as_of(bundle, as_ofs, in_sample)
    if bundle.track_record is not None and config.flags.enabled and not bundle.track_record.under(config.flags):
        progress(OTHER_LIMITS)
    progress(f"model {bundle.version}; reading the source")
    seen = sourced(config, bundle)
    scores: list[list[DealScore]] = []
    tallies: list[Mapping[str, Tally]] = []
    for as_of in as_ofs:
        listed, tally = budgeted(
            seen.record, bundle, score_open(seen, bundle, as_of, config.flags), as_of, config.flags
        )
        scores.append(listed)
        tallies.append(tally)
        if warning := stale_source(seen, as_of, config.time_zone):
            progress(warning)
        if off := reasons_off(listed, every=1):
            progress(f"warning: the reasons of {off:,} of {len(listed):,} deals do not add up; please report this")
        progress(f"{local_iso(as_of, config.time_zone)}: {len(listed):,} open deals{_told(tally)}")
    names = columns(bundle.about.target)
    rows = (cells(one, config.time_zone) for listed in scores for one in listed)
    write_table(out, names, rows, KINDS)
    return Written(out, as_ofs, tuple(map(len, scores)), bundle.version, bundle.sha, _added(tallies))


def score_open(seen: Sourced, bundle: Bundle, as_of: int, flags: Flags | None = None) -> list[DealScore]:
    """Score every deal open at an as-of, with reasons.

    How fresh the rates are is told by the last fact before the as-of: what came later must not change a file.
    """
    asked = open_deals(seen.record, as_of)
    return score(seen.record, asked, bundle, True, last_fact(known_before(seen.tables, as_of)), flags)


def budgeted(
    record: Record, bundle: Bundle, scores: Sequence[DealScore], as_of: int, limits: Flags
) -> tuple[list[DealScore], dict[str, Tally]]:
    """Keep the flags of all open deals of an as-of that the alert budget lets through, and count all of them."""
    if not scores or any(one.flags is None for one in scores):
        return list(scores), {}
    asked = open_deals(record, as_of)
    before = shown_before(record, bundle, asked, limits)
    kept, tally = within_budget([one.flags or () for one in scores], _owners(record, asked), limits, before)
    return [replace(one, flags=flags) for one, flags in zip(scores, kept, strict=True)], tally


def shown_before(record: Record, bundle: Bundle, asked: Requests, limits: Flags) -> Incumbents:
    """Return which of these deals the budget alone would have let through before, by what was known then."""
    place = {deal: row for row, deal in enumerate(asked.deal.tolist())}
    found: dict[str, set[int]] = {}
    for days in LOOK_BACK if limits.keep > 1 and limits.share < 1 else ():
        as_of = int(asked.as_of[0]) - days * DAY
        then = open_deals(record, as_of) if as_of >= record.calendar.starts[0] else asked.take(slice(0))
        shown, _ = within_budget(flags_of(record, then, bundle, limits), _owners(record, then), limits)
        for code, rows in carriers_of(shown).items():
            found.setdefault(code, set()).update(place[deal] for deal in then.deal[rows].tolist() if deal in place)
    return found


def _owners(record: Record, asked: Requests) -> list[int]:
    """Return the code of each deal's owner, `NOBODY` where none is known."""
    owner = record.view(asked).of("history").last("owner")
    return [NOBODY if code == NAT else code for code in owner.tolist()]


def _added(tallies: Sequence[Mapping[str, Tally]]) -> dict[str, Tally]:
    """Add up the tallies of several as-ofs."""
    codes = sorted({code for tally in tallies for code in tally})
    own = {code: [tally[code] for tally in tallies if code in tally] for code in codes}
    return {code: Tally(sum(t.raised for t in of), sum(t.shown for t in of)) for code, of in own.items()}


def _told(tally: Mapping[str, Tally]) -> str:
    """Say how many deals raise each flag, and how many of these are beyond the budget."""
    if not tally:
        return ""
    said = [f"{code} {t.shown} of {t.raised}" for code, t in tally.items()]
    return f"; flags within the budget: {', '.join(said)}"


def columns(target: str) -> tuple[str, ...]:
    """Return the column names of a file of scores."""
    period = ("period_end",) if target == "in_period" else ()
    heads = ("p_won", "p_lost", "p_open", *CLOSE_DATES, "amount_expected")
    told = ("score", "flags", "reasons", "slip_risk", "rung", "data_notes", "model_version", "schema_version")
    return ("deal_id", "as_of", *period, PROBABILITY[target], *heads, *told)


def cells(one: DealScore, zone: str) -> tuple[Cell, ...]:
    """Return a score as a row in the order of `columns`; None where a head or a value is absent."""
    period = (one.period_end.isoformat(),) if one.period_end is not None else ()
    reasons = json.dumps(list(reason_json(one.reasons)), ensure_ascii=False, allow_nan=False)
    flags = None if one.flags is None else json.dumps(flag_json(one.flags), ensure_ascii=False, allow_nan=False)
    notes = json.dumps(one.data_notes, ensure_ascii=False)
    ahead = one.ahead
    shares = (None, None, None) if ahead is None else (ahead.p_won, ahead.p_lost, ahead.p_open)
    days = None if ahead is None else ahead.close_date
    dates = (None, None, None) if days is None else tuple(day.isoformat() for day in days)
    told = (one.score, flags, reasons, None if ahead is None else ahead.slip_risk, one.rung)
    first = (one.deal_id, local_iso(one.as_of, zone), *period, one.p)
    return (*first, *shares, *dates, one.amount_expected, *told, notes, one.model_version, SCHEMA_VERSION)
