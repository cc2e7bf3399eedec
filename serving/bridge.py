"""What moved between two forecasts of a period, deal by deal, in cents that add up exactly.

A deal that came, went or was won moves in one part. One that stands open at both ends moves in up to three: by another
model (both were asked of the same facts, `serving.contributions`), by its amount at the chance it had, and by the rest,
which is named for its close date where that crossed the period's end, else it is the score's own drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from models.bookings import CENTS
from serving.store.states import WON, State

NEW, REOPENED, LOST, REMOVED = "new", "reopened", "lost", "removed"
SLIPPED, PULLED_IN, AMOUNT, DRIFT = "slipped", "pulled_in", "amount", "score_drift"
MODEL, DRIFT_AND_MODEL = "model_change", "score_drift_and_model_change"
MOVED_IN, MOVED_OUT, ARRIVALS, ROUNDING = "moved_in", "moved_out", "arrivals", "rounding"
PARTS = (
    NEW, REOPENED, WON, LOST, REMOVED, SLIPPED, PULLED_IN, AMOUNT, DRIFT, MODEL, DRIFT_AND_MODEL, MOVED_IN, MOVED_OUT,
    ARRIVALS, ROUNDING,
)  # fmt: skip
"""In the order told. `ARRIVALS` and `ROUNDING` have no deals; the last is what is left over, 0 to the cent."""


@dataclass(frozen=True)
class End:
    """One end of a bridge. mean, arrivals: cents. states: of the deals in the scope, by deal."""

    as_of: int
    mean: int
    arrivals: int
    states: Mapping[str, tuple[State, ...]]

    def cents(self, deal: str) -> int:
        """What a deal adds here."""
        return sum(state.cents for state in self.states.get(deal, ()))

    def standing(self, deal: str) -> State | None:
        """Return how a deal stands open here, None where it does not."""
        return next((state for state in self.states.get(deal, ()) if state.slot == 0), None)


@dataclass(frozen=True)
class Elsewhere:
    """What is known of deals beside the two ends.

    at_start: of the deals that came, those that somebody else had at the start. known: had a state before it. why: the
    last word on why a deal is not there any more; without one it is somebody else's. by_model: cents, None: not known.
    """

    at_start: frozenset[str]
    known: frozenset[str]
    why: Mapping[str, str]
    by_model: Mapping[str, int | None]


@dataclass(frozen=True)
class DealMove:
    """By how much a deal moved the mean, in one part. state: how it stands at the end, or last stood."""

    deal_id: str
    part: str
    cents: int
    before_cents: int
    after_cents: int
    state: State


@dataclass(frozen=True)
class Part:
    """A part of what moved, and by how many deals."""

    name: str
    cents: int
    deals: int


@dataclass(frozen=True)
class Bridge:
    """From one forecast to another: the cents of `parts` are exactly the end's mean less the start's."""

    start: End
    end: End
    period_start: str
    period_end: str
    parts: tuple[Part, ...]
    moves: tuple[DealMove, ...]


def bridge(start: End, end: End, period: tuple[str, str], elsewhere: Elsewhere) -> Bridge:
    """Return what moved from one end to the other. period: first and last day, ISO."""
    deals = sorted({*start.states, *end.states})
    moves = [move for deal in deals for move in _moves(deal, start, end, period[1], elsewhere)]
    moves.sort(key=lambda move: (PARTS.index(move.part), -abs(move.cents), move.deal_id))
    total, count = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
    for move in moves:
        total[move.part] += move.cents
        count[move.part] += 1
    total[ARRIVALS] = end.arrivals - start.arrivals
    total[ROUNDING] = end.mean - start.mean - sum(total.values())
    parts = tuple(Part(name, total[name], count[name]) for name in PARTS)
    return Bridge(start, end, *period, parts, tuple(moves))


def _moves(deal: str, start: End, end: End, last_day: str, elsewhere: Elsewhere) -> Iterator[DealMove]:
    before, after = start.cents(deal), end.cents(deal)
    was, now = start.standing(deal), end.standing(deal)
    shown = (now or (end.states.get(deal) or start.states[deal])[-1]) if deal in end.states else start.states[deal][0]
    both = was is not None and now is not None and _wins(start, deal) == _wins(end, deal)
    split = (
        _split(was, now, after - before, last_day, elsewhere.by_model.get(deal, 0))
        if both and was is not None and now is not None
        else ((_part(deal, start, end, elsewhere), after - before),)
    )
    for part, cents in split:
        if cents or part in (NEW, REOPENED, WON, LOST, REMOVED):
            yield DealMove(deal, part, cents, before, after, shown)


def _wins(end: End, deal: str) -> set[int]:
    return {state.slot for state in end.states.get(deal, ()) if state.state == WON}


def _part(deal: str, start: End, end: End, elsewhere: Elsewhere) -> str:
    """Return the one part in which a deal moved that does not stand open at both ends."""
    if deal not in end.states:
        why = elsewhere.why.get(deal)
        return MOVED_OUT if why is None else why if why in (WON, LOST) else REMOVED
    if _wins(end, deal) - _wins(start, deal):
        return WON
    if deal not in start.states:
        return MOVED_IN if deal in elsewhere.at_start else REOPENED if deal in elsewhere.known else NEW
    if start.standing(deal) is None and end.standing(deal) is not None:
        return REOPENED  # it was won at the start
    if start.standing(deal) is not None and end.standing(deal) is None:
        return {LOST: LOST}.get(elsewhere.why.get(deal, ""), REMOVED)  # a win before stays, what was opened again went
    return REMOVED if _wins(start, deal) - _wins(end, deal) else AMOUNT


def _split(was: State, now: State, cents: int, last_day: str, by_model: int | None) -> Iterable[tuple[str, int]]:
    """Split the move of a deal that stands open at both ends. by_model: None where that can't be told apart."""
    model = by_model or 0
    amount = _by_amount(was, now) if was.amount_cents != now.amount_cents else 0
    rest = cents - model - amount
    went_out = was.close_date is not None and was.close_date <= last_day < (now.close_date or "")
    came_in = now.close_date is not None and now.close_date <= last_day < (was.close_date or "")
    other = DRIFT if by_model is not None else DRIFT_AND_MODEL
    yield MODEL, model
    yield AMOUNT, amount
    yield (SLIPPED if went_out else PULLED_IN if came_in else other), rest


def _by_amount(was: State, now: State) -> int:
    """Return the cents by which another amount in the CRM moves a deal at the chance and discount that it had."""
    if was.amount_cents and now.amount_cents and was.amount_cents > 0 and now.amount_cents > 0:
        return round(was.cents * (now.amount_cents / was.amount_cents - 1.0))
    return round((was.p_money or 0.0) * ((now.worth or 0.0) - (was.worth or 0.0)) * CENTS)
