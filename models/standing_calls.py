"""What each rep had called at the same time into each period: commit calls that stood then, not those of the end."""

from __future__ import annotations

from dataclasses import dataclass

from features.nodes import REP
from features.pipeline import PipelineFacts, PipelineView
from features.standings import called_at
from features.tables import NAT


@dataclass(frozen=True)
class Called:
    """A period seen from some time into it. at: UTC microseconds. cents: by rep id; who had not called is left out."""

    period: int
    at: int
    cents: dict[str, int]


def standing_calls(facts: PipelineFacts, view: PipelineView) -> list[Called]:
    """Return the calls at the same time into each period of the window, and last those that stand at the as-of."""
    looks = [(look.period, look.at) for look in view.looks]
    return [_called(facts, view, period, at) for period, at in (*looks, (view.window.running, view.as_of))]


def _called(facts: PipelineFacts, view: PipelineView, period: int, at: int) -> Called:
    vocabulary = facts.record.reference.vocabulary
    calls, start = facts.record.reference.events["calls"], int(view.window.calendar.starts[period])
    told = called_at(calls, vocabulary.size("rep"), start, at)
    shown = {name for level, name in zip(view.nodes.level, view.nodes.name, strict=True) if level == REP}
    named = zip(vocabulary.values["rep"], told.tolist(), strict=True)
    return Called(period, at, {rep: cents for rep, cents in named if cents != NAT and rep in shown})
