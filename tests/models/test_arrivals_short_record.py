"""A record shorter than a quarter can still tell what is to come, if volume is counted in a shorter time."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from features.periods import DAY, fiscal_calendar
from features.wins import Wins
from models.arrivals import Window, arrivals_of, created_lately, past_arrivals

MONDAY = date(2024, 1, 1)
WEEKS = fiscal_calendar("month", 1, "UTC", [MONDAY + timedelta(days=7 * k) for k in range(20)])
START = int(WEEKS.starts[0])
LAG, EVERY, SPAN = 5 * DAY, DAY // 2, 28 * DAY  # two deals a day, each won five days later


def _wins(created: np.ndarray) -> Wins:
    n = len(created)
    return Wins(created + LAG, created, np.full(n, 100), np.arange(n), np.zeros(n, dtype=np.int64))


def test_volume_in_four_weeks_where_a_quarter_tells_nothing() -> None:
    as_of = int(WEEKS.starts[9])
    created = np.arange(START, as_of, EVERY)
    known = _wins(created).before(as_of)
    window = Window(as_of, as_of, as_of + SPAN)
    assert len(past_arrivals(known, created, WEEKS, window).periods) == 0
    past = past_arrivals(known, created, WEEKS, window, SPAN)
    assert past.periods.tolist() == [4, 5]  # their windows are over, and four weeks of deals lie before them
    assert past.created.tolist() == [56, 56]
    assert past.wins.tolist() == [46, 46]  # of 56 deals in the window those of its last five days win after it
    coming = arrivals_of(past, created_lately(created, as_of, SPAN), known, np.zeros(1, dtype=np.int64), np.ones(1))
    assert coming.expected().tolist() == [4600]
