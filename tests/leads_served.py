"""A trained model of the small company's leads, made live in a state directory: what the tests of serving leads ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from configs.load import load_config, mapping_of
from configs.schema import Config
from features.periods import parse_as_of
from features.sources.base import open_source
from models.bundle import Bundle, Store, load, save
from serving.example import request_of
from serving.facts import SOURCE, Facts
from serving.intake import Loaded, ready
from serving.refresh import Sourced, sourced
from tests.lead_world import write_leads
from training.fit import fingerprint, fit_bundle
from training.prepare import Prepared, prepare

TRAINED_AS_OF, AS_OF = "2024-03-01", "2024-04-15"


@dataclass(frozen=True)
class LeadWorld:
    """One company's leads with a live model. path: the config's file; as_of: UTC microseconds."""

    path: Path
    config: Config
    prepared: Prepared
    bundle: Bundle
    seen: Sourced
    as_of: int

    @property
    def loaded(self) -> Loaded:
        """The model as a worker has it, with the reference facts of the source."""
        facts = Facts(self.seen.record.reference, self.seen.as_of, SOURCE)
        return ready(self.bundle, facts, mapping_of(self.config), self.config.flags, self.config.leads.grades)

    def body(self, ids: Sequence[str], as_of: int | None = None) -> dict[str, Any]:
        """A request for these leads, as of `as_of` unless given."""
        at = self.as_of if as_of is None else as_of
        return request_of(self.seen.tables, self.bundle, at, list(ids), in_sample=True)


@cache
def lead_world(folder: Path) -> LeadWorld:
    """Write the company, train until TRAINED_AS_OF, publish. The config's state_dir is in the folder."""
    path = write_leads(folder)
    path.write_text(f"{path.read_text()}state_dir: {folder / 'state'}\n")
    config = load_config(path)
    ingest = open_source(config).read()
    prepared = prepare(config, ingest, parse_as_of(TRAINED_AS_OF, config.time_zone))
    with threadpool_limits(1):
        bundle, _ = fit_bundle(prepared, fingerprint(ingest.tables))
    store = Store(config.state_dir / "bundles")
    save(bundle, folder / "bundle")
    store.point(store.publish(folder / "bundle"))
    live = load(store.current())
    return LeadWorld(path, config, prepared, live, sourced(config, live), parse_as_of(AS_OF, config.time_zone))
