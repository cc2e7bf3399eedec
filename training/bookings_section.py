"""Bookings in the backtest: at every cut the whole chain as in use, each look of the period forecast by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from configs.vocab import Target
from features.asof import Requests
from features.nodes import ALL, COMPANY, NO_REP, NO_TEAM, REP, TEAM
from features.nodes import LEVELS as NODE_LEVELS
from features.periods import DAY
from features.wins import Wins, wins_of
from models.amount import CENTS
from models.arrivals import Window
from models.base import Float
from models.bookings import LEVELS, BookingsModel
from models.quarter import (
    AsOf,
    Node,
    forecast,
    ground_of,
    nodes,
    quotas_in,
)
from training.backtest import AtCut, Tested
from training.bookings_fit import Looks, booked_by, expected_amounts, fit_bookings, looks_at, won_in
from training.bookings_forecasts import forecasts, held_against
from training.bookings_looks import looks_of
from training.bookings_scores import BookingsScores, Forecasts, less_error, score, score_each
from training.evaluate import Interval
from training.prepare import Prepared
from training.report_data import floor_of
from training.report_text import interval, number
from training.sections import Chart, Section

NAME = "bookings"
TITLE = "What the period brings"
HEAD = (
    "level, week",
    "error / booked [95 %]",
    "an oracle's error",
    "bias",
    "WIS / booked",
    "in the 80 % band",
    "its width / booked",
    "less error than the best baseline before [95 %]",
)
RIVALS = "Bookings by every baseline"
RIVALS_HEAD = ("company, all weeks", "error / booked [95 %]", "bias", "WIS / booked", "in the 80 % band", "width")
QUANTILES = tuple(f"q{round(100 * level):02d}" for level in LEVELS)
COLUMNS = ("period", "week", "level", "node", "actual", "booked", "open", "arrivals", "mean", *QUANTILES)
MODEL = ("sd_period", "sd_team", "sd_rep", "scale", "periods")
"""What the fit of each fold had learnt, told on each of its rows."""


def forecast_looks(case: AtCut) -> Mapping[str, Float]:
    """Return a row per (look, node) of the tested period, float64: `COLUMNS` and `MODEL`; money in currency.

    node: code of the rep or team, 0 for the company, -1 for nobody's. Nothing for a head without periods, or where no
    amount model could be fitted.
    """
    prepared, amount = case.prepared, case.amount
    rows: list[tuple[float, ...]] = []
    if amount is not None and prepared.config.target == Target.IN_PERIOD:
        model = fit_bookings(prepared, case.ground, case.notes, amount)
        looks = looks_at(prepared, case.rows, case.p)
        expected = expected_amounts(prepared, looks.row, amount)
        wins = wins_of(prepared.record)
        for as_of in np.unique(looks.as_of).tolist():
            here = looks.as_of == as_of
            own = looks.take(here)
            asked = Requests(prepared.examples.deal[own.row], own.as_of)
            ground = ground_of(prepared.record, asked, as_of, wins)
            rows += _rows(prepared, ground, own, expected[here], model, wins)
    names = (*COLUMNS, *MODEL)
    table = np.array(rows, dtype=np.float64).reshape(-1, len(names))
    return {name: table[:, k] for k, name in enumerate(names)}


def _rows(
    prepared: Prepared, ground: AsOf, own: Looks, expected: Float, model: BookingsModel, wins: Wins
) -> list[tuple[float, ...]]:
    starts, period = prepared.calendar.starts, int(own.period[0])
    window = Window(ground.as_of, int(starts[period]), int(starts[period + 1]))
    p = model.tilted(own.p, expected, (window.end - ground.as_of) / DAY)
    paths = forecast(ground, window, p, expected, model, prepared.config.seed)
    won = won_in(wins, window)
    learnt = (model.shocks.period, model.shocks.team, model.shocks.rep, model.scale, float(model.periods))
    found = []
    for node in nodes(paths, quotas_in(ground, window), model.scale):
        money = (
            booked_by(prepared.record, won, node.level, code_of(prepared, node)),
            node.booked,
            node.open_expected,
            node.arrivals_expected,
            node.mean,
            *node.quantiles,
        )
        level = float(NODE_LEVELS.index(node.level))
        about = (float(period), float(own.week[0]), level, float(code_of(prepared, node)))
        found.append((*about, *(cents / CENTS for cents in money), *learnt))
    return found


def code_of(prepared: Prepared, node: Node) -> int:
    """Return a node's code in the record's vocabulary, 0 for the company, -1 for nobody's."""
    words = prepared.record.reference.vocabulary
    if node.level == COMPANY:
        return 0
    if node.name in (NO_REP, NO_TEAM):
        return -1
    return (words.values["rep"] if node.level == REP else words.teams).index(node.name)


def name_of(prepared: Prepared, level: str, code: int) -> str:
    """Return the id of a node's code."""
    words = prepared.record.reference.vocabulary
    if level not in (REP, TEAM):
        return ALL
    if code < 0:
        return NO_REP if level == REP else NO_TEAM
    return (words.values["rep"] if level == REP else words.teams)[code]


def told_forecasts(prepared: Prepared, tested: Tested) -> Forecasts:
    """Return what the walk foretold, as rows to be scored; none where nothing was."""
    table = {name: tested.tables[f"{NAME}.{name}"] for name in COLUMNS}
    level = [NODE_LEVELS[int(k)] for k in table["level"]]
    node = [name_of(prepared, name, int(code)) for name, code in zip(level, table["node"], strict=True)]
    period, week = (table[name].astype(np.int64) for name in ("period", "week"))
    quantiles = np.stack([table[name] for name in QUANTILES], axis=1)
    levels, names = np.array(level, dtype=np.str_), np.array(node, dtype=np.str_)
    return Forecasts(period, week, levels, names, table["actual"], table["mean"], quantiles)


def sections(prepared: Prepared, tested: Tested) -> list[Section]:
    """Return how right bookings are by level and week of the period, beside every baseline on the same looks."""
    ours = told_forecasts(prepared, tested)
    if not len(ours):
        note = "No bookings were foretold: the head knows no periods, or too few deals were won with an amount."
        return [Section(NAME, TITLE, (), (), (note,))]
    draws, seed = prepared.config.backtest.bootstrap, prepared.config.seed
    rivals = forecasts(looks_of(prepared, tested))
    periods = np.unique(ours.period).tolist()
    best = {level: _best(rivals, periods, level) for level in NODE_LEVELS}
    floor = {(COMPANY, week.week): week.money for week in floor_of(prepared, tested).weeks}
    rows = tuple(
        _cells(each, floor.get((each.level, each.week)), _less(ours, best[each.level], each, draws, seed))
        for each in score_each(ours, draws, seed)
    )
    return [
        Section(NAME, TITLE, HEAD, rows, _notes(tested, len(periods)), _chart(ours, best[COMPANY], floor)),
        Section(f"{NAME}_baselines", RIVALS, RIVALS_HEAD, _rival_rows(ours, rivals, periods, draws, seed)),
    ]


def _best(rivals: Mapping[str, Forecasts], periods: Sequence[int], level: str) -> Forecasts | None:
    """Return what the best baseline before each period said; None where the record has nothing before any of them."""
    try:
        return held_against(rivals, periods, level)
    except ValueError:
        return None


def _chart(ours: Forecasts, best: Forecasts | None, floor: Mapping[tuple[str, int], float]) -> Chart:
    """Draw the company's error by week: ours, the comparator's, an oracle's."""
    weeks = np.unique(ours.week[ours.level == COMPANY]).tolist()

    def errors(rows: Forecasts) -> tuple[float, ...]:
        own = [rows.take((rows.level == COMPANY) & (rows.week == week) & rows.told) for week in weeks]
        return tuple(float(np.abs(each.median - each.actual).sum() / max(each.actual.sum(), 0.01)) for each in own)

    lines = {"bookings model": errors(ours)}
    if best is not None:
        lines["best baseline before"] = errors(best)
    lines["an oracle"] = tuple(floor.get((COMPANY, week), float("nan")) for week in weeks)
    return Chart("week of the period", "error of the company / booked", tuple(map(float, weeks)), lines)


def _less(ours: Forecasts, best: Forecasts | None, at: BookingsScores, draws: int, seed: int) -> Interval | None:
    """Return by what share our error at a level and week lies below the comparator's; None where it tells nothing."""
    if best is None:
        return None
    mine, theirs = (rows.take((rows.level == at.level) & (rows.week == at.week) & rows.told) for rows in (ours, best))
    shared = np.isin(mine.keys(), theirs.keys())
    if not shared.any():
        return None
    return less_error(mine.take(shared), theirs, draws, seed).error


def _cells(each: BookingsScores, floor: float | None, less: Interval | None) -> tuple[str, ...]:
    name, error, *rest = _figures(f"{each.level}, week {each.week}", each)
    missed = "" if floor is None else number(floor, ".1%")
    return (name, error, missed, *rest, "" if less is None else interval(less, "+.0%"))


def _figures(name: str, each: BookingsScores) -> tuple[str, ...]:
    return (
        name,
        interval(each.mae, ".1%"),
        number(each.bias.value, "+.1%"),
        number(each.wis.value, ".1%"),
        number(each.coverage.value, ".0%"),
        number(each.width.value, ".0%"),
    )


def _rival_rows(
    ours: Forecasts, rivals: Mapping[str, Forecasts], periods: Sequence[int], draws: int, seed: int
) -> tuple[tuple[str, ...], ...]:
    rows = []
    for name, each in {"bookings model": ours, **rivals}.items():
        own = each.take((each.level == COMPANY) & np.isin(each.period, periods) & each.told)
        if len(own):
            rows.append(_figures(name, score(own, draws, seed)))
    return tuple(rows)


def _notes(tested: Tested, periods: int) -> tuple[str, ...]:
    learnt = {name: tested.tables[f"{NAME}.{name}"][-1] for name in MODEL}
    return (
        f"{periods} periods were foretold, each from a fit before it. All looks of a period share its luck, so with so "
        "few of them the intervals are rough.",
        f"Newest fit: shocks of {learnt['sd_period']:.2f} (period), {learnt['sd_team']:.2f} (team) and "
        f"{learnt['sd_rep']:.2f} (rep) in log-odds, from {learnt['periods']:.0f} past periods and shrunken; intervals "
        f"stretched by {learnt['scale']:.2f}.",
        "The best baseline is the one that erred least on earlier periods, chosen anew before each.",
        "An oracle's error is that of one who knows every open deal's chance and amount, and how many deals are "
        "still to come (docs/noise-floor.md).",
        "P10, P50 and P90 are each node's own and do not add up; means do.",
    )
