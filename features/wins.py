"""Bookings as facts: every deal that was won, when it opened, who held it, and for how much.

A win is the first won row of an episode; it books the amount on that row at that instant. It counts for the rep who
held the deal strictly before it, as everywhere (`features.closes`): an owner changed at the close is no seller.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from features.asof import before
from features.closes import ends_of
from features.record import Record
from features.tables import NAT
from features.timeline import Bool, Int


@dataclass(frozen=True)
class Wins:
    """Wins in order of time, int64[k] each.

    won_at, opened_at: UTC microseconds; a deal that was re-opened opened then. The deal stands open at an as-of where
    ``opened_at < as_of <= won_at``. cents: 0 where the winning row has no amount, or none above zero. deal: code.
    rep: code in the record's vocabulary, -1 unknown.
    """

    won_at: Int
    opened_at: Int
    cents: Int
    deal: Int
    rep: Int

    def __len__(self) -> int:
        return len(self.won_at)

    def take(self, rows: Int | Bool | slice) -> Wins:
        """Return some of the wins."""
        return Wins(*(getattr(self, column.name)[rows] for column in fields(self)))

    def before(self, as_of: int) -> Wins:
        """Return those known strictly before an as-of."""
        return self.take(slice(0, before(self.won_at, as_of)))


def wins_of(record: Record) -> Wins:
    """Read every win off a record."""
    history = record.timelines["history"]
    ends = ends_of(history)
    won = history.mask("won")[ends.end]
    whole = ends.stop > ends.first  # else it was born closed
    again = ends.first > ends.start
    opened = np.where(again, history.known_at[np.minimum(ends.first, ends.end)], record.deals.known_at[ends.deal])
    cents = history.values("amount")[ends.end]
    owner = history.values("owner")[np.where(whole, ends.stop - 1, ends.end)]
    columns = (
        ends.known_at,
        np.minimum(opened, ends.known_at),
        np.where((cents != NAT) & (cents > 0), cents, 0),
        ends.deal,
        np.maximum(owner, -1),
    )
    every = Wins(*(column[won].astype(np.int64) for column in columns))
    return every.take(np.argsort(every.won_at, kind="stable"))
