"""Fit the timing model at a cut: on rows and closes known before it, later rows deciding how many trees help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from configs.errors import TooLittleDataError
from configs.vocab import Target
from features.asof import Requests
from features.build import FeatureMatrix
from features.periods import DAY
from models.base import Bool, Float, Int, sigmoid
from models.ladder import RIDGE_FROM
from models.timing import LEVELS, TimingModel
from models.timing_head import CLOSE_DATE, HORIZON, Clock, Head
from models.trees import TreeSettings
from training.labels import Watched, outcomes, watched
from training.prepare import Prepared
from training.timing_line import fit_lines, fit_table
from training.timing_pairs import DRAWS, Censoring, Pairs, draw_pairs, weights
from training.timing_trees import Boosting, Side, choose, grow

FEWEST_WINS = 10  # and losses, without which there is no curve
SHORTEST_TOLD = 2.0  # days, however short the record
LEVEL_DEALS = 50.0  # later wins at which their own spread counts half
Levels = tuple[float, float, float]
TREES_FROM = 400  # closed deals
INNER_PERIODS = 4  # before the cut, on which the number of trees is judged: long enough to tell long horizons
SPREAD = 5.0  # ridge penalty in deals: all pairs of a deal are one piece of evidence


@dataclass(frozen=True)
class Rows:
    """Rows of the timing model as one cut knows them. watch: their times; period_days: float64[n], NaN: no periods."""

    matrix: FeatureMatrix
    watch: Watched
    deal: Int
    period_days: Float

    def take(self, rows: Int | Bool) -> Rows:
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
    rounds, levels = _judge(prepared, cut, plan) if closed >= TREES_FROM else ((0, 0), LEVELS)
    return fit_rows(rows, plan, rounds, levels, line=closed >= RIDGE_FROM)


def try_timing(prepared: Prepared, cut: int) -> tuple[TimingModel | None, str]:
    """Return (model, "") or (None, why there is none): switched off, or too little to learn from."""
    if not prepared.config.timing.enabled:
        return None, "switched off by timing.enabled"
    if prepared.config.target == Target.CONVERTED:
        return None, "a lead is asked whether it converts within leads.within_days, and no further"
    try:
        return fit_timing(prepared, cut), ""
    except TooLittleDataError as error:
        return None, str(error)


def rows_at(prepared: Prepared, cut: int) -> Rows:
    """Return the rows before `cut` with the closes known before it; a later close is not looked at."""
    rows = prepared.examples
    asked = Requests(rows.deal, rows.as_of)
    watch = watched(asked, outcomes(prepared.record, asked), cut)
    return Rows(rows.matrix, watch, rows.deal, period_days(prepared, rows.as_of)).take(watch.seen > 0)


def period_days(prepared: Prepared, as_of: Int) -> Float:
    """Return the days from each as-of to the end of its period, float64[n]; NaN for a head that knows no periods."""
    if prepared.config.target != Target.IN_PERIOD:
        return np.full(len(as_of), np.nan)
    _, end = prepared.calendar.bounds(as_of)
    return np.asarray((end - as_of) / DAY, dtype=np.float64)


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
        model.min_data_in_leaf * DRAWS,  # so that a leaf holds as many rows as the close model's
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
        config.model.ridge_penalty or 1.0,
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


def fit_rows(rows: Rows, plan: Plan, rounds: Sequence[int], levels: Levels, line: bool) -> TimingModel:
    """Fit both heads with these numbers of trees."""
    censoring = Censoring.of(rows.watch)
    told = max(censoring.told(plan.longest), SHORTEST_TOLD)
    drawn = draw_pairs(rows.watch, censoring, told, plan.max_pairs, plan.seed)
    heads = _offsets(rows, drawn, censoring, told, plan, line)
    if any(rounds):
        heads = grow(heads, _sides(rows, drawn, plan), (plan.won, plan.lost), rounds)
    won, lost = heads
    return TimingModel(plan.target, plan.longest, told, plan.length, levels, won, lost)


def _sides(rows: Rows, drawn: Pairs, plan: Plan) -> list[Side]:
    """Return the pairs of the won and of the lost head."""
    sample = rows.take(drawn.row)
    clock = sample.clock(plan.length)
    return [Side(sample.matrix, drawn.days, clock, y, drawn.weight) for y in (drawn.won, drawn.lost)]


def _offsets(rows: Rows, drawn: Pairs, censoring: Censoring, told: float, plan: Plan, line: bool) -> list[Head]:
    """Return both heads without trees."""
    stage = rows.matrix.column("stage_rank")
    kinds = (rows.watch.won, rows.watch.lost)
    tables = [fit_table(stage, rows.watch, event, censoring, told, plan.stages) for event in kinds]
    if not line:
        return [Head(rows.matrix.names, table, None, None) for table in tables]
    sides = _sides(rows, drawn, plan)
    penalty = plan.penalty * SPREAD * len(drawn.row) / len(np.unique(rows.deal[drawn.row]))
    lines = fit_lines(tables, sides, penalty)
    return [Head(rows.matrix.names, table, own, None) for table, own in zip(tables, lines, strict=True)]


def _judge(prepared: Prepared, cut: int, plan: Plan) -> tuple[Sequence[int], Levels]:
    """Fit some periods before the cut and judge on the rows since: how many trees help, how wide windows must be."""
    new = rows_at(prepared, cut)
    history = int(new.watch.seen.max())
    before = cut - min(round(INNER_PERIODS * plan.length * DAY), history // 3)
    old = rows_at(prepared, before)
    new = new.take(new.watch.seen <= cut - before)
    try:
        _check(old)
        _check(new)
    except TooLittleDataError:
        return (0, 0), LEVELS
    censoring, later = Censoring.of(old.watch), Censoring.of(new.watch)
    told = max(censoring.told(plan.longest), SHORTEST_TOLD)
    drawn = draw_pairs(old.watch, censoring, told, plan.max_pairs, plan.seed)
    judged = draw_pairs(new.watch, later, min(later.told(told), told), plan.max_pairs // 2, plan.seed + 1)
    heads = _offsets(old, drawn, censoring, told, plan, line=True)
    rounds = choose(heads, _sides(old, drawn, plan), _sides(new, judged, plan), (plan.won, plan.lost))
    return rounds, _levels(heads[0], new, later, min(later.told(told), told), plan.length)


def _levels(won: Head, new: Rows, later: Censoring, told: float, length: float) -> Levels:
    """Return the shares of the won curve between which 80 % of later wins fell, where that is wider than 10-90 %.

    A curve that is right has its wins evenly spread over it. Shrunken towards 10 and 90 %; never narrower, since the
    latest rows tell of quick wins alone. Rows are weighed for what the cut leaves untold, as pairs are.
    """
    end = round(told * DAY)
    weight = weights(new.watch, end, later) * (new.watch.won & (new.watch.closed < end))
    used = np.flatnonzero(weight > 0)
    deals = len(np.unique(new.deal[used]))
    if deals < FEWEST_WINS:
        return LEVELS
    rows = new.take(used)
    days = np.stack([np.maximum(rows.watch.closed / DAY, 0.01), np.full(len(used), told)], axis=1)
    chance = sigmoid(won.logit(rows.matrix, days, rows.clock(length).columns(days)))
    place = chance[:, 0] / chance[:, 1]
    order = np.argsort(place, kind="stable")
    share = np.cumsum(weight[used][order]) / weight[used].sum()
    trust = deals / (deals + LEVEL_DEALS)
    low, _, high = (
        trust * float(place[order][np.searchsorted(share, level)]) + (1 - trust) * level for level in LEVELS
    )
    return min(low, LEVELS[0]), LEVELS[1], max(high, LEVELS[2])
