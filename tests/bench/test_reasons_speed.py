"""Reasons for 10,000 deals take at most 1.3 times as long as LightGBM's bare `pred_contrib` on the same rows.

The bare call is the model text's own, on one thread, as serving asks it. Around it stand the offset's terms, factors,
usual values and the sentences of six reasons a deal. Time it on a quiet machine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.build import FeatureMatrix
from models.explain import explain
from models.profile import profile_of
from tests.bench.measure import held, measured, say
from tests.worlds.world import config, world
from training.cuts import fit_on, ground_at
from training.prepare import prepare

DEALS = 10_000
RATIO = 1.3
TIMES = 3
pytestmark = [pytest.mark.timeout(1800)]


def test_reasons_cost_little_beside_the_contributions(tmp_path: Path) -> None:
    prepared = prepare(config(tmp_path), world("W1", 1000, 30).ingest)
    ground = ground_at(prepared, prepared.until)
    model, notes = fit_on(prepared, ground)
    assert model.trees is not None
    profile = profile_of(ground.rows.matrix, ground.rows.y, len(prepared.record.stages.order))
    drawn = np.random.default_rng(0).integers(0, len(prepared.examples), DEALS)
    rows = FeatureMatrix(prepared.plan.names, prepared.examples.matrix.values[drawn])
    booster = model.trees.booster
    bare = measured(lambda: booster.predict(rows.values, pred_contrib=True, num_threads=1), TIMES)
    whole = measured(lambda: explain(model, prepared.plan, profile, rows), TIMES)
    say(
        f"        {DEALS:,} deals, {len(rows.names)} features, {booster.num_trees()} trees ({notes.rounds} a seed): "
        f"pred_contrib {bare.busy:.2f} s of CPU, reasons {whole.busy:.2f} s"
    )
    held("reasons / pred_contrib, CPU", whole.busy / bare.busy, f"at most {RATIO}", whole.busy <= RATIO * bare.busy)
