"""A month of hotel bookings forecast at its start: chances of the open book, pickup by `models.arrivals`, the band.

Each month is fitted on the months before it alone. `Rule` says what was tried; the one that stands as its default was
chosen on the months from 2015-12 to 2016-06, before the first that is tested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from configs.learning import Model
from features.wins import Wins
from models.arrivals import Arrivals, PastArrivals, Window, arrivals_of, created_lately, past_arrivals
from models.base import Examples, Float, Frame, ProbabilityModel
from models.bookings import LEVELS, Book, Paths, Shocks, Tree, simulate
from models.close import fit_close
from models.linear import fit_linear
from models.quarter import stretched
from models.tables import fit_stage_time
from tests.bench.hotel_book import (
    CALENDAR,
    FRAME,
    HOTELS,
    Bookings,
    actual_of,
    bounds,
    month_index,
    open_at,
    rows_of,
)
from training.bookings_fit import COVER, FEWEST_RESIDUALS, SCALE_PERIODS, Looks, conformal_scale, shocks_of
from training.bookings_scores import Forecasts
from training.cuts import close_settings
from training.splits import inner_period_folds

FIRST = month_index("2015-07")
EARLIEST = month_index("2015-10")  # with two months of bookings and one of pickup before it
SHORT = 31  # days of lead within which a booking can still fall into the month that it is made in
TREE = Tree(HOTELS, (), np.full(len(HOTELS), -1, dtype=np.int64))
SEED, PATHS = 7, 4_000
NONE = np.zeros(0)


def fit_trees(examples: Examples, frame: Frame) -> ProbabilityModel:
    """Fit the close model as the product does: ridge, and trees as far as the latest inner months trust them."""
    inner = inner_period_folds(CALENDAR, examples, int(examples.label_end.max()))
    settings = close_settings(Model(seeds=1, max_rounds=100), (0,) * len(examples.matrix.names), SEED)
    return fit_close(examples, frame, settings, inner)[0]


Fit = Callable[[Examples, Frame], ProbabilityModel]
FITS: dict[str, Fit] = {"table": fit_stage_time, "ridge": fit_linear, "close": fit_trees}


@dataclass(frozen=True)
class Rule:
    """How a month is forecast. fit: in `FITS`. priced: amounts to come follow the book's: those of a month count
    beside what a booking on its book was worth at its start. lag: so many last months are unseen, as if nothing were
    known of a guest before the bill. drop: beginnings of features that are left out.
    """

    fit: str = "close"
    priced: bool = False
    lag: int = 0
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    """What was said of a month: its open rows with their chances, what is to come, and the paths.

    scale: by how much its interval is stretched, as in use, since those of the months before it fell short.
    """

    month: int
    rows: Examples
    p: Float
    arrivals: Arrivals
    paths: Paths
    scale: float


def walk(bookings: Bookings, rule: Rule, last: int) -> list[Said]:
    """Forecast every month from `EARLIEST` to `last`, each from what was known at its start."""
    every = rows_of(bookings, range(FIRST, last + 1))
    kept = [name for name in every.matrix.names if not name.startswith(rule.drop)] if rule.drop else None
    every = every.select(tuple(kept)) if kept else every
    said: list[Said] = []
    for month in range(EARLIEST + rule.lag, last + 1):
        start, _ = bounds(month)
        known = every.take(every.label_end <= int(CALENDAR.starts[month - rule.lag]))
        now = every.take(every.as_of == start)
        p = FITS[rule.fit](known, FRAME).predict(now.matrix)
        coming = coming_at(bookings, month, rule)
        told = [each for each in said if each.month < month - rule.lag]
        said.append(Said(month, now, p, coming, _paths(bookings, now, p, coming, told), _scale(bookings, told)))
    return said


def coming_at(bookings: Bookings, month: int, rule: Rule) -> Arrivals:
    """Return the bookings that are to come in a month from those not made yet.

    Volume is told by bookings of short lead: the file ends with the arrivals of 2017-08, so that of others made lately
    it holds the fewer the nearer its end.
    """
    start, end = bounds(month)
    window = Window(start, start, end)
    wins = _wins(bookings, month, rule)
    created = np.sort(bookings.made[(bookings.lead <= SHORT) & (bookings.made < start)])
    past = past_arrivals(wins, created, CALENDAR, window)
    past = _since(past, rule.lag)
    return arrivals_of(past, created_lately(created, start), wins, np.arange(len(HOTELS)), np.ones(len(HOTELS)))


def _since(past: PastArrivals, lag: int) -> PastArrivals:
    keep, rows = past.periods > lag, past.ago > lag
    return replace(
        past,
        periods=past.periods[keep],
        wins=past.wins[keep],
        created=past.created[keep],
        rep=past.rep[rows],
        cents=past.cents[rows],
        ago=past.ago[rows],
    )


def _wins(bookings: Bookings, month: int, rule: Rule) -> Wins:
    """Guests who came before a month's start, each won on arrival; with a lag before an earlier month's start."""
    start = int(CALENDAR.starts[month - rule.lag])
    rows = np.flatnonzero(bookings.kept & (bookings.arrival < start))
    rows = rows[np.argsort(bookings.arrival[rows], kind="stable")]
    own = bookings.take(rows)
    cents = np.maximum(own.cents, 0)
    if rule.priced:
        then = CALENDAR.index(own.arrival)
        index = np.stack([_worth(bookings, each) for each in range(FIRST, month + 1)])
        cents = np.rint(cents * index[-1, own.hotel] / index[then - FIRST, own.hotel]).astype(np.int64)
    return Wins(own.arrival, own.made, cents, rows.astype(np.int64), own.hotel)


def _worth(bookings: Bookings, month: int) -> Float:
    """Return what a booking on a month's book is worth at its start, cents, float64[hotels]."""
    rows = open_at(bookings, month)
    total = np.bincount(bookings.hotel[rows], bookings.cents[rows], len(HOTELS))
    return np.asarray(total / np.bincount(bookings.hotel[rows], minlength=len(HOTELS)))


def _paths(bookings: Bookings, now: Examples, p: Float, coming: Arrivals, past: list[Said]) -> Paths:
    ids = [str(deal) for deal in now.deal.tolist()]
    book = Book(ids, bookings.hotel[now.deal], p, bookings.cents[now.deal] / 100.0, NONE)
    return simulate(book, coming, _shocks(bookings, past), TREE, np.zeros(len(HOTELS), dtype=np.int64), SEED, PATHS)


def _scale(bookings: Bookings, past: list[Said]) -> float:
    """Return the conformal scale of the months already walked, each hotel a residual; see `training.bookings_fit`."""
    found = []
    for each in past:
        total, actual = each.paths.total(), actual_of(bookings, each.month)
        low, middle, high = np.quantile(total, ((1 - COVER) / 2, 0.5, (1 + COVER) / 2), axis=1)
        found += list(np.abs(actual - middle) / ((high - low) / 2))
    if len(found) < FEWEST_RESIDUALS:
        return 1.0
    return float(conformal_scale(found) ** (len(past) / (len(past) + SCALE_PERIODS)))


def _shocks(bookings: Bookings, past: list[Said]) -> Shocks:
    """What the bookings of a month share, from the months already walked; there are no teams."""
    count = [len(each.p) for each in past]
    month = np.repeat(np.array([each.month for each in past], dtype=np.int64), count)
    deal, as_of, p, y = (
        np.concatenate([np.zeros(0), *parts])
        for parts in (
            [each.rows.deal for each in past],
            [each.rows.as_of for each in past],
            [each.p for each in past],
            [each.rows.y for each in past],
        )
    )
    deal, as_of = deal.astype(np.int64), as_of.astype(np.int64)
    one = np.zeros(len(deal), dtype=np.int64)
    looks = Looks(deal, month, one + 1, as_of, bookings.hotel[deal], one, p, y)
    return replace(shocks_of(looks)[0], team=0.0)


def forecasts(bookings: Bookings, said: list[Said]) -> Forecasts:
    """Return the company's forecasts beside what came, in currency."""
    total = [stretched(each.paths.total().sum(axis=0), 0, each.scale) for each in said]
    n = len(said)
    return Forecasts(
        np.array([each.month for each in said], dtype=np.int64),
        np.ones(n, dtype=np.int64),
        np.full(n, "company"),
        np.full(n, "all"),
        np.array([actual_of(bookings, each.month).sum() for each in said]) / 100.0,
        np.array([each.paths.mean().sum() for each in said]) / 100.0,
        np.stack([np.quantile(each, LEVELS, method="inverted_cdf") for each in total]) / 100.0,
    )


def naive(bookings: Bookings, months: list[int]) -> dict[str, Float]:
    """Return the point forecasts of rules of thumb for each month, currency, by name."""
    actual = {month: int(actual_of(bookings, month).sum()) for month in range(FIRST, months[-1] + 1)}
    book, came = {}, {}
    for month in range(FIRST, months[-1] + 1):
        rows = open_at(bookings, month)
        book[month] = int(bookings.cents[rows].sum())
        came[month] = int(bookings.cents[rows][bookings.kept[rows]].sum())
    rules: dict[str, Callable[[int], float]] = {
        "on the books": lambda m: book[m],
        "same x kept share of all months before": lambda m: (
            book[m] * sum(came[k] for k in range(FIRST, m)) / sum(book[k] for k in range(FIRST, m))
        ),
        "same x mean of (came in all / on the books) of all months before": lambda m: (
            book[m] * float(np.mean([actual[k] / book[k] for k in range(FIRST, m)]))
        ),
        "same x last month's (came in all / on the books)": lambda m: book[m] * actual[m - 1] / book[m - 1],
        "last month": lambda m: actual[m - 1],
        "same month last year": lambda m: actual[m - 12],
    }
    return {name: np.array([rule(m) for m in months]) / 100.0 for name, rule in rules.items()}
