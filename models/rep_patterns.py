"""Patterns in reps' calls over finished periods: booked above the call, booked below it, wins after a reached quota.

A pattern says what was called and what came, beside the rep's peers; it says nothing of why. What chance would show as
often is left out, for all reps and all patterns together; `models.rep_tests` has the tests. No rep gets a score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from configs.flags import RepPatterns
from features.rep_periods import RepPeriods
from features.standings import MISS_LIMIT
from features.tables import NAT
from models.base import Bool, Float, Int
from models.rep_tests import discoveries, least_p, permutation_p, t_tests

PEERS = 5  # reps with a call in a period, from which their median tells what was usual in it
TEAM = 20  # reps with a call in a period, from which a team has a median of its own
EACH = 3  # periods with quota reached early, and without, at least


class Pattern(StrEnum):
    """What a rep's periods show. The first two are mirror images."""

    ABOVE = "booked_above_call"
    BELOW = "booked_below_call"
    AFTER_QUOTA = "wins_after_quota"


@dataclass(frozen=True)
class CallFacts:
    """A rep's calls beside what was booked.

    periods: compared. above, below: periods in which more, or less, was booked than called. ratio: booked / called in
    the median of these periods; usual: the peers' in the same periods. beyond, short: periods in which the ratio lay
    above, or below, that of the peers. of_team: whether the peers are the team's reps, else the company's.
    """

    periods: int
    above: int
    below: int
    ratio: float
    usual: float
    beyond: int
    short: int
    of_team: bool


@dataclass(frozen=True)
class PushFacts:
    """A rep's wins in the first days of periods, by whether quota of the period before was reached early.

    early, others: how many periods. early_wins, other_wins: mean number of wins. usual: the mean of all reps with a
    quota, after the rep's early periods.
    """

    early: int
    others: int
    early_wins: float
    other_wins: float
    usual: float


@dataclass(frozen=True)
class Finding:
    """One pattern of one rep. calls: None where too few periods have a call. push: only of `Pattern.AFTER_QUOTA`."""

    rep: str
    pattern: Pattern
    calls: CallFacts | None
    push: PushFacts | None = None


@dataclass(frozen=True)
class TooLittle:
    """A rep of whom too little is known: periods compared, deals closed in the periods looked at."""

    rep: str
    periods: int
    deals: int


@dataclass(frozen=True)
class RepFindings:
    """What was found, in order of pattern and rep id; no order says who stands out most.

    reps: looked at. compared, push_compared: reps tested for calls, and for wins after quota; who is neither is in
    too_little. kept: periods of reps that were compared; left_out: those that were not, by reason. middle: the middle
    half of the reps compared lies between these multiples of the peers' ratio, None without any.
    """

    findings: tuple[Finding, ...]
    too_little: tuple[TooLittle, ...]
    reps: int
    compared: int
    push_compared: int
    kept: int
    left_out: Mapping[str, int]
    middle: tuple[float, float] | None

    def of(self, pattern: Pattern) -> tuple[Finding, ...]:
        """Return the findings of one pattern."""
        return tuple(each for each in self.findings if each.pattern == pattern)


@dataclass(frozen=True)
class _Compared:
    """Log ratios of booked to called (NaN where not compared) and those of the peers, float64[r, p]; see `TEAM`."""

    logs: Float
    usual: Float
    of_team: Bool


@dataclass(frozen=True)
class _Pushes:
    """By rep and period: whether quota and what followed are told, whether it was reached early, the deals won in the
    first days of the next period, and the mean of these over all reps with a quota. [r, p] each.
    """

    told: Bool
    early: Bool
    wins: Int
    usual: Float


def find_patterns(facts: RepPeriods, limits: RepPatterns) -> RepFindings:
    """Find the patterns of every rep who has enough periods and deals."""
    logs, left_out = _ratios(facts)
    peers = _beside(logs, facts.team)
    lonely = int(np.count_nonzero(~np.isnan(logs) & np.isnan(peers.logs)))
    deals = facts.closed.sum(axis=1)
    count = np.count_nonzero(~np.isnan(peers.logs), axis=1)
    by_calls = np.flatnonzero((count >= limits.min_periods) & (deals >= limits.min_deals))
    beside = (peers.logs - peers.usual)[by_calls]
    above, below = t_tests(beside)
    pushes = _pushes(facts, limits.early_days)
    by_push = _testable(pushes, deals, len(by_calls), limits)
    push = np.array([_push_p(pushes, rep) for rep in by_push.tolist()])
    found = discoveries(np.concatenate([above, below, push]), limits.q)
    parts = np.split(found, [len(by_calls), 2 * len(by_calls)])
    findings = tuple(
        _finding(facts, rep, pattern, peers, pushes)
        for pattern, reps, part in zip(Pattern, (by_calls, by_calls, by_push), parts, strict=True)
        for rep in reps[part].tolist()
    )
    unknown = sorted(set(range(len(facts))) - set(by_calls.tolist()) - set(by_push.tolist()))
    return RepFindings(
        findings,
        tuple(TooLittle(facts.reps[rep], int(count[rep]), int(deals[rep])) for rep in unknown),
        reps=len(facts),
        compared=len(by_calls),
        push_compared=len(by_push),
        kept=int(count.sum()),
        left_out=left_out | {f"fewer than {PEERS} reps with a call in the period": lonely},
        middle=_middle(beside),
    )


def _middle(beside: Float) -> tuple[float, float] | None:
    if not len(beside):
        return None
    low, high = np.exp(np.quantile(np.nanmean(beside, axis=1), (0.25, 0.75))).tolist()
    return low, high


def _ratios(facts: RepPeriods) -> tuple[Float, dict[str, int]]:
    """Return log(booked / called), NaN where not to be compared, and the periods left out by reason."""
    uncalled = facts.called == NAT
    nothing = ~uncalled & (facts.called <= 0)
    gone = ~uncalled & ~nothing & ~facts.stayed
    kept = ~uncalled & ~nothing & ~gone
    ratio = np.maximum(facts.booked, 1) / np.where(kept, facts.called, 1)
    logs = np.where(kept, np.clip(np.log(ratio), -MISS_LIMIT, MISS_LIMIT), np.nan)
    reasons = {
        "no commit call by then": uncalled,
        "a commit call of nothing": nothing,
        "no open deal left at the period's end": gone,
    }
    return logs, {reason: int(np.count_nonzero(where)) for reason, where in reasons.items()}


def _beside(logs: Float, team: Int) -> _Compared:
    """Set every ratio beside the median of its period: the team's where it has enough reps, else the company's."""
    usual, of_team = np.full(logs.shape, np.nan), np.zeros(logs.shape, dtype=bool)
    for column in range(logs.shape[1]):
        some = ~np.isnan(logs[:, column])
        if np.count_nonzero(some) < PEERS:
            continue
        usual[some, column] = np.median(logs[some, column])
        for one in np.unique(team[some & (team >= 0)]):
            mine = some & (team == one)
            if np.count_nonzero(mine) >= TEAM:
                usual[mine, column] = np.median(logs[mine, column])
                of_team[mine, column] = True
    return _Compared(np.where(np.isnan(usual), np.nan, logs), usual, of_team)


def _pushes(facts: RepPeriods, early_days: int) -> _Pushes:
    told = (facts.quota != NAT) & (facts.quota > 0) & (facts.next_wins != NAT)
    wins = np.where(told, facts.next_wins, 0)
    usual = wins.sum(axis=0) / np.maximum(told.sum(axis=0), 1)
    return _Pushes(told, told & (facts.to_spare >= early_days), wins, np.broadcast_to(usual, wins.shape))


def _testable(pushes: _Pushes, deals: Int, tested: int, limits: RepPatterns) -> Int:
    """Return the reps whose wins after quota can be tested: the strongest pattern possible would stand out alone.

    That is known from the numbers of periods, before any win is looked at. tested: reps whose calls are.
    """
    periods, early = pushes.told.sum(axis=1), pushes.early.sum(axis=1)
    enough = (early >= EACH) & (periods - early >= EACH) & (periods >= limits.min_periods) & (deals >= limits.min_deals)
    able = np.flatnonzero(enough)
    bar = limits.q / (2 * tested + len(able)) if len(able) else 0.0
    least = np.array([least_p(int(early[rep]), int(periods[rep])) for rep in able.tolist()])
    return np.asarray(able[least <= bar], dtype=np.int64)


def _push_p(pushes: _Pushes, rep: int) -> float:
    told = pushes.told[rep]
    return permutation_p((pushes.wins - pushes.usual)[rep, told], pushes.early[rep, told])


def _finding(facts: RepPeriods, rep: int, pattern: Pattern, peers: _Compared, pushes: _Pushes) -> Finding:
    push = _push_facts(pushes, rep) if pattern == Pattern.AFTER_QUOTA else None
    return Finding(facts.reps[rep], pattern, _call_facts(peers, rep), push)


def _call_facts(peers: _Compared, rep: int) -> CallFacts | None:
    told = ~np.isnan(peers.logs[rep])
    if not told.any():
        return None
    logs, usual = peers.logs[rep, told], peers.usual[rep, told]
    return CallFacts(
        periods=len(logs),
        above=int(np.count_nonzero(logs > 0)),
        below=int(np.count_nonzero(logs < 0)),
        ratio=float(np.exp(np.median(logs))),
        usual=float(np.exp(np.median(usual))),
        beyond=int(np.count_nonzero(logs > usual)),
        short=int(np.count_nonzero(logs < usual)),
        of_team=bool(peers.of_team[rep, told].all()),
    )


def _push_facts(pushes: _Pushes, rep: int) -> PushFacts:
    early, others = pushes.early[rep], pushes.told[rep] & ~pushes.early[rep]
    return PushFacts(
        early=int(np.count_nonzero(early)),
        others=int(np.count_nonzero(others)),
        early_wins=float(pushes.wins[rep, early].mean()),
        other_wins=float(pushes.wins[rep, others].mean()),
        usual=float(pushes.usual[rep, early].mean()),
    )
