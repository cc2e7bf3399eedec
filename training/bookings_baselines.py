"""Baselines of a period's bookings: what a sales team would say without a model, ten ways, as point forecasts.

Each takes a `Standing` (one look and its past) and returns cents by node, float64[m]: what the whole period will book,
NaN where it can't be told. None may say less than is booked already. They follow the practice of forecasting teams; the
pickup and booking-curve forms are those of hotel demand (Weatherford and Kimes 2003).

Rates and increments of a rep or team rest on few deals, so each is drawn towards what its company (or a usual node of
its level) shows, with the weight of `PRIOR` periods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from configs.vocab import Baseline
from models.base import Bool, Float
from training.bookings_past import RECENT, Look, Past, Standing, standing

PRIOR = 2.0  # periods
FEWEST_SHARE = 0.1  # of a period's bookings; before so much is usually booked, the ratio to it says nothing
GROWTH = (0.5, 2.0)  # beyond these a trailing growth is a change of the record, not of the company
ALPHAS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
TRENDS = (0.0, 0.1, 0.3)
LEAST_PAST = 3  # totals, before a smoothing has an error of its own to choose by

Way = Callable[[Standing], Float]

CRM = Baseline.CRM_PROBABILITY.value
OF_ROWS = (Baseline.STAGE_RATE.value, Baseline.STAGE_TIME_LEFT.value, Baseline.CATEGORY_TIME_LEFT.value)
ARRIVALS = "+arrivals"


def crm_probability(now: Standing) -> Float:
    """B1: booked + the CRM's probability x amount of the open deals whose close date lies in the period."""
    p = now.look.p.get(CRM)
    return _unknown(now) if p is None else now.booked + now.open_sum(p * now.look.due)


def of_rows(name: str, now: Standing) -> Float:
    """B2-B4: booked + rate x amount of every open deal, the rate by stage, stage and weeks left, or category."""
    p = now.look.p.get(name)
    return _unknown(now) if p is None else now.booked + now.open_sum(p)


def arrivals(now: Standing) -> Float:
    """Return what deals not open at the look will add: the mean of the same week of past periods, shrunken."""
    return _usual_increment(now, now.new)


def commit(now: Standing) -> Float:
    """B5 raw: the reps' standing commit calls added up; a rep without one counts for what is booked."""
    return _rolled_up(now, now.called)


def commit_corrected(now: Standing) -> Float:
    """B5 corrected: each call x what the rep's periods brought per dollar called at this week, shrunken.

    A rep without a past call has the company's ratio.
    """
    reps = slice(len(now.nodes) - len(now.nodes.reps), None)
    said, came = now.called_then[-RECENT:], now.totals[-RECENT:, reps]
    told = ~np.isnan(said)
    called, won = (np.where(told, part, 0.0) for part in (said, came))
    if called.sum() <= 0:
        return _unknown(now)
    usual = called.sum() / told.sum()  # of one call
    company = won.sum() / called.sum()
    ratio = (won.sum(axis=0) + PRIOR * usual * company) / (called.sum(axis=0) + PRIOR * usual)
    return _rolled_up(now, now.called * ratio)


def last_year(now: Standing) -> Float:
    """B6: the same period a year ago x the company's trailing growth, year over year (1 where none is known)."""
    year, totals = now.per_year, now.totals
    if len(totals) < year:
        return _unknown(now)
    both = min(len(totals) - year, year)
    recent, earlier = (
        totals[len(totals) - both :, 0].sum(),
        totals[len(totals) - year - both : len(totals) - year, 0].sum(),
    )
    growth = float(np.clip(recent / earlier, *GROWTH)) if both and earlier > 0 else 1.0
    return np.asarray(totals[-year] * growth)


def pickup(now: Standing) -> Float:
    """B7: booked + the mean of what the same week of the last `RECENT` periods still brought, shrunken."""
    return now.booked + _usual_increment(now, now.totals - now.then)


def linearity(now: Standing) -> Float:
    """B8: booked / the share that past periods had booked by this week; the usual total while that share is small."""
    totals, then = now.totals[-RECENT:].sum(axis=0), now.then[-RECENT:].sum(axis=0)
    if not len(now.totals) or totals[0] <= 0:
        return _unknown(now)
    weight = PRIOR * now.usual
    share = (then + weight * then[0] / totals[0]) / np.maximum(totals + weight, 1.0)
    early = share < FEWEST_SHARE
    return np.where(early, now.usual, now.booked / np.where(early, 1.0, share))


def coverage(now: Standing) -> Float:
    """B9: booked + open pipeline due in the period x what such pipeline yielded per dollar at this week, shrunken.

    The yield counts all that was still booked, also of deals that were not due or not yet there: as coverage is used.
    """
    due, came = now.due_then[-RECENT:].sum(axis=0), (now.totals - now.then)[-RECENT:].sum(axis=0)
    if not len(now.totals) or due[0] <= 0:
        return _unknown(now)
    weight = PRIOR * due / min(len(now.totals), RECENT)
    rate = (came + weight * came[0] / due[0]) / np.maximum(due + weight, 1.0)
    return np.asarray(now.booked + now.due * np.where(due > 0, rate, came[0] / due[0]))


def smoothing(now: Standing) -> Float:
    """B10: exponential smoothing of whole periods' totals, with or without a trend (Holt 1957).

    ``l = a y + (1 - a)(l + b)``, ``b = a g (l - l') + (1 - a g) b``; a and g of each node are those of `ALPHAS` x
    `TRENDS` with the least sum of absolute one-step errors so far (the mildest first). No season: `last_year` has it.
    """
    if len(now.totals) < LEAST_PAST:
        return _unknown(now)
    tried = [_holt(now.totals, alpha, trend) for trend in TRENDS for alpha in ALPHAS]
    best = np.argmin(np.stack([missed for _, missed in tried]), axis=0)
    ahead = np.stack([said for said, _ in tried])
    return np.asarray(np.maximum(np.take_along_axis(ahead, best[None, :], axis=0)[0], 0.0))


def _holt(totals: Float, alpha: float, trend: float) -> tuple[Float, Float]:
    """Return (forecast of the next total, sum of absolute one-step errors), float64[m] each."""
    level, slope, missed = totals[0], np.zeros(totals.shape[1]), np.zeros(totals.shape[1])
    for total in totals[1:]:
        missed = missed + np.abs(total - level - slope)
        next_level = alpha * total + (1 - alpha) * (level + slope)
        slope = alpha * trend * (next_level - level) + (1 - alpha * trend) * slope
        level = next_level
    return np.asarray(level + slope), missed


def _rolled_up(now: Standing, called: Float) -> Float:
    """Return what reps call (float64[r], NaN no call) by node, a rep who has not called at what is booked."""
    reps = slice(len(now.nodes) - len(now.nodes.reps), None)
    if np.isnan(called).all():
        return _unknown(now)
    beyond = np.where(np.isnan(called), 0.0, np.maximum(called - now.booked[reps], 0.0))
    return now.booked + now.nodes.of_reps(beyond)


def _usual_increment(now: Standing, increments: Float) -> Float:
    """Return the mean of past increments (float64[q, m]) over the last periods in which a node was here.

    It is drawn towards the mean of its level, `PRIOR` periods strong; so a new rep is taken for a usual one.
    """
    if not len(increments):
        return _unknown(now)
    recent, here = increments[-RECENT:], now.here_then[-RECENT:].astype(np.float64)
    sums, counts = (recent * here).sum(axis=0), here.sum(axis=0)
    out = sums / np.maximum(counts, 1.0)
    for level in ("team", "rep"):
        mine = now.nodes.levels == level
        if counts[mine].sum() > 0:
            usual = sums[mine].sum() / counts[mine].sum()
            out[mine] = (sums[mine] + PRIOR * usual) / (counts[mine] + PRIOR)
    return np.asarray(out)


def _unknown(now: Standing) -> Float:
    return np.full(len(now.nodes), np.nan)


def _strong(name: str) -> Way:
    return lambda now: of_rows(name, now) + arrivals(now)


def _plain(name: str) -> Way:
    return lambda now: of_rows(name, now)


WAYS: Mapping[str, Way] = {
    CRM: crm_probability,
    **{name: _plain(name) for name in OF_ROWS},
    **{f"{name}{ARRIVALS}": _strong(name) for name in OF_ROWS},
    "commit": commit,
    "commit_corrected": commit_corrected,
    "last_year": last_year,
    "pickup": pickup,
    "linearity": linearity,
    "coverage": coverage,
    "smoothing": smoothing,
}
"""Every baseline by name, in the order of the tables: B1, B2-B4 as they are and with arrivals, B5 to B10."""


@dataclass(frozen=True)
class Points:
    """What one look is told by every baseline. said: name -> cents by node, float64[m], NaN where not told.

    booked, usual: cents by node, see `Standing`. here: bool[m], nodes that are forecast at all.
    """

    look: Look
    booked: Float
    usual: Float
    here: Bool
    said: Mapping[str, Float]


def points(look: Look, past: Past) -> Points:
    """Ask every baseline about one look, as of it."""
    now = standing(look, past)
    said = {name: np.maximum(way(now), now.booked) for name, way in WAYS.items()}
    return Points(look, now.booked, now.usual, now.here, said)
