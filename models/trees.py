"""Small boosted trees on an offset: fit with LightGBM, seeds averaged in log-odds and merged into one model text.

The mean of S ensembles is the sum of all their trees with every leaf divided by S, so one merged text gives the same
log-odds (to rounding, 1e-14) with one call instead of S, and its SHAP values are the mean of theirs. Several members
(configurations of trees) are averaged the same way, each of them the mean of its own seeds.

Seeds are grown side by side, each on one thread: they wait for nobody, and their bits depend on no number of threads.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from features.build import FeatureMatrix
from models.base import Examples, Float

if TYPE_CHECKING:
    import lightgbm

TURN = 20  # trees that a worker grows before it takes up another seed
_TREE = re.compile(r"^Tree=\d+$", re.MULTILINE)
_SCALED = ("leaf_value", "internal_value")
ONE_THREAD = {"num_threads": 1}


class Growing(Protocol):
    """What can be given one more tree."""

    def update(self) -> object:
        """Add a tree."""
        ...


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
    """A merged ensemble over named features. text: LightGBM's model format.

    first: trees of the first member's first seed and by what their leaves were divided; None in what was read back.
    """

    names: tuple[str, ...]
    text: str
    first: tuple[int, int] | None = field(default=None, compare=False)
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


@dataclass(frozen=True)
class Member:
    """One tree configuration of a model: its settings, its number of trees (0: it adds nothing), and its seeds.

    share: of what its trees say that counts, 0-1.
    """

    settings: TreeSettings
    rounds: int
    seeds: tuple[int, ...]
    share: float = 1.0


def fit_trees(train: Examples, offset: Float, settings: TreeSettings, rounds: int, seeds: tuple[int, ...]) -> Trees:
    """Fit one ensemble per seed, at most `num_threads` at a time, and merge them; see `fit_members`."""
    return fit_members(train, offset, (Member(settings, rounds, seeds),))


def fit_members(train: Examples, offset: Float, members: Sequence[Member]) -> Trees:
    """Fit every seed of every member side by side and merge them: seeds count alike in their member, members in all.

    Raises ValueError for several boosters where a column holds codes.
    """
    import lightgbm

    grown = [(member, seed) for member in members if member.rounds for seed in member.seeds]
    categorical = any(member.settings.categorical for member in members)
    if categorical and len(grown) != 1:
        raise ValueError(f"{len(grown)} seeds of trees with categorical columns: expected one, they can't be merged")
    settings = members[0].settings
    data = dataset(train, offset, settings)

    # LightGBM keeps one number of threads for the whole process and sets it as a booster is made: all before any grows.
    boosters = [lightgbm.Booster(member.settings.params(seed) | ONE_THREAD, data) for member, seed in grown]
    grow([(booster, member.rounds) for booster, (member, _) in zip(boosters, grown, strict=True)], settings.num_threads)
    texts = [str(booster.model_to_string(num_iteration=-1)) for booster in boosters]
    scales = [member.share / (len(members) * len(member.seeds)) for member, _ in grown]
    first = (len(_split(texts[0])[1]), len(members) * len(members[0].seeds)) if members[0].rounds else (0, 1)
    return Trees(train.matrix.names, merge(texts, scales, categorical), first)


def grow(boosters: Sequence[tuple[Growing, int]], workers: int) -> None:
    """Add so many trees to each booster. Workers take turns, a few trees at a time, so that none is idle for long."""
    waiting = deque(boosters)

    def work(_: int) -> None:
        _still()
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


def _still() -> None:
    """Tell LightGBM to be silent in this thread: it keeps its verbosity by thread, and standard output is ours."""
    import lightgbm

    quiet = {"verbosity": -1, "num_threads": 1}
    lightgbm.Dataset(np.zeros((1, 1)), np.zeros(1), params=quiet).construct()


def dataset(train: Examples, offset: Float, settings: TreeSettings) -> lightgbm.Dataset:
    """Return the rows binned once for all boosters that start from this offset."""
    import lightgbm

    params = {"max_bin": 127, "feature_pre_filter": False, "verbosity": -1, "num_threads": settings.num_threads}
    return lightgbm.Dataset(
        train.matrix.values,
        train.y,
        init_score=offset,
        feature_name=list(train.matrix.names),
        categorical_feature=list(settings.categorical),
        params=params,
    )


def merge(texts: list[str], scales: Sequence[float] = (), categorical: bool = False) -> str:
    """Return one model text whose prediction is the sum of the texts' predictions, each times its scale.

    scales: one per text; without them the mean. categorical: whether trees may hold codes; such a text stays alone.
    Raises ValueError for codes where there should be none.
    """
    scales = scales or [1 / len(texts)] * len(texts)
    parts = [_split(text) for text in texts]
    scaled = [_scaled(tree, by, categorical) for (_, trees, _), by in zip(parts, scales, strict=True) for tree in trees]
    return _text(parts[0][0], scaled, parts[0][2])


def first_seed(trees: Trees) -> Trees | None:
    """Return the first member's first ensemble alone, to rounding; None where that member has no trees.

    Raises ValueError for trees that were read from a file, which doesn't tell where the first ensemble ends.
    """
    if trees.first is None:
        raise ValueError("these trees were not fitted here: which of them are the first seed's is not known")
    count, divisor = trees.first
    if not count:
        return None
    head, blocks, tail = _split(trees.text)
    return Trees(trees.names, _text(head, [_scaled(block, divisor) for block in blocks[:count]], tail))


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


def _scaled(block: str, scale: float, categorical: bool = False) -> str:
    if not categorical and "num_cat=0" not in block:
        raise ValueError("a tree with categorical splits can't be merged; the close model has none")
    lines = block.split("\n")
    for i, line in enumerate(lines):
        name, _, values = line.partition("=")
        if name in _SCALED and values:
            lines[i] = f"{name}=" + " ".join(repr(float(value) * scale) for value in values.split(" "))
    return "\n".join(lines)
