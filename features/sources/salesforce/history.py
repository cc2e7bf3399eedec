"""Two histories of a deal merged into full states: one row a save, each field as it was told last.

OpportunityHistory tells stage, amount, close date, probability and category on every row; field history tells one field
a row. Within a second field history wins for its own field. Before its first change a field had the value that the
change names as the old one; a field that nothing tells has its current value, and is named in ``assumed``; what would
be the outcome (a stage of a deal that is closed now) is never assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.sources.columns import at, first_rows, joined
from features.sources.salesforce.fields import Changes
from features.tables import Coded, ColumnData, IntArray, is_missing

Mask = NDArray[np.bool_]
OF_LOG, OF_FIELDS, OF_DEAL, OF_DELETION = range(4)  # where a row comes from


@dataclass(frozen=True)
class Log:
    """Rows of OpportunityHistory, ordered by deal, time and id. columns: by our name; previous: by the same names."""

    deal: IntArray
    at: IntArray
    rows: IntArray
    columns: Mapping[str, ColumnData]
    previous: Mapping[str, ColumnData]


@dataclass(frozen=True)
class Spine:
    """The rows of deal_history, ordered by deal and time. source, row: which row of which file each comes from."""

    deal: IntArray
    at: IntArray
    source: NDArray[np.int8]
    row: IntArray
    key: IntArray
    times: IntArray
    deals: int

    @property
    def start(self) -> IntArray:
        """int64[n]: the first row of each row's deal."""
        first: IntArray = np.searchsorted(self.deal, self.deal)
        return first

    def target(self, deal: IntArray, at: IntArray) -> IntArray:
        """The last row that is not a deletion of each (deal, time); there is one."""
        key = (deal * len(self.times) + np.searchsorted(self.times, at)) * 2
        place: IntArray = np.searchsorted(self.key, key, side="right") - 1
        return place


def spine(
    created: IntArray, deleted: IntArray, deleted_at: IntArray, log: Log, deal: IntArray, told_at: IntArray
) -> Spine:
    """One row for each row of the log, for each other second that field history tells of, and for creation and end.

    deal, told_at: of the rows of field history. A creation has a row where it comes before all others; a deletion
    (deleted: deals, deleted_at: when) always, and never before the deal's last row.
    """
    deals = len(created)
    times = np.unique(np.concatenate([log.at, told_at, created, deleted_at]))
    width = max(len(times), 1)

    def keys(of: IntArray, when: IntArray) -> IntArray:
        key: IntArray = of * width + np.searchsorted(times, when)
        return key

    of_log, of_fields = keys(log.deal, log.at), np.unique(keys(deal, told_at))
    of_fields = of_fields[~np.isin(of_fields, of_log)]
    of_deal = keys(np.arange(deals, dtype=np.int64), created)
    first, last = np.full(deals, np.iinfo(np.int64).max), of_deal.copy()
    for key in (of_log, of_fields):
        np.minimum.at(first, key // width, key)
        np.maximum.at(last, key // width, key)
    new = np.flatnonzero(first > of_deal)
    ends = np.maximum(keys(deleted, deleted_at), last[deleted])
    key = np.concatenate([of_log * 2, of_fields * 2, of_deal[new] * 2, ends * 2 + 1])
    source = np.repeat(
        np.array([OF_LOG, OF_FIELDS, OF_DEAL, OF_DELETION], dtype=np.int8),
        [len(of_log), len(of_fields), len(new), len(ends)],
    )
    row = np.concatenate([np.arange(len(of_log)), np.full(len(of_fields), -1), new, deleted])
    order = np.argsort(key, kind="stable")
    key = key[order]
    return Spine(key // 2 // width, times[key // 2 % width], source[order], row[order], key, times, deals)


@dataclass(frozen=True)
class State:
    """One field on every row of the spine.

    told: some history tells it; assumed: its value is the current one, or that of a later row.
    """

    values: ColumnData
    told: Mask
    assumed: Mask


def state(
    rows: Spine,
    log: Log,
    name: str,
    changes: Changes | None,
    current: ColumnData,
    usable: Mask,
) -> State:
    """One field on every row.

    current: value of each deal now; usable: bool[deals], where it may stand in if nothing tells the field.
    """
    pool, told = _Pool(), np.full(len(rows.deal), -1, dtype=np.int64)
    before = np.where(usable, pool.add(current) + np.arange(rows.deals), -1)
    guessed = usable & ~is_missing(current)
    if name in log.columns:
        before, guessed = _from_log(rows, log, name, pool, told, before, guessed)
    if changes is not None:
        before, guessed = _from_changes(rows, log, name, changes, pool, told, before, guessed)
    place = np.where(told >= 0, np.arange(len(told)), -1)
    last = np.maximum.accumulate(place) if len(place) else place
    known = last >= rows.start
    taken = np.where(known, told[np.maximum(last, 0)], before[rows.deal]) if len(place) else told
    return State(pool.take(taken), known, ~known & guessed[rows.deal])


class _Pool:
    """Values from several places, addressed by number."""

    def __init__(self) -> None:
        self.parts: list[ColumnData] = []
        self.n = 0

    def add(self, part: ColumnData) -> int:
        """Put values in; return the number of the first."""
        start = self.n
        self.parts.append(part)
        self.n += len(part)
        return start

    def take(self, numbers: IntArray) -> ColumnData:
        """The values at some numbers; -1 is missing."""
        return at(joined(self.parts), numbers)


def _from_log(
    rows: Spine, log: Log, name: str, pool: _Pool, told: IntArray, before: IntArray, guessed: Mask
) -> tuple[IntArray, Mask]:
    """What OpportunityHistory tells: the values of its rows, and before them the previous one, else the first."""
    values, first = log.columns[name], first_rows(log.deal, rows.deals)
    start = pool.add(values)
    of_log = rows.source == OF_LOG
    told[of_log] = start + rows.row[of_log]
    has = first >= 0
    before, guessed = np.where(has, start + first, before), np.where(has, ~_missing(values, first), guessed)
    if name in log.previous:
        previous = log.previous[name]
        start = pool.add(previous)
        known = has & ~_missing(previous, first)
        before, guessed = np.where(known, start + first, before), guessed & ~known
    return before, guessed


def _from_changes(
    rows: Spine,
    log: Log,
    name: str,
    changes: Changes,
    pool: _Pool,
    told: IntArray,
    before: IntArray,
    guessed: Mask,
) -> tuple[IntArray, Mask]:
    """What field history tells: the new values, and before the first of them the old one."""
    old, new = pool.add(changes.old), pool.add(changes.new)
    told[rows.target(changes.deal, changes.at)] = new + np.arange(len(changes.deal))  # of a second the last counts
    first = first_rows(changes.deal, rows.deals)
    has = first >= 0
    if name not in log.columns:
        return np.where(has, old + first, before), guessed & ~has
    of_log = first_rows(log.deal, rows.deals)
    top = np.iinfo(np.int64).max
    when = np.where(of_log >= 0, np.append(log.at, top)[of_log], top)
    earlier = has & (np.append(changes.at, top)[first] <= when)
    # A change that comes later than the log's first row still says that the value was there before.
    same = has & ~earlier & _equal(changes.old, first, log.columns[name], of_log)
    return np.where(earlier, old + first, before), guessed & ~earlier & ~same


def _missing(values: ColumnData, at: IntArray) -> Mask:
    """bool[n]: no value at these places; a place of -1 has none."""
    mask: Mask = np.append(is_missing(values), True)[at]
    return mask


def _equal(one: ColumnData, at_one: IntArray, other: ColumnData, at_other: IntArray) -> Mask:
    """bool[n]: equal values at two places, and neither is missing."""
    both = joined([one, other])
    codes = both.codes if isinstance(both, Coded) else both
    n = len(one)
    known = ~_missing(one, at_one) & ~_missing(other, at_other)
    padded = np.append(codes, codes[:1] if len(codes) else np.zeros(1, dtype=codes.dtype))
    mask: Mask = known & (
        padded[np.where(at_one >= 0, at_one, -1)] == padded[np.where(at_other >= 0, n + at_other, -1)]
    )
    return mask
