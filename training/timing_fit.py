"""Fit the timing model at a cut: on rows and closes known before it, later rows deciding how many trees help."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from configs.errors import TooLittleDataError
from configs.vocab import Target
from features.asof import Requests
from features.build import FeatureMatrix
from features.periods import DAY
from models.base import Float, Int
from models.timing import LEVELS, TimingModel
from models.timing_head import CLOSE_DATE, HORIZON, Clock, Head
from models.trees import TreeSettings
from training.cuts import FEWEST_CLOSED
from training.labels import Watched, outcomes, watched
from training.prepare import Prepared
from training.timing_line import fit_line, fit_table
from training.timing_pairs import Censoring, Pairs, draw_pairs
from training.timing_trees import Boosting, choose, grow

FEWEST_WINS = 10  # and losses, without which there is no curve
TREES_FROM = 400  # closed deals
INNER_PERIODS = 2  # before the cut, on which the number of trees is judged
FADING = float("inf")


@dataclass(frozen=True)
class Rows:
    """Rows of the timing model as one cut knows them. watch: their times; period_days: float64[n], NaN: no periods."""

    matrix: FeatureMatrix
    watch: Watched
    deal: Int
    period_days: Float

    def take(self, rows: Int | np.ndarray) -> Rows:
        """Return some of the rows."""
        matrix = FeatureMatrix(self.matrix.names, self.matrix.values[rows])
        return Rows(matrix, self.watch.take(rows), self.deal[rows], self.period_days[rows])

    def clock(self, length: float) -> Clock:
        """Return what horizons of these rows are held against."""
        known = CLOSE_DATE in self.matrix.names
        close = self.matrix.column(CLOSE_DATE) + 1.0 if known else np.full(len(self.deal), np.nan)
        return Clock(self.period_days, close, length)


@dataclass(frozen=True)
class Plan:
    """What a fit needs beside rows. longest: days. length: of a period in days. penalty: ridge, in pairs."""

    target: str
    stages: int
    longest: float
    length: float
    penalty: float
    max_pairs: int
    seed: int
    won: Boosting
    lost: Boosting


def fit_timing(prepared: Prepared, cut: int) -> TimingModel:
    """Fit on what was known before `cut`; raises TooLittleDataError where no curve can be told."""
    plan = _plan(prepared)
    rows = rows_at(prepared, cut)
    _check(rows)
    closed = len(np.unique(rows.deal[rows.watch.won | rows.watch.lost]))
    rounds = _rounds(prepared, cut, plan) if closed >= TREES_FROM else (0, 0)
    return _fit(rows, plan, rounds, line=closed >= FEWEST_CLOSED)


def try_timing(prepared: Prepared, cut: int) -> tuple[TimingModel | None, str]:
    """Return (model, "") or (None, why there is none): switched off, or too little to learn from."""
    if not prepared.config.timing.enabled:
        return None, "switched off by timing.enabled"
    try:
        return fit_timing(prepared, cut), ""
    except TooLittleDataError as error:
        return None, str(error)


def rows_at(prepared: Prepared, cut: int) -> Rows:
    """Return the rows before `cut` with the closes known before it; a later close is not looked at."""
    rows = prepared.examples
    asked = Requests(rows.deal, rows.as_of)
    watch = watched(asked, outcomes(prepared.record, asked), cut)
    if prepared.config.target == Target.IN_PERIOD:
        _, end = prepared.calendar.bounds(rows.as_of)
        period_days = (end - rows.as_of) / DAY
    else:
        period_days = np.full(len(rows), np.nan)
    return Rows(rows.matrix, watch, rows.deal, period_days).take(watch.seen > 0)


def _plan(prepared: Prepared) -> Plan:
    config = prepared.config
    periods = np.diff(prepared.calendar.starts) / DAY
    signs = tuple(feature.sign for feature in prepared.plan.features)
    longest = float(config.horizon_days)
    if config.target == Target.IN_PERIOD:
        longest = max(longest, float(np.ceil(periods.max())))  # the close head's own window must lie within
    model = config.model
    trees = TreeSettings(
        model.num_leaves,
        model.min_data_in_leaf,
        model.learning_rate,
        model.feature_fraction,
        model.bagging_fraction,
        model.lambda_l2,
        model.path_smooth,
        model.num_threads,
        (*signs, *(1 for _ in HORIZON)),
    )
    free = replace(trees, signs=(*(0 for _ in signs), *(1 for _ in HORIZON)))
    seeds = tuple(config.seed + k for k in range(config.timing.seeds))
    return Plan(
        str(config.target),
        prepared.frame.stage_count,
        longest,
        float(np.median(periods)),
        config.model.ridge_penalty,
        config.timing.max_pairs,
        config.seed,
        Boosting(trees, seeds),
        Boosting(free, seeds),
    )


def _check(rows: Rows) -> None:
    """Raise TooLittleDataError where wins or losses are too few."""
    found = [len(np.unique(rows.deal[kind])) for kind in (rows.watch.won, rows.watch.lost)]
    if min(found, default=0) < FEWEST_WINS:
        raise TooLittleDataError(
            f"no timing model: {found[0]} deals won and {found[1]} lost after an as-of and before the cut, expected at "
            f"least {FEWEST_WINS} of each; train on a longer history"
        )


def _fit(rows: Rows, plan: Plan, rounds: tuple[int, int], line: bool) -> TimingModel:
    """Fit both heads with these numbers of trees."""
    censoring = Censoring.of(rows.watch)
    told = max(censoring.told(plan.longest), 2.0)
    drawn = draw_pairs(rows.watch, censoring, told, plan.max_pairs, plan.seed)
    heads = []
    for kind, boosting, count in (("won", plan.won, rounds[0]), ("lost", plan.lost, rounds[1])):
        head = _offset(rows, kind, drawn, censoring, told, plan, line)
        if count and line:
            sample = rows.take(drawn.row)
            y: Float = getattr(drawn, kind)
            head = grow(head, sample.matrix, drawn.days, sample.clock(plan.length), y, drawn.weight, boosting, count)
        heads.append(head)
    won, lost = heads
    return TimingModel(plan.target, plan.longest, told, plan.length, FADING, LEVELS, won, lost)


def _offset(
    rows: Rows, kind: str, drawn: Pairs, censoring: Censoring, told: float, plan: Plan, line: bool
) -> Head:
    """Return a head without trees."""
    event = getattr(rows.watch, kind)
    table = fit_table(rows.matrix.column("stage_rank"), rows.watch, event, censoring, told, plan.stages)
    head = Head(rows.matrix.names, table, None, None)
    if not line:
        return head
    sample = rows.take(drawn.row)
    fitted = fit_line(
        sample.matrix, table, drawn.days, sample.clock(plan.length), getattr(drawn, kind), drawn.weight, plan.penalty
    )
    return replace(head, line=fitted)


def _rounds(prepared: Prepared, cut: int, plan: Plan) -> tuple[int, int]:
    """Return how many trees help either head: fitted two periods before the cut, judged on the rows since."""
    before = cut - round(INNER_PERIODS * plan.length * DAY)
    old, new = rows_at(prepared, before), rows_at(prepared, cut)
    new = new.take(new.watch.seen <= cut - before)
    try:
        _check(old)
        _check(new)
    except TooLittleDataError:
        return 0, 0
    censoring = Censoring.of(old.watch)
    told = censoring.told(plan.longest)
    later = Censoring.of(new.watch)
    drawn = draw_pairs(old.watch, censoring, told, plan.max_pairs, plan.seed)
    judged = draw_pairs(new.watch, later, min(later.told(plan.longest), told), plan.max_pairs // 2, plan.seed + 1)
    found = []
    for kind, boosting in (("won", plan.won), ("lost", plan.lost)):
        head = _offset(old, kind, drawn, censoring, told, plan, line=True)
        sides = [
            (rows.matrix, pairs.days, rows.clock(plan.length), getattr(pairs, kind), pairs.weight)
            for pairs, rows in ((drawn, old.take(drawn.row)), (judged, new.take(judged.row)))
        ]
        found.append(choose(head, sides[0], sides[1], boosting))
    return found[0], found[1]
