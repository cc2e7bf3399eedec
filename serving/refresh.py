"""Reading the source for serving: the record of a batch, and the snapshot of reference facts a service starts with.

The source needs pandas, which a serving installation may lack; nothing of this is on the endpoint's path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from configs.errors import ConfigError, DataError, UsageError
from configs.schema import Config
from features.ingest import Ingest, IngestReport
from features.leads import Became
from features.record import Record, build_record
from features.tables import CrmTables
from models.bundle import Bundle
from serving.facts import SOURCE as SOURCE
from serving.facts import Facts, last_fact, load_facts, own_facts, point_to_bundle, snapshot_sha, write_snapshot

NO_REPORT = IngestReport(())
NO_PANDAS = "pandas is not installed, so the source cannot be read"


@dataclass(frozen=True)
class Sourced:
    """A source as a model sees it: its tables, the record of all of them, and the instant of the last fact.

    report: what became of its rows. became: of leads, what became of the deals they turned into.
    """

    tables: CrmTables
    record: Record
    as_of: int
    report: IngestReport = NO_REPORT
    became: Became | None = None


def read_source(config: Config) -> Ingest:
    """Read the source of a config. Raises UsageError without pandas, DataError or ConfigError where it is refused."""
    try:
        from features.sources.base import open_source

        source = open_source(config)
    except ImportError as error:
        raise UsageError.at(
            "source", f"{NO_PANDAS} ({error.name})", remedy="install forecastle with its train extra"
        ) from None
    return source.read()


def sourced(config: Config, bundle: Bundle) -> Sourced:
    """Read the source and build the record that a bundle asks; the bundle fits the config (`serving.fits`)."""
    ingest, about = read_source(config), bundle.about
    record = build_record(ingest.tables, about.stages, bundle.calendar, about.schema)
    return Sourced(ingest.tables, record, last_fact(ingest.tables), ingest.report, ingest.became)


def refresh_reference(config: Config, bundle: Bundle, progress: Callable[[str], None]) -> Facts:
    """Take a snapshot of the source's reference facts for the workers to load, and return it.

    Where the source can't be read the bundle's own facts must do: the service starts, and says why. A serving
    installation, which can read none, leaves a snapshot alone that a refresh elsewhere has put there.
    """
    try:
        seen = sourced(config, bundle)
    except (DataError, ConfigError) as error:
        why = _reason(error)
        if NO_PANDAS in why and (left := load_facts(config.state_dir, bundle)).origin == SOURCE:
            progress(f"{NO_PANDAS}: the facts of the last refresh are served")
            return left
        progress(f"the source was not read, so rates stop at the model's trained_as_of: {error}")
        point_to_bundle(config.state_dir, why)
        return own_facts(bundle, why)
    return snapshot(config, seen)


def snapshot(config: Config, seen: Sourced) -> Facts:
    """Leave the reference facts of a source for the workers to load, and return them. Raises StateError."""
    folder = write_snapshot(config.state_dir, seen.record.reference, seen.as_of)
    return Facts(seen.record.reference, seen.as_of, SOURCE, sha=snapshot_sha(folder))


def _reason(error: DataError | ConfigError) -> str:
    """Say in one line, without paths, why the source was not read; standard error has the whole message."""
    first = error.faults[0].got if error.faults and isinstance(error, UsageError) else error.message
    return f"{error.title}{f': {first}' if isinstance(error, UsageError) and first else ''}"
