"""What flags call usual: each fact of a closed deal against what its rows say, known at the close and no earlier."""

from __future__ import annotations

import numpy as np
import pytest

from features.periods import DAY
from features.record import Record
from features.reference import CATEGORY_RANKS, cell_of
from features.standings import look_of
from tests.tiny import at, company, quarters, record

HISTORY = (
    ("2024-01-05", "Qualify", 100, "2024-03-20"),
    ("2024-01-25", "Demo", 100, "2024-04-20"),  # past the period's end
    ("2024-02-10", "Demo", 80, "2024-04-25"),  # a cut; a push within the quarter
    ("2024-03-05", "Won", 80, "2024-03-05"),
)
LOST = (
    ("2024-01-05", "Qualify", 50, "2024-03-20"),
    ("2024-02-05", "Propose", 50, "2024-03-20"),
    ("2024-03-30", "Lost", 1, ""),
)


@pytest.fixture(scope="module")
def made() -> Record:
    rows = [
        {"deal_id": deal, "known_at": day, "stage": stage, "amount": amount, "close_date": due or None,
         "forecast_category": "commit"}
        for deal, listed in (("W", HISTORY), ("L", LOST)) for day, stage, amount, due in listed
    ]  # fmt: skip
    mail = {"deal_id": "W", "kind": "email"}
    return record(
        company(
            deals=[{"deal_id": deal, "account_id": "A", "created_at": "2024-01-05"} for deal in ("W", "L")],
            deal_history=rows,
            contacts=[
                {"deal_id": "W", "contact_id": "a", "known_at": "2024-01-06"},
                {"deal_id": "W", "contact_id": "b", "known_at": "2024-01-25", "seniority": "director"},
                {"deal_id": "L", "contact_id": "c", "known_at": "2024-01-06", "role": "decision_maker"},
            ],
            activities=[
                {**mail, "direction": "inbound", "occurred_at": "2024-02-01"},
                {**mail, "direction": "outbound", "occurred_at": "2024-02-03"},
                {**mail, "direction": "inbound", "occurred_at": "2024-03-01"},
                {**mail, "direction": "outbound", "occurred_at": "2024-03-06"},  # after the close
            ],
        )
    )


def said(made: Record, kind: str) -> list[dict[str, int]]:
    columns = made.reference.events[kind].columns
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*(c.tolist() for c in columns.values()), strict=True)
    ]


def test_crews_are_those_known_on_entering_a_stage(made: Record) -> None:
    won, lost = at("2024-03-05"), at("2024-03-30")
    assert said(made, "crews") == [
        {"known_at": won, "stage": 0, "won": 1, "contacts": 0, "several": 0, "senior": 0},
        {"known_at": won, "stage": 1, "won": 1, "contacts": 1, "several": 0, "senior": 0},  # b was told with the stage
        {"known_at": lost, "stage": 0, "won": 0, "contacts": 0, "several": 0, "senior": 0},
        {"known_at": lost, "stage": 2, "won": 0, "contacts": 1, "several": 0, "senior": 1},
    ]


def test_manners_end_with_the_close(made: Record) -> None:
    assert said(made, "manners") == [
        {
            "known_at": at("2024-03-05"),
            "won": 1,
            "answer_s": 2 * 86_400,
            "answers": 1,
            "skipped": 0,
            "cut": 1,
            "slips": 1,
        },
        {"known_at": at("2024-03-30"), "won": 0, "answer_s": 0, "answers": 0, "skipped": 1, "cut": 0, "slips": 0},
    ]


def test_calls_are_told_at_the_end_of_the_period(made: Record) -> None:
    commit, end = CATEGORY_RANKS["commit"], at("2024-04-01") - 1
    cells = {(row["cell"], row["won"]) for row in said(made, "called")}
    asked = [(False, 1, 1), (False, 2, 1), (True, 1, 0), (True, 2, 0)]
    looks = {
        (int(cell_of(np.array([commit]), np.array([within]), np.array([turn]))[0]), won) for within, turn, won in asked
    }
    assert cells == looks  # at the period's start neither was known
    assert {row["known_at"] for row in said(made, "called")} == {end}


def test_a_look_follows_its_instant() -> None:
    calendar = quarters()
    begun, over = at("2024-01-01"), at("2024-04-01")
    third = (over - begun) // 3
    instants = np.array([begun, begun + third - 1, begun + third, begun + 2 * third, over - 1, over - DAY])
    assert look_of(calendar, instants).tolist() == [0, 0, 1, 2, 2, 2]


def test_the_busiest_day_goes_by_when_acts_were_entered() -> None:
    """Three entered on one day, whenever they happened; the buyer's own and what came with the close don't count."""
    ours = {"deal_id": "W", "kind": "email", "direction": "outbound"}
    days = [("2024-01-08", "2024-01-10"), ("2024-01-09", "2024-01-10 08:00"), ("2024-01-10", "2024-01-10 23:00")]
    late = [{**ours, "occurred_at": "2024-02-01", "known_at": "2024-03-05"}] * 5
    acts = [{**ours, "occurred_at": at_, "known_at": known} for at_, known in days]
    acts += [{**ours, "occurred_at": "2024-01-11"}, {**ours, "occurred_at": "2024-01-10", "direction": "inbound"}]
    made = record(
        company(
            deals=[{"deal_id": deal, "account_id": "A", "created_at": "2024-01-05"} for deal in ("W", "L")],
            deal_history=[
                {"deal_id": "W", "known_at": "2024-01-05", "stage": "Qualify"},
                {"deal_id": "W", "known_at": "2024-03-05", "stage": "Won"},
                {"deal_id": "L", "known_at": "2024-01-05", "stage": "Qualify"},
                {"deal_id": "L", "known_at": "2024-03-06", "stage": "Lost"},
            ],
            activities=[*acts, *late],
        )
    )
    assert said(made, "entries") == [
        {"known_at": at("2024-03-05"), "won": 1, "busiest": 3},
        {"known_at": at("2024-03-06"), "won": 0, "busiest": 0},
    ]
