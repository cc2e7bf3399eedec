"""How right scores of leads were, beyond what every report says: ranking, grades, what a week's work would have found,
and which way to tell what a lead is worth came closer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from configs.schema import Grades
from features.asof import Requests
from features.periods import local_days
from models.amount import CENTS, has_amount
from models.base import Float, Int
from models.baselines import STAGE_TIME
from models.clustered import UNKNOWN, Estimate, level, share
from models.lead_queue import grades
from models.leads import DIRECT, PRODUCT, WAYS, Choice
from training.backtest import CLOSE, AtCut, Tested
from training.evaluate import DealBootstrap, Interval, row_loss
from training.labels import NEVER, lead_amounts, unlinked, won_of
from training.lead_value_fit import fit_leads
from training.prepare import Prepared
from training.ranking import SHARES, TOP, Ranked, figure_of, gain_of, ranked, top_of

NAME = "leads"
GRADES = "ABCD"
MONDAY = 3  # day 0 of the epoch was a Thursday


@dataclass(frozen=True)
class RankRow:
    """How one model ranks the test rows. gained: PR-AUC that the close model gains over it, None for itself.

    precision: share that converted among the tenth of the rows that it puts on top; lift: that over the share of all.
    """

    name: str
    pr_auc: Interval
    gained: Interval | None
    precision: Interval
    lift: float


@dataclass(frozen=True)
class LiftPoint:
    """The share of rows on top, by the close model: how many times the usual rate converted, and which share of all
    conversions they hold; by: recall of the strong baseline.
    """

    share: float
    lift: Interval
    recall: Interval
    by: float


@dataclass(frozen=True)
class GradeRow:
    """Test rows of one grade. share: of all rows. said: mean probability. rate: share that converted."""

    grade: str
    least: float
    rows: int
    leads: int
    share: float
    said: float
    rate: Estimate


@dataclass(frozen=True)
class Week:
    """What working `capacity` leads a week from the top would have found, over all tested weeks. usual: the rate of all
    leads that stood there. recall: the share of the conversions that were among those worked.
    """

    capacity: int
    weeks: int
    precision: Estimate
    recall: Estimate
    usual: float


@dataclass(frozen=True)
class WayRow:
    """One way to tell P(won): PR-AUC, log loss and level (sum p / sum y) on later leads whose window of a win is over.

    value_said, value_came: currency, P(won) x E[amount | won] summed over the rows, and what their deals brought.
    """

    name: str
    pr_auc: Interval
    log_loss: float
    level: Estimate
    value_said: float
    value_came: float


@dataclass(frozen=True)
class ValueTold:
    """Both ways side by side. pr_auc_gain, log_loss_gain: by how much `direct` is better, paired over leads.

    rows, leads, won: that judged. ways: empty where none could.
    """

    choice: Choice
    rows: int
    leads: int
    won: int
    ways: tuple[WayRow, ...] = ()
    pr_auc_gain: Interval | None = None
    log_loss_gain: Interval | None = None


@dataclass(frozen=True)
class LeadFigures:
    """All that a report says of leads alone. rate: share of test rows that converted.

    unworked: rows left out; opted_out, unlinked: leads, see `Prepared` and `training.labels.unlinked`.
    """

    within_days: int
    won_within_days: int
    rate: float
    ranks: tuple[RankRow, ...]
    lift: tuple[LiftPoint, ...]
    grades: tuple[GradeRow, ...]
    week: Week | None
    value: ValueTold
    unworked: int
    opted_out: int
    unlinked: int


def fit_and_value(case: AtCut) -> Mapping[str, Float]:
    """Return for each test row P(won) told in both ways and the expected amount, fitted at the cut; NaN without one."""
    embargo = case.prepared.config.backtest.embargo_days
    heads, _ = fit_leads(case.prepared, case.ground.cut, Choice(), embargo)
    nothing = np.full(len(case.rows), np.nan)
    if heads is None:
        return {PRODUCT: nothing, DIRECT: nothing, "amount": nothing}
    matrix = case.prepared.examples.take(case.rows).matrix
    told = {way: heads.p_won(way, matrix, case.p) for way in WAYS}
    return told | {"amount": heads.told(matrix, case.p).amount}


def lead_figures(prepared: Prepared, tested: Tested) -> LeadFigures | None:
    """Return the figures, None where the rows are not of leads."""
    if prepared.became is None:
        return None
    config = prepared.config
    boot = DealBootstrap.of(tested.deal, config.backtest.bootstrap, config.seed)
    return LeadFigures(
        config.leads.within_days,
        config.leads.won_within_days,
        float(tested.y.mean()),
        tuple(_rank_row(name, tested, boot) for name in tested.p),
        _lift(tested, boot),
        grade_rows(config.leads.grades, tested.y, tested.p[CLOSE], tested.deal),
        _week(prepared, tested),
        _value(prepared, tested),
        prepared.unworked,
        prepared.opted_out,
        unlinked(prepared.became, prepared.until),
    )


def _rank_row(name: str, tested: Tested, boot: DealBootstrap) -> RankRow:
    y, p = tested.y, tested.p[name]
    gained = None if name == CLOSE else gain_of(Ranked.pr_auc, y, tested.p[CLOSE], p, boot)
    precision = figure_of(lambda found: found.precision(TOP), y, p, boot)
    return RankRow(name, figure_of(Ranked.pr_auc, y, p, boot), gained, precision, precision.value / float(y.mean()))


def _lift(tested: Tested, boot: DealBootstrap) -> tuple[LiftPoint, ...]:
    y, p, by = tested.y, tested.p[CLOSE], ranked(tested.y, tested.p[STAGE_TIME])
    points = []
    for part in SHARES:
        lift = figure_of(lambda found, part=part: found.recall(part) / part, y, p, boot)  # type: ignore[misc]
        recall = Interval(part * lift.value, part * lift.low, part * lift.high, lift.above, lift.below)
        points.append(LiftPoint(part, lift, recall, float(by.recall(part)[0])))
    return tuple(points)


def grade_rows(cuts: Grades, y: Float, p: Float, deal: Int) -> tuple[GradeRow, ...]:
    """Return each grade's rows, the best first; a grade without rows has no rate."""
    least = (cuts.a, cuts.b, cuts.c, 0.0)
    got = np.array(grades(p, cuts))
    out = []
    for k, letter in enumerate(GRADES):
        mask = got == letter
        rows = int(mask.sum())
        said = float(p[mask].mean()) if rows else float("nan")
        rate = share(y[mask], deal[mask]) if rows else UNKNOWN
        out.append(GradeRow(letter, least[k], rows, len(np.unique(deal[mask])), rows / len(y), said, rate))
    return tuple(out)


def _week(prepared: Prepared, tested: Tested) -> Week | None:
    """Return what the weekly capacity would have found; every lead of a week counts once, as it stood last."""
    capacity = prepared.config.leads.weekly_capacity
    if capacity is None:
        return None
    week = (local_days(tested.as_of, prepared.config.time_zone) + MONDAY) // 7
    order = np.lexsort((-tested.as_of, tested.deal, week))
    pairs = np.stack([week[order], tested.deal[order]])
    newest = order[np.append(True, (np.diff(pairs, axis=1) != 0).any(axis=0))]
    y, p, deal, block = tested.y[newest], tested.p[CLOSE][newest], tested.deal[newest], week[newest]
    worked, came = top_of(block, p, capacity), y > 0
    recall = share(worked[came].astype(np.float64), deal[came]) if came.any() else UNKNOWN
    return Week(capacity, len(np.unique(block)), share(y[worked], deal[worked]), recall, float(y.mean()))


def _value(prepared: Prepared, tested: Tested) -> ValueTold:
    """Hold both ways against later leads whose window of a win is over."""
    config, became = prepared.config, prepared.became
    if became is None or f"{NAME}.{PRODUCT}" not in tested.extra:
        return ValueTold(Choice(), 0, 0, 0)
    told = won_of(became, Requests(tested.deal, tested.as_of), config.leads.won_within_days)
    said = {way: tested.extra[f"{NAME}.{way}"] for way in WAYS}
    known = (told.end <= prepared.until) & (told.end != NEVER)
    both = known & ~np.isnan(said[PRODUCT]) & ~np.isnan(said[DIRECT])
    y, deal = told.y[both], tested.deal[both]
    counts = int(both.sum()), len(np.unique(deal)), len(np.unique(deal[y > 0]))
    if not 0 < y.sum() < len(y):
        only = next((way for way in WAYS if not np.isnan(said[way]).all()), PRODUCT)
        return ValueTold(Choice(only), *counts)
    amounts = tested.extra[f"{NAME}.amount"][both]
    cents = lead_amounts(became, deal, prepared.until)
    came = np.where((y > 0) & has_amount(cents) & ~np.isnan(amounts), cents, 0) / CENTS
    boot = DealBootstrap.of(deal, config.backtest.bootstrap, config.seed)
    product, direct = (said[way][both] for way in WAYS)
    ranks = gain_of(Ranked.pr_auc, y, direct, product, boot)
    losses = boot.mean(row_loss(y, product) - row_loss(y, direct))
    ways = tuple(
        WayRow(
            way,
            figure_of(Ranked.pr_auc, y, p, boot),
            float(row_loss(y, p).mean()),
            level(y, p, deal),
            float(np.nansum(p * amounts)),
            float(came.sum()),
        )
        for way, p in ((PRODUCT, product), (DIRECT, direct))
    )
    return ValueTold(choice_of(ways, ranks, losses), *counts, ways, ranks, losses)


def choice_of(ways: Sequence[WayRow], ranks: Interval, losses: Interval) -> Choice:
    """Return `direct` where it is clearly better by PR-AUC or log loss and by neither clearly worse, else the product.

    ranks, losses: by how much it is better. Clearly: the 95 % interval lies on one side of 0; without one, never.
    """
    clearly = [gain.low > 0 for gain in (ranks, losses)]
    worse = [gain.high < 0 for gain in (ranks, losses)]
    ships = DIRECT if any(clearly) and not any(worse) else PRODUCT
    figures = ", ".join(f"{way.name} PR-AUC {way.pr_auc.value:.4f} log loss {way.log_loss:.4f}" for way in ways)
    told = "better on later leads" if ships == DIRECT else "not clearly worse on later leads"
    if ships == PRODUCT and any(worse):
        told = "clearly better on later leads"
    return Choice(ships, f"{told}: {figures}; direct gains {_gain(ranks)} and {_gain(losses)}")


def _gain(gain: Interval) -> str:
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
