"""What each feature group costs and brings: seconds, share of the trees' gain, weight in the log-odds, ablation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from features.build import ALWAYS, FeatureMatrix
from models.base import Float
from models.close import CloseModel
from models.linear import TABLE as LINEAR_TABLE
from training.backtest import CLOSE, Keep, Progress, Tested, run_backtest
from training.evaluate import DealBootstrap, Interval, row_loss
from training.prepare import Prepared

TABLE = "stage_time_table"  # the offset's own column is of no group
LOOKED_AT = 2_000  # rows whose contributions are averaged


@dataclass(frozen=True)
class GroupFigures:
    """A group's figures. features: how many the model has of it. seconds: to build its columns for all rows once.

    gain: share 0-1 of the loss that the trees' splits won in training. contribution: mean size of the group's term in
    the log-odds, offset and trees together, over rows of the newest tested period. lost: log loss that the close model
    loses on the test rows without the group, None where that was not tried. NaN where a figure has no meaning.
    """

    name: str
    features: int
    seconds: float
    gain: float
    contribution: float
    lost: Interval | None


def group_figures(
    prepared: Prepared, tested: Tested, model: CloseModel, lost: Mapping[str, Interval | None]
) -> list[GroupFigures]:
    """Return the figures of each group for a fitted model, then those of the stage x time table."""
    members = prepared.plan.members()
    gain, weight = _gain(model, members), _contribution(model, members, newest_rows(prepared, tested))
    rows = [
        GroupFigures(
            group, len(names), prepared.seconds.get(group, np.nan), gain[group], weight[group], lost.get(group)
        )
        for group, names in members.items()
    ]
    return [*rows, GroupFigures(TABLE, 0, np.nan, np.nan, weight[TABLE], None)]


def metrics_of(figures: list[GroupFigures]) -> dict[str, float]:
    """Return the figures as MLflow takes them: ``seconds.<group>``, ``gain.<group>`` and so on."""
    told = {f"{key}.{row.name}": getattr(row, key) for row in figures for key in ("seconds", "gain", "contribution")}
    return told | {f"lost_without.{row.name}": row.lost.value for row in figures if row.lost is not None}


def without_groups(
    prepared: Prepared, tested: Tested, progress: Progress, keep: Keep | None = None
) -> dict[str, Interval]:
    """Return by how much the close model's log loss rises when the backtest is run again without each group.

    Same folds, seeds and settings; all is fitted anew, so each group costs about as much as the backtest did. The
    columns that the stage x time table needs stay; a group that has no others is not in the answer. keep: where
    finished folds are kept.
    """
    bootstrap = DealBootstrap.of(tested.deal, prepared.config.backtest.bootstrap, prepared.config.seed)
    ours = row_loss(tested.y, tested.p[CLOSE])
    always = ALWAYS[prepared.plan.context.schema.target]
    folds = replace(keep, models=False) if keep is not None else None
    lost = {}
    for group, members in prepared.plan.members().items():
        gone = set(members) - set(always)
        if not gone:
            continue
        progress(f"again without {group} ({len(gone)} features)")
        names = tuple(name for name in prepared.plan.names if name not in gone)
        without = run_backtest(narrowed(prepared, names), baselines={}, keep=folds)
        lost[group] = bootstrap.mean(row_loss(without.y, without.p[CLOSE]) - ours)
    return lost


def narrowed(prepared: Prepared, names: tuple[str, ...]) -> Prepared:
    """Return the same rows with only these features, in the plan's order, and without further ablations."""
    plan = prepared.plan.only(names)
    backtest = prepared.config.backtest.model_copy(update={"ablations": ()})
    config = prepared.config.model_copy(update={"backtest": backtest})
    return replace(prepared, config=config, plan=plan, examples=prepared.examples.select(plan.names))


def newest_rows(prepared: Prepared, tested: Tested) -> Float:
    """Draw at most 2,000 rows of the newest fold's test, float64[m, k]."""
    rows = tested.rows[tested.fold == tested.fold.max()]
    rng = np.random.default_rng(prepared.config.seed)
    some = np.sort(rng.choice(rows, size=min(LOOKED_AT, len(rows)), replace=False))
    return prepared.examples.take(some).matrix.values


def _gain(model: CloseModel, members: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    gain = model.trees.gain() if model.trees is not None else np.full(len(model.names), np.nan)
    total = gain.sum()
    by_name = dict(zip(model.names, gain / (total if total > 0 else np.nan), strict=True))
    return {group: float(sum(by_name[name] for name in names)) for group, names in members.items()}


def _contribution(model: CloseModel, members: Mapping[str, tuple[str, ...]], values: Float) -> dict[str, float]:
    factors, phi, _ = model.contributions(FeatureMatrix(model.names, values))
    place = {name: j for j, name in enumerate(factors)}
    sizes = {g: phi[:, [place[name] for name in names]].sum(axis=1) for g, names in members.items()}
    sizes[TABLE] = phi[:, place[LINEAR_TABLE]]
    return {group: float(np.abs(size).mean()) for group, size in sizes.items()}
