"""Small conversions that every feature group uses: missing-aware and the same bits for one value and a million.

They are asked for one row too, where each step costs the same whatever it does: so few steps, and the quick forms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.periods import DAY
from features.tables import NAT

Int = NDArray[np.int64]
Float = NDArray[np.float64]


def number(values: Int) -> Float:
    """Return int64 as float64, NaN where NAT."""
    out = values.astype(np.float64)
    out[values == NAT] = np.nan
    return out


def known_or(values: Float, instead: float) -> Float:
    """Return the values, `instead` where NaN."""
    out = values.copy()
    out[np.isnan(out)] = instead
    return out


def ratio(top: Float, bottom: Float) -> Float:
    """Return top / bottom, NaN where the bottom is 0 or either is NaN."""
    usable = bottom.copy()
    usable[bottom == 0] = np.nan
    return top / usable


def log1p_or_missing(values: Float) -> Float:
    """Return the natural log of 1 + a value, NaN where it is missing or negative."""
    return np.log1p(np.where(values >= 0, values, np.nan))


def log_money(cents: Int) -> Float:
    """Return the natural log of 1 + amount in whole currency, NaN where missing or negative."""
    money = cents / 100.0
    money[cents < 0] = np.nan  # NAT is far below 0
    return np.log1p(money)


def logit(p: Float) -> Float:
    """Return log(p / (1 - p)) for p strictly between 0 and 1."""
    return np.log(p) - np.log1p(-p)


def days_between(earlier: Int, later: Int) -> Float:
    """Return (later - earlier) in days of 86,400 s, float64; NaN where either is missing."""
    days: Float = (later - earlier) / DAY
    days[np.minimum(earlier, later) == NAT] = np.nan  # NAT is the least; there the difference has wrapped around
    return days


def team_of(rep_team: Int, rep: Int) -> Int:
    """Return rep_team[rep], -1 where the code is negative or the table does not reach."""
    known = (rep >= 0) & (rep < len(rep_team))
    return np.append(rep_team, -1)[np.where(known, rep, len(rep_team))]
