"""What the CRM tells beside the features: amount, the end of the close date, the period's end, and segments."""

from __future__ import annotations

import numpy as np
import pytest

from features.registry import Schema
from features.tables import NAT
from features.told import Told, told_at
from tests.tiny import asked, company, quarters, record

SCHEMA = Schema("in_period", ("type",))
DEALS = [
    {"deal_id": "A", "created_at": "2024-01-02", "type": "new"},
    {"deal_id": "B", "created_at": "2024-01-02"},
]


def told(zone: str, *requests: tuple[str, str], **row: object) -> Told:
    first = {"deal_id": "A", "known_at": "2024-01-03", "stage": "Demo", "amount": 100.25, "close_date": "2024-03-10"}
    later = {**first, "known_at": "2024-01-20", "amount": 90, "close_date": "2024-03-31"}
    tables = company(deals=DEALS, deal_history=[first, later | row])
    made = record(tables, SCHEMA, quarters(zone))
    return told_at(made, asked(made, *requests))


def test_only_what_is_known_before_the_as_of_counts() -> None:
    got = told("UTC", ("A", "2024-01-03"), ("A", "2024-01-20"), ("A", "2024-01-21"), ("B", "2024-01-21"))
    assert got.amount_cents.tolist() == [NAT, 10025, 9000, NAT]
    np.testing.assert_array_equal(np.isnan(got.close_days), [True, False, False, True])
    assert got.segments["type"].strings() == ["new", "new", "new", None]


def test_a_later_row_is_seen_an_instant_after_it_is_known() -> None:
    before, after = told("UTC", ("A", "2024-01-20"), ("A", "2024-01-20 00:01")).amount_cents.tolist()
    assert (before, after) == (10025, 9000)


def test_days_run_to_the_local_end_of_the_day() -> None:
    """A close date of the period's last day ends with the period; a day of the changing clocks has 23 hours."""
    zone = "America/New_York"
    (one,) = told(zone, ("A", "2024-03-10 05:00")).close_days.tolist()  # 00:00 in New York
    got = told(zone, ("A", "2024-03-10 05:00"))
    assert one == got.period_days[0] == 22 - 1 / 24
    overdue = told(zone, ("A", "2024-04-05"))
    assert overdue.close_days[0] < 0 < overdue.period_days[0]


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_close_date_at_the_edge_of_time_is_no_error(day: str) -> None:
    (days,) = told("Asia/Tokyo", ("A", "2024-02-01"), close_date=day).close_days.tolist()
    assert (days > 2_000_000) if day > "2024" else (days < -300_000)


def test_rows_alone_are_rows_together() -> None:
    requests = [("A", "2024-01-19"), ("A", "2024-02-01"), ("B", "2024-02-01")]
    together = told("Europe/Berlin", *requests)
    for i, one in enumerate(requests):
        alone = told("Europe/Berlin", one)
        for name in ("amount_cents", "close_days", "period_days"):
            assert getattr(alone, name).tobytes() == getattr(together, name)[i : i + 1].tobytes()
