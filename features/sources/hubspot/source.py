"""Source `hubspot`: a folder of exports, one file an object, as the canonical tables of leads.

Nothing that has a history is read from the current value. What each object is read for, and when its rows are known,
is in ``objects``; every row of every object is kept or refused by reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from zoneinfo import ZoneInfo

from configs.errors import ConfigError
from configs.hubspot import HubSpotMapping
from configs.mapping import Mapping as MappingFile
from configs.schema import Config, HubSpotSource
from configs.vocab import Target
from features.ingest import Ingest
from features.sources.assemble import assemble, refusal_of
from features.sources.base import source
from features.sources.exports import Layout, read_export
from features.sources.hubspot.contacts import OPT_OUT, Contacts
from features.sources.hubspot.deals import Deals
from features.sources.hubspot.engagements import activity_table
from features.sources.hubspot.lifecycle import Lifecycle
from features.sources.hubspot.objects import CONTACTS, OBJECTS
from features.sources.hubspot.pages import ALL_SUFFIXES, read_object
from features.sources.objects import Field, ObjectSpec


@dataclass(frozen=True)
class HubSpot:
    """A folder of exports and the mapping that explains them."""

    folder: Path
    mapping: HubSpotMapping
    zone: ZoneInfo

    def read(self) -> Ingest:
        """Read every object. Raises a DataError with every fault of one kind of check at once."""
        export = read_export(self.folder, _layout(self.mapping), self.zone, Target.CONVERTED)
        contacts = Contacts(export, self.mapping)
        lifecycle = Lifecycle(export, contacts)
        if faults := [*contacts.faults, *lifecycle.faults]:
            raise refusal_of(faults)
        deals = Deals(export, self.mapping, contacts)
        deal, unlinked = deals.of_leads(lifecycle.converted_at, self.zone)
        acts, moved = activity_table(export, contacts)
        tables = deals.tables() | contacts.tables()
        tables |= {"lead_history": lifecycle.table(deal), "lead_activities": acts}
        notices = [*export.notices, *contacts.notices(), *lifecycle.notices(), *unlinked, *moved]
        return assemble(tables, self.mapping, self.zone, events=export.reports(), notices=notices)


def _layout(mapping: HubSpotMapping) -> Layout:
    """What the exports look like: CSV, Parquet or JSON, times as ISO 8601 or milliseconds since 1970."""

    def opt_outs(spec: ObjectSpec, columns: Sequence[str]) -> list[Field]:
        words = [word.casefold() for word in mapping.opt_outs]
        named = [column for column in columns if any(fnmatchcase(column.casefold(), word) for word in words)]
        return [Field(OPT_OUT + column, "bool", names=(column,)) for column in named if spec.name == CONTACTS]

    told = {name.value: file for name, file in mapping.objects.items()}
    attributes = {CONTACTS: mapping.leads.attributes}
    return Layout(OBJECTS, told, attributes, opt_outs, ALL_SUFFIXES, read_object, epoch_ms=True)


@source("hubspot")
def open_hubspot(config: Config, mapping: MappingFile, zone: ZoneInfo) -> HubSpot:
    """Open the folder that the config names. Raises ConfigError for another kind, and where deals are asked for."""
    if not isinstance(config.source, HubSpotSource) or not isinstance(mapping, HubSpotMapping):
        raise ConfigError.at("source.kind", config.source.kind.value, expected="hubspot, with a mapping of its own")
    if config.target is not Target.CONVERTED:
        raise ConfigError.at(
            "target",
            f"{config.target.value} with source.kind hubspot",
            expected="target: converted; of HubSpot leads only are read so far",
            remedy="set target: converted, or export deals with their history as files (source.kind: files)",
        )
    return HubSpot(config.source.path, mapping, zone)
