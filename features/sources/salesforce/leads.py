"""From Lead and LeadHistory to `leads` and `lead_history`, and whose activity one is when a lead is a contact by now.

The status that stands on a lead now is never read: only what its history dates, and the conversion at its own date. A
conversion hands all that was done about the lead to the contact that it became, so that the export shows activities of
leads that did not convert alone; they are given back, see `Leads.at`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from configs.errors import Fault
from configs.mapping import fold
from configs.salesforce import SalesforceMapping
from configs.vocab import LeadEvent
from features.ingest import Notice
from features.periods import DAY
from features.sources.assemble import FEW, MAX_SHARE
from features.sources.columns import among, at, first_rows, renamed, texts
from features.sources.exports import ATTRIBUTE, Export, folded
from features.sources.frames import Stacked
from features.sources.salesforce.fields import UNREAD, in_order
from features.tables import NAT, Coded, ColumnData, IntArray, Table

Mask = NDArray[np.bool_]
HISTORY = "LeadHistory"
MERGED = "merged into another record"
DELETED = "deleted"
MARKER = "created: the lead's own row says so"
ORPHAN = "its lead is not in the export, or left out"
NO_VALUE = "tells no new value"
NEVER_CONVERTED = "a converted status of a lead that never was converted"
OF_STATUS, OF_CONVERSION = "status", "leadconverted"
MARKERS = ("created",)


@dataclass(frozen=True)
class NamedLeads:
    """What the rows of an object name: a lead, or the contact that one became; int64[n], -1 where neither."""

    lead: IntArray
    contact: IntArray


class Leads:
    """The leads of an export that are kept, in the order of their rows."""

    def __init__(self, export: Export, mapping: SalesforceMapping, masters: dict[str, str]) -> None:
        """masters: merged contact -> the one it went into."""
        self.export, self.mapping, self.masters = export, mapping, masters
        self.object, self.log = export["Lead"], export[HISTORY]
        self.object.refuse(self.object.coded("MasterRecordId").codes >= 0, MERGED)
        self.object.refuse(self.object.true("IsDeleted"), DELETED)
        self.rows = np.flatnonzero(self.object.live)
        self.ids = self.object.coded("Id").take(self.rows)
        self.created = self.object.ints("CreatedDate")[self.rows]
        self.lead = self.codes(self.log.coded("LeadId"))
        self.faults = self._read_log()

    def codes(self, named: Coded) -> IntArray:
        """int64[n]: the lead that each id names, -1 where there is none."""
        return named.codes_in(self._place).astype(np.int64)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {text or "": code for code, text in enumerate(self.ids.strings())}

    @cached_property
    def words(self) -> dict[str, LeadEvent]:
        """Folded word of a status -> what it is to us."""
        return self.mapping.leads.index()

    def _read_log(self) -> list[Fault]:
        """Refuse the rows of history that tell nothing of a lead's status; a fault where most are of no lead."""
        rows = self.log
        field, listed = rows.coded("Field"), frozenset(self.object.coded("Id").values)
        strange = rows.live & ~among(rows.coded("LeadId"), listed)
        many = int(np.count_nonzero(strange))
        faults = []
        if many >= FEW and many > MAX_SHARE * rows.n:
            got = f"{many:,} of {rows.n:,} rows are of leads that are not in the export"
            where, remedy = rows.place(int(np.flatnonzero(strange)[0])), "export Lead whole, with deleted rows"
            faults.append(Fault("unknown_lead", where, got, "an Id of Lead", remedy, f"{HISTORY}.LeadId"))
        rows.refuse(self.lead < 0, ORPHAN)
        rows.refuse(among(field, {value for value in field.values if folded(value) in MARKERS}), MARKER)
        rows.refuse(~(self._of(OF_STATUS) | self._of(OF_CONVERSION)), UNREAD)
        rows.refuse(self._of(OF_STATUS) & (rows.coded("NewValue").codes < 0), NO_VALUE)
        rows.refuse(self._converting & ~np.append(self.converted, False)[self.lead], NEVER_CONVERTED)
        return faults

    def _of(self, name: str) -> Mask:
        field = self.log.coded("Field")
        return among(field, {value for value in field.values if folded(value) == name})

    @cached_property
    def _converting(self) -> Mask:
        """bool[n]: rows of history that say that the lead was converted."""
        new = self.log.coded("NewValue")
        words = {value for value in new.values if self.words.get(fold(value)) is LeadEvent.CONVERTED}
        return self._of(OF_CONVERSION) | (self._of(OF_STATUS) & among(new, words))

    @cached_property
    def converted(self) -> Mask:
        """bool[leads]: converted in the end, which nothing takes back; by history alone where Lead does not tell."""
        if not (self.object.has("IsConverted") or self.object.has("ConvertedDate")):
            mask = np.zeros(len(self.rows) + 1, dtype=bool)
            mask[self.lead[self._converting]] = True
            return mask[:-1]
        said, when = (self.object.ints(name)[self.rows] for name in ("IsConverted", "ConvertedDate"))
        told: Mask = (said == 1) | ((said == NAT) & (when != NAT))
        return told

    @cached_property
    def told_at(self) -> IntArray:
        """int64[leads]: the instant at which history says that the lead was converted, NAT where it does not."""
        rows = np.flatnonzero(self.log.live & self._converting)
        latest_first = rows[np.argsort(self.log.ints("CreatedDate")[rows], kind="stable")][::-1]
        when = np.full(len(self.rows), NAT)
        when[self.lead[latest_first]] = self.log.ints("CreatedDate")[latest_first]
        return when

    @cached_property
    def converted_at(self) -> IntArray:
        """int64[leads]: when the conversion is known, NAT where there is none: by history, else the end of its date."""
        date = self.object.ints("ConvertedDate")[self.rows]
        when = np.where(self.told_at != NAT, self.told_at, date)
        return np.where(self.converted & (when != NAT), np.maximum(when, self.created), NAT)

    @cached_property
    def contacts(self) -> tuple[tuple[str, ...], IntArray, IntArray]:
        """Contacts that one lead each became, that lead, and until when what was done about them was done about it.

        No activity can have been logged with a contact before there was one. Where neither the contact's creation nor
        history tells the instant of the conversion, its whole day is left to the contact.
        """
        contact = renamed(self.object.coded("ConvertedContactId").take(self.rows), self.masters)
        who = self.export["Contact"]
        row = contact.codes_in([text or "" for text in who.coded("Id").strings()])
        born = np.append(who.ints("CreatedDate"), NAT)[row]
        until = np.where((self.told_at == NAT) & (born == NAT), self.converted_at - DAY, self.converted_at)
        until = np.where(born == NAT, until, np.minimum(until, born))
        some = np.flatnonzero((contact.codes >= 0) & (self.converted_at != NAT))
        values, first, count = np.unique(contact.codes[some], return_index=True, return_counts=True)
        lead = some[first[count == 1]]
        return tuple(contact.values[code] for code in values[count == 1].tolist()), lead, until[lead]

    def named(self, people: Sequence[Coded]) -> NamedLeads:
        """What each row names by its columns; of several the first that is a lead, or became of one."""
        became = {name: place for place, name in enumerate(self.contacts[0])}
        lead = person = np.full(len(people[0]), -1, dtype=np.int64)
        for named in people:
            if named.values and len(self.rows):
                lead = np.where(lead >= 0, lead, self.codes(named))
                person = np.where(person >= 0, person, renamed(named, self.masters).codes_in(became))
        return NamedLeads(lead, person)

    def at(self, named: NamedLeads, rows: IntArray, known_at: IntArray) -> tuple[IntArray, Mask]:
        """Lead of each fact (a row of the object, known at an instant), -1 where none; whether a contact gave it back.

        What is known of a contact before the lead became it, and since there was a lead, was done about the lead.
        """
        _, lead, until = self.contacts
        person = named.contact[rows]
        of = np.append(lead, -1)[person]
        before = (known_at < np.append(until, NAT)[person]) & (known_at >= np.append(self.created, 0)[of])
        given = (named.lead[rows] < 0) & (of >= 0) & before
        return np.where(given, of, named.lead[rows]), given

    def relevant(self, person: Coded) -> IntArray:
        """Rows of an object that name a lead, or a contact that one became."""
        found = self.named([person])
        return np.flatnonzero((found.lead >= 0) | (found.contact >= 0))

    def notices(self) -> list[Notice]:
        """What the export cannot tell of conversions."""
        untold = int(np.count_nonzero(self.converted & (self.converted_at == NAT)))
        _, lead, until = self.contacts
        older = int(np.count_nonzero(until < self.created[lead]))
        lost = int(np.count_nonzero(self.converted_at != NAT)) - len(lead) + older
        listed = (
            ("conversion_untold", untold, "converted at a time that the export does not tell; they count as open"),
            (
                "activities_lost",
                lost,
                "converted leads whose activities are another's by now: the export does not tell which contact each "
                "became (ConvertedContactId), or several became one, or it was there before the lead. They look idle "
                "beside leads that did not convert",
            ),
        )
        return [Notice(code, "Lead", rows, message) for code, rows, message in listed if rows]

    def tables(self) -> dict[str, Stacked]:
        """`leads`, and `lead_history`: the status before its first change, each change, and the conversion."""
        columns: dict[str, ColumnData] = {
            "lead_id": self.ids,
            "created_at": self.created,
            "name": self.object.coded("Company").take(self.rows),  # never the person's own
            "source": self.object.coded("LeadSource").take(self.rows),
            "industry": self.object.coded("Industry").take(self.rows),
            "size": self.object.coded("size").take(self.rows),
            "region": self.object.coded("region").take(self.rows),
            "opted_out": self._opted_out(),
        }
        for name in self.mapping.leads.attributes:
            columns[name] = at(self.object.columns[ATTRIBUTE + name], self.rows)
        table = Table.of("leads", columns, len(self.rows))
        stacked = Stacked(table, lambda row: self._place_of(row), (self.object.label,), len(self.rows))
        return {"leads": stacked, "lead_history": self._history()}

    def _place_of(self, lead: int) -> str:
        return self.object.place(int(self.rows[lead]))

    def _opted_out(self) -> IntArray:
        """1 where the lead wants no mails or no calls, as it stands now."""
        said = [self.object.ints(name)[self.rows] for name in ("HasOptedOutOfEmail", "DoNotCall")]
        return np.maximum(*said)  # NAT is below both

    def _history(self) -> Stacked:
        rows, when = self.log, self.log.ints("CreatedDate")
        change = in_order(rows, self.lead, when, np.flatnonzero(rows.live & self._of(OF_STATUS)))
        first = first_rows(self.lead[change], len(self.rows))
        began = np.flatnonzero((first >= 0) & self._begins_later(change, first))
        moved = change[~self._converting[change]]
        won = np.flatnonzero(self.converted_at != NAT)
        lead = np.concatenate([began, self.lead[moved], won])
        word = texts([rows.coded("OldValue").take(change[first[began]]), rows.coded("NewValue").take(moved), _won(won)])
        deal = self.object.coded("ConvertedOpportunityId").take(self.rows[won])
        columns: dict[str, ColumnData] = {
            "lead_id": self.ids.take(lead),
            "known_at": np.concatenate([self.created[began], when[moved], self.converted_at[won]]),
            "seq": np.arange(len(lead)),
            "event": word,
            "deal_id": texts([Coded.missing(len(began) + len(moved)), deal]),
        }
        places = np.concatenate([np.full(len(began), -1), moved, np.full(len(won), -1)])

        def place(row: int) -> str:
            return rows.place(int(places[row])) if places[row] >= 0 else self._place_of(int(lead[row]))

        files = tuple(self.export[name].label for name in ("Lead", HISTORY) if self.export.has(name))
        return Stacked(Table.of("lead_history", columns, len(lead)), place, files, len(lead))

    def _begins_later(self, change: IntArray, first: IntArray) -> Mask:
        """bool[leads]: the status before the first change is told, and is not where every lead begins."""
        old = self.log.coded("OldValue")
        plain = {value for value in old.values if self.words.get(fold(value)) is LeadEvent.NEW}
        told = (old.codes >= 0) & ~among(old, plain)
        mask: Mask = np.append(told[change], False)[first]
        return mask


def _won(rows: IntArray) -> Coded:
    return Coded(np.zeros(len(rows), dtype=np.int32), (LeadEvent.CONVERTED.value,))
