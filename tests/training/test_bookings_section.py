"""Bookings in the walk: each look adds up and tells what came, and a walk that is taken up tells the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.nodes import COMPANY, REP, TEAM
from features.wins import wins_of
from tests.worlds.world import config, world
from training import bookings_section
from training.backtest import Keep, run_backtest
from training.backtest import Tested as Rows
from training.bookings_section import COLUMNS, MODEL, NAME, sections, told_forecasts
from training.bookings_told import bookings_told
from training.prepare import Prepared, prepare
from training.report_data import floor_of, plain
from training.walk import Walk

QUICK = (
    "model.seeds=1",
    "model.max_rounds=1",
    "backtest.test_periods=2",
    "backtest.bootstrap=50",
    "backtest.ablations=[]",
)
WEEKS = [1, 4, 7, 10, 12]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(config(tmp_path_factory.mktemp("state"), *QUICK), world("W1", 1000, 30, 9).ingest)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walk")


def walked(prepared: Prepared, out: Path) -> Rows:
    keep = Keep(Walk.under(out, lambda _: None), "data", models=False)
    return run_backtest(prepared, keep=keep, tables={NAME: bookings_section.forecast_looks})


@pytest.fixture(scope="module")
def tested(prepared: Prepared, out: Path) -> Rows:
    return walked(prepared, out)


def test_every_look_says_what_the_company_really_booked(prepared: Prepared, tested: Rows) -> None:
    ours, wins, starts = told_forecasts(prepared, tested), wins_of(prepared.record), prepared.calendar.starts
    whole = ours.take(ours.level == COMPANY)
    assert sorted(set(zip(whole.period.tolist(), whole.week.tolist(), strict=True))) == [
        (int(period), week) for period in np.unique(whole.period) for week in WEEKS
    ]
    assert [fold.cut for fold in tested.folds] == [int(starts[period]) for period in np.unique(whole.period)]
    for period, actual in zip(whole.period.tolist(), whole.actual.tolist(), strict=True):
        inside = (wins.won_at >= starts[period]) & (wins.won_at < starts[period + 1])
        assert actual == pytest.approx(wins.cents[inside].sum() / 100)


@pytest.mark.parametrize("level", [TEAM, REP])
def test_levels_add_up_at_every_look(prepared: Prepared, tested: Rows, level: str) -> None:
    ours = told_forecasts(prepared, tested)
    for row in np.flatnonzero(ours.level == COMPANY).tolist():
        below = (ours.period == ours.period[row]) & (ours.week == ours.week[row]) & (ours.level == level)
        if below.any():
            assert ours.mean[below].sum() == pytest.approx(ours.mean[row], abs=0.005)
            assert ours.actual[below].sum() == pytest.approx(ours.actual[row], abs=0.005) or level == REP


def test_bands_narrow_as_the_period_goes_on(prepared: Prepared, tested: Rows) -> None:
    ours = told_forecasts(prepared, tested)
    whole = ours.take(ours.level == COMPANY)
    width = {
        week: (whole.quantiles[whole.week == week, 5] - whole.quantiles[whole.week == week, 1]).mean() for week in WEEKS
    }
    assert width[12] < width[7] < width[1]
    assert (whole.quantiles[:, 0] <= whole.mean).all()
    assert (whole.mean <= whole.quantiles[:, -1]).all()


def test_a_walk_taken_up_tells_the_same(prepared: Prepared, out: Path, tested: Rows) -> None:
    again = walked(prepared, out)
    assert list(again.tables) == [f"{NAME}.{name}" for name in (*COLUMNS, *MODEL)]
    for name, column in again.tables.items():
        assert column.tobytes() == tested.tables[name].tobytes(), name


def test_the_report_has_every_level_week_and_baseline(prepared: Prepared, tested: Rows) -> None:
    told, rivals = sections(prepared, tested)
    assert [row[0] for row in told.rows[:5]] == [f"company, week {week}" for week in WEEKS]
    assert all(len(row) == len(told.head) for row in told.rows)
    names = [row[0] for row in rivals.rows]
    assert names[0] == "bookings model"
    assert {"pickup", "commit_corrected", "stage_time_left", "last_year", "coverage", "linearity"} <= set(names)
    assert told.chart is not None
    assert len(told.chart.x) == len(WEEKS)
    assert all(len(line) == len(WEEKS) for line in told.chart.lines.values())


def test_what_is_published_is_what_was_foretold_beside_every_baseline(prepared: Prepared, tested: Rows) -> None:
    """Every figure of it follows from the periods that stand beside it."""
    floor = floor_of(prepared, tested)
    told = bookings_told(prepared, tested, floor)
    assert told is not None
    ours = told_forecasts(prepared, tested)
    ours = ours.take(ours.level == COMPANY)
    starts = [prepared.calendar.day(period).isoformat() for period in np.unique(ours.period).tolist()]
    assert [period.period_start for period in told.periods] == starts
    looks = [look for period in told.periods for look in period.weeks]
    assert [look.p50 for look in looks] == pytest.approx(ours.median.tolist())
    assert [look.week for look in told.periods[0].weeks] == WEEKS
    assert all(0 <= look.booked <= look.p10 <= look.p50 <= look.p90 for look in looks)
    came = {period.period_start: period.came for period in told.periods}
    for miss in told.misses:
        off = [
            abs((look.p50 if miss.name == "model" else look.said[miss.name]) - period.came)
            for period in told.periods
            for look in period.weeks
            if miss.week in (0, look.week) and (miss.name == "model" or miss.name in look.said)
        ]
        total = sum(came.values()) * len(off) / len(came)  # each period as often as any other
        assert miss.error.value == pytest.approx(sum(off) / total), miss
    weeks = {week.week: week.money for week in floor.weeks}
    assert {miss.floor for miss in told.misses if miss.week == 4} == {weeks[4]}
    assert {"commit", "commit_corrected", "stage_time_left", "pickup"} <= {miss.name for miss in told.misses}
    assert plain(told)["periods"][0]["weeks"][0]["said"] == told.periods[0].weeks[0].said


def test_nothing_foretold_is_said_so(prepared: Prepared, tested: Rows) -> None:
    nothing = replace(tested, tables={name: column[:0] for name, column in tested.tables.items()})
    (only,) = sections(prepared, nothing)
    assert not only.rows
    assert "No bookings were foretold" in only.notes[0]
    assert bookings_told(prepared, nothing, None) is None
    assert bookings_told(prepared, replace(tested, tables={}), None) is None
