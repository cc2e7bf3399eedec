"""Flags in the backtest: what came of the deals that carried each flag in the tested periods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from configs.vocab import Target
from models.base import Float
from models.flags import Scores
from training import amount_section, timing_section
from training.backtest import CLOSE, AtCut, Tested
from training.flag_record import Measured, Past, doubted, in_time, measure
from training.prepare import Prepared
from training.report_text import number
from training.sections import Section

NAME = "flags"
TITLE = "How right flags are"
HEAD = (
    "flag",
    "raised, deals and weeks",
    "within the budget",
    "what counts as right",
    "came out so [95 %]",
    "without the flag, in the same stages",
    "of all that came out so, flagged before",
    "days before, median",
    "deals",
    "periods",
)


def nothing(case: AtCut) -> Mapping[str, Float]:
    """Return no column: flags are found in what the other heads said."""
    return {}


def sections(prepared: Prepared, tested: Tested) -> list[Section]:
    """Return what the flags are worth on the tested periods; none where flags are switched off."""
    limits = prepared.config.flags
    if not limits.enabled:
        return []
    found = measure(prepared, past_of_test(prepared, tested))
    rows = tuple(_cells(code, of) for code, of in found.items())
    notes = (
        "Each week's flags as `score` would have given them, by the model of the fold, under the thresholds, the alert "
        f"budget of {limits.share:.0%} of the open deals and {limits.per_rep} a rep that the config has now. A deal "
        "counts once for each week in which it carries a flag; intervals take its weeks together.",
        f"Flags that fewer than {limits.min_deals} deals carried have no record. Only deals and weeks count whose time "
        "was over by the end of the record.",
        "What is told is what came after a flag. Whether looking at the deals changed it is not measured.",
    )
    return [Section(NAME, TITLE, HEAD, rows, notes)]


def past_of_test(prepared: Prepared, tested: Tested) -> Past:
    """Return the test rows with what the heads of their folds said."""
    p = tested.p[CLOSE]
    low, high = np.full(len(p), np.nan), np.full(len(p), np.nan)
    for k, notes in enumerate(tested.notes):
        own = tested.fold == k
        low[own], high[own] = doubted(p[own], notes.doubt)
    unknown = np.full(len(p), np.nan)
    slip_risk = tested.extra.get(f"{timing_section.NAME}.slip_risk", unknown)
    amount = tested.extra.get(f"{amount_section.NAME}.expected", unknown)
    in_period = prepared.config.target == Target.IN_PERIOD
    return in_time(prepared, Past(tested.rows, Scores(p, low, high, slip_risk, amount, in_period)))


def _cells(code: str, of: Measured) -> tuple[str, ...]:
    first = (code, f"{of.raised:,}", f"{of.shown:,}")
    if of.record is None:
        return (*first, *([""] * (len(HEAD) - len(first))))
    told = of.record
    return (
        *first,
        told.outcome,
        f"{told.precision:.1%} [{told.low:.1%}, {told.high:.1%}]",
        number(np.nan if told.usual is None else told.usual, ".1%"),
        f"{told.recall:.1%}",
        f"{told.lead_days:.0f}",
        f"{told.deals:,}",
        f"{told.periods}",
    )
