"""What is usual among closed deals beyond what features use: who was on the deal by when, how fast we answered, how its
record moved and was kept. Flags set a deal beside it; no model learns from it.

Each fact becomes known at the deal's close, like every reference fact (`features.reference`), and says only what stood
in the record strictly before that.
"""

from __future__ import annotations

import numpy as np

from features.asof import look
from features.closes import Ends, ends_of, episode_rows
from features.reference import Events, events
from features.tables import NAT
from features.timeline import Int, Timeline


def usuals_of(history: Timeline, activities: Timeline, contacts: Timeline, stage_count: int) -> dict[str, Events]:
    """Read ``crews``, ``manners`` and ``entries`` off the deals' own timelines; see `features.reference.Events`."""
    ends = ends_of(history)
    won = history.mask("won")[ends.end].astype(np.int64)
    return {
        "crews": _crews(history, contacts, ends, won, stage_count),
        "manners": _manners(history, activities, ends, won),
        "entries": _entries(activities, ends, won),
    }


def _crews(history: Timeline, contacts: Timeline, ends: Ends, won: Int, stage_count: int) -> Events:
    """Return a row per (close, stage that the episode was in): the buyer's people known when it first entered it."""
    close, row = episode_rows(ends)
    stage = history.values("stage")[row]
    told = stage != NAT
    pair, first = np.unique(close[told] * max(stage_count, 1) + stage[told], return_index=True)
    owner, entered = pair // max(stage_count, 1), history.known_at[row][told][first]
    people = look(contacts, ends.deal[owner], entered)
    known = people.distinct("contact").astype(np.int64)
    senior = (people.count("senior") > 0) | (people.count("decides") > 0)
    return events(
        {
            "known_at": ends.known_at[owner],
            "stage": pair % max(stage_count, 1),
            "won": won[owner],
            "contacts": known,
            "several": (known > 1).astype(np.int64),
            "senior": senior.astype(np.int64),
        }
    )


def _manners(history: Timeline, activities: Timeline, ends: Ends, won: Int) -> Events:
    """Return a row per close: our answers to the buyer's mails, and what its record went through."""
    logged = look(activities, ends.deal, ends.known_at)

    def changes(mask: str) -> Int:
        counted = history.prefix_count(mask)
        return counted[ends.stop] - counted[ends.start]

    skipped = history.prefix_sum("stages_skipped", None)
    return events(
        {
            "known_at": ends.known_at,
            "won": won,
            "answer_s": logged.total("answer_s", "answer").astype(np.int64),
            "answers": logged.count("answer").astype(np.int64),
            "skipped": (skipped[ends.stop] > skipped[ends.start]).astype(np.int64),
            "cut": (changes("amount_cut") > 0).astype(np.int64),
            "slips": changes("slipped"),
        }
    )


def _entries(activities: Timeline, ends: Ends, won: Int) -> Events:
    """Return a row per close: the most acts of ours that the CRM learnt of on one day."""
    busiest = look(activities, ends.deal, ends.known_at).latest("reached_of_day", "reached")
    return events({"known_at": ends.known_at, "won": won, "busiest": np.maximum(busiest, 0)})  # NAT is negative
