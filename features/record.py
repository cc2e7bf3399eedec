"""The record: canonical tables turned into timelines, ready to be asked.

Columns that belong to a change itself (a step, a shift, a mask) are derived here once per row, not once per request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from configs.vocab import Target
from features.acts import activities_of, contacts_of
from features.asof import AsOfView, Requests
from features.changes import history_of
from features.closes import closes_of
from features.periods import Calendar
from features.reference import MILLION, SEGMENT, Events, Reference, Vocabulary, events, no_events, reference_of
from features.registry import Schema
from features.siblings import Siblings
from features.silence import silences_of
from features.stages import StageMap
from features.standings import book_of, calls_of, misses_of, quotas_of, yields_of
from features.tables import Coded, CrmTables, Table
from features.timeline import Bool, DealFacts, Float, Int, Timeline
from features.usuals import usuals_of

ACCOUNT_FIELDS = ("industry", "size", "region")
UNHEARD = -2  # the code of a value that the vocabulary lacks: nothing is known of it, but it is told


@dataclass(frozen=True)
class Record:
    """One company's history as timelines. deal_ids: the deals in code order; all else is asked through `view`.

    family: the deals by account; None for the deals of a request, which may lack others of their account.
    """

    deal_ids: Coded
    deals: DealFacts
    timelines: Mapping[str, Timeline]
    reference: Reference
    calendar: Calendar
    stages: StageMap
    family: Siblings | None = None

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
            self.family,
        )

    def is_open(self, requests: Requests) -> Bool:
        """Return bool[n]: the deal is known at the as-of and its last visible row is neither won, lost nor deleted."""
        return self.view(requests).is_open()


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
    ids, family = tables.deals.coded("deal_id"), None
    history = history_of(tables.deal_history, tables.deals, stages, vocabulary.places["rep"], calendar)
    activities = activities_of(tables.activities, tables.deals, tables.contacts)
    contacts = contacts_of(tables.contacts, tables.deals)
    if reference is None:
        said = _events(tables, schema, vocabulary, deals, history, activities, contacts, calendar, len(stages.order))
        reference = reference_of(vocabulary, said, schema.dimensions, len(stages.order))
        account, created = (np.asarray(deals.columns[name], dtype=np.int64) for name in ("account", "created_at"))
        family = Siblings.among(ids, account, created)
    timelines = {"history": history, "activities": activities, "contacts": contacts}
    return Record(ids, deals, timelines, reference, calendar, stages, family)


def _events(
    tables: CrmTables,
    schema: Schema,
    vocabulary: Vocabulary,
    deals: DealFacts,
    history: Timeline,
    activities: Timeline,
    contacts: Timeline,
    calendar: Calendar,
    stage_count: int,
) -> dict[str, Events]:
    """Read every kind of reference event off the record."""
    codes: dict[str, Int] = {
        name: np.asarray(deals.columns[name], dtype=np.int64) for name in ("account", "created_at", *schema.dimensions)
    }

    def rep(table: Table) -> Int:
        return table.coded("rep_id").codes_in(vocabulary.values["rep"]).astype(np.int64)

    said = closes_of(history, activities, codes, calendar, stage_count)
    calls = calls_of(tables.calls, rep(tables.calls), calendar)
    return said | {
        "intake": intake_of(history, codes, schema),
        "book": book_of(history, codes["account"]),
        **yields_of(history, calendar, stage_count),
        **usuals_of(history, activities, contacts, stage_count),
        "silences": silences_of(history, activities, said["closes"], codes, stage_count),
        "quotas": quotas_of(tables.quotas, rep(tables.quotas), calendar),
        "calls": calls,
        "misses": misses_of(calls, said["closes"], calendar),
    }


def intake_of(history: Timeline, codes: Mapping[str, Int], schema: Schema) -> Events:
    """Return each lead as it became known and as it converted, see `Events`; nothing of deals."""
    if schema.target != Target.CONVERTED:
        return no_events("intake")
    born, won = history.start[:-1], np.flatnonzero(history.mask("won"))
    row = np.concatenate([born, won])
    lead, known_at = history.entity[row], history.known_at[row]
    told = {name: codes[name][lead] for name in schema.dimensions}
    waited = (known_at - history.known_at[history.start[lead]]) // MILLION
    return events({"known_at": known_at, "won": history.values("won")[row], "waited_s": waited, **told})


def vocabulary_of(tables: CrmTables, schema: Schema) -> Vocabulary:
    """Collect the entities that reference facts can be about."""
    owners = tables.deal_history.coded("owner_id")
    named = (table.coded("rep_id").values for table in (tables.reps, tables.quotas, tables.calls))
    reps = tuple(sorted({*owners.values, *(rep for values in named for rep in values)}))
    teams = rep_teams(tables.reps)
    team_names = sorted(set(teams.values()))
    rep_team = np.array([team_names.index(teams[rep]) if rep in teams else -1 for rep in reps], dtype=np.int64)
    values = {"rep": reps, "account": tuple(sorted(tables.deals.coded("account_id").values))}
    words = {n: tuple(sorted(dimension_of(tables, n).values)) for n in schema.dimensions}
    return Vocabulary(values | words, rep_team, tuple(team_names))


def rep_teams(reps: Table) -> dict[str, str]:
    """Team of each rep: the named team, else the manager."""
    named = zip(
        reps.coded("rep_id").strings(), reps.coded("team").strings(), reps.coded("manager_id").strings(), strict=True
    )
    return {rep: team or manager or "" for rep, team, manager in named if rep and (team or manager)}


def dimension_of(tables: CrmTables, name: str) -> Coded:
    """Return a categorical fact per deal: an attribute of its account, else the deal's own column."""
    if name not in ACCOUNT_FIELDS or name in tables.deals.columns:
        return tables.deals.coded(name) if name in tables.deals.columns else Coded.missing(tables.deals.n)
    row = tables.deals.coded("account_id").codes_in(tables.accounts.coded("account_id").strings())  # type: ignore[arg-type]
    attribute = tables.accounts.coded(name)
    codes = np.append(attribute.codes, np.int32(-1))[row]
    return Coded(codes, attribute.values)


def _deal_facts(tables: CrmTables, schema: Schema, vocabulary: Vocabulary) -> DealFacts:
    deals = tables.deals
    coded = {"account": deals.coded("account_id"), **{name: dimension_of(tables, name) for name in schema.dimensions}}
    codes = {name: _coded(column, vocabulary.places[name]) for name, column in coded.items()}
    numbers = {
        name: deals.floats(name) if name in deals.columns else np.full(deals.n, np.nan) for name in schema.numbers
    }
    words = {word.column: _has(coded[word.dimension], word.value) for word in schema.words}
    fixed = {SEGMENT: np.full(deals.n, -1, dtype=np.int64), "created_at": deals.ints("created_at")}
    return DealFacts(deals.ints("known_at"), fixed | codes | numbers | words)


def _has(column: Coded, value: str) -> Float:
    """Return 1 where a fact has this value and 0 where it has another; NaN where it is not told."""
    here = column.codes == (column.code_of(value) if value in column.values else UNHEARD)
    return np.where(column.codes < 0, np.nan, here.astype(np.float64))


def _coded(column: Coded, places: Mapping[str, int]) -> Int:
    """Return the codes of a fact in the vocabulary: -1 where it is not told, UNHEARD where its value is new."""
    code = column.codes_in(places).astype(np.int64)
    code[(code < 0) & (column.codes >= 0)] = UNHEARD
    return code
