"""Pipeline figures held against a plain walk, the laws of time, and exact roll-ups; odd companies get None."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from configs.errors import UsageError
from features.known import known_before
from features.nodes import NO_REP, NO_TEAM
from features.pipeline import PipelineFacts, pipeline_facts
from features.record import build_record
from features.registry import Schema
from features.stages import StageMap
from features.tables import CrmTables
from models.pipeline import NodeMetrics, PipelineMetrics, pipeline_metrics
from models.pipeline_rows import INTEGERS, TEXTS, document, rows
from tests.models.pipeline_oracle import Company, company_of, figures, flow
from tests.tiny import STAGES, at, company, quarters, record
from tests.worlds.world import STAGE_MAP, world

DAYS = ("2021-02-17", "2021-04-01", "2021-06-28", "2020-04-01", "2020-02-10")  # of the world's 2020-01 to 2021-06


def facts_of(tables: CrmTables, stages: StageMap = STAGES) -> PipelineFacts:
    return pipeline_facts(tables, build_record(tables, stages, quarters(), Schema("in_period")))


def found(tables: CrmTables, day: str, periods: int = 4, stages: StageMap = STAGES) -> PipelineMetrics:
    return pipeline_metrics(facts_of(tables, stages), at(day), periods)


@pytest.fixture(scope="module")
def tables() -> CrmTables:
    """A dirty world: re-opened deals, owners that change, amounts and first rows that are missing."""
    return world("W4", 1000, 30, 6).ingest.tables


@pytest.fixture(scope="module")
def facts(tables: CrmTables) -> PipelineFacts:
    return facts_of(tables, STAGE_MAP)


def reps_of(node: NodeMetrics, every: PipelineMetrics) -> set[str | None]:
    """The reps under a node; None for what nobody owns."""
    parents = {other.name: other.parent for other in every.nodes if other.level == "rep"}
    names = {rep for rep, team in parents.items() if node.level == "company" or rep == node.name or team == node.name}
    return {None if name == NO_REP else name for name in names}


@pytest.mark.parametrize("day", DAYS)
def test_figures_are_those_of_a_plain_walk(tables: CrmTables, facts: PipelineFacts, day: str) -> None:
    every = pipeline_metrics(facts, at(day), 3)
    plain = company_of(tables, STAGE_MAP, quarters(), at(day))
    for node in [*every.nodes[:3], *every.nodes[-3:]]:
        assert told(node) == figures(plain, reps_of(node, every), 3), node.name


def told(node: NodeMetrics) -> dict[str, object]:
    """The figures that the oracle works out, of a node."""
    rate = node.win_rate
    assert node.won.count == rate.won
    return {
        "open": (node.open.count, node.open.cents),
        "due": (node.due.count, node.due.cents),
        "overdue": node.overdue_count,
        "closed": (rate.won, rate.lost, rate.won_cents, rate.lost_cents),
        "win_rate": rate.by_count,
        "win_rate_amount": rate.by_amount,
        "average": node.won.average_cents,
        "cycle": tuple(None if d is None else pytest.approx(d) for d in (node.won.mean_days, node.won.median_days)),
        "quota": node.quota,
        "booked": node.booked,
        "recent": (node.recent.won, node.recent.lost),
        "unpriced": node.unpriced,
        "usual_share": node.usual_share,
        "centre": None if node.centre is None else pytest.approx(node.centre),
        "yield": (node.open.past_open, node.open.past_won),
        "yield_due": (node.due.past_open, node.due.past_won),
    }


@pytest.mark.parametrize("day", DAYS)
def test_conversion_is_that_of_a_plain_walk(tables: CrmTables, facts: PipelineFacts, day: str) -> None:
    every = pipeline_metrics(facts, at(day), 3)
    plain: Company = company_of(tables, STAGE_MAP, quarters(), at(day))
    for node in [every.nodes[0], every.nodes[1], every.nodes[-1]]:
        for stage in node.flows:
            if stage.stage is not None:
                counts = flow(plain, reps_of(node, every), 3, stage.stage)
                assert {name: getattr(stage, name) for name in counts} == counts
                assert stage.entered == stage.advanced + stage.lost + stage.merged + stage.still_open


def test_the_world_is_not_empty(facts: PipelineFacts) -> None:
    """The walks above compared something."""
    node = pipeline_metrics(facts, at(DAYS[0]), 3).nodes[0]
    assert min(node.open.count, node.due.count, node.overdue_count, node.win_rate.won, node.win_rate.lost) > 10
    assert min(node.booked, node.open.past_won, node.due.past_won, node.flows[1].lost, node.flows[-1].entered) > 10
    assert node.flows[0].entered > node.flows[0].advanced > node.flows[0].lost > 0
    assert node.health.score is not None


@pytest.mark.parametrize("day", DAYS)
def test_everything_adds_up_exactly(facts: PipelineFacts, day: str) -> None:
    every = pipeline_metrics(facts, at(day))
    for node in every.nodes:
        below = [other for other in every.nodes if other.parent == node.name and other is not node]
        if node.level == "rep":
            assert below == []
            continue
        assert len(below) > 0
        assert sums(node) == [sum(parts) for parts in zip(*(sums(other) for other in below), strict=True)]


def sums(node: NodeMetrics) -> list[int]:
    """Every count and every cent of a node."""
    flows = [getattr(f, name) for f in node.flows for name in f.__dataclass_fields__ if name != "stage"]
    rates = [getattr(r, name) for r in (node.win_rate, node.recent) for name in r.__dataclass_fields__]
    covers = [v for c in (node.open, node.due) for v in (c.count, c.cents, c.past_open, c.past_won)]
    quotas = [curve.quota or 0 for curve in node.curves]
    curves = [cents for curve in node.curves for cents in curve.cents]
    won = [node.won.count, node.won.cents, node.won.priced, node.booked, node.overdue_cents, node.unpriced]
    return [*flows, *rates, *covers, *quotas, *curves, *won]


@pytest.mark.parametrize("day", [*DAYS, "2021-07-01", "2020-01-01", "2021-01-01 00:00"])
def test_truncation(tables: CrmTables, facts: PipelineFacts, day: str) -> None:
    """Deleting every fact known at or after the as-of changes nothing, nor does a moment around a fact."""
    known = tables.deal_history.ints("known_at")
    near = known[known >= at(day)].min(initial=at("2021-06-30"))
    for as_of in (at(day), int(near), int(near) + 1):
        cut = known_before(tables, as_of)
        whole, left = pipeline_metrics(facts, as_of), pipeline_metrics(facts_of(cut, STAGE_MAP), as_of)
        assert whole.nodes == left.nodes
        assert document(whole) == document(left)


def test_later_facts_change_nothing(tables: CrmTables, facts: PipelineFacts) -> None:
    """Whatever is written at or after the as-of may as well say something else."""
    as_of, rng = at(DAYS[0]), np.random.default_rng(5)
    history, quotas = tables.deal_history, tables.quotas
    late, quota_late = history.ints("known_at") >= as_of, quotas.ints("known_at") >= as_of
    stage, owner = history.coded("stage"), history.coded("owner_id")
    bent = replace(
        tables,
        deal_history=history.replace(
            {
                "amount": np.where(late, 7, history.ints("amount")),
                "close_date": np.where(late, 9, history.ints("close_date")),
                "stage": replace(stage, codes=np.where(late, rng.permutation(stage.codes), stage.codes)),
                "owner_id": replace(owner, codes=np.where(late, rng.permutation(owner.codes), owner.codes)),
            }
        ),
        quotas=quotas.replace({"amount": np.where(quota_late, 7, quotas.ints("amount"))}),
    )
    assert late.sum() > 100
    assert quota_late.sum() > 10
    assert pipeline_metrics(facts_of(bent, STAGE_MAP), as_of).nodes == pipeline_metrics(facts, as_of).nodes


def test_a_fact_at_the_as_of_itself_is_not_known() -> None:
    made = company(
        deals=[{"deal_id": "A", "created_at": "2024-01-10"}],
        deal_history=[
            {"deal_id": "A", "known_at": "2024-01-10", "stage": "Demo", "amount": 100, "owner_id": "r"},
            {"deal_id": "A", "known_at": "2024-02-10", "stage": "Won", "amount": 90, "owner_id": "r"},
        ],
    )
    before, after = found(made, "2024-02-10").nodes[0], found(made, "2024-02-10 00:01").nodes[0]
    assert (before.open.count, before.booked) == (1, 0)
    assert (after.open.count, after.booked) == (0, 9000)


# --- curves, velocity, coverage, health ------------------------------------------------------------------------------


@pytest.mark.parametrize("day_of", ["2021-02-17", "2021-01-29", "2021-01-01"])  # a week's end, a period's end
def test_curves_are_those_of_a_plain_loop(tables: CrmTables, facts: PipelineFacts, day_of: str) -> None:
    as_of = at(day_of)
    node = pipeline_metrics(facts, as_of, 3).nodes[0]
    plain = company_of(tables, STAGE_MAP, quarters(), as_of)
    wins = [(win.end.at, max(win.end.amount, 0)) for win in plain.wins() if win.end]
    day = at("2020-01-02") - at("2020-01-01")
    starts = [at(text) for text in ("2020-04-01", "2020-07-01", "2020-10-01", "2021-01-01", "2021-04-01")]
    for curve, begin, end in zip(node.curves, starts[:-1], starts[1:], strict=True):
        ends = [min(begin + 7 * k * day, end, as_of) for k in range(1, 15)]
        ends = ends[: ends.index(min(end, as_of)) + 1]
        booked = [sum(cents for when, cents in wins if begin <= when < stop) for stop in ends]
        assert list(curve.cents) == booked
        assert len(curve.ends) == len(booked)
        assert curve.total == booked[-1]
        assert (curve.total > 0) is (begin < as_of)
        assert curve.complete is (end <= as_of)
        if curve.complete:
            steps = 20_000
            spent = sorted(((when - begin) / (end - begin), cents) for when, cents in wins if begin <= when < end)
            grid = (np.arange(steps) + 0.5) / steps
            level = np.array([sum(c for s, c in spent if s <= u) for u in grid[::10]]).repeat(10) / curve.total
            assert curve.linearity == pytest.approx(1 - 2 * np.abs(level - grid).mean(), abs=2e-3)
        else:
            assert curve.linearity is None
            assert set(curve.of_total) == {None}


def test_velocity_coverage_and_health_follow_from_their_parts(facts: PipelineFacts) -> None:
    every = pipeline_metrics(facts, at(DAYS[0]), 3)
    days = (at("2021-01-01") - at("2020-04-01")) / 86_400_000_000
    deals = 0
    for node in every.nodes:
        rate, won, cover = node.win_rate.by_count, node.won, node.open
        expected = None
        if rate is not None and won.average_cents is not None and won.mean_days is not None:
            expected = pytest.approx(cover.count * rate * won.average_cents / won.mean_days)
        assert node.velocity.cents_per_day == expected
        to_go = None if node.quota is None else node.quota - node.booked
        assert cover.to_go == to_go
        assert cover.ratio == (pytest.approx(cover.cents / to_go) if to_go and to_go > 0 else None)
        health = node.health
        if to_go is not None and to_go > 0 and cover.shrunk is not None:
            assert health.coverage == pytest.approx(min(cover.cents * cover.shrunk / to_go, 1))
        if node.velocity.cents_per_day is not None:
            assert health.velocity == pytest.approx(min(node.velocity.cents_per_day / (won.cents / days), 1))
        if rate:
            lately = (node.recent.won + 20 * rate) / (node.recent.won + node.recent.lost + 20)
            assert health.win_rate == pytest.approx(min(lately / rate, 1))
        deals += health.score is not None
    assert deals > 5


def test_yields_are_shrunken_towards_the_node_above(tables: CrmTables, facts: PipelineFacts) -> None:
    as_of = at(DAYS[0])
    every = pipeline_metrics(facts, as_of, 3)
    by_name = {(node.level, node.name): node.open for node in every.nodes}
    company, plain = every.nodes[0].open, company_of(tables, STAGE_MAP, quarters(), as_of)
    looks = [at(text) + as_of - at("2021-01-01") for text in ("2020-04-01", "2020-07-01", "2020-10-01")]
    weight = 20 * company.past_open / sum(len(plain.before(look).open_now()) for look in looks)
    assert company.shrunk == company.past_won / company.past_open
    for node in every.nodes[1:]:
        above = by_name["company" if node.level == "team" else "team", node.parent or ""].shrunk
        assert above is not None
        own = node.open
        assert own.shrunk == pytest.approx((own.past_won + weight * above) / (own.past_open + weight))


# --- odd companies ---------------------------------------------------------------------------------------------------


def test_a_win_without_a_past_has_no_cycle() -> None:
    rows = [("A", "2024-01-01", "Demo"), ("A", "2024-01-11", "Won"), ("B", "2024-02-01", "Won")]
    made = company(
        deals=[{"deal_id": "A", "created_at": "2024-01-01"}, {"deal_id": "B", "created_at": "2024-02-01"}],
        deal_history=[{"deal_id": d, "known_at": day, "stage": stage, "amount": 100} for d, day, stage in rows],
    )
    won = found(made, "2024-05-01").nodes[0].won
    assert (won.count, won.cents, won.mean_days, won.median_days) == (2, 20000, 10, 10)


def test_an_empty_company_says_none() -> None:
    made = pipeline_facts(company(), record(company()))
    every = pipeline_metrics(made, at("2024-02-10"))
    assert [node.name for node in every.nodes] == ["all"]
    node = every.nodes[0]
    assert (node.open.count, node.booked, node.quota, node.win_rate.by_count, node.attainment) == (
        0,
        0,
        None,
        None,
        None,
    )
    assert (node.velocity.cents_per_day, node.open.ratio, node.open.needed, node.health.score) == (None,) * 4
    assert (node.linearity, node.centre, node.usual_share, every.days_silent) == (None,) * 4
    assert len(every.window.periods) == 0
    json.dumps(document(every), allow_nan=False)


def test_nobodys_deals_and_teamless_reps_are_counted() -> None:
    made = company(
        deals=[{"deal_id": d, "created_at": "2024-01-10"} for d in "ABCD"],
        deal_history=[
            {"deal_id": "A", "known_at": "2024-01-10", "stage": "Demo", "amount": 100, "owner_id": "r1"},
            {"deal_id": "B", "known_at": "2024-01-10", "stage": None, "amount": 50, "owner_id": None},
            {"deal_id": "C", "known_at": "2024-01-10", "stage": "Demo", "owner_id": "r2"},
        ],
        reps=[{"rep_id": "r1", "team": "t"}],
    )
    every = found(made, "2024-02-10")
    assert [(n.name, n.parent, n.open.count, n.open.cents, n.unpriced) for n in every.nodes] == [
        ("all", None, 4, 15000, 2),
        ("t", "all", 1, 10000, 0),
        (NO_TEAM, "all", 3, 5000, 2),
        ("r1", "t", 1, 10000, 0),
        ("r2", NO_TEAM, 1, 0, 1),
        (NO_REP, NO_TEAM, 2, 5000, 1),
    ]
    assert [(flow.stage, flow.open_count) for flow in every.nodes[0].flows] == [
        ("Qualify", 0), ("Demo", 2), ("Propose", 0), (None, 2),
    ]  # fmt: skip


def test_a_quota_of_nothing_or_reached_has_no_coverage() -> None:
    deal = {"deal_id": "A", "known_at": "2024-01-10", "stage": "Demo", "amount": 100, "owner_id": "r"}
    made = company(
        deals=[{"deal_id": d, "created_at": "2024-01-10"} for d in "AB"],
        deal_history=[
            deal,
            deal | {"deal_id": "B", "owner_id": "s"},
            {"deal_id": "A", "known_at": "2024-01-20", "stage": "Won", "amount": 90, "owner_id": "r"},
        ],
        quotas=[
            {"rep_id": "r", "period_start": "2024-01-01", "amount": 80, "known_at": "2024-01-01"},
            {"rep_id": "s", "period_start": "2024-01-01", "amount": 0, "known_at": "2024-01-01"},
        ],
    )
    nodes = {node.name: node for node in found(made, "2024-02-10").nodes}
    assert (nodes["r"].attainment, nodes["r"].open.to_go, nodes["r"].open.ratio) == (90 / 80, -1000, None)
    assert nodes["r"].health.coverage == 1
    assert nodes["r"].health.score is None
    assert (nodes["s"].quota, nodes["s"].attainment, nodes["s"].open.ratio) == (0, None, None)


def test_monthly_quotas_of_a_quarter_add_up_and_later_ones_wait() -> None:
    quotas = [
        {"rep_id": "r", "period_start": f"2024-0{month}-01", "amount": month, "known_at": f"2024-0{month}-01"}
        for month in (1, 2, 3, 4)
    ]
    made = company(quotas=quotas, deals=[{"deal_id": "A", "created_at": "2024-01-10"}])
    assert found(made, "2024-02-01").nodes[0].quota == 100
    assert found(made, "2024-02-02").nodes[0].quota == 300
    assert found(made, "2024-03-31").nodes[0].quota == 600


def test_an_as_of_outside_the_calendar_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--as-of.*fiscal calendar"):
        found(company(), "1980-01-01")


# --- documents -------------------------------------------------------------------------------------------------------


def test_rows_and_documents_say_the_same(facts: PipelineFacts) -> None:
    every = pipeline_metrics(facts, at(DAYS[0]))
    flat, whole = list(rows(every)), document(every)
    assert len(flat) == len(whole["nodes"]) == len(every.nodes)
    assert len({tuple(row) for row in flat}) == 1
    for row, node in zip(flat, whole["nodes"], strict=True):
        assert json.loads(str(row["funnel"])) == node["funnel"]
        assert json.loads(str(row["curves"])) == node["curves"]
        for name, value in row.items():
            if name in INTEGERS:
                assert isinstance(value, int)
            elif name not in TEXTS:
                assert value is None or isinstance(value, float)
    assert {row["level"] for row in rows(every, "team")} == {"team"}
    assert {node["level"] for node in document(every, "rep")["nodes"]} == {"rep"}
    company = whole["nodes"][0]
    assert company["booked"] == every.nodes[0].booked / 100
