"""From contacts to `leads`, and which lead a contact id means: its own, or that of the contact it was merged into."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from configs.hubspot import HubSpotMapping
from features.ingest import Notice
from features.sources.chains import circles, ends
from features.sources.columns import among, at
from features.sources.exports import ATTRIBUTE, Export, Rows
from features.sources.frames import Stacked
from features.sources.hubspot.objects import CONTACTS, KEY
from features.tables import NAT, Coded, ColumnData, IntArray, Table

Mask = NDArray[np.bool_]
ARCHIVED = "archived or deleted"
MERGED = "merged into another contact"
OPT_OUT = "opt-out "  # what a property that tells of an opt-out is called among the fields of contacts
UNTOLD = int(np.iinfo(np.int64).max)  # when a merge happened whose time the export does not tell
_SEPARATORS = re.compile(r"[;,\s]+")
_MERGE = re.compile(r"([^:]+)(?::(\d{11,14}))?")
_MILLI = 1000


@dataclass(frozen=True)
class Pairs:
    """Rows of an object and the leads that each names, one pair after the other.

    since: from when on what is known of the row is known of the lead: NAT for its own id, else the instant of the
    merge, UNTOLD where the export does not tell it. lead: -1 for an id that is no lead.
    """

    row: IntArray
    lead: IntArray
    since: IntArray

    def take(self, which: Mask) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.row[which], self.lead[which], self.since[which])


def archived(rows: Rows) -> Mask:
    """bool[n]: the record is archived, by its mark or by a time."""
    mask: Mask = rows.true("archived") | (rows.ints("archivedAt") != NAT)
    return mask


def split(text: str) -> list[str]:
    """Return the ids of a list such as ``101;102``, each once, in their order."""
    return list(dict.fromkeys(part for part in _SEPARATORS.split(text) if part))


class Contacts:
    """The contacts of an export that are kept, in the order of their rows: the leads."""

    def __init__(self, export: Export, mapping: HubSpotMapping) -> None:
        self.mapping, self.object = mapping, export[CONTACTS]
        step = self._steps()
        into = {old: new for old, (new, _) in step.items()}
        self.faults = circles(self.object, into, "hs_merged_object_ids", "merged into")
        self._into = {} if self.faults else ends(into)
        self._step, self.merged_ids = step, frozenset(into)
        key = self.object.coded(KEY)
        self.object.refuse(archived(self.object), ARCHIVED)
        self.object.refuse(among(key, self.merged_ids), MERGED)
        self.rows = np.flatnonzero(self.object.live)
        self.ids = key.take(self.rows)
        self.created = self.object.ints("createdate")[self.rows]

    def _steps(self) -> dict[str, tuple[str, int]]:
        """Merged contact -> the contact that lists it, and when that was, UNTOLD where it is not told."""
        columns = [self.object.coded(name) for name in (KEY, "hs_merged_object_ids", "hs_calculated_merged_vids")]
        listed = sorted(
            (survivor, ";".join(text for text in (plain, timed) if text))
            for survivor, plain, timed in zip(*(column.strings() for column in columns), strict=True)
            if survivor is not None and (plain or timed)
        )
        step: dict[str, tuple[str, int]] = {}
        for survivor, text in listed:
            for part in split(text):
                told = _MERGE.fullmatch(part)
                if told is None or told[1] == survivor:
                    continue
                when = int(told[2]) * _MILLI if told[2] else UNTOLD
                step[told[1]] = min(step.get(told[1], (survivor, UNTOLD)), (survivor, when))
        return step

    @cached_property
    def place(self) -> dict[str, int]:
        """Id of a kept contact -> its lead."""
        return {text or "": code for code, text in enumerate(self.ids.strings())}

    @cached_property
    def _merged(self) -> dict[str, tuple[int, int]]:
        """Id of a merged contact -> the lead of the one that is left, -1 where that is not kept, and since when."""
        return {old: (self.place.get(new, -1), self._since(old)) for old, new in self._into.items()}

    def _since(self, old: str) -> int:
        """The instant of the last merge on the way of a contact to the one that is left."""
        since = NAT
        while old in self._step:
            old, when = self._step[old]
            since = max(since, when)
        return since

    def pairs(self, named: Coded) -> Pairs:
        """Return the leads that each row names; a row twice where it names several, not at all where it names none."""
        listed = [[self._lead(part) for part in split(text)] for text in named.values]
        flat = np.array([pair for pairs in listed for pair in pairs], dtype=np.int64).reshape(-1, 2)
        counts = np.array([*(len(pairs) for pairs in listed), 0])[named.codes]
        starts = np.cumsum([0, *(len(pairs) for pairs in listed)])[named.codes]
        row = np.repeat(np.arange(len(named)), counts)
        within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        told = flat[np.repeat(starts, counts) + within]
        return Pairs(row, told[:, 0], told[:, 1])

    def _lead(self, contact: str) -> tuple[int, int]:
        own = self.place.get(contact, -1)
        return (own, NAT) if own >= 0 else self._merged.get(contact, (-1, NAT))

    def tables(self) -> dict[str, Stacked]:
        """`leads`: what is fixed at creation, as far as the mapping says so, and opt-outs as they stand now."""
        told = {
            "source": "hs_analytics_source",
            "industry": "industry",
            "size": "size",
            "region": "region",
            "name": "company",  # never the person's own
        }
        columns: dict[str, ColumnData] = {
            "lead_id": self.ids,
            "created_at": self.created,
            "opted_out": self._opted_out(),
            **{ours: self.object.coded(theirs).take(self.rows) for ours, theirs in told.items()},
        }
        for name in self.mapping.leads.attributes:
            columns[name] = at(self.object.columns[ATTRIBUTE + name], self.rows)
        table = Table.of("leads", columns, len(self.rows))
        return {"leads": Stacked(table, self.place_of, (self.object.label,), len(self.rows))}

    def place_of(self, lead: int) -> str:
        """Where a lead's contact stands."""
        return self.object.place(int(self.rows[lead]))

    def _opted_out(self) -> IntArray:
        said = [self.object.ints(name)[self.rows] for name in self.object.columns if name.startswith(OPT_OUT)]
        return np.max(said, axis=0) if said else np.full(len(self.rows), NAT)  # NAT is below both

    def notices(self) -> Iterator[Notice]:
        """What the export can't tell of merges."""
        untold = sum(since == UNTOLD for _, since in self._merged.values())
        if untold:
            message = "contacts merged at a time that the export does not tell (hs_calculated_merged_vids)"
            yield Notice("merge_untold", CONTACTS, untold, f"{message}; what names them is left out")
