"""What became known of a deal between two as-ofs: strictly, in order, and by its clock of knowing."""

from __future__ import annotations

import pytest

from features.between import Between, Change, between
from features.record import Record
from features.reference import CATEGORY_RANKS
from features.tables import NAT
from tests.tiny import at, company, record

COMMIT, PIPELINE = CATEGORY_RANKS["commit"], CATEGORY_RANKS["pipeline"]
ROWS = (
    ("2024-01-05", "Qualify", 100, "2024-03-20", "pipeline", "r1"),
    ("2024-01-20", "Qualify", 100, None, "pipeline", "r1"),  # cleared, which is no change
    ("2024-01-25 23:59", "Demo", 120, "2024-04-20", "pipeline", "r1"),
    ("2024-02-10", "Demo", 120, "2024-04-20", "commit", "r2"),
    ("2024-03-05", "Won", 90, "2024-03-05", "closed", "r3"),
)


@pytest.fixture(scope="module")
def made() -> Record:
    names = ("known_at", "stage", "amount", "close_date", "forecast_category", "owner_id")
    mail = {"deal_id": "X", "kind": "email"}
    acts = [
        {**mail, "direction": "inbound", "occurred_at": "2024-01-25"},
        {
            **mail,
            "direction": "outbound",
            "occurred_at": "2024-01-24",
            "known_at": "2024-01-31",
        },  # late, and at the end
        {**mail, "direction": "outbound", "occurred_at": "2024-01-10", "known_at": "2024-01-26"},
        {"deal_id": "X", "kind": "call", "direction": "outbound", "outcome": "connected", "occurred_at": "2024-01-26"},
        {"deal_id": "X", "kind": "call", "direction": "inbound", "occurred_at": "2024-01-26"},
        {"deal_id": "Y", "kind": "email", "direction": "inbound", "occurred_at": "2024-01-26"},
    ]
    people = [("a", "2024-01-05"), ("b", "2024-01-26"), ("a", "2024-01-27"), ("c", "2024-01-31")]
    return record(
        company(
            deals=[{"deal_id": deal, "account_id": "A", "created_at": "2024-01-05"} for deal in ("X", "Y")],
            deal_history=[{"deal_id": "X", **dict(zip(names, row, strict=True))} for row in ROWS]
            + [{"deal_id": "Y", "known_at": "2024-01-05", "stage": "Qualify"}],
            activities=acts,
            contacts=[{"deal_id": "X", "contact_id": who, "known_at": day} for who, day in people],
        )
    )


def span(made: Record, earlier: str, later: str) -> Between:
    return between(made, made.deal_ids.strings().index("X"), at(earlier), at(later))


def day(text: str) -> int:
    return at(text) // 86_400_000_000


def test_a_span_holds_its_first_instant_and_not_its_last(made: Record) -> None:
    found = span(made, "2024-01-25 23:59", "2024-01-31")
    when = day("2024-01-25")
    assert found.changes == (
        Change("stage", when, 0, 1),
        Change("close_date", when, day("2024-03-20"), day("2024-04-20")),
        Change("amount", when, 10_000, 12_000),
    )
    assert found.acts == {"email_out": 1, "call_in": 1, "call_out": 1, "call_connected": 1}
    assert found.people == 1  # b; a was there before
    before = span(made, "2024-01-20", "2024-01-25 23:59")
    assert (before.changes, before.acts, before.people) == ((), {"email_in": 1}, 0)


def test_two_spans_are_what_one_is(made: Record) -> None:
    whole = span(made, "2024-01-06", "2024-03-01")
    parts = [span(made, "2024-01-06", "2024-02-01"), span(made, "2024-02-01", "2024-03-01")]
    assert whole.changes == parts[0].changes + parts[1].changes
    assert whole.people == sum(part.people for part in parts) == 2
    assert sum(whole.acts.values()) == sum(sum(part.acts.values()) for part in parts)
    assert {change.field for change in parts[1].changes} == {"category", "owner_word"}
    assert (parts[1].changes[0].before, parts[1].changes[0].after) == (PIPELINE, COMMIT)


def test_a_closing_row_is_no_change(made: Record) -> None:
    assert span(made, "2024-02-11", "2024-04-01").changes == ()


def test_what_was_never_told_before_has_no_before(made: Record) -> None:
    found = span(made, "2024-01-04", "2024-01-06")
    assert {change.field: change.before for change in found.changes} == dict.fromkeys(
        ("stage", "close_date", "amount", "category", "owner_word"), NAT
    )


def test_the_earlier_comes_first(made: Record) -> None:
    with pytest.raises(ValueError, match="earlier as-of first"):
        span(made, "2024-02-01", "2024-02-01")
