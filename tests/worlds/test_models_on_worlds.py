"""The whole way from tables to a backtest on planted worlds, small and quick; all worlds and seeds: tests/bench."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.companies import QUICK
from tests.worlds.world import config, world
from training import backtest
from training.backtest import CLOSE, compare, run_backtest
from training.evaluate import auc, row_loss
from training.gates import judge, passed
from training.prepare import Prepared, prepare

SEED, WINS, QUARTERS = 1, 12, 9
FEW = (*QUICK, "model.max_rounds=20", "backtest.test_periods=1")


def walked(name: str, state_dir: Path) -> tuple[Prepared, backtest.Tested]:
    prepared = prepare(config(state_dir, *FEW), world(name, SEED, WINS, QUARTERS).ingest)
    return prepared, run_backtest(prepared)


def test_null_world_is_not_promoted(tmp_path: Path) -> None:
    prepared, found = walked("W0", tmp_path)
    assert abs(auc(found.y, found.p[CLOSE]) - 0.5) < 0.2  # some 15 wins
    settings = prepared.config.backtest
    table = compare(found, 200, prepared.config.seed)
    assert settings.test_periods == len(found.folds)
    verdicts = judge(prepared.config.gates, table, found.y, found.p, found.deal, 200, prepared.config.seed)
    assert not passed(verdicts)


def test_bait_changes_no_prediction_and_the_model_learns(tmp_path: Path) -> None:
    """With everything overwritten at the close, the same rows get the same features and the same probabilities."""
    (_, plain), (_, bait) = walked("W6", tmp_path), walked("W6B", tmp_path)
    assert np.array_equal(plain.deal, bait.deal)
    assert np.array_equal(plain.as_of, bait.as_of)
    assert np.array_equal(plain.p[CLOSE], bait.p[CLOSE])
    ours, constant = (row_loss(plain.y, plain.p[name]).mean() for name in (CLOSE, "constant"))
    assert ours < 0.9 * constant  # the twins are W1: there is something to learn
