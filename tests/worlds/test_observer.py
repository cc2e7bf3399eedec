"""The ideal observer of the bench: right on average, no better than the oracle, better than stage and time alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.observer import observed
from tests.worlds.world import world
from training.evaluate import row_loss


@pytest.mark.parametrize("name", ["W1", "W2"])
def test_observer_lies_between_the_table_and_the_oracle(name: str) -> None:
    made = world(name, 3, 20, 8)
    every = made.truth
    told = every.take(every.as_of >= made.days.instant(made.days.starts[4]))
    p = observed(made, told.deal, told.as_of)
    assert 0.8 < p.sum() / told.y.sum() < 1.25  # some 80 wins
    left = (told.as_of - told.as_of.min()) // (7 * 86_400_000_000) % 13
    cell = told.stage * 13 + left  # fitted on the very rows: a table that flatters itself
    table = (np.bincount(cell, told.y) / np.maximum(np.bincount(cell), 1))[cell]
    assert row_loss(told.y, told.p).mean() < row_loss(told.y, p).mean() < row_loss(told.y, table).mean()


def test_observer_refuses_worlds_it_cannot_read() -> None:
    made = world("W4", 1, 10, 8)
    with pytest.raises(ValueError, match="no observer of W4"):
        observed(made, made.truth.deal, made.truth.as_of)
