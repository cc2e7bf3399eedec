"""Boosted trees: the merge is the mean of the seeds, contributions add up, signs hold, a seed gives one text."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from features.build import FeatureMatrix
from models.base import Examples, Float
from models.trees import Member, Trees, TreeSettings, first_seed, fit_members, fit_trees, merge
from tests.models.planted import NAMES, planted

SIGNS = (0, 0, 1, -1, 0)
SEEDS = (7, 8, 9)
ROUNDS = 60


def settings(signs: tuple[int, ...] = SIGNS) -> TreeSettings:
    return TreeSettings(8, 30, 0.1, 0.6, 0.8, 2.0, 10.0, 1, signs)


def flat(rows: Examples) -> Float:
    return np.full(len(rows), -0.5)


@pytest.fixture(scope="module")
def seen() -> Examples:
    return planted(4000, gaps=0.15)[0]


@pytest.fixture(scope="module")
def trees(seen: Examples) -> Trees:
    return fit_trees(seen, flat(seen), settings(), ROUNDS, SEEDS)


def single(rows: Examples, seed: int) -> Trees:
    return fit_trees(rows, flat(rows), settings(), ROUNDS, (seed,))


def test_the_merge_is_the_mean_of_the_seeds(seen: Examples, trees: Trees) -> None:
    alone = [single(seen, seed).logit(seen.matrix) for seed in SEEDS]
    assert np.std(alone, axis=0).max() > 0.01  # the seeds do differ
    np.testing.assert_allclose(trees.logit(seen.matrix), np.mean(alone, axis=0), atol=1e-12)
    assert trees.booster.num_trees() == ROUNDS * len(SEEDS)


def test_contributions_are_the_mean_of_the_seeds_and_add_up(seen: Examples, trees: Trees) -> None:
    phi = trees.contributions(seen.matrix)
    assert phi.shape == (len(seen), len(NAMES) + 1)
    np.testing.assert_allclose(phi.sum(axis=1), trees.logit(seen.matrix), atol=1e-9)
    mean = np.mean([single(seen, seed).contributions(seen.matrix) for seed in SEEDS], axis=0)
    np.testing.assert_allclose(phi, mean, atol=1e-9)


@pytest.mark.parametrize("gaps", [0.0, 0.15, 0.5])
def test_signs_hold_on_a_grid_with_missing_values(gaps: float) -> None:
    """Sweep each signed column over its range on rows with gaps elsewhere: never a step the wrong way."""
    rows = planted(4000, seed=4, gaps=gaps)[0]
    grown = fit_trees(rows, flat(rows), settings(), ROUNDS, SEEDS)
    base = rows.matrix.values[:300]
    for j, sign in enumerate(SIGNS):
        if not sign:
            continue
        sweep = []
        for value in np.quantile(rows.matrix.values[~np.isnan(rows.matrix.values[:, j]), j], np.linspace(0, 1, 25)):
            moved = base.copy()
            moved[:, j] = value
            sweep.append(grown.logit(FeatureMatrix(NAMES, moved)))
        steps = np.diff(np.array(sweep), axis=0) * sign
        assert steps.min() >= -1e-12
        assert steps.max() > 0.01  # and it is no constant


def test_without_signs_the_sweep_would_find_a_wrong_step() -> None:
    """Otherwise the test above could not fail."""
    rows = planted(4000, seed=4, gaps=0.15)[0]
    grown = fit_trees(rows, flat(rows), settings((0,) * 5), ROUNDS, (7,))
    moved = np.repeat(rows.matrix.values[:300][None], 25, axis=0)
    moved[:, :, 3] = np.linspace(0, 60, 25)[:, None]
    swept = np.array([grown.logit(FeatureMatrix(NAMES, part)) for part in moved])
    assert np.diff(swept, axis=0).max() > 0.01


def test_the_same_seed_gives_the_same_text(seen: Examples, trees: Trees) -> None:
    again = fit_trees(seen, flat(seen), settings(), ROUNDS, SEEDS)
    assert again.text == trees.text
    assert single(seen, 7).text != single(seen, 8).text


def test_seeds_grown_side_by_side_have_the_bits_of_seeds_grown_in_turn(seen: Examples, trees: Trees) -> None:
    together = fit_trees(seen, flat(seen), replace(settings(), num_threads=3), ROUNDS, SEEDS)
    assert together.text == trees.text
    assert merge_of_singles(seen) == trees.text


def merge_of_singles(rows: Examples) -> str:
    """Each seed trained by LightGBM's own loop on one thread, then merged."""
    data = lightgbm.Dataset(
        rows.matrix.values,
        rows.y,
        init_score=flat(rows),
        feature_name=list(NAMES),
        params={"max_bin": 127, "feature_pre_filter": False, "verbosity": -1},
        free_raw_data=False,
    )
    grown = [lightgbm.train(settings().params(seed), data, num_boost_round=ROUNDS) for seed in SEEDS]
    return merge([booster.model_to_string(num_iteration=-1) for booster in grown])


def test_the_text_tells_nothing_of_seeds_and_threads(trees: Trees) -> None:
    assert "seed" not in trees.text
    assert "threads" not in trees.text


def test_a_merged_text_survives_loading_and_saving(seen: Examples, trees: Trees) -> None:
    again = lightgbm.Booster(model_str=lightgbm.Booster(model_str=trees.text).model_to_string())
    np.testing.assert_allclose(again.predict(seen.matrix.values, raw_score=True), trees.logit(seen.matrix), atol=1e-12)


def test_one_row_has_the_bits_it_has_among_many(seen: Examples, trees: Trees) -> None:
    together, phi = trees.logit(seen.matrix), trees.contributions(seen.matrix)
    for i in range(50):
        row = FeatureMatrix(NAMES, seen.matrix.values[i : i + 1])
        assert trees.logit(row).tobytes() == together[i : i + 1].tobytes()
        assert trees.contributions(row).tobytes() == phi[i : i + 1].tobytes()


def test_boosting_goes_on_from_the_offset() -> None:
    """An offset that is the truth leaves the trees nothing to add; a flat one leaves them all of it."""
    rows, truth = planted(6000, seed=8)
    informed = fit_trees(rows, truth, settings(), 30, (7,)).logit(rows.matrix)
    ignorant = fit_trees(rows, flat(rows), settings(), 30, (7,)).logit(rows.matrix)
    assert float(np.abs(informed).mean()) < 0.35 * float(np.abs(ignorant - ignorant.mean()).mean())


def test_members_count_alike_whatever_their_seeds(seen: Examples) -> None:
    """The mean over members of the mean over their seeds; one without trees pulls towards the offset."""
    other = replace(settings(), num_leaves=3, learning_rate=0.05)
    members = (Member(settings(), 20, (7, 8)), Member(other, 35, (9,), 0.4), Member(other, 0, (10,)))
    merged = fit_members(seen, flat(seen), members)
    left, right = fit_trees(seen, flat(seen), settings(), 20, (7, 8)), fit_trees(seen, flat(seen), other, 35, (9,))
    assert merged.booster.num_trees() == 2 * 20 + 35
    expected = (left.logit(seen.matrix) + 0.4 * right.logit(seen.matrix)) / 3
    np.testing.assert_allclose(merged.logit(seen.matrix), expected, atol=1e-12)
    phi = merged.contributions(seen.matrix)
    apart = (left.contributions(seen.matrix) + 0.4 * right.contributions(seen.matrix)) / 3
    np.testing.assert_allclose(phi, apart, atol=1e-9)


def test_the_first_seed_of_the_first_member(seen: Examples) -> None:
    members = (Member(settings(), 20, (7, 9)), Member(replace(settings(), num_leaves=3), 35, (8,)))
    alone = first_seed(fit_members(seen, flat(seen), members))
    assert alone is not None
    expected = fit_trees(seen, flat(seen), settings(), 20, (7,))
    np.testing.assert_allclose(alone.logit(seen.matrix), expected.logit(seen.matrix), atol=1e-12)
    assert alone.booster.num_trees() == 20
    assert first_seed(fit_members(seen, flat(seen), (replace(members[0], rounds=0), members[1]))) is None
    with pytest.raises(ValueError, match="not fitted here"):
        first_seed(Trees(NAMES, alone.text))


def written_by_lightgbm(rows: Examples) -> lightgbm.Booster:
    data = lightgbm.Dataset(rows.matrix.values, rows.y, feature_name=list(NAMES), params={"verbosity": -1})
    return lightgbm.train(settings().params(7), data, num_boost_round=5)


def test_a_merge_of_one_changes_no_prediction(seen: Examples) -> None:
    booster = written_by_lightgbm(seen)
    merged = Trees(NAMES, merge([booster.model_to_string()]))
    assert merged.logit(seen.matrix).tobytes() == booster.predict(seen.matrix.values, raw_score=True).tobytes()


def test_categorical_splits_are_refused(seen: Examples) -> None:
    text = written_by_lightgbm(seen).model_to_string()
    with pytest.raises(ValueError, match="categorical"):
        merge([text.replace("num_cat=0", "num_cat=1")])
