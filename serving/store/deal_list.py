"""The list of open deals: what it shows of each beside the score, and what it can be filtered and sorted by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from serving.store.tables import DEALS, REPS, SCORE_FLAGS, SCORES
from serving.store.upsert import chunks

OF = SCORES.c
SORTS: dict[str, ColumnElement[Any]] = {
    "deal_id": OF.deal_id,
    "p": OF.p,
    "amount_expected": func.coalesce(OF.amount_expected, -1.0),
    "amount": func.coalesce(OF.amount_cents, -1),
    "close_date": func.coalesce(OF.close_date, ""),
    "change": func.coalesce(OF.p - OF.p_before, 0.0),
    "stage_since": func.coalesce(OF.stage_since, 0),
    "pushes": func.coalesce(OF.pushes, 0),
    "last_buyer_at": func.coalesce(OF.last_buyer_at, 0),
    "owner_id": func.coalesce(OF.owner_id, ""),
}
"""What stored scores can be sorted by; with a minus in front the largest comes first."""
TEXTS = ("deal_id", "close_date", "owner_id")
"""Sorts whose values are text; those of the others are numbers."""


@dataclass(frozen=True)
class Query:
    """Which stored scores: filtered where a word is given, sorted, after a place, so many.

    sort: a name of `SORTS`. after: sort value and deal_id of the last one seen. due: ISO day by which the CRM's close
    date lies. flags: any of them. text: part of the deal's id or name or of the account's name, in either case.
    """

    flag: str | None
    team: str | None
    sort: str
    descending: bool
    after: tuple[Any, str] | None
    limit: int
    owner: str | None = None
    category: str | None = None
    stage: str | None = None
    due: str | None = None
    flags: tuple[str, ...] = ()
    text: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions under which a stored score is asked for, its place in the order included."""
        pairs = ((OF.team, self.team), (OF.owner_id, self.owner), (OF.category, self.category), (OF.stage, self.stage))
        wanted: list[ColumnElement[bool]] = [column == value for column, value in pairs if value is not None]
        if self.due is not None:
            wanted.append(OF.close_date <= self.due)
        flags = self.flags if self.flag is None else (self.flag,)
        if flags:
            wanted.append(OF.deal_id.in_(select(SCORE_FLAGS.c.deal_id).where(SCORE_FLAGS.c.code.in_(flags))))
        if self.text is not None:
            said, part = (DEALS.c.deal_id, DEALS.c.name, DEALS.c.account_name), self.text.lower()
            called = or_(*(func.lower(column).contains(part, autoescape=True) for column in said))
            wanted.append(OF.deal_id.in_(select(DEALS.c.deal_id).where(called)))
        return wanted + ([] if self.after is None else [self._beyond(*self.after)])

    def order(self) -> list[ColumnElement[Any]]:
        """Return what rows are ordered by."""
        columns = (SORTS[self.sort], OF.deal_id)
        return [one.desc() if self.descending else one.asc() for one in columns]

    def _beyond(self, value: Any, name: str) -> ColumnElement[bool]:
        """Return the condition of coming after a place in the order of (place, deal_id)."""
        place = SORTS[self.sort]
        further = place < value if self.descending else place > value
        later = OF.deal_id < name if self.descending else OF.deal_id > name
        return or_(further, and_(place == value, later))


@dataclass(frozen=True)
class DealFacts:
    """How an open deal stood at the refresh that scored it; None where that is not known.

    name, account_name, owner_name: to show, and for nothing else. amount: as the CRM has it, currency. close_date: ISO.
    stage_since, created_at, last_buyer_at, next_meeting_at: UTC microseconds. p_before: what was shown a week before,
    None where the deal was not scored then or that was about another period.
    """

    name: str | None
    account_name: str | None
    owner_name: str | None
    stage: str | None
    stage_since: int | None
    amount: float | None
    close_date: str | None
    category: str | None
    pushes: int | None
    created_at: int | None
    last_buyer_at: int | None
    next_meeting_at: int | None
    p_before: float | None


@dataclass(frozen=True)
class Names:
    """What things are called, to show: of deals (name, account) and of reps."""

    deals: Mapping[str, tuple[str | None, str | None]]
    reps: Mapping[str, str]


def names_of(connection: Connection, deals: Sequence[str], owners: Sequence[str | None]) -> Names:
    """Return the names of some deals and reps that may be seen."""
    found: dict[str, tuple[str | None, str | None]] = {}
    reps: dict[str, str] = {}
    for some in chunks(deals):
        asked = select(DEALS.c.deal_id, DEALS.c.name, DEALS.c.account_name).where(DEALS.c.deal_id.in_(some))
        found |= {row.deal_id: (row.name, row.account_name) for row in connection.execute(asked)}
    for some in chunks(sorted({owner for owner in owners if owner is not None})):
        called = select(REPS.c.rep_id, REPS.c.name).where(REPS.c.rep_id.in_(some))
        reps |= {row.rep_id: row.name for row in connection.execute(called)}
    return Names(found, reps)


def facts_of(row: Mapping[str, Any], names: Names) -> DealFacts:
    """Return the facts of a row of ``scores``."""
    name, account = names.deals.get(row["deal_id"], (None, None))
    return DealFacts(
        name=name,
        account_name=account,
        owner_name=names.reps.get(row["owner_id"] or ""),
        amount=None if row["amount_cents"] is None else row["amount_cents"] / 100,
        **{column: row[column] for column in _AS_STORED},
    )


_AS_STORED = (
    "stage", "stage_since", "close_date", "category", "pushes", "created_at", "last_buyer_at", "next_meeting_at",
    "p_before",
)  # fmt: skip
