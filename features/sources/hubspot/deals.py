"""From deals to what each conversion turned into: a deal's own history of stages, and the deal of each lead.

Deals are read for what became of leads alone, never as deals that are forecast.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from configs.hubspot import HubSpotMapping
from features.ingest import Notice
from features.parsing import cents, end_of_day
from features.periods import DAY, local_days
from features.sources.columns import among, at, texts
from features.sources.exports import Export
from features.sources.frames import Stacked
from features.sources.hubspot.contacts import ARCHIVED, UNTOLD, Contacts, archived
from features.sources.hubspot.history import of_property, refuse_unread
from features.sources.hubspot.objects import DEALS, HISTORY, KEY
from features.tables import NAT, Coded, ColumnData, IntArray, Table

Mask = NDArray[np.bool_]
EMPTY = "an empty stage"
NO_AMOUNT = "an amount that is no number"


class Deals:
    """The deals of an export that are kept, in the order of their rows."""

    def __init__(self, export: Export, mapping: HubSpotMapping, contacts: Contacts) -> None:
        self.mapping, self.contacts = mapping, contacts
        self.object, self.log = export[DEALS], export[DEALS + HISTORY]
        self.object.refuse(archived(self.object), ARCHIVED)
        self.rows = np.flatnonzero(self.object.live)
        self.ids = self.object.coded(KEY).take(self.rows)
        self.created = self.object.ints("createdate")[self.rows]
        place = {text or "": code for code, text in enumerate(self.ids.strings())}
        self.deal = self.log.coded("object_id").codes_in(place).astype(np.int64)
        refuse_unread(self.log, self.deal, "dealstage", "amount")
        self.log.refuse(of_property(self.log, "dealstage") & (self.log.coded("value").codes < 0), EMPTY)
        said = self.log.coded("value")
        self.log.refuse(
            of_property(self.log, "amount") & among(said, {v for v in said.values if cents(v) is None}), NO_AMOUNT
        )

    def of_leads(self, converted_at: IntArray, zone: ZoneInfo) -> tuple[Coded, list[Notice]]:
        """Return the deal of each lead's conversion: its contact's first from that day on, within the days that count.

        converted_at: int64[leads], NAT where a lead did not convert.
        """
        pairs = self.contacts.pairs(self.object.coded("contact_ids").take(self.rows))
        pairs = pairs.take((pairs.lead >= 0) & (pairs.since != UNTOLD))
        when, born = converted_at[pairs.lead], self.created[pairs.row]
        fits = when != NAT
        day = np.where(fits, when, 0)
        starts = end_of_day(local_days(day, zone.key) - 1, zone) + 1
        fits &= (born >= starts) & (born <= when + self.mapping.deal_within_days * DAY)
        row, lead = pairs.row[fits], pairs.lead[fits]
        latest_first = np.lexsort((self.ids.codes[row], self.created[row]))[::-1]
        deal = np.full(len(converted_at), -1)
        deal[lead[latest_first]] = row[latest_first]  # of equal places the last one written stays: the first deal
        unlinked = int(np.count_nonzero((converted_at != NAT) & (deal < 0)))
        message = "conversions without a deal of the contact's within the days that count; what became is unknown"
        notices = [Notice("unlinked", DEALS, unlinked, message)] if unlinked and len(self.rows) else []
        named = at(self.ids, deal)
        return (named if isinstance(named, Coded) else Coded.missing(len(deal))), notices

    def tables(self) -> dict[str, Stacked]:
        """`deals` and `deal_history`; none where the export has no deals."""
        if not self.object.n:
            return {}
        columns: dict[str, ColumnData] = {"deal_id": self.ids, "created_at": self.created}
        deals = Stacked(Table.of("deals", columns, len(self.rows)), self._place, (self.object.label,), len(self.rows))
        return {"deals": deals, "deal_history": self._history()}

    def _place(self, deal: int) -> str:
        return self.object.place(int(self.rows[deal]))

    def _history(self) -> Stacked:
        """A row for each stage that history dates; the current one, marked assumed, where it dates none."""
        log, when = self.log, self.log.ints("timestamp")
        change = np.flatnonzero(log.live & of_property(self.log, "dealstage"))
        told = np.zeros(len(self.rows), dtype=bool)
        told[self.deal[change]] = True
        stage_now = self.object.coded("dealstage").take(self.rows)
        closed = among(stage_now, {*self.mapping.stages.won, *self.mapping.stages.lost})
        closedate = self.object.ints("closedate")[self.rows]
        # A closed deal without history was open until its close date.
        began = np.flatnonzero(~told & closed & (closedate > self.created))
        now = np.flatnonzero(~told)
        now_at = np.where(closed & (closedate != NAT), np.maximum(closedate, self.created), self.created)[now]
        deal = np.concatenate([self.deal[change], began, now])
        known_at = np.concatenate(
            [np.maximum(when[change], self.created[self.deal[change]]), self.created[began], now_at]
        )
        opened = Coded(np.zeros(len(began), dtype=np.int32), (self.mapping.stages.order[0],))
        amount, assumed = self._amounts(deal, known_at)
        of_stage = np.arange(len(deal)) >= len(change)
        columns: dict[str, ColumnData] = {
            "deal_id": self.ids.take(deal),
            "known_at": known_at,
            "stage": texts([log.coded("value").take(change), opened, stage_now.take(now)]),
            "amount": amount,
            "assumed": Coded((assumed + 2 * of_stage - 1).astype(np.int32), ("amount", "stage", "stage,amount")),
        }
        places = np.concatenate([change, np.full(len(began) + len(now), -1)])

        def place(row: int) -> str:
            return log.place(int(places[row])) if places[row] >= 0 else self._place(int(deal[row]))

        files = tuple(dict.fromkeys(rows.label for rows in (self.object, log) if rows.n))
        return Stacked(Table.of("deal_history", columns, len(deal)), place, files, len(deal))

    def _amounts(self, deal: IntArray, known_at: IntArray) -> tuple[IntArray, Mask]:
        """Return the amount of a deal at an instant, in cents, and where it is the current one for want of history.

        With deals in several currencies it is the current one in the company's own.
        """
        currencies = self.object.coded("deal_currency_code").take(self.rows)
        several = len(np.unique(currencies.codes[currencies.codes >= 0])) > 1
        now = self.object.ints("amount_in_home_currency" if several else "amount")[self.rows][deal]
        change = np.flatnonzero(self.log.live & of_property(self.log, "amount"))
        if several or not len(change):
            return now, np.ones(len(deal), dtype=bool)
        said = self.log.coded("value")
        told = np.array([*(NAT if (n := cents(text)) is None else n for text in said.values), NAT])[said.codes[change]]
        whose = np.concatenate([self.deal[change], deal])
        when = np.concatenate([self.log.ints("timestamp")[change], known_at])
        asked = np.arange(len(whose)) >= len(change)
        order = np.lexsort((asked, when, whose))
        last = np.maximum.accumulate(np.where(asked[order], -1, np.arange(len(order))))
        found = np.full(len(whose), -1)
        found[order] = np.where(last >= 0, order[last], -1)
        before = found[len(change) :]
        has = (before >= 0) & (whose[before] == deal)
        return np.where(has, np.append(told, NAT)[np.where(has, before, -1)], now), ~has
