"""Small companies that several tests share; each is made once a session."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from configs.load import load_config
from configs.schema import Config
from features.ingest import Ingest
from features.sources.base import open_source

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "configs" / "demo.yaml"
SMALL = (
    "source.simulate.periods=10",
    "source.simulate.wins_per_period=30",
    "source.simulate.seed=4242",
    "source.simulate.leads=false",
)
QUICK = (
    "model.seeds=2",
    "model.max_rounds=60",
    "model.min_data_in_leaf=50",
    "backtest.test_periods=2",
    "backtest.bootstrap=50",
    "backtest.ablations=[]",
)


def third_party(name: str) -> Path:
    """Return a third-party data set's path; skip where it is absent, fail where FORECASTLE_DATA is set."""
    told = os.environ.get("FORECASTLE_DATA")
    path = Path(told) if told else ROOT.parent / "shared" / "data"
    if not (path / name).exists():
        if told:
            raise FileNotFoundError(f"FORECASTLE_DATA is set and {path / name} is not there")
        pytest.skip(f"third-party data set {name} is not here (set FORECASTLE_DATA)")
    return path / name


def demo_config(state_dir: Path, *overrides: str) -> Config:
    """The demo config over a small simulated company whose state lives in `state_dir`."""
    return load_config(DEMO, [*SMALL, *QUICK, f"state_dir={state_dir}", *overrides])


@cache
def small_company(state_dir: Path) -> Ingest:
    """The small simulated company, read from its export."""
    return open_source(demo_config(state_dir)).read()
