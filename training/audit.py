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
from configs.subject import Subject
from configs.vocab import Target
from features.asof import Requests
from features.build import build_features
from features.ingest import Ingest
from features.known import known_before
from features.periods import instant_text
from features.record import Record
from features.schema import schema_of
from features.stages import OPEN
from features.tables import NAT
from training.audit_facts import BUCKETS, at_distance, audit_fixed, probes, sampled, trusted
from training.audit_fields import TRACKED, Closed, Counted, closed_deals, counted, tracked_columns
from training.audit_rules import (
    CLOSING_TIMES,
    Audit,
    Changed,
    Distance,
    Filled,
    Finding,
    Mark,
    Sign,
    auc_signs,
    sorted_findings,
)
from training.audit_stats import LEAST, Column, Ranking, share, times_as_often
from training.gates import Verdict
from training.prepare import Prepared

CORE = "correct how the source fills it (its known_at), or leave out the features of it with features.drop"
EMPTY = "no score can see it: do not map it, or map where it is known earlier"
STAGE = "stage"
OF_DEALS = frozenset(TRACKED.values()) - {STAGE}  # what a lead's history does not tell
OF_LEADS = {"deal_history": "lead_history", "activities": "lead_activities"}  # tables as the source calls them
LEAK_GATE = "leak audit: usable fields in quarantine"

Asked = Callable[[Requests], Sequence[Column]]


def audit(prepared: Prepared, ingest: Ingest) -> Audit:
    """Judge every usable field and feature by what was known before the prepared rows' end."""
    settings, record = prepared.config.audit, prepared.record
    tables = known_before(ingest.tables, prepared.until)
    schema = schema_of(tables, mapping_of(prepared.config), prepared.config.target)
    closed = sampled(closed_deals(record))
    groups = counted(tables)
    found = audit_fixed(record, tables, schema, settings)
    words = Subject.of(prepared.config.target)
    for ask in (lambda asked: tracked_columns(record, asked), lambda asked: _counts(groups, asked)):
        found += _over_time(closed, ask, settings, prepared.until, words)
    found = [replace(f, changed=_changed(record, closed, f.field)) for f in found]
    if prepared.config.target is Target.CONVERTED:
        found = [replace(f, source=OF_LEADS.get(f.source, f.source)) for f in found if f.field not in OF_DEALS]
    found += _features(prepared, closed, settings)
    return Audit(
        prepared.config.name,
        sorted_findings(trusted(found, settings)),
        _facts(prepared, closed, settings),
        _notes(closed, settings, found, words),
    )


def audit_verdicts(audit: Audit, left_out: Sequence[str]) -> list[Verdict]:
    """Return the gate of training: no field that a model could use is quarantined.

    left_out: the facts that training dropped because of the audit; they are named and no longer count.
    """
    bad = [f.field for f in audit.quarantined if f.usable and f.field not in left_out]
    named = ", ".join(bad) + ("; " if bad and left_out else "")
    note = named + (f"left out: {', '.join(left_out)}" if left_out else "")
    return [Verdict(LEAK_GATE, float(len(bad)), 0.0, not bad, "at_most", note=note)]


def _over_time(closed: Closed, ask: Asked, settings: LeakAudit, until: int, words: Subject) -> list[Finding]:
    """Judge fields that have a history: at each distance, and whether they hold a value before the close at all."""
    in_the_end = ask(Requests(closed.deal, np.full(len(closed), until, dtype=np.int64)))
    places, asked = zip(*(closed.before(days) for days in BUCKETS), strict=True)
    told = [list(ask(requests)) for requests in asked]
    rows = [at_distance(days, old, columns, closed) for days, old, columns in zip(BUCKETS, places, told, strict=True)]
    found = []
    for i, column in enumerate(in_the_end):
        distances = tuple(row[i] for row in rows)
        ever = column.filled()[places[0]]
        filled = Filled(distances[0].won, distances[0].lost, None, share(told[0][i].filled()), share(ever))
        signs = _ahead(distances, settings)
        late = _after(filled, words) if column.name != STAGE else []  # a closing row has no open stage
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
                remedy=CORE if signs else EMPTY if late else "",
            )
        )
    return found


def _features(prepared: Prepared, closed: Closed, settings: LeakAudit) -> list[Finding]:
    """Judge every feature of the plan, as a score would have had it at each distance."""
    plan, rows = prepared.plan, []
    for days, (old, requests) in probes(closed):
        values = build_features(prepared.record, requests, plan).values
        rows.append(
            at_distance(days, old, [Column(n, "feature", values[:, i]) for i, n in enumerate(plan.names)], closed)
        )
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


def _after(filled: Filled, words: Subject) -> list[Sign]:
    """Return the sign of a field that is empty until the close."""
    before, after = filled.before, filled.after
    if before is None or after is None or before.rate >= after.rate:
        return []
    if times_as_often(before, after) < CLOSING_TIMES:
        return []
    says = (
        f"filled for {before.rate:.1%} of the {words.many} a day before the close and for {after.rate:.1%} from it on"
    )
    return [Sign("after_outcome", Mark.QUARANTINED, says)]


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


def _facts(prepared: Prepared, closed: Closed, settings: LeakAudit) -> dict[str, int | float | str]:
    return {
        "known_before": instant_text(prepared.until, prepared.config.time_zone),
        "won": int(closed.won.sum()),
        "lost": int(len(closed) - closed.won.sum()),
        "open": len(closed.opened),
        "days_ahead": settings.days_ahead,
        "max_auc": settings.max_auc,
    }


def _notes(closed: Closed, settings: LeakAudit, found: Sequence[Finding], words: Subject) -> tuple[str, ...]:
    """Say what the audit could not judge."""
    notes, others = [], f"{words.stopped} {words.many}"
    old, _ = closed.before(settings.days_ahead)
    won, all_won = int(closed.won[old].sum()), int(closed.won.sum())
    if min(all_won, len(closed) - all_won) < LEAST:
        few = f"{all_won} {words.won} and {len(closed) - all_won} {others}, at least {LEAST} of each are needed"
        notes.append(f"{few}: no field was held against the outcome")
    elif min(won, len(old) - won) < LEAST:
        notes.append(
            f"{won} {words.won} and {len(old) - won} {others} lasted more than {settings.days_ahead} days, at least "
            f"{LEAST} of each are needed: what changes over time is not judged by its AUC (see audit.days_ahead), and "
            f"constants are judged over all {words.many}"
        )
    if len(closed.opened) < LEAST:
        few = f"{len(closed.opened)} open {words.many}, at least {LEAST} are needed"
        notes.append(f"{few}: nobody compared where constants are filled for closed and for open {words.many}")
    unknown = sorted(set(settings.trust) - {f.field for f in found})
    if unknown:
        notes.append(f"audit.trust names {', '.join(unknown)}, which nothing here is called")
    return tuple(notes)
