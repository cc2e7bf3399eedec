"""Splits in time: train on what was known, judge on what came later; a label window never crosses the cut (purge)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.periods import DAY, Calendar
from models.base import Bool, Examples, Int
from models.close import InnerFold

INNER_PERIODS = 4
INNER_SHARES = (0.55, 0.7, 0.85)  # of the training deals by creation, for heads without periods
FEWEST = 200  # rows, and 10 wins, that either side of an inner fold must have to tell anything
FEWEST_WINS = 10


@dataclass(frozen=True)
class Fold:
    """One test: rows that train (``label_end <= cut``) and rows that test, bool[n]. name: the period's first day."""

    name: str
    cut: int
    train: Bool
    test: Bool


def period_folds(calendar: Calendar, as_of: Int, label_end: Int, until: int, count: int) -> list[Fold]:
    """Return a fold per last complete period before `until`, oldest first; each trains on all told before it."""
    folds = []
    for period in _last_periods(calendar, until, count):
        start, end = int(calendar.starts[period]), int(calendar.starts[period + 1])
        train = label_end <= start
        if train.any():
            test = (as_of >= start) & (as_of < end)
            folds.append(Fold(calendar.day(period).isoformat(), start, train, test))
    return [fold for fold in folds if fold.test.any()]


def first_test(calendar: Calendar, until: int, count: int) -> int:
    """Return when the first of the last `count` complete periods before `until` begins: where the tests begin."""
    return int(calendar.starts[_last_periods(calendar, until, count).start])


def _last_periods(calendar: Calendar, until: int, count: int) -> range:
    last = int(np.searchsorted(calendar.starts, until, side="right")) - 1
    return range(max(last - count, 0), max(last, 0))


def created_folds(label_end: Int, created: Int, count: int, told: Bool | None = None) -> list[Fold]:
    """Return `count` folds over the newer half of told rows by creation of the deal, oldest first, as equal as can be.

    label_end, created: int64[n]. told: bool[n], rows whose outcome is told, which alone test; None: all are. No deal
    stands on both sides. For heads without periods.
    """
    told = np.ones(len(created), dtype=bool) if told is None else told
    if not told.any():
        return []
    edges = [*np.quantile(created[told], np.linspace(0.5, 1.0, count + 1)[:-1]).astype(np.int64).tolist(), np.inf]
    folds = []
    for low, high in pairwise(edges):
        test = told & (created >= low) & (created < high)
        name = datetime.fromtimestamp(low / 1_000_000, UTC).date().isoformat()
        folds.append(Fold(name, int(low), (label_end <= low) & (created < low), test))
    return [fold for fold in folds if fold.train.any() and fold.test.any()]


def cut_fold(name: str, cut: int, created: Int, train_end: Int, test_end: Int, until: int) -> Fold:
    """Return the fold of a fixed cut: test rows are of deals created after it, their outcome told by `until`."""
    return Fold(name, cut, train_end <= cut, (created > cut) & (test_end <= until))


def before_embargo(as_of: Int, cut: int, days: int) -> Bool:
    """Return bool[n]: rows asked at least `days` days before the cut."""
    early: Bool = as_of < cut - days * DAY if days else np.ones(len(as_of), dtype=bool)
    return early


def inner_period_folds(calendar: Calendar, rows: Examples, cut: int) -> list[InnerFold]:
    """Return folds inside the training rows: each of the last periods before `cut`, judged by what was told before."""
    last = int(np.searchsorted(calendar.starts, cut, side="right")) - 1
    folds = []
    for period in range(max(last - INNER_PERIODS, 0), last):
        start, end = calendar.starts[period], calendar.starts[period + 1]
        folds.append(InnerFold(rows.label_end <= start, (rows.as_of >= start) & (rows.as_of < end), int(start)))
    return [fold for fold in folds if _enough(rows, fold)]


def inner_created_folds(rows: Examples, created: Int) -> list[InnerFold]:
    """Return folds by creation of the deal, for heads without periods; no deal stands on both sides."""
    edges = [*np.quantile(created, INNER_SHARES), np.inf] if len(created) else []
    folds = []
    for low, high in pairwise(edges):
        folds.append(InnerFold((rows.label_end <= low) & (created < low), (created >= low) & (created < high)))
    return [fold for fold in folds if _enough(rows, fold)]


def _enough(rows: Examples, fold: InnerFold) -> bool:
    def told(mask: NDArray[np.bool_]) -> bool:
        wins = float(rows.y[mask].sum())
        return int(mask.sum()) >= FEWEST and FEWEST_WINS <= wins <= mask.sum() - FEWEST_WINS

    return told(fold.fit) and told(fold.judge)
