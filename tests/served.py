"""A trained model of the small simulated company, made live in a state directory: what the tests of serving ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from configs.load import load_config, mapping_of
from configs.schema import Config
from features.ingest import Ingest
from features.periods import parse_as_of
from features.sources.base import open_source
from models.bundle import Bundle, Store, load, save
from serving.example import request_of
from serving.facts import SOURCE, Facts
from serving.intake import Loaded, ready
from serving.refresh import Sourced, sourced
from tests.companies import DEMO, QUICK, SMALL
from training.fit import fingerprint, fit_bundle
from training.prepare import Prepared, prepare

TRAINED_AS_OF = "2025-04-01"
AS_OF = "2025-05-05"
LIGHT = (
    "model.max_rounds=40",
    "model.num_threads=1",
    "features.groups=[deal, clock, activity, history]",
    "timing.seeds=1",
    "timing.max_pairs=8000",
)


@dataclass(frozen=True)
class World:
    """One company with a live model. overrides: what turns configs/demo.yaml into `config`; as_of: UTC microseconds."""

    config: Config
    overrides: tuple[str, ...]
    ingest: Ingest
    prepared: Prepared
    bundle: Bundle
    seen: Sourced
    as_of: int

    @property
    def config_path(self) -> Path:
        """The config file that the overrides are for."""
        return DEMO

    @property
    def loaded(self) -> Loaded:
        """The model as a worker has it, with the reference facts of the source."""
        facts = Facts(self.seen.record.reference, self.seen.as_of, SOURCE)
        return ready(self.bundle, facts, mapping_of(self.config), self.config.flags)

    def body(self, ids: list[str], **more: object) -> dict[str, Any]:
        """A request for these deals as of `as_of`."""
        return request_of(self.seen.tables, self.bundle, self.as_of, ids, in_sample=False) | more


@cache
def world_in(folder: Path, overrides: tuple[str, ...] = (*SMALL, *QUICK, *LIGHT)) -> World:
    """Simulate, train until TRAINED_AS_OF, publish. overrides: of the demo's config; none: a model as the demo's."""
    state = folder / "state"
    overrides = (*overrides, f"state_dir={state}")
    config = load_config(DEMO, overrides)
    ingest = open_source(config).read()
    prepared = prepare(config, ingest, parse_as_of(TRAINED_AS_OF, config.time_zone))
    with threadpool_limits(1):  # BLAS threads on a busy machine wait for each other more than they work
        bundle, _ = fit_bundle(prepared, fingerprint(ingest.tables))
    store = Store(state / "bundles")
    save(bundle, folder / "bundle")
    store.point(store.publish(folder / "bundle"))
    live = load(store.current())
    as_of = parse_as_of(AS_OF, config.time_zone)
    return World(config, overrides, ingest, prepared, live, sourced(config, live), as_of)


def posted(document: Mapping[str, Any]) -> bytes:
    """A request as the bytes of a body."""
    return json.dumps(document).encode()
