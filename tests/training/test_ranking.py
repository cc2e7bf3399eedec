"""Figures of a ranking, against scikit-learn and against loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from training.evaluate import DealBootstrap
from training.ranking import Ranked, figure_of, gain_of, ranked, top_of


def sample(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(1, 6, n), 2)  # many ties
    return (rng.random(n) < p).astype(np.float64), p


@pytest.mark.parametrize("seed", range(5))
def test_pr_auc_is_that_of_scikit_learn(seed: int) -> None:
    y, p = sample(seed)
    weight = np.random.default_rng(seed).integers(0, 4, len(y)).astype(np.float64)
    assert ranked(y, p).pr_auc()[0] == pytest.approx(average_precision_score(y, p))
    weighted = ranked(y, p, weight[None, :]).pr_auc()[0]
    assert weighted == pytest.approx(average_precision_score(y, p, sample_weight=weight))


def test_the_order_of_rows_says_nothing() -> None:
    y, p = sample(3)
    order = np.random.default_rng(1).permutation(len(y))
    for figure in (Ranked.pr_auc, lambda found: found.precision(0.1), lambda found: found.recall(0.33)):
        assert figure(ranked(y, p))[0] == pytest.approx(figure(ranked(y[order], p[order]))[0])


def test_the_top_without_ties_is_counted() -> None:
    rng = np.random.default_rng(7)
    p, y = rng.random(200), (rng.random(200) < 0.2).astype(np.float64)
    best = y[np.argsort(-p)[:20]]
    found = ranked(y, p)
    assert found.precision(0.1)[0] == pytest.approx(best.mean())
    assert found.recall(0.1)[0] == pytest.approx(best.sum() / y.sum())
    assert found.recall(1.0)[0] == pytest.approx(1.0)


def test_of_equal_rows_the_top_holds_their_share() -> None:
    y = np.array([1.0, 0.0, 0.0, 0.0])
    assert ranked(y, np.full(4, 0.3)).caught(0.5)[0] == pytest.approx(0.5)


def test_nothing_came_true() -> None:
    assert np.isnan(ranked(np.zeros(3), np.array([0.1, 0.2, 0.3])).pr_auc()[0])
    assert np.isnan(ranked(np.zeros(3), np.array([0.1, 0.2, 0.3])).recall(0.5)[0])


def test_intervals_count_whole_leads() -> None:
    """Each lead told five times over: no more is known than from once."""
    y, p = sample(11, 300)
    lead = np.arange(len(y))
    once = figure_of(Ranked.pr_auc, y, p, DealBootstrap.of(lead, 200, 3))
    often = figure_of(Ranked.pr_auc, np.repeat(y, 5), np.repeat(p, 5), DealBootstrap.of(np.repeat(lead, 5), 200, 3))
    assert often.value == pytest.approx(once.value)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert once.low < once.value < once.high


def test_a_model_gains_nothing_over_itself_and_much_over_noise() -> None:
    y, p = sample(13, 2000)
    boot = DealBootstrap.of(np.arange(len(y)), 100, 3)
    same = gain_of(Ranked.pr_auc, y, p, p, boot)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    assert gain_of(Ranked.pr_auc, y, p, np.random.default_rng(2).random(len(y)), boot).low > 0


def test_the_best_of_each_block() -> None:
    block = np.array([2, 1, 1, 2, 1, 2])
    p = np.array([0.1, 0.5, 0.5, 0.9, 0.2, 0.3])
    assert top_of(block, p, 1).tolist() == [False, True, False, True, False, False]
    assert top_of(block, p, 2).tolist() == [False, True, True, True, False, True]
    assert top_of(block, p, 9).all()
