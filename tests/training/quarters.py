"""A made-up company of four reps in two teams over sixteen quarters: wins, looks and calls drawn at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.periods import DAY
from features.wins import Wins
from models.base import Float
from training.bookings_baselines import CRM, OF_ROWS
from training.bookings_past import NO_CALL, Look, Nodes, Past

LENGTH = 91 * DAY
PERIODS = 16
WEEKS = (1, 4, 7)
NODES = Nodes(np.array([0, 0, 1, -1]), ("ann", "bob", "cem", "dov"), ("east", "west"))
STARTS = 1_600_000_000_000_000 + LENGTH * np.arange(PERIODS + 1)


def company(seed: int = 1, wins: int = 400) -> Past:
    """Rep 3 has no team, and some wins and deals have no rep (-1)."""
    rng = np.random.default_rng(seed)
    won_at = np.sort(rng.integers(STARTS[0], STARTS[-1], wins))
    opened_at = np.maximum(won_at - (rng.exponential(60, wins) * DAY).astype(np.int64), STARTS[0] - 50 * DAY)
    cents = rng.integers(0, 500_000, wins)
    won = Wins(won_at, opened_at, cents, np.arange(wins), rng.integers(-1, 4, wins))
    looks = tuple(look(rng, period, week) for period in range(PERIODS) for week in WEEKS)
    return Past(NODES, STARTS, won, looks)


def look(rng: np.random.Generator, period: int, week: int) -> Look:
    n = int(rng.integers(8, 30))
    called = np.where(rng.random(4) < 0.3, NO_CALL, rng.integers(0, 4_000_000, 4))
    p = {name: rng.random(n) for name in (CRM, *OF_ROWS)} if period >= 10 else {}
    return Look(
        period=period,
        week=week,
        as_of=int(STARTS[period]) + (week - 1) * 7 * DAY,
        rep=rng.integers(-1, 4, n),
        cents=rng.integers(0, 500_000, n),
        due=rng.random(n) < 0.5,
        called=called if week > 1 else np.full(4, NO_CALL),
        p=p,
    )


def one(past: Past, period: int, week: int) -> Look:
    (found,) = (each for each in past.looks if (each.period, each.week) == (period, week))
    return found


def with_wins(past: Past, won_at: list[int], cents: list[int], rep: list[int], opened_at: list[int]) -> Past:
    """The same company with other wins, in order of time."""
    columns = [np.array(column, dtype=np.int64) for column in (won_at, opened_at, cents, range(len(cents)), rep)]
    return replace(past, wins=Wins(*columns))


def members(node: int) -> list[int]:
    """Codes of the reps that a node adds up: all and none (-1) for the company."""
    if node == 0:
        return [-1, 0, 1, 2, 3]
    if node <= 2:
        return [rep for rep in range(4) if NODES.rep_team[rep] == node - 1]
    return [node - 3]


def booked(past: Past, node: int, first: int, until: int, opened_from: int | None = None) -> float:
    """Cents won by a node in [first, until), of deals opened at or after an instant, by a walk through all wins."""
    total = 0.0
    wins = past.wins
    for at, opened, cents, rep in zip(wins.won_at, wins.opened_at, wins.cents, wins.rep, strict=True):
        if first <= at < until and int(rep) in members(node) and (opened_from is None or opened >= opened_from):
            total += float(cents)
    return total


def weighted(each: Look, node: int, weight: Float) -> float:
    """Sum of weight x cents of a node's open deals."""
    rows = range(len(each))
    return sum(float(weight[i]) * float(each.cents[i]) for i in rows if int(each.rep[i]) in members(node))


def is_here(past: Past, each: Look, node: int) -> bool:
    """Whether a node has open deals or has booked something at a look."""
    so_far = booked(past, node, int(STARTS[each.period]), each.as_of)
    return node == 0 or so_far > 0 or any(int(rep) in members(node) for rep in each.rep)
