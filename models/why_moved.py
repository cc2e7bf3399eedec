"""Why did the score move: the terms of a later look less those of an earlier one, told by factor.

The model is the same for both looks, so what moved is what it was shown. Moves are those of `models.explain`'s terms,
offset, trees and calibration alike; the sum is the change of the log-odds. One factor is told in two parts: the stage,
and the time that is left. Their common term, the table of rates, is shared out by swapping one and then the other, in
both orders, so that nothing is left over. A move says what changed with a score, never what caused it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from features.build import ALWAYS, FeatureMatrix
from features.registry import Plan
from models.base import Float
from models.close import CloseModel
from models.explain import FLOOR, WORDS, Telling, Terms, added, known, terms_of
from models.linear import TABLE
from models.profile import Profile

STAGE, TIME, AGE = "stage", "time_left", "time_open"
STAGE_FEATURES = ("stage_rank", "stage_share")
OTHER, BASELINE = "other", "baseline"


@dataclass(frozen=True)
class Move:
    """One term of a change. log_odds: signed. before, after: of the feature that tells it; None where not known."""

    factor: str
    log_odds: float
    before: float | None
    after: float | None
    sentence: str


Ends = tuple[date | None, date | None]
"""Last day of the period at the earlier and at the later look, None for the head `eventual`."""


def why_moved(
    model: CloseModel,
    plan: Plan,
    profile: Profile,
    earlier: FeatureMatrix,
    later: FeatureMatrix,
    ends: Sequence[Ends],
) -> list[list[Move]]:
    """Return for each pair of rows the factors that moved, the largest first, then `other`; they add up to the change.

    earlier, later: n rows each, the same deal in the same place. ends: one a pair.
    """
    n = len(earlier.values)
    if earlier.names != later.names or len(later.values) != n or len(ends) != n:
        raise ValueError(
            f"{n} earlier rows, {len(later.values)} later ones and {len(ends)} ends of periods: expected as many of "
            "each, with the same columns"
        )
    target = plan.context.schema.target
    pair = _Pair(model, plan, earlier, later, ALWAYS[target][1], TIME if target == "in_period" else AGE)
    tellings = [Telling(plan, profile, model, matrix) for matrix in (earlier, later)]
    return [_told(pair, tellings, row, ends[row]) for row in range(n)]


class _Pair:
    """The moves of n pairs. phi: float64[n, k] by column; factors: name -> (columns that tell it, float64[n])."""

    def __init__(
        self, model: CloseModel, plan: Plan, earlier: FeatureMatrix, later: FeatureMatrix, clock: str, time: str
    ) -> None:
        before, after = (terms_of(model, plan, matrix) for matrix in (earlier, later))
        self.names, self.time = after.names, time
        self.phi = after.phi - before.phi
        by_stage, by_time = _shared_out(model, plan, (earlier, later), (before, after), clock)
        self.factors: dict[str, tuple[tuple[int, ...], Float]] = {BASELINE: ((), after.base - before.base)}
        for factor, members in zip(after.factors, after.members, strict=True):
            if factor != TABLE:
                self.factors[factor] = (members, added(self.phi, members))
                continue
            table = after.names.index(TABLE)
            of_stage = tuple(j for j in members if after.names[j] in STAGE_FEATURES)
            of_time = tuple(j for j in members if j != table and j not in of_stage)
            self.factors[STAGE] = ((table, *of_stage), added(self.phi, of_stage) + by_stage)
            self.factors[time] = ((table, *of_time), added(self.phi, of_time) + by_time)


def _shared_out(
    model: CloseModel, plan: Plan, rows: tuple[FeatureMatrix, FeatureMatrix], terms: tuple[Terms, Terms], clock: str
) -> tuple[Float, Float]:
    """Share the table's move out to the stage and to the time, float64[n] each: the mean of both orders of change."""
    earlier, later = rows
    before, after = (each.phi[:, each.names.index(TABLE)] for each in terms)
    at = earlier.names.index(clock)
    mixed = []
    for own, other in ((earlier, later), (later, earlier)):
        values = own.values.copy()
        values[:, at] = other.values[:, at]
        told = terms_of(model, plan, FeatureMatrix(own.names, values))
        mixed.append(told.phi[:, told.names.index(TABLE)])
    old_stage, new_stage = mixed  # with the time of the other look
    by_time = 0.5 * ((old_stage - before) + (after - new_stage))
    return after - before - by_time, by_time


def _told(pair: _Pair, tellings: Sequence[Telling], row: int, ends: Ends) -> list[Move]:
    """Tell the factors of one pair that moved by more than noise."""
    moved = {name: float(strength[row]) for name, (_, strength) in pair.factors.items()}
    new_period = ends[0] != ends[1]
    shown = [name for name, by in moved.items() if abs(by) >= FLOOR or (new_period and name == pair.time)]
    shown.sort(key=lambda name: -abs(moved[name]))
    moves = [_move(pair, tellings, row, name, moved[name], ends) for name in shown]
    rest = sum(by for name, by in moved.items() if name not in shown)
    return [*moves, Move(OTHER, rest, None, None, f"everything else together{went(rest)}")]


def _move(pair: _Pair, tellings: Sequence[Telling], row: int, factor: str, by: float, ends: Ends) -> Move:
    if factor == BASELINE:
        return Move(factor, by, None, None, f"the stage is known at one of the two looks only{went(by)}")
    columns = pair.factors[factor][0]
    sign = 1.0 if by > 0 else -1.0
    lead = max(columns, key=lambda j: sign * float(pair.phi[row, j]))
    name = pair.names[lead]
    (before, _, _), (after, _, said) = (telling.sentence(row, name) for telling in tellings)
    was = tellings[0].value(name, before)
    text = f"{said}; before {was}" if was != tellings[1].value(name, after) else f"{said}; as before"
    if factor == pair.time and ends[0] != ends[1]:
        first, second = map(_day, ends)
        text = f"another period: before it was a win by {first} that was scored, now one by {second}; {text}"
    return Move(factor, by, known(before), known(after), text + went(by))


def went(by: float) -> str:
    """Return the words for a move; never causal."""
    if abs(by) < FLOOR:
        return ": the score stands where it was"
    word = next(word for least, word in WORDS if abs(by) >= least)
    return f": the score went {word} {'up' if by > 0 else 'down'} with it"


def _day(day: date | None) -> str:
    return "no day" if day is None else day.isoformat()
