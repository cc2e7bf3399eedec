"""Flags: deals that are not what they look like, each with facts that a manager can check and the usual values.

A flag is a function of the as-of view and of the scores, so it knows nothing of later and a deal has the same flags
alone and among many. Only the alert budget (`within_budget`) looks at all open deals of an as-of together.

To add a flag: a function with `flag_rule` in one of `FLAG_MODULES`, and a section of the same name in `configs.flags`.
Thresholds, documents and contract tests follow from these.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from math import ceil

import numpy as np

from configs.flags import Flags, Severity
from features.asof import AsOfView, Seen
from features.periods import EPOCH, local_days
from features.rates import Standing, standing
from features.tables import NAT
from models.base import Bool, Float, Int

FLAG_MODULES = ("flag_dates", "flag_pace", "flag_people", "flag_edits", "flag_calls")
LOW, MEDIUM, HIGH = "low", "medium", "high"


@dataclass(frozen=True)
class Flag:
    """One finding about one deal.

    severity: "low", "medium" or "high". evidence: the facts and the usual values. money_at_stake: currency, to the
    cent, None where there is no amount; the rule says of what. first_seen: the first day on whose 00:00 the facts that
    raise it held, by the usual values of now; None where that cannot be told. next_look: what to look at.
    """

    code: str
    severity: str
    evidence: str
    money_at_stake: float | None
    first_seen: date | None
    next_look: str


@dataclass(frozen=True)
class Scores:
    """What the model says of n rows, float64[n] each.

    p: won in the period (in the end, for the head `eventual`). low, high: the ends of its doubt, NaN where the model
    tells none. slip_risk: NaN without a close date or a timing head. amount: E[amount | won] in currency, NaN without
    an amount head. in_period: whether p ends with the period.
    """

    p: Float
    low: Float
    high: Float
    slip_risk: Float
    amount: Float
    in_period: bool


@dataclass(frozen=True)
class Case:
    """What a rule may look at: the as-of view, the scores and the thresholds."""

    view: AsOfView
    scores: Scores
    limits: Flags

    @cached_property
    def standing(self) -> Standing:
        """Who and what each request is about, and the closed deals to compare with."""
        return standing(self.view)

    @cached_property
    def past(self) -> Seen:
        """What closed deals went through (``manners``)."""
        return self.view.about("manners", np.zeros(len(self.view), dtype=np.int64))

    @cached_property
    def crew(self) -> Seen:
        """Who was known on closed deals when they entered the stage that each request is in (``crews``)."""
        return self.view.about("stage_crew", self.standing.stage)

    @cached_property
    def today(self) -> Int:
        """Local day of each as-of, days since 1970-01-01."""
        return local_days(self.view.as_of, self.view.calendar.zone)

    @cached_property
    def amount(self) -> Float:
        """The CRM's amount in currency, NaN where there is none above zero."""
        cents = self.view.of("history").last("amount")
        return np.where(cents > 0, cents / 100.0, np.nan)  # NAT is negative

    @cached_property
    def worth(self) -> Float:
        """What a deal brings if it is won: the amount head's word, else the CRM's; NaN where neither is known."""
        return np.where(np.isnan(self.scores.amount), self.amount, self.scores.amount)

    @cached_property
    def expected(self) -> Float:
        """The probability times the worth."""
        return self.scores.p * self.worth

    def day_after(self, known_at: Int) -> Int:
        """Return the first local day on whose 00:00 a fact known at an instant counts; NAT stays NAT."""
        return _days(known_at, self.view.calendar.zone)

    def day_from(self, reached_at: Int) -> Int:
        """Return the first local day at whose 00:00 an instant is reached; NAT stays NAT."""
        return _days(np.where(reached_at == NAT, NAT, reached_at - 1), self.view.calendar.zone)


def _days(instants: Int, zone: str) -> Int:
    known = instants != NAT
    return np.where(known, local_days(np.where(known, instants, 0), zone) + 1, NAT)


@dataclass(frozen=True)
class Raised:
    """What a rule found in n rows.

    where: bool[n]. excess: float64[n], how many times its threshold a deal has reached. since: gives int64[n], local
    days, NAT where it cannot be told; asked only where something is raised. says: the evidence of a row. at_stake:
    float64[n], currency, NaN where not known.
    """

    where: Bool
    excess: Float
    since: Callable[[], Int]
    says: Callable[[int], str]
    at_stake: Float


Find = Callable[[Case], Raised]


@dataclass(frozen=True)
class Rule:
    """A registered flag.

    templates: its sentences by name, with fields in braces. at_stake: what its money is, in words.
    rule: when it is raised. excess: what its severity goes by. next_look: what to look at, never what to do.
    """

    code: str
    templates: Mapping[str, str]
    rule: str
    excess: str
    at_stake: str
    next_look: str
    find: Find


FLAGS: dict[str, Rule] = {}
EXPECTED = "the probability times what the deal brings if it is won"


def flag_rule(
    code: str, *, templates: Mapping[str, str], rule: str, excess: str, next_look: str, at_stake: str = EXPECTED
) -> Callable[[Find], Find]:
    """Register a flag; see `Rule`."""

    def register(find: Find) -> Find:
        if code in FLAGS and FLAGS[code].find.__module__ != find.__module__:
            raise ValueError(f"flag {code!r} is registered twice")
        FLAGS[code] = Rule(code, templates, rule, excess, at_stake, next_look, find)
        return find

    return register


def load_flags() -> Mapping[str, Rule]:
    """Register every flag, and return them by code."""
    for name in FLAG_MODULES:
        importlib.import_module(f"models.{name}")
    return FLAGS


def find_flags(view: AsOfView, scores: Scores, limits: Flags) -> list[tuple[Flag, ...]]:
    """Return the flags of every request, in the order of the registry; nothing where they are switched off."""
    found: list[list[Flag]] = [[] for _ in range(len(view))]
    if not limits.enabled or not found:
        return [tuple(listed) for listed in found]
    case = Case(view, scores, limits)
    for code, rule in load_flags().items():
        if not getattr(limits, code).enabled:
            continue
        raised = rule.find(case)
        if not raised.where.any():
            continue
        since = raised.since()
        first = np.where(since == NAT, NAT, np.minimum(since, case.today))
        for row in np.flatnonzero(raised.where).tolist():
            flag = Flag(
                code,
                severity_of(float(raised.excess[row]), limits.severity),
                raised.says(row),
                _cents(float(raised.at_stake[row])),
                None if first[row] == NAT else EPOCH + timedelta(days=int(first[row])),
                rule.next_look,
            )
            found[row].append(flag)
    return [tuple(listed) for listed in found]


def severity_of(excess: float, limits: Severity) -> str:
    """Return how far past its threshold a deal is, in a word."""
    return HIGH if excess >= limits.high else MEDIUM if excess >= limits.medium else LOW


def _cents(amount: float) -> float | None:
    return None if amount != amount else round(amount, 2)


@dataclass(frozen=True)
class Tally:
    """Of one flag at one as-of: how many deals raise it, and how many of those the budget lets through."""

    raised: int
    shown: int


def within_budget(flags: Sequence[tuple[Flag, ...]], share: float) -> tuple[list[tuple[Flag, ...]], dict[str, Tally]]:
    """Keep each flag on so many deals as the alert budget allows, most money at stake first, and count the rest.

    flags: of all open deals of one as-of. share: of these deals, rounded up. Where money is equal the earlier deal
    stays; a deal without an amount comes last.
    """
    allowed = len(flags) if share >= 1 else ceil(share * len(flags))
    carriers: dict[str, list[tuple[float, int]]] = {}
    for row, listed in enumerate(flags):
        for flag in listed:
            stake = -1.0 if flag.money_at_stake is None else flag.money_at_stake
            carriers.setdefault(flag.code, []).append((-stake, row))
    kept = {code: {row for _, row in sorted(rows)[:allowed]} for code, rows in carriers.items()}
    shown = [tuple(flag for flag in listed if row in kept[flag.code]) for row, listed in enumerate(flags)]
    return shown, {code: Tally(len(rows), len(kept[code])) for code, rows in sorted(carriers.items())}
