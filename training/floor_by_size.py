"""The noise floor by a company's size: by how much an oracle that knows every chance would miss a period's bookings.

Nobody has to have a record for it: it follows from how many deals are won in a period, how unequal they are, and how
much a whole period rises or falls together. Assumptions, all of them:

- Deals decide (are won, or no longer can be in this period) evenly over the period. Each is in play for an exponential
  time before, one period long on average: so 37 % of the wins come of deals that the period's start had not yet seen.
- The number of deals is Poisson, as many as win ``wins`` on average. The log-odds of winning are normal with a standard
  deviation of `SPREAD` = 1.5 (an AUC of 0.82 for whoever knows them) around what makes a quarter of the deals win.
- Amounts are log-normal with a mean of 1 and the coefficient of variation ``amount_cv``, whatever the chance, and known
  once the deal is.
- A period's shock, normal with standard deviation ``shock`` in log-odds, moves every deal alike and is scaled to move
  no mean, as in `training.noise_floor`.
- The oracle knows what is booked, chance and amount of every deal in play, and of deals not yet created how much they
  bring on average. It does not know the shock, nor learn it from the deals already decided: where a company is large
  and the period late, somebody who did could miss by less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from configs.errors import UsageError
from models.base import Float, sigmoid
from training.noise_floor import SHOCK, unshocked

WEEKS = (1, 4, 7, 10, 12)
QUARTER = 13  # weeks
WIN_RATE = 0.25
SPREAD = 1.5
LAG = 1.0  # periods that a deal is in play before it decides, mean
SEED = 7
DEALS = 6_000_000  # drawn for each size
FEWEST, MOST = 1_500, 10_000  # periods drawn; the figures are within 1-2 % of themselves
SIZES = (30.0, 100.0, 300.0, 1000.0)
LARGEST = 10_000
CHUNK = 400_000  # deals held at a time
NODES = 64  # of the quadrature over log-odds


@dataclass(frozen=True)
class SizeFloor:
    """The floor of one size. error: by week, sum |error| / sum booked of the oracle. periods: that were drawn."""

    wins: float
    error: tuple[float, ...]
    periods: int


@dataclass(frozen=True)
class FloorTable:
    """Floors of some sizes. weeks: of the columns. period_weeks: in a period. See the module for the assumptions."""

    amount_cv: float
    shock: float
    period_weeks: int
    weeks: tuple[int, ...]
    sizes: tuple[SizeFloor, ...]


def floor_table(
    wins: Sequence[float],
    amount_cv: float = 1.0,
    shock: float = SHOCK,
    period_weeks: int = QUARTER,
    seed: int = SEED,
    deals: int = DEALS,
) -> FloorTable:
    """Return the floor for each number of wins a period. The same seed gives the same figures.

    deals: how many are drawn for each size; more are slower and exacter. Raises UsageError for what is no size, spread,
    shock or period.
    """
    _check(wins, amount_cv, shock, period_weeks)
    weeks = tuple(week for week in WEEKS if week <= period_weeks)
    at = np.array([(week - 1) / period_weeks for week in weeks])
    # Each size has a stream of its own: a row does not depend on those asked for beside it.
    sizes = tuple(_size(each, amount_cv, shock, at, seed, deals) for each in wins)
    return FloorTable(amount_cv, shock, period_weeks, weeks, sizes)


def _check(wins: Sequence[float], amount_cv: float, shock: float, period_weeks: int) -> None:
    for each in wins:
        if not 1 <= each <= LARGEST:
            raise UsageError.at(
                "--wins",
                f"{each:g}",
                expected=f"wins a period, 1 to {LARGEST:,}",
                remedy="above, nearly all that is missed is the period's shock",
            )
    if not 0 <= amount_cv <= 10:
        raise UsageError.at("--amount-cv", f"{amount_cv:g}", expected="standard deviation over mean, 0 to 10")
    if not 0 <= shock <= 2:
        raise UsageError.at("--shock", f"{shock:g}", expected="a standard deviation in log-odds, 0 to 2")
    if not 1 <= period_weeks <= 53:
        raise UsageError.at("--period-weeks", f"{period_weeks}", expected="weeks in a period, 1 to 53")


def middle_of(win_rate: float, spread: float) -> float:
    """Return the middle of normal log-odds whose mean chance is `win_rate`, by bisection over a quadrature."""
    x, weight = np.polynomial.hermite_e.hermegauss(NODES)
    low, high = -30.0, 30.0
    for _ in range(80):
        middle = (low + high) / 2
        rate = float(weight @ sigmoid(middle + spread * x)) / float(weight.sum())
        low, high = (middle, high) if rate < win_rate else (low, middle)
    return (low + high) / 2


def unseen(at: Float) -> Float:
    """Return the share of a period's deals that are created after each instant, a share of the period, float64[k].

    A deal decides at t, evenly in [0, 1], and was created an exponential time of mean `LAG` before: the chance that it
    was created after s is the integral over t from s to 1 of 1 - exp(-(t - s) / LAG).
    """
    left = 1.0 - at
    return np.asarray(left - LAG * (1.0 - np.exp(-left / LAG)))


def _size(wins: float, amount_cv: float, shock: float, at: Float, seed: int, deals: int) -> SizeFloor:
    mean = wins / WIN_RATE
    periods = int(np.clip(deals / mean, FEWEST, MOST))
    rng = np.random.default_rng([seed, round(wins * 1000)])
    middle, spread = middle_of(WIN_RATE, SPREAD), np.sqrt(np.log1p(amount_cv**2))
    missed, booked, step = np.zeros(len(at)), 0.0, max(int(CHUNK / mean), 1)
    for first in range(0, periods, step):
        some = min(step, periods - first)
        count = rng.poisson(mean, some)
        period = np.repeat(np.arange(some), count)
        n = len(period)
        p = sigmoid(middle + SPREAD * rng.normal(size=n))
        amount = np.exp(spread * rng.normal(size=n) - spread**2 / 2)
        decided = rng.random(n)
        created = decided - LAG * rng.exponential(size=n)
        z = shock * rng.normal(size=some)
        won = rng.random(n) < sigmoid(unshocked(p, shock) + z[period])
        booked += float(amount[won].sum())
        for k, instant in enumerate(at):
            ahead, known = decided >= instant, created < instant
            # What is booked already is no error; what is not seen is wins x the share of deals still to be created.
            off = amount * (won & ahead) - amount * p * (ahead & known)
            missed[k] += np.abs(np.bincount(period, weights=off, minlength=some) - wins * unseen(at)[k]).sum()
    return SizeFloor(wins, tuple((missed / booked).tolist()), periods)


def text_of(table: FloorTable) -> str:
    """Return the table as Markdown: a row for each size, a column for each week, errors in percent."""
    shock = f"a period's shock of {table.shock:g} in log-odds" if table.shock else "no shock"
    head = ["wins a period", *(f"week {week}" for week in table.weeks)]
    rows = [[f"{size.wins:,g}", *(f"{100 * error:.1f} %" for error in size.error)] for size in table.sizes]
    lines = [head, ["---", *("---:" for _ in table.weeks)], *rows]
    said = (
        "Mean error of a period's bookings, in percent of them, of an oracle that knows every deal's chance: "
        f"{table.period_weeks} weeks a period, amounts with a coefficient of variation of {table.amount_cv:g}, {shock}."
    )
    return "\n".join([said, "", *(f"| {' | '.join(cells)} |" for cells in lines)])
