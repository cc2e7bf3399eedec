"""The ridge: it finds planted coefficients, and applying it by hand is scikit-learn's own answer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from features.build import FeatureMatrix
from models.base import Frame, clipped_logit, sigmoid
from models.linear import FREE, RARE, fit_linear
from tests.models.planted import NAMES, STAGES, examples, matrix, planted

FRAME = Frame("in_period", STAGES, penalty=1.0)


def test_planted_coefficients_are_found() -> None:
    """Log-odds 0.7 x1 - 0.5 x2 with nothing to be had from stage and time: found within four standard errors."""
    rng = np.random.default_rng(3)
    n = 40_000
    x = rng.uniform(-1, 1, size=(n, 3))
    truth = -0.5 + 0.7 * x[:, 0] - 0.5 * x[:, 1]
    values = np.column_stack([np.zeros(n), np.ones(n), x])
    model = fit_linear(examples(values, rng.random(n) < sigmoid(truth)), FRAME)
    per_unit = (model.weights / model.scale)[2:]
    np.testing.assert_allclose(per_unit, [0.7, -0.5, 0.0], atol=0.08)
    assert model.weights[:2].tolist() == [0.0, 0.0]  # constant columns say nothing
    assert float(np.abs(model.logit(matrix(values)) - truth).mean()) < 0.05


def test_applying_it_equals_scikit_learn() -> None:
    """On complete data within the clip range, to 1e-9."""
    seen, _ = planted(4000)
    model = fit_linear(seen, FRAME)
    x = np.clip(seen.matrix.values, model.low, model.high)
    prior = clipped_logit(model.table.predict(seen.matrix))
    design = np.column_stack([FREE * (prior - prior.mean()), (x - x.mean(axis=0)) / x.std(axis=0)])
    ridge = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-8).fit(design, seen.y)
    np.testing.assert_allclose(model.logit(seen.matrix), ridge.decision_function(design), atol=1e-9)


def test_terms_add_up_to_the_log_odds() -> None:
    seen, _ = planted(1000, gaps=0.2)
    model = fit_linear(seen, FRAME)
    terms = model.terms(seen.matrix, clipped_logit(model.table.predict(seen.matrix)))
    assert terms.shape == (1000, 1 + len(NAMES))
    np.testing.assert_allclose(model.intercept + terms.sum(axis=1), model.logit(seen.matrix), atol=1e-12)


def test_a_missing_value_stands_at_the_mean_plus_a_weight_of_its_own() -> None:
    """Rows without `meetings` are won more often here, which only the weight for being missing can say."""
    rng = np.random.default_rng(5)
    n = 20_000
    meetings = rng.normal(size=n)
    gone = rng.random(n) < 0.3
    truth = np.where(gone, 1.0, -1.0)
    values = np.column_stack([np.zeros(n), np.ones(n), np.where(gone, np.nan, meetings), np.zeros(n), np.zeros(n)])
    model = fit_linear(examples(values, rng.random(n) < sigmoid(truth)), FRAME)
    assert model.missing_weights[2] == pytest.approx(2.0, abs=0.15)
    at_mean = np.array([[0.0, 1.0, model.mean[2], 0.0, 0.0]])
    hidden = np.array([[0.0, 1.0, np.nan, 0.0, 0.0]])
    step = model.logit(matrix(hidden)) - model.logit(matrix(at_mean))
    assert step[0] == pytest.approx(model.missing_weights[2], abs=1e-12)


def test_a_column_that_is_hardly_ever_missing_gets_no_weight_for_it() -> None:
    seen, _ = planted(4000)
    values = seen.matrix.values.copy()
    values[: int(RARE * 4000), 2] = np.nan
    model = fit_linear(examples(values, seen.y), FRAME)
    assert model.missing_weights.tolist() == [0.0] * 5


def test_columns_that_are_always_missing_are_harmless() -> None:
    seen, _ = planted(1000)
    values = seen.matrix.values.copy()
    values[:, 4] = np.nan
    model = fit_linear(examples(values, seen.y), FRAME)
    told = values.copy()
    told[:, 4] = 7.0
    assert np.isfinite(model.logit(matrix(values))).all()
    assert model.logit(matrix(values)).tobytes() == model.logit(matrix(told)).tobytes()


def test_values_beyond_the_training_range_are_clipped() -> None:
    seen, _ = planted(2000)
    model = fit_linear(seen, FRAME)
    row = seen.matrix.values[:1].copy()
    far, edge = row.copy(), row.copy()
    far[0, 3], edge[0, 3] = 1e9, model.high[3]
    assert model.logit(matrix(far)).tobytes() == model.logit(matrix(edge)).tobytes()


def test_one_row_has_the_bits_it_has_among_many() -> None:
    seen, _ = planted(3000, gaps=0.2)
    model = fit_linear(seen, FRAME)
    together = model.predict(seen.matrix)
    alone = [model.predict(FeatureMatrix(NAMES, seen.matrix.values[i : i + 1])) for i in range(200)]
    assert np.concatenate(alone).tobytes() == together[:200].tobytes()


def test_a_stronger_penalty_pulls_towards_nothing() -> None:
    seen, _ = planted(2000)
    loose, tight = (fit_linear(seen, Frame("in_period", STAGES, penalty=p)) for p in (1.0, 1e5))
    assert float(np.abs(tight.weights).sum()) < 0.1 * float(np.abs(loose.weights).sum())
