"""Every feature of the catalogue equals the slow oracle's, on a simulated company and on small nasty ones."""

from __future__ import annotations

from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.load import mapping_of
from features.build import build_features, plan_features
from features.periods import Calendar
from features.record import Record, build_record
from features.registry import Context, Schema
from features.schema import schema_of
from features.stages import StageMap
from features.tables import CrmTables
from tests.companies import demo_config, small_company
from tests.features.nasty import SCHEMA, Maker, asked_of, calendars
from tests.features.oracle import World, known
from tests.features.oracle_past import values
from tests.tiny import SHRINK, STAGES, requests_of
from training.prepare import calendar_of, plan_of


def world_of(calendar: Calendar, stages: StageMap, schema: Schema, shrink: float) -> World:
    return World(
        calendar.starts.tolist(), calendar.days.tolist(), calendar.holidays.tolist(), ZoneInfo(calendar.zone),
        stages, schema, shrink,
    )  # fmt: skip


def differences(
    tables: CrmTables, world: World, record: Record, context: Context, asked: list[tuple[str, int]]
) -> list[tuple[str, int, str, float, float]]:
    """(deal, as_of, feature, got, expected) wherever the two disagree."""
    matrix = build_features(record, requests_of(record, asked), plan_features(context))
    seen = {as_of: known(tables, world, as_of) for as_of in {as_of for _, as_of in asked}}
    found = []
    for row, (deal, as_of) in enumerate(asked):
        expected = values(seen[as_of], deal)
        assert set(expected) >= set(matrix.names)
        for j, name in enumerate(matrix.names):
            got, wanted = float(matrix.values[row, j]), float(expected[name])
            if got != pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True):
                found.append((deal, as_of, name, got, wanted))
    return found


def test_the_simulated_company(tmp_path_factory: pytest.TempPathFactory) -> None:
    state = tmp_path_factory.mktemp("oracle")
    config, ingest = demo_config(state), small_company(state)
    schema, calendar = schema_of(ingest.tables, mapping_of(config), config.target), calendar_of(config)
    record = build_record(ingest.tables, ingest.stages, calendar, schema)
    world = world_of(calendar, ingest.stages, schema, config.features.shrink)
    rng = np.random.default_rng(3)
    every = ingest.tables.deal_history.ints("known_at")
    moments = rng.integers(every.min() + 200 * 86_400_000_000, every.max(), 3).tolist()
    moments += [int(calendar.starts[calendar.index(every[:1])[0] + 3])]
    asked = []
    for as_of in moments:
        some = np.flatnonzero(record.deals.known_at < as_of)
        chosen = rng.choice(some[-150:], 10, replace=False)
        asked += [(record.deal_ids.strings()[deal] or "", as_of) for deal in chosen.tolist()]
    assert differences(ingest.tables, world, record, plan_of(config, schema).context, asked) == []


@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_small_nasty_companies(random: Random) -> None:
    maker = Maker(random)
    tables = maker.company()
    calendar = random.choice(calendars())
    world, context = world_of(calendar, STAGES, SCHEMA, SHRINK), Context(SCHEMA, SHRINK)
    asked = asked_of(random, tables, calendar)
    rng = np.random.default_rng(random.getrandbits(32))
    listed = tables.by_name().items()
    shuffled = CrmTables.of({name: table.take(rng.permutation(table.n)) for name, table in listed})
    for rows in (tables, shuffled):
        record = build_record(rows, STAGES, calendar, SCHEMA)
        assert differences(tables, world, record, context, asked) == []
