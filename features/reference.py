"""Reference facts: what a company's past says about its reps, teams, accounts, segments, stages and categories.

Each fact becomes known at an instant of its own (a deal's outcome at its close, a period's yield at the period's end),
so a feature about a rep is asked of it as of the request like any other fact. Only events are stored; the timelines
follow from them, which keeps the copy in a model bundle small. `features.closes` and `features.standings` read the
events off a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.columns import team_of
from features.tables import NAT
from features.timeline import Int, Timeline, timeline

Bool = NDArray[np.bool_]

MILLION = 1_000_000
CATEGORY_RANKS = {"omitted": 0, "pipeline": 1, "best_case": 2, "commit": 3, "closed": 4}
CATEGORY_COUNT = len(CATEGORY_RANKS)

# Columns of a close beside the entity codes: counts, seconds, cents, millionths; all integers, so that sums are exact.
FACTS = (
    "won", "pushes", "cycle_s", "delay_s", "logged", "share_ppm", "log_amount_ppm", "priced",
    "cents", "buyer_s", "buyer_gaps", "outbound", "edits",
)  # fmt: skip
KEYS = ("account", "rep", "categories")
AGES = 11  # of silences, see `features.silence.EDGES`
SEGMENT = "type"  # the dimension whose values may have stages of their own pace

# Every kind of event: its columns beside known_at. A close also has one column per schema dimension.
EVENTS: Mapping[str, tuple[str, ...]] = {
    "closes": (*KEYS, *FACTS),
    "visits": ("rep", "segment", "stage", "won", "spent_s", "left_s"),
    "book": ("rep", "account", "opened"),
    "surplus": ("rep", "won", "expected_ppm"),
    "quotas": ("rep", "cents", "timely"),
    "calls": ("rep", "cents", "timely"),
    "misses": ("rep", "miss_ppm"),
    "called": ("cell", "won"),
    "crews": ("stage", "won", "contacts", "several", "senior"),
    "manners": ("won", "answer_s", "answers", "skipped", "cut", "slips"),
    "silences": ("stage", "looks", *(f"old_{k}" for k in range(AGES))),
    "entries": ("won", "busiest"),
    "intake": ("won", "waited_s"),
}
LATER = ("called", "crews", "manners", "silences", "entries", "intake")
"""Kinds that only flags and leads ask about; files of earlier versions lack them, and what is lacking is empty."""
MASKS = ("won", "timely")
LOOKS = 3  # a deal is looked at so many times in a period, at its start and evenly after it


@dataclass(frozen=True)
class Vocabulary:
    """Codes of the entities that reference facts are about: dimension -> values, a value's code is its position.

    rep_team: int64[reps], each rep's team code, -1: none. teams: their names, in order of code.
    """

    values: Mapping[str, tuple[str, ...]]
    rep_team: Int = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    teams: tuple[str, ...] = ()

    @cached_property
    def places(self) -> Mapping[str, Mapping[str, int]]:
        """The code of each value by dimension; made once, for a company may have many accounts."""
        return {name: {value: code for code, value in enumerate(values)} for name, values in self.values.items()}

    def size(self, dimension: str) -> int:
        """Number of known values of a dimension."""
        return len(self.values.get(dimension, ()))


@dataclass(frozen=True)
class Events:
    """One kind of event in order of known_at: ``columns`` are int64[c] each (codes -1 missing).

    closes: a row per closed episode of a deal: account, rep, one column per schema dimension, categories (bit r: was
    called r), and `FACTS`: won 0/1, pushes, cycle_s (creation to close), delay_s and logged (sum and number of logging
    delays), share_ppm (share of the period gone at the close), log_amount_ppm and priced (log of the amount in
    millionths, 1 where there was one), cents, buyer_s and buyer_gaps (first to last act of the buyer, and the gaps
    between), outbound and edits (how many).
    visits: a row per stage of a closed episode: spent_s in it, left_s from first entering it to the close; segment is
    the deal's type.
    book: +1 where a rep (an account) gets an open deal, -1 where it goes.
    surplus: a deal open in a period, at the period's end: won 0/1 and what its peers' deals made of the same standing.
    quotas, calls: cents (of a call: by which it moves what was called before); timely: known within the period they
    speak of. misses: a period's wins against the call, log.
    called: a deal open in a period at one of its looks, at the period's end: cell (`cell_of`) and won in it 0/1.
    crews: a row per stage of a closed episode: the buyer's people known when it first entered it: contacts (how many),
    several (two or more, 0/1), senior (a director or above, or somebody who decides, 0/1).
    manners: a row per closed episode: answer_s and answers (time to our first mail after each of the buyer's, and how
    many), skipped (a stage, 0/1), cut (its amount, 0/1), slips (moves of the close date past a period's end).
    silences: a row per stage of a won episode: looks (Mondays on which it was open in that stage, -1: none told) and
    old_k (those of them with a silence of the buyer of ``EDGES[k]`` usual gaps of the deal or more).
    entries: a row per closed episode: busiest (the most acts of ours that the CRM learnt of on one day).
    intake: of leads alone: a row as each is known (won 0) and one as it converts (won 1, waited_s since it was known),
    with the dimensions of a close. Most leads that come to nothing are never closed, so rates by what was closed would
    be nearly 1.
    """

    columns: Mapping[str, Int]

    def __len__(self) -> int:
        return len(self.columns["known_at"])

    def before(self, cut: int) -> Events:
        """Return the events known before `cut`."""
        return Events({n: c[: int(np.searchsorted(self.columns["known_at"], cut))] for n, c in self.columns.items()})


@dataclass(frozen=True)
class Reference:
    """The reference timelines of one company, with the vocabulary their entities are coded in."""

    vocabulary: Vocabulary
    events: Mapping[str, Events]
    dimensions: tuple[str, ...]
    stage_count: int
    timelines: Mapping[str, Timeline]

    def before(self, cut: int) -> Reference:
        """Return the reference of what was known before `cut`: what a model trained as of that instant may carry."""
        said = {kind: facts.before(cut) for kind, facts in self.events.items()}
        return reference_of(self.vocabulary, said, self.dimensions, self.stage_count)

    @property
    def closes(self) -> Events:
        """The closed episodes."""
        return self.events["closes"]

    @property
    def known_until(self) -> int:
        """The latest known_at among the closes (UTC microseconds), NAT where there are none."""
        return int(self.closes.columns["known_at"].max(initial=NAT))


CELLS = (CATEGORY_COUNT + 1) * 2 * LOOKS


def cell_of(category: Int, within: Bool, turn: Int) -> Int:
    """Return the code of how a deal was called, int64[n]: category rank (-1: none), close date in the period, look."""
    return ((category + 1) * 2 + within) * LOOKS + turn


def no_events(kind: str) -> Events:
    """Return a kind of event of which nothing is told."""
    return Events({name: np.zeros(0, dtype=np.int64) for name in ("known_at", *EVENTS[kind])})


def events(columns: Mapping[str, Int]) -> Events:
    """Return rows as Events: sorted by known_at, in the order given where that is equal."""
    order = np.argsort(columns["known_at"], kind="stable")
    return Events({name: column[order].astype(np.int64) for name, column in columns.items()})


def reference_of(
    vocabulary: Vocabulary, said: Mapping[str, Events], dimensions: tuple[str, ...], stage_count: int
) -> Reference:
    """Sort every kind of event into one timeline per kind of entity it is asked about."""
    reps, accounts = vocabulary.size("rep"), vocabulary.size("account")
    teams = int(vocabulary.rep_team.max(initial=-1)) + 1
    timelines: dict[str, Timeline] = {}

    def add(name: str, kind: str, entities: int, entity: Int) -> None:
        facts = said[kind].columns
        columns = {n: facts[n].astype(bool) if n in MASKS else facts[n] for n in _values(kind)}
        timelines[name] = timeline(name, max(entities, 1), entity, facts["known_at"], columns)

    closes, visits = said["closes"].columns, said["visits"].columns
    add("company", "closes", 1, np.zeros(len(said["closes"]), dtype=np.int64))
    add("rep", "closes", reps, closes["rep"])
    add("team", "closes", teams, team_of(vocabulary.rep_team, closes["rep"]))
    add("account", "closes", accounts, closes["account"])
    for name in dimensions:
        add(f"by_{name}", "closes", vocabulary.size(name), closes[name])
    add("segment", "closes", vocabulary.size(SEGMENT), closes.get(SEGMENT, np.full(len(said["closes"]), -1)))
    add("stage", "visits", stage_count, visits["stage"])
    add("rep_stage", "visits", reps * stage_count, _pair(visits["rep"], visits["stage"], stage_count))
    segments = vocabulary.size(SEGMENT)
    add("segment_stage", "visits", segments * stage_count, _pair(visits["segment"], visits["stage"], stage_count))
    for kind in ("book", "surplus", "quotas", "calls", "misses"):
        add(f"rep_{kind}", kind, reps, said[kind].columns["rep"])
    add("account_book", "book", accounts, said["book"].columns["account"])
    add("team_quotas", "quotas", teams, team_of(vocabulary.rep_team, said["quotas"].columns["rep"]))
    add("called", "called", CELLS, said["called"].columns["cell"])
    add("stage_crew", "crews", stage_count, said["crews"].columns["stage"])
    add("manners", "manners", 1, np.zeros(len(said["manners"]), dtype=np.int64))
    add("silences", "silences", 1, np.zeros(len(said["silences"]), dtype=np.int64))
    add("stage_silence", "silences", stage_count, said["silences"].columns["stage"])
    add("entries", "entries", 1, np.zeros(len(said["entries"]), dtype=np.int64))
    add("intake", "intake", 1, np.zeros(len(said["intake"]), dtype=np.int64))
    for name in dimensions:
        of_value = said["intake"].columns.get(name, np.full(len(said["intake"]), -1))
        add(f"intake_{name}", "intake", vocabulary.size(name), of_value)
    return Reference(vocabulary, said, dimensions, stage_count, timelines | _called(closes, reps))


def _values(kind: str) -> tuple[str, ...]:
    """The columns of a kind of event that are no entity."""
    return tuple(name for name in EVENTS[kind] if name not in (*KEYS, "stage", "segment", "cell"))


def _pair(left: Int, right: Int, width: int) -> Int:
    return np.where((left >= 0) & (right >= 0), left * width + right, -1)


def _called(closes: Mapping[str, Int], reps: int) -> dict[str, Timeline]:
    """Key the closes by each category they were called, company-wide and per rep."""
    row, place = np.nonzero((closes["categories"][:, None] >> np.arange(CATEGORY_COUNT)) & 1)
    known_at, place = closes["known_at"][row], place.astype(np.int64)
    won = {"won": closes["won"][row].astype(bool)}
    by_rep = _pair(closes["rep"][row], place, CATEGORY_COUNT)
    return {
        "category": timeline("category", CATEGORY_COUNT, place, known_at, won),
        "rep_category": timeline("rep_category", max(reps * CATEGORY_COUNT, 1), by_rep, known_at, won),
    }
