"""Wins held against a plain walk through the history, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from features.tables import NAT
from features.wins import Wins, wins_of
from tests.worlds.world import config, world
from training.prepare import Prepared, prepare


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A dirty world: re-opened deals, owners that change, amounts that are missing."""
    return prepare(config(tmp_path_factory.mktemp("state")), world("W4", 1000, 30, 6).ingest)


def by_hand(prepared: Prepared) -> list[tuple[int, int, int, int, int]]:
    """(won_at, opened_at, cents, deal, rep) of every win."""
    history, found = prepared.record.timelines["history"], []
    closed, won, merged = (history.mask(name) for name in ("closed", "won", "merged"))
    amount, owner = history.values("amount"), history.values("owner")
    for deal in range(len(history.start) - 1):
        opened, was_closed, held = int(prepared.record.deals.known_at[deal]), False, None
        for row in range(history.start[deal], history.start[deal + 1]):
            at = int(history.known_at[row])
            if closed[row]:
                if not was_closed and won[row] and not merged[row]:
                    cents = int(amount[row]) if amount[row] != NAT and amount[row] > 0 else 0
                    earlier = [r for r in range(history.start[deal], row) if history.known_at[r] < at and not closed[r]]
                    held = int(owner[earlier[-1]]) if earlier and at > opened else int(owner[row])
                    found.append((at, min(opened, at), cents, deal, max(held, -1)))
                was_closed = True
            elif was_closed:
                opened, was_closed = at, False
    return sorted(found)


def test_wins_are_those_of_a_plain_walk(prepared: Prepared) -> None:
    wins = wins_of(prepared.record)
    rows = zip(wins.won_at, wins.opened_at, wins.cents, wins.deal, wins.rep, strict=True)
    assert len(wins) > 100
    assert sorted(tuple(int(v) for v in row) for row in rows) == by_hand(prepared)


def test_wins_agree_with_the_closes_that_features_are_made_of(prepared: Prepared) -> None:
    wins, closes = wins_of(prepared.record), prepared.record.reference.closes.columns
    won = closes["won"] == 1
    assert np.array_equal(np.sort(closes["known_at"][won]), wins.won_at)
    assert closes["cents"][won].sum() == wins.cents.sum()


def test_only_what_was_known_strictly_before_is_seen(prepared: Prepared) -> None:
    wins: Wins = wins_of(prepared.record)
    at = int(wins.won_at[20])
    assert (wins.before(at).won_at < at).all()
    assert len(wins.before(at + 1)) == np.searchsorted(wins.won_at, at, side="right")
