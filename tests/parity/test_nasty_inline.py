"""Every signal of a deal posted with its history inline has the bits that it has in the batch, however odd the deal."""

from __future__ import annotations

import json
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from configs.flags import Flags
from configs.schema import Serving
from features.build import build_features, plan_features
from features.periods import Calendar
from features.record import Record, build_record
from features.reference import Reference
from features.registry import Context
from features.settle import Dictionary
from features.tables import CrmTables
from models.bundle import Bundle
from serving.example import request_of
from serving.facts import SOURCE, Facts
from serving.intake import Loaded, take_in
from tests.features.nasty import SCHEMA, Maker, asked_of, calendars
from tests.tiny import SHRINK, STAGES, Row, asked, at, company, quarters, requests_of

PLAN = plan_features(Context(SCHEMA, SHRINK))


def model_of(calendar: Calendar, reference: Reference) -> Loaded:
    """As much of a model as it takes to read a request."""
    about = SimpleNamespace(schema=SCHEMA, time_zone=calendar.zone, stages=STAGES, left_out=())
    bundle = cast(Bundle, SimpleNamespace(about=about, calendar=calendar))
    return Loaded(bundle, Facts(reference, 0, SOURCE), Dictionary(), keep_unknown=True, flags=Flags())


def posted(tables: CrmTables, loaded: Loaded, as_of: int, ids: list[str]) -> dict[str, bytes]:
    """The features of the deals that are open, through JSON, by id."""
    body: dict[str, Any] = json.loads(json.dumps(request_of(tables, loaded.bundle, as_of, ids, in_sample=False)))
    intake = take_in(body["deals"], as_of, loaded, Serving())
    assert all("expected an open deal" in str(problem) for problem in intake.problems.values()), intake.problems
    assert intake.record is not None
    values = build_features(intake.record, intake.requests, PLAN).values
    return {ids[place]: row.tobytes() for place, row in zip(intake.positions, values, strict=True)}


def batch(record: Record, as_of: int, ids: list[str]) -> dict[str, bytes]:
    requests = requests_of(record, [(name, as_of) for name in ids])
    is_open = record.is_open(requests)
    values = build_features(record, requests, PLAN).values
    return {name: row.tobytes() for name, row, kept in zip(ids, values, is_open, strict=True) if kept}


@settings(max_examples=40)
@given(st.randoms(use_true_random=False))
def test_a_posted_deal_is_the_batchs(random: Random) -> None:
    tables, calendar = Maker(random).company(), random.choice(calendars())
    record = build_record(tables, STAGES, calendar, SCHEMA)
    known = dict(zip(tables.deals.coded("deal_id").strings(), tables.deals.ints("known_at").tolist(), strict=True))
    for _, as_of in asked_of(random, tables, calendar, 2):
        ids = sorted(name for name, since in known.items() if name and since < as_of)
        if not ids:
            continue
        expected = batch(record, as_of, ids)
        for reference in (record.reference, record.reference.before(as_of)):
            loaded = model_of(calendar, reference)
            assert posted(tables, loaded, as_of, ids) == expected
            for name in ids[:2]:
                assert posted(tables, loaded, as_of, [name]).get(name) == expected.get(name)


def row(known_at: str, **more: object) -> Row:
    return {"deal_id": "D", "known_at": known_at, "stage": "Demo", "owner_id": "R1", "amount": 100.1, **more}


RICH = company(
    deals=[
        {"deal_id": name, "created_at": "2024-01-10 09:00", "account_id": "A", "type": "new", "size_m2": 1 / 3}
        for name in ("D", "GONE")
    ],
    deal_history=[
        row("2024-01-10 09:00", probability=1 / 3, edited_by="R1", forecast_category="commit", next_step_set=1),
        row("2024-01-20 09:00", probability=0.1 + 0.2, edited_by="ADMIN", close_date="2024-03-28"),
        row("2024-01-25 09:00", owner_id="R2", edited_by="R1", close_date="2024-04-02"),
        {**row("2024-01-10 09:00"), "deal_id": "GONE"},
        {**row("2024-01-20 09:00"), "deal_id": "GONE", "merged_into": "D"},
    ],
    contacts=[
        {"deal_id": "D", "contact_id": "C1", "known_at": "2024-01-11", "role": "Economic Buyer", "seniority": "C-Level"}
    ],
    activities=[
        {"deal_id": "D", "kind": "email", "direction": "inbound", "contact_id": "C1", "occurred_at": "2024-01-12"},
        {"deal_id": "D", "kind": "email", "direction": "outbound", "occurred_at": "2024-01-13"},
    ],
)


def test_what_the_signals_are_made_of_is_posted() -> None:
    """Seniority, role, editor and probability come through to the bit; a deal merged away is not open."""
    record = build_record(RICH, STAGES, quarters(), SCHEMA)
    loaded, as_of = model_of(quarters(), record.reference), at("2024-02-01")
    got = posted(RICH, loaded, as_of, ["D", "GONE"])
    assert got == batch(record, as_of, ["D", "GONE"])
    assert list(got) == ["D"]
    values = build_features(record, asked(record, ("D", "2024-02-01")), PLAN)
    told = dict(zip(values.names, values.values[0].tolist(), strict=True))
    assert told["days_since_rep_edit"] == 21.625  # neither the admin's nor the former owner's edit is R2's
    assert (told["seniority_reached"], told["senior_active_90d"], told["decision_maker"]) == (4, 1, 1)


def test_reps_that_the_snapshot_does_not_know_are_told_apart() -> None:
    """Hired since the last refresh: the deal changed hands between two of them, and an admin's edit is not theirs."""
    reference = build_record(company(), STAGES, quarters(), SCHEMA).reference
    record = build_record(RICH, STAGES, quarters(), SCHEMA)
    for day in ("2024-01-24", "2024-02-01"):
        inline = posted(RICH, model_of(quarters(), reference), at(day), ["D"])["D"]
        whole = batch(record, at(day), ["D"])["D"]
        for name in ("owner_changes", "days_since_rep_edit"):
            column = slice(8 * PLAN.names.index(name), 8 * PLAN.names.index(name) + 8)
            assert inline[column] == whole[column], (day, name)
