"""What a lead is worth: P(its deal is won), E[amount | won], and their product.

Two ways to tell P(won), of which the one ships that was better on later leads (a tie ships the product):

* ``product``: P(converts within the window) x P(won | converts), the second fitted on leads that converted;
* ``direct``: P(won) fitted on all leads at once.

The first learns from every conversion, long before most deals are over; the second can't add up two errors. The amount
is a ridge of few columns on the log of the amount, from leads whose deals were won.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.build import FeatureMatrix
from models.base import Float
from models.close import CloseModel

PRODUCT, DIRECT = WAYS = ("product", "direct")


@dataclass(frozen=True)
class LeadValue:
    """What n leads are worth, float64[n] each, NaN where it can't be told.

    p_won: that a deal of it is won in time. amount: E[amount | won]; value: p_won x amount; both in currency.
    """

    p_won: Float
    amount: Float
    value: Float

    def take(self, rows: slice) -> LeadValue:
        """Return some of the leads."""
        return LeadValue(self.p_won[rows], self.amount[rows], self.value[rows])


@dataclass(frozen=True)
class LeadAmount:
    """E[amount | won] of a lead: ``exp(level + sum of weight x standardised column + spread / 2)``.

    names: the columns it looks at, each as the sign and log(1 + size) of its value; a missing one adds nothing. mean,
    scale, weights: float64[k]. spread: variance of the log around that. least, most: bounds of the answer, in currency,
    as seen in training.
    """

    names: tuple[str, ...]
    level: float
    mean: Float
    scale: Float
    weights: Float
    spread: float
    least: float
    most: float

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the amount in currency, float64[n], above 0."""
        total = np.full(len(matrix.values), self.level + self.spread / 2)
        z = standardised(squeezed(matrix, self.names), self.mean, self.scale)
        for j, weight in enumerate(self.weights.tolist()):  # in a fixed order, so that one row is as in many
            total = total + weight * z[:, j]
        amount: Float = np.minimum(np.maximum(np.exp(total), self.least), self.most)
        return amount


def squeezed(matrix: FeatureMatrix, names: Sequence[str]) -> Float:
    """Return columns with their sizes in logs, float64[n, k]; missing ones stay NaN."""
    values = matrix.columns(tuple(names))
    return np.sign(values) * np.log1p(np.abs(values))


def standardised(values: Float, mean: Float, scale: Float) -> Float:
    """Return columns in units of their spread, 0 where missing."""
    return np.where(np.isnan(values), 0.0, (values - mean) / scale)


@dataclass(frozen=True)
class Choice:
    """Which way ships, and on what evidence, in a sentence."""

    ships: str = PRODUCT
    why: str = "no later lead could tell the two ways apart"


@dataclass(frozen=True)
class LeadHeads:
    """The heads that follow P(converts).

    won_within_days: counted from the as-of. opportunity: P(won in time | converts in the window); direct: P(won in
    time); amount: E[amount | won]; each None where the data had too little. ships: the way that answers.
    """

    won_within_days: int
    opportunity: CloseModel | None
    direct: CloseModel | None
    amount: LeadAmount | None
    ships: str = PRODUCT
    why: str = ""

    def told(self, matrix: FeatureMatrix, p_convert: Float) -> LeadValue:
        """Return what leads are worth; the same bits for one row and many. p_convert: float64[n], the close head's."""
        p_won = self.p_won(self.ships, matrix, p_convert)
        amount = np.full(len(p_won), np.nan) if self.amount is None else self.amount.predict(matrix)
        return LeadValue(p_won, amount, p_won * amount)

    def p_won(self, way: str, matrix: FeatureMatrix, p_convert: Float) -> Float:
        """Return P(won in time) told in one of the two ways, float64[n], NaN where that one's head is absent."""
        head = self.opportunity if way == PRODUCT else self.direct
        if head is None:
            return np.full(len(p_convert), np.nan)
        p = head.predict(matrix)
        return p_convert * p if way == PRODUCT else p
