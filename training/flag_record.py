"""How right each flag would have been: flags of past weeks, by models that had not seen them, and what came of them.

Each week's flags are found as `score` finds them, from what was known then, under the same thresholds and alert budget.
Whether a flag was right is asked of the record's later facts, and only where the time that it speaks of was over by the
end of the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from configs.flags import Flags
from configs.vocab import Grid, Target
from features.asof import AsOfView, Requests
from features.periods import DAY, HOUR, local_days
from features.tables import NAT
from models.base import Bool, Float, Int
from models.close import FitNotes
from models.flag_budget import LOOK_BACK, NOBODY, Incumbents, carriers_of, within_budget
from models.flags import Flag, Says, Scores, find_flags, load_flags
from models.ladder import Doubt
from models.track_record import FlagRecord, TrackRecord, limits_hash
from training.clustered import share
from training.cuts import Ground
from training.labels import NEVER, Outcomes, outcomes
from training.prepare import Prepared

SLIPPING = "slipping"
LOSS_DAYS = 90
WEEK = 7 * DAY


@dataclass(frozen=True)
class Past:
    """Rows that models told which had not seen them. rows: int64[n], places in the prepared rows, by as-of.

    scores: what these models said.
    """

    rows: Int
    scores: Scores

    def take(self, some: Int) -> Past:
        """Return some of the rows."""
        return Past(self.rows[some], self.scores.each(lambda column: column[some]))


@dataclass(frozen=True)
class Came:
    """What came of n rows, for one flag. words: what counts. told: bool[n], where that can be said.

    so: bool[n], that it came out so. lead: float64[n], days from the as-of until then.
    """

    words: str
    told: Bool
    so: Bool
    lead: Float


@dataclass(frozen=True)
class Measured:
    """Of one flag: how many rows raised it, how many of these the budget showed, and its record, None with too few."""

    raised: int
    shown: int
    record: FlagRecord | None


def past_of(prepared: Prepared, ground: Ground, notes: FitNotes) -> Past:
    """Return the rows that the close head's inner folds told out of time, empty where there were none.

    Neither the timing head nor the amount head is fitted again for them: amounts are the CRM's, and what goes by the
    slip risk is not told.
    """
    later, target = notes.later, prepared.config.target
    rows = np.flatnonzero(ground.mask)
    place, p = (rows[later.rows], later.p) if later is not None else (rows[:0], np.zeros(0))
    unknown = Scores.unknown(len(p), target == Target.IN_PERIOD)
    low, high = doubted(p, notes.doubt)
    return in_time(prepared, Past(place, replace(unknown, p=p, low=low, high=high)))


def doubted(p: Float, doubt: Doubt | None) -> tuple[Float, Float]:
    """Return the ends of the doubt of each probability, NaN where a model tells none."""
    unknown = np.full(len(p), np.nan)
    return (unknown, unknown) if doubt is None else (p * doubt.low, p * doubt.high)


def in_time(prepared: Prepared, past: Past) -> Past:
    """Return the rows in order of time."""
    examples = prepared.examples
    return past.take(np.lexsort((examples.deal[past.rows], examples.as_of[past.rows])))


def track_record(prepared: Prepared, past: Past, unmeasured: tuple[str, ...] = ()) -> TrackRecord:
    """Return the records of all flags on these rows; unmeasured: codes that they cannot tell."""
    limits = prepared.config.flags
    found = measure(prepared, past) if limits.enabled else {}
    kept = {code: of.record for code, of in found.items() if of.record is not None and code not in unmeasured}
    return TrackRecord(limits_hash(limits), kept)


def measure(prepared: Prepared, past: Past) -> dict[str, Measured]:
    """Return for every flag that is looked for what came of the deals that carried it, by code."""
    limits, asked = prepared.config.flags, _asked(prepared, past)
    codes = [code for code in load_flags() if getattr(limits, code).enabled]
    if not len(asked):
        return {code: Measured(0, 0, None) for code in codes}
    view = prepared.record.view(asked)
    raised, shown = found_in(prepared, past, limits)
    came = _came(prepared, past, view)
    stage = view.of("history").last("stage")
    period = prepared.calendar.index(asked.as_of)
    out = {}
    for code in codes:
        up, within = raised[code], shown[code]
        record = record_of(came[code], up, within, stage, asked.deal, period, limits.min_deals)
        out[code] = Measured(int(up.sum()), int(within.sum()), record)
    return out


def found_in(prepared: Prepared, past: Past, limits: Flags) -> tuple[Mapping[str, Bool], Mapping[str, Bool]]:
    """Return by code which rows raise a flag, and which of these the alert budget of their week lets through."""
    asked = _asked(prepared, past)
    view = prepared.record.view(asked)
    flags = find_flags(view, past.scores, limits, _says(prepared, past))
    owner = view.of("history").last("owner")
    owners = np.where(owner == NAT, NOBODY, owner).tolist()
    raised, shown = ({code: np.zeros(len(asked), dtype=bool) for code in load_flags()} for _ in range(2))
    earlier: dict[int, Mapping[str, list[int]]] = {}  # by as-of, the deals that the budget alone would let through
    for as_of, rows in _groups(_weeks(prepared, asked.as_of)):
        own, whose = [flags[row] for row in rows.tolist()], [owners[row] for row in rows.tolist()]
        deals = asked.deal[rows]
        kept, _ = within_budget(own, whose, limits, _shown_before(earlier, as_of, deals))
        _mark(raised, rows, own)
        _mark(shown, rows, kept)
        alone = carriers_of(within_budget(own, whose, limits)[0])
        earlier[as_of] = {code: deals[listed].tolist() for code, listed in alone.items()}
    return raised, shown


def _shown_before(earlier: Mapping[int, Mapping[str, list[int]]], as_of: int, deals: Int) -> Incumbents:
    """Return by code the places of the deals that the budget alone would have let through in the weeks before."""
    place = {deal: row for row, deal in enumerate(deals.tolist())}
    nearest, farthest = LOOK_BACK[0] * DAY - HOUR, LOOK_BACK[-1] * DAY + HOUR  # clocks go forward and back
    found: dict[str, set[int]] = {}
    for then, by_code in earlier.items():
        if nearest <= as_of - then <= farthest:
            for code, listed in by_code.items():
                found.setdefault(code, set()).update(place[deal] for deal in listed if deal in place)
    return found


def _groups(key: Int) -> Iterator[tuple[int, Int]]:
    """Yield each value and the rows that have it, in order."""
    values, first = np.unique(key, return_index=True)
    if (np.diff(key) < 0).any():
        raise ValueError("rows must be in order of time")
    yield from zip(values.tolist(), np.split(np.arange(len(key)), first[1:]), strict=True)


def _mark(masks: Mapping[str, Bool], rows: Int, flags: list[tuple[Flag, ...]]) -> None:
    for row, listed in zip(rows.tolist(), flags, strict=True):
        for flag in listed:
            masks[flag.code][row] = True


def _weeks(prepared: Prepared, as_of: Int) -> Int:
    """Return what shares an alert budget: an as-of of the weekly grid; else rows of the same seven days."""
    return as_of if prepared.config.snapshots.grid == Grid.WEEKLY else as_of // WEEK * WEEK


def _asked(prepared: Prepared, past: Past) -> Requests:
    return Requests(prepared.examples.deal[past.rows], prepared.examples.as_of[past.rows])


def _says(prepared: Prepared, past: Past) -> Says:
    """Return who tells what was said of the same deals on earlier days: nothing, where no row was told."""
    asked, zone = _asked(prepared, past), prepared.calendar.zone
    width = len(prepared.record.deal_ids) + 1

    def key(requests: Requests) -> Int:  # days by the hour after: where clocks went forward a Monday is an hour early
        return np.asarray(local_days(requests.as_of + HOUR, zone) * width + requests.deal, dtype=np.int64)

    known = key(asked)
    order = np.argsort(known, kind="stable")
    known = known[order]

    def says(view: AsOfView) -> Scores:
        wanted = key(view.requests)
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        there = known[at] == wanted
        return past.take(order[at]).scores.each(lambda column: np.where(there, column, np.nan))

    return says


def _came(prepared: Prepared, past: Past, view: AsOfView) -> Mapping[str, Came]:
    """Return what came of each row, by code."""
    found = outcomes(prepared.record, view.requests)
    lost = _lost(prepared, view, found)
    won = _told(prepared, past, found, 1.0)
    others = {SLIPPING: _still_open(prepared, view, found), "under_called": won}
    others["over_called"] = _told(prepared, past, found, 0.0)
    return {code: others.get(code, lost) for code in load_flags()}


def _lost(prepared: Prepared, view: AsOfView, found: Outcomes) -> Came:
    config = prepared.config
    days = min(LOSS_DAYS, config.training.horizon_days or LOSS_DAYS)
    over = view.as_of + days * DAY
    soon = (found.closed_at != NAT) & (found.closed_at < over)
    told = (over <= prepared.until) & ~(soon & found.merged)
    return Came(f"lost within {days} days", told, soon & ~found.won & ~found.merged, _days_to(found, view))


def _still_open(prepared: Prepared, view: AsOfView, found: Outcomes) -> Came:
    zone = prepared.calendar.zone
    due, today = view.of("history").last("close_date"), local_days(view.as_of, zone)
    ahead = (due != NAT) & (due >= today)
    day = np.where(ahead, due, today)
    closed = found.closed_at != NAT
    by_then = closed & (local_days(np.where(closed, found.closed_at, 0), zone) <= day)
    told = ahead & (day < local_days(np.array([prepared.until]), zone)[0]) & ~(by_then & found.merged)
    return Came("still open after its close date", told, ~by_then, (day + 1 - today).astype(np.float64))


def _told(prepared: Prepared, past: Past, found: Outcomes, y: float) -> Came:
    """Return whether deals were won (y 1) or not (y 0) in the time that the head speaks of."""
    in_period = prepared.config.target == Target.IN_PERIOD
    end, as_of = prepared.told_end[past.rows], prepared.examples.as_of[past.rows]
    told = (end != NEVER) & (end <= prepared.until)
    closed = found.closed_at != NAT
    until = end if in_period and y == 0 else np.where(closed, found.closed_at, as_of)
    words = f"{'won' if y else 'not won'} {'in its period' if in_period else 'in the end'}"
    lead = np.where(told, until - as_of, 0) / DAY
    return Came(words, told, prepared.told_y[past.rows] == y, lead)


def _days_to(found: Outcomes, view: AsOfView) -> Float:
    closed = found.closed_at != NAT
    return np.where(closed, np.where(closed, found.closed_at, view.as_of) - view.as_of, 0) / DAY


def record_of(
    came: Came, raised: Bool, shown: Bool, stage: Int, deal: Int, period: Int, fewest: int
) -> FlagRecord | None:
    """Return the record of one flag, None where fewer than so many deals carried it."""
    rows = np.flatnonzero(shown & came.told)
    deals = len(np.unique(deal[rows]))
    if deals < fewest:
        return None
    right = share(came.so[rows].astype(np.float64), deal[rows])
    so = came.so & came.told
    caught = np.flatnonzero(so & shown)
    there, lead = np.unique(deal[so]), _per_deal(deal[caught], came.lead[caught])
    return FlagRecord(
        came.words,
        right.value,
        right.low,
        right.high,
        _usual(came, stage, rows, np.flatnonzero(came.told & ~raised)),
        len(lead) / len(there) if len(there) else 0.0,
        float(np.median(lead)) if len(lead) else 0.0,
        deals,
        len(np.unique(period[rows])),
    )


def _per_deal(deal: Int, lead: Float) -> Float:
    """Return the longest lead of each deal: that of the first of its flags which came out so."""
    _, code = np.unique(deal, return_inverse=True)
    longest = np.zeros(int(code.max(initial=-1)) + 1)
    np.maximum.at(longest, code, lead)
    return longest


def _usual(came: Came, stage: Int, rows: Int, others: Int) -> float | None:
    """Return the share of rows without the flag that came out so, stages weighted as they are among those with it.

    Rows in a stage where every deal has the flag have nothing beside them and are left aside; None where all have.
    """
    total = weight = 0.0
    for each in np.unique(stage[rows]):
        beside = others[stage[others] == each]
        if len(beside):
            n = float((stage[rows] == each).sum())
            total, weight = total + n * float(came.so[beside].mean()), weight + n
    return total / weight if weight else None
