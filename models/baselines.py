"""Baselines: first-class models that stand in every table, and that a model must beat to be promoted.

Most read the features. Two read what a CRM says of a deal itself, which need not be features: the probability, the
forecast category and the close date, as of the request (`FACTS`). A baseline whose facts no row of the record has is
left out: see `lacking`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from configs.vocab import Baseline
from features.build import FeatureMatrix
from models.base import CLIP, Examples, Fit, Float, Frame
from models.linear import fit_linear
from models.tables import RateTable, fit_stage_rate, fit_stage_time

PROBABILITY, CATEGORY, PAST_PERIOD = "probability", "category_rank", "days_past_period"
FACTS = (PROBABILITY, CATEGORY, PAST_PERIOD, "stage_rank", "days_left", "days_open")
"""Columns of the side table: float64, NaN where not known. probability 0-1; category_rank 0 omitted to 4 closed;
days_past_period from the period's last day to the CRM's close date, 0 or less within it; the rest are as the features
of that name."""
CATEGORIES = 5


@dataclass(frozen=True)
class Constant:
    """One probability for every row."""

    rate: float

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the constant, float64[n]."""
        return np.full(len(matrix.values), self.rate)


def fit_constant(examples: Examples, frame: Frame) -> Constant:
    """Fit the mean outcome."""
    return Constant(float(np.clip(examples.y.mean(), CLIP, 1 - CLIP)))


@dataclass(frozen=True)
class CrmProbability:
    """What the CRM says: its probability where the close date lies in the period, nothing where it lies beyond.

    dated: whether the close date counts; an `eventual` head has no period. unknown: for rows without a probability. A
    row without a close date keeps its probability, and so does one whose date has passed.
    """

    dated: bool
    unknown: float

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the probability, float64[n]; matrix: the facts."""
        said = matrix.column(PROBABILITY)
        p = np.where(np.isnan(said), self.unknown, said)
        if self.dated:
            p = np.where(matrix.column(PAST_PERIOD) > 0, 0.0, p)
        return np.clip(p, CLIP, 1 - CLIP)


def fit_crm_probability(examples: Examples, frame: Frame) -> CrmProbability:
    """Fit nothing but the mean outcome, for rows of which the CRM says nothing."""
    return CrmProbability(frame.target == "in_period", fit_constant(examples, frame).rate)


@dataclass(frozen=True)
class CategoryTable:
    """Rates by forecast category and time left (or age): the stage table with the category in the stage's place."""

    table: RateTable

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the cell's rate, float64[n]; matrix: the facts."""
        return self.table.predict(_by_category(matrix))


def fit_category_time(examples: Examples, frame: Frame) -> CategoryTable:
    """Fit the rate by category and weeks left of the period, or by category and age (head `eventual`)."""
    rows = replace(examples, matrix=_by_category(examples.matrix))
    return CategoryTable(fit_stage_time(rows, replace(frame, stage_count=CATEGORIES)))


def _by_category(facts: FeatureMatrix) -> FeatureMatrix:
    columns = [facts.column(CATEGORY), facts.column("days_left"), facts.column("days_open")]
    return FeatureMatrix(("stage_rank", "days_left", "days_open"), np.column_stack(columns))


STAGE_TIME = Baseline.STAGE_TIME_LEFT.value
RIDGE = Baseline.RIDGE.value

# Order of the rows in every table. `stage_time_left` is the strong one: the promotion gate names it.
BASELINES: dict[str, Fit] = {
    Baseline.CONSTANT.value: fit_constant,
    Baseline.CRM_PROBABILITY.value: fit_crm_probability,
    Baseline.STAGE_RATE.value: fit_stage_rate,
    Baseline.CATEGORY_TIME_LEFT.value: fit_category_time,
    STAGE_TIME: fit_stage_time,
    RIDGE: fit_linear,
}

OF_FACTS: dict[str, str] = {
    Baseline.CRM_PROBABILITY.value: PROBABILITY,
    Baseline.CATEGORY_TIME_LEFT.value: CATEGORY,
}
"""Baselines that read `FACTS` and not the features, each with the fact without which it is no baseline."""


def lacking(facts: FeatureMatrix, names: Collection[str]) -> dict[str, str]:
    """Return those of the baselines whose fact no row has, each with that fact."""
    return {name: OF_FACTS[name] for name in names if name in OF_FACTS and np.isnan(facts.column(OF_FACTS[name])).all()}
