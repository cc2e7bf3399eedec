"""What the flags of a planted world are worth: who they name under the alert budget, beside what was true of the deal.

Disengaged is right where the buyer had gone for good by the as-of (W5, W5P). Under-called is right where the deal is
called out (category below commit, or a close date after the period) while the oracle's probability of a win within the
period lies by `gap` of the flag or more above the rate of deals called alike, whoever the rep is.

The scores are the close model's, fitted before each test period, with the doubt of the flag's margin; flags and budget
are the product's own. The rival of disengaged names the deals whose buyer has been silent for the most days.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np

from configs.flags import Flags
from features.asof import Requests
from features.periods import DAY
from features.silence import pace
from features.tables import NAT
from models.base import Bool, Float, Int
from models.flag_budget import within_budget
from models.flag_calls import COMMIT, called
from models.flags import Case, Flag, Scores, find_flags
from tests.bench.planted import SETTINGS, WINS
from tests.worlds.settings import GONE
from tests.worlds.world import Truth, config, world
from training.backtest import CLOSE, run_backtest
from training.evaluate import auc
from training.prepare import prepare

LIMITS = Flags()


@dataclass(frozen=True)
class Named:
    """How many were named under the budget, how many of them rightly, and of how many that there were to name.

    leads: days from the first right alert to the loss, of deals that were lost. won: alerts on deals won later.
    """

    shown: int
    right: int
    there: int
    won: int
    leads: tuple[float, ...] = ()

    @property
    def precision(self) -> float:
        """Share of the alerts that are right."""
        return self.right / max(self.shown, 1)


@dataclass(frozen=True)
class Measured:
    """One world: disengaged, the days rule, disengaged if money ordered it; under_called, and how many of its
    alerts were won in the period. auc: of under-called, by p above the rate of deals called alike, over looks that are
    called out. rows: looks in all.
    """

    disengaged: Named
    days: Named
    by_money: Named
    under: Named
    won: float
    auc: float
    rows: int


def measured(name: str, seed: int, wins: int = WINS) -> Measured:
    """Walk through the last four quarters of a world, week by week."""
    made = world(name, seed, wins)
    with tempfile.TemporaryDirectory() as state:
        prepared = prepare(config(Path(state), *SETTINGS), made.ingest)
        tested = run_backtest(prepared)
    view, p = prepared.record.view(Requests(tested.deal, tested.as_of)), tested.p[CLOSE]
    unknown = np.full(len(p), np.nan)
    case = Case(view, Scores(p, unknown, unknown, unknown, unknown, in_period=True), LIMITS)
    found = find_flags(view, case.scores, LIMITS)
    owner = case.standing.owner
    plain = [tuple(replace(flag, rank=None) for flag in listed) for listed in found]
    told = made.truth.take(made.truth.rows(tested.deal, tested.as_of))
    gone, out, of = told.level == GONE, _called_out(case), called(case)
    under = out & (told.p - of.rate >= LIMITS.under_called.gap)
    closer = _shown(found, "under_called", told.as_of, owner)
    usable = out & ~np.isnan(of.rate)
    return Measured(
        disengaged=_named(_shown(found, "disengaged", told.as_of, owner), gone, told),
        days=_named(_longest(pace(view).silent, told.as_of), gone, told),
        by_money=_named(_shown(plain, "disengaged", told.as_of, owner), gone, told),
        under=_named(closer, under, told),
        won=float(tested.y[closer].sum()),
        auc=auc(under[usable].astype(np.float64), (p - of.rate)[usable]),
        rows=len(gone),
    )


def _called_out(case: Case) -> Bool:
    """bool[n]: the category lies below commit, or the close date after the period."""
    of = called(case)
    return ((of.category >= 0) & (of.category < COMMIT)) | ((of.due != NAT) & (of.due > of.last_day))


def _shown(found: list[tuple[Flag, ...]], code: str, as_of: Int, owner: Int) -> Bool:
    """bool[n]: the deals that carry a flag in a file of scores of their as-of, what was shown before left aside."""
    shown = np.zeros(len(as_of), dtype=bool)
    for instant in np.unique(as_of):
        rows = np.flatnonzero(as_of == instant)
        kept, _ = within_budget([found[row] for row in rows], owner[rows].tolist(), LIMITS)
        shown[rows] = [any(flag.code == code for flag in listed) for listed in kept]
    return shown


def _longest(days: Float, as_of: Int) -> Bool:
    """bool[n]: as many deals of each as-of as the budget allows, those of the longest silence."""
    shown = np.zeros(len(as_of), dtype=bool)
    for instant in np.unique(as_of):
        rows = np.flatnonzero(as_of == instant)
        shown[rows[np.argsort(-days[rows], kind="stable")[: ceil(LIMITS.share * len(rows))]]] = True
    return shown


def _named(shown: Bool, true: Bool, told: Truth) -> Named:
    first: dict[int, int] = {}
    for row in np.flatnonzero(shown & true).tolist():  # in order of time
        first.setdefault(int(told.deal[row]), row)
    rows = np.array([*first.values()], dtype=np.int64)
    lost = rows[(told.closed_at[rows] != NAT) & ~told.won[rows]]
    leads = tuple(((told.closed_at[lost] - told.as_of[lost]) / DAY).tolist())
    return Named(int(shown.sum()), int((shown & true).sum()), int(true.sum()), int((shown & told.won).sum()), leads)
