"""The amount head in the backtest: fitted at every cut, what it expects kept with the fold, scored over all folds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.asof import Requests
from features.told import told_at
from models.amount import CENTS, has_amount
from models.base import Bool, Float
from training.amount_scores import AmountScores, amount_scores
from training.backtest import AtCut, Tested
from training.labels import amounts_won
from training.prepare import Prepared
from training.report_text import interval, number
from training.sections import Section

NAME = "amount"
TITLE = "What won deals are worth"
HEAD = (
    "way to tell",
    "sum of errors / sum of amounts",
    "less error by the model [95 %]",
    "bias",
    "mean size of a period's bias",
    "gamma deviance",
    "mean error of the log",
)


def fit_and_expect(case: AtCut) -> Mapping[str, Float]:
    """Return what each test row is expected to be worth if won, its amount now, and the overall ratio at the cut.

    ``expected`` in currency and ``ratio``: NaN without a model; ``now`` in currency: NaN without an amount.
    """
    rows = case.prepared.examples.take(case.rows)
    asked = Requests(rows.deal, rows.as_of)
    told = told_at(case.prepared.record, asked)
    now = np.where(has_amount(told.amount_cents), told.amount_cents / CENTS, np.nan)
    model = case.amount
    if model is None:
        nothing = np.full(len(case.rows), np.nan)
        return {"expected": nothing, "now": now, "ratio": nothing}
    expected = model.predict(rows.matrix, told)
    return {"expected": expected, "now": now, "ratio": np.full(len(case.rows), np.exp(model.base))}


def sections(prepared: Prepared, tested: Tested) -> list[Section]:
    """Return how right expected amounts are, beside the amount now and the amount now x the overall ratio."""
    expected, now = tested.extra[f"{NAME}.expected"], tested.extra[f"{NAME}.now"]
    if np.isnan(expected).all():
        note = "No amount model could be fitted before any cut: too few deals were won with an amount."
        return [Section(NAME, TITLE, (), (), (note,))]
    asked = Requests(tested.deal, tested.as_of)
    cents, won_at = amounts_won(prepared.record, asked)
    known = has_amount(cents) & (won_at < prepared.until) & ~np.isnan(expected)
    scored = known & ~np.isnan(now)
    without = int((known & np.isnan(now)).sum())
    rows = tuple(_cells(each) for each in _scores(prepared, tested, cents / CENTS, scored))
    deals = len(np.unique(tested.deal[scored]))
    notes = (
        f"{int(scored.sum()):,} test rows of {deals:,} deals that had an amount and were won by the record's end; each "
        f"deal has the same weight. {without:,} more rows of won deals had no amount yet.",
        "The overall ratio is what amounts became on average until the close, as known at each cut.",
    )
    return [Section(NAME, TITLE, HEAD, rows, notes)]


def _scores(prepared: Prepared, tested: Tested, actual: Float, mask: Bool) -> list[AmountScores]:
    config = prepared.config
    expected, now, ratio = (tested.extra[f"{NAME}.{column}"][mask] for column in ("expected", "now", "ratio"))
    deal, period = tested.deal[mask], prepared.calendar.index(tested.as_of[mask])
    return amount_scores(actual[mask], expected, now, ratio, deal, period, config.backtest.bootstrap, config.seed)


def _cells(scored: AmountScores) -> tuple[str, ...]:
    return (
        scored.name,
        number(scored.total_error, ".1%"),
        "" if scored.name == "model" else interval(scored.less_error, "+.1%"),
        number(scored.bias, "+.1%"),
        number(scored.period_bias, ".1%"),
        number(scored.deviance, ".4f"),
        number(scored.log_mae, ".3f"),
    )
