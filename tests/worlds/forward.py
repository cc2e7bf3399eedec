"""Deals live: a walk through all days of a world. What reps write down on the way is in notebook.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.worlds.calendar import Days, Int
from tests.worlds.hazards import Hazards, chance
from tests.worlds.notebook import Notebook, Written
from tests.worlds.population import Bool, Deals, Reps
from tests.worlds.settings import GONE, Planted

REOPEN_DAYS = (10, 45)
ZOMBIE_DAYS = (120, 420)
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Lived:
    """What came about. Paths: a row per deal and day on which it was open at the day's first instant (its state then).

    ends: deal, day and won of every close, in order of the days. zombie: day since when a deal is dead though nobody
    wrote it down (NEVER: it is not), cleared: day on which somebody did. gone: day on which the buyer went for good.
    """

    deal: Int
    day: Int
    stage: Int
    level: Int
    senior: Int
    end_deal: Int
    end_day: Int
    end_won: Bool
    zombie: Int
    cleared: Int
    gone: Int
    senior_day: Int
    market: Int
    written: Written


def live(
    planted: Planted,
    days: Days,
    deals: Deals,
    reps: Reps,
    hazards: Hazards,
    rng: np.random.Generator,
    notes: np.random.Generator,
) -> Lived:
    """Walk through the days. rng: of what happens; notes: of what is written down."""
    lives = _Lives(planted, days, deals, reps, hazards, rng, notes)
    for d in range(days.count):
        lives.day(d)
    return lives.lived()


class _Lives:
    """All deals as they stand on the morning of a day."""

    def __init__(
        self,
        planted: Planted,
        days: Days,
        deals: Deals,
        reps: Reps,
        hazards: Hazards,
        rng: np.random.Generator,
        notes: np.random.Generator,
    ) -> None:
        self._planted, self._days, self._hazards, self._rng = planted, days, hazards, rng
        self._market = _market(planted, days, rng)
        self._notebook = Notebook(planted, days, deals, reps, notes)
        self._stage, self._level, self._senior = deals.stage.copy(), deals.level.copy(), deals.senior.copy()
        self._zombie, self._cleared, self._gone = (np.full(len(deals), NEVER) for _ in range(3))
        self._senior_day = np.where(deals.senior == 1, deals.day, NEVER)
        self._open = np.zeros(0, dtype=np.int64)
        self._back: dict[int, list[int]] = {}
        self._paths: list[tuple[Int, ...]] = []
        self._ends: list[tuple[Int, Int, Bool]] = []
        self._arrivals = np.searchsorted(deals.day, np.arange(days.count + 1))

    def day(self, d: int) -> None:
        """What happens on a day, to deals that were open as it began; new and re-opened ones live from the next."""
        hazards, rng, now = self._hazards, self._rng, self._open
        s, e, k = self._stage[now], self._level[now], self._senior[now]
        self._paths.append((now, np.full(len(now), d), s, e, k))
        won, lost = _ended(hazards, d, now, s, e, k, int(self._market[d]), rng)
        odds = hazards.advance_state[hazards.segment[now], s, e, k] * hazards.advance_deal[now]
        goes = ~won & ~lost & (rng.random(len(now)) < chance(odds * hazards.advance_clock[d]))
        self._stage[now[goes]] += 1
        self._engage(d, now, e, k)
        dead = self._dead(d, now, lost)
        ended, told = won | lost, (won | lost) & ~dead
        self._ends.append((now[told], np.full(int(told.sum()), d), won[told]))
        self._notebook.write(d, now[~ended], self._stage, e[~ended], goes[~ended])
        self._notebook.close(d, now[won], now[lost & ~dead], self._stage)
        again = np.array(self._back.pop(d, []), dtype=np.int64)
        self._level[again] = 2
        self._notebook.reopen(d, again, self._stage)
        born = np.arange(self._arrivals[d], self._arrivals[d + 1])
        self._notebook.create(d, born, self._stage)
        self._open = np.concatenate([now[~ended], again, born])

    def lived(self) -> Lived:
        """All that came about."""
        self._notebook.clear(self._cleared)
        path = [np.concatenate([part[i] for part in self._paths]).astype(np.int64) for i in range(5)]
        deal, day, won = (np.concatenate([part[i] for part in self._ends]) for i in range(3))
        after = (self._zombie, self._cleared, self._gone, self._senior_day, self._market)
        return Lived(*path, deal, day, won, *after, self._notebook.written())

    def _engage(self, d: int, now: Int, e: Int, k: Int) -> None:
        """Engagement moves, and seniors join."""
        hazards, rng = self._hazards, self._rng
        u, v = rng.random((2, len(now)))
        up, down = hazards.up[now, e], hazards.down[now, e]
        self._level[now] = e + (u < up) - ((u >= up) & (u < up + down))
        left = now[(e < GONE) & (v < hazards.gone)]
        self._level[left], self._gone[left] = GONE, d
        joined = now[(k == 0) & (rng.random(len(now)) < hazards.joins[e])]
        self._senior[joined], self._senior_day[joined] = 1, d

    def _dead(self, d: int, now: Int, lost: Bool) -> Bool:
        """Lost deals that nobody closes for months, bool[len(now)]; some that are closed will be opened again."""
        if not self._planted.dirty:
            return np.zeros(len(now), dtype=bool)
        rng = self._rng
        dead = lost & (rng.random(len(now)) < self._planted.zombies)
        self._zombie[now[dead]] = d
        self._cleared[now[dead]] = d + rng.integers(*ZOMBIE_DAYS, int(dead.sum()))
        closed = now[lost & ~dead]
        again = closed[rng.random(len(closed)) < self._planted.reopened]
        for deal, later in zip(again, d + rng.integers(*REOPEN_DAYS, len(again)), strict=True):
            if later < self._days.count - 1:
                self._back.setdefault(int(later), []).append(int(deal))
        return dead


def _market(planted: Planted, days: Days, rng: np.random.Generator) -> Int:
    """int64[days]: the market's level; it moves on Mondays, by at most one."""
    u = rng.random(days.count)
    level = np.zeros(days.count, dtype=np.int64)
    now = (planted.market - 1) // 2
    for d in range(days.count):
        if days.weekday[d] == 0 and planted.market > 1:
            step = -1 if u[d] < planted.market_moves / 2 else 1 if u[d] < planted.market_moves else 0
            now = min(max(now + step, 0), planted.market - 1)
        level[d] = now
    return level


def _ended(
    hazards: Hazards, d: int, now: Int, s: Int, e: Int, k: Int, market: int, rng: np.random.Generator
) -> tuple[Bool, Bool]:
    """Who is won and who is lost on a day."""
    u, v = rng.random((2, len(now)))
    if hazards.null is not None:
        c, gone = hazards.null if hazards.last[d] == 0 else (0.0, 0.0)
        won = u < c
        return won, ~won & (v < gone / (1.0 - c))
    segment = hazards.segment[now]
    win = chance(hazards.win_state[segment, s, e, k] * hazards.timing(d, now) * hazards.market[market])
    lose = chance(hazards.lose_state[segment, s, e, k] * hazards.lose_deal[now] * hazards.lose_clock[d])
    won = u < win
    return won, ~won & (v < lose)
