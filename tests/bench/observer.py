"""The best that anybody could say who sees only the record: a Bayes filter that knows how the world is made.

It knows every rate of the generator, the reps' skill and habits and which close dates slip whatever happens; it does
not know a deal's engagement and quality, and infers them from mails, calls, meetings agreed on, content opened, people
who join, stages, and from the deal being open still. No model that must learn all this from outcomes can be expected
to do better, so it tells how much of the gap to the oracle (which sees engagement and quality) is there to be closed.

Not used: forecast categories, next steps and whether meetings were held, which say a little more of engagement. For
worlds whose market stands still, whose buyers stay and whose CRM is clean: W1 and W2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from features.periods import DAY
from features.tables import Coded, Table
from tests.worlds.calendar import Float, Int
from tests.worlds.hazards import Hazards, chance, hazards_of
from tests.worlds.oracle import truth
from tests.worlds.settings import GONE
from tests.worlds.world import World

LEVELS = GONE  # nobody is gone in these worlds
NODES = np.array([-2.856970, -1.355626, 0.0, 1.355626, 2.856970])  # Gauss-Hermite, of a standard normal
WEIGHTS = np.array([0.01125741, 0.22207592, 0.53333333, 0.22207592, 0.01125741])
JUNIOR = ("staff", "manager")


@dataclass(frozen=True)
class _Days:
    """Path rows in order of the days, and what was seen on each: counts int64[rows] by kind; stage and senior after.

    after: -1 where the deal is not open the next day. edges: int64[days + 1] into the rows.
    """

    deal: Int
    day: Int
    stage: Int
    senior: Int
    stage_after: Int
    senior_after: Int
    counts: dict[str, Int]
    edges: Int


def observed(made: World, deal: Int, as_of: Int) -> Float:
    """P(won in this fiscal quarter | the record and how the world is made), float64[n]; NaN where it is not open."""
    if made.planted.market > 1 or made.planted.dirty or made.planted.ghosting > -15 or made.planted.null is not None:
        raise ValueError(
            f"no observer of {made.name}: expected a world whose market stands still and whose CRM is clean"
        )
    days, seen = made.days, _seen(made)
    worlds = [_hazards(made, node) for node in NODES * made.planted.quality_sd]
    wanted = np.unique(as_of // DAY - days.first)
    rows, belief = _filtered(made, seen, worlds, wanted)
    p = np.zeros(len(rows))
    every = np.tile(rows, LEVELS)
    level = np.repeat(np.arange(LEVELS), len(rows))
    for q, hazards in enumerate(worlds):
        state = (seen.stage[every], level, seen.senior[every])
        value = truth(hazards, days, made.lived.market, seen.deal[every], seen.day[every], state)
        p += (belief[:, :, q] * value.reshape(LEVELS, -1).T).sum(axis=1)
    key = seen.day[rows] * len(made.deals) + seen.deal[rows]
    asked = (as_of // DAY - days.first) * len(made.deals) + deal
    order = np.argsort(key)
    at = np.minimum(np.searchsorted(key[order], asked), len(key) - 1)
    return np.where(key[order][at] == asked, p[order][at], np.nan)


def _hazards(made: World, quality: float) -> Hazards:
    alike = replace(made.deals, quality=np.full(len(made.deals), quality))
    return hazards_of(made.planted, made.days, alike, made.reps)


def _filtered(made: World, seen: _Days, worlds: list[Hazards], wanted: Int) -> tuple[Int, Float]:
    """Path rows of the wanted days, and the belief as each began: float64[rows, levels, nodes]."""
    belief = np.empty((len(made.deals), LEVELS, len(NODES)))
    belief[:] = np.array(made.planted.first_level)[:, None] * (WEIGHTS / WEIGHTS.sum())
    kept, said = [], []
    for d in range(made.days.count):
        rows = np.arange(seen.edges[d], seen.edges[d + 1])
        if d in wanted:
            kept.append(rows)
            said.append(belief[seen.deal[rows]])
        rows = rows[seen.stage_after[rows] >= 0]
        if len(rows):
            deal = seen.deal[rows]
            now = belief[deal] * _likelihood(made, seen, rows, d)[:, :, None]
            for q, hazards in enumerate(worlds):
                now[:, :, q] = _lived_on(hazards, seen, rows, d, now[:, :, q])
            belief[deal] = now / now.sum(axis=(1, 2), keepdims=True)
    return np.concatenate(kept), np.concatenate(said)


def _likelihood(made: World, seen: _Days, rows: Int, d: int) -> Float:
    """How likely a day's acts are at each level, but for a factor that all levels share, float64[rows, levels]."""
    planted, deal = made.planted, seen.deal[rows]
    working = 1.0 if made.days.weekday[d] < 5 else planted.weekend
    effort = np.exp(made.reps.effort[made.deals.rep[deal]])
    meetings = np.array(planted.meetings_by_stage)[seen.stage[rows]]
    dials, answered = np.array(planted.call_out), np.array(planted.answered)
    kinds = {
        "mail_in": (np.array(planted.mail_in), 1.0),
        "mail_out": (np.array(planted.mail_out), effort),
        "content": (np.array(planted.content), 1.0),
        "planned": (np.array(planted.planned), meetings),
        "joins": (np.array(planted.joins), 1.0),
        "connected": (dials * answered, effort),
        "no_answer": (dials * (1.0 - answered), effort),
    }
    log = np.zeros((len(rows), LEVELS))
    for kind, (rate, by) in kinds.items():
        mean = np.maximum(rate[:LEVELS] * np.broadcast_to(by, len(rows))[:, None] * working, 1e-12)
        log += seen.counts[kind][rows][:, None] * np.log(mean) - mean
    likelihood: Float = np.exp(log - log.max(axis=1, keepdims=True))
    return likelihood


def _lived_on(hazards: Hazards, seen: _Days, rows: Int, d: int, before: Float) -> Float:
    """Weigh each level by what came about that day (still open, stage, senior contact), then let it move."""
    deal, s, k = seen.deal[rows], seen.stage[rows][:, None], seen.senior[rows][:, None]
    e = np.arange(LEVELS)[None, :]
    segment = hazards.segment[deal][:, None]
    win = chance(hazards.win_state[segment, s, e, k] * hazards.timing(d, deal)[:, None])
    lose = chance(hazards.lose_state[segment, s, e, k] * (hazards.lose_deal[deal] * hazards.lose_clock[d])[:, None])
    go = chance(
        hazards.advance_state[segment, s, e, k] * (hazards.advance_deal[deal] * hazards.advance_clock[d])[:, None]
    )
    went = (seen.stage_after[rows] > seen.stage[rows])[:, None]
    joined = (seen.senior_after[rows] > seen.senior[rows])[:, None]
    joins = hazards.joins[None, :LEVELS]
    stays = before * (1 - win) * (1 - lose) * np.where(went, go, 1 - go)
    stays = stays * np.where(k == 1, 1.0, np.where(joined, joins, 1 - joins))
    up, down = hazards.up[deal, :LEVELS], hazards.down[deal, :LEVELS]
    after = stays * (1 - up - down)
    after[:, 1:] += (stays * up)[:, :-1]
    after[:, :-1] += (stays * down)[:, 1:]
    return after


def _seen(made: World) -> _Days:
    lived, width = made.lived, made.days.count
    order = np.lexsort([lived.deal, lived.day])
    deal, day, stage, senior = (part[order] for part in (lived.deal, lived.day, lived.stage, lived.senior))
    key = deal * width + day
    by_key = np.argsort(key)
    following = np.minimum(np.searchsorted(key[by_key], key + 1), len(key) - 1)
    there = key[by_key][following] == key + 1
    stage_after, senior_after = (np.where(there, part[by_key][following], -1) for part in (stage, senior))
    acts, people = made.ingest.tables.activities, made.ingest.tables.contacts
    kind, outcome = acts.coded("kind"), acts.coded("outcome")
    inbound = _is(acts.coded("direction"), "inbound")
    mail = _is(kind, "email")
    masks = {
        "mail_in": mail & inbound,
        "mail_out": mail & ~inbound,
        "content": _is(kind, "content"),
        **{said: _is(outcome, said) for said in ("planned", "connected", "no_answer")},
    }

    def counted(table: Table, mask: np.ndarray) -> Int:
        at = table.ints("known_at")[mask] // DAY - made.days.first
        where = np.searchsorted(key[by_key], table.coded("deal_id").codes[mask].astype(np.int64) * width + at)
        count = np.bincount(np.minimum(where, len(key) - 1), minlength=len(key))
        out = np.empty_like(count)
        out[by_key] = count
        return out

    junior = np.logical_or.reduce([_is(people.coded("seniority"), word) for word in JUNIOR])
    codes = people.coded("deal_id").codes
    junior[1:] &= codes[1:] == codes[:-1]  # the first person was there from the start
    junior[0] = False
    counts = {name: counted(acts, mask) for name, mask in masks.items()} | {"joins": counted(people, junior)}
    edges = np.searchsorted(day, np.arange(width + 1))
    return _Days(deal, day, stage, senior, stage_after, senior_after, counts, edges)


def _is(column: Coded, value: str) -> np.ndarray:
    return column.codes == column.code_of(value)
