"""What can happen to an open deal on a day, and how likely it is, given everything that is true of it.

A deal's state is (stage, engagement level, senior contact on board). On one day, in this order: it is won, or else
lost, or else may go a stage forward; independently its engagement moves by at most one level (or is gone for good) and
a senior contact joins. Odds are a product of a part that the state decides, a part that the deal decides, and clocks,
so the simulation and the oracle read the very same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.worlds.calendar import Days, Float, Int
from tests.worlds.population import Deals, Reps
from tests.worlds.settings import GONE, SEGMENTS, STAGES, Planted

ROOM = (len(STAGES), GONE + 1, 2)  # stages, levels, senior or not
LATE = len(STAGES) - 2  # deals are won from here on
SILENT = 0
STALE_DAYS = 75  # W2: transactional deals older than this go stale
TRANSACTIONAL, STANDARD, ENTERPRISE = range(len(SEGMENTS))


@dataclass(frozen=True)
class Hazards:
    """Odds of a day. *_state: float64[segments, stages, levels, 2]; *_deal: float64[n]; *_clock: float64[days].

    hockey: float64[n], how strongly a deal's odds of winning rise towards the quarter's end, by ``surge[day]``.
    stale: W2's factor on the odds of winning beyond an age, 1 where there is none. Engagement: probabilities by level.
    """

    segment: Int
    win_state: Float
    win_deal: Float
    win_clock: Float
    lose_state: Float
    lose_deal: Float
    lose_clock: Float
    advance_state: Float
    advance_deal: Float
    advance_clock: Float
    hockey: Float
    surge: Float
    born: Int
    stale: Float  # float64[segments]
    up: Float  # float64[n, levels]
    down: Float
    joins: Float  # float64[levels]
    gone: float
    market: Float  # float64[m]: factor on the odds of winning at each level of the market
    moves: Float  # float64[m, m]: a week's probabilities from level to level
    null: tuple[float, float] | None
    last: Int  # days after this one in the quarter

    def timing(self, day: int, deal: Int) -> Float:
        """float64[len(deal)]: what clock, habit and age make of the odds of winning on a day."""
        age = np.where(day - self.born[deal] > STALE_DAYS, self.stale[self.segment[deal]], 1.0)
        return self.win_clock[day] * self.win_deal[deal] * (1.0 + self.hockey[deal] * self.surge[day]) * age


def hazards_of(planted: Planted, days: Days, deals: Deals, reps: Reps) -> Hazards:
    """The hazards of a world's deals."""
    working = np.where(days.weekday < 5, 1.0, planted.weekend)
    quarter = days.quarter.astype(np.float64)
    skill, z = reps.skill[deals.rep], deals.amount_z
    won = (
        np.array(planted.source_effect)[deals.source]
        + np.array(planted.industry_effect)[deals.industry]
        + skill
        + deals.quality
    )
    won = won + (1.0 * (1.0 - np.abs(z)) if planted.nonlinear else planted.win_by_amount * z)
    if planted.nonlinear:
        # A close date that keeps moving is how enterprises buy, and a bad sign elsewhere.
        won = won + np.where(deals.slipper, np.where(deals.segment == ENTERPRISE, 0.8, -1.4), 0.0)
    win, lose, advance = _state(planted)
    levels = GONE + 1
    up, down = np.full((len(deals), levels), -np.inf), np.full((len(deals), levels), -np.inf)
    lift = planted.quality_on_engagement * deals.quality[:, None]
    up[:, :3] = np.array(planted.up) + lift
    down[:, 1:4] = np.array(planted.down) - lift
    hockey = np.array(planted.hockey)
    if planted.nonlinear:
        hockey = hockey * np.array([0.0, 2.0, 1.0])
    joins = np.append(_probability(np.array(planted.senior_joins)), 0.0)
    return Hazards(
        segment=deals.segment,
        win_state=np.exp(win),
        win_deal=np.exp(won),
        win_clock=working * np.exp(planted.drift_win * quarter),
        lose_state=np.exp(lose),
        lose_deal=np.exp(planted.lose_by_quality * deals.quality + planted.lose_by_skill * skill),
        lose_clock=working * np.where(days.left < 7, 1.0 + planted.cleanup, 1.0),
        advance_state=np.exp(advance),
        advance_deal=np.exp(0.2 * deals.quality),
        advance_clock=working,
        hockey=hockey[deals.segment] * np.exp(reps.hockey[deals.rep]),
        surge=np.exp(-days.left / planted.hockey_days),
        born=deals.day,
        stale=np.array([0.2 if planted.nonlinear else 1.0, 1.0, 1.0]),
        up=_probability(up),
        down=_probability(down),
        joins=joins,
        gone=float(_probability(np.array(planted.ghosting))) if planted.ghosting > -15 else 0.0,
        market=np.exp(planted.market_step * (np.arange(planted.market) - (planted.market - 1) / 2)),
        moves=_moves(planted),
        null=planted.null,
        last=days.left,
    )


def _state(planted: Planted) -> tuple[Float, Float, Float]:
    """Log-odds by segment, stage, level and senior of winning, losing and going on."""
    shape = (len(SEGMENTS), *ROOM)
    win, lose, advance = np.full(shape, -np.inf), np.zeros(shape), np.full(shape, -np.inf)
    by_level = np.array([*planted.win_by_level, -6.0])
    senior = np.array([0.0, planted.win_by_senior])
    segment = np.array(planted.win_by_segment)[:, None, None, None]
    win[:, LATE:] = segment + np.array(planted.win)[:, None, None] + by_level[:, None] + senior
    lose_level = np.array([*planted.lose_by_level, planted.lose_gone])
    lose += np.array(planted.lose)[:, None, None] + lose_level[:, None] + np.array([0.0, planted.lose_by_senior])
    slope = planted.advance_by_level * np.array([-1.5, -0.5, 0.5, 1.5, -2.5])
    pace = np.array(planted.pace)[:, None, None]
    advance[:, :-1] = (pace + np.array(planted.advance)[:, None] + slope)[..., None]
    if planted.nonlinear:
        _bend(win, lose, np.array(planted.win), segment[:, :, 0, 0])
    return win, lose, advance


def _bend(win: Float, lose: Float, base: Float, segment: Float) -> None:
    """W2: who is engaged matters only where a senior contact is on board, silence only in some places."""
    with_senior = np.array([-0.8, 0.4, 1.5, 2.1])
    without = np.array([-0.5, -0.5, -0.5, -0.5])
    win[:, LATE:, :GONE, 1] = segment[..., None] + base[:, None] + with_senior
    win[:, LATE:, :GONE, 0] = segment[..., None] + base[:, None] + without
    win[STANDARD, LATE:, SILENT] -= 2.0
    lose[STANDARD, LATE:, SILENT] += 1.0
    win[ENTERPRISE, LATE:, SILENT] += 1.2  # they decide among themselves
    lose[ENTERPRISE, LATE:, SILENT] -= 1.2
    lose[TRANSACTIONAL, LATE:, SILENT] -= 1.2  # late in a small purchase silence is nothing, early it is the end
    lose[TRANSACTIONAL, :LATE, SILENT] += 0.6


def _probability(log_odds: Float) -> Float:
    return 1.0 / (1.0 + np.exp(-log_odds))


def _moves(planted: Planted) -> Float:
    """A week's moves of the market: one level up or down, and none beyond the ends."""
    m = planted.market
    moves = np.zeros((m, m))
    for i in range(m):
        for j in (i - 1, i + 1):
            moves[i, min(max(j, 0), m - 1)] += planted.market_moves / 2
        moves[i, i] += 1.0 - planted.market_moves
    return moves


def chance(odds: Float) -> Float:
    """Odds as a probability."""
    return odds / (1.0 + odds)
