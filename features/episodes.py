"""Episodes of deals as facts: when each began and ended, what was at stake, which stages it entered and went beyond.

An episode is a deal from its first row, or from a re-opening, to the first won, lost, deleted or merged row after it.
What stands at the close's own instant was written with the outcome in hand and tells nothing of the way there. Every
fact has an instant of its own, so that the state as of any date is told by those strictly before it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from features.asof import known, look
from features.stages import OPEN, WON, StageMap
from features.tables import NAT
from features.timeline import Bool, Int, Timeline

NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Episodes:
    """Every episode, int64[e] each, in order of deal and time.

    deal: code. began_at, ended_at: UTC microseconds, NEVER where it has not ended. outcome: OPEN, WON, LOST (deleted
    ones too) or MERGED. rep: owner on the last row before the end, -1 unknown. stake: cents that were last told while
    it was open, else those on the closing row; 0 where no amount above zero is told.
    first, stop: the rows ``first:stop`` of the history are those before its end.
    """

    deal: Int
    began_at: Int
    ended_at: Int
    outcome: Int
    rep: Int
    stake: Int
    first: Int
    stop: Int

    def __len__(self) -> int:
        return len(self.deal)

    def take(self, rows: Int | Bool) -> Episodes:
        """Return some of the episodes."""
        return Episodes(*(getattr(self, column.name)[rows] for column in fields(self)))


@dataclass(frozen=True)
class Entries:
    """The first time that an episode was in a stage, int64[k] each.

    episode: position in `Episodes`. stage: rank. entered_at: UTC microseconds. advanced_at: when it then first was in a
    later stage of the same process, or was won; NEVER where neither came. A stage that was skipped was not entered.
    """

    episode: Int
    stage: Int
    entered_at: Int
    advanced_at: Int

    def __len__(self) -> int:
        return len(self.stage)

    def take(self, rows: Int | Bool) -> Entries:
        """Return some of the entries."""
        return Entries(*(getattr(self, column.name)[rows] for column in fields(self)))


def episodes_of(history: Timeline) -> Episodes:
    """Read every episode off a history."""
    closed, rows = history.mask("closed"), len(history)
    begins = np.zeros(rows, dtype=bool)
    begins[1:] = (history.entity[1:] != history.entity[:-1]) | (closed[:-1] & ~closed[1:])
    begins[:1] = True
    first = np.flatnonzero(begins)
    deal = history.entity[first]
    end, past = history.following("closed")[first], history.start[deal + 1]
    over = end < past
    row = np.minimum(end, max(rows - 1, 0))
    closes = history.known_at[row]
    stop = np.maximum(np.where(over, look(history, deal, closes).high, past), first)
    held = np.where(stop > first, stop - 1, row)
    return Episodes(
        deal,
        history.known_at[first],
        np.where(over, closes, NEVER),
        np.where(over, history.values("outcome")[row], OPEN),
        np.maximum(history.values("owner")[held], -1),
        _stakes(history, first, stop, np.where(over, row, first)),
        first,
        stop,
    )


def owners_at(history: Timeline, episodes: Episodes, as_of: int) -> Int:
    """Return who holds each episode as of an instant, int64[e], -1 unknown: of ended ones who held it before the end.

    All of them must have begun before the as-of.
    """
    over = known(episodes.ended_at, as_of)
    if not len(episodes):
        return episodes.rep
    seen = look(history, episodes.deal, np.full(len(episodes), as_of, dtype=np.int64)).high
    now = np.maximum(history.values("owner")[np.maximum(seen - 1, 0)], -1)
    return np.where(over, episodes.rep, now)


def entries_of(history: Timeline, episodes: Episodes, stages: StageMap) -> Entries:
    """Read the entries into stages. A stage that no history tells (`assumed`) is none: only survivors would have it."""
    size = episodes.stop - episodes.first
    episode = np.repeat(np.arange(len(size)), size)
    row = episodes.first[episode] + np.arange(len(episode)) - np.repeat(np.cumsum(size) - size, size)
    stage = history.values("stage")
    told = (stage[row] != NAT) & ~history.mask("stage_assumed")[row]
    episode, row = episode[told], row[told]
    _, at = np.unique(episode * max(len(stages.order), 1) + stage[row], return_index=True)
    episode, row = episode[at], row[at]
    end = np.where(episodes.outcome == WON, episodes.ended_at, NEVER)[episode]
    further = _further(history, row, stages, episodes.stop[episode])
    return Entries(episode, stage[row], history.known_at[row], np.minimum(further, end))


def _further(history: Timeline, row: Int, stages: StageMap, stop: Int) -> Int:
    """Return when, after each row and before `stop`, a later stage of the row's process first stands; NEVER: not."""
    processes = stages.processes or (stages.order,)
    last = np.cumsum([len(process) for process in processes])  # ranks of a process end below
    stage, found = history.values("stage"), np.full(len(row), NEVER, dtype=np.int64)
    for rank in np.unique(stage[row]).tolist():
        end = int(last[np.searchsorted(last, rank, side="right")])
        beyond = np.where((stage > rank) & (stage < end), np.arange(len(stage)), len(stage))
        following = np.minimum.accumulate(beyond[::-1])[::-1]
        some = np.flatnonzero(stage[row] == rank)
        there = following[row[some]]
        reached = there < stop[some]
        found[some[reached]] = history.known_at[there[reached]]
    return found


def _stakes(history: Timeline, first: Int, stop: Int, closing: Int) -> Int:
    amount = history.values("amount")
    priced = np.where((amount > 0) & ~history.mask("closed"), np.arange(len(amount)), -1)
    before = np.concatenate([[-1], np.maximum.accumulate(priced)])[stop]
    row = np.where(before >= first, before, closing)
    return np.where(amount[row] > 0, amount[row], 0)
