"""What a report says of leads alone: figures against loops, the choice between two ways, words, counts, card."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from configs.schema import Grades
from features.periods import DAY
from models.leads import DIRECT, PRODUCT
from tests.training.lead_company import Leads
from training.backtest import CLOSE, folds_of
from training.backtest import Tested as Walked
from training.cuts import ground_at, told_of
from training.evaluate import Interval
from training.extras import heads_of, published_heads
from training.lead_scores import NAME, LeadFigures, WayRow, choice_of, grade_rows
from training.prepare import Prepared
from training.report import Report
from training.report_html import page
from training.report_text import markdown, sections_of


@pytest.fixture(scope="module")
def told(walked_leads: tuple[Report, Walked]) -> tuple[Report, Walked]:
    return walked_leads


@pytest.fixture(scope="module")
def figures(told: tuple[Report, Walked]) -> LeadFigures:
    found = told[0].leads
    assert found is not None
    return found


def test_a_fold_tests_later_leads_alone(leads: Leads) -> None:
    """Every window of a training row is over at the cut, every tested lead came in after it, and its window is over."""
    prepared = leads.prepared
    folds = folds_of(prepared)
    assert len(folds) == leads.config.backtest.test_periods
    for fold in folds:
        assert prepared.examples.label_end[fold.train].max() <= fold.cut
        assert prepared.created[fold.test].min() >= fold.cut
        assert prepared.told_end[fold.test].max() <= prepared.until
        assert not set(prepared.examples.deal[fold.train]) & set(prepared.examples.deal[fold.test])
    assert [fold.cut for fold in folds] == sorted(fold.cut for fold in folds)


def test_a_fixed_cut_is_taken_where_it_is_asked_for(leads: Leads) -> None:
    backtest = leads.config.backtest.model_copy(update={"test_from": datetime(2023, 12, 1, tzinfo=UTC)})
    config = leads.config.model_copy(update={"backtest": backtest})
    (fold,) = folds_of(replace(leads.prepared, config=config))
    assert fold.cut == int(datetime(2023, 12, 1, tzinfo=UTC).timestamp()) * 1_000_000


def test_the_rung_counts_leads_whose_window_is_over(leads: Leads) -> None:
    """Most leads that come to nothing are never disqualified; they count all the same."""
    prepared = leads.prepared
    ground = ground_at(prepared, prepared.until)
    rows = ground.rows
    converted = {int(deal) for deal, y in zip(rows.deal, rows.y, strict=True) if y > 0}
    every = {int(deal) for deal in rows.deal}
    assert (ground.won, ground.lost) == told_of(rows) == (len(converted), len(every) - len(converted))
    assert ground.rung == "trees"


def test_only_the_heads_of_leads_walk(leads: Leads) -> None:
    assert set(heads_of(leads.config)) == set(published_heads(leads.config)) == {NAME}


def test_grades_by_a_loop() -> None:
    rng = np.random.default_rng(3)
    p = np.append(rng.beta(1, 5, 500), [0.4, 0.2, 0.08])
    y, deal = (rng.random(503) < p).astype(np.float64), np.arange(503)
    rows = grade_rows(Grades(), y, p, deal)
    letters = ["A" if q >= 0.4 else "B" if q >= 0.2 else "C" if q >= 0.08 else "D" for q in p]
    for row in rows:
        mask = np.array([letter == row.grade for letter in letters])
        assert (row.rows, row.leads) == (mask.sum(), mask.sum())
        assert row.rate.value == pytest.approx(y[mask].mean())
        assert row.rate.low <= row.rate.value <= row.rate.high
    assert sum(row.share for row in rows) == pytest.approx(1.0)
    assert np.isnan(grade_rows(Grades(), y[p < 0.1], p[p < 0.1], deal[p < 0.1])[0].rate.value)


def test_a_week_of_work_by_a_loop(told: tuple[Report, Walked], figures: LeadFigures) -> None:
    tested, week = told[1], figures.week
    assert week is not None
    stood: dict[int, dict[int, tuple[int, float, float]]] = {}
    rows = zip(tested.as_of.tolist(), tested.deal.tolist(), tested.p[CLOSE], tested.y, strict=True)
    for as_of, lead, p, y in rows:
        of_week = stood.setdefault((as_of // DAY + 3) // 7, {})
        if lead not in of_week or of_week[lead][0] < as_of:
            of_week[lead] = (as_of, p, y)
    hits = worked = came = 0.0
    for of_week in stood.values():
        best = sorted(of_week.values(), key=lambda each: -each[1])[: week.capacity]
        hits, worked = hits + sum(each[2] for each in best), worked + len(best)
        came += sum(each[2] for each in of_week.values())
    assert week.weeks == len(stood)
    assert week.precision.value == pytest.approx(hits / worked)
    assert week.recall.value == pytest.approx(hits / came)


def test_ranking_beats_chance_and_lift_falls_to_one(figures: LeadFigures) -> None:
    ours = next(row for row in figures.ranks if row.name == CLOSE)
    assert ours.pr_auc.low > figures.rate
    assert ours.gained is None
    assert ours.lift == pytest.approx(ours.precision.value / figures.rate)
    assert figures.lift[-1].lift.value == pytest.approx(1.0)
    recalls = [point.recall.value for point in figures.lift]
    assert recalls == sorted(recalls)


def gain(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 0.5)


@pytest.mark.parametrize(
    ("ranks", "losses", "ships"),
    [
        (gain(0.01, 0.1), gain(-0.01, 0.02), DIRECT),
        (gain(-0.01, 0.1), gain(0.001, 0.02), DIRECT),
        (gain(-0.05, 0.1), gain(-0.01, 0.02), PRODUCT),
        (gain(0.01, 0.1), gain(-0.03, -0.02), PRODUCT),
        (gain(-0.1, -0.01), gain(0.001, 0.02), PRODUCT),
        (gain(float("nan"), float("nan")), gain(float("nan"), float("nan")), PRODUCT),
    ],
    ids=["ranks better", "less loss", "a tie", "one against the other", "the other against the one", "no draws"],
)
def test_which_way_ships(ranks: Interval, losses: Interval, ships: str) -> None:
    nothing = Interval(0.2, 0.1, 0.3, 0.5)
    way = WayRow(PRODUCT, nothing, 0.3, figure(), 1.0, 1.0)
    choice = choice_of((way, replace(way, name=DIRECT)), ranks, losses)
    assert choice.ships == ships
    assert "0.2000" in choice.why


def figure() -> object:
    return grade_rows(Grades(), np.ones(1), np.ones(1), np.zeros(1, dtype=np.int64))[0].rate


def test_both_ways_stand_in_the_report(told: tuple[Report, Walked], figures: LeadFigures) -> None:
    value = figures.value
    assert [way.name for way in value.ways] == [PRODUCT, DIRECT]
    assert value.won > 0
    assert value.rows < len(told[1].y)  # the window of a win is longer than that of a conversion
    assert all(0.3 < way.level.value < 3 for way in value.ways)
    assert all(way.value_came > 0 for way in value.ways)


def test_the_report_speaks_of_leads(told: tuple[Report, Walked], leads: Leads) -> None:
    report = told[0]
    keys = {section.key for section in sections_of(report)}
    assert {"lead.ranks", "lead.lift", "lead.grades", "lead.week", "lead.value"} <= keys
    for text in (markdown([report]), page([replace(report, look=None)])):  # without the slow picture
        assert "deals open" not in text
        assert "conversions" in text
        assert f"{leads.prepared.opted_out} leads opted out" in text
        assert f"{leads.prepared.unworked:,} rows are left out" in text
    assert report.headline is not None
    assert report.headline.sentence.endswith("came.")
    assert "conversions" in report.headline.sentence
    assert [each.name for each in report.slices] == ["1 min", "1 d", "3 d", "7 d", "14 d", "30 d"]


def test_every_figure_is_in_the_json(told: tuple[Report, Walked], figures: LeadFigures) -> None:
    there = json.loads(json.dumps(told[0].to_json(), allow_nan=False))["leads"]
    assert there["opted_out"] == figures.opted_out > 0
    assert there["unworked"] == figures.unworked > 0
    assert there["unlinked"] == 0
    assert [row["grade"] for row in there["grades"]] == list("ABCD")
    assert there["value"]["choice"]["ships"] in (PRODUCT, DIRECT)
    assert len(there["lift"]) == len(figures.lift)


def test_deals_have_no_figures_of_leads(leads: Leads, told: tuple[Report, Walked]) -> None:
    from training.lead_scores import lead_figures

    prepared: Prepared = replace(leads.prepared, became=None)
    assert lead_figures(prepared, told[1]) is None
