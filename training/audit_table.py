"""The leak audit of a flat set: one row a unit, the outcome in a column, no history.

Without dates nothing can be said of when a value was written. What is left is what each field says alone, and where it
is filled, by outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from configs.errors import DataError, SchemaError, TooLittleDataError
from models.base import Bool, Float
from training.audit_rules import Audit, Finding, Units, fixed_finding, sorted_findings, twin_signs, with_sign
from training.audit_stats import LEAST, Column, categories

MAX_AUC = 0.95
REMEDY = "leave it out, or show that it was known at the time of the prediction"


@dataclass(frozen=True)
class Flat:
    """What the columns of a flat set mean.

    outcome: the column of the outcome; positive: its value that means won (as text). open: its values that mean that
    nothing is known yet; an empty outcome means so too. order: the column of the order in time; ids: columns left out.
    missing: texts that mean missing.
    """

    outcome: str
    positive: str
    open: tuple[str, ...] = ()
    order: str | None = None
    ids: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def audit_table(frame: pd.DataFrame, flat: Flat, title: str = "table", max_auc: float = MAX_AUC) -> Audit:
    """Hold every column of a flat set against the outcome. Exact duplicates of a row count once.

    Raises SchemaError for a column that is not there, TooLittleDataError with fewer than 30 units of either outcome.
    """
    _known(frame, flat)
    left_out = [name for name in flat.ids if name not in (flat.outcome, flat.order)]
    read = frame.drop_duplicates().drop(columns=left_out)
    if flat.order is not None:
        read = read.sort_values(flat.order, kind="stable")
    told = read[flat.outcome]
    text = _texts(told)
    is_open = text.isna() | text.isin(flat.open)
    y: Float = (text[~is_open] == flat.positive).to_numpy().astype(np.float64)
    _enough(y, flat)
    columns = [_column(read[name], flat.missing) for name in read if name not in (flat.outcome, flat.order)]
    closed, others = np.flatnonzero(~is_open.to_numpy()), np.flatnonzero(is_open.to_numpy())
    units = Units(y, words=(f"{flat.outcome}={flat.positive}", f"other than {flat.positive}"))
    findings = _findings(columns, units, closed, others, max_auc)
    facts: dict[str, int | float | str] = {
        "rows": len(frame),
        "units": len(read),
        "won": int(y.sum()),
        "lost": int(len(y) - y.sum()),
        "open": len(others),
        "max_auc": max_auc,
    }
    notes = (
        [f"{len(frame) - len(read):,} exact duplicates of other rows are left out"] if len(frame) > len(read) else []
    )
    return Audit(title, sorted_findings(findings), facts, tuple(notes))


def _findings(
    columns: Sequence[Column], units: Units, closed: np.ndarray, others: np.ndarray, max_auc: float
) -> list[Finding]:
    mine = [column.take(closed) for column in columns]
    twins = twin_signs(mine, units)
    found = []
    for column, over in zip(columns, mine, strict=True):
        opened: Bool | None = column.filled()[others] if len(others) else None
        finding = fixed_finding(over, units, opened, max_auc, REMEDY)
        found.append(with_sign(finding, twins.get(column.name), REMEDY))
    return found


def _column(values: pd.Series, missing: tuple[str, ...]) -> Column:
    """Return a column of a frame as numbers or codes; a text with a value for most rows is opaque."""
    name = str(values.name)
    if pd.api.types.is_bool_dtype(values):
        values = values.astype(str)
    if pd.api.types.is_numeric_dtype(values):
        return Column(name, "table", values.to_numpy(dtype=np.float64, na_value=np.nan))
    text = _texts(values)
    text = text.where(~text.isin(missing))
    codes, words = pd.factorize(text, sort=True)
    return categories(name, "table", codes.astype(np.int64), tuple(str(word) for word in words))


def _texts(values: pd.Series) -> pd.Series:
    """Return the values as text, missing where they are; whole numbers without a decimal point."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return values.astype("string").astype(object).where(values.notna().to_numpy(), None)


def _known(frame: pd.DataFrame, flat: Flat) -> None:
    named = [flat.outcome, *([flat.order] if flat.order is not None else []), *flat.ids]
    lacking = [name for name in named if name not in frame]
    if lacking:
        columns = [str(name) for name in frame]
        raise SchemaError.at(
            "table",
            f"no column {', '.join(map(repr, lacking))}",
            expected=f"some of {', '.join(columns[:20])}{' ...' if len(columns) > 20 else ''}",
            remedy="name columns as the file spells them",
        )


def _enough(y: Float, flat: Flat) -> None:
    won = int(y.sum())
    if won == 0 or won == len(y):
        raise DataError(
            f"{len(y):,} rows have an outcome in {flat.outcome!r}, {won:,} of them {flat.positive!r}: "
            "expected some and some not; check the value that means won"
        )
    if min(won, len(y) - won) < LEAST:
        raise TooLittleDataError(
            f"{won:,} rows are {flat.positive!r} and {len(y) - won:,} are not: expected at least {LEAST} of each"
        )
