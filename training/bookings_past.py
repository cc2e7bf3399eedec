"""What a forecast of a period's bookings may start from: the open deals of one look, and how earlier periods went.

A look is one period as of one instant. All that is told of it was known strictly before that instant: wins through
`Wins.before`, open deals and calls by whoever makes the look (`training.bookings_looks` asks the as-of view). What came
of a period is told only of periods that were over by then.

Everything is added up by node: the company, then its teams, then its reps. A rep whose code is -1 counts for the
company alone, and one without a team for no team; so teams may add up to less than the company.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.asof import before
from features.columns import team_of
from features.tables import NAT
from features.wins import Wins
from models.base import Bool, Float, Int

CENTS = 100.0
RECENT = 8  # past periods that a mean is taken over: two years of quarters


@dataclass(frozen=True)
class Nodes:
    """The company's hierarchy, as of the export. rep_team: int64[r], team code of each rep, -1 none.

    reps, teams: their ids in order of code. Node 0 is the company, then come the teams, then the reps.
    """

    rep_team: Int
    reps: tuple[str, ...]
    teams: tuple[str, ...]

    def __len__(self) -> int:
        return 1 + len(self.teams) + len(self.reps)

    @cached_property
    def levels(self) -> NDArray[np.str_]:
        """Level of each node, text[m]."""
        return np.repeat(["company", "team", "rep"], [1, len(self.teams), len(self.reps)])

    @cached_property
    def names(self) -> NDArray[np.str_]:
        """Id of each node, text[m]; the company is ``all``."""
        return np.array(["all", *self.teams, *self.reps])

    def sums(self, rep: Int, values: Float | Int | Bool) -> Float:
        """Return the sum of per-row values by node, float64[m]; rep: int64[n], code of each row's rep, -1 none."""
        own = np.bincount(rep[rep >= 0], weights=values[rep >= 0], minlength=len(self.reps))
        team = team_of(self.rep_team, rep)
        teams = np.bincount(team[team >= 0], weights=values[team >= 0], minlength=len(self.teams))
        return np.concatenate([[values.sum()], teams, own]).astype(np.float64)

    def of_reps(self, values: Float) -> Float:
        """Return the sum of one value per rep (float64[r]) by node, float64[m]."""
        return self.sums(np.arange(len(self.reps)), values)


@dataclass(frozen=True)
class Look:
    """One period as of one instant of it, with the n deals that are open then.

    period: index in the calendar. week: 1 the first. as_of: UTC microseconds. rep: int64[n], code of each deal's owner,
    -1 none. cents: int64[n], its amount now, 0 where it has none. due: bool[n], whether its close date lies in the
    period. p: name -> float64[n], chance to be won in the period by a baseline of the rows; absent where no fit was
    made before this look. called: int64[r], cents of each rep's standing commit call of the period, NO_CALL without.
    """

    period: int
    week: int
    as_of: int
    rep: Int
    cents: Int
    due: Bool
    called: Int
    p: Mapping[str, Float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rep)


NO_CALL = NAT


@dataclass(frozen=True)
class Past:
    """What the company's record tells beside a look. wins: in order of time. looks: one per (period, week), any order.

    Looks of a week should leave out no period between the first and the last: last year is so many periods ago.

    starts: int64[p + 1], the calendar's, UTC microseconds. per_year: periods in a year.
    """

    nodes: Nodes
    starts: Int
    wins: Wins
    looks: tuple[Look, ...]
    per_year: int = 4

    def before(self, look: Look) -> Past:
        """Return what was known at a look: wins before it, and looks of periods that were over."""
        over = before(self.starts[1:], look.as_of + 1)  # periods that had ended by then
        looks = tuple(each for each in self.looks if each.period < min(over, look.period))
        return replace(self, wins=self.wins.before(look.as_of), looks=looks)

    def total(self, period: int) -> Float:
        """Return what a period booked in all by node, cents, float64[m]."""
        return self.booked(period, int(self.starts[period + 1]))

    def booked(self, period: int, as_of: int) -> Float:
        """Return what a period had booked before an instant of it by node, cents, float64[m]."""
        rows = self._within(period, as_of)
        return self.nodes.sums(rows.rep, rows.cents)

    def not_open(self, look: Look) -> Float:
        """Return what a period booked from a look on of deals that were not open at the look, by node, cents."""
        rows = self._within(look.period, int(self.starts[look.period + 1]))
        late = rows.take((rows.opened_at >= look.as_of) & (rows.won_at >= look.as_of))
        return self.nodes.sums(late.rep, late.cents)

    def _within(self, period: int, until: int) -> Wins:
        won_at = self.wins.won_at
        return self.wins.take(slice(before(won_at, int(self.starts[period])), before(won_at, until)))


@dataclass(frozen=True)
class Standing:
    """One look and the looks of the same week in earlier periods, added up by node: cents, oldest period first.

    booked: float64[m], of this period so far. due: float64[m], open and due in the period. here: bool[m], nodes with an
    open deal or something booked; the company is always here.
    The past, float64[q, m]: totals of whole periods; then: booked by the same week; new: booked after it of deals not
    open at it; due_then. here_then: bool[q, m]. called: float64[r] and called_then: float64[q, r], NaN without a call.
    """

    look: Look
    nodes: Nodes
    per_year: int
    booked: Float
    due: Float
    here: Bool
    called: Float
    totals: Float
    then: Float
    new: Float
    due_then: Float
    here_then: Bool
    called_then: Float

    def open_sum(self, weight: Float) -> Float:
        """Return the sum of weight x amount of the open deals by node, cents, float64[m]."""
        return self.nodes.sums(self.look.rep, weight * self.look.cents)

    @cached_property
    def usual(self) -> Float:
        """Mean total of the last `RECENT` periods by node, cents; where it is 0, the mean of the node's level.

        What errors are measured against where a forecast is small. NaN without a past.
        """
        if not len(self.totals):
            return np.full(len(self.nodes), np.nan)
        own = self.totals[-RECENT:].mean(axis=0)
        for mine in (self.nodes.levels == name for name in np.unique(self.nodes.levels)):
            own[mine & (own <= 0)] = own[mine].mean()
        return np.asarray(own)


def standing(look: Look, past: Past) -> Standing:
    """Add up a look and its past; facts and looks of `past` that were not known at the look are left aside."""
    known = past.before(look)
    nodes = past.nodes
    same = sorted((each for each in known.looks if each.week == look.week), key=lambda each: each.period)
    then = [known.booked(each.period, each.as_of) for each in same]
    booked = known.booked(look.period, look.as_of)
    return Standing(
        look=look,
        nodes=nodes,
        per_year=past.per_year,
        booked=booked,
        due=nodes.sums(look.rep, look.cents * look.due),
        here=_here(nodes, look, booked),
        called=_calls(look),
        totals=_stack([known.total(each.period) for each in same], len(nodes)),
        then=_stack(then, len(nodes)),
        new=_stack([known.not_open(each) for each in same], len(nodes)),
        due_then=_stack([nodes.sums(each.rep, each.cents * each.due) for each in same], len(nodes)),
        here_then=_stack([_here(nodes, each, sum_) for each, sum_ in zip(same, then, strict=True)], len(nodes)).astype(
            np.bool_
        ),
        called_then=_stack([_calls(each) for each in same], len(nodes.reps)),
    )


def _here(nodes: Nodes, look: Look, booked: Float) -> Bool:
    found: Bool = (nodes.sums(look.rep, np.ones(len(look))) > 0) | (booked > 0)
    found[0] = True
    return found


def _calls(look: Look) -> Float:
    return np.where(look.called == NO_CALL, np.nan, look.called.astype(np.float64))


def _stack(rows: list[NDArray[np.float64]] | list[Bool], width: int) -> Float:
    return np.stack(rows).astype(np.float64) if rows else np.zeros((0, width))
