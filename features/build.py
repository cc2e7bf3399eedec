"""`build_features`: the one path from the record to the columns, for training, batch files and the endpoint alike."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.vocab import LEAD_GROUPS
from features.asof import AsOfView, Requests
from features.chunks import CHUNK, answered
from features.order import total_order
from features.record import Record
from features.registry import GROUPS, Context, Plan, group_features

# Order of groups is order of columns. A new group: its module here.
GROUP_MODULES = (
    "deal", "clock", "velocity", "norms", "activity", "engagement", "people", "history", "habits", "targets",
    "lead", "lead_engagement", "lead_rates",
)  # fmt: skip

# What the stage x time table is made of: no plan is without them.
ALWAYS = {
    "in_period": ("stage_rank", "days_left"),
    "eventual": ("stage_rank", "days_open"),
    "converted": ("stage_rank", "days_open"),
}

_OF_DEALS = "the groups deal and clock"
GIVES = {"in_period": _OF_DEALS, "eventual": _OF_DEALS, "converted": "the group lead"}
"""Which groups they are in."""

Around = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True)
class FeatureMatrix:
    """values: float64[n, k], C order, NaN where a feature is missing; names: the k columns."""

    names: tuple[str, ...]
    values: NDArray[np.float64]

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one column, contiguous float64[n]."""
        return np.ascontiguousarray(self.values[:, self.names.index(name)])

    def take(self, rows: slice) -> FeatureMatrix:
        """Return some of the rows."""
        return FeatureMatrix(self.names, self.values[rows])

    def columns(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Return some columns, in this order, contiguous float64[n, len(names)]."""
        if names == self.names:
            return self.values
        return np.ascontiguousarray(self.values[:, [self.names.index(name) for name in names]])


def plan_features(context: Context, groups: Sequence[str] = GROUP_MODULES, drop: Sequence[str] = ()) -> Plan:
    """Return the plan of these groups without the dropped features; raises ConfigError for names that do not
    exist, or that are there twice.
    """
    load_groups()
    unknown = [name for name in groups if name not in GROUPS]
    if unknown:
        raise ConfigError(f"unknown feature group {unknown[0]!r}: expected some of {', '.join(GROUPS)}")
    listed = group_features(tuple(name for name in GROUP_MODULES if name in groups), context)
    chosen = tuple(name for name, of_target in listed.items() if of_target or name not in LEAD_GROUPS)
    features = [f for name in chosen for f in listed[name]]
    missing = [name for name in drop if name not in {f.name for f in features}]
    if missing:
        raise ConfigError(f"features.drop names {missing[0]!r}, which no chosen group has; see docs/features.md")
    kept = tuple(f for f in features if f.name not in drop)
    twice = sorted(name for name, count in Counter(f.name for f in kept).items() if count > 1)
    if twice:
        raise ConfigError(
            f"two features are called {twice[0]!r}: an attribute that the mapping declares has the name of a feature; "
            "give it another one, with column: for what the source calls it"
        )
    needed = [name for name in ALWAYS[context.schema.target] if name not in {f.name for f in kept}]
    if needed:
        raise ConfigError(
            f"features leaves out {needed[0]!r}, which the stage x time table needs: "
            f"keep {GIVES[context.schema.target]}, and take it out of features.drop"
        )
    return Plan(context, chosen, kept)


@cache
def load_groups() -> None:
    """Import every group module, which registers it."""
    for name in GROUP_MODULES:
        importlib.import_module(f"features.{name}")


def _nothing(_: str) -> AbstractContextManager[object]:
    return nullcontext()


def build_features(record: Record, requests: Requests, plan: Plan, around: Around = _nothing) -> FeatureMatrix:
    """Return the plan's columns for every request, in the requests' order; see `FeatureMatrix`.

    around: gives for a group's name what is entered while its columns are computed: training's stopwatch. It is entered
    by several threads at a time.
    """
    load_groups()
    # Deal after deal: what one request reads lies beside what the last one read.
    order = total_order(len(record.deal_ids), requests.deal, requests.as_of, None)
    values = answered(order, len(plan.features), lambda rows: _columns(record.view(requests.take(rows)), plan, around))
    return FeatureMatrix(plan.names, values)


def features_in(record: Record, view: AsOfView, plan: Plan) -> FeatureMatrix:
    """Return the columns of a view's requests, as `build_features` does; a view of few keeps what was looked up."""
    if len(view) > CHUNK:
        return build_features(record, view.requests, plan)
    load_groups()
    return FeatureMatrix(plan.names, np.ascontiguousarray(np.array(_columns(view, plan, _nothing)).T))


def _columns(view: AsOfView, plan: Plan, around: Around) -> list[NDArray[np.float64]]:
    found: dict[str, NDArray[np.float64]] = {}
    for group in plan.groups:
        with around(group):
            columns = GROUPS[group].compute(view, plan.context)
        if columns.keys() != plan.declared[group]:
            wrong = sorted(columns.keys() ^ plan.declared[group])
            raise ValueError(f"group {group!r} gave {wrong} more or fewer than it declares")
        found |= columns
    return [found[name] for name in plan.names]
