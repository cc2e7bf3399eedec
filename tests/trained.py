"""A state directory after one real `train` of the small company: what the tests of runs, cards and tracking ask."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from configs.schema import Config
from models.bundle import Bundle, load
from models.store import bundle_folder
from tests.companies import demo_config
from training.runs import Kept, find
from training.tracking import Tracker
from training.train_command import train

LIGHT = (
    "model.num_threads=1",
    "model.seeds=2",
    "model.max_rounds=15",
    "backtest.test_periods=2",
    "backtest.bootstrap=20",
    "features.groups=[deal, clock, engagement]",
    "card.contact=revenue operations",
)


@dataclass(frozen=True)
class Trained:
    """A state directory after one `train`. told: what it answered."""

    config: Config
    told: dict[str, Any]
    home_before: set[Path]

    @property
    def state(self) -> Path:
        return self.config.state_dir

    @property
    def tracker(self) -> Tracker:
        return Tracker(self.config.state_dir, self.config.name)

    @property
    def run(self) -> Kept:
        return find(self.state, self.told["run_name"])

    @property
    def candidate(self) -> Bundle:
        return load(bundle_folder(self.state, "candidate"))


def home() -> set[Path]:
    return set(Path(os.environ["HOME"]).rglob("*"))


@cache
def trained_in(folder: Path) -> Trained:
    """Train once a session."""
    before = home()
    config = demo_config(folder / "state", *LIGHT)
    return Trained(config, train(config, None, ("card.contact=revenue operations",)), before)
