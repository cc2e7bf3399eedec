"""What reps write into the CRM while their deals live: the tracked fields, a full row after each day that changed one.

Close dates are set too early and pushed; categories follow what the rep feels; amounts move a little. All of it is
drawn from the past and the present only, so no field knows more than the deal's state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.worlds.calendar import Days, Float, Int
from tests.worlds.population import Bool, Deals, Reps
from tests.worlds.settings import STAGES, Planted

WON_CODE, LOST_CODE = len(STAGES), len(STAGES) + 1  # beside the open stages' 0..4
MORNING, NOON, EVENING = 7 * 3600, 12 * 3600, 18 * 3600
PIPELINE, BEST_CASE, COMMIT = range(3)
FEELS = np.array([-1.5, -0.5, 0.5, 1.5, -1.8])  # a rep's impression by engagement level


@dataclass(frozen=True)
class Written:
    """Rows of the history, in order of the days; int64[h] each (amount float64). second: of the day, UTC."""

    deal: Int
    day: Int
    second: Int
    stage: Int
    amount: Float
    close_day: Int
    category: Int
    next_step: Int


class Notebook:
    """The tracked fields of all deals as they stand, and every row written so far."""

    def __init__(self, planted: Planted, days: Days, deals: Deals, reps: Reps, rng: np.random.Generator) -> None:
        n = len(deals)
        self._planted, self._days, self._deals, self._rng = planted, days, deals, rng
        self._optimism = reps.optimism[deals.rep]
        self._under = reps.strength[deals.rep] > 1.0
        self._amount = deals.amount.copy()
        self._close_day = np.zeros(n, dtype=np.int64)
        self._category = np.zeros(n, dtype=np.int64)
        self._next = np.zeros(n, dtype=np.int64)
        self._rows: list[tuple[Int | Float, ...]] = []

    def create(self, d: int, born: Int, stage: Int) -> None:
        """Write the rows of new deals."""
        expected = np.array(self._planted.expected_days)[self._deals.segment[born]]
        span = expected * np.exp(self._planted.expected_sd * self._rng.normal(size=len(born)))
        self._close_day[born] = self._snapped(d + np.maximum(span, 7.0).astype(np.int64))
        self._next[born] = self._rng.random(len(born)) < 0.5
        self._note(d, born, stage[born], self._deals.second[born])

    def reopen(self, d: int, again: Int, stage: Int) -> None:
        """Write rows for lost deals that are opened again."""
        self._close_day[again] = self._snapped(d + self._rng.integers(20, 60, len(again)))
        self._category[again] = PIPELINE
        self._note(d, again, stage[again], self._afternoon(len(again)))

    def write(self, d: int, alive: Int, stage: Int, level: Int, moved: Bool) -> None:
        """Weekly looks at deals, and stages as they change. level: as the day began."""
        turn = np.flatnonzero(self._deals.review[alive] == self._days.weekday[d])
        looked, felt = alive[turn], level[turn]
        changed = np.zeros(len(alive), dtype=bool)
        changed[turn] = (
            self._move_close(d, looked, stage, felt)
            | self._recategorise(looked, stage, felt)
            | self._reprice(looked)
            | self._step(looked, felt)
        )
        self._forward(d, alive[moved], stage)
        rows = alive[changed | moved]
        self._note(d, rows, stage[rows], self._afternoon(len(rows)))

    def close(self, d: int, won: Int, lost: Int, stage: Int) -> None:
        """Write closes. The amount of a won deal is the contract's, which differs from the last one written."""
        mean, sd = self._planted.amount_at_close
        self._amount[won] = np.round(self._amount[won] * np.exp(mean + sd * self._rng.normal(size=len(won))), 2)
        for deals, code in ((won, WON_CODE), (lost, LOST_CODE)):
            self._note(d, deals, np.full(len(deals), code), self._afternoon(len(deals)))

    def clear(self, cleared: Int) -> None:
        """Write down, at long last, that dead deals are lost."""
        for deal in np.flatnonzero(cleared < self._days.count):
            some = np.array([deal])
            self._note(int(cleared[deal]), some, np.array([LOST_CODE]), self._afternoon(1))

    def written(self) -> Written:
        """All rows so far, in order of the days."""
        columns = [np.concatenate([row[i] for row in self._rows]) for i in range(8)]
        order = np.lexsort([columns[2], columns[1]])
        deal, day, second, stage, amount, close_day, category, following = (column[order] for column in columns)
        return Written(deal, day, second, stage, amount, close_day, category, following)

    def _note(self, d: int, deals: Int, stage: Int, second: Int) -> None:
        self._rows.append(
            (
                deals,
                np.full(len(deals), d),
                second,
                stage,
                self._amount[deals],
                self._close_day[deals],
                self._category[deals],
                self._next[deals],
            )
        )

    def _afternoon(self, n: int) -> Int:
        return self._rng.integers(NOON, EVENING, n)

    def _snapped(self, day: Int) -> Int:
        """Reps like the last day of a quarter."""
        snaps = self._rng.random(len(day)) < self._planted.snap
        return np.where(snaps, self._days.quarter_end(day), day)

    def _move_close(self, d: int, deals: Int, stage: Int, level: Int) -> Bool:
        planted, rng, n = self._planted, self._rng, len(deals)
        now = self._close_day[deals]
        u, v, w = rng.random((3, n))
        overdue = (now <= d) & (u < planted.overdue_moved)
        chance = np.array(planted.push)[level] + planted.slipper_push * self._deals.slipper[deals]
        pushed = overdue | ((now > d) & (now < d + 30) & (v < chance))
        span = np.maximum(35.0 * np.exp(0.6 * rng.normal(size=n)), 7.0).astype(np.int64)
        later = self._snapped(np.maximum(now, d) + span)
        near = ~pushed & (w < planted.pull_in) & (level == 3) & (stage[deals] >= len(STAGES) - 2) & (now > d + 21)
        moved = np.where(pushed, later, np.where(near, d + 14, now))
        self._close_day[deals] = self._past_the_end(deals, moved)
        return self._close_day[deals] != now

    def _past_the_end(self, deals: Int, day: Int) -> Int:
        """Reps who call less than they expect like a date just after the quarter's end."""
        end = self._days.quarter_end(day)
        u, shift = self._rng.random(len(deals)), self._rng.integers(1, 22, len(deals))
        return np.where(self._under[deals] & (end - day < 21) & (u < 0.6), end + shift, day)

    def _recategorise(self, deals: Int, stage: Int, level: Int) -> Bool:
        n = len(deals)
        felt = 0.9 * (stage[deals] - 2.5) + 0.7 * FEELS[level] + self._optimism[deals]
        felt = felt + 0.8 * self._rng.normal(size=n)
        said = np.where(felt < 0.6, PIPELINE, np.where(felt < 2.0, BEST_CASE, COMMIT))
        u, v = self._rng.random((2, n))
        said = np.where(self._under[deals] & (said == COMMIT) & (v < 0.7), BEST_CASE, said)
        old = self._category[deals]
        self._category[deals] = np.where(u < self._planted.category_updated, said, old)
        return self._category[deals] != old

    def _reprice(self, deals: Int) -> Bool:
        mean, sd = self._planted.amount_step
        changed = self._rng.random(len(deals)) < self._planted.amount_updated
        factor = np.exp(mean + sd * self._rng.normal(size=len(deals)))
        self._amount[deals] = np.where(changed, np.round(self._amount[deals] * factor, 2), self._amount[deals])
        return changed

    def _step(self, deals: Int, level: Int) -> Bool:
        u, v = self._rng.random((2, len(deals)))
        said = (v < 0.5 + 0.2 * FEELS[level]).astype(np.int64)
        old = self._next[deals]
        self._next[deals] = np.where(u < 0.3, said, old)
        return self._next[deals] != old

    def _forward(self, d: int, deals: Int, stage: Int) -> None:
        """In the last stage a rep dares a new close date."""
        last = deals[stage[deals] == len(STAGES) - 1]
        self._close_day[last] = self._snapped(d + self._rng.integers(7, 40, len(last)))
