"""Facts of a deal from the source and from events, however they are dealt out: what both tell counts once."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serving.events import LISTS, fact_sha, plain
from serving.store.repository import StoredDeal, StoredEvent, Tombstone
from serving.stored import VANISHED, adds, deal_of

HEAD = {"created_at": "2025-01-01T00:00:00Z"}


def fact(part: str, k: int) -> dict[str, Any]:
    """One of a few facts of a kind, as the source writes them."""
    known_at = f"2025-01-{k + 2:02d}T00:00:00Z"
    return {
        "change": {"known_at": known_at, "stage": "Demo", "amount": 100 + k},
        "activity": {"occurred_at": known_at, "known_at": known_at, "kind": "email"},
        "contact": {"contact_id": f"C{k}", "known_at": known_at},
    }[part]


def event(part: str, k: int, seq: int) -> StoredEvent:
    """The same fact as a CRM pushed it."""
    body = fact(part, k)
    return StoredEvent(seq, part, k, body | {"seq": 7} if part == "change" else body, fact_sha(part, body))


DEALT = st.lists(st.tuples(st.sampled_from(sorted(LISTS)), st.integers(0, 4)), max_size=12)


@given(source=DEALT, pushed=DEALT, random=st.randoms(use_true_random=False))
def test_every_fact_is_there_as_often_as_the_one_that_tells_it_most(
    source: list[tuple[str, int]], pushed: list[tuple[str, int]], random: Random
) -> None:
    body = HEAD | {name: [fact(part, k) for part, k in source if part == own] for own, name in LISTS.items()}
    random.shuffle(pushed)
    events = tuple(event(part, k, seq) for seq, (part, k) in enumerate(pushed))
    deal = deal_of(StoredDeal("D", body, events, None))
    assert deal is not None
    expected = Counter(source) | Counter(pushed)  # the larger count of the two
    for part, name in LISTS.items():
        own = Counter({plain(fact(part, k)): count for (each, k), count in expected.items() if each == part})
        assert Counter(map(plain, deal[name])) == own
        assert deal[name][: len(body[name])] == body[name]
        added = deal[name][len(body[name]) :]
        assert added == sorted(added, key=lambda row: row["known_at"])
    assert adds(StoredDeal("D", body, events, None)) == bool(Counter(pushed) - Counter(source))


def test_the_source_says_what_is_fixed_and_else_the_last_event() -> None:
    heads = [StoredEvent(seq, "deal", 0, {"created_at": f"2025-0{seq}-01"}, "") for seq in (1, 2)]
    told = deal_of(StoredDeal("D", None, tuple(heads), None))
    assert told == {"deal_id": "D", "created_at": "2025-02-01", "history": [], "activities": [], "contacts": []}
    known = deal_of(StoredDeal("D", HEAD, tuple(heads), None))
    assert known is not None
    assert known["created_at"] == HEAD["created_at"]
    assert deal_of(StoredDeal("D", None, (event("change", 1, 1),), None)) is None


def test_a_deal_that_vanished_was_deleted_when_that_was_seen() -> None:
    body = HEAD | {"history": [fact("change", 0)]}
    deal = deal_of(StoredDeal("D", body, (), Tombstone(VANISHED, 1_740_000_000_000_000)))
    assert deal is not None
    assert deal["history"][-1] == {"known_at": "2025-02-19T21:20:00Z", "stage": "Demo", "is_deleted": True}
    assert len(body["history"]) == 1
    gone = deal_of(StoredDeal("D", body, (), Tombstone("deleted", 1_740_000_000_000_000)))
    assert gone is not None
    assert len(gone["history"]) == 1  # its own row says so
