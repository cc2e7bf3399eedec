"""A timing model of a small company: laws of time, what it needs to be fitted, and what its scores say."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from configs.errors import TooLittleDataError
from features.periods import DAY
from models.base import sigmoid
from models.timing import Outlook, timing_files
from models.timing_head import Clock
from tests.companies import demo_config, small_company
from tests.models.test_timing import ROWS, plan
from training.prepare import Prepared, prepare
from training.timing_fit import fit_rows, fit_timing, period_days, rows_at, try_timing
from training.timing_scores import Foretold, close_days, foretell, stacked, timing_scores

LEAN = ("features.groups=[deal,clock,velocity]", "timing.seeds=1", "timing.max_pairs=3000", "horizon_days=182")
LEVELS = (0.1, 0.5, 0.9)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    state = tmp_path_factory.mktemp("timing")
    return prepare(demo_config(state, *LEAN), small_company(state))


def start_of(prepared: Prepared, before_end: int) -> int:
    """The start of the period that holds the instant so many days before the record's end."""
    return int(prepared.calendar.bounds(np.array([prepared.until - before_end * DAY]))[0][0])


def test_nothing_known_from_the_cut_on_moves_a_bit(made: Prepared, tmp_path: Path) -> None:
    """The fit at a cut inside the record is the fit on a record that ends there; and again the same bytes."""
    cut = start_of(made, 200)
    early = prepare(demo_config(tmp_path, *LEAN), small_company(made.config.state_dir), cut)
    assert timing_files(fit_timing(made, cut)) == timing_files(fit_timing(early, cut))


def test_it_meets_the_close_head_and_is_scored(made: Prepared) -> None:
    cut = start_of(made, 290)
    model = fit_timing(made, cut)
    assert model.longest == 182.0
    examples = made.examples
    rows = np.flatnonzero((examples.as_of >= cut) & (examples.as_of < cut + 90 * DAY))
    test = examples.take(rows)
    rest = period_days(made, test.as_of)
    clock = Clock(rest, close_days(made, rows), model.length)
    raw = model.won.logit(test.matrix, rest[:, None], clock.columns(rest[:, None]))
    p = sigmoid(raw[:, 0])
    told = foretell(made, model, p, rows, 182)
    assert told.days == (28, 91, 182)
    scored = timing_scores(made, told, 50, 1)
    assert scored.dates is not None
    assert scored.dates.gain.low <= scored.dates.gain.value <= scored.dates.gain.high
    assert 0.5 < scored.dates.covered.value <= 1.0
    assert [h.over for h in scored.horizons] == [1.0, 1.0, 1.0]
    gains = [h.gain.value for h in scored.horizons]

    np.testing.assert_allclose([h.table_log_loss - h.log_loss for h in scored.horizons], gains, atol=1e-12)
    assert all(h.auc > 0.6 for h in scored.horizons)
    assert scored.slip_auc > 0.6


def test_scores_of_one_who_knows(made: Prepared) -> None:
    """Dates and chances taken from the record itself: no miss, all covered, no loss; rows not over are left out."""
    rows = np.flatnonzero(made.examples.as_of >= start_of(made, 290))
    watch = rows_at(made, made.until).watch.take(rows)
    took = np.where(watch.won, np.minimum(watch.closed / DAY, 9e9), 50.0)
    within = (watch.won & (watch.closed < 28 * DAY)).astype(np.float64)
    slipped = (watch.closed >= close_days(made, rows) * DAY).astype(np.float64)
    outlook = Outlook(within, 0 * within, 1 - within, took, took, took, slipped)
    half = np.full((len(rows), 1), 0.5)
    parts = [Foretold(rows, 182, outlook, (28,), within[:, None], half)]
    scored = timing_scores(made, stacked(parts), 20, 1)
    assert scored.dates is not None
    assert (scored.dates.mae, scored.dates.covered.value, scored.dates.gain.value) == (0.0, 1.0, 1.0)
    assert scored.dates.crm_mae > 5.0
    over = watch.seen >= 182 * DAY
    assert scored.dates.rows == int((over & watch.won & (watch.closed < 182 * DAY)).sum()) < int(watch.won.sum())
    assert scored.horizons[0].log_loss < 1e-5
    np.testing.assert_allclose(scored.horizons[0].gain.value, np.log(2), rtol=1e-3)
    assert scored.slip_auc == 1.0


def test_too_little_to_learn_from_is_told(made: Prepared) -> None:
    first = int(made.examples.as_of.min())
    with pytest.raises(TooLittleDataError, match="no timing model: 0 deals won"):
        fit_timing(made, first + DAY)
    assert try_timing(made, first + DAY)[0] is None
    assert "expected at least" in try_timing(made, first + DAY)[1]


def test_it_can_be_switched_off(made: Prepared, tmp_path: Path) -> None:
    off = demo_config(tmp_path, *LEAN, "timing.enabled=false")
    made_off = Prepared(**{f.name: getattr(made, f.name) for f in fields(made)} | {"config": off})
    assert try_timing(made_off, made.until) == (None, "switched off by timing.enabled")


def test_with_few_closed_deals_the_table_is_all_there_is() -> None:
    fitted = fit_rows(ROWS.take(np.arange(150)), plan(), (0, 0), LEVELS, line=False)
    assert (fitted.won.line, fitted.won.trees, fitted.lost.line) == (None, None, None)
    told = fitted.outlook(ROWS.matrix, np.full(len(ROWS.deal), 0.3), ROWS.period_days, ROWS.period_days, 365)
    assert not np.isnan(told.close_p50).any()
