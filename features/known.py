"""Tables cut at an instant: what a company's record held before it, and nothing that came later, not even a word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.asof import known
from features.settle import compact
from features.tables import Coded, CrmTables, Table


def known_before(tables: CrmTables, cut: int) -> CrmTables:
    """Return the tables without any fact known at or after `cut`: what a model trained as of that instant may see.

    Accounts and reps carry no clock; they are kept where a deal, a history row, a quota or a call that
    is left names them.
    """
    clocks = {
        "deals": "known_at",
        "deal_history": "known_at",
        "activities": "known_at",
        "contacts": "known_at",
        "calls": "submitted_at",
        "quotas": "known_at",
        "leads": "known_at",
        "lead_history": "known_at",
        "lead_activities": "known_at",
    }
    left = {name: _before(getattr(tables, name), clock, cut) for name, clock in clocks.items()}
    people = (left["deal_history"].coded("owner_id"), left["quotas"].coded("rep_id"), left["calls"].coded("rep_id"))
    named = {
        "accounts": _named(tables.accounts, "account_id", left["deals"].coded("account_id")),
        "reps": _named(tables.reps, "rep_id", *people),
    }
    return replace(tables, **left, **named)


def _before(table: Table, clock: str, cut: int) -> Table:
    # Words and ids that no row holds any more are dropped with the rows: they too would tell what came later.
    return compact(table.take(np.flatnonzero(known(table.ints(clock), cut))))


def _named(table: Table, key: str, *by: Coded) -> Table:
    ids = table.coded(key)
    return compact(table.take(np.flatnonzero(np.any([ids.codes_in(named.values) >= 0 for named in by], axis=0))))
