"""What reps have called of the running period, added up by team and for the company as quotas are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from configs.vocab import ForecastCategory
from features.nodes import ALL, COMPANY, NO_TEAM, REP, TEAM
from features.standings import calls_of
from features.tables import NAT, Table
from models.arrivals import Window
from models.base import Bool, Int
from models.bookings import TEAMLESS
from models.quarter import AsOf, calls_in
from serving.store.called import Called

CATEGORIES = (ForecastCategory.COMMIT.value, ForecastCategory.BEST_CASE.value)


def called_in(calls: Table, ground: AsOf, window: Window) -> list[Called]:
    """Return the calls of a window by node and category as known at the as-of, without nodes where nobody called.

    calls: all that the source holds; later ones than the as-of do not count.
    """
    reps = ground.record.reference.vocabulary.values["rep"]
    rep = calls.coded("rep_id").codes_in(reps).astype(np.int64)
    return [
        one
        for category in CATEGORIES
        for one in _added_up(
            ground, category, calls_in(ground, window, calls_of(calls, rep, ground.record.calendar, category))
        )
    ]


def _added_up(ground: AsOf, category: str, cents: Int) -> Iterator[Called]:
    tree, some = ground.tree, cents != NAT

    def node(level: str, name: str, team: str | None, under: Bool) -> Iterator[Called]:
        own = under & some
        if own.any():
            yield Called(level, name, team, category, int(cents[own].sum()), int(own.sum()))

    yield from node(COMPANY, ALL, None, np.ones(len(some), dtype=bool))
    for k, team in enumerate(tree.teams):
        yield from node(TEAM, team, team, tree.team == k)
    yield from node(TEAM, NO_TEAM, None, tree.team == TEAMLESS)
    for k, rep in enumerate(tree.reps):
        named = None if tree.team[k] == TEAMLESS else tree.teams[int(tree.team[k])]
        yield from node(REP, rep, named, np.arange(len(some)) == k)
