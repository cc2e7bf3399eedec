"""(row, horizon) pairs that the timing heads learn from, weighted for what a record's end leaves untold (IPCW).

Rows are watched for different times, up to the cut. Of two deals that take 30 and 300 days, a row seen for 100 days
tells the quick one alone, so to learn from what is closed is to learn that deals close fast. A pair (row, h) counts

- 1 where the row was watched for all of h and the deal did not close within it,
- ``G(h) / G(t)`` where it closed t < h days after the as-of, whether or not h was over at the cut,
- 0 where it was still open when its time ended before h.

G(t) is the share of rows watched for more than t. This is inverse probability of censoring weighting (1 / G) times
G(h), which is the same for all pairs of a horizon: no weight is above 1, none needs clipping, and where every row was
watched for all of h each counts 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.periods import DAY
from models.base import Bool, Float, Int
from training.labels import Watched

DRAWS = 3  # horizons a row, one from each stratum
FIRST_DAYS = 2.0
LEAST_TOLD = 0.05  # share of the rows that must be watched for a horizon's whole length


@dataclass(frozen=True)
class Censoring:
    """How long rows were watched: int64[n] microseconds, ascending."""

    seen: Int

    @classmethod
    def of(cls, watch: Watched) -> Censoring:
        """Count every row, closed or not: the end of the record is the same for all."""
        return cls(np.sort(watch.seen))

    def beyond(self, time: Int) -> Float:
        """Return the share of rows watched for longer than `time`, float64."""
        return 1.0 - np.searchsorted(self.seen, time, side="right") / len(self.seen)

    def through(self, time: Int | int) -> Float:
        """Return the share of rows watched for `time` or longer, float64."""
        return 1.0 - np.searchsorted(self.seen, time, side="left") / len(self.seen)

    def told(self, longest: float) -> float:
        """Return the longest horizon in days, at most `longest`, that enough rows were watched through."""
        return min(longest, float(np.quantile(self.seen, 1.0 - LEAST_TOLD)) / DAY)


def weights(watch: Watched, horizon: Int | int, censoring: Censoring) -> Float:
    """Return the weight of each pair, float64[n] in [0, 1]; horizon: int64[n] or a number, microseconds."""
    closed = watch.closed < horizon
    share = censoring.through(horizon) / np.maximum(censoring.beyond(np.where(closed, watch.closed, 0)), 1e-12)
    open_through: Bool = ~closed & (watch.seen >= horizon)
    return np.where(closed, np.minimum(share, 1.0), open_through.astype(np.float64))


@dataclass(frozen=True)
class Pairs:
    """Pairs with a weight above 0. row: int64[p] into the rows given; days: float64[p]; won, lost: float64[p], 0 or 1.

    weight: float64[p].
    """

    row: Int
    days: Float
    won: Float
    lost: Float
    weight: Float


def draw_pairs(watch: Watched, censoring: Censoring, longest: float, most: int, seed: int) -> Pairs:
    """Draw at most `most` pairs: rows at random, `DRAWS` horizons each, spread over the logarithm of the days."""
    rng = np.random.default_rng([seed, DRAWS])
    n = len(watch.seen)
    rows = np.sort(rng.choice(n, size=min(n, max(most // DRAWS, 1)), replace=False))
    part = (np.arange(DRAWS) + rng.random((len(rows), DRAWS))) / DRAWS
    low, high = np.log(min(FIRST_DAYS, longest / 2)), np.log(longest)
    days = np.exp(low + part * (high - low)).ravel()
    row = np.repeat(rows, DRAWS)
    horizon = np.round(days * DAY).astype(np.int64)
    own = watch.take(row)
    weight = weights(own, horizon, censoring)
    within = own.closed < horizon
    kept = weight > 0
    won, lost = (own.won & within).astype(np.float64), (own.lost & within).astype(np.float64)
    return Pairs(row[kept], days[kept], won[kept], lost[kept], weight[kept])
