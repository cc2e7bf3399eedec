"""The amount model: what a deal will be worth at its close if it is won, E[amount | won].

``amount = amount told now x exp(base + small trees)``: base is the one factor that makes totals match; LightGBM is
boosted from the log of the current amount with a log link, so that trees tell only by how much more or less amounts
change until the close (discounts, padding, growth). A deal without an amount gets what won deals of its segments and
stage are usually worth (empirical Bayes, multiplicative). Why: DESIGN.md section 4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.build import FeatureMatrix
from features.tables import Coded
from features.told import Told
from models.base import Bool, Float, Int
from models.exact import from_hex, to_hex
from models.reference_io import plain_json
from models.tables import stage_rows
from models.trees import Trees

AMOUNT, AMOUNT_TREES = "amount.json", "amount_trees.txt"
NUMBERS = ("base", "low", "high")
CENTS = 100.0


@dataclass(frozen=True)
class Usual:
    """What a won deal is usually worth, in logs of currency: level + the effects of its stage and its segments.

    stages: float64[stages + 1], the last for an unknown stage. segments: dimension -> word -> effect; a word that no
    won deal had adds nothing.
    """

    level: float
    stages: Float
    segments: Mapping[str, Mapping[str, float]]

    def log_amount(self, matrix: FeatureMatrix, told: Told) -> Float:
        """Return the log of the usual amount, float64[n]."""
        total = self.level + self.stages[stage_row(matrix, len(self.stages) - 1)]
        for name, effects in self.segments.items():
            total = total + _effects(told.segments[name], effects)
        return total


@dataclass(frozen=True)
class AmountModel:
    """A fitted amount model. names: feature columns, in order. trees: None where none helped or too few deals were won.

    base: log of what an amount becomes on average. low, high: bounds of base + trees, as seen in training.
    """

    names: tuple[str, ...]
    usual: Usual
    base: float
    trees: Trees | None
    low: float
    high: float

    def predict(self, matrix: FeatureMatrix, told: Told) -> Float:
        """Return E[amount at the close | won] in currency, float64[n], above 0."""
        started = has_amount(told.amount_cents)
        current = np.where(started, told.amount_cents, 100) / CENTS
        becomes: Float = current * np.exp(self.log_ratio(matrix))
        return becomes if started.all() else np.where(started, becomes, np.exp(self.usual.log_amount(matrix, told)))

    def log_ratio(self, matrix: FeatureMatrix) -> Float:
        """Return the log of amount at close / amount now, float64[n]."""
        raw = np.full(len(matrix.values), self.base)
        if self.trees is not None:
            raw = raw + self.trees.logit(matrix)
        ratio: Float = np.minimum(np.maximum(raw, self.low), self.high)
        return ratio


def has_amount(cents: Int) -> Bool:
    """Return bool[n]: an amount that a deal can start from: there and above zero (NAT is far below it)."""
    told: Bool = cents > 0
    return told


def stage_row(matrix: FeatureMatrix, count: int) -> Int:
    """Return each row's stage, `count` where it is not known or no stage of the model, int64[n]."""
    return stage_rows(matrix.column("stage_rank"), count + 1)


def _effects(column: Coded, effects: Mapping[str, float]) -> Float:
    """Return the effect of each row's word; only words that the rows hold are looked up, however many there are."""
    place = column.codes + 1  # 0: missing
    found = np.zeros(len(column.values) + 1)
    for k in np.flatnonzero(np.bincount(place)).tolist():
        found[k] = effects.get(column.values[k - 1], 0.0) if k else 0.0
    return found[place]


def amount_files(model: AmountModel) -> dict[str, bytes]:
    """Return the files of a bundle that hold the model; its trees are absent where there are none."""
    usual = model.usual
    told = {name: to_hex(getattr(model, name)) for name in NUMBERS} | {
        "level": to_hex(usual.level),
        "stages": to_hex(usual.stages),
        "segments": {
            name: {word: to_hex(effect) for word, effect in effects.items()} for name, effects in usual.segments.items()
        },
    }
    files = {AMOUNT: plain_json(told)}
    if model.trees is not None:
        files[AMOUNT_TREES] = model.trees.text.encode()
    return files


def read_amount(files: Mapping[str, bytes], names: tuple[str, ...]) -> AmountModel:
    """Return the model that `amount_files` wrote; raises KeyError, TypeError or ValueError where they hold none."""
    told: dict[str, Any] = json.loads(files[AMOUNT])
    segments = {
        name: {word: from_hex(effect) for word, effect in effects.items()} for name, effects in told["segments"].items()
    }
    usual = Usual(from_hex(told["level"]), from_hex(told["stages"]), segments)
    text = files.get(AMOUNT_TREES)
    trees = Trees(names, text.decode()) if text is not None else None
    numbers = {name: from_hex(told[name]) for name in NUMBERS}
    if not all(np.isfinite(value) for value in numbers.values()) or usual.stages.ndim != 1 or not len(usual.stages):
        raise ValueError(f"{AMOUNT} holds no numbers")
    return AmountModel(names, usual, trees=trees, **numbers)
