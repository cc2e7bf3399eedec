"""The fields of a record as the audit asks for them: fixed facts by deal, the rest as known at an instant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from configs.subject import Subject
from features.asof import Requests, look
from features.periods import DAY
from features.record import Record, dimension_of
from features.reference import MILLION
from features.registry import Schema
from features.schema import OWN
from features.settle import deal_rows
from features.tables import NAT, Coded, CrmTables, Table
from features.timeline import Bool, Int, Timeline, timeline
from training.audit_stats import LEAST, Column, categories
from training.labels import outcomes
from training.snapshots import with_history

ACCOUNT = "account_id"
MOST_VALUES = 40  # words of a kind, an outcome or a role that are looked at, the most frequent ones
TRACKED = {  # what a row of history says: column of the timeline -> name of the field
    "stage": "stage",
    "amount": "amount",
    "close_date": "close_date",
    "category": "forecast_category",
    "owner": "owner_id",
    "next_step": "next_step_set",
    "probability_ppm": "probability",
}


@dataclass(frozen=True)
class Closed:
    """Deals that were won or lost, in order of creation: deal, born and closed_at int64[k] (UTC us), won bool[k].

    opened: the deals still open at the end, int64[m], in order of creation.
    """

    deal: Int
    born: Int
    closed_at: Int
    won: Bool
    opened: Int

    def __len__(self) -> int:
        return len(self.deal)

    def before(self, days: float) -> tuple[Int, Requests]:
        """Return the places of the deals that existed so long before their close, and what to ask of them then."""
        ahead = round(days * DAY)
        old = np.flatnonzero(self.closed_at - self.born > ahead)
        return old, Requests(self.deal[old], self.closed_at[old] - ahead)

    def take(self, rows: Int) -> Closed:
        """Return some of the closed deals."""
        return replace(
            self, deal=self.deal[rows], born=self.born[rows], closed_at=self.closed_at[rows], won=self.won[rows]
        )


def closed_deals(record: Record) -> Closed:
    """Return what came of each deal at its first close. Merged deals, and deals without a history, are in neither."""
    deal = with_history(record)
    born = record.deals.known_at[deal]
    order = np.lexsort((deal, born))
    deal, born = deal[order], born[order]
    found = outcomes(record, Requests(deal, born))
    over = (found.closed_at != NAT) & ~found.merged
    return Closed(deal[over], born[over], found.closed_at[over], found.won[over], deal[found.closed_at == NAT])


def fixed_columns(tables: CrmTables, schema: Schema) -> list[Column]:
    """Return what is taken as fixed at creation, a value per deal: the schema's facts and the account."""
    columns, many = [], Subject.of(schema.target).many
    for name in (ACCOUNT, *schema.dimensions):
        coded = tables.deals.coded(name) if name == ACCOUNT else dimension_of(tables, name)
        if len(coded.values):
            columns.append(categories(name, _home(tables, name, many), coded.codes.astype(np.int64), coded.values))
    for name in schema.numbers:
        if tables.deals.has(name):
            columns.append(Column(name, f"{many}, declared constant", tables.deals.floats(name)))
    return columns


def _home(tables: CrmTables, name: str, many: str) -> str:
    if name in (*OWN, ACCOUNT):
        return many
    return f"{many}, declared constant" if name in tables.deals.columns else "accounts, declared fixed"


def tracked_columns(record: Record, asked: Requests) -> list[Column]:
    """Return what the history said of each deal at its as-of: amounts in currency units, close dates in days to go."""
    seen = record.view(asked).of("history")
    words = {"stage": record.stages.order, "owner": record.reference.vocabulary.values["rep"]}
    columns = []
    for name, told in TRACKED.items():
        values = seen.last(name)
        if name in words:
            columns.append(Column(told, "deal_history", np.where(values == NAT, -1, values), words[name]))
            continue
        number = np.where(values == NAT, np.nan, values.astype(np.float64))
        if name == "close_date":
            number = number - asked.as_of / DAY
        columns.append(Column(told, "deal_history", number / {"amount": 100, "probability_ppm": MILLION}.get(name, 1)))
    return columns


@dataclass(frozen=True)
class Counted:
    """Rows of a table by word, such as meetings: how many are known of a deal at an instant."""

    source: str
    rows: Timeline
    names: dict[str, str]  # mask -> field

    def columns(self, asked: Requests) -> Iterator[Column]:
        """Yield the count of each word, missing where there is none."""
        seen = look(self.rows, asked.deal, asked.as_of)
        for mask, name in self.names.items():
            count = seen.count(mask)
            yield Column(name, self.source, np.where(count > 0, count, np.nan))


def counted(tables: CrmTables) -> list[Counted]:
    """Return activities by kind and by kind and outcome, contacts by role and by seniority."""
    acts, people = tables.activities, tables.contacts
    kind, outcome = acts.coded("kind"), acts.coded("outcome")
    width = len(outcome.values) + 1
    both = np.where((kind.codes >= 0) & (outcome.codes >= 0), kind.codes * width + outcome.codes, -1)
    pairs = tuple(f"{k}: {o}" for k in kind.values for o in (*outcome.values, ""))
    activities = _counted(tables, acts, {"kind": kind, "kind and outcome": Coded(both.astype(np.int32), pairs)})
    contacts = _counted(tables, people, {name: people.coded(name) for name in ("role", "seniority")})
    return [each for each in (activities, contacts) if each.names]


def _counted(tables: CrmTables, table: Table, fields: dict[str, Coded]) -> Counted:
    masks: dict[str, Int | Bool] = {}
    names: dict[str, str] = {}
    for field, coded in fields.items():
        held = np.bincount(coded.codes[coded.codes >= 0], minlength=len(coded.values))
        for code in np.argsort(-held, kind="stable")[:MOST_VALUES].tolist():
            if held[code] >= LEAST:
                mask = f"{field} {code}"
                masks[mask] = coded.codes == code
                names[mask] = f"{table.name} {field} {coded.values[code]!r}"
    deal = deal_rows(tables.deals, table.coded("deal_id"))
    return Counted(table.name, timeline(table.name, tables.deals.n, deal, table.ints("known_at"), masks), names)
