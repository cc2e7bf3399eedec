"""The registry of features and feature groups: name, unit, missing rule, sign, sentence, where the definition is from.

To add a feature: one `Feature` and one line in its group. To add a group: a module with one `@feature_group`, and its
name in `features.build.GROUP_MODULES`. Everything else (build, bundle hash, reasons, README table, contract tests)
follows from here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from configs.vocab import Target
from features.asof import AsOfView

Float = NDArray[np.float64]

OWN = "own"  # the source of a definition that is nobody else's
TABLE = "stage_and_time"  # the factor of the stage x time table, which is a term of its own beside the features
EXP_LIMIT = 700.0  # beyond it the exponential is no float
Columns = dict[str, Float]


@dataclass(frozen=True)
class Feature:
    """What a feature is.

    name: column name. unit: of its values.
    says: the sentence a manager reads, with ``{value}`` and ``{usual}`` formatted by `style`.
    missing: when it is NaN ("never" where it can't be). unknown: the sentence where it is NaN.
    sign: +1 or -1 where the probability may only rise or fall with it, other things equal; 0 free.
    targets: the heads it serves.
    factor: the reason it is told under, with the features that say much the same; its own name where empty.
    exp: a log is told as what it is the log of ("log money" and "log1p" are that of 1 + it).
    words: a small whole number is told as the word in that place.
    source: where the definition comes from: a CRM's object, an article, a paper, or `OWN`; the group's where empty.
    """

    name: str
    unit: str
    says: str
    missing: str = "never"
    unknown: str = ""
    sign: int = 0
    style: str = ".0f"
    targets: tuple[str, ...] = ("in_period", "eventual")
    factor: str = ""
    exp: bool = False
    words: tuple[str, ...] = ()
    source: str = ""

    def sentence(self, value: float, usual: float) -> str:
        """Return the plain sentence for a value beside the usual one; NaN is told as unknown."""
        if np.isnan(value):
            return self.unknown or f"{self.name.replace('_', ' ')}: not known ({self.missing})"
        return self.says.format(value=self.told(value), usual=self.told(usual))

    def told(self, value: float) -> str:
        """Return a value as the sentence shows it; NaN as "not known"."""
        if np.isnan(value):
            return "not known"
        if self.words:
            return self.words[min(max(round(value), 0), len(self.words) - 1)]
        if not self.exp:
            return format(value, self.style)
        told = np.exp(min(value, EXP_LIMIT)) - self.unit.startswith(("log money", "log1p"))
        return format(told, self.style)


@dataclass(frozen=True)
class Word:
    """A usual value of a dimension, which has a column of its own. column: its name, of small letters and digits."""

    column: str
    dimension: str
    value: str


@dataclass(frozen=True)
class Schema:
    """What the record of one company offers beyond the fixed columns.

    target: the head ("in_period" or "eventual"). dimensions: categorical facts fixed at creation, each with an as-of
    rate (type, source, account attributes declared fixed, declared category attributes).
    numbers: declared number attributes. words: usual values of dimensions, of leads alone;
    rated: dimensions of leads that a rate is told of, since not all of their values are usual.
    """

    target: str
    dimensions: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()
    rated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What a group may use besides the view: the schema, and the parent's weight in a shrunken rate (closed deals)."""

    schema: Schema
    shrink: float


Specs = Callable[[Schema], tuple[Feature, ...]]
Compute = Callable[[AsOfView, Context], Columns]


@dataclass(frozen=True)
class FeatureGroup:
    """A named set of features computed together; `compute` returns one float64[n] per name of `specs(schema)`."""

    name: str
    specs: Specs
    compute: Compute


GROUPS: dict[str, FeatureGroup] = {}


def feature_group(name: str, specs: Specs | tuple[Feature, ...], source: str = "") -> Callable[[Compute], Compute]:
    """Register a group. `specs`: a tuple, or a function of the schema where the columns depend on the record.

    source: where the definitions come from, of every feature that names no source itself.
    """

    @lru_cache(maxsize=64)  # one request asks for them too
    def sourced(schema: Schema) -> tuple[Feature, ...]:
        features = specs if isinstance(specs, tuple) else specs(schema)
        return tuple(f if f.source else replace(f, source=source) for f in features)

    def register(compute: Compute) -> Compute:
        if name in GROUPS and GROUPS[name].compute.__module__ != compute.__module__:
            raise ValueError(f"feature group {name!r} is registered twice")
        GROUPS[name] = FeatureGroup(name, sourced, compute)
        return compute

    return register


@dataclass(frozen=True)
class Plan:
    """Which features are built, in which order: the contract between a model and the code that feeds it."""

    context: Context
    groups: tuple[str, ...]
    features: tuple[Feature, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def factors(self) -> Mapping[str, tuple[int, ...]]:
        """The terms that are told under each factor: 0 is the table's, 1 + j that of the plan's feature j."""
        found: dict[str, list[int]] = {TABLE: [0]}
        for term, feature in enumerate(self.features, 1):
            found.setdefault(feature.factor or feature.name, []).append(term)
        return {factor: tuple(terms) for factor, terms in found.items()}

    @cached_property
    def declared(self) -> Mapping[str, frozenset[str]]:
        """Columns that each group computes, also those of other heads or left out."""
        return {group: frozenset(f.name for f in GROUPS[group].specs(self.context.schema)) for group in self.groups}

    def members(self) -> dict[str, tuple[str, ...]]:
        """Return the plan's features by group, groups in order."""
        listed = group_features(self.groups, self.context)
        return {group: tuple(f.name for f in features if f.name in self.names) for group, features in listed.items()}

    def only(self, names: tuple[str, ...]) -> Plan:
        """Return the plan with just these features, in the plan's order."""
        return Plan(self.context, self.groups, tuple(f for f in self.features if f.name in names))

    def fingerprint(self) -> str:
        """SHA-256 of everything that fixes the meaning of the columns; a bundle refuses code with another one.

        The sentence is part of it, since bundle and code answer together; who first defined the feature is not.
        """
        schema = asdict(self.context.schema)
        if self.context.schema.target != Target.CONVERTED:  # of leads alone: deals mean what they meant
            del schema["words"], schema["rated"]
        told = {
            "schema": schema,
            "shrink": self.context.shrink,
            "groups": self.groups,
            "features": [{k: v for k, v in asdict(f).items() if k != "source"} for f in self.features],
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def group_features(groups: tuple[str, ...], context: Context) -> Mapping[str, tuple[Feature, ...]]:
    """Return the features of each group that serve the schema's target."""
    return {
        name: tuple(f for f in GROUPS[name].specs(context.schema) if context.schema.target in f.targets)
        for name in groups
    }
