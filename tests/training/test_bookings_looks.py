"""Looks at a dirty record against a walk through its rows; instants of the weeks; nothing later changes a look."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from configs.errors import ConfigError
from configs.vocab import Grid
from features.periods import DAY, EPOCH, day_number, fiscal_calendar, local_midnight
from features.tables import NAT
from models.baselines import PAST_PERIOD
from tests.worlds.world import config, world
from training.backtest import Tested as Rows
from training.bookings_baselines import CRM
from training.bookings_forecasts import forecasts
from training.bookings_looks import instants, looks_of, nodes_of, whole_periods
from training.bookings_past import NO_CALL, Look, Past
from training.prepare import Prepared, prepare
from training.snapshots import weekly_grid

LIGHT = "features.groups=[deal,clock]"


def made(folder: Path, until: int | None = None) -> Prepared:
    """A dirty world: re-opened, merged and deleted deals, owners that change, amounts that are missing."""
    return prepare(config(folder, LIGHT), world("W4", 1000, 30, 8).ingest, until)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return made(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def past(prepared: Prepared) -> Past:
    return looks_of(prepared)


def deals_of(prepared: Prepared, each: Look) -> list[int]:
    """Codes of the deals that a look's rows are of: those of the examples at its instant, in order."""
    return prepared.examples.deal[prepared.examples.as_of == each.as_of].tolist()


def at(prepared: Prepared, past: Past, period: int, week: int) -> Look:
    (found,) = (each for each in past.looks if (each.period - past.looks[0].period, each.week) == (period, week))
    return found


def test_weeks_are_the_grids_instants(prepared: Prepared, past: Past) -> None:
    calendar = prepared.calendar
    for each in past.looks:
        start = int(calendar.starts[each.period])
        grid = weekly_grid(calendar, start, int(calendar.starts[each.period + 1]))
        after = each.as_of - start - 7 * (each.week - 1) * DAY
        assert each.as_of in grid
        assert 0 <= after < 7 * DAY
        assert each.as_of == start or each.week > 1
    assert {each.week for each in past.looks} == {1, 4, 7, 10, 12}


def test_a_monday_begins_its_week_whatever_the_clocks_do() -> None:
    """Both quarters begin on a Monday; New York's clocks go forward on 2018-03-11 and back on 2018-11-04."""
    zone = ZoneInfo("America/New_York")
    calendar = fiscal_calendar("quarter", 1, zone.key)
    for start, days in (
        (date(2018, 1, 1), ["2018-01-01", "2018-01-22", "2018-03-05", "2018-03-12", "2018-03-19"]),
        (date(2018, 10, 1), ["2018-10-01", "2018-10-22", "2018-12-03", "2018-12-10", "2018-12-17"]),
    ):
        period = calendar.days.tolist().index(day_number(start))
        found = list(instants(calendar, period, (1, 4, 10, 11, 12)))
        assert [week for week, _ in found] == [1, 4, 10, 11, 12]
        assert [instant for _, instant in found] == [local_midnight(date.fromisoformat(day), zone) for day in days]


def test_weeks_beyond_a_month_are_left_out() -> None:
    calendar = fiscal_calendar("month", 1, "UTC")
    assert [week for week, _ in instants(calendar, 400, (1, 4, 7, 10))] == [1, 4]


def test_periods_are_those_the_record_covers(prepared: Prepared) -> None:
    periods = whole_periods(prepared)
    starts = prepared.calendar.starts
    known = prepared.record.deals.known_at
    assert starts[periods.start - 1] < known[known != NAT].min() <= starts[periods.start]
    assert starts[periods.stop] <= prepared.until < starts[periods.stop + 1]
    assert len(looks_of(prepared, periods=[periods.stop - 1], weeks=(1, 99)).looks) == 1


def test_open_deals_by_a_walk_through_their_rows(prepared: Prepared, past: Past) -> None:
    history, compared = prepared.record.timelines["history"], 0
    owner, amount, close = (history.values(name) for name in ("owner", "amount", "close_date"))
    for each in (at(prepared, past, 3, 4), at(prepared, past, 5, 10)):
        start, end = (int(prepared.calendar.days[each.period + k]) for k in (0, 1))
        for i, deal in enumerate(deals_of(prepared, each)):
            rows = range(history.start[deal], history.start[deal + 1])
            seen = [row for row in rows if history.known_at[row] < each.as_of]
            if not seen:  # a deal that the CRM has only just made
                assert (each.rep[i], each.cents[i], each.due[i]) == (-1, 0, False)
                continue
            last = seen[-1]
            assert each.rep[i] == max(owner[last], -1)
            assert each.cents[i] == max(amount[last], 0)  # missing is the least of all
            assert each.due[i] == (start <= close[last] < end)
            compared += 1
        assert 0 < each.due.sum() < len(each)
    assert compared > 100


def test_calls_by_a_walk_through_the_table(prepared: Prepared, past: Past) -> None:
    calls = world("W4", 1000, 30, 8).ingest.tables.calls
    rows = list(
        zip(
            calls.coded("rep_id").strings(),
            calls.ints("submitted_at").tolist(),
            calls.ints("period_start").tolist(),
            calls.coded("category").strings(),
            calls.ints("amount").tolist(),
            strict=True,
        )
    )
    names = prepared.record.reference.vocabulary.values["rep"]
    for each in (at(prepared, past, 2, 1), at(prepared, past, 4, 7)):
        first = int(prepared.calendar.days[each.period])
        start = int(prepared.calendar.starts[each.period])
        for code, name in enumerate(names):
            mine = [
                (submitted, amount)
                for rep, submitted, day, category, amount in rows
                if (rep, day, category) == (name, first, "commit") and start <= submitted < each.as_of
            ]
            assert each.called[code] == (max(mine)[1] if mine else NO_CALL)
    assert (at(prepared, past, 2, 1).called == NO_CALL).all()
    assert (at(prepared, past, 4, 7).called != NO_CALL).any()


def test_facts_from_the_look_on_change_nothing_of_it(prepared: Prepared, past: Past, tmp_path: Path) -> None:
    """A record that ends a moment after a look tells the same look. Ids are coded anew, so names are compared."""
    each = at(prepared, past, 4, 7)
    short = made(tmp_path, each.as_of + 1)
    again = looks_of(short, periods=[each.period], weeks=(7,)).looks[0]

    def rows(of: Prepared, look: Look) -> list[tuple[str | None, str, int, bool]]:
        ids, reps = of.record.deal_ids.strings(), (*of.record.reference.vocabulary.values["rep"], "")
        columns = zip(deals_of(of, look), look.rep, look.cents, look.due, strict=True)
        found = [(ids[deal], reps[rep], int(cents), bool(due)) for deal, rep, cents, due in columns]
        return sorted(
            row for row in found if row[1:] != ("", 0, False)
        )  # no row of its history yet: counts for nothing

    def called(of: Prepared, look: Look) -> dict[str, int]:
        reps = of.record.reference.vocabulary.values["rep"]
        return {name: int(c) for name, c in zip(reps, look.called, strict=True) if c != NO_CALL}

    merged = set(rows(short, again)) - set(rows(prepared, each))  # later merged into another: left out by `prepare`
    assert len(merged) <= 0.02 * len(each)
    assert [row for row in rows(short, again) if row not in merged] == rows(prepared, each)
    assert called(short, again) == called(prepared, each) != {}
    wins, early = past.wins.before(each.as_of), looks_of(short, periods=[]).wins.before(each.as_of)
    assert (wins.won_at.tolist(), wins.cents.tolist()) == (early.won_at.tolist(), early.cents.tolist())


def test_rates_stand_beside_the_rows_that_a_fold_tested(prepared: Prepared) -> None:
    period = whole_periods(prepared)[-1]
    start, end = (int(prepared.calendar.starts[period + k]) for k in (0, 1))
    rows = np.flatnonzero((prepared.examples.as_of >= start) & (prepared.examples.as_of < end))[::-1]
    p = np.random.default_rng(1).random(len(prepared.examples))
    examples = prepared.examples
    zero = np.zeros(len(rows), dtype=np.int64)
    tested = Rows(
        (),
        rows,
        examples.y[rows],
        examples.deal[rows],
        examples.as_of[rows],
        zero,
        {CRM: p[rows], "close": p[rows]},
        (),
    )
    found = looks_of(prepared, tested)
    for each in found.looks:
        assert list(each.p) == ([CRM] if each.period == period else [])
        if each.period == period:
            assert each.p[CRM].tolist() == p[examples.as_of == each.as_of].tolist()


def test_a_whole_record_is_forecast(prepared: Prepared, past: Past) -> None:
    told = forecasts(past)
    rows = told["pickup"]
    company = rows.take((rows.level == "company") & rows.told)
    closes = prepared.record.reference.closes.columns
    won = (closes["won"] == 1) & (prepared.calendar.index(closes["known_at"]) == company.period[-1])
    assert company.actual[-1] == pytest.approx(closes["cents"][won].sum() / 100)
    assert np.isnan(told[CRM].mean).all()
    assert told["commit_corrected"].told.any()
    assert set(rows.node[rows.level == "rep"]) <= set(nodes_of(prepared).reps)
    late = company.week == 12
    assert np.abs(company.median - company.actual)[late].sum() < 0.5 * company.actual[late].sum()


def test_the_period_of_close_dates_is_the_calendars(prepared: Prepared, past: Past) -> None:
    """Facts count days from the period's last day: the first day of the quarter is due, the day before is not."""
    facts, rows = prepared.facts.column(PAST_PERIOD), prepared.examples.as_of == at(prepared, past, 3, 4).as_of
    each = at(prepared, past, 3, 4)
    last = prepared.calendar.last_day(each.period)
    dates = [last + timedelta(days=int(days)) if not np.isnan(days) else date.min for days in facts[rows]]
    first = EPOCH + timedelta(days=int(prepared.calendar.days[each.period]))
    assert each.due.tolist() == [first <= day <= last for day in dates]


def test_a_head_without_periods_has_no_bookings(prepared: Prepared) -> None:
    snapshots = prepared.config.snapshots.model_copy(update={"grid": Grid.AGES})
    other = replace(prepared, config=prepared.config.model_copy(update={"snapshots": snapshots}))
    with pytest.raises(ConfigError, match="weekly grid"):
        looks_of(other)
