"""Flags: deals that are not what they look like, each with facts that a manager can check and the usual values.

A flag is a function of the as-of view and of the scores, so it knows nothing of later and a deal has the same flags
alone and among many. Only the alert budget (`models.flag_budget`) looks at all open deals of an as-of together.

Flags do not flicker, and need no memory for it: a deal just short of its threshold keeps a flag that it had in the last
days, which is looked up by asking the same rule of the same deal as of those days.

To add a flag: a function with `flag_rule` in one of `FLAG_MODULES`, and a section of the same name in `configs.flags`.
Thresholds, documents and contract tests follow from these.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property, lru_cache

import numpy as np

from configs.flags import Flags, Severity
from features.asof import AsOfView, Seen
from features.periods import EPOCH, local_days
from features.rates import Standing, standing
from features.tables import NAT
from models.base import Bool, Float, Int
from models.flag_earlier import ago, behind, looks_back, those
from models.track_record import FlagRecord

FLAG_MODULES = ("flag_dates", "flag_pace", "flag_people", "flag_silence", "flag_twins", "flag_edits", "flag_calls")
SEVERITIES = LOW, MEDIUM, HIGH = "low", "medium", "high"
NO_RECORDS: Mapping[str, FlagRecord] = {}


@dataclass(frozen=True)
class Flag:
    """One finding about one deal.

    severity: "low", "medium" or "high". evidence: the facts and the usual values. money_at_stake: currency, to the
    cent, None where there is no amount; the rule says of what. first_seen: the first day on whose 00:00 the facts that
    raise it held, by the usual values of now; None where that cannot be told. next_look: what to look at. new: whether
    it is news, see docs/flags.md. track_record: how right this flag was on the company's own past, None: not told.
    rank: what an alert budget goes by, the largest first; None: the money at stake.
    """

    code: str
    severity: str
    evidence: str
    money_at_stake: float | None
    first_seen: date | None
    next_look: str
    new: bool = True
    track_record: FlagRecord | None = None
    rank: float | None = None


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

    @classmethod
    def unknown(cls, n: int, in_period: bool) -> Scores:
        """Return what is said where no model is asked."""
        nothing = np.full(n, np.nan)
        return cls(nothing, nothing, nothing, nothing, nothing, in_period)

    def each(self, change: Callable[[Float], Float]) -> Scores:
        """Return what a function makes of every column."""
        columns = (change(column) for column in (self.p, self.low, self.high, self.slip_risk, self.amount))
        p, low, high, slip_risk, amount = columns
        return Scores(p, low, high, slip_risk, amount, self.in_period)


Says = Callable[[AsOfView], Scores]
"""What the model says of other requests of the same record."""


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
        return self.view.shared("manners", lambda: self.view.about("manners", np.zeros(len(self.view), dtype=np.int64)))

    @cached_property
    def crew(self) -> Seen:
        """Who was known on closed deals when they entered the stage that each request is in (``crews``)."""
        return self.view.shared("stage_crew", lambda: self.view.about("stage_crew", self.standing.stage))

    @cached_property
    def today(self) -> Int:
        """Local day of each as-of, days since 1970-01-01."""
        return self.view.local_day()

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
    float64[n], currency, NaN where not known. rank: float64[n], what an alert budget goes by; None: the money. Only
    `where` counts in rows where nothing is raised.
    """

    where: Bool
    excess: Float
    since: Callable[[], Int]
    says: Callable[[int], str]
    at_stake: Float
    rank: Float | None = None


Find = Callable[[Case], Raised]


def nobody(n: int) -> Raised:
    """Return that nothing is raised: what a rule says as soon as its first questions leave nobody, and asks no more."""
    nothing = np.zeros(n)
    return Raised(np.zeros(n, dtype=bool), nothing, lambda: np.full(n, NAT, dtype=np.int64), lambda row: "", nothing)


@dataclass(frozen=True)
class Rule:
    """A registered flag.

    templates: its sentences by name, with fields in braces. at_stake: what its money is, in words.
    rule: when it is raised. excess: what its severity goes by. first: whom an alert budget keeps. next_look: what to
    look at, never what to do. by_model: whether it is raised by what the model says, and not by facts alone.
    """

    code: str
    templates: Mapping[str, str]
    rule: str
    excess: str
    at_stake: str
    first: str
    next_look: str
    find: Find
    by_model: bool = False


FLAGS: dict[str, Rule] = {}
EXPECTED = "the probability times what the deal brings if it is won"
MONEY = "most money at stake"


def flag_rule(
    code: str,
    *,
    templates: Mapping[str, str],
    rule: str,
    excess: str,
    next_look: str,
    at_stake: str = EXPECTED,
    by_model: bool = False,
    first: str = MONEY,
) -> Callable[[Find], Find]:
    """Register a flag; see `Rule`."""

    def register(find: Find) -> Find:
        if code in FLAGS and FLAGS[code].find.__module__ != find.__module__:
            raise ValueError(f"flag {code!r} is registered twice")
        FLAGS[code] = Rule(code, templates, rule, excess, at_stake, first, next_look, find, by_model)
        return find

    return register


@cache
def load_flags() -> Mapping[str, Rule]:
    """Register every flag, and return them by code, in the order of `FLAG_MODULES` whoever was imported first."""
    for name in FLAG_MODULES:
        importlib.import_module(f"models.{name}")
    place = {f"models.{name}": k for k, name in enumerate(FLAG_MODULES)}
    ordered = sorted(FLAGS.items(), key=lambda item: place.get(item[1].find.__module__, len(place)))
    if [code for code, _ in ordered] != list(FLAGS):
        FLAGS.clear()
        FLAGS.update(ordered)
    return FLAGS


def find_flags(
    view: AsOfView,
    scores: Scores,
    limits: Flags,
    says: Says | None = None,
    asked: int | None = None,
    records: Mapping[str, FlagRecord] = NO_RECORDS,
) -> list[tuple[Flag, ...]]:
    """Return the flags of every request, in the order of the registry; nothing where they are switched off.

    says: asks the model of earlier days; without it flags that go by the model are not held, and are new.
    asked: how many of the rows are meant, all of them unless given; the others are those of `with_earlier`.
    records: how right each flag was, by code.
    """
    n = len(view) if asked is None else asked
    found: list[list[Flag]] = [[] for _ in range(n)]
    if not limits.enabled or not found:
        return [tuple(listed) for listed in found]
    case, eased = Case(view, scores, limits), Case(view, scores, _eased(limits))
    looks = _looked(case, eased, n)
    _look_back(case, eased, [look for look in looks if not look.rule.by_model], None)
    if says is not None:
        _look_back(case, eased, [look for look in looks if look.rule.by_model], says)
    for look in looks:
        for row in look.where.nonzero()[0].tolist():
            found[row].append(look.flag(row, case, records.get(look.rule.code)))
    return [tuple(listed) for listed in found]


@lru_cache(maxsize=16)
def _eased(limits: Flags) -> Flags:
    """Return the eased thresholds, made once: every request asks for them."""
    return limits.eased()


@dataclass(frozen=True)
class _Found:
    """What a rule found, and what it had found before.

    raised: by the thresholds; eased: by those that a flag that is up is held to; both go on behind the n rows asked.
    held: bool[n], up by the latter alone. before: float64[n], the excess `new_days` ago, 0 where it was not up.
    """

    rule: Rule
    raised: Raised
    eased: Raised
    held: Bool
    before: Float

    @property
    def where(self) -> Bool:
        return self.raised.where[: len(self.held)] | self.held

    @cached_property
    def short(self) -> Bool:
        return (self.eased.where & ~self.raised.where)[: len(self.held)]

    @cached_property
    def first(self) -> Int:
        since = self.raised.since()[: len(self.held)]
        return np.where(self.held, self.eased.since()[: len(self.held)], since) if self.held.any() else since

    def note(self, rows: Int, up: Raised, still: Raised, place: Int | slice, last: bool) -> None:
        """Take up what was found of some rows on an earlier day, at a place each. last: whether `before` is of it."""
        was_up = up.where[place]
        held = rows[was_up]
        self.held[held] |= self.short[held]
        if last:
            self.before[rows] = np.where(was_up, up.excess[place], np.where(still.where[place], 1.0, 0.0))

    def flag(self, row: int, case: Case, record: FlagRecord | None) -> Flag:
        """Make the flag of one request."""
        held, levels = bool(self.held[row]), case.limits.severity
        raised = self.eased if held else self.raised
        severity = LOW if held else severity_of(float(raised.excess[row]), levels)
        day, today, before = int(self.first[row]), int(case.today[row]), float(self.before[row])
        worse = before > 0 and SEVERITIES.index(severity) > SEVERITIES.index(severity_of(before, levels))
        lately = before == 0 if day == NAT else today - day <= case.limits.new_days
        return Flag(
            self.rule.code,
            severity,
            raised.says(row),
            _cents(float(raised.at_stake[row])),
            None if day == NAT else EPOCH + timedelta(days=min(day, today)),
            self.rule.next_look,
            lately or worse,
            record,
            rank=None if raised.rank is None else float(raised.rank[row]),
        )


def _looked(case: Case, eased: Case, n: int) -> list[_Found]:
    """Ask every rule of now (n rows), in the order of the registry."""
    found = []
    for code, rule in load_flags().items():
        if getattr(case.limits, code).enabled and (both := _find(rule, case, eased, n)):
            found.append(_Found(rule, *both, np.zeros(n, dtype=bool), np.zeros(n)))
    return found


def _find(rule: Rule, case: Case, eased: Case, n: int) -> tuple[Raised, Raised] | None:
    """Ask a rule by its thresholds and the eased ones; None where these, which leave none out, find none of n rows."""
    still = rule.find(eased)
    return (rule.find(case), still) if still.where[:n].any() else None


def _look_back(case: Case, eased: Case, found: list[_Found], says: Says | None) -> None:
    """Note which flags were up before. says: of what the model says, where they go by it."""
    for days in looks_back(case.limits) if found else ():
        _note_back(case, eased, found, days, says)


def _note_back(case: Case, eased: Case, found: list[_Found], days: int, says: Says | None) -> None:
    """Note which flags were up so many days before; only deals that were open then are asked about."""
    last = days == case.limits.new_days
    asked = [look for look in found if last or look.short.any()]
    if not asked:
        return
    wanted = np.any([look.where | look.short if last else look.short for look in asked], axis=0)
    if len(case.view) > len(wanted):
        rows, place = behind(case.view, wanted, days)
        for look in asked:
            look.note(rows, look.raised, look.eased, place, last)
        return
    rows, view = ago(case.view, days)
    rows, view = those(rows, view, wanted[rows])
    if not len(rows):
        return
    scores = Scores.unknown(len(view), case.scores.in_period) if says is None else says(view)
    earlier, easier = Case(view, scores, case.limits), Case(view, scores, eased.limits)
    for look in asked:
        if (both := _find(look.rule, earlier, easier, len(rows))) is not None:
            look.note(rows, *both, slice(None), last)


def severity_of(excess: float, limits: Severity) -> str:
    """Return how far past its threshold a deal is, in a word."""
    return HIGH if excess >= limits.high else MEDIUM if excess >= limits.medium else LOW


def _cents(amount: float) -> float | None:
    return None if amount != amount else round(amount, 2)
