"""Ridge logistic regression on the feature columns and the log-odds of the stage x time table.

Fitted with scikit-learn, stored and applied as plain numbers: ``intercept + sum_j weight_j * (x_j - mean_j) /
scale_j``, columns clipped to the range seen in training, a missing value at the mean plus a weight of its own. Terms
are added column by column in a fixed order, as running sums: a matrix product, and NumPy's own sum, may differ in the
last bits between one row and many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.build import FeatureMatrix
from features.registry import TABLE as TABLE  # the name of the table's own term, in reasons too
from models.base import Examples, Float, Frame, clipped_logit, sigmoid
from models.tables import RateCurve, RateTable, fit_stage_curve

TAIL = 0.005  # share of the training rows clipped at either end of a column
FREE = 30.0  # the table's column is so much larger, so that a penalty draws the ridge to the table, not to a constant
RARE = 0.005  # a column missing less (or present less) often than this gets no weight for being missing
ROWS = 2048  # at a time, so that what lies between two steps stays in the cache


@dataclass(frozen=True)
class Linear:
    """One coefficient set; arrays are float64[k] over `names` (features), the table's term apart."""

    names: tuple[str, ...]
    table: RateTable | RateCurve
    intercept: float
    table_weight: float
    table_mean: float
    weights: Float
    missing_weights: Float
    low: Float
    high: Float
    mean: Float
    scale: Float

    def terms(self, matrix: FeatureMatrix, told: Float) -> Float:
        """Return log-odds float64[n, 1 + k] of the table, then of every feature in order; without the intercept.

        told: float64[n], the log-odds of the table's rate, which whoever asks has need of too.
        """
        learnt = (self.weights, self.missing_weights, self.low, self.high, self.mean, self.scale)
        columns = column_terms(matrix.columns(self.names), *learnt)
        return np.concatenate([(self.table_weight * (told - self.table_mean))[:, None], columns], axis=1)

    def logit(self, matrix: FeatureMatrix) -> Float:
        """Return the log-odds, float64[n]."""
        total = np.empty(len(matrix.values))
        for start in range(0, len(total), ROWS):
            part = slice(start, start + ROWS)
            rows = FeatureMatrix(matrix.names, matrix.values[part])
            terms = self.terms(rows, clipped_logit(self.table.predict(rows)))
            terms[:, 0] += self.intercept
            total[part] = terms.cumsum(axis=1, out=terms)[:, -1]
        return total

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the probability, float64[n]."""
        return sigmoid(self.logit(matrix))


def column_terms(
    values: Float, weights: Float, missing_weights: Float, low: Float, high: Float, mean: Float, scale: Float
) -> Float:
    """Return the log-odds that each column adds, float64[n, k]; see the module docstring. values: float64[n, k]."""
    missing = np.isnan(values)
    terms = np.where(missing, mean, values)
    np.minimum(np.maximum(terms, low, out=terms), high, out=terms)
    terms -= mean
    terms /= scale
    terms *= weights
    terms += missing_weights * missing
    return terms


@dataclass(frozen=True)
class Design:
    """What a ridge is fitted on. x: float64[n, 1 + k + flags]: the table's log-odds, the standardised columns, flags.

    shape: the columns' range, mean and scale with all weights 0; flagged: bool[k], columns with a flag for missing.
    """

    x: Float
    shape: Linear
    flagged: NDArray[np.bool_]

    @classmethod
    def of(cls, examples: Examples, frame: Frame) -> Design:
        """Learn the table and the columns' ranges from rows of both outcomes."""
        table, names, values = fit_stage_curve(examples, frame), examples.matrix.names, examples.matrix.values
        missing = np.isnan(values)
        low, high = _quantiles(values, missing, (TAIL, 1 - TAIL))
        filled = np.clip(np.where(missing, np.nan, values), low, high)
        some = ~missing.all(axis=0)
        mean = np.where(some, np.nansum(filled, axis=0) / np.maximum((~missing).sum(axis=0), 1), 0.0)
        scale = (np.where(missing, mean, filled) - mean).std(axis=0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        share = missing.mean(axis=0)
        middle = float(clipped_logit(table.predict(examples.matrix)).mean())
        none = np.zeros(len(names))
        shape = Linear(names, table, 0.0, 0.0, middle, none, none, low, high, mean, scale)
        flagged = (share > RARE) & (share < 1 - RARE)
        return cls(_columns(examples.matrix, shape, flagged), shape, flagged)

    def of_others(self, matrix: FeatureMatrix) -> Float:
        """Return the columns of other rows."""
        return _columns(matrix, self.shape, self.flagged)

    def weighted(self, intercept: float, weights: Float) -> Linear:
        """Return the ridge with these weights of the columns of `x`."""
        k = len(self.shape.names)
        missing = np.zeros(k)
        missing[self.flagged] = weights[1 + k :]
        return replace(
            self.shape,
            intercept=intercept,
            table_weight=float(weights[0]) * FREE,
            weights=weights[1 : 1 + k],
            missing_weights=missing,
        )


def fit_linear(examples: Examples, frame: Frame, penalty: float | None = None) -> Linear:
    """Fit the ridge; constant columns get weight 0, and all of them where the rows have one outcome only.

    penalty: in units of one standardised row; the frame's own where None. See `models.penalty` for how it is chosen.
    """
    if not 0 < examples.y.sum() < len(examples):
        return _flat(examples.matrix.names, fit_stage_curve(examples, frame))
    design = Design.of(examples, frame)
    ((intercept, weights),) = solve(design.x, examples.y, [frame.penalty if penalty is None else penalty])
    return design.weighted(intercept, weights)


def solve(x: Float, y: Float, penalties: Sequence[float], tol: float = 1e-8) -> Iterator[tuple[float, Float]]:
    """Yield (intercept, weights) for each penalty, each begun at the one before."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(solver="newton-cholesky", max_iter=100, tol=tol, warm_start=True)
    for penalty in penalties:
        # More BLAS threads are slower on a busy machine, and need not add up in the same order.
        with threadpool_limits(1):
            model.set_params(C=1.0 / penalty).fit(x, y)
        yield float(model.intercept_[0]), model.coef_[0].copy()


def _columns(matrix: FeatureMatrix, shape: Linear, flagged: NDArray[np.bool_]) -> Float:
    missing = np.isnan(matrix.values)
    z = np.clip(np.where(missing, shape.mean, matrix.values), shape.low, shape.high) - shape.mean
    told = clipped_logit(shape.table.predict(matrix)) - shape.table_mean
    return np.column_stack([FREE * told, z / shape.scale, missing[:, flagged]])


def _flat(names: tuple[str, ...], table: RateTable | RateCurve) -> Linear:
    """Return what says the table's overall rate of every row."""
    none = np.zeros(len(names))
    usual = float(clipped_logit(np.array([table.overall]))[0])
    return Linear(names, table, usual, 0.0, 0.0, none, none, none, none, none, np.ones(len(names)))


def _quantiles(values: Float, missing: np.ndarray, shares: tuple[float, ...]) -> Float:
    """Return the quantiles of each column's known values, float64[len(shares), k], 0 where a column has none."""
    out = np.zeros((len(shares), values.shape[1]))
    for j in range(values.shape[1]):
        known = values[~missing[:, j], j]
        if len(known):
            out[:, j] = np.quantile(known, shares)
    return out
