"""The record: canonical tables turned into timelines, ready to be asked.

Columns that belong to a change itself (a step, a shift, a mask) are derived here once per row, not once per request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.asof import AsOfView, DealFacts, Requests
from features.periods import Calendar
from features.reference import CATEGORY_RANKS, Reference, Vocabulary, closes_of, reference_of
from features.registry import Schema
from features.stages import LOST, OPEN, WON, StageMap
from features.tables import NAT, PLANNED, Coded, CrmTables, Table
from features.timeline import Int, Timeline, timeline

Bool = NDArray[np.bool_]

ACCOUNT_FIELDS = ("industry", "size", "region")
NOT_HELD = ("cancelled", "canceled", "no_show", "no_answer", "declined")
CONNECTED = ("connected", "answered", "held", "completed")


@dataclass(frozen=True)
class Record:
    """One company's history as timelines. deal_ids: the deals in code order; all else is asked through `view`."""

    deal_ids: Coded
    deals: DealFacts
    timelines: Mapping[str, Timeline]
    reference: Reference
    calendar: Calendar
    stages: StageMap

    def view(self, requests: Requests) -> AsOfView:
        """Return what these requests may see."""
        reference = self.reference
        return AsOfView(
            requests,
            self.deals,
            self.timelines,
            reference.timelines,
            self.calendar,
            reference.stage_count,
            reference.vocabulary.rep_team,
        )

    def is_open(self, requests: Requests) -> Bool:
        """Return bool[n]: the deal is known at the as-of and its last visible row is neither won, lost nor deleted."""
        view = self.view(requests)
        outcome = view.of("history").last("outcome")
        standing: Bool = (outcome == OPEN) | (outcome == NAT)
        return view.exists() & standing


def build_record(
    tables: CrmTables,
    stages: StageMap,
    calendar: Calendar,
    schema: Schema,
    reference: Reference | None = None,
) -> Record:
    """Turn tables into a Record; a `reference` (serving) replaces the tables' own vocabulary and closes."""
    vocabulary = reference.vocabulary if reference else vocabulary_of(tables, schema)
    deals = _deal_facts(tables, schema, vocabulary)
    history = _history(tables.deal_history, tables.deals, stages, vocabulary)
    activities = _activities(tables.activities, tables.deals)
    if reference is None:
        codes = {n: c for n, c in deals.columns.items() if n in ("account", "created_at", *schema.dimensions)}
        closes = closes_of(history, activities, codes, calendar, len(stages.order))  # type: ignore[arg-type]
        reference = reference_of(vocabulary, closes, schema.dimensions, len(stages.order))
    timelines = {"history": history, "activities": activities, "contacts": _contacts(tables.contacts, tables.deals)}
    return Record(tables.deals.coded("deal_id"), deals, timelines, reference, calendar, stages)


def vocabulary_of(tables: CrmTables, schema: Schema) -> Vocabulary:
    """Collect the entities that reference facts can be about."""
    owners = tables.deal_history.coded("owner_id")
    reps = tuple(sorted({*owners.values, *tables.reps.coded("rep_id").values}))
    teams = _rep_teams(tables.reps)
    team_names = sorted(set(teams.values()))
    rep_team = np.array([team_names.index(teams[rep]) if rep in teams else -1 for rep in reps], dtype=np.int64)
    values = {"rep": reps, "account": tuple(sorted(tables.deals.coded("account_id").values))}
    return Vocabulary(values | {n: tuple(sorted(_dimension(tables, n).values)) for n in schema.dimensions}, rep_team)


def _rep_teams(reps: Table) -> dict[str, str]:
    """Team of each rep: the named team, else the manager."""
    named = zip(
        reps.coded("rep_id").strings(), reps.coded("team").strings(), reps.coded("manager_id").strings(), strict=True
    )
    return {rep: team or manager or "" for rep, team, manager in named if rep and (team or manager)}


def _dimension(tables: CrmTables, name: str) -> Coded:
    """Return a categorical fact per deal: an attribute of its account, else the deal's own column."""
    if name not in ACCOUNT_FIELDS or name in tables.deals.columns:
        return tables.deals.coded(name) if name in tables.deals.columns else Coded.missing(tables.deals.n)
    row = tables.deals.coded("account_id").codes_in(tables.accounts.coded("account_id").strings())  # type: ignore[arg-type]
    attribute = tables.accounts.coded(name)
    codes = np.append(attribute.codes, np.int32(-1))[row]
    return Coded(codes, attribute.values)


def _deal_facts(tables: CrmTables, schema: Schema, vocabulary: Vocabulary) -> DealFacts:
    deals = tables.deals
    coded = {"account": deals.coded("account_id"), **{name: _dimension(tables, name) for name in schema.dimensions}}
    codes = {name: column.codes_in(vocabulary.values[name]).astype(np.int64) for name, column in coded.items()}
    numbers = {
        name: deals.floats(name) if name in deals.columns else np.full(deals.n, np.nan) for name in schema.numbers
    }
    return DealFacts(deals.ints("known_at"), {"created_at": deals.ints("created_at"), **codes, **numbers})


def _rows_of_deals(table: Table, deals: Table) -> Int:
    """Return the deal code of each row, -1 for deals that are not in the record."""
    return table.coded("deal_id").codes_in(_row_ids(deals)).astype(np.int64)


def _row_ids(deals: Table) -> list[str]:
    return [deal or "" for deal in deals.coded("deal_id").strings()]


def _history(table: Table, deals: Table, stages: StageMap, vocabulary: Vocabulary) -> Timeline:
    stage = table.coded("stage")
    outcome = np.maximum(_per_row(stages.outcomes(stage.values).astype(np.int64), stage.codes, OPEN), OPEN)
    outcome = np.where(table.ints("is_deleted") == 1, np.maximum(outcome, LOST), outcome)
    category = table.coded("forecast_category")
    ranks = np.array([CATEGORY_RANKS.get(value, NAT) for value in category.values], dtype=np.int64)
    rank = _per_row(stages.ranks(stage.values), stage.codes, -1)
    state = {
        "outcome": outcome,
        "stage": np.where((outcome == OPEN) & (rank >= 0), rank, NAT),
        "amount": table.ints("amount"),
        "close_date": table.ints("close_date"),
        "category": _per_row(ranks, category.codes, NAT),
        "owner": table.coded("owner_id").codes_in(vocabulary.values["rep"]).astype(np.int64),
        "next_step": table.ints("next_step_set"),
    }
    rows = timeline("history", deals.n, _rows_of_deals(table, deals), table.ints("known_at"), state, table.ints("seq"))
    return _with_columns(rows, _changes(rows))


def _per_row(values: Int, codes: NDArray[np.int32], missing: int) -> Int:
    """Spread a value per vocabulary entry to rows."""
    return np.append(values, missing).astype(np.int64)[codes]


def _with_columns(rows: Timeline, more: Mapping[str, Int | Bool]) -> Timeline:
    return Timeline(
        rows.name,
        rows.entities,
        rows.entity,
        rows.known_at,
        {**rows.columns, **more},
        rows.start,
        rows.instants,
        rows.key,
    )


def _changes(rows: Timeline) -> dict[str, Int | Bool]:
    """Derive what each row changed against what the deal last said while open; a closing row changes the outcome."""
    still_open = rows.values("outcome") == OPEN
    first = np.arange(len(rows)) == rows.start[rows.entity]
    step, shift, amount, category, owner = (
        _difference(rows, name, still_open) for name in ("stage", "close_date", "amount", "category", "owner")
    )
    return {
        "closed": ~still_open,
        "won": rows.values("outcome") == WON,
        "stage_step": step,
        "stage_changed": (step != 0) | first,
        "advanced": step > 0,
        "regressed": step < 0,
        "close_shift_days": shift,
        "pushed": shift > 0,
        "pulled_in": shift < 0,
        "amount_changed": amount != 0,
        "amount_cut": amount < 0,
        "category_changed": category != 0,
        "category_raised": category > 0,
        "category_lowered": category < 0,
        "owner_changed": owner != 0,
    }


def _difference(rows: Timeline, column: str, still_open: Bool) -> Int:
    """Return each open row's value minus the last one told by an open row of the deal, 0 where either is missing.

    Closing rows are passed over, so that a re-opened deal is not compared with what was written with the outcome in
    hand; so are gaps, so that a close date cleared and set again moves on from where it stood.
    """
    values = rows.values(column)
    told = still_open & (values != NAT)
    if column == "owner":
        told &= values >= 0  # a code
    row = np.where(told, np.arange(len(rows)), -1)
    before = np.concatenate([[-1], np.maximum.accumulate(row)])[: len(rows)]
    known = told & (before >= rows.start[rows.entity])
    return np.where(known, values, 0) - np.where(known, values[np.where(known, before, 0)], 0)


def _activities(table: Table, deals: Table) -> Timeline:
    known_at, occurred_at = table.ints("known_at"), table.ints("occurred_at")
    kind, direction = _is(table, "kind"), _is(table, "direction")
    cancelled = _one_of(table.coded("outcome"), NOT_HELD)
    connected = _one_of(table.coded("outcome"), CONNECTED)
    planned = _one_of(table.coded("outcome"), (PLANNED,)) | ((occurred_at > known_at) & ~cancelled)
    done = ~planned & ~cancelled
    inbound, outbound = direction("inbound") & done, direction("outbound") & ~planned
    meeting = kind("meeting")
    columns = {
        "occurred_at": occurred_at,
        "delay_s": np.where(done, np.maximum(known_at - occurred_at, 0) // 1_000_000, 0),
        "contact": table.coded("contact_id").codes.astype(np.int64),
        "done": done,
        "planned": planned,
        "cancelled": cancelled,
        "inbound": inbound,
        "outbound": outbound,
        "email_out": outbound & kind("email"),
        "call_out": outbound & kind("call"),
        "email_in": inbound & kind("email"),
        "content": done & (kind("content") | kind("web")),
        "contract": done & kind("contract"),
        "contract_in": inbound & kind("contract"),
        "meeting_held": meeting & done,
        "meeting_planned": meeting & planned,
        "meeting_cancelled": meeting & cancelled,
        # What the buyer did: replied, met, took the call. Our own mails and unanswered calls are not engagement.
        "buyer": inbound | (meeting & done) | (kind("call") & done & connected),
    }
    return timeline("activities", deals.n, _rows_of_deals(table, deals), known_at, columns)


def _is(table: Table, column: str) -> Callable[[str], Bool]:
    """Return a test of each row for a value of a text column; a value that no row holds matches none."""
    coded = table.coded(column)
    return lambda value: coded.codes == (coded.code_of(value) if value in coded.values else -2)


def _one_of(column: Coded, values: tuple[str, ...]) -> Bool:
    wanted = np.array([*(value in values for value in column.values), False], dtype=bool)
    return wanted[column.codes]


def _contacts(table: Table, deals: Table) -> Timeline:
    columns = {"contact": table.coded("contact_id").codes.astype(np.int64)}
    return timeline("contacts", deals.n, _rows_of_deals(table, deals), table.ints("known_at"), columns)
