"""IPCW: what the end of a record hides does not bend the rates, and where it hides nothing every pair counts one."""

from __future__ import annotations

import numpy as np

from features.periods import DAY
from tests.tiny import asked, at
from tests.training.test_labels import MADE, deal, world
from training.labels import NEVER, Watched, outcomes, watched
from training.timing_line import fit_table
from training.timing_pairs import DRAWS, LEAST_TOLD, Censoring, draw_pairs, weights

N = 40_000


def cut_short(seed: int = 3, last: float = 300.0) -> tuple[Watched, Watched]:
    """Return (as the record's end shows it, as it was): rows seen for 0 to `last` days.

    Two in five deals are won, after 100 days in the mean; the others are lost, after 30.
    """
    rng = np.random.default_rng(seed)
    won = rng.random(N) < 0.4
    closed = np.round(np.where(won, rng.exponential(100, N), rng.exponential(30, N)) * DAY).astype(np.int64) + 1
    seen = np.round(rng.uniform(0.01, last, N) * DAY).astype(np.int64)
    shown = closed < seen
    whole = Watched(np.full(N, 10_000 * DAY), closed, won, ~won)
    return Watched(seen, np.where(shown, closed, NEVER), won & shown, ~won & shown), whole


def test_weighted_rates_are_the_true_ones_where_closed_deals_alone_mislead() -> None:
    cut, whole = cut_short()
    for days in (20, 90, 200):
        truth = float((whole.won & (whole.closed < days * DAY)).mean())
        hit = cut.won & (cut.closed < days * DAY)
        weight = weights(cut, days * DAY, Censoring.of(cut))
        assert abs(float((weight * hit).sum() / weight.sum()) - truth) < 0.015
    closed = cut.won | cut.lost
    assert abs(float(cut.won[closed].mean()) - 0.4) > 0.06  # quick losses are over-counted


def test_the_table_of_rates_is_unbiased_too() -> None:
    cut, whole = cut_short()
    table = fit_table(np.zeros(N), cut, cut.won, Censoring.of(cut), 200.0, 2)
    for day, rate in zip(table.days, table.rates[0], strict=True):
        assert abs(rate - float((whole.won & (whole.closed < day * DAY)).mean())) < 0.02
    assert (np.diff(table.rates, axis=1) >= 0).all()


def test_a_horizon_that_is_over_for_all_weighs_every_pair_one() -> None:
    cut, _ = cut_short()
    long = np.flatnonzero(cut.seen >= 100 * DAY)
    rows = cut.take(long)
    censoring = Censoring.of(rows)
    np.testing.assert_array_equal(weights(rows, 100 * DAY, censoring), np.ones(len(long)))
    assert weights(rows, 200 * DAY, censoring).min() == 0.0


def test_weights_by_hand() -> None:
    """Four rows are seen for 10, 20, 30 and 40 days; of horizon 25 half are seen through."""
    seen = np.array([10, 20, 30, 40]) * DAY
    closed = np.array([5 * DAY, NEVER, 15 * DAY, NEVER])
    rows = Watched(seen, closed, closed < NEVER, np.zeros(4, dtype=bool))
    censoring = Censoring.of(rows)
    # Closed at 5 days: all were seen for more. Open when its time ended: nothing is known. At 15 days: three of four.
    np.testing.assert_allclose(weights(rows, 25 * DAY, censoring), [0.5, 0.0, 0.5 / 0.75, 1.0])
    np.testing.assert_allclose(weights(rows, 5 * DAY, censoring), np.ones(4))  # within is strictly before


def test_pairs_are_drawn_by_seed_spread_over_the_horizon_and_capped() -> None:
    cut, _ = cut_short()
    censoring = Censoring.of(cut)
    told = censoring.told(365.0)
    assert abs(censoring.through(round(told * DAY)) - LEAST_TOLD) < 0.001
    first, again, other = (draw_pairs(cut, censoring, told, 6_000, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.days, again.days)
    assert not np.array_equal(first.days[:100], other.days[:100])
    assert 2_000 < len(first.days) <= 6_000
    assert np.bincount(first.row).max() <= DRAWS
    assert (first.weight > 0).all()
    assert (first.days <= told).all()
    assert ((first.won + first.lost) <= 1).all()
    assert [(low < first.days).any() for low in (2.0, 20.0, 100.0, 250.0)] == [True] * 4


def test_what_a_cut_shows_of_times() -> None:
    rows = asked(MADE, ("BEFORE", "2024-03-01"), ("LOST", "2024-01-15"), ("OPEN", "2024-03-01"), ("AT", "2024-03-01"))
    cut = at("2024-04-01")
    found = watched(rows, outcomes(MADE, rows), cut)
    assert found.closed.tolist() == [
        at("2024-03-31 23:59") - at("2024-03-01"),
        at("2024-02-01") - at("2024-01-15"),
        NEVER,
        NEVER,  # closes at the cut itself: not known before it
    ]
    assert found.won.tolist() == [True, False, False, False]
    assert found.lost.tolist() == [False, True, False, False]
    assert found.seen.tolist() == (cut - rows.as_of).tolist()


def test_a_merged_deal_is_neither_won_nor_lost_and_no_longer_watched() -> None:
    history = [
        *deal("GONE", ("2024-01-05", "Qualify"), ("2024-04-10", "Demo")),
        *deal("INTO", ("2024-01-05", "Qualify"), ("2024-04-20", "Won")),
    ]
    history[1]["merged_into"] = "INTO"
    made = world(history[:2], history[2:])
    rows = asked(made, ("GONE", "2024-04-02"), ("INTO", "2024-04-02"))
    found = watched(rows, outcomes(made, rows), at("2024-06-01"))
    assert (found.won.tolist(), found.lost.tolist()) == ([False, True], [False, False])
    assert found.seen.tolist() == [8 * DAY, at("2024-06-01") - at("2024-04-02")]
    early = watched(rows, outcomes(made, rows), at("2024-04-05"))  # nobody knows of the merger yet
    assert early.seen.tolist() == [3 * DAY] * 2
