"""The laws of time on small companies of every nasty shape, asked at the very instants of facts and of periods."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.build import build_features, plan_features
from features.known import known_before
from features.periods import Calendar
from features.record import build_record
from features.registry import Context
from features.tables import CrmTables
from tests.features.nasty import SCHEMA, Maker, asked_of, calendars
from tests.pit.test_laws import rewritten_after
from tests.tiny import SHRINK, STAGES, Row, at, company, quarters, requests_of

PLAN = plan_features(Context(SCHEMA, SHRINK))
SOME = settings(max_examples=30)
RANDOM = st.randoms(use_true_random=False)


def bits(tables: CrmTables, calendar: Calendar, asked: list[tuple[str, int]]) -> list[bytes]:
    """The features of each request."""
    record = build_record(tables, STAGES, calendar, SCHEMA)
    return [row.tobytes() for row in build_features(record, requests_of(record, asked), PLAN).values]


def drawn(random: Random) -> tuple[CrmTables, Calendar, list[tuple[str, int]]]:
    tables, calendar = Maker(random).company(), random.choice(calendars())
    known = dict(zip(tables.deals.coded("deal_id").strings(), tables.deals.ints("known_at").tolist(), strict=True))
    return (
        tables,
        calendar,
        [(deal, as_of) for deal, as_of in asked_of(random, tables, calendar) if as_of > known[deal]],
    )


@SOME
@given(RANDOM)
def test_truncation(random: Random) -> None:
    tables, calendar, asked = drawn(random)
    for one in asked:
        assert bits(tables, calendar, [one]) == bits(known_before(tables, one[1]), calendar, [one])


@SOME
@given(RANDOM)
def test_time_travel(random: Random) -> None:
    tables, calendar, asked = drawn(random)
    for one in asked:
        bent = rewritten_after(tables, one[1], np.random.default_rng(random.getrandbits(32)))
        assert bits(tables, calendar, [one]) == bits(bent, calendar, [one])


@SOME
@given(RANDOM)
def test_order(random: Random) -> None:
    tables, calendar, asked = drawn(random)
    rng = np.random.default_rng(random.getrandbits(32))
    mixed = {name: table.take(rng.permutation(table.n)) for name, table in tables.by_name().items()}
    assert bits(tables, calendar, asked) == bits(replace(tables, **mixed), calendar, asked)


@SOME
@given(RANDOM)
def test_batch_is_one(random: Random) -> None:
    """Among the deals are such as have no history, no owner, no account."""
    tables, calendar, asked = drawn(random)
    assert bits(tables, calendar, asked) == [row for one in asked for row in bits(tables, calendar, [one])]


def stay(deal: str, known_at: str, stage: str, owner: str) -> Row:
    return {"deal_id": deal, "known_at": known_at, "stage": stage, "owner_id": owner, "forecast_category": "commit"}


# R1 and R2 hold deals of one stage; one is won in the second quarter. Then nothing is written for two whole quarters.
GAP = company(
    deals=[{"deal_id": f"D{i}", "created_at": "2023-02-10", "account_id": "A"} for i in range(4)],
    deal_history=[
        *(stay(f"D{i}", "2023-02-10", "Demo", f"R{i % 2}") for i in range(4)),
        stay("D1", "2023-06-20", "Won", "R1"),
        stay("D2", "2024-02-15", "Won", "R0"),
        stay("D3", "2024-05-15", "Lost", "R1"),
    ],
    quotas=[{"rep_id": "R0", "period_start": day, "amount": 10} for day in ("2023-04-01", "2024-01-01")],
    calls=[
        {"rep_id": "R0", "submitted_at": f"{day} 09:00", "period_start": day, "category": "commit", "amount": 10}
        for day in ("2023-04-01", "2024-01-01")
    ],
)


@pytest.mark.parametrize("after", [-1, 0, 1])
@pytest.mark.parametrize(
    "cut",
    [
        "2023-02-20",  # in the first period
        "2023-04-01",  # its end
        "2023-07-01",
        "2023-11-11",  # in the gap
        "2024-01-01",  # a period's end in the gap
        "2024-02-15",
        "2024-04-01",
        "2024-12-01",  # after the last fact
    ],
)
def test_truncation_in_a_gap_and_at_the_ends_of_periods(cut: str, after: int) -> None:
    as_of = at(cut) + after
    asked = [(f"D{i}", as_of) for i in range(4)]
    assert bits(GAP, quarters(), asked) == bits(known_before(GAP, as_of), quarters(), asked)
