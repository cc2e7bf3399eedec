"""The audit's statistics against slow or known answers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.audit_stats import (
    FOLDS,
    LEAST,
    PRIOR,
    Column,
    Share,
    alone,
    among_filled,
    binned,
    categories,
    differs,
    one_sided,
    ranking,
    rates_elsewhere,
    times_as_often,
    wilson,
)

RNG = np.random.default_rng(11)


def outcomes(n: int, rate: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(n).random(n) < rate).astype(np.float64)


def words(values: list[str | None]) -> Column:
    known = sorted({value for value in values if value is not None})
    codes = np.array([known.index(value) if value is not None else -1 for value in values], dtype=np.int64)
    return categories("field", "table", codes, tuple(known))


def test_wilson_by_hand() -> None:
    low, high = wilson(0.0, 50)
    assert low == 0.0
    assert high == pytest.approx(1.6448536**2 / (50 + 1.6448536**2))
    low, high = wilson(0.5, 100)
    half = 1.6448536 / 1.0270554 * (0.0025 + 2.7055436 / 40_000) ** 0.5
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


def test_ranking_is_the_auc_with_ties() -> None:
    y, score = outcomes(500), RNG.integers(0, 12, 500).astype(np.float64)
    told = ranking(y, score + y)
    assert told is not None
    assert told.auc == pytest.approx(roc_auc_score(y, score + y), abs=1e-12)
    assert (told.won, told.lost) == (int(y.sum()), int(500 - y.sum()))


def test_the_interval_covers_the_auc_of_many_draws() -> None:
    """Scores of two normal classes, 1 apart: AUC = Phi(1 / sqrt 2) = 0.7602; each end misses in about 5 of 100."""
    rng = np.random.default_rng(5)
    y = np.repeat([1.0, 0.0], [60, 140])
    told = [ranking(y, rng.normal(size=200) + y) for _ in range(600)]
    assert np.mean([t.low > 0.7602 for t in told if t]) == pytest.approx(0.05, abs=0.03)
    assert np.mean([t.high < 0.7602 for t in told if t]) == pytest.approx(0.05, abs=0.03)


def test_a_perfect_field_of_few_units_is_no_certainty() -> None:
    y = np.repeat([1.0, 0.0], [LEAST, 500])
    told = ranking(y, y)
    assert told is not None
    assert told.auc == 1.0
    assert told.low == pytest.approx(wilson(1.0, LEAST)[0])
    assert ranking(y[1:], y[1:]) is None


def test_rates_elsewhere_by_a_slow_loop() -> None:
    y, code = outcomes(97), RNG.integers(0, 7, 97)
    slow = []
    for i in range(97):
        others = [j for j in range(97) if j % FOLDS != i % FOLDS]
        mean = sum(y[j] for j in others) / len(others)
        same = [j for j in others if code[j] == code[i]]
        slow.append((sum(y[j] for j in same) + PRIOR * mean) / (len(same) + PRIOR) - mean)
    np.testing.assert_allclose(rates_elsewhere(code, y), slow, atol=1e-9)


@pytest.mark.parametrize("distinct", [1, 2, 50, 1500, 3000])
def test_a_field_of_noise_says_nothing_however_many_values_it_has(distinct: int) -> None:
    y = outcomes(3000)
    column = Column("noise", "table", np.random.default_rng(distinct).integers(0, distinct, 3000), ("x",) * distinct)
    told = alone(column, y)
    assert told is not None
    assert told.auc == pytest.approx(0.5, abs=0.04)
    if distinct == 1:
        assert told.auc == 0.5


def test_a_number_is_read_by_its_rank_downwards_too_and_by_its_middle() -> None:
    y = outcomes(2000)
    falling = Column("falling", "table", -np.exp(y + 0.01 * np.random.default_rng(1).normal(size=2000)))
    middle = Column("middle", "table", np.where(y > 0, 0.0, np.random.default_rng(2).choice([-1.0, 1.0], 2000)))
    for column in (falling, middle):
        told = alone(column, y)
        assert told is not None
        assert told.auc > 0.99


def test_filling_alone_tells_and_is_left_out_among_the_filled() -> None:
    y = outcomes(1000)
    column = Column("filled", "table", np.where(y > 0, np.random.default_rng(3).normal(size=1000), np.nan))
    told = alone(column, y)
    assert told is not None
    assert told.auc == 1.0
    assert among_filled(column, y) is None  # no lost unit among them


def test_ids_are_left_out_but_their_filling_is_not() -> None:
    column = words([f"id {i}" if i % 2 else None for i in range(400)])
    assert column.kind == "id"
    assert alone(column, outcomes(400)) is None
    assert column.filled().sum() == 200
    assert words(["red", "blue"] * 200).kind == "category"


def test_bins_are_equally_filled_and_missing_has_its_own() -> None:
    code = binned(Column("x", "table", np.append(np.arange(1000.0), np.nan)))
    assert code[-1] == 0
    assert np.bincount(code)[1:].tolist() == [50] * 20


def test_times_as_often() -> None:
    assert times_as_often(Share(300, 1000), Share(30, 1000)) == pytest.approx(
        wilson(0.3, 1000)[0] / wilson(0.03, 1000)[1]
    )
    assert times_as_often(Share(0, 1000), Share(300, 1000)) > 50
    assert times_as_often(Share(10, 1000), Share(0, 1000)) == 0.0  # too rare to be talked about
    assert times_as_often(Share(29, 29), Share(0, 1000)) == 0.0  # too few


def test_a_value_that_goes_with_one_outcome() -> None:
    y = np.tile([1.0, 0.0, 0.0, 0.0], 250)
    free = np.where((y == 0) & (np.arange(1000) < 400), "parked", "none").tolist()
    (parked,) = [each for each in one_sided(words(free), y, 0.01) if each.word == "parked"]
    assert (parked.units, parked.exceptions, parked.won) == (300, 0, False)
    assert parked.base == pytest.approx(250 / 700)
    assert parked.rarer == pytest.approx(parked.base / wilson(0.0, 300)[1])
    number = Column("spaces", "table", np.where(np.array(free) == "parked", 1.0 + np.arange(1000) % 40, 0.0))
    assert "not 0" in {each.word for each in one_sided(number, y, 0.05)}  # no single number is frequent enough


def test_twins_are_compared_by_word() -> None:
    rooms = [f"room {i % 6}" for i in range(600)]
    moved = ["suite" if i % 10 == 0 else room for i, room in enumerate(rooms)]
    apart = differs(words(rooms), words(moved))
    assert apart is not None
    assert apart.tolist() == [i % 10 == 0 for i in range(600)]
    assert differs(words(rooms), words([f"size {i % 6}" for i in range(600)])) is None
    assert differs(words(rooms), words(rooms[::-1])) is None  # the same words, hardly ever at once
    assert differs(words(["yes", "no"] * 300), words(["yes", "no"] * 300)) is None  # flags share their words by chance
