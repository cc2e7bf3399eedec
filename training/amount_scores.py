"""How right expected amounts are: against the amount now, and against the amount now times the overall ratio. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.base import Float, Int
from training.evaluate import DealBootstrap, Interval


@dataclass(frozen=True)
class AmountScores:
    """Scores of one way to tell the amount at close, over rows of won deals; each deal has the same weight.

    total_error: sum |told - actual| / sum actual. bias: (sum told - sum actual) / sum actual, and period_bias the mean
    size of it, period by period. deviance: mean gamma deviance. log_mae: mean |log told - log actual|.
    less_error: by how much the model's total_error is lower than this one's, with its interval over whole deals (the
    model's own: 0).
    """

    name: str
    rows: int
    deals: int
    total_error: float
    bias: float
    period_bias: float
    deviance: float
    log_mae: float
    less_error: Interval


def amount_scores(
    actual: Float, model: Float, current: Float, ratio: Float, deal: Int, period: Int, draws: int, seed: int
) -> list[AmountScores]:
    """Score the model and its two baselines on the same rows: those of deals that were won and had an amount.

    actual: float64[n], amount on the winning row, above 0. model: float64[n], E[amount | won]. current: float64[n],
    amount at the as-of, above 0. ratio: float64[n], what the current amount was multiplied with on average, as known
    when the model was fitted. deal, period: int64[n] codes. All amounts in currency. draws: of deals, for the
    intervals. Empty for no rows.
    """
    if not len(actual):
        return []
    _, place, counts = np.unique(deal, return_inverse=True, return_counts=True)
    weight = 1.0 / counts[place]
    boot = DealBootstrap.of(deal, draws, seed)
    worth = _total(boot, weight * actual)
    told = {"model": model, "amount now": current, "amount now x ratio": current * ratio}
    errors = {name: _total(boot, weight * np.abs(said - actual)) / worth for name, said in told.items()}
    scored = []
    for name, said in told.items():
        off = weight * (said - actual)
        share = actual / said
        less = errors[name] - errors["model"]
        scored.append(
            AmountScores(
                name,
                len(actual),
                len(counts),
                float(errors[name][0]),
                float(off.sum() / (weight * actual).sum()),
                _period_bias(off, weight * actual, period),
                float((weight * 2.0 * (share - np.log(share) - 1.0)).sum() / weight.sum()),
                float((weight * np.abs(np.log(share))).sum() / weight.sum()),
                _interval(less),
            )
        )
    return scored


def _total(boot: DealBootstrap, values: Float) -> Float:
    """Return the sum of per-row values: of the rows as they are, then of every draw; float64[1 + draws]."""
    sums = np.bincount(boot.code, weights=values, minlength=boot.draws.shape[1])
    return np.concatenate([[sums.sum()], boot.draws @ sums])


def _period_bias(off: Float, worth: Float, period: Int) -> float:
    _, code = np.unique(period, return_inverse=True)
    return float(np.mean(np.abs(np.bincount(code, weights=off) / np.bincount(code, weights=worth))))


def _interval(values: Float) -> Interval:
    """Return the first value with the 95 % interval of the others."""
    drawn = values[1:]
    if not len(drawn):
        return Interval(float(values[0]), float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(values[0]), float(low), float(high), float(np.mean(drawn > 0)))
