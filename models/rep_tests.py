"""The tests behind patterns in reps' calls: moderated t tests, an exact permutation, and control of false findings.

Ratios of one rep are few and noisy. A rep's variance is therefore drawn towards that of all reps tested (Smyth 2004),
and what counts is how often a listed pattern is chance, not how often a test is (Benjamini and Hochberg 1995).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from models.base import Bool, Float, Int

PRIOR_DF = 8.0  # by which a rep's variance leans on all reps', where these are too few to tell how alike they are
MOST_PRIOR_DF = 30.0  # and at most, where they look alike
LEAST_PRIOR_DF = 2.0
ENOUGH_REPS = 30  # from which that is estimated


def t_tests(x: Float) -> tuple[Float, Float]:
    """Return one-sided p of each row's mean lying above, and below, the median row's; float64[r] each.

    x: float64[r, p], NaN where there is no value; every row needs two values at least.
    """
    from scipy.stats import t

    if not len(x):
        return np.zeros(0), np.zeros(0)
    count = np.count_nonzero(~np.isnan(x), axis=1)
    mean = np.nanmean(x, axis=1)
    # Reps that differ shift a period's median; they shift the median of the means far less, whose spread is smaller.
    mean = mean - np.median(mean)
    df = count - 1.0
    own = np.nanvar(x, axis=1, ddof=1)
    pooled = float((df * own).sum() / df.sum())
    if pooled <= 0:  # all reps alike in every period: nothing to find
        return np.ones(len(x)), np.ones(len(x))
    prior = prior_df(own / pooled, df)
    centre = 1 + np.pi / 2 / len(x)  # a median of few reps is itself in doubt
    error = np.sqrt(centre * (prior * pooled + df * own) / (prior + df) / count)
    found = mean / error
    return np.asarray(t.sf(found, prior + df)), np.asarray(t.cdf(found, prior + df))


def prior_df(variance: Float, df: Float) -> float:
    """Return with how many degrees of freedom variances of the same scale stand for each other.

    variance, df: float64[r]. Matched to the spread of their logs beyond what few values explain.
    """
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    if len(variance) < ENOUGH_REPS:
        return PRIOR_DF
    logs = np.log(np.maximum(variance, 1e-6)) - digamma(df / 2) + np.log(df / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, df / 2).mean())

    def beyond(prior: float) -> float:
        return float(polygamma(1, prior / 2)) - excess

    if beyond(MOST_PRIOR_DF) >= 0:
        return MOST_PRIOR_DF
    return LEAST_PRIOR_DF if beyond(LEAST_PRIOR_DF) <= 0 else float(brentq(beyond, LEAST_PRIOR_DF, MOST_PRIOR_DF))


def least_p(early: int, periods: int) -> float:
    """Return the smallest p that `permutation_p` can give."""
    return 1 / comb(periods, early)


@lru_cache(maxsize=32)  # reps share a few numbers of periods
def _choices(periods: int, early: int) -> Int:
    return np.array(list(combinations(range(periods), early)), dtype=np.int64)


def permutation_p(values: Float, early: Bool) -> float:
    """Return the share of all choices of as many periods whose values add up to as much as those of the early ones.

    values: float64[p]. early: bool[p]. Exact: every choice is tried.
    """
    sums = values[_choices(len(values), int(early.sum()))].sum(axis=1)
    return float(np.mean(sums >= values[early].sum() - 1e-9))


def discoveries(p: Float, q: float) -> NDArray[np.bool_]:
    """Return bool[n]: which tests stand out, so that at most the share q of them is chance on average."""
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p) <= q) if len(p) else np.zeros(0, dtype=bool)
