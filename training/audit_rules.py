"""The rules of the leak audit: which signs quarantine a field, which only warn, and what to do about each.

Each rule is a threshold on a lower end of an interval, not a p-value: a leak is strong, and hundreds of fields are
looked at.

    auc               the field alone ranks won above lost with AUC over 0.95 (warning: 0.85)
    one_outcome       a value that many units hold never goes with one of the outcomes (warning: hardly ever)
    fill_by_outcome   filled, or empty, ten times as often with one outcome as with the other
    late_and_telling  filled far more often with one outcome, and its values tell: who filled it in knew (warning: the
                      first alone)
    fill_by_closing   filled, or empty, ten times as often for closed units as for open ones
    twin              where it differs from the field that says the same, one outcome is five times as frequent
    pasted            a "constant" that agrees with the closing or last value of the history, not with the first
    after_outcome     a field with a history that holds a value only from the close on
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from models.base import Bool, Float
from training.audit_stats import (
    LEAST,
    Column,
    Ranking,
    Share,
    alone,
    among_filled,
    differs,
    one_sided,
    share,
    times_as_often,
)

WARN_AUC = 0.85
COMMON = 0.01  # share of the units that must hold a value that goes with one outcome only
FILL_TIMES, VALUE_TIMES, TWIN_TIMES, CLOSING_TIMES = 10.0, 20.0, 5.0, 10.0
GAP, WARN_GAP, TELLING = 0.20, 0.15, 0.65


class Mark(StrEnum):
    """What the audit says of a field."""

    CLEAN = "clean"
    WARNING = "warning"
    TRUSTED = "trusted"  # would be quarantined, but the config says that somebody looked at it
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Sign:
    """One sign of a leak. rule: its name, see the module docstring; says: the sentence with the figures."""

    rule: str
    mark: Mark
    says: str


@dataclass(frozen=True)
class Distance:
    """What a field alone says `days` before the close (None: too few units), and where it is filled then."""

    days: int
    alone: Ranking | None
    won: Share
    lost: Share


@dataclass(frozen=True)
class Filled:
    """Where a field is filled: by outcome (None: open units are not there), before the close and from it on."""

    won: Share
    lost: Share
    open: Share | None = None
    before: Share | None = None
    after: Share | None = None


@dataclass(frozen=True)
class Changed:
    """Units whose value changes on the closing row, by outcome, and how often it changes on other rows."""

    won: Share
    lost: Share
    ordinary: Share


@dataclass(frozen=True)
class Finding:
    """What the audit found about one field.

    usable: a model could use what was found; of what holds a value from the close on only, nothing is ever seen.
    """

    field: str
    source: str
    kind: str
    alone: Ranking | None
    filled: Filled
    signs: tuple[Sign, ...] = ()
    distances: tuple[Distance, ...] = ()
    changed: Changed | None = None
    usable: bool = True
    remedy: str = ""

    @property
    def mark(self) -> Mark:
        """Return the gravest mark of its signs."""
        marks = {sign.mark for sign in self.signs}
        return next((mark for mark in reversed(Mark) if mark in marks), Mark.CLEAN)

    @property
    def rules(self) -> tuple[str, ...]:
        """Return the rules by which it is quarantined, or would be."""
        return tuple(sign.rule for sign in self.signs if sign.mark in (Mark.QUARANTINED, Mark.TRUSTED))

    def trusted(self) -> Finding:
        """Return the finding of a field that the config trusts: its quarantine is told and has no effect."""
        known = {Mark.QUARANTINED: Mark.TRUSTED}
        return replace(self, signs=tuple(replace(s, mark=known.get(s.mark, s.mark)) for s in self.signs))


@dataclass(frozen=True)
class Units:
    """What fields are held against. y: float64[n], 1 won, 0 lost, of closed units in order of time.

    ahead: bool[n], the units by which the AUC is judged (those that lasted long enough); None: all.
    cohort: bool[n], the closed units that began when the open ones did; None: all.
    """

    y: Float
    ahead: Bool | None = None
    cohort: Bool | None = None
    words: tuple[str, str] = ("won", "lost")


def fixed_finding(column: Column, units: Units, opened: Bool | None, max_auc: float, remedy: str) -> Finding:
    """Judge a field that is taken as known from the start.

    column: over the closed units. opened: bool[m], where it is filled for open units, None where there are none.
    """
    held, won = column.filled(), units.y > 0
    ahead = units.ahead if units.ahead is not None else slice(None)
    told = alone(column.take(ahead), units.y[ahead])  # type: ignore[arg-type]
    filled = Filled(share(held[won]), share(held[~won]), share(opened) if opened is not None else None)
    signs = [
        *auc_signs(told, max_auc, " at creation" if units.ahead is not None else ""),
        *_one_outcome(column, units),
        *_fill_by_outcome(column, units, filled),
        *(_fill_by_closing(held, units, opened) if opened is not None else ()),
    ]
    return Finding(column.name, column.source, column.kind, told, filled, tuple(signs), remedy=remedy if signs else "")


def auc_signs(told: Ranking | None, max_auc: float, when: str) -> list[Sign]:
    """Return the sign of an AUC that no field known so early should have."""
    if told is None or told.low <= min(WARN_AUC, max_auc):
        return []
    mark = Mark.QUARANTINED if told.low > max_auc else Mark.WARNING
    of = f"{told.won:,} against {told.lost:,} units"
    return [Sign("auc", mark, f"alone it ranks with AUC {told.auc:.3f} ({told.low:.3f}-{told.high:.3f}){when}, {of}")]


def _one_outcome(column: Column, units: Units) -> list[Sign]:
    found = sorted(one_sided(column, units.y, COMMON), key=lambda each: -each.rarer)
    never = [each for each in found if each.exceptions == 0 and each.rarer >= VALUE_TIMES]
    hardly = [each for each in found if each.exceptions > 0 and each.rarer >= VALUE_TIMES]
    signs = []
    for mark, listed in ((Mark.QUARANTINED, never), (Mark.WARNING, hardly)):
        if listed:
            first = listed[0]
            other = units.words[1] if first.won else units.words[0]
            says = (
                f"{first.word!r} is held by {first.units:,} units, {first.exceptions or 'none'} of them {other}, "
                f"as {first.base:.0%} of the rest are"
            )
            more = f"; and {len(listed) - 1} more such values" if len(listed) > 1 else ""
            signs.append(Sign("one_outcome", mark, says + more))
    return signs


def _fill_by_outcome(column: Column, units: Units, filled: Filled) -> list[Sign]:
    told = f"filled for {filled.won.rate:.1%} of {units.words[0]} and {filled.lost.rate:.1%} of {units.words[1]}"
    empty = (Share(s.of - s.count, s.of) for s in (filled.won, filled.lost))
    times = max(times_as_often(filled.won, filled.lost), times_as_often(*empty))
    if times >= FILL_TIMES:
        return [Sign("fill_by_outcome", Mark.QUARANTINED, f"{told}: {times:.0f} times as often, at least")]
    gap = _gap(filled.won, filled.lost)
    if gap < WARN_GAP:
        return []
    values = among_filled(column, units.y)
    if gap >= GAP and values is not None and values.low >= TELLING:
        says = f"{told}, and where it is filled its values rank with AUC {values.auc:.3f}: who filled it in knew"
        return [Sign("late_and_telling", Mark.QUARANTINED, says)]
    return [Sign("late_and_telling", Mark.WARNING, f"{told}: it seems to be filled in as things go on")]


def _fill_by_closing(held: Bool, units: Units, opened: Bool) -> list[Sign]:
    closed = share(held if units.cohort is None else held[units.cohort])
    mine = share(opened)
    empty = (Share(s.of - s.count, s.of) for s in (closed, mine))
    times = max(times_as_often(closed, mine), times_as_often(*empty))
    told = f"filled for {closed.rate:.1%} of closed and {mine.rate:.1%} of open units"
    if times >= CLOSING_TIMES:
        return [Sign("fill_by_closing", Mark.QUARANTINED, f"{told}: whether it is filled says closed")]
    if _gap(closed, mine) >= WARN_GAP:
        return [Sign("fill_by_closing", Mark.WARNING, f"{told}: it seems to be filled in as things go on")]
    return []


def _gap(one: Share, other: Share) -> float:
    """Return by how much more often one thing is seen than the other, at least; 0 of too few units."""
    more, less = sorted((one, other), key=lambda s: -s.rate)
    return more.bounds()[0] - less.bounds()[1] if min(one.of, other.of) >= LEAST else 0.0


def twin_signs(columns: Sequence[Column], units: Units) -> dict[str, Sign]:
    """Return, by field, the sign of a field that departs from its twin with one outcome.

    Of the two, the one that itself says more of the outcome is the later one.
    """
    found: dict[str, Sign] = {}
    won = units.y > 0
    for i, one in enumerate(columns):
        for other in columns[i + 1 :]:
            apart = differs(one, other)
            if apart is None:
                continue
            shares = share(apart[won]), share(apart[~won])
            times = times_as_often(*shares)
            if times >= TWIN_TIMES:
                late, first = sorted((one, other), key=lambda c: -_said(c, units.y))
                says = (
                    f"it differs from {first.name} for {shares[0].rate:.1%} of {units.words[0]} and "
                    f"{shares[1].rate:.1%} of {units.words[1]}: it was written again later"
                )
                found[late.name] = Sign("twin", Mark.QUARANTINED, says)
    return found


def _said(column: Column, y: Float) -> float:
    told = alone(column, y)
    return told.auc if told is not None else 0.0


def with_sign(finding: Finding, sign: Sign | None, remedy: str) -> Finding:
    """Return the finding with one sign more, where there is one."""
    if sign is None:
        return finding
    return replace(finding, signs=(*finding.signs, sign), remedy=finding.remedy or remedy)


@dataclass(frozen=True)
class Audit:
    """The findings about one data set, gravest first, and what they are of."""

    title: str
    findings: tuple[Finding, ...]
    facts: dict[str, int | float | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def quarantined(self) -> tuple[Finding, ...]:
        """Return the fields that are quarantined."""
        return tuple(finding for finding in self.findings if finding.mark == Mark.QUARANTINED)

    def of(self, name: str) -> Finding:
        """Return the finding about one field. Raises KeyError where it was not looked at."""
        for finding in self.findings:
            if finding.field == name:
                return finding
        raise KeyError(f"no field {name!r} was audited")


def sorted_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings gravest first, then by what they say alone."""
    grave = list(Mark)
    return tuple(sorted(findings, key=lambda f: (-grave.index(f.mark), -(f.alone.auc if f.alone else 0.0), f.field)))
