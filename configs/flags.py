"""The section of a config that says when a deal is flagged; see docs/flags.md. It changes no model and no score."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from configs.base import Strict, refuse


class FlagRule(Strict):
    """What every flag has."""

    enabled: bool = Field(default=True, description="whether this flag is looked for")


class Slipping(FlagRule):
    """The close date is unlikely to hold, or was moved past ends of periods before."""

    risk: float = Field(
        default=0.85,
        ge=0.5,
        lt=1,
        description="slip risk from which a deal is flagged, 0.5-1: the model's probability of being neither won nor "
        "lost by the end of the close date",
    )
    within_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="days ahead within which the close date must lie for the slip risk to count",
    )
    moves: int = Field(
        default=2,
        ge=1,
        le=100,
        description="moves of the close date past the end of its period from which it is flagged",
    )
    times_usual: float = Field(
        default=2.0, ge=1, le=100, description="and at least so many times the moves of a usual won deal"
    )


class Stalled(FlagRule):
    """The deal stands in its stage longer than deals that were won stood there."""

    times_usual: float = Field(
        default=2.5, ge=1, le=100, description="days in the stage from which it is flagged, in means of won deals"
    )
    min_days: int = Field(default=21, ge=1, le=3650, description="and at least so many days")


class SingleThreaded(FlagRule):
    """One person of the buyer's on a large deal, where deals that were won had more by then."""

    usual_share: float = Field(
        default=0.7,
        ge=0.5,
        le=1,
        description="share of won deals that had several people when they entered the stage, at least, 0.5-1",
    )
    times_usual_amount: float = Field(
        default=1.0, ge=0, le=1000, description="amount from which it is flagged, in amounts of the usual won deal"
    )


class Neglected(FlagRule):
    """The buyer wrote last, and our answer takes unusually long."""

    times_usual: float = Field(
        default=3.0, ge=1, le=100, description="days without an answer from which it is flagged, in means of won deals"
    )
    min_days: int = Field(default=5, ge=1, le=3650, description="and at least so many days")


class Disengaged(FlagRule):
    """The buyer is silent for longer than is usual, and it is not we who owe the next word."""

    gaps: float = Field(
        default=6.0,
        ge=1,
        le=100,
        description="days of the buyer's silence from which it is flagged, in the deal's usual gaps",
    )
    min_days: int = Field(default=14, ge=1, le=3650, description="and at least so many days")


class Overdue(FlagRule):
    """The close date has passed."""

    days: int = Field(default=1, ge=1, le=3650, description="days since the close date from which it is flagged")
    long_days: int = Field(
        default=14, ge=1, le=3650, description="days that count as once past the threshold (severity)"
    )


class ProcessSkipped(FlagRule):
    """Stages were jumped, or nobody senior is on the deal near the end, where won deals did otherwise."""

    stages: int = Field(default=1, ge=1, le=100, description="stages jumped from which it is flagged")
    most_share: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="share of won deals that jumped a stage, at most, for a jump to count, 0-1",
    )
    late_from: float = Field(
        default=0.5, ge=0, le=1, description="way through the sales process from which somebody senior is expected, 0-1"
    )
    senior_share: float = Field(
        default=0.7,
        ge=0.5,
        le=1,
        description="share of won deals that had somebody senior when they entered the stage, at least, 0.5-1",
    )


class AmountCut(FlagRule):
    """The amount was cut lately."""

    share: float = Field(
        default=0.2, gt=0, lt=1, description="part of the amount cut, net, from which it is flagged, 0-1"
    )
    days: int = Field(default=30, ge=1, le=3650, description="days back in which changes of the amount count")


class UnderCalled(FlagRule):
    """The model says in, with margin, where the rep's category or close date says out."""

    p: float = Field(
        default=0.6, gt=0, lt=1, description="probability at the low end of its doubt from which it is flagged, 0-1"
    )
    gap: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="by so much that low end must lie above the rate of deals called alike, 0-1",
    )
    margin: float = Field(
        default=1.25, ge=1, le=10, description="factor of the doubt for a model that tells none: p / margin"
    )
    min_peers: int = Field(default=50, ge=1, le=1_000_000, description="looks at earlier deals called alike, at least")


class OverCalled(FlagRule):
    """The model says out, with margin, where the rep's category and close date say in."""

    p: float = Field(
        default=0.35, gt=0, lt=1, description="probability at the high end of its doubt up to which it is flagged, 0-1"
    )
    gap: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="by so much that high end must lie below the rate of deals called alike, 0-1",
    )
    margin: float = Field(
        default=1.25, ge=1, le=10, description="factor of the doubt for a model that tells none: p x margin"
    )
    min_peers: int = Field(default=50, ge=1, le=1_000_000, description="looks at earlier deals called alike, at least")


class LoggedInBulk(FlagRule):
    """Many acts of ours were entered at once, or long after they are said to have happened."""

    days: int = Field(default=7, ge=1, le=31, description="days back in which entries count")
    acts: int = Field(
        default=8, ge=2, le=1000, description="acts of ours entered within one of those days from which it is flagged"
    )
    times_usual: float = Field(
        default=2.0,
        ge=1,
        le=100,
        description="and at least so many times the busiest day of a usual won deal; for late entries, so many times "
        "the usual days between an act and its entry",
    )
    late_acts: int = Field(
        default=5, ge=2, le=1000, description="acts of ours entered in all those days, for late entries to count"
    )
    late_days: float = Field(
        default=3.0, gt=0, le=365, description="mean days between act and entry from which it is flagged"
    )


class RaisedLate(FlagRule):
    """Just before the look the call was raised, or the close date moved into the period."""

    hours: int = Field(default=24, ge=1, le=720, description="hours before the as-of in which a change counts")
    quiet_days: float = Field(
        default=0.0, ge=0, le=365, description="days without a sign of the buyer before it from which it is flagged"
    )


class Severity(Strict):
    """How far past its threshold a deal must be; below `medium` a flag is low."""

    medium: float = Field(default=1.5, ge=1, le=1000, description="times the threshold from which a flag is medium")
    high: float = Field(default=2.5, ge=1, le=1000, description="times the threshold from which a flag is high")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.high < self.medium:
            refuse(
                "not_ascending",
                got=f"medium {self.medium:g}, high {self.high:g}",
                expected="high not below medium",
                field="high",
            )
        return self


class Flags(Strict):
    """Which deals are not what they look like. Nothing here changes a model: no retraining is needed."""

    enabled: bool = Field(default=True, description="whether deals are flagged; without it `flags` is empty")
    share: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="alert budget of each flag in a file of scores: share of the open deals of an as-of that may carry "
        "it, most money at stake first; the rest is counted; 1: no budget",
    )
    min_deals: int = Field(
        default=20, ge=1, le=100_000, description="past deals that a usual value must rest on; below it no flag"
    )
    severity: Severity = Field(default_factory=Severity, description="when a flag is medium or high")
    slipping: Slipping = Field(default_factory=Slipping, description="the close date is unlikely to hold")
    stalled: Stalled = Field(default_factory=Stalled, description="longer in its stage than deals that were won")
    single_threaded: SingleThreaded = Field(
        default_factory=SingleThreaded, description="one person of the buyer's on a large deal"
    )
    neglected: Neglected = Field(default_factory=Neglected, description="the buyer wrote last and waits")
    disengaged: Disengaged = Field(default_factory=Disengaged, description="the buyer's silence is unusual")
    overdue: Overdue = Field(default_factory=Overdue, description="the close date has passed")
    process_skipped: ProcessSkipped = Field(
        default_factory=ProcessSkipped, description="stages jumped, or nobody senior near the end"
    )
    amount_cut: AmountCut = Field(default_factory=AmountCut, description="the amount was cut lately")
    logged_in_bulk: LoggedInBulk = Field(
        default_factory=LoggedInBulk, description="many acts of ours entered at once, or late"
    )
    raised_late: RaisedLate = Field(default_factory=RaisedLate, description="called better just before the look")
    under_called: UnderCalled = Field(default_factory=UnderCalled, description="closer than the forecast says")
    over_called: OverCalled = Field(default_factory=OverCalled, description="further than the forecast says")
