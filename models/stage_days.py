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


def stage_days(facts: PipelineFacts, view: PipelineView) -> Iterator[tuple[StageDays, ...]]:
    """Yield the days in each stage, in order, for each node of a view."""
    won = _of_won(facts, view)
    still = _of_open(facts, view)
    order = facts.record.stages.order
    groups = zip(view.nodes.groups(won[0]), view.nodes.groups(still[0]), strict=True)
    for closed, standing in groups:
        days, waits = (_by_stage(*(column[rows] for column in told[1:]), len(order)) for told, rows in
                       ((won, closed), (still, standing)))  # fmt: skip
        yield tuple(
            StageDays(name, len(days[rank]), _median(days[rank]), _median(waits[rank]))
            for rank, name in enumerate(order)
        )


def _of_won(facts: PipelineFacts, view: PipelineView) -> tuple[Int, Int, Float]:
    """Return rep, stage and days of each entry of the episodes that were won in the window."""
    episodes, entries = facts.episodes, facts.entries
    ended = known(episodes.ended_at, view.as_of) & view.window.within(episodes.ended_at)
    own = entries.take((ended & (episodes.outcome == WON))[entries.episode])
    return episodes.rep[own.episode], own.stage, (own.advanced_at - own.entered_at) / DAY


def _of_open(facts: PipelineFacts, view: PipelineView) -> tuple[Int, Int, Float]:
    """Return rep, stage and days so far of each open deal of which it is known when it came into its stage."""
    now = view.open
    asked = Requests(now.deal, np.full(len(now), view.as_of, dtype=np.int64))
    since = facts.record.view(asked).of("history").last("known_at", "stage_changed")
    told = (since != NAT) & (now.stage >= 0)
    return now.rep[told], now.stage[told], (view.as_of - since[told]) / DAY


def _by_stage(stage: Int, days: Float, stages: int) -> list[Float]:
    return [days[stage == rank] for rank in range(stages)]


def _median(days: Float) -> float | None:
    return float(np.median(days)) if len(days) else None
