"""Reference facts: what the company's closed deals say about reps, teams, accounts, segments, stages and categories.

A closed deal becomes known at its close, so each of these is a timeline keyed by its own entity, and a feature about a
rep is asked of it as of the request like any other fact. Only closes are stored (`Closes`); the timelines follow from
them, which keeps the copy in a model bundle small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.asof import look, team_of
from features.periods import Calendar
from features.tables import NAT
from features.timeline import Int, Timeline, timeline

Bool = NDArray[np.bool_]

MILLION = 1_000_000
CATEGORY_RANKS = {"omitted": 0, "pipeline": 1, "best_case": 2, "commit": 3, "closed": 4}
CATEGORY_COUNT = len(CATEGORY_RANKS)
MAX_STAGES = 60  # visited stages are kept as the bits of one int64

# Columns of a close beside the entity codes: counts, seconds, millionths; all integers, so that sums are exact.
FACTS = ("won", "pushes", "cycle_s", "delay_s", "logged", "share_ppm", "log_amount_ppm", "priced")
MASKS = ("won",)


@dataclass(frozen=True)
class Vocabulary:
    """Codes of the entities that reference facts are about: dimension -> values, a value's code is its position."""

    values: Mapping[str, tuple[str, ...]]
    rep_team: Int = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def size(self, dimension: str) -> int:
        """Number of known values of a dimension."""
        return len(self.values.get(dimension, ()))


@dataclass(frozen=True)
class Closes:
    """One row per closed episode of a deal, in order of known_at: ``columns`` are int64[c] each (codes -1 missing).

    Columns: known_at, account, rep, one per schema dimension, stages (bit s: was in stage s), categories (bit r: was
    called r), and `FACTS`: won 0/1, pushes, cycle_s (creation to close), delay_s and logged (sum and number of logging
    delays), share_ppm (share of the period gone at the close), log_amount_ppm and priced (log of the amount in
    millionths, 1 where there was one).
    """

    columns: Mapping[str, Int]

    def __len__(self) -> int:
        return len(self.columns["known_at"])

    def before(self, cut: int) -> Closes:
        """Return the closes known before `cut`: what a model trained as of that instant may carry."""
        return Closes({n: c[: int(np.searchsorted(self.columns["known_at"], cut))] for n, c in self.columns.items()})


@dataclass(frozen=True)
class Reference:
    """The reference timelines of one company, with the vocabulary their entities are coded in."""

    vocabulary: Vocabulary
    closes: Closes
    dimensions: tuple[str, ...]
    stage_count: int
    timelines: Mapping[str, Timeline]

    @property
    def known_until(self) -> int:
        """The latest known_at among the closes (UTC microseconds), NAT where there are none."""
        return int(self.closes.columns["known_at"].max(initial=NAT))


def reference_of(vocabulary: Vocabulary, closes: Closes, dimensions: tuple[str, ...], stage_count: int) -> Reference:
    """Sort the closes into one timeline per kind of entity."""
    facts = closes.columns
    whole = np.zeros(len(closes), dtype=np.int64)
    teams = int(vocabulary.rep_team.max(initial=-1)) + 1
    rep = facts["rep"]
    keyed: dict[str, tuple[int, Int]] = {
        "company": (1, whole),
        "rep": (vocabulary.size("rep"), rep),
        "team": (teams, team_of(vocabulary.rep_team, rep)),
        "account": (vocabulary.size("account"), facts["account"]),
        **{f"by_{name}": (vocabulary.size(name), facts[name]) for name in dimensions},
    }
    columns = {name: facts[name].astype(bool) if name in MASKS else facts[name] for name in FACTS}
    timelines = {name: timeline(name, max(n, 1), code, facts["known_at"], columns) for name, (n, code) in keyed.items()}
    timelines |= _visited("stage", facts["stages"], stage_count, facts, vocabulary.size("rep"))
    timelines |= _visited("category", facts["categories"], CATEGORY_COUNT, facts, vocabulary.size("rep"))
    return Reference(vocabulary, closes, dimensions, stage_count, timelines)


def _visited(name: str, bits: Int, width: int, facts: Mapping[str, Int], reps: int) -> dict[str, Timeline]:
    """Key the closes by each stage (category) they passed through, company-wide and per rep."""
    row, place = np.nonzero((bits[:, None] >> np.arange(max(width, 1))) & 1)
    known_at, rep = facts["known_at"][row], facts["rep"][row]
    won = {"won": facts["won"][row].astype(bool)}
    by_rep = np.where(rep >= 0, rep * width + place, -1)
    return {
        name: timeline(name, max(width, 1), place.astype(np.int64), known_at, won),
        f"rep_{name}": timeline(f"rep_{name}", max(reps * width, 1), by_rep, known_at, won),
    }


def closes_of(
    history: Timeline, activities: Timeline, deal_codes: Mapping[str, Int], calendar: Calendar, stage_count: int
) -> Closes:
    """Read the closes off the deals' own timelines.

    A close is the first won or lost row of an episode. Owner, stage and category are those last known strictly
    before it: what stands on the closing row, or beside it at the same instant, was written with the outcome in hand.
    deal_codes: int64[d] per deal: account, created_at, and one column per dimension.
    """
    closed = history.mask("closed")
    episode_end = closed.copy()
    episode_end[1:] &= ~(closed[:-1] & (history.entity[1:] == history.entity[:-1]))
    end = np.flatnonzero(episode_end)
    deal, known_at = history.entity[end], history.known_at[end]
    first = history.start[deal]
    # The state before the close: what the CRM wrote at the close's own instant was written with the outcome in hand.
    earlier = look(history, deal, known_at).high - 1
    born_closed = earlier < first
    before = np.where(born_closed, end, earlier)
    stop = np.where(born_closed, end, earlier + 1)
    created = deal_codes["created_at"][deal]
    logged = look(activities, deal, known_at)
    begun, over = calendar.bounds(known_at)
    amount = history.values("amount")[end]
    priced = (amount != NAT) & (amount > 0)
    columns = {
        "known_at": known_at,
        "account": deal_codes["account"][deal],
        "rep": history.values("owner")[before],
        **{name: codes[deal] for name, codes in deal_codes.items() if name not in ("account", "created_at")},
        "stages": _bits(history, "stage", first, stop, stage_count),
        "categories": _bits(history, "category", first, stop, CATEGORY_COUNT),
        "won": history.mask("won")[end].astype(np.int64),
        "pushes": history.prefix_count("pushed")[stop] - history.prefix_count("pushed")[first],
        "cycle_s": np.maximum(known_at - created, 0) // MILLION,
        "delay_s": logged.total("delay_s", "done").astype(np.int64),
        "logged": logged.count("done").astype(np.int64),
        "share_ppm": (known_at - begun) // ((over - begun) // MILLION),
        "log_amount_ppm": np.where(priced, np.log(np.where(priced, amount, 1) / 100) * MILLION, 0).astype(np.int64),
        "priced": priced.astype(np.int64),
    }
    order = np.argsort(known_at, kind="stable")
    return Closes({name: column[order] for name, column in columns.items()})


def _bits(history: Timeline, column: str, first: Int, end: Int, width: int) -> Int:
    """Set bit v where the rows ``first:end`` of a close hold value v of a column."""
    values = history.values(column)
    bits = np.zeros(len(end), dtype=np.int64)
    for value in range(width):
        counted = np.concatenate([[0], np.cumsum(values == value)])
        bits |= np.where(counted[end] > counted[first], 1, 0) << value
    return bits
