"""The audit of what is declared constant: facts without a history, of which nobody can tell when they were written.

Training asks it before it builds a feature: what is quarantined here is left out (`audit.action: drop`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from configs.learning import LeakAudit
from configs.subject import Subject
from configs.vocab import AuditAction
from features.asof import Requests
from features.periods import DAY
from features.record import Record
from features.registry import Schema
from features.tables import NAT, CrmTables
from features.timeline import Bool, Int
from training.audit_fields import ACCOUNT, TRACKED, Closed, closed_deals, fixed_columns
from training.audit_rules import (
    CLOSING_TIMES,
    Distance,
    Finding,
    Mark,
    Sign,
    Units,
    fixed_finding,
    twin_signs,
    with_sign,
)
from training.audit_stats import LEAST, Column, alone, share, times_as_often

BUCKETS = {1: "0-1", 7: "1-4", 28: "4-8", 56: "8-13", 91: "13+"}  # days before the close -> weeks they stand for
MOST_DEALS = 20_000  # closed deals that are looked at, evenly over time
DROP = "take it out of the mapping, or show that it was known at creation and name it in audit.trust"
UNMAP = "do not map it: features.drop can leave out its features, and audit.trust can vouch for it"
HALF_CENT = 0.005


def audit_fixed(record: Record, tables: CrmTables, schema: Schema, settings: LeakAudit) -> list[Finding]:
    """Judge what is declared constant, and the account. `tables` and `record` hold only what was known by a cut."""
    closed = sampled(closed_deals(record))
    columns = [(whole, whole.take(closed.deal)) for whole in fixed_columns(tables, schema)]
    words = Subject.of(schema.target)
    units = replace(_units(closed, settings, record), words=(words.won, words.stopped))
    twins = twin_signs([mine for _, mine in columns], units)
    found = []
    for whole, mine in columns:
        opened = whole.filled()[closed.opened] if len(closed.opened) else None
        remedy = UNMAP if mine.name == ACCOUNT else DROP
        finding = fixed_finding(mine, units, opened, settings.max_auc, remedy)
        finding = with_sign(finding, twins.get(mine.name), remedy)
        finding = with_sign(finding, _pasted(mine, closed, record), remedy)
        distances = tuple(at_distance(days, old, [mine.take(old)], closed)[0] for days, (old, _) in probes(closed))
        found.append(replace(finding, distances=distances))
    return trusted(found, settings)


def quarantined_facts(record: Record, tables: CrmTables, schema: Schema, settings: LeakAudit) -> tuple[str, ...]:
    """Return the facts of a schema that training leaves out: none where the config says `refuse`."""
    if settings.action != AuditAction.DROP:
        return ()
    known = {*schema.dimensions, *schema.numbers}
    found = audit_fixed(record, tables, schema, settings)
    return tuple(f.field for f in found if f.mark == Mark.QUARANTINED and f.field in known)


def without(schema: Schema, names: Sequence[str]) -> Schema:
    """Return a schema without some of its facts."""
    dimensions = tuple(name for name in schema.dimensions if name not in names)
    numbers = tuple(name for name in schema.numbers if name not in names)
    words = tuple(word for word in schema.words if word.dimension not in names)
    return Schema(schema.target, dimensions, numbers, words, tuple(name for name in schema.rated if name in dimensions))


def sampled(closed: Closed) -> Closed:
    """Return at most MOST_DEALS closed deals, evenly over time."""
    k = len(closed)
    return closed if k <= MOST_DEALS else closed.take(np.linspace(0, k - 1, MOST_DEALS).astype(np.int64))


def _units(closed: Closed, settings: LeakAudit, record: Record) -> Units:
    lasted = closed.closed_at - closed.born > settings.days_ahead * DAY
    won = np.count_nonzero(lasted & closed.won)
    enough = min(won, np.count_nonzero(lasted) - won) >= LEAST
    since = int(np.quantile(record.deals.known_at[closed.opened], 0.1, method="lower")) if len(closed.opened) else NAT
    ahead = lasted if enough else np.ones(len(closed), dtype=bool)
    return Units(closed.won.astype(np.float64), ahead, closed.born >= since)


def probes(closed: Closed) -> list[tuple[int, tuple[Int, Requests]]]:
    """Return, by days before the close, the places of the deals that existed then and what to ask of them."""
    return [(days, closed.before(days)) for days in BUCKETS]


def at_distance(days: int, old: Int, columns: Sequence[Column], closed: Closed) -> list[Distance]:
    """Return what each column, over the deals at places `old`, says `days` before their close."""
    won = closed.won[old]
    found = []
    for column in columns:
        held = column.filled()
        told = alone(column, won.astype(np.float64))
        found.append(Distance(days, told, share(held[won]), share(held[~won])))
    return found


def _pasted(column: Column, closed: Closed, record: Record) -> Sign | None:
    """Return the sign of a constant that says what the history said at the close, or says now, and not at first."""
    history = "amount" if column.number else "owner"
    rows = record.timelines["history"]
    first, close = (
        record.view(Requests(closed.deal, at + 1)).of("history").last(history) for at in (closed.born, closed.closed_at)
    )
    last = rows.values(history)[rows.start[closed.deal + 1] - 1]
    told = (first, close, last)
    moved = column.filled() & (first != close) & (first != last)
    for values in told:
        moved &= (values != NAT) & ((values != 0) | (not column.number))  # a flag is 0, too
    if np.count_nonzero(moved) < LEAST:
        return None
    early, at_close, late = (_says(column, values, record)[moved] for values in told)
    at_creation, now = share(early), share(at_close | late)
    if now.bounds()[0] < 0.5 or times_as_often(at_creation, now) < CLOSING_TIMES:
        return None
    says = (
        f"of {now.of:,} deals whose {TRACKED[history]} changed, it is that of the closing or last row "
        f"for {now.rate:.0%} and the first one for {at_creation.rate:.0%}: the current value, not that of the creation"
    )
    return Sign("pasted", Mark.QUARANTINED, says)


def _says(column: Column, values: Int, record: Record) -> Bool:
    """Return bool[n]: the column holds what the history does (an amount to the cent, an owner by name)."""
    if column.number:
        same: Bool = np.abs(np.asarray(column.values, dtype=np.float64) - values / 100) < HALF_CENT
        return same
    reps = record.reference.vocabulary.values["rep"]
    place = {word: i for i, word in enumerate(reps)}
    mine = np.array([*(place.get(word, -2) for word in column.words), -2], dtype=np.int64)[
        column.values.astype(np.int64)
    ]
    return np.asarray(mine == values, dtype=np.bool_)


def trusted(found: Sequence[Finding], settings: LeakAudit) -> list[Finding]:
    """Return the findings with those of fields that the config trusts told as such."""
    return [f.trusted() if f.field in settings.trust else f for f in found]
