"""Coverage, the yield of the pipeline, and health: what is open beside what is to go, by the company's own past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.pipeline import OpenDeals, PipelineView
from features.timeline import Bool, Int
from models.pipeline_parts import Cover, Health, Velocity, WinRate, ratio


@dataclass(frozen=True)
class Yields:
    """Cents open at the same time into past periods, and what those very deals brought by its end, int64[nodes] each.

    shrunk: the yield of each node, float; None for all where nothing was open.
    """

    open: Int
    won: Int
    shrunk: tuple[float | None, ...]


def covers(view: PipelineView, to_go: list[int | None], shrink: float, due: bool) -> list[Cover]:
    """Return the coverage of each node by all open deals, or by those due in the period."""
    rows = _asked(view, view.open, view.window.running, due)
    count, cents = (
        view.nodes.rolled(view.open.rep[rows], values[rows]).tolist()
        for values in (np.ones(len(view.open), dtype=np.int64), view.open.cents)
    )
    past = yields(view, shrink, due)
    listed = zip(count, cents, to_go, past.open.tolist(), past.won.tolist(), past.shrunk, strict=True)
    return [Cover(*parts) for parts in listed]


def yields(view: PipelineView, shrink: float, due: bool) -> Yields:
    """Return what the pipeline of past periods brought from the same time into them on.

    A node's yield is shrunken towards its parent's with the weight of `shrink` open deals of the company's mean size:
    (won + w x parent) / (open + w). The company's own is not shrunken.
    """
    stood, won = (np.zeros(len(view.nodes), dtype=np.int64) for _ in range(2))
    deals = 0
    for look in view.looks:
        rows = _asked(view, look.open, look.period, due)
        stood += view.nodes.rolled(look.open.rep[rows], look.open.cents[rows])
        won += view.nodes.rolled(look.open.rep[rows], look.won[rows])
        deals += int(rows.sum())
    company = ratio(int(won[0]), int(stood[0]))
    if company is None:
        return Yields(stood, won, (None,) * len(view.nodes))
    weight = shrink * int(stood[0]) / deals
    found = [company]
    for node in range(1, len(view.nodes)):  # parents come first
        parent = found[int(view.nodes.parent[node])]
        found.append((int(won[node]) + weight * parent) / (int(stood[node]) + weight))
    return Yields(stood, won, tuple(found))


def health(
    cover: Cover, velocity: Velocity, usual_per_day: float | None, win_rate: WinRate, recent: WinRate, shrink: float
) -> Health:
    """Return the pipeline health of a node.

    coverage: open money x yield / (quota - booked), at most 1, and 1 once the quota is reached. velocity: sales
    velocity / money won a day in the window, at most 1. win_rate: that of the last complete and the running period,
    shrunken towards the window's with the weight of `shrink` closed deals, over the window's, at most 1.
    """
    usual = win_rate.by_count
    lately = None if usual is None else (recent.won + shrink * usual) / (recent.closed + shrink)
    covered = 1.0 if cover.to_go is not None and cover.to_go <= 0 else ratio(cover.expected_cents, cover.to_go)
    return Health(
        _at_most_one(covered),
        _at_most_one(ratio(velocity.cents_per_day, usual_per_day)),
        _at_most_one(ratio(lately, usual)),
    )


def _asked(view: PipelineView, deals: OpenDeals, period: int, due: bool) -> Bool:
    return deals.due(view.window.calendar, period) if due else np.ones(len(deals), dtype=bool)


def _at_most_one(value: float | None) -> float | None:
    return None if value is None else min(value, 1.0)
