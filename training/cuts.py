"""A fit as production would have made it at a cut: on every row told by then, inner folds deciding what to choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.learning import Model
from configs.load import tuned_members
from configs.tuned import Member
from configs.vocab import Target
from features.record import Record
from models.base import Bool, Examples, Int
from models.close import CloseModel, CloseSettings, FitNotes, InnerFold, Shared, fit_close
from models.ladder import TABLE_RUNG, TREES_RUNG, rung_of
from models.trees import TreeSettings
from training.prepare import Prepared, trainable
from training.splits import before_embargo, inner_created_folds, inner_period_folds


@dataclass(frozen=True)
class Ground:
    """What a fit at a cut stands on. mask: bool[n] of the prepared examples; rows: those; inner: folds inside rows.

    won, lost: deals among the rows that had closed so before the cut; of leads see `told_of`.
    rung: what they carry, see `models.ladder`.
    """

    cut: int
    mask: Bool
    rows: Examples
    inner: list[InnerFold]
    settings: CloseSettings
    rung: str = TREES_RUNG
    won: int = 0
    lost: int = 0


def close_settings(
    model: Model, plan_signs: tuple[int, ...], seed: int, tuned: tuple[Member, ...] = ()
) -> CloseSettings:
    """Translate the config's model section; tuned: the settings of `model.tuned`, which stand in for its own."""
    members = tuple(tree_settings(each, model.num_threads, plan_signs) for each in tuned or (model,))
    seeds = tuple(seed + k for k in range(model.seeds))
    return CloseSettings(members, str(model.offset), str(model.calibrate), model.max_rounds, seeds, model.ridge_penalty)


def tree_settings(told: Model | Member, threads: int, plan_signs: tuple[int, ...]) -> TreeSettings:
    """Translate settings of the trees."""
    return TreeSettings(
        told.num_leaves,
        told.min_data_in_leaf,
        told.learning_rate,
        told.feature_fraction,
        told.bagging_fraction,
        told.lambda_l2,
        told.path_smooth,
        threads,
        plan_signs,
    )


def signs_of(prepared: Prepared) -> tuple[int, ...]:
    """Return the sign that each feature's effect is held to, 0 where it is free."""
    return tuple(feature.sign for feature in prepared.plan.features)


def ground_at(prepared: Prepared, cut: int, embargo_days: int = 0) -> Ground:
    """Return what a fit at `cut` stands on, however little that is.

    embargo_days: rows of so many last days before the cut are left out.
    """
    mask = trainable(prepared, cut) & before_embargo(prepared.examples.as_of, cut, embargo_days)
    rows = prepared.examples.take(mask)
    leads = prepared.config.target == Target.CONVERTED
    won, lost = told_of(rows) if leads else closed_before(prepared.record, rows.deal, cut)
    rung = rung_of(won, lost) if 0 < rows.y.sum() < len(rows) else TABLE_RUNG
    if prepared.config.target == Target.IN_PERIOD:
        inner = inner_period_folds(prepared.calendar, rows, cut)
    else:
        inner = inner_created_folds(rows, prepared.created[mask])
    config = prepared.config
    settings = close_settings(config.model, signs_of(prepared), config.seed, tuned_members(config))
    return Ground(cut, mask, rows, inner, settings, rung, won, lost)


def fit_on(prepared: Prepared, ground: Ground, shared: Shared | None = None) -> tuple[CloseModel, FitNotes]:
    """Fit the close model; returns it and what was chosen."""
    # A cut names the rows told by it, so walks through the same rows need each cut's fits once.
    return fit_close(ground.rows, prepared.frame, ground.settings, ground.inner, ground.cut, shared, ground.rung)


def told_of(rows: Examples) -> tuple[int, int]:
    """Return how many leads converted within the window of a row of theirs, and how many within none.

    Most leads that come to nothing are never closed; that their windows are over is what tells of them.
    """
    converted = len(np.unique(rows.deal[rows.y > 0]))
    return converted, len(np.unique(rows.deal)) - converted


def closed_before(record: Record, deal: Int, cut: int) -> tuple[int, int]:
    """Return how many of these deals (codes, repeats allowed) stood won and lost just before `cut`, for the last time.

    A deal that was merged away counts as neither.
    """
    history = record.timelines["history"]
    ended = history.mask("closed") & ~history.mask("merged") & (history.known_at < cut)
    last = np.full(len(history.start) - 1, -1)
    last[history.entity[ended]] = np.flatnonzero(ended)  # in order of time: the last one stays
    row = last[np.unique(deal)]
    won = int(history.mask("won")[row[row >= 0]].sum())
    return won, int((row >= 0).sum()) - won
