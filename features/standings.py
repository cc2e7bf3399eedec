"""How reps stand: the deals they hold, what came of those that were open, their quotas, and their calls afterwards.

Each function reads one kind of event (`features.reference.Events`) off a record. An event's instant is when all that it
says was known: what a period yielded, in the period's last microsecond.
"""

from __future__ import annotations

import numpy as np

from features.asof import before, look
from features.periods import Calendar
from features.reference import CATEGORY_COUNT, LOOKS, MILLION, Events, cell_of, events
from features.stages import OPEN
from features.tables import NAT, Table
from features.timeline import Bool, Float, Int, Timeline

PEERS = 10.0  # weight, in deals, of all deals in the stage when those that were also called alike are few
CALL_SHARE = 0.3  # the call that is judged is the last one of the period's first 30 % (week 4 of 13)
QUIET_PERIODS = 8  # that a deal is looked at without a change of it
MISS_LIMIT = 2.0  # a call missed by more than this, in log, says no more than that


def book_of(history: Timeline, account: Int) -> Events:
    """Return where open deals come and go: a row per rep and account that gets (+1) or loses (-1) one.

    account: int64[d], account code per deal.
    """
    n = len(history)
    follows = np.zeros(n, dtype=bool)
    follows[1:] = history.entity[1:] == history.entity[:-1]
    standing = history.values("outcome") == OPEN
    holds = np.where(standing, _held(history.values("owner")), -1)
    place = np.where(standing, account[history.entity], -1) if n else holds
    was_held, was_placed = (np.where(follows, np.roll(held, 1), -1) for held in (holds, place))
    moved = np.flatnonzero((holds != was_held) | (place != was_placed))
    rep = np.concatenate([was_held[moved], holds[moved]])
    at = np.concatenate([was_placed[moved], place[moved]])
    opened = np.repeat(np.array([-1, 1], dtype=np.int64), len(moved))
    told = (rep >= 0) | (at >= 0)
    row = np.tile(moved, 2)
    order = np.argsort(row[told], kind="stable")
    columns = {"known_at": history.known_at[row], "rep": rep, "account": at, "opened": opened}
    return events({name: column[told][order] for name, column in columns.items()})


def _held(owner: Int) -> Int:
    return np.where(owner == NAT, -1, owner)


def yields_of(history: Timeline, calendar: Calendar, stage_count: int) -> dict[str, Events]:
    """Return what came of every open deal by the end of its period: beside its peers (surplus), and as called.

    A deal is looked at `LOOKS` times in each period. Peers are the deals of the same period, look, stage and category;
    what they yielded is told in millionths, shrunken towards the stage's. So a season or a shock, which all share, is
    nobody's surplus.
    """
    deal, at, period, turn = _looks(history, calendar)
    seen = look(history, deal, at)
    # Who has not been touched for long is not called any more; so a look depends on the deal's rows before it alone,
    # and not on how far the record reaches.
    quiet = period - calendar.index(seen.last("known_at"))
    standing = (seen.high > seen.low) & (seen.last("outcome") == OPEN) & (quiet <= QUIET_PERIODS)
    deal, at, period, turn = (column[standing] for column in (deal, at, period, turn))
    seen = look(history, deal, at)
    over = calendar.starts[period + 1]
    ended = history.following("closed")[seen.high]
    within = ended < history.start[deal + 1]
    row = np.where(within, ended, 0)
    within &= history.known_at[row] < over if len(history) else False
    merged = within & history.mask("merged")[row] if len(history) else within
    won = within & history.mask("won")[row] if len(history) else within
    stage, category = (np.where(v == NAT, -1, v) for v in (seen.last("stage"), seen.last("category")))
    coarse = (period * LOOKS + turn) * (stage_count + 1) + stage + 1
    fine = coarse * (CATEGORY_COUNT + 1) + category + 1
    keep = ~merged
    expected = _peers(won[keep], coarse[keep], fine[keep])
    told = {"known_at": over[keep] - 1, "won": won[keep].astype(np.int64)}
    surplus = {"rep": _held(seen.last("owner"))[keep], "expected_ppm": np.round(expected * MILLION).astype(np.int64)}
    cell = cell_of(category, seen.last("close_period") == period, turn)[keep]
    return {"surplus": events(told | surplus), "called": events(told | {"cell": cell})}


def _looks(history: Timeline, calendar: Calendar) -> tuple[Int, Int, Int, Int]:
    """Return (deal, instant, period, turn) of every look at a deal from its first row to its last.

    A deal that is still open is looked at for `QUIET_PERIODS` more, beyond the last row of the whole history.
    """
    empty = np.zeros(0, dtype=np.int64)
    if not len(history):
        return empty, empty, empty, empty
    some = np.flatnonzero(history.start[1:] > history.start[:-1]).astype(np.int64)
    first = history.known_at[history.start[some]]
    final = history.start[some + 1] - 1
    low, high = calendar.index(np.array([int(first.min()), int(history.known_at.max())])).tolist()
    high = min(high + QUIET_PERIODS, len(calendar.starts) - 2)
    last = np.where(history.values("outcome")[final] == OPEN, calendar.starts[high + 1], history.known_at[final])
    begun, width = calendar.starts[low : high + 1], np.diff(calendar.starts[low : high + 2])
    instants = (begun[:, None] + width[:, None] * np.arange(LOOKS) // LOOKS).ravel()
    # A look sees what was known before it, and after the last row there is nothing to look at.
    start, stop = np.searchsorted(instants, first, side="right"), np.searchsorted(instants, last, side="right")
    size = np.maximum(stop - start, 0)
    deal = np.repeat(some, size)
    which = np.repeat(start, size) + np.arange(len(deal)) - np.repeat(np.cumsum(size) - size, size)
    return deal, instants[which], low + which // LOOKS, which % LOOKS


def look_of(calendar: Calendar, instant: Int) -> Int:
    """Return which look of its period each instant comes at or after, int64[n] from 0."""
    begun, over = calendar.bounds(instant)
    turns = np.arange(LOOKS)
    looks = begun[:, None] + (over - begun)[:, None] * turns // LOOKS
    turn: Int = np.count_nonzero(instant[:, None] >= looks, axis=1).astype(np.int64) - 1
    return turn


def _peers(won: Bool, coarse: Int, fine: Int) -> Float:
    """Return the share won among rows of the same fine cell, shrunken towards that of the coarse one, float64[n]."""
    outcome = won.astype(np.float64)

    def sums(cell: Int) -> tuple[Float, Float]:
        _, where = np.unique(cell, return_inverse=True)
        wins = np.bincount(where, weights=outcome).astype(np.float64)
        return wins[where], np.bincount(where).astype(np.float64)[where]

    if not len(outcome):
        return outcome
    (all_won, all_n), (own_won, own_n) = sums(coarse), sums(fine)
    return np.asarray((own_won + PEERS * all_won / all_n) / (own_n + PEERS), dtype=np.float64)


def quotas_of(quotas: Table, rep: Int, calendar: Calendar) -> Events:
    """Return the quotas as events. rep: int64[q], code of each row's rep, -1 unknown."""
    known_at, days = quotas.ints("known_at"), quotas.ints("period_start")
    keep = np.flatnonzero((known_at != NAT) & (days != NAT) & (quotas.ints("amount") != NAT))
    period = np.searchsorted(calendar.days, days[keep], side="right") - 1
    columns = {
        "known_at": known_at[keep],
        "rep": rep[keep],
        "cents": quotas.ints("amount")[keep],
        "timely": (calendar.index(known_at[keep]) == period).astype(np.int64),
    }
    return events(columns)


def calls_of(calls: Table, rep: Int, calendar: Calendar, said_of: str = "commit") -> Events:
    """Return the reps' calls of one category as events. rep: int64[c], code of each row's rep, -1 unknown.

    An event's cents are those by which a call moves what the rep has called of the fiscal period: calls of its months
    add up, as their quotas do, and a later call of the same month takes the earlier one's place.
    """
    category = calls.coded("category")
    own = category.codes == (category.code_of(said_of) if said_of in category.values else -2)
    at, days = calls.ints("submitted_at"), calls.ints("period_start")
    keep = np.flatnonzero(own & (at != NAT) & (days != NAT) & (calls.ints("amount") != NAT))
    period = np.searchsorted(calendar.days, days[keep], side="right") - 1
    timely = calendar.index(at[keep]) == period
    columns = {
        "known_at": at[keep],
        "rep": rep[keep],
        "cents": _moved(calls.ints("amount")[keep], rep[keep], days[keep], at[keep], timely),
        "timely": timely.astype(np.int64),
    }
    return events(columns)


def _moved(cents: Int, rep: Int, day: Int, at: Int, timely: Bool) -> Int:
    """Return each call less the one before it of the same rep and first day; calls before their period stand apart."""
    order = np.lexsort((at, day, rep, timely))
    same = np.ones(len(cents), dtype=bool)[1:]
    for key in (rep, day, timely):
        same &= key[order][1:] == key[order][:-1]
    moved = cents.copy()
    moved[order[1:]] -= np.where(same, cents[order[:-1]], 0)
    return moved


def called_at(calls: Events, reps: int, start: int, as_of: int) -> Int:
    """Return what each rep had called by an as-of of the period that began at `start`, int64[reps] cents, NAT: nothing.

    calls: events as `calls_of` reads them; calls that were made before the period began do not count.
    """
    said = calls.columns
    rows = slice(before(said["known_at"], start), before(said["known_at"], as_of))
    mine = (said["timely"][rows] == 1) & (said["rep"][rows] >= 0)
    rep, moved = said["rep"][rows][mine], said["cents"][rows][mine]
    total = np.zeros(reps, dtype=np.int64)
    np.add.at(total, rep, moved)
    return np.where(np.bincount(rep, minlength=reps) > 0, total, NAT)


def misses_of(calls: Events, closes: Events, calendar: Calendar) -> Events:
    """Return how far each rep's early call of a period lay from what was won in it: log(won / called), millionths.

    It is told beside the median of the company's reps in that period, since all calls miss alike in a period of shocks.
    A call of nothing, or one that was taken back, has no such ratio.
    """
    said = calls.columns
    period = calendar.index(said["known_at"])
    begun, over = calendar.starts[period], calendar.starts[period + 1]
    early = said["known_at"] - begun < (over - begun) * CALL_SHARE
    judged = np.flatnonzero((said["timely"] == 1) & early & (said["rep"] >= 0))
    keys, where = np.unique(said["rep"][judged] * len(calendar.starts) + period[judged], return_inverse=True)
    called = np.zeros(len(keys), dtype=np.int64)
    np.add.at(called, where, said["cents"][judged])
    keys, called = keys[called > 0], called[called > 0]
    booked = _booked(closes, keys, calendar)
    miss = np.clip(np.log(np.maximum(booked, 1) / called), -MISS_LIMIT, MISS_LIMIT)
    columns = {
        "known_at": calendar.starts[keys % len(calendar.starts) + 1] - 1,
        "rep": keys // len(calendar.starts),
        "miss_ppm": _beside_median(np.round(miss * MILLION).astype(np.int64), keys % len(calendar.starts)),
    }
    return events(columns)


def _beside_median(values: Int, period: Int) -> Int:
    """Return each value less the lower median of its period's."""
    order = np.lexsort((values, period))
    periods, first, size = np.unique(period[order], return_index=True, return_counts=True)
    middle = values[order][first + (size - 1) // 2]
    return np.asarray(values - middle[np.searchsorted(periods, period)], dtype=np.int64)


def _booked(closes: Events, key: Int, calendar: Calendar) -> Int:
    """Return the cents won per key = rep * periods + period, int64[k]."""
    said = closes.columns
    won = np.flatnonzero((said["won"] == 1) & (said["rep"] >= 0))
    own = said["rep"][won] * len(calendar.starts) + calendar.index(said["known_at"][won])
    keys, where = np.unique(own, return_inverse=True)
    total = np.zeros(len(keys) + 1, dtype=np.int64)
    np.add.at(total, where, said["cents"][won])
    at = np.searchsorted(keys, key)
    found = (at < len(keys)) & (np.append(keys, -1)[np.minimum(at, len(keys))] == key)
    return total[np.where(found, at, len(keys))]
