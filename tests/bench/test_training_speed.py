"""Training is at most half as long again as the bare LightGBM fits inside it: 100,000 rows x 80 features, 8 seeds.

The bare fits are LightGBM's own loops on the same rows: each inner fold's trees on its older rows with one seed, and
the final trees with all seeds, as many trees as training grew. Binning is counted with them, as it is in training; on
top come the ridge at every cut, choosing how far the trees are trusted, calibration and the merge. Told in seconds and
in seconds of all cores; the first is what a user waits for. Both sides run on one thread where they are compared, so
that neither gains by growing side by side what the other grows in turn.
"""

from __future__ import annotations

from functools import partial

import lightgbm
import numpy as np
import pytest

from configs.learning import Model
from features.build import FeatureMatrix
from features.periods import DAY
from models.base import Examples, Frame, sigmoid
from models.close import CloseSettings, InnerFold, fit_close
from models.linear import fit_linear
from models.trees import TreeSettings
from tests.bench.measure import held, measured, say
from training.cuts import close_settings

ROWS, FEATURES, SEEDS, PERIODS, PER_DEAL = 100_000, 80, 8, 14, 10
STAGES = 6
FRAME = Frame("in_period", STAGES)
RATIO = 1.5
pytestmark = [pytest.mark.timeout(3600)]


def company(rows: int, features: int, seed: int = 3) -> Examples:
    """Rows of weekly snapshots: a stage, the time left, and columns that tell a little, some of them only together."""
    rng = np.random.default_rng(seed)
    stage = rng.integers(0, STAGES, rows).astype(np.float64)
    left = rng.uniform(0, 91, rows)
    more = rng.normal(size=(rows, features - 2))
    more[:, ::4] = np.floor(more[:, ::4] * 3)  # counts
    more[rng.random(more.shape) < 0.1] = np.nan
    known = np.nan_to_num(more)
    truth = -3.0 + 0.5 * stage + 0.01 * left + known[:, :20] @ rng.normal(0, 0.1, 20)
    truth += 0.5 * np.sign(known[:, 1] * known[:, 2]) + 0.4 * (known[:, 3] > 0.5) * (stage > 2)
    y = (rng.random(rows) < sigmoid(truth)).astype(np.float64)
    names = ("stage_rank", "days_left", *(f"x{j}" for j in range(features - 2)))
    matrix = FeatureMatrix(names, np.ascontiguousarray(np.column_stack([stage, left, more])))
    period = np.sort(rng.integers(0, PERIODS, rows)).astype(np.int64)
    start = period * 91 * DAY
    return Examples(matrix, y, np.arange(rows) // PER_DEAL, start, start + 91 * DAY)


def folds(rows: Examples) -> list[InnerFold]:
    """The last four periods, each judged by a fit on those before it."""
    period = rows.as_of // (91 * DAY)
    return [InnerFold(period < k, period == k, k) for k in range(PERIODS - 4, PERIODS)]


def settings(threads: int) -> CloseSettings:
    return close_settings(Model(seeds=SEEDS, num_threads=threads), (0,) * FEATURES, 7)


def bare(rows: Examples, inner: list[InnerFold], offsets: list[np.ndarray], own: TreeSettings, rounds: int) -> int:
    """LightGBM alone: the same trees from the same offsets; returns how many it grew."""
    grown = 0
    for k, mask in enumerate([*(fold.fit for fold in inner), np.ones(len(rows), dtype=bool)]):
        data = lightgbm.Dataset(
            rows.matrix.values[mask],
            rows.y[mask],
            init_score=offsets[k],
            params={"max_bin": 127, "feature_pre_filter": False, "verbosity": -1, "num_threads": own.num_threads},
        )
        for seed in range(1 if k < len(inner) else SEEDS):
            grown += lightgbm.train(own.params(7 + seed), data, num_boost_round=rounds).num_trees()
    return grown


def test_training_costs_little_more_than_its_trees() -> None:
    rows = company(ROWS, FEATURES)
    inner, chosen = folds(rows), settings(threads=1)
    ours = measured(partial(fit_close, rows, FRAME, chosen, inner))
    notes = ours.value[1]
    assert notes.rounds >= 300  # otherwise there is nothing to compare with
    masks = [*(fold.fit for fold in inner), np.ones(len(rows), dtype=bool)]
    offsets = [fit_linear(part, FRAME).logit(part.matrix) for part in (rows.take(mask) for mask in masks)]
    theirs = measured(partial(bare, rows, inner, offsets, chosen.members[0], notes.rounds))
    say(
        f"{ROWS:,} rows x {FEATURES} features, {SEEDS} seeds, {notes.rounds} trees, share {notes.trust[0].share:.2f}: "
        f"training {ours.seconds:.1f} s ({ours.busy:.1f} s of all cores), bare fits {theirs.seconds:.1f} s "
        f"({theirs.busy:.1f} s)"
    )
    whole = measured(partial(fit_close, rows, FRAME, settings(threads=2), inner))
    say(f"on two threads, seeds and folds side by side: {whole.seconds:.1f} s")
    held(
        "training / bare fits, processor time",
        ours.busy / theirs.busy,
        f"at most {RATIO}",
        ours.busy <= RATIO * theirs.busy,
    )
    held(
        "training / bare fits, seconds",
        ours.seconds / theirs.seconds,
        f"at most {RATIO}",
        ours.seconds <= RATIO * theirs.seconds,
    )
