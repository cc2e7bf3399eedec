"""The section of a config that says when a deal is flagged; see docs/flags.md. It changes no model and no score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, model_validator

from configs.base import Strict, refuse

LESS, MORE, SURE = "less", "more", "sure"
"""How a threshold eases: by the factor `hold`, by its inverse, or as a certainty (distance from 1 by the inverse)."""


class FlagRule(Strict):
    """What every flag has. EASING: the thresholds that ease for a deal whose flag is up, each with how it does."""

    EASING: ClassVar[Mapping[str, str]] = {}
    enabled: bool = Field(default=True, description="whether this flag is looked for")

    def eased(self, hold: float) -> Self:
        """Return the thresholds down to which a flag that is up stays up."""
        ways = {LESS: lambda x: x * hold, MORE: lambda x: x / hold, SURE: lambda x: 1 - (1 - x) / hold}
        return self.model_copy(update={name: ways[way](getattr(self, name)) for name, way in self.EASING.items()})


class Slipping(FlagRule):
    """The close date is unlikely to hold, or was moved past ends of periods before."""

    EASING: ClassVar[Mapping[str, str]] = {"risk": SURE}
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

    EASING: ClassVar[Mapping[str, str]] = {"times_usual": LESS}
    times_usual: float = Field(
        default=2.5, ge=1, le=100, description="days in the stage from which it is flagged, in means of won deals"
    )
    min_days: int = Field(default=21, ge=1, le=3650, description="and at least so many days")


class SingleThreaded(FlagRule):
    """One person of the buyer's on a large deal, where deals that were won had more by then."""

    EASING: ClassVar[Mapping[str, str]] = {"usual_share": LESS, "times_usual_amount": LESS}
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

    EASING: ClassVar[Mapping[str, str]] = {"times_usual": LESS}
    times_usual: float = Field(
        default=3.0, ge=1, le=100, description="days without an answer from which it is flagged, in means of won deals"
    )
    min_days: int = Field(default=5, ge=1, le=3650, description="and at least so many days")


class Disengaged(FlagRule):
    """The buyer is silent for longer than is usual, and it is not we who owe the next word."""

    EASING: ClassVar[Mapping[str, str]] = {"share": MORE}
    share: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="share of the weeks of won deals, at most, with a silence as old for it to be flagged, 0-1",
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

    EASING: ClassVar[Mapping[str, str]] = {"most_share": MORE, "senior_share": LESS}
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

    EASING: ClassVar[Mapping[str, str]] = {"share": LESS}
    share: float = Field(
        default=0.2, gt=0, lt=1, description="part of the amount cut, net, from which it is flagged, 0-1"
    )
    days: int = Field(default=30, ge=1, le=3650, description="days back in which changes of the amount count")


class LikelyDuplicate(FlagRule):
    """Two open deals of one account that look like the same one."""

    EASING: ClassVar[Mapping[str, str]] = {"amount_within": MORE}
    days: int = Field(
        default=30, ge=1, le=3650, description="days before this deal's creation within which the other was created"
    )
    amount_within: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="by so much the smaller amount may lie below the larger one, 0-1",
    )


class UnderCalled(FlagRule):
    """The model says in, with margin, where the rep's category or close date says out."""

    EASING: ClassVar[Mapping[str, str]] = {"p": LESS, "gap": LESS}
    p: float = Field(
        default=0.5, gt=0, lt=1, description="probability at the low end of its doubt from which it is flagged, 0-1"
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

    EASING: ClassVar[Mapping[str, str]] = {"p": MORE, "gap": LESS}
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

    EASING: ClassVar[Mapping[str, str]] = {"times_usual": LESS, "late_days": LESS}
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


class RepPatterns(Strict):
    """How a rep's calls compare with what was booked, over finished periods. Opt-in: it is about people."""

    enabled: bool = Field(
        default=False,
        description="whether `forecastle rep-patterns` may be run; read docs/rep-patterns.md before it is switched on",
    )
    q: float = Field(
        default=0.10, gt=0, le=0.25, description="share of the listed patterns that may be chance, on average, 0-0.25"
    )
    periods: int = Field(default=12, ge=4, le=16, description="finished periods that are looked at, at most")
    min_periods: int = Field(
        default=6, ge=4, le=16, description="finished periods with a call of the rep that are compared, at least"
    )
    min_deals: int = Field(
        default=15, ge=1, le=10_000, description="deals of the rep won or lost in the periods looked at, at least"
    )
    week: int = Field(
        default=4, ge=2, le=13, description="the commit call that is compared: the last one known by this week's Monday"
    )
    early_days: int = Field(
        default=14, ge=1, le=366, description="quota counts as reached early so many days before the period's end"
    )
    push_days: int = Field(
        default=10, ge=1, le=28, description="first days of the period after one whose quota was reached early"
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.min_periods > self.periods:
            refuse(
                "contradiction",
                got=f"min_periods {self.min_periods}, periods {self.periods}",
                expected="min_periods not above periods",
                field="min_periods",
            )
        return self


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
        "it, most money at stake first (`disengaged`: the most unusual silence); the rest is counted; 1: no budget",
    )
    per_rep: int = Field(
        default=3,
        ge=1,
        le=100_000,
        description="and deals of one owner that may carry each flag, in a file of scores; deals without an owner are "
        "not held to it",
    )
    keep: float = Field(
        default=1.5,
        ge=1,
        le=100,
        description="a deal that was within the budget one or two weeks before stays as long as it is among the first "
        "`keep` times as many; 1: no longer than others",
    )
    hold: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="how far thresholds ease for a flag that was up in the last `new_days`, so that it does not come "
        "and go: its threshold times this; 1: not at all",
    )
    new_days: int = Field(
        default=14,
        ge=7,
        le=365,
        description="days for which a flag is new, from the day it was first seen or became more severe",
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
    likely_duplicate: LikelyDuplicate = Field(
        default_factory=LikelyDuplicate, description="another open deal of the account looks the same"
    )
    logged_in_bulk: LoggedInBulk = Field(
        default_factory=LoggedInBulk, description="many acts of ours entered at once, or late"
    )
    raised_late: RaisedLate = Field(default_factory=RaisedLate, description="called better just before the look")
    under_called: UnderCalled = Field(default_factory=UnderCalled, description="closer than the forecast says")
    over_called: OverCalled = Field(default_factory=OverCalled, description="further than the forecast says")
    rep_patterns: RepPatterns = Field(
        default_factory=RepPatterns, description="calls of reps beside what they booked; opt-in, docs/rep-patterns.md"
    )

    def eased(self) -> Self:
        """Return the thresholds down to which flags that are up stay up."""
        sections = {name: rule for name, rule in self if isinstance(rule, FlagRule)}
        return self.model_copy(update={name: rule.eased(self.hold) for name, rule in sections.items()})
