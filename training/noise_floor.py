"""The noise floor: what an oracle that knows every probability would still miss at this company's size.

Suppose the probabilities were the truth. Deals are still won or lost by chance, so that the oracle's log loss is the
mean entropy of the probabilities and not 0, and the sum of the probabilities of a week's open deals is not the number
of wins that come of them. How far off it is on average is simulated: every deal is won with its own probability, all
deals of a period sharing one shock of 0.15 in log-odds (standard normal), since the deals of a quarter rise and fall
together. The shock is scaled so that it does not move the mean (probit approximation):
``P(won | z) = sigmoid(k * logit p + 0.15 z)``, ``k = sqrt(1 + pi 0.15^2 / 8)``.

Errors are shares of what the period brought in all, wins and money, so that they fall as a period goes on and less is
open. The model's own error of the same weeks stands beside them; it holds the period's true shock, whatever it was,
and the model's own faults. Amounts are those known at the as-of: an oracle would not err in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.base import Float, Int, clipped_logit, sigmoid

SHOCK = 0.15
DRAWS = 1_000
FEWEST_DRAWS = 100
CELLS = 100_000_000  # random numbers drawn in all; very large companies get fewer draws
CHUNK = 4_000_000  # random numbers held at a time


@dataclass(frozen=True)
class OpenDeals:
    """The deals open at one as-of. p: float64[n]; amount: float64[n], currency, 0 where none; y: float64[n], 0 or 1.

    period, week: int, which period, and its week (1 is the first). wins, money: what the whole period brought.
    """

    period: int
    week: int
    p: Float
    amount: Float
    y: Float
    wins: float
    money: float


@dataclass(frozen=True)
class WeekFloor:
    """Mean absolute errors of one week over the periods, as shares of what the periods brought.

    deals: open deals, mean over the periods. wins, money: of the oracle. wins_ours, money_ours: of the probabilities
    against what came.
    """

    week: int
    periods: int
    deals: float
    wins: float
    money: float
    wins_ours: float
    money_ours: float


@dataclass(frozen=True)
class NoiseFloor:
    """log_loss: the oracle's, nats a row. weeks: by week of the period; none for a head without periods."""

    log_loss: float
    shock: float
    draws: int
    weeks: tuple[WeekFloor, ...]


def entropy(p: Float) -> float:
    """Return the mean entropy in nats: the log loss expected of probabilities that are the truth."""
    q = np.clip(p, 1e-300, 1.0)
    r = np.clip(1 - p, 1e-300, 1.0)
    return float(np.mean(-(p * np.log(q) + (1 - p) * np.log(r))))


def noise_floor(p: Float, books: list[OpenDeals], seed: int, shock: float = SHOCK, draws: int = DRAWS) -> NoiseFloor:
    """Return the floor of all test rows (p) and of the weekly books.

    Seeded: the same answer each time. shock: standard deviation in log-odds. draws: at most so many.
    """
    rows = sum(len(book.p) for book in books)
    used = int(np.clip(CELLS // max(rows, 1), FEWEST_DRAWS, draws))
    rng = np.random.default_rng(seed)
    shocks = {period: rng.normal(0, shock, used) for period in sorted({book.period for book in books})}
    weeks = []
    for week in sorted({book.week for book in books}):
        some = [book for book in books if book.week == week and book.wins > 0]
        if some:
            weeks.append(_week(week, some, shocks, shock, rng))
    return NoiseFloor(entropy(p), shock, used, tuple(weeks))


def _week(
    week: int, books: list[OpenDeals], shocks: dict[int, Float], shock: float, rng: np.random.Generator
) -> WeekFloor:
    missed = np.array([oracle_misses(book, shocks[book.period], shock, rng) for book in books])
    ours = np.array([[abs(float((b.p - b.y).sum())), abs(float(((b.p - b.y) * b.amount).sum()))] for b in books])
    wins, money = sum(book.wins for book in books), sum(book.money for book in books)
    share = np.array([wins, money if money > 0 else np.nan])
    oracle, found = missed.sum(axis=0) / share, ours.sum(axis=0) / share
    deals = float(np.mean([len(book.p) for book in books]))
    return WeekFloor(week, len(books), deals, *map(float, (*oracle, *found)))


def oracle_misses(book: OpenDeals, shocks: Float, shock: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return the mean absolute error of the expected wins and money over the drawn shocks, float64[d]."""
    raw = unshocked(book.p, shock)
    expected = np.array([book.p.sum(), (book.p * book.amount).sum()])
    weights = np.stack([np.ones(len(raw)), book.amount], axis=1)
    size = max(CHUNK // max(len(raw), 1), 1)
    off = np.zeros(2)
    for z in (shocks[at : at + size] for at in range(0, len(shocks), size)):
        won = rng.random((len(z), len(raw))) < sigmoid(raw[None, :] + z[:, None])
        off += np.abs(won @ weights - expected).sum(axis=0)
    wins, money = off / len(shocks)
    return float(wins), float(money)


def unshocked(p: Float, shock: float) -> Float:
    """Return the log-odds which a shock of that size is added to, so that the mean chance over shocks stays p."""
    return np.asarray(np.sqrt(1 + np.pi * shock**2 / 8) * clipped_logit(p))


def week_of(as_of: Int, start: Int) -> Int:
    """Return the week of the period that each as-of lies in, 1 the first, int64[n]; instants in UTC microseconds."""
    hour = 3_600_000_000
    # A Monday after the clocks changed is an hour early or late; it still begins its week.
    return (as_of - start + hour) // (7 * 24 * hour) + 1
