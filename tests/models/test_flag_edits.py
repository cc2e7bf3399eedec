"""What the flags of record keeping leave alone, beside what they raise (tests/contract has a sick twin of each)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from configs.flags import Flags
from tests.flagged import AS_OF, HEALTHY, SICK, Open, demo, flags_of, history

BURST, LATE = SICK["logged_in_bulk", "burst"], SICK["logged_in_bulk", "late"]
CALL = SICK["raised_late", "call"]


def codes(deal: Open, **limits: Any) -> list[str]:
    return [flag.code for flag in flags_of({"x": deal}, Flags.model_validate(limits))["x"]]


def evidence(deal: Open) -> str:
    (flag,) = flags_of({"x": deal})["x"]
    return flag.evidence


def test_evidence_has_the_facts_and_the_usual_values() -> None:
    assert evidence(BURST) == (
        "10 acts of ours were entered within one day, and nothing from the buyer since; the busiest day of the 60 "
        "deals that were won had 1.0 on average"
    )
    assert evidence(LATE) == (
        "6 acts of ours were entered within 7 days, 4 days after they happened on average; on the 60 deals that were "
        "won an entry usually came after 0 hours"
    )
    assert evidence(CALL) == (
        "called commit since 12 May 2024, 4 hours before the look; by then the buyer had last acted 11 days before, "
        "where the usual gap between acts of the buyer is 4 days on the 60 deals that were won"
    )


def test_an_answer_of_the_buyers_makes_a_burst_a_conversation() -> None:
    reply = {"kind": "email", "direction": "inbound", "occurred_at": "2024-05-12 18:00"}
    assert codes(replace(BURST, activities=(*BURST.activities, reply))) == []


@pytest.mark.parametrize(("limits", "found"), [({"acts": 11}, []), ({"acts": 10}, ["logged_in_bulk"])])
def test_a_burst_is_counted_by_day(limits: dict[str, int], found: list[str]) -> None:
    assert codes(BURST, logged_in_bulk=limits) == found
    spread = tuple({**row, "occurred_at": f"2024-05-{3 + k:02} 10:00", "known_at": f"2024-05-{3 + k:02} 10:00"}
                   for k, row in enumerate(BURST.activities[2:]))  # fmt: skip
    assert codes(replace(HEALTHY, activities=(*HEALTHY.activities, *spread))) == []


def test_a_burst_is_seen_for_a_week() -> None:
    weeks = {"2024-05-19": ["logged_in_bulk"], "2024-05-21": []}
    found = {
        day: [f.code for f in flags_of({"x": BURST}, as_of=day)["x"] if f.code == "logged_in_bulk"] for day in weeks
    }
    assert found == weeks


def test_entries_in_time_are_no_late_ones() -> None:
    assert codes(LATE, logged_in_bulk={"late_days": 4.5}) == []
    assert codes(LATE, logged_in_bulk={"late_acts": 7}) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"known_at": "2024-05-11 20:00", "forecast_category": "commit"}, []),  # two days ago
        ({"known_at": "2024-05-12 20:00", "forecast_category": "best_case"}, []),  # raised, but not to commit
        ({"known_at": f"{AS_OF} 00:00", "forecast_category": "commit"}, []),  # known at the look, not before it
    ],
)
def test_what_is_no_late_raise(changes: dict[str, str], found: list[str]) -> None:
    deal = history({"forecast_category": "pipeline"}, demo(), changes)
    assert [code for code in codes(deal) if code == "raised_late"] == found


def test_a_date_put_right_within_the_period_is_no_raise() -> None:
    for first, then in (("2024-06-28", "2024-06-20"), ("2024-05-01", "2024-06-20"), ("2024-07-20", "2024-07-10")):
        deal = history({"close_date": first}, demo(), {"known_at": "2024-05-12 20:00", "close_date": then})
        assert "raised_late" not in codes(deal), first


def test_the_longer_the_buyer_was_silent_the_more_severe() -> None:
    spoke = {"kind": "email", "direction": "inbound", "occurred_at": "2024-05-12 12:00"}
    (fresh,) = flags_of({"x": replace(CALL, activities=(*CALL.activities, spoke))})["x"]
    (stale,) = flags_of({"x": CALL})["x"]
    assert (fresh.severity, stale.severity) == ("low", "high")
    assert codes(CALL, raised_late={"quiet_days": 12}) == []


def test_a_buyer_who_never_acted_is_told_as_that() -> None:
    deal = replace(CALL, activities=())
    assert "the buyer had not acted in the 28 days since the deal began" in evidence(deal)
