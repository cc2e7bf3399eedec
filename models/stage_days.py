"""Days in a stage: of deals that were won, and of those that stand in it now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from features.asof import Requests, known
from features.periods import DAY
from features.pipeline import PipelineFacts, PipelineView
from features.stages import WON
from features.tables import NAT
from features.timeline import Float, Int


@dataclass(frozen=True)
class StageDays:
    """One stage. won_deals: those won in the window that had entered it; won_days: the median days from then until they
    went on. open_days: the median days since open deals last came into it. None where there is no such deal.
    """

    stage: str
    won_deals: int
    won_days: float | None
    open_days: float | None


@dataclass(frozen=True)
class _Stays:
    """Stays in a stage: code of the rep, int64[n], rank of the stage, int64[n], and days, float64[n]."""

    rep: Int
    stage: Int
    days: Float

    def by_stage(self, rows: Int, stages: int) -> list[Float]:
        """Return the days of some of the stays, stage by stage."""
        return [self.days[rows][self.stage[rows] == rank] for rank in range(stages)]


def stage_days(facts: PipelineFacts, view: PipelineView) -> Iterator[tuple[StageDays, ...]]:
    """Yield the days in each stage, in order, for each node of a view."""
    won, still = _of_won(facts, view), _of_open(facts, view)
    order = facts.record.stages.order
    groups = zip(view.nodes.groups(won.rep), view.nodes.groups(still.rep), strict=True)
    for closed, standing in groups:
        days, waits = won.by_stage(closed, len(order)), still.by_stage(standing, len(order))
        yield tuple(
            StageDays(name, len(days[rank]), _median(days[rank]), _median(waits[rank]))
            for rank, name in enumerate(order)
        )


def _of_won(facts: PipelineFacts, view: PipelineView) -> _Stays:
    """Return the stays of the episodes that were won in the window, from the first entry until they went on."""
    episodes, entries = facts.episodes, facts.entries
    ended = known(episodes.ended_at, view.as_of) & view.window.within(episodes.ended_at)
    own = entries.take((ended & (episodes.outcome == WON))[entries.episode])
    return _Stays(episodes.rep[own.episode], own.stage, (own.advanced_at - own.entered_at) / DAY)


def _of_open(facts: PipelineFacts, view: PipelineView) -> _Stays:
    """Return the stays so far of the open deals of which it is known when they came into their stage."""
    now = view.open
    asked = Requests(now.deal, np.full(len(now), view.as_of, dtype=np.int64))
    since = facts.record.view(asked).of("history").last("known_at", "stage_changed")
    told = (since != NAT) & (now.stage >= 0)
    return _Stays(now.rep[told], now.stage[told], (view.as_of - since[told]) / DAY)


def _median(days: Float) -> float | None:
    return float(np.median(days)) if len(days) else None
