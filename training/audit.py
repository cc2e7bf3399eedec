"""The leak audit of a record: which of its fields know the outcome before they should.

A deal that was won and one that was lost are compared at the same distance before their close, by what was known then:
the last state of its history, activities and people so far, and every feature. What is declared constant has no
history, so nobody can tell when it was written; it is held to its filling and to single values, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from configs.learning import LeakAudit
from configs.load import mapping_of
from configs.vocab import AuditAction
from features.asof import Requests, known_before
from features.build import build_features
from features.ingest import Ingest
from features.periods import DAY, instant_text
from features.record import Record
from features.registry import Schema
from features.schema import schema_of
from features.stages import OPEN
from features.tables import NAT, CrmTables
from features.timeline import Bool, Int
from training.audit_fields import TRACKED, Closed, Counted, closed_deals, counted, fixed_columns, tracked_columns
from training.audit_rules import (
    CLOSING_TIMES,
    Audit,
    Changed,
    Distance,
    Filled,
    Finding,
    Mark,
    Sign,
    Units,
    auc_signs,
    fixed_finding,
    sorted_findings,
    twin_signs,
    with_sign,
)
from training.audit_stats import LEAST, Column, Ranking, alone, share, times_as_often
from training.gates import Verdict
from training.prepare import Prepared

BUCKETS = {1: "0-1", 7: "1-4", 28: "4-8", 56: "8-13", 91: "13+"}  # days before the close -> weeks they stand for
MOST_DEALS = 20_000  # closed deals that are looked at, evenly over time
DROP = "take it out of the mapping, or show that it was known at creation and name it in audit.trust"
CORE = "correct how the source fills it (its known_at), or leave out the features of it with features.drop"
EMPTY = "no score can see it: do not map it, or map where it is known earlier"
STAGE = "stage"
HALF_CENT = 0.005

Asked = Callable[[Requests], Sequence[Column]]


def audit_fixed(record: Record, tables: CrmTables, schema: Schema, settings: LeakAudit) -> list[Finding]:
    """Judge what is declared constant, and the account. `tables` and `record` hold only what was known by a cut."""
    closed = sampled(closed_deals(record))
    columns = [(whole, whole.take(closed.deal)) for whole in fixed_columns(tables, schema)]
    units = _units(closed, settings, record)
    twins = twin_signs([mine for _, mine in columns], units)
    found = []
    for whole, mine in columns:
        opened = whole.filled()[closed.opened] if len(closed.opened) else None
        finding = fixed_finding(mine, units, opened, settings.max_auc, DROP)
        finding = with_sign(finding, twins.get(mine.name), DROP)
        finding = with_sign(finding, _pasted(mine, closed, record), DROP)
        distances = tuple(_at(days, old, [mine.take(old)], closed)[0] for days, (old, _) in _probes(closed))
        found.append(replace(finding, distances=distances))
    return _trusted(found, settings)


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
    return Schema(schema.target, dimensions, tuple(name for name in schema.numbers if name not in names))


def audit(prepared: Prepared, ingest: Ingest) -> Audit:
    """Judge every usable field and feature by what was known before the prepared rows' end."""
    settings, record = prepared.config.audit, prepared.record
    tables = known_before(ingest.tables, prepared.until)
    schema = schema_of(tables, mapping_of(prepared.config), prepared.config.target)
    closed = sampled(closed_deals(record))
    groups = counted(tables)
    found = audit_fixed(record, tables, schema, settings)
    found += _over_time(closed, lambda asked: tracked_columns(record, asked), settings, CORE, prepared.until)
    found += _over_time(closed, lambda asked: _counts(groups, asked), settings, CORE, prepared.until)
    found = [replace(f, changed=_changed(record, closed, f.field)) for f in found]
    found += _features(prepared, closed, settings)
    return Audit(
        prepared.config.name,
        sorted_findings(_trusted(found, settings)),
        _facts(prepared, closed, settings),
        _notes(closed, settings, found),
    )


def audit_verdicts(audit: Audit, left_out: Sequence[str]) -> list[Verdict]:
    """Return the gate of training: no field that a model could use is quarantined.

    left_out: the facts that training dropped because of the audit; they are named and no longer count.
    """
    bad = [f.field for f in audit.quarantined if f.usable and f.field not in left_out]
    named = f": {', '.join(bad)}" if bad else ""
    dropped = f" (left out: {', '.join(left_out)})" if left_out else ""
    return [
        Verdict(f"minus the number of usable fields in quarantine{named}{dropped}", -float(len(bad)), -0.5, not bad)
    ]


def sampled(closed: Closed) -> Closed:
    """Return at most MOST_DEALS closed deals, evenly over time."""
    k = len(closed)
    return closed if k <= MOST_DEALS else closed.take(np.linspace(0, k - 1, MOST_DEALS).astype(np.int64))


def _units(closed: Closed, settings: LeakAudit, record: Record) -> Units:
    lasted = closed.born < closed.closed_at - settings.days_ahead * DAY
    won = np.count_nonzero(lasted & closed.won)
    enough = min(won, np.count_nonzero(lasted) - won) >= LEAST
    since = int(np.quantile(record.deals.known_at[closed.opened], 0.1, method="lower")) if len(closed.opened) else NAT
    ahead = lasted if enough else np.ones(len(closed), dtype=bool)
    return Units(closed.won.astype(np.float64), ahead, closed.born >= since)


def _probes(closed: Closed) -> list[tuple[int, tuple[Int, Requests]]]:
    return [(days, closed.before(days)) for days in BUCKETS]


def _at(days: int, old: Int, columns: Sequence[Column], closed: Closed) -> list[Distance]:
    """Return what each column, over the deals at places `old`, says `days` before their close."""
    won = closed.won[old]
    found = []
    for column in columns:
        held = column.filled()
        told = alone(column, won.astype(np.float64))
        found.append(Distance(days, told, share(held[won]), share(held[~won])))
    return found


def _over_time(closed: Closed, ask: Asked, settings: LeakAudit, remedy: str, until: int) -> list[Finding]:
    """Judge fields that have a history: at each distance, and whether they hold a value before the close at all."""
    in_the_end = ask(Requests(closed.deal, np.full(len(closed), until, dtype=np.int64)))
    places, asked = zip(*(closed.before(days) for days in BUCKETS), strict=True)
    told = [list(ask(requests)) for requests in asked]
    rows = [_at(days, old, columns, closed) for days, old, columns in zip(BUCKETS, places, told, strict=True)]
    found = []
    for i, column in enumerate(in_the_end):
        distances = tuple(row[i] for row in rows)
        ever = column.filled()[places[0]]
        filled = Filled(distances[0].won, distances[0].lost, None, share(told[0][i].filled()), share(ever))
        signs = _ahead(distances, settings)
        late = _after(filled) if column.name != STAGE else []  # a closing row has no open stage
        found.append(
            Finding(
                column.name,
                column.source,
                column.kind,
                _judged(distances, settings),
                filled,
                (*signs, *late),
                distances,
                usable=bool(signs),
                remedy=remedy if signs else EMPTY if late else "",
            )
        )
    return found


def _features(prepared: Prepared, closed: Closed, settings: LeakAudit) -> list[Finding]:
    """Judge every feature of the plan, as a score would have had it at each distance."""
    plan, rows = prepared.plan, []
    for days, (old, requests) in _probes(closed):
        values = build_features(prepared.record, requests, plan).values
        rows.append(_at(days, old, [Column(n, "feature", values[:, i]) for i, n in enumerate(plan.names)], closed))
    found = []
    for i, name in enumerate(plan.names):
        distances = tuple(row[i] for row in rows)
        signs, filled = _ahead(distances, settings), Filled(distances[0].won, distances[0].lost)
        remedy = f"leave it out: features.drop: [{name}]" if signs else ""
        found.append(
            Finding(
                name, "feature", "number", _judged(distances, settings), filled, tuple(signs), distances, remedy=remedy
            )
        )
    return found


def _judged(distances: Sequence[Distance], settings: LeakAudit) -> Ranking | None:
    """Return the best-founded ranking at or beyond the days ahead, None where too few deals last so long."""
    told = [each.alone for each in distances if each.days >= settings.days_ahead and each.alone is not None]
    return max(told, key=lambda each: each.low, default=None)


def _ahead(distances: Sequence[Distance], settings: LeakAudit) -> list[Sign]:
    signs = []
    for each in distances:
        if each.days >= settings.days_ahead:
            signs += auc_signs(each.alone, settings.max_auc, f" {each.days} days before the close")
    return sorted(signs, key=lambda sign: sign.mark != Mark.QUARANTINED)[:1]


def _after(filled: Filled) -> list[Sign]:
    """Return the sign of a field that is empty until the close."""
    before, after = filled.before, filled.after
    if before is None or after is None or before.rate >= after.rate:
        return []
    if times_as_often(before, after) < CLOSING_TIMES:
        return []
    says = f"filled for {before.rate:.1%} of the deals a day before the close and for {after.rate:.1%} from it on"
    return [Sign("after_outcome", Mark.QUARANTINED, says)]


def _pasted(column: Column, closed: Closed, record: Record) -> Sign | None:
    """Return the sign of a constant that says what the history said at the close, and not what it said at creation."""
    history = "amount" if column.number else "owner"
    first = record.view(Requests(closed.deal, closed.born + 1)).of("history").last(history)
    last = record.view(Requests(closed.deal, closed.closed_at + 1)).of("history").last(history)
    moved = (first != NAT) & (last != NAT) & (first != last) & column.filled()
    if np.count_nonzero(moved) < LEAST:
        return None
    early, late = (_says(column, values, record)[moved] for values in (first, last))
    at_creation, at_close = share(early), share(late)
    if at_close.bounds()[0] < 0.5 or times_as_often(at_creation, at_close) < CLOSING_TIMES:
        return None
    says = (
        f"of {at_close.of:,} deals whose {TRACKED[history]} changed, it is that of the closing row for "
        f"{at_close.rate:.0%} and the first one for {at_creation.rate:.0%}: the current value, not that of the creation"
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


def _changed(record: Record, closed: Closed, name: str) -> Changed | None:
    """Return how often the closing row changes a field of the history, beside its other rows."""
    column = next((key for key, field in TRACKED.items() if field == name and field != STAGE), None)
    if column is None:
        return None
    history = record.timelines["history"]
    before = record.view(Requests(closed.deal, closed.closed_at)).of("history").last(column)
    after = record.view(Requests(closed.deal, closed.closed_at + 1)).of("history").last(column)
    both, moved = (before != NAT) & (after != NAT), before != after
    values, outcome = history.values(column), history.values("outcome")
    told = (values != NAT) & (outcome == OPEN)
    pair = told[1:] & told[:-1] & (history.entity[1:] == history.entity[:-1])
    ordinary = share((values[1:] != values[:-1])[pair])
    return Changed(share(moved[both & closed.won]), share(moved[both & ~closed.won]), ordinary)


def _counts(groups: Sequence[Counted], asked: Requests) -> list[Column]:
    return [column for group in groups for column in group.columns(asked)]


def _trusted(found: Sequence[Finding], settings: LeakAudit) -> list[Finding]:
    return [f.trusted() if f.field in settings.trust else f for f in found]


def _facts(prepared: Prepared, closed: Closed, settings: LeakAudit) -> dict[str, int | float | str]:
    return {
        "known_before": instant_text(prepared.until, prepared.config.time_zone),
        "won": int(closed.won.sum()),
        "lost": int(len(closed) - closed.won.sum()),
        "open": len(closed.opened),
        "days_ahead": settings.days_ahead,
        "max_auc": settings.max_auc,
    }


def _notes(closed: Closed, settings: LeakAudit, found: Sequence[Finding]) -> tuple[str, ...]:
    """Say what the audit could not judge."""
    notes = []
    old, _ = closed.before(settings.days_ahead)
    won = int(closed.won[old].sum())
    if min(won, len(old) - won) < LEAST:
        notes.append(
            f"{won} won and {len(old) - won} lost deals lasted more than {settings.days_ahead} days, fewer than {LEAST} of "
            "each: what changes over time is not judged by its AUC (see audit.days_ahead), constants are by all deals"
        )
    unknown = sorted(set(settings.trust) - {f.field for f in found})
    if unknown:
        notes.append(f"audit.trust names {', '.join(unknown)}, which nothing here is called")
    return tuple(notes)
