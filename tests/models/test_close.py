"""The close model: parts add up to the served log-odds, blind rows take the table rate, planted signal is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.build import FeatureMatrix
from models.base import Examples, Float, Frame, clipped_logit, sigmoid
from models.calibrate import IDENTITY, Affine
from models.close import CloseModel, CloseSettings, InnerFold, Shared, fit_close
from models.linear import TABLE, Linear
from models.rounds import Trust, trust
from models.tables import RateTable
from models.trees import TreeSettings, fit_trees
from tests.models.planted import NAMES, STAGES, log_loss, matrix, planted

FRAME = Frame("in_period", STAGES)
TREES = TreeSettings(8, 30, 0.1, 0.6, 0.8, 2.0, 10.0, 1, (0, 0, 1, -1, 0))


def settings(offset: str = "ridge", calibrate: str = "auto") -> CloseSettings:
    return CloseSettings((TREES,), offset, calibrate, 150, (7, 8))


def halves(n: int) -> list[InnerFold]:
    """Two inner folds: the first half judged by the first third, the rest by the first half."""
    row = np.arange(n)
    return [InnerFold(row < n // 3, (row >= n // 3) & (row < n // 2), 1), InnerFold(row < n // 2, row >= n // 2, 2)]


def with_blind_rows(rows: Examples) -> FeatureMatrix:
    """The rows with every seventh stage unknown, some of them without time left either."""
    values = rows.matrix.values.copy()
    values[::7, 0] = np.nan
    values[::14, 1] = np.nan
    return matrix(values)


@pytest.fixture(scope="module", params=["ridge", "table"])
def fitted(request: pytest.FixtureRequest) -> tuple[CloseModel, Examples]:
    rows, _ = planted(6000, gaps=0.15)
    model, notes = fit_close(rows, FRAME, settings(request.param), halves(len(rows)))
    assert model.trees is not None
    assert notes.rounds > 5
    return model, rows


@pytest.mark.parametrize("calibration", [IDENTITY, Affine(0.4, 0.8), Affine(-1.0, 1.3)])
def test_parts_add_up(fitted: tuple[CloseModel, Examples], calibration: Affine) -> None:
    """Base + contributions = log-odds of the served probability, blind rows and missing values included."""
    model, rows = fitted
    model = CloseModel(model.names, model.offset, model.trees, calibration)
    asked = with_blind_rows(rows)
    factors, phi, base = model.contributions(asked)
    assert factors == (TABLE, *NAMES)
    np.testing.assert_allclose(base + phi.sum(axis=1), model.logit(asked), atol=1e-9)
    p = model.predict(asked)
    np.testing.assert_allclose(np.log(p / (1 - p)), model.logit(asked), atol=1e-9)


def test_blind_rows_take_the_tables_rate_uncalibrated(fitted: tuple[CloseModel, Examples]) -> None:
    model, rows = fitted
    model = CloseModel(model.names, model.offset, model.trees, Affine(2.0, 0.5))
    asked = with_blind_rows(rows)
    blind = model.blind(asked)
    assert blind.sum() == len(range(0, len(rows), 7))
    np.testing.assert_allclose(model.predict(asked)[blind], model.table.predict(asked)[blind], rtol=1e-12)
    _, phi, base = model.contributions(asked)
    np.testing.assert_allclose(sigmoid(base[blind]), model.table.overall, rtol=1e-12)
    assert not phi[blind][:, 1:].any()
    elsewhere = with_blind_rows(rows)
    elsewhere.values[:, 2:] = 99.0  # whatever else is known of a blind row moves nothing
    assert model.predict(elsewhere)[blind].tobytes() == model.predict(asked)[blind].tobytes()


def test_probabilities_are_inside_0_and_1(fitted: tuple[CloseModel, Examples]) -> None:
    model, rows = fitted
    p = model.predict(with_blind_rows(rows))
    assert ((p > 0) & (p < 1)).all()


def test_one_row_has_the_bits_it_has_among_many(fitted: tuple[CloseModel, Examples]) -> None:
    model, rows = fitted
    asked = with_blind_rows(rows)
    together = model.predict(asked)
    alone = [model.predict(FeatureMatrix(NAMES, asked.values[i : i + 1])) for i in range(100)]
    assert np.concatenate(alone).tobytes() == together[:100].tobytes()


def test_the_offset_is_what_the_settings_say(fitted: tuple[CloseModel, Examples]) -> None:
    model, rows = fitted
    assert isinstance(model.offset, Linear | RateTable)
    raw = model.raw_offset(rows.matrix)
    expected = model.offset.logit(rows.matrix) if isinstance(model.offset, Linear) else table_logit(model, rows)
    np.testing.assert_allclose(raw, expected, atol=0)


def table_logit(model: CloseModel, rows: Examples) -> Float:
    return clipped_logit(model.table.predict(rows.matrix))


def test_trees_add_what_a_line_cannot_say() -> None:
    """Silence hurts most where there were few meetings: on fresh rows the model beats its own offset."""
    rows, _ = planted(12_000, seed=1)
    fresh, truth = planted(6000, seed=2)
    model, notes = fit_close(rows, FRAME, settings(), halves(len(rows)))
    ours, line = log_loss(fresh.y, model.logit(fresh.matrix)), log_loss(fresh.y, model.raw_offset(fresh.matrix))
    best = log_loss(fresh.y, truth)
    assert best < ours < line
    assert ours - best < 0.9 * (line - best)
    assert all(
        with_trees < without for with_trees, without in zip(notes.inner_loss, notes.inner_offset_loss, strict=True)
    )
    assert float(model.predict(fresh.matrix).sum() / fresh.y.sum()) == pytest.approx(1, abs=0.06)


def test_trees_count_as_far_as_the_inner_folds_trust_them() -> None:
    rows, _ = planted(6000)
    shared = Shared()
    model, notes = fit_close(rows, FRAME, settings(), halves(len(rows)), 3, shared)
    folds = [shared.judged[key, notes.penalty].trials[0] for key in (1, 2)]
    newer = [rows.take(fold.judge).matrix for fold in halves(len(rows))]
    told = trust(folds, newer, TREES.learning_rate, 150, 1)
    assert notes.trust == (told,)
    assert notes.rounds == told.rounds == 90  # what 0.1 a tree needs
    assert 0.1 < told.share <= 1
    assert model.trees is not None
    assert model.trees.booster.num_trees() == notes.rounds * 2  # two seeds
    again = fit_trees(rows, model.raw_offset(rows.matrix), TREES, notes.rounds, (7, 8))
    added = told.share * again.logit(rows.matrix)
    np.testing.assert_allclose(model.trees.logit(rows.matrix), added, atol=1e-12)


def test_each_member_is_trusted_by_itself_and_they_count_alike() -> None:
    """Of three seeds the first member grows two; each member alone is trusted as it is among others."""
    rows, _ = planted(6000, gaps=0.1)
    quick = replace(TREES, num_leaves=2, learning_rate=0.2)
    both = CloseSettings((TREES, quick), "ridge", "none", 150, (7, 8, 9))
    assert [both.seeds_of(i) for i in (0, 1)] == [(7, 9), (8,)]
    model, notes = fit_close(rows, FRAME, both, halves(len(rows)))
    alone = [
        fit_close(rows, FRAME, CloseSettings((own,), "ridge", "none", 150, seeds), halves(len(rows)))
        for own, seeds in ((TREES, (7, 9)), (quick, (8,)))
    ]
    assert notes.trust == tuple(told.trust[0] for _, told in alone)
    assert [each.rounds for each in notes.trust] == [90, 45]
    mean = np.mean([each.logit(rows.matrix) for each, _ in alone], axis=0)
    np.testing.assert_allclose(model.logit(rows.matrix), mean, atol=1e-9)
    factors, phi, base = model.contributions(with_blind_rows(rows))
    assert factors == (TABLE, *NAMES)
    np.testing.assert_allclose(base + phi.sum(axis=1), model.logit(with_blind_rows(rows)), atol=1e-9)


def test_more_members_than_seeds_use_the_seeds_that_follow() -> None:
    many = CloseSettings((TREES,) * 4, "ridge", "none", 150, (7, 8))
    assert [many.seeds_of(i) for i in range(4)] == [(7,), (8,), (9,), (10,)]


def test_without_an_inner_fold_there_are_no_trees_and_no_calibration() -> None:
    rows, _ = planted(1000)
    model, notes = fit_close(rows, FRAME, settings(), [])
    assert (model.trees, model.calibration, notes.rounds, notes.trust) == (None, IDENTITY, 0, (Trust(),))
    _, phi, base = model.contributions(rows.matrix)
    np.testing.assert_allclose(base + phi.sum(axis=1), model.logit(rows.matrix), atol=1e-9)


def test_calibration_can_be_switched_off() -> None:
    rows, _ = planted(3000)
    assert fit_close(rows, FRAME, settings(calibrate="none"), halves(3000))[0].calibration is IDENTITY


def test_shared_fits_are_the_fits() -> None:
    """A walk through time reuses what it has: the same model, bit for bit."""
    rows, _ = planted(4000)
    shared = Shared()
    first, told = fit_close(rows, FRAME, settings(), halves(4000), 3, shared)
    assert set(shared.offsets) == {(key, told.penalty) for key in (1, 2, 3)}
    assert set(shared.judged) == {(key, told.penalty) for key in (1, 2)}
    assert set(shared.paths) == {1, 2}
    second, notes = fit_close(rows, FRAME, settings(), halves(4000), 3, shared)
    alone, expected = fit_close(rows, FRAME, settings(), halves(4000))
    assert notes == expected
    for model in (first, second):
        assert model.predict(rows.matrix).tobytes() == alone.predict(rows.matrix).tobytes()


def test_inner_folds_see_only_their_own_rows() -> None:
    """What later rows say changes nothing that an earlier fold chose."""
    rows, _ = planted(6000)
    fold = halves(6000)[:1]
    told = Examples(rows.matrix, rows.y.copy(), rows.deal, rows.as_of, rows.label_end)
    told.y[3000:] = 1 - told.y[3000:]
    _, before = fit_close(rows, FRAME, settings(), fold)
    _, after = fit_close(told, FRAME, settings(), fold)
    assert (before.trust, before.inner_loss) == (after.trust, after.inner_loss)


def test_sigmoid_and_logit_are_inverse_and_never_overflow() -> None:
    x = np.array([-800.0, -30.0, -1.0, 0.0, 1.0, 30.0, 800.0])
    p = sigmoid(x)
    assert p.tolist()[3] == 0.5
    assert np.isfinite(p).all()
    np.testing.assert_allclose(clipped_logit(p)[2:5], x[2:5], atol=1e-12)
    assert abs(float(clipped_logit(p)[0])) < 14
