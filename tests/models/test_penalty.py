"""How strongly the ridge is held to the table: hardly where features tell much, firmly where they tell nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.base import Examples, Frame, sigmoid
from models.close import by_deal
from models.linear import fit_linear
from models.penalty import MOST_ROWS, PENALTIES, USUAL, best_penalty, path_losses
from tests.models.planted import NAMES, STAGES, examples, log_loss, planted

FRAME = Frame("in_period", STAGES)


def halves(rows: Examples) -> tuple[Examples, Examples]:
    n = len(rows)
    return rows.take(np.arange(n) < n // 2), rows.take(np.arange(n) >= n // 2)


def noise(n: int, columns: int, seed: int) -> Examples:
    """Rows whose outcome follows the stage alone, beside columns that tell nothing."""
    rng = np.random.default_rng(seed)
    stage, left = rng.integers(0, STAGES, n).astype(np.float64), rng.integers(0, 92, n).astype(np.float64)
    y = rng.random(n) < sigmoid(stage - 2.0)
    values = np.column_stack([stage, left, rng.normal(size=(n, columns))])
    return examples(values, y, (*NAMES[:2], *(f"noise_{k}" for k in range(columns))))


def test_what_tells_much_is_let_free_and_noise_is_held() -> None:
    told, empty = halves(planted(6000)[0]), halves(noise(1500, 60, seed=3))
    assert best_penalty([path_losses(*told, FRAME)]) <= 30.0
    chosen = best_penalty([path_losses(*empty, FRAME)])
    assert chosen >= 300.0
    old, new = empty
    losses = [log_loss(new.y, fit_linear(old, FRAME, penalty).logit(new.matrix)) for penalty in (chosen, 1.0)]
    assert losses[0] < losses[1] - 0.005


def test_a_firm_hand_draws_the_ridge_to_the_table() -> None:
    rows = planted(3000)[0]
    firm, loose = (fit_linear(rows, FRAME, penalty) for penalty in (max(PENALTIES), 1.0))
    assert firm.table_weight == pytest.approx(1.0, abs=0.2)
    apart = [np.abs(model.predict(rows.matrix) - model.table.predict(rows.matrix)).mean() for model in (firm, loose)]
    assert apart[0] < 0.25 * apart[1]


def test_a_level_of_the_newer_period_chooses_nothing() -> None:
    old, new = halves(planted(6000)[0])
    rng = np.random.default_rng(0)
    shocked = replace(new, y=np.where(rng.random(len(new)) < 0.4, 0.0, new.y))
    judged = path_losses(old, shocked, FRAME)
    loosest = fit_linear(old, FRAME, min(PENALTIES)).logit(shocked.matrix)
    assert judged[-1] / len(shocked) < log_loss(shocked.y, loosest) - 0.01


def test_long_records_are_thinned_and_say_the_same() -> None:
    old, new = halves(planted(2 * MOST_ROWS + 10)[0])
    few, many = path_losses(old.take(np.arange(0, len(old), 2)), new, FRAME), path_losses(old, new, FRAME)
    assert np.argmin(few) == np.argmin(many)


def test_without_folds() -> None:
    assert best_penalty([]) == USUAL
    assert USUAL in PENALTIES
    rows = planted(600)[0]
    folds = by_deal(rows)
    assert sum(fold.judge.astype(int) for fold in folds).tolist() == [1] * len(rows)
    assert not any(np.isin(rows.deal[fold.fit], rows.deal[fold.judge]).any() for fold in folds)
    assert by_deal(replace(rows, y=np.zeros(len(rows)))) == []


def test_one_outcome_chooses_nothing() -> None:
    old, new = halves(planted(600)[0])
    assert (path_losses(replace(old, y=np.zeros(len(old))), new, FRAME) == 0.0).all()
