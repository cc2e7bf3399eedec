"""From the property history of contacts to `lead_history`.

The stage and status that stand on a contact now are never read: only what its history dates. A stage that is set back
is an event of its own. A status speaks where it disqualifies, where it takes a disqualified contact up again (the
lifecycle stage in force counts then), and, in the words of the mapping, where somebody takes up a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from configs.errors import Fault
from configs.mapping import fold
from configs.vocab import LeadEvent
from features.ingest import EXAMPLES, Notice
from features.sources.assemble import FEW, MAX_SHARE
from features.sources.columns import among
from features.sources.exports import Export
from features.sources.frames import Stacked
from features.sources.hubspot.contacts import Contacts
from features.sources.hubspot.history import first_of, of_property, refuse_unread
from features.sources.hubspot.objects import CONTACTS, HISTORY
from features.tables import NAT, Coded, ColumnData, IntArray, Table

Mask = NDArray[np.bool_]
MERGED_HISTORY = "of a merged contact: the history of the one that is left counts"
CLEARED = "the stage was cleared, to be set anew"
NO_STEP = "a lifecycle stage that is no step of a lead"
STATUS = "a lead status that changes nothing"
EVENTS = tuple(event.value for event in LeadEvent)
_NEW, _WORKED, _DISQUALIFIED = (EVENTS.index(e) for e in (LeadEvent.NEW, LeadEvent.WORKED, LeadEvent.DISQUALIFIED))
_CONVERTED = EVENTS.index(LeadEvent.CONVERTED)
_SECOND = 1_000_000


class Lifecycle:
    """What history tells of the contacts that are kept."""

    def __init__(self, export: Export, contacts: Contacts) -> None:
        self.contacts, self.log = contacts, export[CONTACTS + HISTORY]
        self.lead = self.log.coded("object_id").codes_in(contacts.place).astype(np.int64)
        self.when = self.log.ints("timestamp")
        self.faults = self._strange()
        self._refuse()
        self.event = self._events()

    def _strange(self) -> list[Fault]:
        """A fault where most rows are of contacts that nobody knows."""
        listed = frozenset(self.contacts.object.coded("hs_object_id").values) | self.contacts.merged_ids
        strange = self.log.live & ~among(self.log.coded("object_id"), listed)
        many = int(np.count_nonzero(strange))
        if many < FEW or many <= MAX_SHARE * self.log.n:
            return []
        got = f"{many:,} of {self.log.n:,} rows are of contacts that are not in the export"
        where = self.log.place(int(np.flatnonzero(strange)[0]))
        return [Fault("unknown_lead", where, got, "an id of contacts", "export contacts whole", self.log.name)]

    @cached_property
    def _is_stage(self) -> Mask:
        return of_property(self.log, "lifecyclestage")

    @cached_property
    def _word(self) -> IntArray:
        """int64[n]: the event that each value stands for by itself, -1 for none."""
        value = self.log.coded("value")
        told = np.array([*(self._event_of(text) for text in value.values), -1])[value.codes]
        of_status = np.isin(told, (_WORKED, _DISQUALIFIED))
        return np.where(self._is_stage | of_status, told, -1)

    @cached_property
    def _words(self) -> dict[str, LeadEvent]:
        return self.contacts.mapping.leads.index()

    def _event_of(self, text: str) -> int:
        event = self._words.get(fold(text))
        return -1 if event is None else EVENTS.index(event)

    def _refuse(self) -> None:
        rows = self.log
        rows.refuse(among(rows.coded("object_id"), self.contacts.merged_ids), MERGED_HISTORY)
        refuse_unread(rows, self.lead, "lifecyclestage", "hs_lead_status")
        rows.refuse(self._is_stage & (rows.coded("value").codes < 0), CLEARED)
        rows.refuse(self._is_stage & (self._word < 0), NO_STEP)

    def _events(self) -> IntArray:
        """int64[n]: the event of each row, -1 for none; rows of statuses that change nothing are refused."""
        some = np.flatnonzero(self.log.live)
        # What is saved in one instant goes by its place in the funnel, never by the order of the rows.
        order = some[np.lexsort((self._word[some], self.when[some], self.lead[some]))]
        event = np.full(self.log.n, -1)
        stage: dict[int, int] = {}
        out: set[int] = set()
        columns = (order, self.lead[order], self._word[order], self._is_stage[order])
        for row, lead, word, is_stage in zip(*(column.tolist() for column in columns), strict=True):
            before = stage.get(lead, _NEW)
            if is_stage:
                stage[lead] = event[row] = word
                out.discard(lead)
            elif word == _DISQUALIFIED:
                event[row] = -1 if lead in out else word
                out.add(lead)
            elif lead in out:
                event[row] = before
                out.discard(lead)
            elif word == _WORKED and before == _NEW:
                event[row] = word
        self.log.refuse(self.log.live & (event < 0), STATUS)
        return event

    @cached_property
    def converted_at(self) -> IntArray:
        """int64[leads]: the first conversion of each lead, NAT where there is none."""
        rows = np.flatnonzero(self.log.live & (self.event == _CONVERTED))
        first = first_of(self.lead[rows], self.when[rows], len(self.contacts.rows))
        return np.where(first == NAT, NAT, np.maximum(first, self.contacts.created))

    def table(self, deal: Coded) -> Stacked:
        """`lead_history`. deal: the deal that each lead turned into, put on its conversions."""
        rows = np.flatnonzero(self.log.live)
        rows = rows[np.lexsort((self.event[rows], self.when[rows], self.lead[rows]))]
        lead, event = self.lead[rows], self.event[rows]
        named = deal.take(lead)
        columns: dict[str, ColumnData] = {
            "lead_id": self.contacts.ids.take(lead),
            "known_at": self.when[rows],
            "seq": np.arange(len(rows)),
            "event": Coded(event.astype(np.int32), EVENTS),
            "deal_id": Coded(np.where(event == _CONVERTED, named.codes, -1).astype(np.int32), named.values),
        }
        table = Table.of("lead_history", columns, len(rows))
        return Stacked(table, lambda row: self.log.place(int(rows[row])), (self.log.label,), len(rows))

    def notices(self) -> Iterator[Notice]:
        """What is odd about the history, or not told by it."""
        yield from self._bulk()
        rows, contacts = self.log, self.contacts
        told = np.zeros(len(contacts.rows), dtype=bool)
        told[self.lead[self._is_stage & (self.lead >= 0)]] = True
        now = contacts.object.coded("lifecyclestage").take(contacts.rows)
        words = {text for text in now.values if self._event_of(text) == _CONVERTED}
        untold = among(now, words) & (self.converted_at == NAT)
        value = rows.coded("value")
        strange = self._is_stage & (self.lead >= 0) & (self._word < 0) & (value.codes >= 0)
        used = {value.values[code] for code in value.codes[strange].tolist()}
        others = sorted(text for text in used if fold(text) not in ("evangelist", "other"))
        listed = (
            ("no_lifecycle", ~told, "contacts without any history of their lifecycle stage; they are new ever since"),
            ("conversion_untold", untold, "a converted stage by now that no history dates; they count as open"),
        )
        for code, mask, message in listed:
            if where := np.flatnonzero(mask).tolist():
                places = tuple(contacts.place_of(lead) for lead in where[:EXAMPLES])
                yield Notice(code, CONTACTS, len(where), message, places)
        if others:
            shown = ", ".join(repr(text[:60]) for text in others[:EXAMPLES])
            count = int(np.count_nonzero(strange & among(value, set(others))))
            yield Notice("unknown_stage", rows.name, count, f"lifecycle stages that the mapping does not list: {shown}")

    def _bulk(self) -> Iterator[Notice]:
        """Count the changes that came at one with those of many other contacts."""
        rows = np.flatnonzero(self.log.live & self._is_stage)
        pairs = np.unique(np.stack([self.when[rows] // _SECOND, self.lead[rows]], axis=1), axis=0)
        second, contacts = np.unique(pairs[:, 0], return_counts=True)
        many = second[contacts >= self.contacts.mapping.bulk_contacts]
        hit = rows[np.isin(self.when[rows] // _SECOND, many)]
        if len(hit):
            message = f"lifecycle changes of many contacts at once, in {len(many)} bulk edits or imports; they count"
            places = tuple(self.log.place(int(row)) for row in hit[:EXAMPLES])
            yield Notice("bulk_edit", self.log.name, len(hit), message, places)
