"""The funnel of leads: by hand, held against a plain walk through the files, and blind to what came later."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from configs.schema import Config
from features.lead_funnel import STEPS, LeadFacts, Windows, lead_facts, periods_back
from features.periods import parse_as_of
from features.record import build_record
from features.registry import Schema
from features.sources.base import open_source
from models.lead_funnel import NOT_TOLD, LeadFunnel, Step, document, lead_funnel
from tests.lead_world import CONFIG, MAPPING, lead_config, write_leads
from training.prepare import calendar_of

WINDOWS = Windows(30, 120)
AS_OF = "2024-03-05"
FEW = {
    "leads.csv": """lead_id,created_at,source,size
a,2023-10-02T00:00:00Z,web,small
b,2023-10-03T00:00:00Z,web,small
c,2023-10-04T00:00:00Z,list,small
d,2023-10-05T00:00:00Z,,small
e,2024-02-20T00:00:00Z,web,small
f,2024-03-04T00:00:00Z,web,small
g,2024-03-05T00:00:00Z,web,small
h,2023-10-06T00:00:00Z,web,small
""",
    "lead_history.csv": """lead_id,known_at,event,deal_id
a,2023-10-04T00:00:00Z,worked,
a,2023-10-08T00:00:00Z,mql,
a,2023-10-12T00:00:00Z,converted,A
b,2023-10-06T00:00:00Z,worked,
b,2023-12-20T00:00:00Z,converted,B
c,2023-10-10T00:00:00Z,worked,
c,2023-10-20T00:00:00Z,disqualified,
d,2023-10-15T00:00:00Z,converted,gone
e,2024-02-21T00:00:00Z,sql,
h,2023-10-07T00:00:00Z,worked,
h,2023-10-08T00:00:00Z,disqualified,
h,2023-10-09T00:00:00Z,worked,
h,2024-03-05T00:00:00Z,converted,H
""",
    "lead_activities.csv": "lead_id,occurred_at,kind,direction,outcome\n",
    "deals.csv": "deal_id,created_at\nA,2023-10-12T00:00:00Z\nB,2023-12-20T00:00:00Z\nH,2024-03-05T00:00:00Z\n",
    "deal_history.csv": """deal_id,known_at,stage,amount
A,2023-10-12T00:00:00Z,Open,100
A,2024-01-12T00:00:00Z,Closed Won,100
B,2023-12-20T00:00:00Z,Open,100
B,2024-01-20T00:00:00Z,Closed Lost,100
H,2024-03-05T00:00:00Z,Open,100
""",
}


def facts_of(config: Config, groups: Sequence[str] = ("source",)) -> LeadFacts:
    """The facts of a config's leads."""
    ingest = open_source(config).read()
    record = build_record(ingest.tables, ingest.stages, calendar_of(config), Schema("converted"))
    assert ingest.became is not None
    return lead_facts(ingest.tables, record, ingest.became, groups)


def few(folder: Path) -> LeadFacts:
    """Eight leads, made by hand."""
    export = folder / "export"
    export.mkdir()
    for name, text in FEW.items():
        (export / name).write_text(text)
    (folder / "mapping.yaml").write_text(MAPPING.replace("attributes: {seats: {kind: number}}", ""))
    (folder / "leads.yaml").write_text(CONFIG % export)
    return facts_of(lead_config(folder))


def funnel(facts: LeadFacts, as_of: str = AS_OF, periods: int | None = 4) -> LeadFunnel:
    return lead_funnel(facts, parse_as_of(as_of, "UTC"), WINDOWS, periods)


def steps(found: LeadFunnel, value: str | None = None, period: str | None = None) -> dict[str, Step]:
    """The steps of one cohort."""
    day = found.view.window.calendar.day
    (cohort,) = (
        one
        for one in found.cohorts
        if one.value == value and (None if one.period is None else day(one.period).isoformat()) == period
    )
    return {step.name: step for step in cohort.steps}


def test_counts_and_shares_by_hand(tmp_path: Path) -> None:
    whole = steps(funnel(few(tmp_path)))
    lead, worked, mql, sql, opportunity, won = whole.values()
    assert (lead.reached, lead.went_on, lead.stopped, lead.waiting, lead.young) == (7, 6, 0, 1, 2), "g is not known yet"
    assert (worked.reached, worked.skipped) == (6, 2), "d converted and e was accepted without being worked"
    assert (worked.went_on, worked.stopped, worked.waiting) == (4, 1, 1), "c gave up; h was taken up again and waits"
    assert (mql.reached, mql.skipped, sql.reached, sql.skipped) == (4, 3, 4, 3)
    assert (sql.went_on, sql.waiting, sql.young) == (3, 1, 1)
    assert (opportunity.reached, opportunity.went_on, opportunity.stopped, opportunity.untold) == (3, 1, 1, 1)
    assert (won.reached, won.waiting) == (1, 0)
    # In time: b converted after 78 days, so it is no success within 30; e and f have not had their 30 days.
    assert (worked.to_next.passed, worked.to_next.judged) == (2, 5)
    assert (opportunity.of_all.passed, opportunity.of_all.judged) == (2, 5)
    assert (opportunity.to_next.passed, opportunity.to_next.judged) == (1, 2), "what became of d is not told"
    assert (won.of_all.passed, won.of_all.judged) == (1, 4)
    assert (lead.days, lead.timed) == (3, 5), "2, 3, 6, 10 and 1 days"
    assert (worked.days, worked.timed) == (4, 1)
    assert (mql.days, sql.days, opportunity.days) == (4, None, 92)


def test_a_share_has_its_interval(tmp_path: Path) -> None:
    told = document(funnel(few(tmp_path)))["cohorts"][0]["steps"][1]
    assert (told["rate"], told["rate_low"], told["rate_high"]) == (0.4, 0.117621, 0.769276), "2 of 5, by Wilson"


def test_cohorts_and_groups_add_up(tmp_path: Path) -> None:
    found = funnel(few(tmp_path))
    for value in (None, "web", "list", NOT_TOLD):
        whole = steps(found, value)
        parts = [steps(found, value, start) for start in ("2023-10-01", "2024-01-01")]
        for name in ("reached", "went_on", "stopped", "waiting", "untold", "young", "skipped"):
            for step in STEPS:
                assert getattr(whole[step], name) == sum(getattr(part[step], name) for part in parts)
    assert steps(found, NOT_TOLD)["lead"].reached == 1
    assert steps(found, None, "2024-01-01")["worked"].of_all.judged == 0, "none has had its time"
    assert document(found)["cohorts"][2]["steps"][1]["of_leads"] is None


def test_it_looks_far_enough_back_to_tell_of_wins(tmp_path: Path) -> None:
    facts = few(tmp_path)
    assert periods_back(facts, parse_as_of(AS_OF, "UTC"), WINDOWS) == 2, "240 days before lie in July"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some hundred leads."""
    folder = tmp_path_factory.mktemp("leads")
    write_leads(folder, 400)
    return folder


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "export" / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("as_of", ["2023-06-01", "2023-11-17", "2024-05-02"])
def test_it_agrees_with_a_walk_through_the_files(world: Path, as_of: str) -> None:
    found, at = funnel(facts_of(lead_config(world)), as_of, 40), f"{as_of}T00:00:00Z"
    deals: dict[str, str] = {}
    for row in rows_of(world, "deal_history.csv"):
        if row["stage"] == "Closed Won" and row["known_at"] < at:
            deals[row["deal_id"]] = row["known_at"]
    events: dict[str, list[dict[str, str]]] = {}
    for row in rows_of(world, "lead_history.csv"):
        if row["known_at"] < at:
            events.setdefault(row["lead_id"], []).append(row)
    counted = {"lead": 0, "worked": 0, "opportunity": 0, "won": 0}
    for lead in rows_of(world, "leads.csv"):
        if lead["opted_out"] == "True" or lead["created_at"] >= at:
            continue
        told = events.get(lead["lead_id"], [])
        counted["lead"] += 1
        counted["worked"] += bool(told)
        counted["opportunity"] += any(row["event"] == "converted" for row in told)
        counted["won"] += any(row["deal_id"] in deals for row in told)
    whole = steps(found)
    assert {name: whole[name].reached for name in counted} == counted
    assert counted["won"] > 0


@pytest.mark.parametrize("as_of", ["2023-09-10", "2024-02-02"])
def test_later_facts_change_nothing(world: Path, tmp_path: Path, as_of: str) -> None:
    """Deleting everything known at or after the as-of leaves every figure as it is."""
    cut, at = tmp_path / "export", f"{as_of}T00:00:00Z"
    cut.mkdir()
    for path in (world / "export").glob("*.csv"):
        rows, clock = rows_of(world, path.name), {"leads.csv": "created_at", "deals.csv": "created_at"}
        clock["lead_activities.csv"] = "occurred_at"
        with (cut / path.name).open("w", newline="") as file:
            out = csv.DictWriter(file, rows[0].keys())
            out.writeheader()
            out.writerows(row for row in rows if row[clock.get(path.name, "known_at")] < at)
    whole = document(funnel(facts_of(lead_config(world)), as_of, 40))
    left = document(funnel(facts_of(lead_config(world, f"source.path={cut}")), as_of, 40))
    assert left == whole
    assert whole["cohorts"][0]["steps"][4]["reached"] > 0


def test_parts_add_up(world: Path) -> None:
    for cohort in funnel(facts_of(lead_config(world), ("source", "size")), "2024-04-09").cohorts:
        for step in cohort.steps[:-1]:
            assert step.reached == step.went_on + step.stopped + step.waiting + step.untold
            assert step.to_next.passed <= step.to_next.judged <= step.reached
