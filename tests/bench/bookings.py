"""A planted world's bookings by the model, by one who knows how the world is made, and by the best baseline before.

The oracle knows the true chance of every open deal, what amounts become on average and how far they scatter, and the
law by which deals come and are won within the quarter (from other seeds of the same world). What it still misses is
chance. It does not know W3's market to come, which all deals share, so there its band is no yardstick.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from features.asof import Requests
from features.nodes import ALL, COMPANY
from features.told import told_at
from models.arrivals import Arrivals
from models.base import Float, Int
from models.bookings import CENTS, LEVELS, TEAMLESS, Book, Shocks, Tree, simulate
from tests.worlds.settings import WORLDS
from tests.worlds.world import World, world
from training.backtest import Tested
from training.bookings_forecasts import forecasts, held_against
from training.bookings_looks import looks_of
from training.bookings_past import Look, Past
from training.bookings_scores import Forecasts
from training.bookings_section import told_forecasts
from training.prepare import Prepared

LAW_SEEDS = range(7000, 7006)
LAW_WINS = 30
SETTLED = 4  # quarters after which as many deals are open as ever
WHOLE = Tree((ALL,), (), np.array([TEAMLESS]))
Record = dict[str, Any]


def bookings(made: World, prepared: Prepared, tested: Tested) -> Record:
    """Every look at the company: what came, and what the model, the oracle and the best baseline before said of it."""
    ours = told_forecasts(prepared, tested)
    ours = ours.take(ours.level == COMPANY)
    past = looks_of(prepared, tested)
    rivals = forecasts(past)
    best = held_against(rivals, np.unique(ours.period).tolist())
    looks = {(look.period, look.week): look for look in past.looks}
    knows = [
        oracle(made, prepared, past, looks[key]) for key in zip(ours.period.tolist(), ours.week.tolist(), strict=True)
    ]
    return {
        "period": ours.period.tolist(),
        "week": ours.week.tolist(),
        "actual": ours.actual.tolist(),
        "model": _plain(ours),
        "oracle": {"mean": [one.mean for one in knows], "quantiles": [list(one.quantiles) for one in knows]},
        "best": _plain(_like(best, ours)),
        **{name: _plain(_like(each, ours)) for name, each in rivals.items()},
    }


def _plain(rows: Forecasts) -> Record:
    return {"mean": rows.mean.tolist(), "quantiles": rows.quantiles.tolist()}


def _like(rows: Forecasts, ours: Forecasts) -> Forecasts:
    """The rows of the same looks, in the same order."""
    place = {key: k for k, key in enumerate(rows.keys().tolist())}
    return rows.take(np.array([place[key] for key in ours.keys().tolist()], dtype=np.int64))


@dataclass(frozen=True)
class Knows:
    """What the oracle says of a look, currency. quantiles: at `LEVELS`."""

    mean: float
    quantiles: tuple[float, ...]


def oracle(made: World, prepared: Prepared, past: Past, look: Look) -> Knows:
    """What one who knows the world says of a look at the company."""
    start, end = int(past.starts[look.period]), int(past.starts[look.period + 1])
    here = made.truth.as_of == look.as_of
    deal, p = made.truth.deal[here], made.truth.p[here]
    cents = told_at(prepared.record, Requests(deal, made.truth.as_of[here])).amount_cents
    mean, sd = made.planted.amount_at_close
    amount = np.maximum(cents, 0) / CENTS * np.exp(mean + sd**2 / 2)
    ratios = np.exp(sd * np.random.default_rng(0).normal(size=4000))
    law = arrivals_law(made.name)
    scale = made.size.wins / LAW_WINS
    rate, amounts = law[look.week]
    coming = Arrivals(np.array([rate * scale]), 0.0, amounts)
    known = past.wins.before(look.as_of)
    booked = int(known.cents[(known.won_at >= start) & (known.won_at < end)].sum())
    ids = [str(one) for one in deal.tolist()]
    book = Book(ids, np.zeros(len(deal), dtype=np.int64), p, amount, ratios / ratios.mean())
    paths = simulate(book, coming, Shocks(0.0, 0.0, 0.0), WHOLE, np.array([booked]), made.seed)
    told = np.quantile(paths.total()[0], LEVELS) / CENTS
    return Knows(float(paths.mean()[0]) / CENTS, tuple(told.tolist()))


@lru_cache(maxsize=8)
def arrivals_law(name: str) -> dict[int, tuple[float, Int]]:
    """By week of the quarter: wins to expect of deals not there yet (`LAW_WINS` a quarter in all), and their cents."""
    planted = WORLDS[name]
    mean, sd = planted.amount_at_close
    found: dict[int, list[Float]] = {week: [] for week in range(1, 14)}
    for seed in LAW_SEEDS:
        made = world(name, seed, LAW_WINS)
        days, lived = made.days, made.lived
        who, when = lived.end_deal[lived.end_won], lived.end_day[lived.end_won]
        for quarter in range(SETTLED, made.size.quarters):
            first, last = int(days.starts[quarter]), int(days.starts[quarter + 1])
            for week in found:
                at = first + 7 * (week - 1)
                if week > 1:  # the first Monday from there on
                    at += int(-days.weekday[min(at, last - 1)] % 7)
                new = who[(when >= at) & (when < last) & (made.deals.day[who] >= at)]
                found[week].append(made.deals.amount[new] * np.exp(mean + sd**2 / 2))
    cents = {week: np.rint(np.concatenate(each) * CENTS).astype(np.int64) for week, each in found.items()}
    every = np.concatenate(list(cents.values()))
    return {
        week: (len(cents[week]) / len(each), cents[week] if len(cents[week]) >= 20 else every)
        for week, each in found.items()
    }
