"""Pipeline figures as of a date, for the company, each team and each rep: what `forecastle metrics` and pages show.

Counts and cents add up exactly from reps to teams to the company; ratios, means and medians are each node's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from features.asof import before, known
from features.episodes import Episodes
from features.periods import DAY, local_days
from features.pipeline import PipelineFacts, PipelineView, Window, pipeline_at
from features.stages import LOST, MERGED, WON
from features.tables import NAT
from features.timeline import Bool, Int
from features.wins import Wins
from models.pipeline_curves import curves_of, shares_gone, weeks_of
from models.pipeline_parts import Cover, Curve, Health, StageFlow, Velocity, WinRate, Won, centre, ratio, uneven
from models.pipeline_yield import covers, health

PERIODS = 4  # complete periods that rates are taken from
SHRINK = 20.0  # deals by which a rep's yield and a recent win rate lean on what is above and before them


@dataclass(frozen=True)
class NodeMetrics:
    """The figures of one node.

    parent: name of the node above, None for the company. flows: a stage each, in order, and one without a stage where
    open deals have none. recent: closes of the last complete and the running period. open, due: coverage by all open
    deals and by those due in the running period. overdue_*: open deals whose close date has passed. unpriced: open
    deals without an amount. quota (None without one), booked: cents of the running period. usual_share: share of their
    bookings that the window's periods had at the same time into them. linearity, centre: of the window's bookings.
    """

    level: str
    name: str
    parent: str | None
    flows: tuple[StageFlow, ...]
    win_rate: WinRate
    recent: WinRate
    won: Won
    velocity: Velocity
    open: Cover
    due: Cover
    overdue_count: int
    overdue_cents: int
    unpriced: int
    quota: int | None
    booked: int
    usual_share: float | None
    curves: tuple[Curve, ...]
    linearity: float | None
    centre: float | None
    health: Health

    @property
    def attainment(self) -> float | None:
        """Booked / quota of the running period."""
        return ratio(self.booked, self.quota)


@dataclass(frozen=True)
class PipelineMetrics:
    """All nodes as of an instant. last_known: the newest change of a deal before it, UTC microseconds; NAT: none."""

    as_of: int
    window: Window
    nodes: tuple[NodeMetrics, ...]
    last_known: int

    @property
    def days_silent(self) -> float | None:
        """Days from the newest change to the as-of."""
        return None if self.last_known == NAT else (self.as_of - self.last_known) / DAY


def pipeline_metrics(
    facts: PipelineFacts, as_of: int, periods: int = PERIODS, shrink: float = SHRINK
) -> PipelineMetrics:
    """Work out every figure from what was known strictly before `as_of` (UTC microseconds).

    periods: complete periods to take rates from. Raises UsageError where the as-of lies outside the fiscal calendar.
    """
    view = pipeline_at(facts, as_of, periods)
    return PipelineMetrics(as_of, view.window, tuple(node_metrics(facts, view, shrink)), view.last_known)


def node_metrics(facts: PipelineFacts, view: PipelineView, shrink: float = SHRINK) -> Iterator[NodeMetrics]:
    """Yield the figures of each node, company first, then teams, then reps."""
    nodes, window = view.nodes, view.window
    last = int(window.calendar.starts[max(window.running - 1, window.first)])
    within = view.closes.take(window.within(view.closes.ended_at))
    win_rates, recents = win_rates_of(view, within), win_rates_of(view, view.closes.take(view.closes.ended_at >= last))
    quotas, weeks = _quotas(view), weeks_of(view)
    booked = _booked(view)
    to_go = [None if quota is None else quota - done for quota, done in zip(quotas[-1], booked, strict=True)]
    by_open, by_due = covers(view, to_go, shrink, False), covers(view, to_go, shrink, True)
    overdue, unpriced = _overdue(view), nodes.rolled(*_counted(view.open.rep, view.open.cents <= 0)).tolist()
    flows = list(zip(*flows_of(facts, view), strict=True))
    for k, rows in enumerate(nodes.groups(view.wins.rep)):
        wins = view.wins.take(rows)
        past = wins.take(window.within(wins.won_at))
        won, shares = won_of(past), shares_gone(past.won_at, window.calendar)
        order = np.argsort(shares, kind="stable")
        told = (shares[order].tolist(), past.cents[order].tolist())
        area = uneven(*told)
        velocity = Velocity(by_open[k].count, win_rates[k].by_count, won.average_cents, won.mean_days)
        usual = ratio(won.cents, window.days)
        yield NodeMetrics(
            nodes.level[k],
            nodes.name[k],
            nodes.name[int(nodes.parent[k])] if k else None,
            flows[k],
            win_rates[k],
            recents[k],
            won,
            velocity,
            by_open[k],
            by_due[k],
            overdue[0][k],
            overdue[1][k],
            unpriced[k],
            quotas[-1][k],
            booked[k],
            ratio(_by_now(view, past), won.cents),
            curves_of(wins, weeks, [quota[k] for quota in quotas], window.calendar),
            None if area is None else 1 - 2 * area,
            centre(*told),
            health(by_open[k], velocity, usual, win_rates[k], recents[k], shrink),
        )


def flows_of(facts: PipelineFacts, view: PipelineView) -> Iterator[tuple[StageFlow, ...]]:
    """Yield the flow of each stage, a tuple over nodes; last that of open deals without a stage, if there are any."""
    entered, begun, now = view.entries, view.begun, view.open
    advanced, over = known(entered.advanced_at, view.as_of), known(begun.ended_at, view.as_of)
    ends = {kind: over & (begun.outcome == kind) for kind in (WON, LOST, MERGED)}
    stays = ~advanced & ~over
    told = (
        advanced, ~advanced & ends[LOST], ~advanced & ends[MERGED], stays, ends[WON], ends[WON] | ends[LOST],
    )  # fmt: skip
    for rank, name in enumerate(facts.record.stages.order):
        there, stands = entered.stage == rank, now.stage == rank
        counts = [view.nodes.rolled(*_counted(view.begun_rep, there & mask)) for mask in (there, *told)]
        yield _flow(view, name, stands, counts)
    if (now.stage < 0).any():
        none = [np.zeros(len(view.nodes), dtype=np.int64)] * 7
        yield _flow(view, None, now.stage < 0, none)


def _flow(view: PipelineView, name: str | None, stands: Bool, counts: list[Int]) -> tuple[StageFlow, ...]:
    count = view.nodes.rolled(*_counted(view.open.rep, stands))
    cents = view.nodes.rolled(view.open.rep[stands], view.open.cents[stands])
    listed = zip(*(column.tolist() for column in (count, cents, *counts)), strict=True)
    return tuple(StageFlow(name, *parts) for parts in listed)


def win_rates_of(view: PipelineView, closes: Episodes) -> list[WinRate]:
    """Return the win rate of each node over some closes; a deal counts for who held it before the close."""
    won, stake = closes.outcome == WON, closes.stake
    sums = [
        view.nodes.rolled(*_counted(closes.rep, won)),
        view.nodes.rolled(*_counted(closes.rep, ~won)),
        view.nodes.rolled(closes.rep[won], stake[won]),
        view.nodes.rolled(closes.rep[~won], stake[~won]),
        view.nodes.rolled(*_counted(closes.rep, stake == 0)),
    ]
    return [WinRate(*parts) for parts in zip(*(column.tolist() for column in sums), strict=True)]


def won_of(wins: Wins) -> Won:
    """Return size and cycle length of some wins. One that was won as soon as it was known has no cycle to tell."""
    days = (wins.won_at - wins.opened_at)[wins.won_at > wins.opened_at] / DAY
    mean, median = (float(np.mean(days)), float(np.median(days))) if len(days) else (None, None)
    return Won(len(wins), int(wins.cents.sum()), int((wins.cents > 0).sum()), mean, median)


def _quotas(view: PipelineView) -> list[list[int | None]]:
    """Return the quota of each node, by period of the window and the running one; None where none is known."""
    found = []
    for period in (*view.window.periods, view.window.running):
        rows = view.quotas.take(view.quotas.period == period)
        cents = view.nodes.rolled(rows.rep, rows.cents).tolist()
        there = view.nodes.rolled(*_counted(rows.rep, np.ones(len(rows.rep), dtype=bool))).tolist()
        found.append([quota if count else None for quota, count in zip(cents, there, strict=True)])
    return found


def _booked(view: PipelineView) -> list[int]:
    start = int(view.window.calendar.starts[view.window.running])
    wins = view.wins.take(slice(before(view.wins.won_at, start), None))
    return [int(cents) for cents in view.nodes.rolled(wins.rep, wins.cents)]


def _by_now(view: PipelineView, past: Wins) -> int:
    """Return what the window's periods had booked at the same time into them, of wins in order of time."""
    starts = view.window.calendar.starts
    edges = ((before(past.won_at, int(starts[look.period])), before(past.won_at, look.at)) for look in view.looks)
    return sum(int(past.cents[begin:end].sum()) for begin, end in edges)


def _overdue(view: PipelineView) -> tuple[list[int], list[int]]:
    day = int(local_days(np.array([view.as_of]), view.window.calendar.zone)[0])
    late = (view.open.close_day != NAT) & (view.open.close_day < day)
    count = view.nodes.rolled(*_counted(view.open.rep, late)).tolist()
    return count, view.nodes.rolled(view.open.rep[late], view.open.cents[late]).tolist()


def _counted(rep: Int, rows: Bool) -> tuple[Int, Int]:
    return rep[rows], np.ones(int(rows.sum()), dtype=np.int64)
