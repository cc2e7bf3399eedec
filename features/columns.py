"""Small conversions that every feature group uses: missing-aware and the same bits for one value and a million."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.tables import NAT

Int = NDArray[np.int64]
Float = NDArray[np.float64]


def number(values: Int) -> Float:
    """Return int64 as float64, NaN where NAT."""
    return np.where(values == NAT, np.nan, values.astype(np.float64))


def ratio(top: Float, bottom: Float) -> Float:
    """Return top / bottom, NaN where the bottom is 0 or either is NaN."""
    usable = bottom != 0
    return np.where(usable, top / np.where(usable, bottom, 1.0), np.nan)


def log_money(cents: Int) -> Float:
    """Return the natural log of 1 + amount in whole currency, NaN where missing or negative."""
    usable = (cents != NAT) & (cents >= 0)
    return np.where(usable, np.log1p(np.where(usable, cents, 0) / 100.0), np.nan)


def logit(p: Float) -> Float:
    """Return log(p / (1 - p)) for p strictly between 0 and 1."""
    return np.log(p) - np.log1p(-p)
