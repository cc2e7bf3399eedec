"""Bookings in the backtest: at every cut the whole chain as in use, each look of the period forecast by node."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from configs.vocab import Target
from features.asof import Requests
from features.wins import wins_of
from models.amount import CENTS
from models.arrivals import Window
from models.base import Float
from models.bookings import LEVELS, BookingsModel
from models.quarter import ALL, NODE_LEVELS, REP, TEAM, UNASSIGNED, AsOf, Node, forecast, ground_of, nodes, quotas_in
from training.backtest import AtCut
from training.bookings_fit import Looks, actual_in, expected_amounts, fit_bookings, looks_at
from training.prepare import Prepared

NAME = "bookings"
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
            rows += _rows(prepared, ground, own, expected[here], model)
    names = (*COLUMNS, *MODEL)
    table = np.array(rows, dtype=np.float64).reshape(-1, len(names))
    return {name: table[:, k] for k, name in enumerate(names)}


def _rows(
    prepared: Prepared, ground: AsOf, own: Looks, expected: Float, model: BookingsModel
) -> list[tuple[float, ...]]:
    starts, period = prepared.calendar.starts, int(own.period[0])
    window = Window(ground.as_of, int(starts[period]), int(starts[period + 1]))
    paths = forecast(ground, window, own.p, expected, model, prepared.config.seed)
    actual = actual_in(wins_of(prepared.record), window, ground)
    learnt = (model.shocks.period, model.shocks.team, model.shocks.rep, model.scale, float(model.periods))
    found = []
    for node in nodes(paths, quotas_in(ground, window), model.scale):
        money = (
            int(actual[members(ground, node)].sum()),
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


def members(ground: AsOf, node: Node) -> np.ndarray:
    """Return which reps a node adds up, bool[reps]."""
    tree = ground.tree
    if node.level == REP:
        return np.array([name == node.name for name in tree.reps])
    if node.level == TEAM:
        return np.asarray(tree.team == (tree.teams.index(node.name) if node.name != UNASSIGNED else -1))
    return np.ones(len(tree.reps), dtype=bool)


def code_of(prepared: Prepared, node: Node) -> int:
    """Return a node's code in the record's vocabulary, 0 for the company, -1 for nobody's."""
    words = prepared.record.reference.vocabulary
    if node.name in (ALL, UNASSIGNED):
        return 0 if node.name == ALL else -1
    return (words.values["rep"] if node.level == REP else words.teams).index(node.name)


def name_of(prepared: Prepared, level: str, code: int) -> str:
    """Return the id of a node's code."""
    words = prepared.record.reference.vocabulary
    if level not in (REP, TEAM):
        return ALL
    return UNASSIGNED if code < 0 else (words.values["rep"] if level == REP else words.teams)[code]
