"""Bookings of a window from deals that are not there yet: opened at or after the as-of and won before the window ends.

How many such wins earlier periods brought from the same day on (counted from the period's end, where the rush is), told
beside how many deals were being created then: ``rate = created now x sum(w wins) / sum(w created)``, w halving every
`HALF_LIFE` periods. It is additive pickup with the volume taken out (Weatherford and Kimes 2003 found pickup best among
the classical methods). Counts are Poisson around a rate that all reps share, gamma with the variance that past periods
show beyond Poisson's; amounts are drawn from those of such wins. A rep's part is shrunken towards an equal one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.periods import DAY, Calendar
from features.wins import Wins
from models.base import Float, Int

PERIODS = 8  # looked back at, at most
HALF_LIFE = 4.0  # periods
VOLUME = 91 * DAY  # in which the creation of deals is counted
USUAL_SPREAD, SPREAD_PERIODS = 0.15, 4.0  # sd of the log rate before anything is seen, and the periods it counts for
PART = 4.0  # wins that count for an equal part of every rep
FEWEST_AMOUNTS = 20  # below which amounts of all wins join in


@dataclass(frozen=True)
class Window:
    """``[start, end)`` whose bookings are asked for as of an instant, all UTC microseconds; as_of < end."""

    as_of: int
    start: int
    end: int


@dataclass(frozen=True)
class PastArrivals:
    """The same window in k earlier periods, newest first. wins, created: int64[k]. periods: int64[k], how long ago.

    rep: int64[m] and cents: int64[m] of all their wins, ago: int64[m] their periods.
    """

    periods: Int
    wins: Int
    created: Int
    rep: Int
    cents: Int
    ago: Int


@dataclass(frozen=True)
class Arrivals:
    """Wins to come from deals to come.

    rate: float64[reps], expected wins. spread: sd of the factor that all rates share.
    cents: int64[m], amounts, equally likely; never empty where a rate is above 0.
    """

    rate: Float
    spread: float
    cents: Int

    def expected(self) -> Int:
        """Return the expected cents of each rep, int64[reps]."""
        mean = float(self.cents.mean()) if len(self.cents) else 0.0
        return np.rint(self.rate * mean).astype(np.int64)

    def draw(self, own: Sequence[np.random.Generator], shared: np.random.Generator, paths: int) -> Int:
        """Return the cents that come on each path, int64[reps, paths]. own: a stream of each rep; shared: of all."""
        out = np.zeros((len(self.rate), paths), dtype=np.int64)
        factor = np.ones(paths)
        if self.spread > 0:
            shape = 1.0 / self.spread**2
            factor = shared.gamma(shape, 1.0 / shape, paths)
        for rep, (rate, stream) in enumerate(zip(self.rate, own, strict=True)):
            if rate > 0:
                count = stream.poisson(rate * factor)
                which = stream.random(int(count.sum()), dtype=np.float32) * np.float32(len(self.cents))
                drawn = self.cents.take(which.astype(np.int64), mode="clip")
                ends = np.concatenate([[0], np.cumsum(drawn)])
                last = np.cumsum(count)
                out[rep] = ends[last] - ends[last - count]
        return out


def past_arrivals(
    wins: Wins, created_at: Int, calendar: Calendar, window: Window, volume: int = VOLUME
) -> PastArrivals:
    """Read the same window off earlier periods. wins, created_at (int64, increasing): of what is known at the as-of.

    Periods are matched by their ends. One whose window was not over at the as-of, or that lies before the record,
    tells nothing. volume: microseconds in which the creation of deals is counted; a record shorter than that and a
    period needs less.
    """
    starts = calendar.starts
    at = int(np.searchsorted(starts, window.as_of, side="right")) - 1
    periods: list[int] = []
    counts: list[int] = []
    created: list[int] = []
    found: list[Int] = []
    ago: list[Int] = []
    for back in range(1, at + 1):
        now, start, end = (_moved(starts, edge, back) for edge in (window.as_of, window.start, window.end))
        if end > window.as_of:
            continue
        if not len(created_at) or now - volume < created_at[0] or len(periods) == PERIODS:
            break
        low, high = np.searchsorted(wins.won_at, [max(start, now), end])
        new = low + np.flatnonzero(wins.opened_at[low:high] >= now)
        periods.append(back)
        counts.append(len(new))
        created.append(created_lately(created_at, now, volume))
        found.append(new)
        ago.append(np.full(len(new), back))
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *found])
    return PastArrivals(
        np.array(periods, dtype=np.int64),
        np.array(counts, dtype=np.int64),
        np.array(created, dtype=np.int64),
        wins.rep[rows],
        wins.cents[rows],
        np.concatenate([np.zeros(0, dtype=np.int64), *ago]),
    )


def _moved(starts: Int, edge: int, back: int) -> int:
    """Return the instant that lies as far before the end of its period, some periods earlier, not before its start."""
    at = int(np.searchsorted(starts, edge, side="left"))  # the end of the period of what lies before the edge
    return max(int(starts[at - back]) - (int(starts[at]) - edge), int(starts[max(at - back - 1, 0)]))


def created_lately(created_at: Int, now: int, volume: int = VOLUME) -> int:
    """Return how many deals were created in the `volume` microseconds before an instant. created_at: increasing."""
    low, high = np.searchsorted(created_at, [now - volume, now])
    return int(high - low)


def arrivals_of(past: PastArrivals, created_now: int, every: Wins, rep_place: Int, active: Float) -> Arrivals:
    """Return what is to come. created_now: deals created in the 91 days before the as-of. every: all wins known.

    rep_place: int64[codes], place of each rep code among the active, -1: none. active: float64[reps], 1 for a rep who
    gets new deals, else 0. Without an earlier period nothing can be said, and nothing comes.
    """
    weight = 0.5 ** (past.periods / HALF_LIFE)
    volume = float((weight * past.created).sum())
    if not volume or not active.sum():
        return Arrivals(np.zeros(len(active)), 0.0, np.zeros(0, dtype=np.int64))
    rate = float((weight * past.wins).sum()) / volume
    total = rate * created_now
    place = np.append(rep_place, -1)[past.rep]
    known = place >= 0
    own = np.bincount(place[known], weights=0.5 ** (past.ago[known] / HALF_LIFE), minlength=len(active))
    parts = (own + PART * 0.5) * active
    cents = past.cents if len(past.cents) >= FEWEST_AMOUNTS else np.concatenate([past.cents, every.cents])
    if not len(cents):
        return Arrivals(np.zeros(len(active)), 0.0, np.zeros(0, dtype=np.int64))
    return Arrivals(total * parts / parts.sum(), _spread(past, rate), cents)


def _spread(past: PastArrivals, rate: float) -> float:
    """Return the sd of the shared factor: what past counts vary by beyond Poisson's chance, shrunken to the usual."""
    expected = np.maximum(rate * past.created, 1e-9)
    seen = float((((past.wins - expected) ** 2 - expected) / expected**2 * expected).sum() / expected.sum())
    n = len(past.periods)
    return float(np.sqrt(max((n * seen + SPREAD_PERIODS * USUAL_SPREAD**2) / (n + SPREAD_PERIODS), 0.0)))
