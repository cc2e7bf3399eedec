"""Reps by finished period, by hand: which call counts, whose win it is, when quota was reached, what followed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from configs.errors import UsageError
from features.pipeline import pipeline_facts
from features.rep_periods import RepPeriods, rep_periods
from features.tables import NAT
from tests.tiny import Row, at, company, quarters, record


def deal(name: str, rep: str, made: str, won: str | None = None, amount: float = 100.0) -> tuple[Row, list[Row]]:
    told: dict[str, Any] = {"deal_id": name, "amount": amount, "owner_id": rep}
    rows = [{**told, "known_at": made, "stage": "Demo"}]
    rows += [{**told, "known_at": won, "stage": "Won"}] if won else []
    return {"deal_id": name, "created_at": made}, rows


DEALS = (
    deal("old", "ann", "2023-11-20"),
    deal("a1", "ann", "2024-01-05", "2024-02-01", 60),
    deal("a2", "ann", "2024-01-06", "2024-03-01", 50),
    deal("a3", "ann", "2024-01-07", "2024-03-20", 10),
    deal("a4", "ann", "2024-01-08", "2024-04-10 23:59", 5),
    deal("a5", "ann", "2024-01-08", "2024-04-11 00:00", 5),
    deal("b1", "bob", "2024-01-09", "2024-02-10", 70),
)
CALLS = (
    ("ann", "2023-12-30", 900),  # before the period began
    ("ann", "2024-01-03", 40),
    ("ann", "2024-01-21 23:59", 80),  # the last one before week 4's Monday, 22 January
    ("ann", "2024-01-22 00:00", 500),
    ("bob", "2024-01-22 09:00", 70),
)
QUOTAS = (("ann", 110.0, "2024-01-01"), ("bob", 500.0, "2024-01-01"))


def seen(as_of: str, periods: int = 12, zone: str = "UTC", **more: Any) -> RepPeriods:
    calls = [
        {"rep_id": rep, "submitted_at": when, "period_start": "2024-01-01", "category": "commit", "amount": amount}
        for rep, when, amount in CALLS
    ]
    quotas = [
        {"rep_id": rep, "amount": amount, "period_start": "2024-01-01", "known_at": when}
        for rep, amount, when in more.get("quotas", QUOTAS)
    ]
    made = company(
        deals=[head for head, _ in DEALS], deal_history=[row for _, rows in DEALS for row in rows], calls=calls,
        quotas=quotas,
    )  # fmt: skip
    return rep_periods(pipeline_facts(made, record(made, calendar=quarters(zone))), at(as_of), periods, 4, 10)


def test_facts_by_hand() -> None:
    facts = seen("2024-04-11")
    assert facts.reps == ("ann", "bob")
    assert facts.first_days.tolist() == [at("2024-01-01") // 86_400_000_000]
    assert facts.called.tolist() == [[8_000], [NAT]]
    assert facts.booked.tolist() == [[12_000], [7_000]]
    assert facts.closed.tolist() == [[3], [1]]
    assert facts.stayed.tolist() == [[True], [False]]
    assert facts.quota.tolist() == [[11_000], [50_000]]
    assert facts.to_spare[0, 0] == 31.0  # 1 March to 1 April
    assert np.isnan(facts.to_spare[1, 0])
    assert facts.next_wins.tolist() == [[1], [0]]


def test_what_follows_is_told_once_its_days_are_over() -> None:
    assert seen("2024-04-10 23:59").next_wins.tolist() == [[NAT], [NAT]]
    assert seen("2024-04-11 00:00").next_wins.tolist() == [[1], [0]]


def test_a_period_counts_once_it_is_over_and_not_where_the_record_begins() -> None:
    assert len(seen("2024-03-31 23:59").first_days) == 0
    assert len(seen("2024-04-01 00:00").first_days) == 1
    assert len(seen("2024-07-01").first_days) == 2
    assert len(seen("2024-07-01", periods=1).first_days) == 1


def test_a_quota_told_after_the_period_is_none() -> None:
    late = (("ann", 110.0, "2024-04-01"), ("bob", 60.0, "2024-03-31 23:59"))
    facts = seen("2024-05-01", quotas=late)
    assert facts.quota.tolist() == [[NAT], [6_000]]
    assert np.isnan(facts.to_spare[0, 0])
    assert facts.to_spare[1, 0] == 51.0


def test_quotas_of_months_add_up() -> None:
    assert seen("2024-05-01", quotas=(*QUOTAS, ("ann", 10.0, "2024-01-15"))).quota[0, 0] == 12_000


def test_weeks_and_days_are_the_companys_own() -> None:
    """In Auckland week 4's Monday and the tenth day begin 13 and 12 hours earlier than in UTC."""
    facts = seen("2024-04-11", zone="Pacific/Auckland")
    assert facts.called[0, 0] == 4_000
    assert facts.next_wins[0, 0] == 0


def test_an_as_of_outside_the_calendar_is_refused() -> None:
    with pytest.raises(UsageError, match="fiscal calendar"):
        seen("1960-01-01")


def test_an_empty_record_has_no_reps() -> None:
    made = company()
    facts = rep_periods(pipeline_facts(made, record(made)), at("2024-04-01"), 12, 4, 10)
    assert len(facts) == 0
    assert len(facts.first_days) == 0
