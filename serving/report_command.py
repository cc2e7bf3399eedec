"""`forecastle report`: the manager's pages as a folder of files that needs no server.

The folder is written beside its place and then put there as a whole. Only a folder that an earlier report wrote, with
nothing else in it, is replaced.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from configs.errors import StateError, UsageError
from configs.schema import Config
from models.store import writable_folder
from serving.answers import iso
from serving.api import Api
from serving.auth import KeyRing, keys_file
from serving.fits import load_model
from serving.metrics import Metrics
from serving.pages.lead_desk import LeadDesk
from serving.pages.report import Reader, Report, Tell
from serving.pages.words import Words, locale_of
from serving.principal import Principal
from serving.store.choices import choices
from serving.store.engine import open_store
from serving.store.flagged import flagged
from serving.store.refreshed import newest
from serving.store.repository import Repository, reading

MARK, FORMAT = "report.json", 1
NAME = "report"
EVERYONE = Principal(NAME, None)


@dataclass(frozen=True)
class Written:
    """What a report holds. as_of: of the newest scores, UTC microseconds. left: pages that it had no room for."""

    out: Path
    files: int
    deals: int
    as_of: int
    left: int

    def told(self) -> dict[str, Any]:
        """Return what ``--json`` says."""
        return {"out": str(self.out), "files": self.files, "deals": self.deals, "as_of": iso(self.as_of)} | {
            "left_out": self.left
        }


@dataclass(frozen=True)
class Wanted:
    """What is asked for. teams: of whom, none: everyone. deals: pages beside those of flagged ones. language: a tag."""

    out: Path
    teams: tuple[str, ...] = ()
    deals: tuple[str, ...] = ()
    language: str = ""


def write_report(config: Config, wanted: Wanted, now: Callable[[], int], tell: Tell) -> Written:
    """Write the pages into a folder. Raises UsageError, StateError, or BundleError where no model is live."""
    check_out(wanted.out)
    ring = KeyRing(keys_file(config), lambda _: None)
    api = Api(config.serving, ring, None, now, partial(open_store, config), Metrics())
    try:
        api.loaded = load_model(config)
        return _in_place(api, config, wanted, tell)
    finally:
        api.close()


def check_out(out: Path) -> None:
    """Raise UsageError where a folder stands that is no report, StateError where none can be written."""
    where = f"--out {out}"
    writable_folder(out, where, UsageError)
    if not out.exists():
        return
    inside = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    try:
        told: dict[str, Any] = json.loads((out / MARK).read_bytes()) if inside else {"format": FORMAT, "files": []}
        ours = {MARK, *told["files"]} if told["format"] == FORMAT else set()
    except (OSError, ValueError, KeyError, TypeError):
        ours = set()
    if strange := sorted(inside - ours):
        raise UsageError.at(
            where,
            f"the folder holds {strange[0]!r}, which no report wrote",
            expected="a new folder, an empty one, or an earlier report",
            remedy="choose another, or move the file away",
        )


def _in_place(api: Api, config: Config, wanted: Wanted, tell: Tell) -> Written:
    reader, as_of = _reader(api, config, wanted)
    out = wanted.out.resolve()
    half = out.with_name(f".{out.name}.half-{secrets.token_hex(4)}")
    try:
        half.mkdir(parents=True)
        report = Report(api, config, reader, half, LeadDesk.of(config))
        if report.leads is not None:
            api.at_close(report.leads.close)
        report.write(tell)
        if _as_of(api) != as_of:
            raise StateError("the store was refreshed while the report was written; run it again")
        _sign(half, report, as_of)
        _put(half, out)
    except OSError as error:
        got = f"cannot be written ({error.strerror or error})"
        raise StateError.at(f"--out {wanted.out}", got, remedy="check rights and space") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return Written(wanted.out, len(report.files) + 1, len(reader.deals), as_of, len(report.left))


def _put(half: Path, out: Path) -> None:
    """Put a whole folder in its place; where that fails, what stood there stands there again."""
    if not out.exists():
        half.rename(out)
        return
    before = half.with_name(half.name.replace(".half-", ".before-"))
    out.rename(before)
    try:
        half.rename(out)
    except OSError:
        before.rename(out)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _reader(api: Api, config: Config, wanted: Wanted) -> tuple[Reader, int]:
    """Return for whom the report is, and the as-of of what it tells."""
    as_of = _as_of(api)
    if as_of is None:
        raise StateError("no deal has been scored yet; run `forecastle refresh CONFIG` first")
    with reading(api.store()) as connection:
        known = choices(connection, EVERYONE).teams
        for team in wanted.teams:
            if team not in known:
                raise UsageError.at("--team", repr(team), expected=f"one of {', '.join(map(repr, known))}")
        principal = replace(EVERYONE, teams=frozenset(wanted.teams)) if wanted.teams else EVERYONE
        deals = dict.fromkeys(flagged(connection, principal))
    for deal in wanted.deals:
        if not deal.isprintable() or Repository(api.store()).deal(principal, deal) is None:
            raise UsageError.at("--deal", repr(deal), expected="the id of a deal that is stored, of these teams")
        deals[deal] = None
    words = Words(locale_of(wanted.language), config.time_zone, config.serving.pages.currency)
    return Reader(principal, words, deals.keys()), as_of


def _as_of(api: Api) -> int | None:
    with reading(api.store()) as connection:
        return newest(connection)


def _sign(folder: Path, report: Report, as_of: int) -> None:
    """Leave what says that the folder is a report, and what it wrote."""
    loaded, teams = report.api.loaded, report.reader.principal.teams
    told = {
        "format": FORMAT,
        "made_at": iso(report.api.now()),
        "as_of": iso(as_of),
        "model_version": None if loaded is None else loaded.bundle.version,
        "teams": None if teams is None else sorted(teams),
        "files": sorted(report.files.values()),
    }
    (folder / MARK).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
