"""Other deals of an account, as of a request: who they are, and what may be seen of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.periods import DAY
from features.record import Record, build_record
from features.registry import Schema
from features.siblings import Siblings
from features.tables import NAT, Coded
from tests.tiny import STAGES, asked, company, quarters, record


def made(**later: object) -> Record:
    deals = [
        {"deal_id": "old", "account_id": "A", "created_at": "2024-01-01"},
        {"deal_id": "mid", "account_id": "A", "created_at": "2024-01-20"},
        {"deal_id": "new", "account_id": "A", "created_at": "2024-02-01"},
        {"deal_id": "late", "account_id": "A", "created_at": "2024-01-25", "known_at": "2024-03-01"},
        {"deal_id": "other", "account_id": "B", "created_at": "2024-02-01"},
        {"deal_id": "none", "created_at": "2024-02-01"},
    ]
    rows = [{"deal_id": str(d["deal_id"]), "known_at": d["created_at"], "stage": "Qualify", "amount": 5} for d in deals]
    return record(company(deals=deals, deal_history=rows))


def seen(of: Record, deal: str, as_of: str, days: int) -> list[str]:
    place, view = of.view(asked(of, ("none", as_of), (deal, as_of))).siblings(days * DAY)
    assert set(place.tolist()) <= {1}
    return [view.deal_id(row) for row in range(len(view))]


def test_deals_of_the_account_created_before_and_not_long_before() -> None:
    of = made()
    assert seen(of, "new", "2024-02-10", 12) == ["mid"]
    assert seen(of, "new", "2024-02-10", 11) == []
    assert seen(of, "new", "2024-02-10", 365) == ["old", "mid"]
    assert seen(of, "old", "2024-02-10", 365) == [], "only those created no later"
    assert seen(of, "other", "2024-02-10", 365) == []


def test_a_deal_that_the_crm_learnt_of_later_is_not_there_yet() -> None:
    of = made()
    assert seen(of, "new", "2024-03-01", 365) == ["old", "mid"]
    assert seen(of, "new", "2024-03-02", 365) == ["old", "mid", "late"]
    assert seen(of, "new", "2024-02-01", 365) == [], "nor is anything before the deal itself is known"


def test_a_record_of_some_deals_knows_no_siblings() -> None:
    of = made()
    tables = company(
        deals=[{"deal_id": name, "account_id": "A", "created_at": "2024-02-01"} for name in ("x", "y")],
        deal_history=[{"deal_id": name, "known_at": "2024-02-01", "stage": "Qualify"} for name in ("x", "y")],
    )
    inline = build_record(tables, STAGES, quarters(), Schema("in_period"), reference=of.reference)
    place, view = inline.view(asked(inline, ("x", "2024-02-10"))).siblings(365 * DAY)
    assert (len(place), len(view)) == (0, 0)


@given(
    st.lists(st.tuples(st.integers(-1, 3), st.one_of(st.just(NAT), st.integers(0, 9))), max_size=30), st.integers(0, 9)
)
def test_like_a_loop(deals: list[tuple[int, int]], within: int) -> None:
    account, created = (np.array([deal[k] for deal in deals], dtype=np.int64) for k in (0, 1))
    family = Siblings.among(Coded.of([str(k) for k in range(len(deals))]), account, created)
    every = np.arange(len(deals), dtype=np.int64)
    found = set(zip(*(part.tolist() for part in family.of(every, within)), strict=True))
    told = [(k, account[k], created[k]) for k in range(len(deals)) if account[k] >= 0 and created[k] != NAT]
    assert found == {(i, j) for i, a, t in told for j, b, u in told if i != j and a == b and 0 <= t - u <= within}
