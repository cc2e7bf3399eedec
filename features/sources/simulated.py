"""Source `simulated`: a company that never was, for demonstrations and tests.

With ``source.path`` it reads that export as `files` does. Without, it generates the company once, below the state
directory, and reads its export. The truth is written beside the export and never read: a path that holds it is refused.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from zoneinfo import ZoneInfo

from configs.errors import ConfigError, SchemaError, StateError
from configs.mapping import Mapping as MappingFile
from configs.schema import Config, Simulate, SimulatedSource
from features.sources.base import source
from features.sources.files import FilesFolder, folder_source

EXPORT, TRUTH = "export", "truth"


@source("simulated")
def open_simulated(config: Config, mapping: MappingFile, zone: ZoneInfo) -> FilesFolder:
    """Open the export that the config names, generating it where it names none.

    Raises ConfigError, DataError, or StateError where nothing can be written.
    """
    if not isinstance(config.source, SimulatedSource):
        raise ConfigError.at("source.kind", config.source.kind.value, expected="simulated")
    folder = config.source.path
    if folder is None:
        folder = generated(config.source.simulate, config.time_zone, config.state_dir) / EXPORT
    _refuse_truth(folder)
    return folder_source(folder, mapping, zone, config.target)


def generated(settings: Simulate, time_zone: str, state_dir: Path) -> Path:
    """The folder of a simulated company, written once: ``<state_dir>/simulated/<hash of all its settings>``.

    Raises StateError where it can't be written.
    """
    from features.sources.company import VERSION, CompanySettings, simulate, write  # heavy, and only needed here

    full = CompanySettings(
        seed=settings.seed, periods=settings.periods, wins_per_period=settings.wins_per_period, time_zone=time_zone
    )
    said = json.dumps(asdict(full) | {"version": VERSION}, sort_keys=True, default=str)
    target = state_dir / "simulated" / hashlib.sha256(said.encode()).hexdigest()[:16]
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent))
        try:
            write(simulate(full), unfinished)
            if not target.is_dir():  # another process may have been faster: equal settings give equal bytes
                unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise StateError.at(
            str(target), f"cannot be written ({error.strerror})", remedy="check the folder's rights and free space"
        ) from error
    return target


def _refuse_truth(folder: Path) -> None:
    """Refuse a folder that is the truth, or holds it: nothing that learns may come near it."""
    truths = [entry.name for entry in folder.glob("*") if entry.name == TRUTH or entry.stem.endswith("_truth")]
    if folder.name == TRUTH or truths:
        held = ", ".join(sorted(truths)) or "the truth itself"
        raise SchemaError.at(
            str(folder),
            f"the folder holds {held}",
            expected="an export, without the truth",
            remedy=f"set source.path to {folder.parent / EXPORT if folder.name == TRUTH else folder / EXPORT}",
            path="source.path",
            code="truth_in_reach",
        )
