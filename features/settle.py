"""What rows need before they can be checked: our words for theirs, the documented defaults, a tidy vocabulary.

Every source and the inline path share this, so a deal posted to the endpoint is encoded like the same deal in a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from operator import eq, lt
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from configs.mapping import Mapping as MappingFile
from configs.vocab import ActivityKind, AttributeKind, Direction, ForecastCategory, LeadEvent
from features.parsing import day_starts, end_of_day, fold_name, parse
from features.periods import DAY, HOUR, day_number
from features.stages import StageMap
from features.tables import (
    CODED_KINDS,
    NAT,
    TABLES,
    CodeArray,
    Coded,
    Column,
    ColumnData,
    IntArray,
    Kind,
    Table,
    is_missing,
    missing_column,
)

ATTRIBUTE_KINDS: dict[AttributeKind, Kind] = {AttributeKind.NUMBER: "float", AttributeKind.CATEGORY: "text"}
CATEGORY_WORDS = tuple(category.value for category in ForecastCategory)
KIND_WORDS = tuple(kind.value for kind in ActivityKind)
DIRECTION_WORDS = tuple(direction.value for direction in Direction)
WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("deal_history", "forecast_category"): CATEGORY_WORDS,
    ("calls", "category"): CATEGORY_WORDS,
    ("activities", "kind"): KIND_WORDS,
    ("activities", "direction"): DIRECTION_WORDS,
    ("lead_history", "event"): tuple(event.value for event in LeadEvent),
    ("lead_activities", "kind"): KIND_WORDS,
    ("lead_activities", "direction"): DIRECTION_WORDS,
}
DEFAULTS = {
    ("deals", "known_at"): "created_at",
    ("activities", "known_at"): "occurred_at",
    ("leads", "known_at"): "created_at",
    ("lead_activities", "known_at"): "occurred_at",
}
ID_OF = {"deals": "deal_id", "leads": "lead_id"}  # what others name a row of it by
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2100, 1, 1)  # half-open: times outside can't be meant
_CALENDAR = (day_number(FIRST_DAY) * DAY, day_number(LAST_DAY) * DAY)
_JOINTS = re.compile(r"[\s_-]+")
_LONGEST_DAY = DAY + 2 * HOUR  # when the clocks are set back


@dataclass(frozen=True)
class Dictionary:
    """A source's words for our closed vocabularies: casefolded word -> our word. Our own words need no entry."""

    categories: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, str] = field(default_factory=dict)

    def translate(self, table: str, column: str, word: str) -> str:
        """Our word; a word outside the vocabulary comes back as it is, for the checks to name."""
        folded = word.casefold()
        if column == "outcome":
            return fold_name(word)  # free text, but compared with `planned`
        theirs = {"kind": self.kinds, "event": self.events, "direction": {}}.get(column, self.categories)
        squeezed = _JOINTS.sub("", folded)  # as a mapping compares words: Best Case = BestCase = best_case
        ours = theirs.get(squeezed) or fold_name(word)
        return ours if ours in WORDS[table, column] else word


def dictionary_of(mapping: MappingFile) -> Dictionary:
    """The words that a mapping translates."""
    categories = {word: category.value for word, category in mapping.categories.index().items()}
    kinds = {word: kind.value for word, kind in mapping.activity_kinds.index().items()}
    return Dictionary(categories, kinds, {word: event.value for word, event in mapping.leads.index().items()})


def columns_of(table: str, attributes: Mapping[str, AttributeKind]) -> tuple[Column, ...]:
    """The columns of a table, with the attributes that are declared for it (of deals, of leads) as further ones."""
    return (*TABLES[table].columns, *(Column(name, ATTRIBUTE_KINDS[kind]) for name, kind in attributes.items()))


def read_coded(
    column: Column, raw: Coded, zone: ZoneInfo, date_format: str | None
) -> tuple[ColumnData, NDArray[np.bool_]]:
    """Turn text into a column's encoding: (values of length n, bool[n] of cells that could not be read)."""
    if column.kind in CODED_KINDS:
        return raw, np.zeros(len(raw), dtype=bool)
    if not raw.values:
        return missing_column(column.kind, len(raw)), np.zeros(len(raw), dtype=bool)
    parsed = parse(column.kind, raw.values, zone, date_format)
    values, absent = parsed.values.take(raw.codes), (raw.codes < 0).nonzero()[0]  # a code of -1 takes the last value
    if len(absent):
        values[absent] = np.nan if column.kind == "float" else NAT
    bad = np.zeros(len(raw), dtype=bool)
    if parsed.bad.any():
        bad = parsed.bad.take(raw.codes)
        bad[absent] = False
    return values, bad


def settle(table: Table, dictionary: Dictionary) -> Table:
    """Translate the words of closed vocabularies, fill the defaults, and drop values that no row uses."""
    if not table.n:
        return compact(table)
    columns: dict[str, ColumnData] = {}
    for name, data in table.columns.items():
        if isinstance(data, Coded):
            columns[name] = _words(table.name, name, data, dictionary)
        elif name == "seq":
            columns[name] = _filled(data, np.arange(table.n, dtype=np.int64))
        elif (table.name, name) in DEFAULTS:
            columns[name] = _filled(data, table.ints(DEFAULTS[table.name, name]))
        else:
            columns[name] = data
    return Table(table.name, columns, table.n)


def translated(coded: Coded, translate: Callable[[str], str]) -> Coded:
    """Replace each value by another word; equal words become one value. Values come out sorted, each used."""
    if not coded.values:
        return coded
    used = np.flatnonzero(np.bincount(coded.codes + 1, minlength=len(coded.values) + 1)) - 1
    texts = [translate(coded.values[code]) for code in used.tolist() if code >= 0]
    if len(texts) == len(coded.values) and all(map(eq, texts, coded.values)) and all(map(lt, texts, texts[1:])):
        return coded
    values = tuple(sorted(set(texts)))
    index = {text: code for code, text in enumerate(values)}
    lookup = np.full(len(coded.values) + 1, -1, dtype=np.int32)
    lookup[used[used >= 0]] = [index[text] for text in texts]
    codes: CodeArray = lookup[coded.codes]
    return Coded(codes, values)


def known_stages(history: Table, stages: StageMap) -> tuple[Table, IntArray]:
    """Make stages outside the map missing; return the rows that had one too."""
    stage = history.coded("stage")
    known = stage.codes_in(stages.names)
    strange = np.flatnonzero((known < 0) & (stage.codes >= 0)).astype(np.int64)
    return history.replace({"stage": Coded(known, stages.names)}), strange


def deal_rows(deals: Table, named: Coded) -> IntArray:
    """int64[n]: the row in deals (or leads) of each id, the last where it is there twice; -1 where it is not there."""
    ids = deals.coded(ID_OF[deals.name])
    row_of_code = np.full(len(ids.values) + 1, -1, dtype=np.int64)
    row_of_code[ids.codes] = np.arange(deals.n)
    row_of_code[-1] = -1  # where an id is missing
    return row_of_code.take(named.codes_in(ids.values))


def created_same_day(deals: Table, history: Table, zone: ZoneInfo) -> tuple[Table, IntArray]:
    """Put creations given as a bare date no later than the first history row of that day; of deals or of leads.

    A bare date is known at the end of its day, but a row of history proves that the deal was there before. Returns
    deals with created_at and known_at so bounded, and the rows that changed. Both tables must be settled.
    """
    deal, at = deal_rows(deals, history.coded(ID_OF[deals.name])), history.ints("known_at")
    created_at = _bounded(deals.ints("created_at"), deal, at, zone)
    known_at = deals.ints("known_at")
    floor = np.minimum(created_at, known_at)  # an exact created_at still holds
    known_at = np.maximum(_bounded(known_at, deal, at, zone), floor)
    moved = (created_at != deals.ints("created_at")) | (known_at != deals.ints("known_at"))
    if not moved.any():
        return deals, np.zeros(0, dtype=np.int64)
    return deals.replace({"created_at": created_at, "known_at": known_at}), np.flatnonzero(moved).astype(np.int64)


def known_with_lead(leads: Table, history: Table) -> tuple[Table, IntArray]:
    """Make no row of a lead's history known before the lead is; returns the history and the rows that were.

    Leads may be in the shape of deals. The rows keep their order, and come before whatever else is known at that
    instant. Both tables must be settled.
    """
    known_at, seq = history.ints("known_at"), history.ints("seq")
    floor = np.append(leads.ints("known_at"), NAT)[deal_rows(leads, history.coded(ID_OF[leads.name]))]
    early = np.flatnonzero((known_at < floor) & (known_at != NAT))
    if not len(early):
        return history, early.astype(np.int64)
    turn = np.unique(np.stack([known_at[early], seq[early]], axis=1), axis=0, return_inverse=True)[1].ravel()
    seq = seq + turn.max() + 1
    seq[early] = turn
    return history.replace({"known_at": np.maximum(known_at, floor), "seq": seq}), early.astype(np.int64)


def _bounded(ends: IntArray, deal: IntArray, at: IntArray, zone: ZoneInfo) -> IntArray:
    """Each deal's instant; where it ends a local day, at most the first of the rows (deal, at) within that day."""
    end = np.append(ends, NAT)[deal]
    sound = (end >= _CALENDAR[0]) & (end < _CALENDAR[1]) & (at != NAT)  # the checks name what is outside
    rows = np.flatnonzero(sound & (at < end) & (at > end - _LONGEST_DAY))
    if not len(rows):
        return ends
    starts = day_starts(end[rows], zone)
    rows = rows[(starts != NAT) & (at[rows] >= starts)]
    bounded = ends.copy()
    np.minimum.at(bounded, deal[rows], at[rows])
    return bounded


def quotas_known(quotas: Table, zone: ZoneInfo) -> Table:
    """Give every quota the instant from which it counts: its own known_at, but never before its period begins."""
    days, said = quotas.ints("period_start"), quotas.ints("known_at")
    sound = (days >= day_number(FIRST_DAY)) & (days < day_number(LAST_DAY))  # the checks name what is outside
    begun = np.full(quotas.n, NAT, dtype=np.int64)
    begun[sound] = end_of_day(days[sound] - 1, zone) + 1
    return quotas.replace({"known_at": np.where(sound, np.maximum(said, begun), said)})


def compact(table: Table) -> Table:
    """Drop the values that no row uses any more, so that a vocabulary never names what was left out."""
    columns = {name: translated(data, str) if isinstance(data, Coded) else data for name, data in table.columns.items()}
    return Table(table.name, columns, table.n)


def _words(table: str, column: str, data: Coded, dictionary: Dictionary) -> Coded:
    if (table, column) in WORDS or column == "outcome":
        return translated(data, lambda word: dictionary.translate(table, column, word))
    return data


def _filled(data: ColumnData, default: NDArray[np.int64]) -> ColumnData:
    return data if isinstance(data, Coded) else np.where(is_missing(data), default, data)
