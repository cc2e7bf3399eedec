"""The small company of leads, prepared once for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from configs.schema import Config
from features.ingest import Ingest
from features.sources.base import open_source
from tests.lead_world import lead_config, write_leads
from training.prepare import Prepared, prepare

LIGHT = ("model.max_rounds=10", "backtest.bootstrap=20", "backtest.test_periods=2", "leads.weekly_capacity=12")


@dataclass(frozen=True)
class Leads:
    """won_at: lead id -> when its deal was won, UTC microseconds, read off the files."""

    config: Config
    ingest: Ingest
    prepared: Prepared
    won_at: dict[str, int]


def leads_in(folder: Path) -> Leads:
    """Write and prepare the company."""
    write_leads(folder, 1000)
    config = lead_config(folder, *LIGHT)
    ingest = open_source(config).read()
    history, deals = (pd.read_csv(folder / "export" / f"{name}.csv") for name in ("lead_history", "deal_history"))
    won = deals[deals.stage == "Closed Won"].merge(history[history.event == "converted"], on="deal_id")
    at = pd.to_datetime(won.known_at_x, utc=True).astype("datetime64[us, UTC]").astype("int64")
    return Leads(config, ingest, prepare(config, ingest), dict(zip(won.lead_id, at.tolist(), strict=True)))
