"""Which deal an activity belongs to: the one it names, else the only open deal of its account at that instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.sources.columns import among, first_filled, renamed
from features.sources.exports import Rows
from features.sources.salesforce.deal_history import History
from features.sources.salesforce.deals import Deals
from features.sources.salesforce.ids import LONG, SHORT
from features.tables import Coded, IntArray

Mask = NDArray[np.bool_]
NOTHING = "names no opportunity and no account"
FOREIGN = "about a record that is no opportunity or account of the export"
OF_LEAD = "belongs to a lead that is not in leads"
OF_CONTACT = "of nobody who is a lead, or was one then"
NONE_OPEN = "its account has no open deal at that time"
SEVERAL_OPEN = "its account has several open deals at that time"
REASONS = (NOTHING, FOREIGN, OF_LEAD, NONE_OPEN, SEVERAL_OPEN, OF_CONTACT)


@dataclass(frozen=True)
class Named:
    """What the rows of an object name. deal, account: int64[n], -1 where none; reason: index in REASONS, or -1."""

    deal: IntArray
    account: IntArray
    reason: IntArray
    contact: Coded


@dataclass(frozen=True)
class People:
    """Who is who. masters: merged contact -> the one it went into; account: of a contact."""

    contacts: frozenset[str]
    leads: frozenset[str]
    masters: Mapping[str, str]
    account: Mapping[str, str]

    def is_lead(self, value: str) -> bool:
        """Whether an id is a lead's: listed, or of the form of one."""
        return value in self.leads or (
            value not in self.contacts and len(value) in (SHORT, LONG) and value.startswith("00Q")
        )


class Attribution:
    """Finds the deal of each activity."""

    def __init__(self, deals: Deals, accounts: Coded, history: History, people: People) -> None:
        """accounts: of each deal, merged ones replaced."""
        self.deals, self.people = deals, people
        self.accounts = tuple(sorted({*accounts.values, *deals.export["Account"].coded("Id").values}))
        self.open = _OpenDeals(deals, accounts.codes_in(self.accounts).astype(np.int64), history)

    def named(self, rows: Rows, what: str, who: str | None = None, account: str | None = None) -> Named:
        """What each row names, by its columns."""
        about, person = rows.coded(what), rows.coded(who) if who else Coded.missing(rows.n)
        deal = self.deals.codes(about)
        of_lead = among(person, {value for value in person.values if self.people.is_lead(value)})
        contact = renamed(
            Coded(np.where(of_lead, -1, person.codes).astype(np.int32), person.values), self.people.masters
        )
        told = rows.coded(account) if account else Coded.missing(rows.n)
        theirs = self._account(first_filled(told, self._of_contact(contact)))
        its = self._account(about)
        where = np.where(about.codes >= 0, its, theirs)
        reason = np.full(rows.n, -1, dtype=np.int64)
        lost = (deal < 0) & (where < 0)
        reason[lost] = REASONS.index(NOTHING)
        reason[lost & (about.codes >= 0)] = REASONS.index(FOREIGN)
        reason[(deal < 0) & of_lead] = REASONS.index(OF_LEAD)
        return Named(deal, where, reason, contact)

    def nobody(self, rows: Rows) -> Named:
        """What rows name that can't be about a deal."""
        none = np.full(rows.n, -1, dtype=np.int64)
        return Named(none, none, np.full(rows.n, REASONS.index(OF_CONTACT)), Coded.missing(rows.n))

    def _account(self, ids: Coded) -> IntArray:
        return renamed(ids, self.deals.accounts).codes_in(self.accounts).astype(np.int64)

    def _of_contact(self, contact: Coded) -> Coded:
        """The account of each contact; missing where the export does not tell."""
        return renamed(
            Coded(
                np.where(among(contact, set(self.people.account)), contact.codes, -1).astype(np.int32), contact.values
            ),
            self.people.account,
        )

    def at(self, named: Named, rows: IntArray, known_at: IntArray) -> tuple[IntArray, IntArray]:
        """Deal of each fact (a row of the object, known at an instant), -1 and the reason where there is none."""
        deal, account, reason = named.deal[rows], named.account[rows], named.reason[rows]
        asked = np.flatnonzero((deal < 0) & (account >= 0) & (reason < 0))
        many, only = self.open.at(account[asked], known_at[asked])
        deal[asked] = np.where(many == 1, only, -1)
        reason[asked] = np.where(
            many == 1, -1, np.where(many > 1, REASONS.index(SEVERAL_OPEN), REASONS.index(NONE_OPEN))
        )
        return deal, np.where(deal >= 0, -1, reason)


class _OpenDeals:
    """How many deals of an account are open at an instant, and which, by what was known before it.

    Each opening adds one and the deal's code, each close takes them away; the sums of all before an instant are the
    number of open deals and, where that is one, the deal itself.
    """

    def __init__(self, deals: Deals, account: IntArray, history: History) -> None:
        created = deals.current("CreatedDate")
        if isinstance(created, Coded):
            raise TypeError("times are never text")
        told = np.unique(history.deal)  # a closed deal without history was open nobody knows how long
        table_at = history.stacked.table.ints("known_at")
        deal = np.concatenate([told, history.deal])
        when = np.concatenate([created.astype(np.int64)[told], table_at])
        opened = np.concatenate([np.ones(len(told), dtype=bool), history.opened])
        turn = np.concatenate([np.full(len(told), -1), np.arange(len(history.deal))])
        order = np.lexsort((turn, when, deal))
        deal, when, opened = deal[order], when[order], opened[order]
        before = np.append(False, opened[:-1]) & np.append(False, deal[1:] == deal[:-1]) if len(deal) else opened
        step = opened.astype(np.int64) - before.astype(np.int64)
        of = account[deal]
        moves = np.flatnonzero((step != 0) & (of >= 0))
        self.times = np.unique(when[moves])
        self.width = len(self.times) + 1
        key = of[moves] * self.width + np.searchsorted(self.times, when[moves]) + 1
        order = np.argsort(key, kind="stable")
        self.key = key[order]
        step, deal = step[moves][order], deal[moves][order]
        self.count = np.append(0, np.cumsum(step))
        self.sum = np.append(0, np.cumsum(step * deal))

    def at(self, account: IntArray, known_at: IntArray) -> tuple[IntArray, IntArray]:
        """Number of open deals of each account before each instant, and the deal where it is one."""
        low = np.searchsorted(self.key, account * self.width, side="left")
        high = np.searchsorted(
            self.key, account * self.width + np.searchsorted(self.times, known_at, side="left"), side="right"
        )
        return self.count[high] - self.count[low], self.sum[high] - self.sum[low]
