"""Days in a stage held against a plain walk over the rows and against later facts; calls at the same time."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest

from features.known import known_before
from features.nodes import REP
from features.periods import DAY
from features.pipeline import PipelineFacts, pipeline_at, pipeline_facts
from features.record import build_record
from features.registry import Schema
from features.tables import CrmTables
from models.stage_days import StageDays, stage_days
from models.standing_calls import standing_calls
from tests.models.pipeline_oracle import WON, company_of
from tests.tiny import STAGES, at, company, quarters
from tests.worlds.world import STAGE_MAP, world

AS_OF = "2021-02-17"


def facts_of(tables: CrmTables) -> PipelineFacts:
    return pipeline_facts(tables, build_record(tables, STAGE_MAP, quarters(), Schema("in_period")))


@pytest.fixture(scope="module")
def tables() -> CrmTables:
    """A dirty world: re-opened deals, owners that change, first rows that are missing."""
    return world("W4", 1000, 30, 6).ingest.tables


def told(facts: PipelineFacts, as_of: int, periods: int = 3) -> dict[tuple[str, str], tuple[StageDays, ...]]:
    view = pipeline_at(facts, as_of, periods)
    names = zip(view.nodes.level, view.nodes.name, strict=True)
    return dict(zip(names, stage_days(facts, view), strict=True))


def test_days_are_those_of_a_plain_walk(tables: CrmTables) -> None:
    as_of = at(AS_OF)
    found = told(facts_of(tables), as_of)
    plain = company_of(tables, STAGE_MAP, quarters(), as_of)
    begin, end = at("2020-04-01"), at("2021-01-01")
    order = STAGE_MAP.order
    won: dict[str, list[float]] = {stage: [] for stage in order}
    for one in plain.episodes():
        if one.end is None or one.end.outcome != WON or not begin <= one.end.at < end:
            continue
        rows = [row for row in one.rows if row.stage in won]
        for place, row in enumerate(rows):
            stage = str(row.stage)
            if row.assumed or stage in {each.stage for each in rows[:place] if not each.assumed}:
                continue
            later = [each.at for each in rows[place:] if order.index(str(each.stage)) > order.index(stage)]
            won[stage].append((min(later, default=one.end.at) - row.at) / DAY)
    assert sum(map(len, won.values())) > 50, "nothing was compared"
    for one in found["company", "all"]:
        assert one.won_deals == len(won[one.stage])
        assert one.won_days == pytest.approx(median(won[one.stage]))


def test_a_hand_made_company() -> None:
    rows = [
        ("won", "2024-01-01", "Qualify"), ("won", "2024-01-11", "Demo"), ("won", "2024-01-31", "Won"),
        ("open", "2024-04-01", "Qualify"), ("open", "2024-04-05", "Propose"),
        ("later", "2024-04-02", "Qualify"), ("later", "2024-05-01", "Won"),
    ]  # fmt: skip
    tables = company(
        deals=[{"deal_id": deal, "created_at": day} for deal, day in
               (("won", "2024-01-01"), ("open", "2024-04-01"), ("later", "2024-04-02"))],
        deal_history=[{"deal_id": deal, "known_at": day, "stage": stage, "owner_id": "R1", "amount": 10.0}
                      for deal, day, stage in rows],
        reps=[{"rep_id": "R1", "team": "T"}],
        calls=[{"rep_id": "R1", "submitted_at": day, "period_start": start, "category": "commit", "amount": amount}
               for day, start, amount in (("2024-01-10", "2024-01-01", 5.0), ("2024-03-01", "2024-01-01", 9.0),
                                          ("2024-04-10", "2024-04-01", 7.0), ("2024-05-01", "2024-04-01", 8.0))],
    )  # fmt: skip
    facts = pipeline_facts(tables, build_record(tables, STAGES, quarters(), Schema("in_period")))
    found = told(facts, at("2024-05-01"))
    for name in (("company", "all"), ("team", "T"), (REP, "R1")):
        qualify, demo, propose = found[name]
        assert (qualify.won_deals, qualify.won_days, qualify.open_days) == (1, 10.0, 29.0)
        assert (demo.won_deals, demo.won_days, demo.open_days) == (1, 20.0, None)
        assert (propose.won_deals, propose.won_days, propose.open_days) == (0, None, 26.0)
    past, now = standing_calls(facts, pipeline_at(facts, at("2024-05-01"), 4))
    assert (past.cents, now.cents) == ({"R1": 500}, {"R1": 700}), "30 days into each period, strictly"


@pytest.mark.parametrize("day", [AS_OF, "2021-04-01", "2020-04-01"])
def test_truncation(tables: CrmTables, day: str) -> None:
    """Deleting every fact known at or after the as-of changes nothing."""
    known = tables.deal_history.ints("known_at")
    for as_of in (at(day), int(np.min(known[known >= at(day)])) + 1):
        whole, left = facts_of(tables), facts_of(known_before(tables, as_of))
        assert told(whole, as_of) == told(left, as_of)
        views = (pipeline_at(facts, as_of, 3) for facts in (whole, left))
        assert len({repr(standing_calls(facts, view)) for facts, view in zip((whole, left), views, strict=True)}) == 1
