"""Snapshots: every open deal at every Monday and period start, or at fixed ages."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from features.asof import Requests
from features.record import Record
from tests.tiny import asked, at, company, quarters, record
from training.snapshots import at_ages, joined, weekly, weekly_grid

DAYS = ("2024-03-25", "2024-04-01", "2024-04-08")  # Mondays; 1 April also begins a period


def three_deals() -> Record:
    """A is won at Monday 00:00, B a minute before it, C is created on a Monday and never closes."""
    return record(
        company(
            deals=[
                {"deal_id": "A", "created_at": "2024-03-20"},
                {"deal_id": "B", "created_at": "2024-03-20"},
                {"deal_id": "C", "created_at": "2024-04-01"},
            ],
            deal_history=[
                {"deal_id": "A", "known_at": "2024-03-20", "stage": "Qualify"},
                {"deal_id": "A", "known_at": "2024-04-01", "stage": "Won"},
                {"deal_id": "B", "known_at": "2024-03-20", "stage": "Qualify"},
                {"deal_id": "B", "known_at": "2024-03-31 23:59", "stage": "Lost"},
                {"deal_id": "C", "known_at": "2024-04-01", "stage": "Qualify"},
            ],
        )
    )


def pairs(made: Record, found: Requests) -> list[tuple[str | None, int]]:
    return [(made.deal_ids.decode(int(deal)), int(as_of)) for deal, as_of in zip(found.deal, found.as_of, strict=True)]


def test_the_grid_is_mondays_and_period_starts_once_each() -> None:
    calendar = quarters()
    assert weekly_grid(calendar, at("2024-03-22"), at("2024-04-09")).tolist() == [at(day) for day in DAYS]
    # 1 July 2024 is a Monday; 1 January 2025 a Wednesday between two.
    days = weekly_grid(calendar, at("2024-12-30"), at("2025-01-07")).tolist()
    assert days == [at("2024-12-30"), at("2025-01-01"), at("2025-01-06")]


def test_the_grid_ends_before_until() -> None:
    assert weekly_grid(quarters(), at("2024-03-25"), at("2024-04-01")).tolist() == [at("2024-03-25")]


def test_the_grid_is_local() -> None:
    grid = weekly_grid(quarters("America/New_York"), at("2024-03-22"), at("2024-04-02"))
    assert grid.tolist() == [at("2024-03-25 04:00"), at("2024-04-01 04:00")]


def test_every_open_deal_has_a_row() -> None:
    """Closed or created at an as-of is not yet closed or known at it."""
    made = three_deals()
    assert pairs(made, weekly(made, at("2024-04-09"))) == [
        ("A", at("2024-03-25")),
        ("B", at("2024-03-25")),
        ("A", at("2024-04-01")),
        ("C", at("2024-04-08")),
    ]


def test_a_deal_whose_stage_is_the_current_one_is_not_learnt_from() -> None:
    """It has rows because it is still open; had it closed, it would have none."""
    rows = [
        {"deal_id": "A", "known_at": "2024-03-20", "stage": "Qualify", "assumed": "owner_id"},
        {"deal_id": "B", "known_at": "2024-03-20", "stage": "Qualify", "assumed": "owner_id,stage"},
    ]
    deals = [{"deal_id": name, "created_at": "2024-03-20"} for name in ("A", "B")]
    made = record(company(deals=deals, deal_history=rows))
    assert pairs(made, weekly(made, at("2024-03-26"))) == [("A", at("2024-03-25"))]
    assert made.is_open(asked(made, ("B", "2024-03-25"))).tolist() == [True]  # it is scored all the same


def test_ages_count_from_when_a_deal_was_known_and_stop_before_until() -> None:
    made = three_deals()
    ages = (timedelta(minutes=29), timedelta(days=12))
    found = pairs(made, at_ages(made, ages, at("2024-04-13")))
    assert found == [
        ("A", at("2024-03-20 00:29")),
        ("B", at("2024-03-20 00:29")),
        ("C", at("2024-04-01 00:29")),
        ("A", at("2024-04-01")),  # B is lost by then, and C's 12 days end at `until` itself
    ]


def test_joining_nothing_gives_nothing() -> None:
    assert len(joined([])) == 0
    assert joined([]).as_of.dtype == np.int64
