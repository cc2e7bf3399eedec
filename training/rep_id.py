"""The raw-rep-id ablation: what the close model would gain from knowing who owns the deal by name.

An id can't serve a new rep and can't be explained, so such a model is never shipped; it stands in the table as a
reference for the facts about reps that are features, which must come close to it. The id, as of the request, is a
categorical column of the trees beside all others; the ridge offset, the folds, the choice of the number of trees and
the calibration are those of the close model. One seed of it is compared with one seed of the close model.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from configs.vocab import Ablation
from features.asof import Requests
from features.build import FeatureMatrix
from models.base import Bool, Examples, Float
from models.close import CloseModel, CloseSettings, Shared, fit_close
from models.trees import first_seed
from training.cuts import Ground
from training.prepare import Prepared

COLUMN = "rep_id"
ABOUT_REPS = "rep_"  # the facts about the rep are the features with this prefix
ONE_SEED = "one_seed"
NAMES = {Ablation.REP_ID: "one_seed_with_rep_id", Ablation.REP_ID_ONLY: "one_seed_rep_id_only"}


@dataclass(frozen=True)
class RepIds:
    """The ids of a walk through time. code: float64[n] per prepared example, NaN where no owner is known.

    names: the columns beside the id, by ablation. shared: what fits at several cuts share, by ablation.
    """

    code: Float
    names: dict[Ablation, tuple[str, ...]]
    shared: dict[Ablation, Shared] = field(default_factory=dict)


def rep_ids(prepared: Prepared, shared: Shared) -> RepIds | None:
    """Return the owner of each example as of its as-of; None where there is none, or no such ablation is asked for.

    shared: that of the close model, whose offsets know no id and serve again.
    """
    every = prepared.plan.names
    wanted = {
        Ablation.REP_ID: every,
        Ablation.REP_ID_ONLY: tuple(name for name in every if not name.startswith(ABOUT_REPS)),
    }
    names = {kind: wanted[kind] for kind in wanted if kind in prepared.config.backtest.ablations}
    examples = prepared.examples
    owner = prepared.record.view(Requests(examples.deal, examples.as_of)).of("history").last("owner")
    if not names or not (owner >= 0).any():
        return None
    walks = {kind: _shared(shared, kind) for kind in names}
    return RepIds(np.where(owner >= 0, owner.astype(np.float64), np.nan), names, walks)


def _shared(shared: Shared, kind: Ablation) -> Shared:
    """Return what the walk with the id takes from the close model's: its offsets, where the columns are the same."""
    return Shared(shared.offsets, paths=shared.paths) if kind == Ablation.REP_ID else Shared()


def predict_references(
    prepared: Prepared, ground: Ground, model: CloseModel, ids: RepIds, test: Bool
) -> dict[str, Float]:
    """Return what one seed of the close model says of the test rows, and one seed of it for each ablation."""
    asked = prepared.examples.take(test)
    trees = first_seed(model.trees) if model.trees is not None else None
    out = {ONE_SEED: replace(model, trees=trees).predict(asked.matrix)}
    for kind, names in ids.names.items():
        rows = with_code(ground.rows.select(names), ids.code[ground.mask])
        settings = _settings(ground.settings, prepared.plan.names, names)
        fitted, _ = fit_close(rows, prepared.frame, settings, ground.inner, ground.cut, ids.shared[kind], ground.rung)
        out[NAMES[kind]] = fitted.predict(with_code(asked.select(names), ids.code[test]).matrix)
    return out


def with_code(rows: Examples, code: Float) -> Examples:
    """Return the rows with the id as their last column."""
    matrix = FeatureMatrix((*rows.matrix.names, COLUMN), np.column_stack([rows.matrix.values, code]))
    return replace(rows, matrix=matrix)


def _settings(settings: CloseSettings, every: tuple[str, ...], names: tuple[str, ...]) -> CloseSettings:
    """Return the settings of one seed with the id after these columns; an id rises or falls with nothing."""
    first = settings.members[0]
    sign = dict(zip(every, first.signs, strict=True))
    signs = (*(sign[name] for name in names), 0)
    member = replace(first, signs=signs, categorical=(len(names),))
    return replace(settings, seeds=settings.seeds[:1], members=(member,))
