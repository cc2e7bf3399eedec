"""What past periods teach about bookings: shared shocks, how amounts come out, how far intervals fell short.

Only what was said out of time counts: the probabilities that the close head's inner folds gave to periods they had not
seen. With R = sum(y - p), V = sum p (1 - p) and G = V over the open deals of a group at a look, ``(R^2 - V) / G^2``
estimates the variance of what its deals share (method of moments: both sides are sums over pairs of deals). Pairs from
different teams share the period alone, pairs of a team from different reps the team as well, pairs of a rep all three;
so the sums of a level less those of the level below are the pairs across. Few periods tell little: each variance is
shrunken towards a usual one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from configs.vocab import Grid
from features.asof import Requests
from features.columns import team_of
from features.nodes import COMPANY, REP, TEAM
from features.periods import DAY, HOUR
from features.rates import standing
from features.record import Record
from features.told import told_at
from features.wins import Wins, wins_of
from models.amount import CENTS, AmountModel, has_amount
from models.arrivals import Window
from models.base import Bool, Float, Int, clipped_logit, sigmoid
from models.bookings import TEAMLESS, BookingsModel, Shocks, ahead, quantiles
from models.close import FitNotes
from models.quarter import forecast, ground_of
from training.cuts import Ground
from training.labels import amounts_won
from training.prepare import Prepared

LOOK_WEEKS = (1, 4, 7, 10, 12)  # of a quarter
SHORT_WEEKS = (1, 2, 3, 4)  # of a month
LONG = 60 * DAY  # from which on a period is no month
USUAL = Shocks(0.15, 0.10, 0.15)  # before anything is seen
PRIOR = (4.0, 12.0, 12.0)  # periods, team-periods and rep-periods that the usual ones count for
FEWEST_RATIOS = 20
TAIL = 0.005  # share of the ratios whose size, at either end, counts as that at the edge
COVER = 0.8
TILT, MOST_TILT = 0.1, 0.3  # log-odds a factor of e in the amount
NEWTON = 8
FEWEST_RESIDUALS, LEAST_SCALE, MOST_SCALE = 12, 0.8, 1.5
SCALE_PERIODS = 4.0  # that count for intervals as they are
JUDGE_PATHS = 1_000


@dataclass(frozen=True)
class Looks:
    """Out-of-time rows at the looks of past periods, n of them: places in the prepared rows, and what was said.

    row, period, week, rep (code), team (code), int64; p, y float64. as_of: int64, UTC microseconds.
    """

    row: Int
    period: Int
    week: Int
    as_of: Int
    rep: Int
    team: Int
    p: Float
    y: Float

    def __len__(self) -> int:
        return len(self.row)

    def take(self, mask: Bool) -> Looks:
        """Return some of the rows."""
        return Looks(*(part[mask] for part in vars(self).values()))


def look_weeks(length: int) -> tuple[int, ...]:
    """Return the weeks at which a period of so many microseconds is looked at."""
    return LOOK_WEEKS if length > LONG else SHORT_WEEKS


def looks_at(prepared: Prepared, rows: Int, p: Float) -> Looks:
    """Return those of the prepared rows that stand at a look of their period: the first as-of in that week.

    A Monday after the clocks went forward is an hour early and still begins its week. Without the weekly grid deals are
    not looked at together, and there is no look.
    """
    if prepared.config.snapshots.grid != Grid.WEEKLY:
        rows, p = rows[:0], p[:0]
    examples, calendar = prepared.examples, prepared.calendar
    as_of = examples.as_of[rows]
    period = calendar.index(as_of)
    start, end = calendar.starts[period], calendar.starts[period + 1]
    week = (as_of - start + HOUR) // (7 * DAY) + 1
    grid = np.unique(np.stack([period, week, as_of]), axis=1)
    _, first = np.unique(grid[:2], axis=1, return_index=True)
    at_look = np.isin(as_of, grid[2, first])
    wanted = np.where(end - start > LONG, np.isin(week, LOOK_WEEKS), np.isin(week, SHORT_WEEKS))
    keep = at_look & wanted
    kept = rows[keep]
    asked = Requests(examples.deal[kept], as_of[keep])
    owner, team = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if len(asked):
        now = standing(prepared.record.view(asked))
        owner, team = now.owner, now.team
    return Looks(kept, period[keep], week[keep], as_of[keep], owner, team, p[keep], prepared.told_y[kept])


def fit_bookings(prepared: Prepared, ground: Ground, notes: FitNotes, amount: AmountModel | None) -> BookingsModel:
    """Return what the past before a cut teaches; with little past it is the usual, and says so by `periods`."""
    later = notes.later
    rows = np.flatnonzero(ground.mask)
    some = later is not None and prepared.config.target == "in_period"
    place, p = (later.rows, later.p) if later is not None and some else (np.zeros(0, dtype=np.int64), np.zeros(0))
    looks = looks_at(prepared, rows[place], p)
    ratios = amount_ratios(prepared, looks, ground.cut, amount)
    shocks, periods = shocks_of(looks)
    model = BookingsModel(shocks, ratios, periods)
    if amount is None or not len(looks):
        return model
    size = np.log(expected_amounts(prepared, looks.row, amount))
    usual = float(np.median(size))
    days = (prepared.calendar.starts[looks.period + 1] - looks.as_of) / DAY
    tilt, late = tilts_of(looks, prepared.examples.deal[looks.row], size - usual, days)
    model = replace(model, tilt=tilt, late=late, usual=usual)
    return with_scale(prepared, looks, amount, model)


def tilts_of(looks: Looks, deal: Int, size: Float, days: Float) -> tuple[float, float]:
    """Return by how much log-odds should rise with the log of the amount, beyond what was said of periods to come.

    The close head counts deals alike, so that what it gets slightly wrong about large ones weighs little there, and
    everything in money. The second figure tells how that depends on the days left (`models.bookings.ahead`): large
    deals may close later in the period than others. Logistic regression on log(amount / usual), and on that times
    the days, with what was said as offset and a level for every look of every period (levels are shocks, and not
    learnt), a deal counting once however often it was looked at, and a normal prior of sd `TILT` around 0.

    deal: int64[n]; size: float64[n], log of the amount beside the usual one; days: float64[n], to the period's end.
    """
    _, place, times = np.unique(deal, return_inverse=True, return_counts=True)
    levels, level = np.unique(looks.as_of, return_inverse=True)
    weight, offset = 1.0 / times[place], clipped_logit(looks.p)
    x = np.zeros((len(looks), len(levels) + 2))
    x[np.arange(len(looks)), level] = 1.0
    x[:, -2], x[:, -1] = size, size * ahead(days)
    prior = np.full(x.shape[1], 1e-6)
    prior[-2:] = 1.0 / TILT**2
    beta = np.zeros(x.shape[1])
    for _ in range(NEWTON):
        p = sigmoid(offset + x @ beta)
        slope = x.T @ (weight * (looks.y - p)) - prior * beta
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(prior)
        beta = beta + np.clip(np.linalg.solve(curve, slope), -1.0, 1.0)
    tilt, late = np.clip(beta[-2:], -MOST_TILT, MOST_TILT).tolist()
    return tilt, late


def shocks_of(looks: Looks) -> tuple[Shocks, int]:
    """Return the sd of what deals share, and how many periods told it.

    What cannot be told apart, as the period and the only team, counts for the wider of the two. A rep without a team
    shares with others the period alone.
    """
    if not len(looks):
        return USUAL, 0
    apart = np.where(looks.team != TEAMLESS, looks.team, int(looks.team.max()) + 2 + looks.rep)
    company, team, rep = (_moment(looks, group) for group in (np.zeros(len(looks), dtype=np.int64), apart, looks.rep))
    own_rep = rep.miss / max(rep.chance, 1e-12)
    in_teams = _between(team, rep)
    of_all = _between(company, team)
    same_team = in_teams if in_teams is not None else of_all if of_all is not None else own_rep
    any_team = of_all if of_all is not None else same_team
    seen = (any_team, same_team - any_team, own_rep - same_team)
    periods, reps = company.groups, rep.groups
    teams = _moment(looks.take(looks.team != TEAMLESS), looks.team[looks.team != TEAMLESS]).groups
    above = teams if in_teams is not None else periods
    counts = (periods, teams - periods if in_teams is not None else 0, reps - above)
    usual = (USUAL.period, USUAL.team, USUAL.rep)
    sds = [
        float(np.sqrt(max((n * found + m * sd**2) / (n + m), 0.0)))
        for found, n, sd, m in zip(seen, (max(n, 0) for n in counts), usual, PRIOR, strict=True)
    ]
    return Shocks(*sds), periods


@dataclass(frozen=True)
class _Moment:
    """Sums over the cells (look, group) of R^2 - V and of G^2, and the number of groups in periods."""

    miss: float
    chance: float
    groups: int


def _moment(looks: Looks, group: Int) -> _Moment:
    key = np.stack([looks.period, looks.week, group])
    cells, where = np.unique(key, axis=1, return_inverse=True)
    miss = np.bincount(where, weights=looks.y - looks.p)
    chance = np.bincount(where, weights=looks.p * (1 - looks.p))
    groups = len(np.unique(cells[[0, 2]], axis=1).T)
    return _Moment(float((miss**2 - chance).sum()), float((chance**2).sum()), groups)


def _between(wide: _Moment, narrow: _Moment) -> float | None:
    """Return the variance that deals of a wide group share across narrow ones; None where each holds just one."""
    pairs = wide.chance - narrow.chance
    return (wide.miss - narrow.miss) / pairs if pairs > 1e-9 * wide.chance else None


def amount_ratios(prepared: Prepared, looks: Looks, cut: int, amount: AmountModel | None) -> Float:
    """Return amounts at the close beside what was expected of them, once a deal (its last look), mean 1; may be empty.

    Where the looks hold too few wins, every row of a deal won before the cut tells.
    """
    if amount is None:
        return np.zeros(0)
    told = _ratios(prepared, looks.row, cut, amount)
    if len(told) < FEWEST_RATIOS:
        told = _ratios(prepared, np.flatnonzero(prepared.examples.as_of < cut), cut, amount)
    if not len(told):
        return told
    low, high = np.quantile(told, (TAIL, 1 - TAIL))
    return quantiles(np.clip(told, low, high))


def _ratios(prepared: Prepared, rows: Int, cut: int, amount: AmountModel) -> Float:
    examples = prepared.examples
    rows = rows[np.argsort(examples.as_of[rows], kind="stable")]
    asked = Requests(examples.deal[rows], examples.as_of[rows])
    cents, won_at = amounts_won(prepared.record, asked)
    known = np.flatnonzero(has_amount(cents) & (won_at < cut))
    newest = len(known) - 1 - np.unique(asked.deal[known][::-1], return_index=True)[1]
    last = known[np.sort(newest)]
    expected = expected_amounts(prepared, rows[last], amount)
    return np.asarray(cents[last] / CENTS / expected, dtype=np.float64)


def expected_amounts(prepared: Prepared, rows: Int, amount: AmountModel) -> Float:
    """Return E[amount | won] of some of the prepared rows, float64[n], currency."""
    own = prepared.examples.take(rows)
    return amount.predict(own.matrix, told_at(prepared.record, Requests(own.deal, own.as_of)))


def with_scale(prepared: Prepared, looks: Looks, amount: AmountModel, model: BookingsModel) -> BookingsModel:
    """Return the model with intervals stretched as past ones fell short, if enough of them can tell.

    A team in a period at a look is a residual: |what came - median| over half the width of the 80 % interval. Their 80
    % quantile, with the finite-sample correction (n + 1) / n, is the raw scale (split conformal). All teams and looks
    of a period share its shock, so it counts for as much as there are periods: ``raw ^ (periods / (periods + 4))``.
    """
    found: list[float] = []
    wins = wins_of(prepared.record)
    for as_of in np.unique(looks.as_of).tolist():
        found += _residuals(prepared, looks.take(looks.as_of == as_of), as_of, wins, amount, model)
    if len(found) < FEWEST_RESIDUALS:
        return replace(model, residuals=len(found))
    trusted = model.periods / (model.periods + SCALE_PERIODS)
    return replace(model, scale=float(conformal_scale(found) ** trusted), residuals=len(found))


def _residuals(
    prepared: Prepared, own: Looks, as_of: int, wins: Wins, amount: AmountModel, model: BookingsModel
) -> list[float]:
    """Return how far each team came out from its median, in half widths; own: the rows of one look."""
    starts, period = prepared.calendar.starts, int(own.period[0])
    window = Window(as_of, int(starts[period]), int(starts[period + 1]))
    ground = ground_of(prepared.record, Requests(prepared.examples.deal[own.row], own.as_of), as_of, wins)
    expected = expected_amounts(prepared, own.row, amount)
    p = model.tilted(own.p, expected, (window.end - as_of) / DAY)
    total = forecast(ground, window, p, expected, model, prepared.config.seed, JUDGE_PATHS).total()
    won, names = won_in(wins, window), prepared.record.reference.vocabulary.teams
    found = []
    for team in range(len(ground.tree.teams)):
        mine = ground.tree.team == team
        low, middle, high = np.quantile(total[mine].sum(axis=0), ((1 - COVER) / 2, 0.5, (1 + COVER) / 2))
        if high > low:
            actual = booked_by(prepared.record, won, TEAM, names.index(ground.tree.teams[team]))
            found.append(float(abs(actual - middle) / ((high - low) / 2)))
    return found


def won_in(wins: Wins, window: Window) -> Wins:
    """Return the wins of a window, those after the as-of included; wins: all of the record."""
    return wins.take((wins.won_at >= window.start) & (wins.won_at < window.end))


def booked_by(record: Record, won: Wins, level: str, code: int) -> int:
    """Return the cents that a node really booked. code: of the rep or team, -1: of nobody, of no team.

    A team's are those of everybody who is in it, also who joined after the forecast.
    """
    if level == COMPANY:
        return int(won.cents.sum())
    whose = won.rep if level == REP else team_of(record.reference.vocabulary.rep_team, won.rep)
    return int(won.cents[whose == code].sum())


def conformal_scale(residuals: Sequence[float]) -> float:
    """Return the factor on interval widths that would have covered 80 % of past outcomes, kept within 0.8 and 1.5."""
    n = len(residuals)
    rank = min(int(np.ceil((n + 1) * COVER)), n)
    return float(np.clip(np.sort(residuals)[rank - 1], LEAST_SCALE, MOST_SCALE))
