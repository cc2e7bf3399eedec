"""How right the timing model is on rows it had not seen: dates of deals later won, chances by horizon, slips.

"Deals later won" looks at the outcome, so rows are used only where the outlook's whole horizon was over at the record's
end: else the wins at hand would be the quick ones. A fold's test period should therefore end a horizon before the
record does; what lies later is left out here, not guessed. Chances by horizon use every row that IPCW can weigh.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from features.asof import Requests
from features.periods import DAY
from models.base import Bool, Float, Int, sigmoid
from models.timing import Outlook, TimingModel
from models.timing_head import CLOSE_DATE
from training.evaluate import DealBootstrap, Interval, auc, calibration_error, interval, row_loss
from training.labels import Watched, outcomes, watched
from training.prepare import Prepared
from training.timing_fit import period_days
from training.timing_pairs import Censoring, weights

SCORED = (28, 91, 182, 365)
NOON = 0.5  # a close date is a day; its middle is the fairest instant to hold it to


@dataclass(frozen=True)
class Foretold:
    """What a timing model said of n test rows. rows: int64[n] of the prepared examples. horizon: days of the outlook.

    won, table: float64[n, k], P(won within days[j]) by the model and by its stage x horizon table alone.
    """

    rows: Int
    horizon: int
    outlook: Outlook
    days: tuple[int, ...]
    won: Float
    table: Float


@dataclass(frozen=True)
class DateScores:
    """Close dates of deals later won. mae, crm_mae: days, over rows with a CRM close date; gain: 1 - mae / crm_mae.

    An overdue CRM date counts as today. covered: share of closes within the 10-90 % window; width: its mean, days.
    rows, deals: later won; dated: of the rows, those with a CRM date. bias: mean of predicted minus actual, days.
    """

    rows: int
    deals: int
    dated: int
    mae: float
    crm_mae: float
    gain: Interval
    covered: Interval
    width: float
    bias: float


@dataclass(frozen=True)
class HorizonScores:
    """P(won within `days`). rows: that tell. ratio: sum p / sum y. gain: log loss gained over the table of rates.

    over: share of the rows whose horizon was over; the others are weighed by IPCW.
    """

    days: int
    rows: int
    over: float
    log_loss: float
    table_log_loss: float
    gain: Interval
    brier: float
    auc: float
    ratio: float
    ece: float


@dataclass(frozen=True)
class TimingScores:
    """All of it. slip_auc: of the slip risk against "not closed by the CRM's date", over `slip_rows` rows not overdue.

    dates: None where no deal was won in a horizon that is over.
    """

    dates: DateScores | None
    horizons: tuple[HorizonScores, ...]
    slip_rows: int
    slip_auc: float


def foretell(prepared: Prepared, model: TimingModel, p_period: Float, rows: Int, horizon: int) -> Foretold:
    """Ask a timing model about rows of the examples. p_period: float64[n], the close head's probabilities of them."""
    test = prepared.examples.take(rows)
    rest = period_days(prepared, test.as_of)
    days = tuple(day for day in SCORED if day <= model.longest)
    grid = np.array(days, dtype=np.float64)
    won, _ = model.curves(test.matrix, p_period, rest, grid)
    table = model.won.table.logit(test.matrix.column("stage_rank"), np.broadcast_to(grid, won.shape))
    outlook = model.outlook(test.matrix, p_period, rest, close_days(prepared, rows), horizon)
    return Foretold(rows, horizon, outlook, days, won, sigmoid(table))


def stacked(parts: list[Foretold]) -> Foretold:
    """Put the rows of several folds together; horizons must agree."""
    outlook = Outlook(
        **{f.name: np.concatenate([getattr(part.outlook, f.name) for part in parts]) for f in fields(Outlook)}
    )
    rows, won, table = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "won", "table"))
    return Foretold(rows, parts[0].horizon, outlook, parts[0].days, won, table)


def close_days(prepared: Prepared, rows: Int) -> Float:
    """Return days from the as-of to the end of the CRM's close date, float64[n], NaN without one."""
    matrix = prepared.examples.matrix
    if CLOSE_DATE not in matrix.names:
        return np.full(len(rows), np.nan)
    return np.asarray(matrix.values[rows, matrix.names.index(CLOSE_DATE)] + 1.0, dtype=np.float64)


def timing_scores(prepared: Prepared, told: Foretold, draws: int, seed: int) -> TimingScores:
    """Score what was foretold against what the record knows by its end. draws: of deals, for the intervals."""
    examples = prepared.examples
    deal, asked = examples.deal[told.rows], Requests(examples.deal[told.rows], examples.as_of[told.rows])
    watch = watched(asked, outcomes(prepared.record, asked), prepared.until)
    due = close_days(prepared, told.rows)
    horizons = (_horizon(told, j, watch, deal, draws, seed) for j in range(len(told.days)))
    slip_rows, slip_auc = _slips(told.outlook.slip_risk, watch, due)
    return TimingScores(
        _dates(told, watch, due, deal, draws, seed), tuple(h for h in horizons if h is not None), slip_rows, slip_auc
    )


def _dates(told: Foretold, watch: Watched, due: Float, deal: Int, draws: int, seed: int) -> DateScores | None:
    length = told.horizon * DAY
    won: Bool = watch.won & (watch.closed < length) & (watch.seen >= length)
    if not won.any():
        return None
    took, own = watch.closed[won] / DAY, deal[won]
    p10, p50, p90 = (getattr(told.outlook, name)[won] for name in ("close_p10", "close_p50", "close_p90"))
    dated = ~np.isnan(due[won])
    miss, crm = np.abs(p50 - took)[dated], np.abs(np.maximum(due[won] - NOON, 0.0) - took)[dated]
    covered = ((p10 <= took) & (took <= p90)).astype(np.float64)
    return DateScores(
        int(won.sum()),
        len(np.unique(own)),
        int(dated.sum()),
        float(miss.mean()) if len(miss) else float("nan"),
        float(crm.mean()) if len(crm) else float("nan"),
        _saved(miss, crm, own[dated], draws, seed),
        DealBootstrap.of(own, draws, seed).mean(covered),
        float((p90 - p10).mean()),
        float((p50 - took).mean()),
    )


def _saved(miss: Float, crm: Float, deal: Int, draws: int, seed: int) -> Interval:
    """Return 1 - mean(miss) / mean(crm) with its interval over deals."""
    if not len(miss):
        return interval(float("nan"), np.zeros(0))
    drawn = DealBootstrap.of(deal, draws, seed)
    sums = [np.bincount(drawn.code, weights=part, minlength=drawn.draws.shape[1]) for part in (miss, crm)]
    top, bottom = (drawn.draws @ part for part in sums)
    return interval(1.0 - float(miss.mean() / crm.mean()), 1.0 - top / bottom)


def _horizon(told: Foretold, j: int, watch: Watched, deal: Int, draws: int, seed: int) -> HorizonScores | None:
    days = told.days[j]
    weight = weights(watch, days * DAY, Censoring.of(watch))
    used = weight > 0
    y = (watch.won & (watch.closed < days * DAY)).astype(np.float64)[used]
    if not 0 < y.sum() < len(y):
        return None
    weight, p, table = weight[used], told.won[used, j], told.table[used, j]
    scale = weight / weight.mean()
    loss, plain = row_loss(y, p), row_loss(y, table)
    return HorizonScores(
        days,
        int(used.sum()),
        float(np.mean(watch.seen >= days * DAY)),
        float(np.average(loss, weights=weight)),
        float(np.average(plain, weights=weight)),
        DealBootstrap.of(deal[used], draws, seed).mean((plain - loss) * scale),
        float(np.average((p - y) ** 2, weights=weight)),
        auc(y, p, weight),
        float((weight * p).sum() / (weight * y).sum()),
        calibration_error(y, p),
    )


def _slips(risk: Float, watch: Watched, due: Float) -> tuple[int, float]:
    """Return (rows, AUC) over rows whose close date was ahead, and over by the record's end."""
    ahead = np.where(np.isnan(due), 0.0, due)
    end = np.round(ahead * DAY).astype(np.int64)
    used = (ahead > 0) & (watch.seen >= end)
    if not used.any():
        return 0, float("nan")
    slipped = (watch.closed >= end).astype(np.float64)
    return int(used.sum()), auc(slipped[used], risk[used])
