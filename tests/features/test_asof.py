"""The gatekeeper's edges: what a cut leaves of the tables, and who sees nothing."""

from __future__ import annotations

import numpy as np
import pytest

from features.asof import Requests, look
from features.columns import days_between, team_of
from features.known import known_before
from features.periods import DAY
from features.tables import NAT
from features.timeline import timeline
from tests.tiny import at, company

CUT = "2024-02-01"


def around(name: str, clock: str, **more: object) -> list[dict[str, object]]:
    """A row just before, at and after the cut."""
    days = ("2024-01-31 23:59", CUT, "2024-02-02")
    return [{clock: day, "contact_id": f"C{k}", "deal_id": f"D{k}", **more} for k, day in enumerate(days)]


TABLES = company(
    deals=[{"deal_id": row["deal_id"], "created_at": row["t"]} for row in around("deals", "t")],
    deal_history=[{k: v for k, v in row.items() if k != "contact_id"} for row in around("h", "known_at", stage="Demo")],
    activities=around("activities", "known_at", occurred_at="2024-01-01", kind="email"),
    contacts=around("contacts", "known_at"),
    calls=[
        {"rep_id": f"R{k}", "submitted_at": row["t"], "period_start": "2024-01-01", "category": "commit", "amount": 1}
        for k, row in enumerate(around("calls", "t"))
    ],
)


@pytest.mark.parametrize("name", ["deals", "deal_history", "activities", "contacts", "calls"])
def test_a_cut_leaves_what_was_known_before_it(name: str) -> None:
    """Strictly: a row known at the cut is gone, and so are the ids and words that only gone rows held."""
    assert TABLES[name].n == 3
    left = known_before(TABLES, at(CUT))[name]
    assert left.n == 1
    ids = left.coded("rep_id" if name == "calls" else "deal_id")
    assert ids.values == (("R0",) if name == "calls" else ("D0",))


def test_activities_are_cut_by_when_they_became_known() -> None:
    late = company(activities=[{"deal_id": "D", "occurred_at": "2024-01-01", "known_at": "2024-03-01", "kind": "call"}])
    assert known_before(late, at(CUT)).activities.n == 0


def test_rows_of_nobody_and_of_no_time_are_seen_by_nobody() -> None:
    entity, known_at = np.array([0, -1, 0, 1]), np.array([5, 5, NAT, 7])
    rows = timeline("rows", 2, entity, known_at, {})
    assert len(rows) == 2
    seen = look(rows, np.array([0, 1, -1, 0]), np.array([6, 7, 100, 5]))
    assert seen.count().tolist() == [1, 0, 0, 0]
    assert seen.last("known_at").tolist() == [5, NAT, NAT, NAT]


def test_an_empty_timeline_answers_too() -> None:
    none = np.zeros(0, dtype=np.int64)
    seen = look(
        timeline("none", 3, none, none, {"x": none, "hit": none.astype(bool)}), np.array([0, 2]), np.array([9, 9])
    )
    assert seen.count("hit").tolist() == [0, 0]
    assert seen.total("x").tolist() == [0, 0]
    assert seen.last("x").tolist() == [NAT, NAT]
    assert seen.latest("x").tolist() == [NAT, NAT]
    assert seen.distinct("x").tolist() == [0, 0]
    assert seen.decayed(DAY).tolist() == [0, 0]
    assert seen.upcoming("x").tolist() == [0, 0]
    assert np.isnan(seen.days_since()).all()


def test_days_between_missing_instants_are_missing() -> None:
    got = days_between(np.array([0, NAT, 0, NAT]), np.array([DAY // 2, DAY, NAT, NAT]))
    assert got[0] == 0.5
    assert np.isnan(got[1:]).all()


def test_the_team_of_an_unknown_rep_is_unknown() -> None:
    assert team_of(np.array([3, -1]), np.array([0, 1, 2, -1])).tolist() == [3, -1, -1, -1]


def test_requests_are_two_equally_long_vectors() -> None:
    with pytest.raises(ValueError, match="two equally long vectors"):
        Requests(np.zeros(2, dtype=np.int64), np.zeros(3, dtype=np.int64))
