"""What a backtest costs beside the fits inside it: CPU seconds of one process, which a busy machine changes little."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.load import load_config
from features.sources.base import open_source
from models.close import Shared
from tests.bench.measure import held, say
from training.backtest import Keep, folds_of, run_backtest
from training.cuts import fit_on, ground_at
from training.prepare import Prepared, prepare
from training.report import report_of, write
from training.walk import Walk

ROOT = Path(__file__).parents[2]
COMPANY = (
    "source.simulate.periods=14",
    "source.simulate.wins_per_period=60",
    "source.simulate.seed=11",
    "model.seeds=5",
    "backtest.test_periods=8",
    "backtest.ablations=[]",  # fits for comparison are asked for apart, and cost what they cost
)
MOST = 1.3
pytestmark = [pytest.mark.timeout(3600)]


def cpu_seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def bare_fits(prepared: Prepared) -> float:
    """Return the CPU seconds of the eight fits, inner folds included and shared as in use; nothing is predicted."""
    shared, spent = Shared(), 0.0
    for fold in folds_of(prepared):
        ground = ground_at(prepared, fold.cut)
        spent += cpu_seconds(lambda ground=ground: fit_on(prepared, ground, shared))  # type: ignore[misc]
    return spent


def test_a_backtest_costs_little_more_than_its_fits(tmp_path: Path) -> None:
    config = load_config(ROOT / "configs" / "demo.yaml", [*COMPANY, f"state_dir={tmp_path}"])
    prepared = prepare(config, open_source(config).read())
    folds = folds_of(prepared)
    assert len(folds) == 8
    ratios = []
    for turn in range(2):  # the first pays for imports and first pages, on the side of the fits: it tells nothing
        keep = Keep(Walk.under(tmp_path / str(turn), lambda _: None), "bench")
        fits = bare_fits(prepared)
        walk = cpu_seconds(lambda keep=keep: run_backtest(prepared, keep=keep))  # type: ignore[misc]
        ratios.append(walk / fits)
        say(f"8 quarters: fits {fits:.1f} s of CPU, walk {walk:.1f} s, ratio {ratios[-1]:.3f}")
    keep = Keep(Walk.under(tmp_path / "1", lambda _: None), "bench")
    again: list[object] = []
    taken = cpu_seconds(lambda: again.append(run_backtest(prepared, keep=keep)))
    say(f"taken up again: {taken:.2f} s of CPU")
    told = cpu_seconds(lambda: write(tmp_path / "out", [report_of(prepared, again[0], "x", [])], again[0], prepared))  # type: ignore[arg-type]
    say(f"report with its page: {told:.1f} s of CPU")
    held("CPU of 8 test quarters beside their bare fits", ratios[-1], f"at most {MOST}", ratios[-1] <= MOST)
    assert taken < fits / 5
