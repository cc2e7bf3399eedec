"""What a source is, the registry of sources, and the way to open the one that a config names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from configs.errors import TooLittleDataError, UsageError
from configs.load import source_mapping_of
from configs.mapping import Mapping
from configs.schema import Config
from configs.vocab import Target
from features.ingest import Ingest as Ingest
from features.ingest import IngestReport as IngestReport
from features.leads import as_leads


class CrmSource(Protocol):
    """One place that a company's records can be read from."""

    def read(self) -> Ingest:
        """Read everything. Raises a DataError with every fault at once; the same records give the same tables."""
        ...


Opener = Callable[[Config, Mapping, ZoneInfo], CrmSource]
SOURCES: dict[str, Opener] = {}
MODULES = (
    "files",
    "event_log",
    "simulated",
    "salesforce.source",
    "hubspot.source",
)  # each registers itself when imported


def source(kind: str) -> Callable[[Opener], Opener]:
    """Register how a source of ``kind`` is opened. Raises ValueError where the kind is taken."""

    def register(opener: Opener) -> Opener:
        if SOURCES.setdefault(kind, opener) is not opener:
            raise ValueError(f"source kind {kind!r} is registered twice")
        return opener

    return register


def open_source(config: Config) -> CrmSource:
    """Return the source that a config names, with its mapping read. Raises ConfigError."""
    for module in MODULES:
        importlib.import_module(f"features.sources.{module}")
    kind = config.source.kind.value
    if kind not in SOURCES:
        raise UsageError.at("source.kind", repr(kind), expected=f"one of {', '.join(sorted(SOURCES))}")
    mapping = source_mapping_of(config)
    opened = SOURCES[kind](config, mapping, ZoneInfo(config.time_zone))
    return LeadSource(opened, mapping, ZoneInfo(config.time_zone)) if config.target is Target.CONVERTED else opened


@dataclass(frozen=True)
class LeadSource:
    """A source whose leads are read in the place of its deals."""

    source: CrmSource
    mapping: Mapping
    zone: ZoneInfo

    def read(self) -> Ingest:
        """Read everything; see `features.leads.as_leads`. Raises TooLittleDataError where there are no leads."""
        ingest = self.source.read()
        if not ingest.tables.leads.n:
            raise TooLittleDataError("the source holds no leads, which target: converted asks for; check the source")
        return as_leads(ingest, self.mapping, self.zone)
