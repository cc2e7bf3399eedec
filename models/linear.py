"""Ridge logistic regression on the feature columns and the log-odds of the stage x time table.

Fitted with scikit-learn, stored and applied as plain numbers: ``intercept + sum_j weight_j * (x_j - mean_j) /
scale_j``, columns clipped to the range seen in training, a missing value at the mean plus a weight of its own. Terms
are added column by column in a fixed order: a matrix product may differ in the last bits between one row and many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from features.build import FeatureMatrix
from models.base import Examples, Float, Frame, clipped_logit, sigmoid
from models.tables import RateTable, fit_stage_time

TABLE = "stage_and_time"  # the name of the table's own term, in reasons too
TAIL = 0.005  # share of the training rows clipped at either end of a column
RARE = 0.005  # a column missing less (or present less) often than this gets no weight for being missing


@dataclass(frozen=True)
class Linear:
    """One coefficient set; arrays are float64[k] over `names` (features), the table's term apart."""

    names: tuple[str, ...]
    table: RateTable
    intercept: float
    table_weight: float
    table_mean: float
    weights: Float
    missing_weights: Float
    low: Float
    high: Float
    mean: Float
    scale: Float

    def terms(self, matrix: FeatureMatrix) -> Iterator[tuple[str, Float]]:
        """Yield (name, float64[n] in log-odds) for the table, then every feature in order; not the intercept."""
        yield TABLE, self.table_weight * (clipped_logit(self.table.predict(matrix)) - self.table_mean)
        for j, name in enumerate(self.names):
            x = matrix.column(name)
            missing = np.isnan(x)
            z = (np.clip(np.where(missing, self.mean[j], x), self.low[j], self.high[j]) - self.mean[j]) / self.scale[j]
            yield name, self.weights[j] * z + self.missing_weights[j] * missing

    def logit(self, matrix: FeatureMatrix) -> Float:
        """Return the log-odds, float64[n]."""
        total = np.full(len(matrix.values), self.intercept)
        for _, term in self.terms(matrix):
            total += term
        return total

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the probability, float64[n]."""
        return sigmoid(self.logit(matrix))


def fit_linear(examples: Examples, frame: Frame) -> Linear:
    """Fit the ridge; constant columns get weight 0, and all of them where the rows have one outcome only."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    table = fit_stage_time(examples, frame)
    names = examples.matrix.names
    if not 0 < examples.y.sum() < len(examples):
        return _flat(names, table)
    values = examples.matrix.values
    missing = np.isnan(values)
    with np.errstate(invalid="ignore"):
        some = ~missing.all(axis=0)
        low, high = _quantiles(values, missing, (TAIL, 1 - TAIL))
    filled = np.clip(np.where(missing, np.nan, values), low, high)
    mean = np.where(some, np.nansum(filled, axis=0) / np.maximum((~missing).sum(axis=0), 1), 0.0)
    z = np.where(missing, mean, filled) - mean
    scale = z.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    share = missing.mean(axis=0)
    flagged = (share > RARE) & (share < 1 - RARE)
    prior = clipped_logit(table.predict(examples.matrix))
    design = np.column_stack([prior - prior.mean(), z / scale, missing[:, flagged]])
    model = LogisticRegression(C=1.0 / frame.penalty, solver="newton-cholesky", max_iter=100, tol=1e-8)
    with threadpool_limits(1):  # more BLAS threads are slower on a busy machine, and need not add up in the same order
        ridge = model.fit(design, examples.y)
    weights = ridge.coef_[0]
    missing_weights = np.zeros(len(names))
    missing_weights[flagged] = weights[1 + len(names) :]
    return Linear(
        names,
        table,
        float(ridge.intercept_[0]),
        float(weights[0]),
        float(prior.mean()),
        weights[1 : 1 + len(names)],
        missing_weights,
        low,
        high,
        mean,
        scale,
    )


def _flat(names: tuple[str, ...], table: RateTable) -> Linear:
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
