"""Splits: no row trains whose label window reaches past the cut, and inner folds never touch what the cut hides."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.build import FeatureMatrix
from features.periods import DAY
from models.base import Examples
from tests.tiny import at, quarters
from training.splits import (
    FEWEST,
    FEWEST_WINS,
    created_folds,
    cut_fold,
    first_test,
    inner_created_folds,
    inner_period_folds,
    period_folds,
)

CALENDAR = quarters()
DAY_0, DAYS = at("2022-01-01"), 3 * 365


def period_rows(as_of: np.ndarray, y: np.ndarray | None = None, deal: np.ndarray | None = None) -> Examples:
    """Rows of an in-period head: their window ends with their period."""
    n = len(as_of)
    matrix = FeatureMatrix(("x",), np.zeros((n, 1)))
    _, end = CALENDAR.bounds(as_of)
    wins = np.arange(n) % 4 == 0 if y is None else y
    return Examples(matrix, wins.astype(np.float64), np.arange(n) if deal is None else deal, as_of, end)


def eventual_rows(created: np.ndarray, life: np.ndarray) -> Examples:
    """Rows of an eventual head, one a deal: seen a day after creation, told `life` microseconds after it."""
    n = len(created)
    matrix = FeatureMatrix(("x",), np.zeros((n, 1)))
    return Examples(matrix, (np.arange(n) % 3 == 0).astype(np.float64), np.arange(n), created + DAY, created + life)


instants = st.lists(st.integers(0, DAYS * 24).map(lambda h: DAY_0 + h * DAY // 24), min_size=1, max_size=60)


@given(instants, st.integers(0, DAYS), st.integers(1, 6))
def test_no_training_row_is_told_after_the_cut(as_of: list[int], until: int, count: int) -> None:
    rows = period_rows(np.array(as_of, dtype=np.int64))
    end = DAY_0 + until * DAY
    folds = period_folds(CALENDAR, rows.as_of, rows.label_end, end, count)
    assert len(folds) <= count
    for fold in folds:
        assert fold.train.any()
        assert (rows.label_end[fold.train] <= fold.cut).all()
        assert (rows.as_of[fold.test] >= fold.cut).all()
        assert (rows.label_end[fold.test] <= end).all()  # only complete periods are tested
        assert not (fold.train & fold.test).any()


def test_the_tests_begin_with_the_first_of_the_last_complete_periods() -> None:
    rows = period_rows(DAY_0 + np.arange(DAYS, dtype=np.int64) * DAY)
    for until in (at("2024-10-01"), at("2024-12-31"), at("2023-04-02")):
        for count in (1, 2, 4):
            folds = period_folds(CALENDAR, rows.as_of, rows.label_end, until, count)
            assert first_test(CALENDAR, until, count) == folds[0].cut


def test_folds_by_creation_cover_the_newer_half_and_part_the_deals() -> None:
    """400 deals, a day apart, told 30 days after: four folds of 50, each trained on the deals told before it."""
    created = DAY_0 + np.arange(400, dtype=np.int64) * DAY
    folds = created_folds(created + 30 * DAY, created, 4)
    assert [int(fold.test.sum()) for fold in folds] == [50, 50, 50, 50]
    assert not sum(fold.test.astype(int) for fold in folds)[:200].any()
    for fold in folds:
        assert created[fold.train].max() + 30 * DAY <= fold.cut
        assert created[fold.test].min() >= fold.cut
        assert abs(int(fold.train.sum()) - (np.flatnonzero(fold.test)[0] - 30)) <= 1
    assert created_folds(created[:0], created[:0], 4) == []


def test_every_told_row_trains_and_every_row_of_the_period_is_tested() -> None:
    """One row a day for three years, four folds: each tests its quarter and trains on all quarters before it."""
    rows = period_rows(DAY_0 + np.arange(DAYS, dtype=np.int64) * DAY)
    folds = period_folds(CALENDAR, rows.as_of, rows.label_end, at("2024-12-31"), 4)
    assert [fold.name for fold in folds] == ["2023-10-01", "2024-01-01", "2024-04-01", "2024-07-01"]
    assert [int(fold.test.sum()) for fold in folds] == [92, 91, 91, 92]
    assert [int(fold.train.sum()) for fold in folds] == [365 + 273, 730, 730 + 91, 730 + 182]


def test_a_period_that_ends_at_until_is_complete() -> None:
    rows = period_rows(DAY_0 + np.arange(DAYS, dtype=np.int64) * DAY)
    exactly = period_folds(CALENDAR, rows.as_of, rows.label_end, at("2024-10-01"), 1)
    just_before = period_folds(CALENDAR, rows.as_of, rows.label_end, at("2024-10-01") - 1, 1)
    assert [fold.name for fold in (*exactly, *just_before)] == ["2024-07-01", "2024-04-01"]


def test_the_last_told_row_trains_at_its_very_cut() -> None:
    """A window that ends at the cut is told: what happened in it is known before the cut."""
    rows = period_rows(np.array([at("2024-03-31"), at("2024-04-01")]))
    (fold,) = period_folds(CALENDAR, rows.as_of, rows.label_end, at("2024-07-01"), 1)
    assert fold.train.tolist() == [True, False]
    assert fold.test.tolist() == [False, True]


def test_a_window_that_reaches_past_the_cut_is_purged() -> None:
    """Windows of 60 days, whatever the period: a row seen before the cut but told after it neither trains nor tests."""
    as_of = np.array([at("2024-01-31"), at("2024-02-01"), at("2024-03-15"), at("2024-04-01")])
    (fold,) = period_folds(CALENDAR, as_of, as_of + 60 * DAY, at("2024-07-01"), 1)
    assert fold.train.tolist() == [True, True, False, False]  # 60 days from 1 February end on 1 April
    assert fold.test.tolist() == [False, False, False, True]


def test_a_fixed_cut_tests_deals_begun_after_it_and_told_by_the_end() -> None:
    cut, until = 100, 200
    created = np.array([90, 100, 101, 150, 150])
    train_end = np.array([100, 101, 120, 160, 300])
    test_end = np.array([100, 101, 120, 200, 201])
    fold = cut_fold("cut", cut, created, train_end, test_end, until)
    assert fold.train.tolist() == [True, False, False, False, False]
    assert fold.test.tolist() == [False, False, True, True, False]


def test_inner_period_folds_stay_before_the_cut() -> None:
    """Each judging row lies in a period before the cut, and each fitting row was told before that period."""
    as_of = DAY_0 + np.arange(DAYS * 4, dtype=np.int64) * (DAY // 4)
    rows = period_rows(as_of)
    cut = at("2024-07-01")
    rows = rows.take(rows.label_end <= cut)
    folds = inner_period_folds(CALENDAR, rows, cut)
    assert [int(fold.judge.sum()) for fold in folds] == [92 * 4, 92 * 4, 91 * 4, 91 * 4]
    starts = ("2023-07-01", "2023-10-01", "2024-01-01", "2024-04-01")
    for fold, start in zip(folds, starts, strict=True):
        assert rows.label_end[fold.judge].max() <= cut
        assert rows.as_of[fold.judge].min() == at(start)
        assert rows.label_end[fold.fit].max() == at(start)


def test_inner_created_folds_put_no_deal_on_both_sides() -> None:
    created = DAY_0 + np.arange(2000, dtype=np.int64) * DAY // 4
    rows = eventual_rows(created, np.full(2000, 20 * DAY))
    folds = inner_created_folds(rows, created)
    assert [int(fold.judge.sum()) for fold in folds] == [300, 300, 300]
    for fold in folds:
        assert created[fold.fit].max() < created[fold.judge].min()
        assert rows.label_end[fold.fit].max() <= created[fold.judge].min()  # told before the first judged deal began
        assert not np.isin(rows.deal[fold.fit], rows.deal[fold.judge]).any()


def test_inner_created_folds_leave_out_what_is_told_later() -> None:
    """Slow deals: those created before the edge but closed after it neither fit nor judge."""
    created = DAY_0 + np.arange(2000, dtype=np.int64) * DAY // 4
    rows = eventual_rows(created, np.full(2000, 100 * DAY))
    first = inner_created_folds(rows, created)[0]
    assert int(first.fit.sum()) == 1100 - 400
    assert rows.label_end[first.fit].max() <= np.quantile(created, 0.55)


def test_folds_that_can_tell_nothing_are_left_out() -> None:
    as_of = DAY_0 + np.arange(DAYS, dtype=np.int64) * DAY
    cut = at("2024-07-01")
    told = period_rows(as_of).take(period_rows(as_of).label_end <= cut)
    assert inner_period_folds(CALENDAR, told, cut) == []  # 91 rows judge: fewer than 200
    dense = DAY_0 + np.arange(DAYS * 4, dtype=np.int64) * (DAY // 4)
    few = np.zeros(len(dense))
    few[:: len(dense) // FEWEST_WINS] = 1
    assert FEWEST < 91 * 4
    assert inner_period_folds(CALENDAR, period_rows(dense, few), cut) == []  # hardly a win in a period
    assert inner_created_folds(period_rows(np.zeros(0, dtype=np.int64)), np.zeros(0)) == []
