"""Small boosted trees on an offset: fit with LightGBM, seeds averaged in log-odds and merged into one model text.

The mean of S ensembles is the sum of all their trees with every leaf divided by S, so one merged text gives the same
log-odds (to rounding, 1e-14) with one call instead of S, and its SHAP values are the mean of theirs.

Seeds are grown side by side, each on one thread: they wait for nobody, and their bits depend on no number of threads.
"""

from __future__ import annotations

import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from features.build import FeatureMatrix
from models.base import Examples, Float

if TYPE_CHECKING:
    import lightgbm

TURN = 20  # trees that a worker grows before it takes up another seed
_TREE = re.compile(r"^Tree=\d+$", re.MULTILINE)
_SCALED = ("leaf_value", "internal_value")


@dataclass(frozen=True)
class TreeSettings:
    """LightGBM settings of the close model; names are LightGBM's own.

    signs: one per column. categorical: columns that hold codes instead of numbers (only in models that never ship).
    """

    num_leaves: int
    min_data_in_leaf: int
    learning_rate: float
    feature_fraction: float
    bagging_fraction: float
    lambda_l2: float
    path_smooth: float
    num_threads: int
    signs: tuple[int, ...]
    categorical: tuple[int, ...] = ()

    def params(self, seed: int) -> dict[str, object]:
        """Return the parameters of one deterministic fit; `advanced` breaks the signs where values are missing."""
        return {
            "objective": "binary",
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_data_in_leaf,
            "learning_rate": self.learning_rate,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "lambda_l2": self.lambda_l2,
            "path_smooth": self.path_smooth,
            "monotone_constraints": list(self.signs),
            "monotone_constraints_method": "intermediate",
            "feature_pre_filter": False,
            "max_bin": 127,
            "deterministic": True,
            "force_row_wise": True,
            "seed": seed,
            "num_threads": self.num_threads,
            "verbosity": -1,
        }


@dataclass(frozen=True)
class Trees:
    """A merged ensemble over named features. text: LightGBM's model format."""

    names: tuple[str, ...]
    text: str
    _loaded: list[lightgbm.Booster] = field(default_factory=list, repr=False, compare=False)

    @property
    def booster(self) -> lightgbm.Booster:
        """The loaded model; kept, and always asked with one thread (more threads cost 17 x on a busy machine)."""
        import lightgbm

        if not self._loaded:
            self._loaded.append(lightgbm.Booster(model_str=self.text))
        return self._loaded[0]

    def logit(self, matrix: FeatureMatrix) -> Float:
        """Return what the trees add to the offset, log-odds, float64[n]."""
        raw = self.booster.predict(matrix.values, raw_score=True, num_threads=1)
        return np.asarray(raw, dtype=np.float64)

    def contributions(self, matrix: FeatureMatrix) -> Float:
        """Return exact SHAP values in log-odds, float64[n, k + 1]; the last column is the expected value."""
        phi = self.booster.predict(matrix.values, pred_contrib=True, num_threads=1)
        return np.asarray(phi, dtype=np.float64)

    def gain(self) -> Float:
        """Return by how much each column's splits lowered the training loss, all trees added up, float64[k]."""
        return np.asarray(self.booster.feature_importance("gain"), dtype=np.float64)


def choose_rounds(
    train: Examples,
    offset: Float,
    valid: Examples,
    valid_offset: Float,
    settings: TreeSettings,
    max_rounds: int,
    seed: int,
) -> tuple[int, Float]:
    """Return (best number of trees by log loss on later rows, their log-odds on `valid`); 0 where no tree helps."""
    import lightgbm

    data = _dataset(train, offset, settings)
    watched = lightgbm.Dataset(
        valid.matrix.values, valid.y, init_score=valid_offset, reference=data, free_raw_data=False
    )
    record: dict[str, dict[str, list[float]]] = {}
    booster = lightgbm.train(
        settings.params(seed) | {"metric": "binary_logloss"},
        data,
        num_boost_round=max_rounds,
        valid_sets=[watched],
        callbacks=[lightgbm.early_stopping(60, verbose=False), lightgbm.record_evaluation(record)],
    )
    losses = record["valid_0"]["binary_logloss"]
    best = int(np.argmin(losses)) + 1
    if losses[best - 1] >= _log_loss(valid.y, valid_offset):
        return 0, np.zeros(len(valid))
    raw = booster.predict(valid.matrix.values, raw_score=True, num_iteration=best, num_threads=settings.num_threads)
    return best, np.asarray(raw, dtype=np.float64)


def fit_trees(train: Examples, offset: Float, settings: TreeSettings, rounds: int, seeds: tuple[int, ...]) -> Trees:
    """Fit one ensemble per seed, at most `num_threads` at a time, and merge them.

    Raises ValueError for several seeds where a column holds codes.
    """
    import lightgbm

    if settings.categorical and len(seeds) != 1:
        raise ValueError(f"{len(seeds)} seeds of trees with categorical columns: expected one, they can't be merged")
    data = _dataset(train, offset, settings)

    # LightGBM keeps one number of threads for the whole process and sets it as a booster is made: all before any grows.
    boosters = [lightgbm.Booster(settings.params(seed) | {"num_threads": 1}, data) for seed in seeds]
    _grow(boosters, rounds, settings.num_threads)
    texts = [str(booster.model_to_string(num_iteration=-1)) for booster in boosters]
    return Trees(train.matrix.names, texts[0] if settings.categorical else merge(texts))


def _grow(boosters: list[lightgbm.Booster], rounds: int, workers: int) -> None:
    """Add `rounds` trees to each booster. Workers take turns, a few trees at a time, so that none is idle for long."""
    waiting = deque((booster, rounds) for booster in boosters)

    def work(_: int) -> None:
        while True:
            try:
                booster, left = waiting.popleft()
            except IndexError:  # the others hold what is left
                return
            for _ in range(min(left, TURN)):
                booster.update()
            if left > TURN:
                waiting.append((booster, left - TURN))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))  # the list raises what a worker raised


def _dataset(train: Examples, offset: Float, settings: TreeSettings) -> lightgbm.Dataset:
    import lightgbm

    params = {"max_bin": 127, "feature_pre_filter": False, "verbosity": -1, "num_threads": settings.num_threads}
    return lightgbm.Dataset(
        train.matrix.values,
        train.y,
        init_score=offset,
        feature_name=list(train.matrix.names),
        categorical_feature=list(settings.categorical),
        params=params,
        free_raw_data=False,
    )


def _log_loss(y: Float, raw: Float) -> float:
    return float(np.mean(np.logaddexp(0.0, raw) - y * raw))


def merge(texts: list[str]) -> str:
    """Return one model text whose prediction is the mean of the texts' predictions."""
    parts = [_split(text) for text in texts]
    return _text(parts[0][0], [_scaled(block, len(texts)) for _, blocks, _ in parts for block in blocks], parts[0][2])


def first_seed(trees: Trees, seeds: int) -> Trees:
    """Return the first of the `seeds` ensembles that were merged, to rounding."""
    head, blocks, tail = _split(trees.text)
    return Trees(
        trees.names, _text(head, [_scaled(block, 1 / seeds) for block in blocks[: len(blocks) // seeds]], tail)
    )


def _text(head: str, trees: list[str], tail: str) -> str:
    """Put a model text together, its trees numbered and their sizes told in the header."""
    renumbered = [_TREE.sub(f"Tree={i}", block, count=1) for i, block in enumerate(trees)]
    sizes = " ".join(str(len(block.encode())) for block in renumbered)
    head = re.sub(r"^tree_sizes=.*$", f"tree_sizes={sizes}", head, count=1, flags=re.MULTILINE)
    return head + "".join(renumbered) + tail


def _split(text: str) -> tuple[str, list[str], str]:
    """Return (header, tree blocks, rest without the parameters, which name seeds and threads of one part only)."""
    starts = [m.start() for m in _TREE.finditer(text)]
    end = text.index("end of trees")
    first = starts[0] if starts else end
    blocks = [text[a:b] for a, b in zip(starts, [*starts[1:], end], strict=True)]
    tail = text[end:].partition("\nparameters:")[0].partition("\n\npandas_categorical:")[0]
    return text[:first], blocks, tail + "\n\npandas_categorical:null\n"


def _scaled(block: str, count: float) -> str:
    if "num_cat=0" not in block:
        raise ValueError("a tree with categorical splits can't be merged; the close model has none")
    lines = block.split("\n")
    for i, line in enumerate(lines):
        name, _, values = line.partition("=")
        if name in _SCALED and values:
            lines[i] = f"{name}=" + " ".join(repr(float(value) / count) for value in values.split(" "))
    return "\n".join(lines)
