"""The references of the bench, on numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.references import START, fit_frequencies, out_of_fold_lift

NONE = np.zeros((4, 0), dtype=np.int64)


def test_frequencies_multiply_as_documented() -> None:
    """Three won deals and one lost: a value that stood on 2 won and 1 lost deal."""
    values = np.array([[0], [0], [1], [0]])
    won = np.array([True, True, True, False])
    model = fit_frequencies(values, won)
    yes = (3 + START) * (2 + START) / (3 + START)
    no = (1 + START) * (1 + START) / (1 + START)
    assert model.predict(np.array([[0]]))[0] == pytest.approx(yes / (yes + no))
    # A value never seen is left out: what remains is the prior.
    prior = (3 + START) / (4 + 2 * START)
    assert model.predict(np.array([[-1], [7]])) == pytest.approx([prior, prior])


def test_won_deals_have_reached_every_stage() -> None:
    won = np.array([True, False, False, False])
    model = fit_frequencies(NONE, won, np.array([0, 0, 1, 2]), 3)
    assert model.stages is not None
    assert model.stages[0].tolist() == pytest.approx([1 + START] * 3)
    assert model.stages[1].tolist() == pytest.approx([3 + START, 2 + START, 1 + START])
    p = model.predict(np.zeros((3, 0), dtype=np.int64), np.arange(3))
    assert (np.diff(p) > 0).all()


def test_no_lift_knows_its_own_outcome() -> None:
    """Flipping an outcome of a training row leaves its own lift alone; a row that is not trained on moves nothing."""
    rng = np.random.default_rng(0)
    y, train = (rng.random(60) < 0.4).astype(np.float64), np.arange(60) < 50
    words = [str(k % 3) for k in range(60)]
    before = out_of_fold_lift(words, y, train)
    for row in (0, 17, 49):
        flipped = y.copy()
        flipped[row] = 1 - flipped[row]
        after = out_of_fold_lift(words, flipped, train)
        assert after[row] == before[row]
        assert (after != before).any()
    y[50:] = 1 - y[50:]
    assert np.array_equal(out_of_fold_lift(words, y, train), before)
