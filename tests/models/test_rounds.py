"""The number of trees: judged on later rows, deaf to a period's level, the same however far trials had been grown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.base import Examples, Float, Frame, sigmoid
from models.linear import fit_linear
from models.rounds import Trial, best_level, choose_rounds, trials
from models.trees import TreeSettings, fit_trees
from tests.models.planted import STAGES, log_loss, planted

TREES = TreeSettings(8, 30, 0.1, 0.6, 0.8, 2.0, 10.0, 1, (0, 0, 1, -1, 0))


def flat(rows: Examples) -> Float:
    return np.full(len(rows), -0.5)


def trial(rows: Examples, old: int, level_free: bool = False) -> tuple[Trial, Examples, Examples]:
    """A trial on the first rows, judged on the rest."""
    before, after = rows.take(np.arange(old)), rows.take(np.arange(old, len(rows)))
    made = trials(before, flat(before), after, flat(after), [(TREES, 7)], level_free)
    return made[0], before, after


def test_rounds_are_chosen_on_later_rows() -> None:
    rows, _ = planted(6000, seed=9)
    made, old, new = trial(rows, 4000)
    best = choose_rounds([made], 200, 1)
    assert 10 < best <= 200
    added = made.logit(new.matrix, best)
    assert log_loss(new.y, flat(new) + added) < log_loss(new.y, flat(new)) - 0.03
    assert made.losses[best] == pytest.approx(log_loss(new.y, flat(new) + added), abs=1e-9)
    refitted = fit_trees(old, flat(old), TREES, best, (7,)).logit(new.matrix)
    np.testing.assert_allclose(added, refitted, atol=1e-9)


def test_no_tree_where_no_tree_helps() -> None:
    """Later rows say the opposite of the earlier ones: every tree would hurt, so none is grown."""
    rows, _ = planted(3000, seed=10)
    many = rows.matrix.column("meetings") > 2
    told = replace(rows, y=np.where(np.arange(3000) < 2000, many, ~many).astype(np.float64))
    made, _, new = trial(told, 2000, level_free=True)
    assert choose_rounds([made], 50, 1) == 0
    assert made.logit(new.matrix, 0).tolist() == [0.0] * 1000


def test_a_shock_of_the_level_does_not_talk_trees_away() -> None:
    """A bad period, the same signal in it: with its level judged too, trees would seem to hurt."""
    rows, truth = planted(12_000, seed=3)
    newer = np.arange(12_000) >= 9000
    drawn = np.random.default_rng(4).random(12_000) < sigmoid(truth - 1.5)
    told = replace(rows, y=np.where(newer, drawn, rows.y).astype(np.float64))
    old, new = told.take(~newer), told.take(newer)
    line = fit_linear(old, Frame("in_period", STAGES))
    before, after = line.logit(old.matrix), line.logit(new.matrix)
    free, bound = (
        choose_rounds(trials(old, before, new, after, [(TREES, 7)], level_free), 400, 1) for level_free in (True, False)
    )
    assert free > 5
    assert bound == 0


def test_the_level_is_the_one_at_which_the_mean_is_right() -> None:
    rng = np.random.default_rng(1)
    raw = rng.normal(-2, 1.5, 5000)
    y = (rng.random(5000) < sigmoid(raw - 0.8)).astype(np.float64)
    level = best_level(y, raw, 0.0)
    assert level == pytest.approx(-0.8, abs=0.12)
    assert float(sigmoid(raw + level).mean()) == pytest.approx(float(y.mean()), abs=1e-6)
    losses = [log_loss(y, raw + level + step) for step in (-0.05, 0.0, 0.05)]
    assert losses[1] < min(losses[0], losses[2])


def test_the_choice_is_the_lowest_point_of_the_sum() -> None:
    """Hand-made curves: a large fold that wants 3 trees, a small one that wants 1, and one that wants none."""

    def told(rows: int, losses: list[float]) -> Trial:
        made = trial(planted(400, seed=2)[0], 200)[0]
        return replace(made, y=np.zeros(rows), losses=losses)

    large, small = told(900, [0.5, 0.4, 0.3, 0.2, 0.4]), told(100, [0.5, 0.1, 0.3, 0.9, 0.9])
    assert choose_rounds([large], 4, 1) == 3
    assert choose_rounds([small], 4, 1) == 1
    assert choose_rounds([large, small], 4, 1) == 3
    assert choose_rounds([large, replace(small, y=np.zeros(9000))], 4, 1) == 1
    assert choose_rounds([told(100, [0.1, 0.2, 0.2, 0.2, 0.2])], 4, 1) == 0


def test_a_trial_grown_before_tells_the_same() -> None:
    rows, _ = planted(6000, seed=9)
    fresh, old = trial(rows, 4000)[0], trial(rows, 4000)[0]
    for _ in range(123):
        old.update()
    assert choose_rounds([fresh], 200, 1) == choose_rounds([old], 200, 1)
    shared = min(len(fresh.losses), len(old.losses))
    assert fresh.losses[:shared] == old.losses[:shared]


def test_folds_grown_side_by_side_have_the_bits_of_folds_grown_in_turn() -> None:
    rows, _ = planted(6000, seed=9)
    pairs = [(2000, 3000), (3000, 4500), (4500, 6000)]
    together, alone = ([trial(rows.take(np.arange(stop)), old)[0] for old, stop in pairs] for _ in range(2))
    choose_rounds(together, 80, 3)
    for each in alone:
        choose_rounds([each], 80, 1)
    for left, right in zip(together, alone, strict=True):
        shared = min(len(left.losses), len(right.losses))
        assert left.losses[:shared] == right.losses[:shared]
