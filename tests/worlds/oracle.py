"""The truth: P(won by the end of this fiscal quarter) of a deal, given everything that is true of it now.

A backward recursion over the days of a quarter and all states that a deal can be in, exact to rounding. What the
market will do is not known to anybody, so it is averaged over; what it does now is part of the state.
"""

from __future__ import annotations

import numpy as np

from tests.worlds.calendar import Days, Float, Int
from tests.worlds.hazards import LATE, Hazards, chance
from tests.worlds.settings import GONE, STAGES

BLOCK = 600  # deals at a time: small enough for the processor's cache


def truth(hazards: Hazards, days: Days, market: Int, deal: Int, day: Int, state: tuple[Int, Int, Int]) -> Float:
    """float64[n]: the probability for each (deal, day), as of the day's first instant.

    market: int64[days], the market's level. state: stage, level and senior, int64[n] each.
    """
    out = np.full(len(deal), np.nan)
    quarter = days.quarter[day]
    block = max(BLOCK // len(hazards.market), 1)
    for q in np.unique(quarter):
        rows = np.flatnonzero(quarter == q)
        there = np.unique(deal[rows])
        for k in range(0, len(there), block):
            some = there[k : k + block]
            mine = rows[(deal[rows] >= some[0]) & (deal[rows] <= some[-1])]
            _quarter(hazards, days, market, some, int(q), mine, deal, day, state, out)
    return out


def _quarter(
    hazards: Hazards,
    days: Days,
    market: Int,
    some: Int,
    quarter: int,
    rows: Int,
    deal: Int,
    day: Int,
    state: tuple[Int, Int, Int],
    out: Float,
) -> None:
    """Walk back through one quarter for some deals and fill in their rows."""
    rows = rows[np.argsort(day[rows], kind="stable")]
    place = np.searchsorted(some, deal[rows])
    first, end = int(day[rows[0]]), int(days.starts[quarter + 1])
    walk = _Walk(hazards, some)
    value = np.zeros((len(hazards.market), len(some), len(STAGES), walk.levels, 2))
    for d in range(end - 1, first - 1, -1):
        if d + 1 < days.count and days.weekday[d + 1] == 0 and len(hazards.market) > 1:
            value = np.tensordot(hazards.moves, value, axes=(1, 0))
        value = walk.day_before(d, value)
        low, high = np.searchsorted(day[rows], [d, d + 1])
        if high > low:
            asked, at = rows[low:high], place[low:high]
            out[asked] = value[market[d], at, state[0][asked], state[1][asked], state[2][asked]]


class _Walk:
    """One deal after another, a day back at a time; what depends on few clocks is worked out once for each."""

    def __init__(self, hazards: Hazards, some: Int) -> None:
        self._hazards, self._some = hazards, some
        self.levels = GONE + 1 if hazards.gone > 0 else GONE
        segment = hazards.segment[some]
        self._win = hazards.win_state[segment][:, LATE:, : self.levels]
        self._lose = hazards.lose_state[segment][:, :, : self.levels] * _wide(hazards.lose_deal[some])
        self._advance = hazards.advance_state[segment][:, :-1, : self.levels] * _wide(hazards.advance_deal[some])
        self._up = hazards.up[some][:, None, :3, None]
        self._down = hazards.down[some][:, None, 1:4, None]
        self._goes: dict[float, Float] = {}
        self._keeps: dict[float, Float] = {}

    def day_before(self, d: int, value: Float) -> Float:
        """Turn the probabilities after a day into those before it."""
        hazards = self._hazards
        out = self._engaged(value)
        clock = float(hazards.advance_clock[d])
        if clock not in self._goes:
            self._goes[clock] = chance(self._advance * clock)
        out[:, :, :-1] += self._goes[clock] * (out[:, :, 1:] - out[:, :, :-1])
        if hazards.null is not None:
            return hazards.null[0] + (1.0 - sum(hazards.null)) * out if hazards.last[d] == 0 else out
        clock = float(hazards.lose_clock[d])
        if clock not in self._keeps:
            self._keeps[clock] = 1.0 - chance(self._lose * clock)
        out *= self._keeps[clock]
        odds = self._win * _wide(hazards.timing(d, self._some))
        won = chance(odds[None] * hazards.market[:, None, None, None, None])
        late = out[:, :, LATE:]
        late += won * (1.0 - late)
        return out

    def _engaged(self, value: Float) -> Float:
        """Average over the day's moves of engagement and over a senior contact joining."""
        step = value[..., 1:4, :] - value[..., :3, :]
        out = value.copy()
        out[..., :3, :] += self._up * step
        out[..., 1:4, :] -= self._down * step
        if self._hazards.gone > 0:
            out[..., :GONE, :] += self._hazards.gone * (value[..., GONE:, :] - out[..., :GONE, :])
        out[..., 0] += self._hazards.joins[: self.levels] * (out[..., 1] - out[..., 0])
        return out


def _wide(by_deal: Float) -> Float:
    return by_deal[:, None, None, None]
