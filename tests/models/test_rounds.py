"""How far trees are trusted: judged on newer rows, deaf to a period's level, the same however far trials had grown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.base import Examples, Float, Frame, sigmoid
from models.linear import fit_linear
from models.rounds import LEAN, LEAST, SHARES, Trial, Trust, best_level, posterior_mean, trials, trust
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


def told(made: tuple[Trial, Examples, Examples], max_rounds: int = 90) -> Trust:
    return trust([made[0]], [made[2].matrix], 0.1, max_rounds, 1)


def test_trees_that_help_on_newer_rows_are_trusted() -> None:
    rows, _ = planted(6000, seed=9)
    made = trial(rows, 4000)
    found = told(made)
    assert found.rounds == 90
    assert found.share > 0.8
    old, new = made[1:]
    added = made[0].logit(new.matrix, found.rounds)
    refitted = fit_trees(old, flat(old), TREES, found.rounds, (7,)).logit(new.matrix)
    np.testing.assert_allclose(added, refitted, atol=1e-9)
    expected = [log_loss(new.y, flat(new) + share * added) for share in SHARES]
    np.testing.assert_allclose(made[0].losses(new.matrix, 90), expected, atol=1e-12)
    assert expected[-1] < expected[0] - 0.03


def test_more_trees_are_grown_while_the_newer_rows_want_all_of_them() -> None:
    """They are counted by what they learn: told that a tree learns all there is, it begins with 9."""
    rows, _ = planted(9000, seed=9)
    made = trial(rows, 6000)
    few = trust([made[0]], [made[2].matrix], 1.0, 400, 1)
    assert few.rounds > 9
    assert (few.rounds - 9) % 3 == 0
    assert few.share < 0.9
    assert told(made, 4).rounds == 4


def test_no_tree_where_no_tree_helps() -> None:
    """Newer rows say the opposite of the older ones: every tree would hurt, so none is grown."""
    rows, _ = planted(3000, seed=10)
    many = rows.matrix.column("meetings") > 2
    turned = replace(rows, y=np.where(np.arange(3000) < 2000, many, ~many).astype(np.float64))
    assert told(trial(turned, 2000, level_free=True)) == Trust(0, 0.0)


def test_a_shock_of_the_level_does_not_talk_trees_away() -> None:
    """A bad period, the same signal in it: with its level judged too, trees would seem to hurt."""
    rows, truth = planted(12_000, seed=3)
    newer = np.arange(12_000) >= 9000
    drawn = np.random.default_rng(4).random(12_000) < sigmoid(truth - 1.5)
    shocked = replace(rows, y=np.where(newer, drawn, rows.y).astype(np.float64))
    shares = []
    for world, level_free in ((rows, True), (shocked, True), (shocked, False)):
        old, new = world.take(~newer), world.take(newer)
        line = fit_linear(old, Frame("in_period", STAGES))
        before, after = line.logit(old.matrix), line.logit(new.matrix)
        made = trials(old, before, new, after, [(TREES, 7)], level_free)
        shares.append(trust(made, [new.matrix], 0.1, 90, 1).share)
    calm, free, bound = shares
    assert calm > 0.2
    assert free > 0.2
    assert bound < 0.8 * free


def test_the_level_is_the_one_at_which_the_mean_is_right() -> None:
    rng = np.random.default_rng(1)
    raw = rng.normal(-2, 1.5, 5000)
    y = (rng.random(5000) < sigmoid(raw - 0.8)).astype(np.float64)
    level = best_level(y, raw, 0.0)
    assert level == pytest.approx(-0.8, abs=0.12)
    assert float(sigmoid(raw + level).mean()) == pytest.approx(float(y.mean()), abs=1e-6)
    losses = [log_loss(y, raw + level + step) for step in (-0.05, 0.0, 0.05)]
    assert losses[1] < min(losses[0], losses[2])


def test_little_evidence_leaves_the_prior_and_much_of_it_the_best_share() -> None:
    prior = np.exp(-LEAN * SHARES)
    assert posterior_mean(np.zeros(21)) == pytest.approx(float((prior * SHARES).sum() / prior.sum()))
    best = 0.7
    means = [posterior_mean(deals * (SHARES - best) ** 2) for deals in (0, 5, 50, 5000)]
    assert means == sorted(means)
    assert means[-1] == pytest.approx(best, abs=0.01)
    assert posterior_mean(5000 * SHARES) < LEAST


def test_folds_count_by_their_deals() -> None:
    """The same rows told of many deals weigh more than told of few: trees that help are trusted further."""
    rows, _ = planted(3000, seed=9)
    made, _, new = trial(rows, 2000)
    few, many = (trust([replace(made, deals=n)], [new.matrix], 0.1, 90, 1).share for n in (5, 500))
    assert 0.1 < few < many


def test_a_trial_grown_before_tells_the_same() -> None:
    rows, _ = planted(6000, seed=9)
    fresh, old = trial(rows, 4000), trial(rows, 4000)
    for _ in range(123):
        old[0].update()
    assert told(fresh) == told(old)


def test_folds_grown_side_by_side_have_the_bits_of_folds_grown_in_turn() -> None:
    rows, _ = planted(6000, seed=9)
    pairs = [(2000, 3000), (3000, 4500), (4500, 6000)]
    together, alone = ([trial(rows.take(np.arange(stop)), old) for old, stop in pairs] for _ in range(2))
    both = trust([made[0] for made in together], [made[2].matrix for made in together], 0.1, 90, 3)
    assert both.rounds == 90
    for left, right in zip(together, alone, strict=True):
        told(right)
        assert left[0].told[90].tobytes() == right[0].told[90].tobytes()
