"""The four sources, each as tables that the laws can bend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from configs.load import load_config, mapping_of
from configs.schema import Config
from features.asof import Requests
from features.build import FeatureMatrix, build_features
from features.ingest import Ingest
from features.record import Record, build_record
from features.registry import Schema
from features.schema import schema_of
from features.sources.base import open_source
from features.sources.company import CompanySettings, simulate
from features.sources.company_salesforce import write_salesforce
from features.tables import CrmTables
from tests.companies import DEMO, QUICK, ROOT, SMALL, third_party
from training.prepare import calendar_of, end_of, plan_of, prepare


@dataclass(frozen=True)
class World:
    """One source's record and some requests of it, by deal id."""

    config: Config
    ingest: Ingest
    schema: Schema
    deals: tuple[str, ...]
    as_of: np.ndarray
    end: int

    def record(self, tables: CrmTables) -> Record:
        return build_record(tables, self.ingest.stages, calendar_of(self.config), self.schema)

    def features(self, tables: CrmTables, rows: np.ndarray | None = None) -> FeatureMatrix:
        """Features of the requests (or some of them) over these tables."""
        record = self.record(tables)
        chosen = np.arange(len(self.deals)) if rows is None else rows
        code = {deal: i for i, deal in enumerate(record.deal_ids.strings())}
        deal = np.array([code[self.deals[i]] for i in chosen], dtype=np.int64)
        return build_features(record, Requests(deal, self.as_of[chosen]), plan_of(self.config, self.schema))


def world_of(config: Config, rows: int = 300) -> World:
    ingest = open_source(config).read()
    schema = schema_of(ingest.tables, mapping_of(config), config.target)
    prepared = prepare(config, ingest)
    some = np.random.default_rng(1).choice(len(prepared.examples), size=rows, replace=False)
    deals = tuple(str(prepared.record.deal_ids.decode(int(d))) for d in prepared.examples.deal[some])
    return World(
        config,
        ingest,
        schema,
        deals,
        prepared.examples.as_of[some],
        end_of(ingest.tables, config.time_zone, config.target),
    )


@pytest.fixture(scope="session", params=["simulated", "files", "event_log", "salesforce"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    state = tmp_path_factory.mktemp("state")
    if request.param == "event_log":
        return world_of(event_log(third_party("bpic2012") / "events.parquet"))
    if request.param == "salesforce":
        return world_of(salesforce(state))
    simulated = load_config(DEMO, [*SMALL, *QUICK, f"state_dir={state}"])
    if request.param == "simulated":
        return world_of(simulated)
    open_source(simulated).read()
    export = next((state / "simulated").glob("*/export"))
    overrides = [
        f"source={{kind: files, path: {export}, mapping: {ROOT}/configs/mappings/canonical.yaml}}",
        f"state_dir={state}",
        *QUICK,
    ]
    return world_of(load_config(DEMO, overrides))


def salesforce(folder: Path) -> Config:
    """The small company by way of a Salesforce export."""
    settings = CompanySettings(seed=4242, periods=10, wins_per_period=30)
    write_salesforce(simulate(settings), folder, settings.time_zone)
    paths = [f"source.path={folder / 'export'}", f"state_dir={folder / 'state'}"]
    return load_config(ROOT / "configs" / "salesforce.yaml", [*paths, *QUICK])


def event_log(path: Path) -> Config:
    return load_config(
        ROOT / "configs" / "bpic2012.yaml",
        [f"source.path={path}", "features.groups=[deal, clock, velocity, activity, engagement, history]"],
    )
