"""The closes of a record: what each closed episode of a deal says about its rep, account, segment, stages and calls.

A close is the first won or lost row of an episode. Owner, stages and categories are those last known strictly before
it: what stands on the closing row, or beside it at the same instant, was written with the outcome in hand. A deal that
was merged away ends without an outcome and is no close.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.asof import Seen, look
from features.periods import Calendar
from features.reference import CATEGORY_COUNT, MILLION, SEGMENT, Events, events
from features.tables import NAT
from features.timeline import Int, Timeline


@dataclass(frozen=True)
class Ends:
    """Closing rows of the history: end, and the rows ``first:stop`` that tell its episode before the close.

    start: first row of the deal. deal: its code. known_at: of the close. All int64[c].
    """

    end: Int
    first: Int
    stop: Int
    start: Int
    deal: Int
    known_at: Int


def closes_of(
    history: Timeline, activities: Timeline, deal_codes: Mapping[str, Int], calendar: Calendar, stage_count: int
) -> dict[str, Events]:
    """Read ``closes`` and ``visits`` off the deals' own timelines; see `features.reference.Events`.

    deal_codes: int64[d] per deal: account, created_at, and one column per dimension.
    """
    ends = ends_of(history)
    deal, known_at = ends.deal, ends.known_at
    logged = look(activities, deal, known_at)
    begun, over = calendar.bounds(known_at)
    amount = history.values("amount")[ends.end]
    priced = (amount != NAT) & (amount > 0)
    owner = history.values("owner")[np.where(ends.stop > ends.start, ends.stop - 1, ends.end)]  # or born closed
    closes = {
        "known_at": known_at,
        "account": deal_codes["account"][deal],
        "rep": owner,
        **{name: codes[deal] for name, codes in deal_codes.items() if name not in ("account", "created_at")},
        "categories": _bits(history, "category", ends, CATEGORY_COUNT),
        "won": history.mask("won")[ends.end].astype(np.int64),
        "pushes": history.prefix_count("pushed")[ends.stop] - history.prefix_count("pushed")[ends.start],
        "cycle_s": np.maximum(known_at - deal_codes["created_at"][deal], 0) // MILLION,
        "delay_s": logged.total("delay_s", "done").astype(np.int64),
        "logged": logged.count("done").astype(np.int64),
        "share_ppm": (known_at - begun) // ((over - begun) // MILLION),
        "log_amount_ppm": np.where(priced, np.log(np.where(priced, amount, 1) / 100) * MILLION, 0).astype(np.int64),
        "priced": priced.astype(np.int64),
        "cents": np.where(priced, amount, 0),
        **_buyer_gaps(logged),
        "outbound": logged.count("outbound").astype(np.int64),
        "edits": history.prefix_count("by_rep")[ends.stop] - history.prefix_count("by_rep")[ends.start],
    }
    visits = _visits(history, ends, stage_count)
    segment = closes.get(SEGMENT, np.full(len(known_at), -1))
    visits |= {name: c[visits["close"]] for name, c in (("rep", owner), ("won", closes["won"]), ("segment", segment))}
    return {"closes": events(closes), "visits": events({n: c for n, c in visits.items() if n != "close"})}


def ends_of(history: Timeline) -> Ends:
    """Find the closes; an episode that was born closed has no rows before its end."""
    closed = history.mask("closed")
    ended = closed & ~history.mask("merged")
    ended[1:] &= ~(closed[:-1] & (history.entity[1:] == history.entity[:-1]))
    end = np.flatnonzero(ended)
    deal, known_at = history.entity[end], history.known_at[end]
    start = history.start[deal]
    # What the CRM wrote at the close's own instant was written with the outcome in hand.
    stop = look(history, deal, known_at).high
    before = history.previous("closed")[stop]
    first = np.minimum(np.where(before >= start, before + 1, start), stop)
    return Ends(end, first, stop, start, deal, known_at)


def episode_rows(ends: Ends) -> tuple[Int, Int]:
    """Return (close, row of the history) for every row that tells an episode before its close, int64[k] each."""
    size = ends.stop - ends.first
    close = np.repeat(np.arange(len(size)), size)
    return close, ends.first[close] + np.arange(len(close)) - np.repeat(np.cumsum(size) - size, size)


def _buyer_gaps(logged: Seen) -> dict[str, Int]:
    """Return the seconds from the buyer's first to last act before the close, and the number of gaps between acts."""
    acts = logged.count("buyer").astype(np.int64)
    first, last = logged.first("occurred_at", "buyer"), logged.latest("occurred_at", "buyer")
    some = acts > 1
    span = np.where(some, np.where(some, last, 0) - np.where(some, first, 0), 0) // MILLION
    return {"buyer_s": np.maximum(span, 0), "buyer_gaps": np.where(some, acts - 1, 0)}


def _bits(history: Timeline, column: str, ends: Ends, width: int) -> Int:
    """Set bit v where any open row of a deal up to its close holds value v of a column."""
    values = np.where(history.mask("closed"), NAT, history.values(column))
    bits = np.zeros(len(ends.end), dtype=np.int64)
    for value in range(width):
        counted = np.concatenate([[0], np.cumsum(values == value)])
        bits |= np.where(counted[ends.stop] > counted[ends.start], 1, 0) << value
    return bits


def _visits(history: Timeline, ends: Ends, stage_count: int) -> dict[str, Int]:
    """Return a row per (close, stage that the episode was in): seconds in it, and from first entering it to the end."""
    close, row = episode_rows(ends)
    stage, at, over = history.values("stage")[row], history.known_at[row], ends.known_at[close]
    last = np.ones(len(row), dtype=bool)
    last[:-1] = close[1:] != close[:-1]
    until = np.where(last, over, np.append(at[1:], 0))
    told = stage != NAT
    key = close[told] * max(stage_count, 1) + stage[told]
    pair, first, which = np.unique(key, return_index=True, return_inverse=True)
    spent = np.zeros(len(pair), dtype=np.int64)
    np.add.at(spent, which, (until - at)[told] // MILLION)
    owner = pair // max(stage_count, 1)
    left = (over[told] - at[told])[first] // MILLION
    return {
        "known_at": ends.known_at[owner],
        "close": owner,
        "stage": pair % max(stage_count, 1),
        "spent_s": spent,
        "left_s": left,
    }
