"""The timing head in the backtest: fitted at every cut, its outlook kept with the fold, scored over all folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from features.periods import DAY
from models.base import Float
from models.timing import Outlook
from training.backtest import AtCut, Tested, folds_of
from training.prepare import Prepared
from training.report_text import interval, number
from training.sections import Chart, Section
from training.timing_fit import try_timing
from training.timing_scores import SCORED, DateScores, Foretold, HorizonScores, TimingScores, foretell, timing_scores

NAME = "timing"
ENOUGH = 0.25  # share of the test rows whose horizon must be over for close dates to be scored with it
HORIZON_HEAD = (
    "won within",
    "rows",
    "log loss",
    "log loss of stage x horizon",
    "gained [95 %]",
    "Brier",
    "AUC",
    "sum p / sum y",
    "ECE",
)


def fit_and_foretell(case: AtCut) -> Mapping[str, Float]:
    """Return the outlook of the test rows, and P(won within each scored horizon) with the table's; NaN: no model."""
    prepared = case.prepared
    days = _days(prepared)
    model, _ = try_timing(prepared, case.ground.cut)
    names = (*(f.name for f in fields(Outlook)), *(f"{kind}_{d}" for d in days for kind in ("won", "table")))
    if model is None:
        return {name: np.full(len(case.rows), np.nan) for name in names}
    told = foretell(prepared, model, case.p, case.rows, horizon_of(prepared))
    columns = {f.name: getattr(told.outlook, f.name) for f in fields(Outlook)}
    for j, day in enumerate(told.days):
        columns |= {f"won_{day}": told.won[:, j], f"table_{day}": told.table[:, j]}
    return {name: columns[name] for name in names}


def horizon_of(prepared: Prepared) -> int:
    """Return the days within which close dates are told and scored: the longest that is over for enough test rows."""
    folds = folds_of(prepared)
    rows = np.any([fold.test for fold in folds], axis=0)
    seen = (prepared.until - prepared.examples.as_of[rows]) / DAY
    days = _days(prepared)
    shortest = min((prepared.config.horizon_days, *days))
    return next((day for day in reversed(days) if float(np.mean(seen >= day)) >= ENOUGH), shortest)


def _days(prepared: Prepared) -> tuple[int, ...]:
    return tuple(day for day in SCORED if day <= prepared.config.horizon_days)


def sections(prepared: Prepared, tested: Tested) -> list[Section]:
    """Return what the timing head is worth: close dates beside the CRM's own, and chances by horizon."""
    told = _foretold(prepared, tested)
    if not len(told.rows):
        note = "No timing model could be fitted before any cut: too few wins and losses to learn when deals close."
        return [Section(NAME, "When deals close", (), (), (note,))]
    config = prepared.config
    scores = timing_scores(prepared, told, config.backtest.bootstrap, config.seed)
    return [_dates(scores, told), *([_horizons(scores.horizons)] if scores.horizons else [])]


def _foretold(prepared: Prepared, tested: Tested) -> Foretold:
    mine = {name.partition(".")[2]: x for name, x in tested.extra.items() if name.startswith(f"{NAME}.")}
    known = ~np.isnan(mine["p_won"])
    outlook = Outlook(**{f.name: mine[f.name][known] for f in fields(Outlook)})
    days = _days(prepared)
    won, table = (
        np.array([mine[f"{kind}_{d}"][known] for d in days]).reshape(len(days), -1).T for kind in ("won", "table")
    )
    return Foretold(tested.rows[known], horizon_of(prepared), outlook, days, won, table)


def _dates(scores: TimingScores, told: Foretold) -> Section:
    rows = _date_cells(scores.dates) if scores.dates is not None else ()
    slips = ("AUC of the slip risk", number(scores.slip_auc, ".3f"))
    notes = (
        f"Rows of deals later won within {told.horizon} days, where that time was over at the record's end. The error "
        "is that of the median close date; the CRM's own date counts as today where it has passed.",
        "Slip risk: the chance that a deal is still open after the CRM's own close date, over "
        f"{scores.slip_rows:,} rows whose date lay ahead.",
    )
    return Section(NAME, "When deals close", ("what", "value"), (*rows, slips), notes)


def _date_cells(dates: DateScores) -> tuple[tuple[str, str], ...]:
    return (
        ("rows of deals later won", f"{dates.rows:,} of {dates.deals:,} deals"),
        ("mean error, days", number(dates.mae, ".1f")),
        ("mean error of the CRM's close date, days", number(dates.crm_mae, ".1f")),
        ("error below that of the CRM's date [95 %]", interval(dates.gain, "+.1%")),
        ("closed within the 10-90 % window [95 %] (80 % is right)", interval(dates.covered, ".1%")),
        ("mean width of the window, days", number(dates.width, ".1f")),
        ("said later than it came, mean days", number(dates.bias, "+.1f")),
    )


def _horizons(found: tuple[HorizonScores, ...]) -> Section:
    rows = tuple(
        (
            f"{h.days} days",
            f"{h.rows:,}",
            f"{h.log_loss:.4f}",
            f"{h.table_log_loss:.4f}",
            interval(h.gain),
            f"{h.brier:.4f}",
            number(h.auc, ".4f"),
            number(h.ratio, ".3f"),
            f"{h.ece:.4f}",
        )
        for h in found
    )
    ours, table = tuple(h.log_loss for h in found), tuple(h.table_log_loss for h in found)
    lines = {"timing model": ours, "stage x horizon": table}
    chart = Chart("horizon, days", "log loss", tuple(float(h.days) for h in found), lines) if len(found) > 1 else None
    note = "Rows whose horizon was not over yet count through those that were (inverse probability of censoring)."
    return Section(f"{NAME}.horizons", "Won within a horizon", HORIZON_HEAD, rows, (note,), chart)
