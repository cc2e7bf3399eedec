"""The close model: P(won by the end of this period), or P(won in the end) for an `eventual` head.

``log-odds = calibration(ridge offset + small trees)``. The offset is a ridge logistic regression whose main column is
the smoothed stage x time-left rate; LightGBM is boosted from it (`init_score`), a few leaves at a time, several seeds
averaged. Why: DESIGN.md section 4; the number of trees comes from the latest inner periods, so no figure of the test
period is ever used to choose anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from features.build import FeatureMatrix
from models.base import Bool, Examples, Float, Frame, clipped_logit, sigmoid
from models.calibrate import IDENTITY, Affine, calibrate
from models.linear import TABLE, Linear, fit_linear
from models.rounds import PATIENCE, Trial, choose_rounds, trials
from models.tables import RateTable, fit_stage_time
from models.trees import Member, Trees, TreeSettings, fit_members

GROWTH = 1.15  # the final fit has more rows than the inner ones, so it may have more trees
UNKNOWN_STAGE = "the stage is not known: scored from the table of rates by time alone"


@dataclass(frozen=True)
class InnerFold:
    """One older/newer cut inside the training rows: bool[n] masks. key: names its fit across calls, None: unshared."""

    fit: Bool
    judge: Bool
    key: int | None = None


@dataclass(frozen=True)
class Judged:
    """An inner fold under way: a trial per member on its older rows, and the offset's log-odds on the newer rows."""

    trials: tuple[Trial, ...]
    offset: Float


@dataclass
class Shared:
    """Fits that a walk through time would otherwise repeat: the offset of each cut, the trials of each inner fold.

    Valid only for one set of rows, one frame and one set of settings; the caller makes a new one for each. Trials may
    be grown further by each fit that takes them up; what they told before stays.
    """

    offsets: dict[int, Linear | RateTable] = field(default_factory=dict)
    judged: dict[int, Judged] = field(default_factory=dict)


@dataclass(frozen=True)
class CloseSettings:
    """How a close model is fitted. offset: "ridge" or "table". calibrate: "auto" or "none".

    members: configurations of trees; the model is the mean of them, each with its own number of trees. Seeds are dealt
    out to them in turn; where there are fewer seeds than members, those after the last one are used too.
    """

    members: tuple[TreeSettings, ...]
    offset: str
    calibrate: str
    max_rounds: int
    seeds: tuple[int, ...]

    def seeds_of(self, member: int) -> tuple[int, ...]:
        """Return the seeds of a member: i, i + m, i + 2m, ... of all."""
        count = len(self.members)
        more = range(self.seeds[-1] + 1, self.seeds[-1] + 1 + count - len(self.seeds))
        return (*self.seeds, *more)[member::count]


@dataclass(frozen=True)
class FitNotes:
    """What was chosen, and on what evidence.

    rounds: trees a seed; of several members their mean, rounded. member_rounds: of each. inner_rounds: the best number
    of the first member in each inner fold alone. inner_loss: log loss of each inner fold with the trees that were
    chosen (without what the final fit adds for its larger number of rows).
    """

    rounds: int
    inner_rounds: tuple[int, ...]
    inner_loss: tuple[float, ...]
    inner_offset_loss: tuple[float, ...]
    calibration: Affine
    member_rounds: tuple[int, ...] = ()


@dataclass(frozen=True)
class CloseModel:
    """A fitted close model. names: feature columns, in order. trees: None where no tree helped."""

    names: tuple[str, ...]
    offset: Linear | RateTable
    trees: Trees | None
    calibration: Affine = field(default=IDENTITY)

    def raw_offset(self, matrix: FeatureMatrix) -> Float:
        """Return the offset in log-odds, float64[n]."""
        return offset_logit(self.offset, matrix)

    def logit(self, matrix: FeatureMatrix) -> Float:
        """Return calibrated log-odds, float64[n]; rows whose stage is not known take the table's rate alone."""
        raw = self.raw_offset(matrix)
        if self.trees is not None:
            raw = raw + self.trees.logit(matrix)
        blind = self.blind(matrix)
        return np.where(blind, clipped_logit(self.table.predict(matrix)), self.calibration.apply(raw))

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the probability, float64[n]."""
        return sigmoid(self.logit(matrix))

    def blind(self, matrix: FeatureMatrix) -> Bool:
        """Return bool[n]: rows that are scored from the shrunken table because nothing is known of their stage."""
        return np.isnan(matrix.column("stage_rank"))

    @property
    def table(self) -> RateTable:
        """The stage x time table inside the offset."""
        return self.offset.table if isinstance(self.offset, Linear) else self.offset

    def contributions(self, matrix: FeatureMatrix) -> tuple[tuple[str, ...], Float, Float]:
        """Return (factor names, log-odds float64[n, f], base float64[n]): base + row sum = `logit`, to rounding.

        Factors are the features and the stage x time table, offset terms and trees added up.
        A blind row has its table term only.
        """
        names = (TABLE, *self.names)
        phi = np.zeros((len(matrix.values), len(names)))
        usual = float(clipped_logit(np.array([self.table.overall]))[0])
        told = clipped_logit(self.table.predict(matrix)) - usual
        if isinstance(self.offset, Linear):
            base = np.full(len(phi), self.offset.intercept)
            for j, (_, term) in enumerate(self.offset.terms(matrix)):
                phi[:, j] = term
        else:
            base = np.full(len(phi), usual)
            phi[:, 0] = told
        if self.trees is not None:
            shap = self.trees.contributions(matrix)
            phi[:, 1:] += shap[:, :-1]
            base += shap[:, -1]
        blind = self.blind(matrix)
        phi = np.where(blind[:, None], 0.0, phi * self.calibration.slope)
        phi[:, 0] = np.where(blind, told, phi[:, 0])
        return names, phi, np.where(blind, usual, self.calibration.apply(base))


def offset_logit(offset: Linear | RateTable, matrix: FeatureMatrix) -> Float:
    """Return the log-odds of either kind of offset, float64[n]."""
    return offset.logit(matrix) if isinstance(offset, Linear) else clipped_logit(offset.predict(matrix))


def fit_close(
    examples: Examples,
    frame: Frame,
    settings: CloseSettings,
    inner: Sequence[InnerFold],
    key: int | None = None,
    shared: Shared | None = None,
) -> tuple[CloseModel, FitNotes]:
    """Fit on all `examples`; `inner` folds, oldest first, decide the number of trees and the calibration.

    key: names these rows for `shared`, as an inner fold's key names its own; None shares nothing.
    """
    shared = shared or Shared()
    judged = [_judge(examples, frame, settings, fold, shared) for fold in inner]
    best = _best_rounds(judged, settings)
    news = [examples.take(fold.judge) for fold in inner]
    raws = [_raw(found, new, best) for found, new in zip(judged, news, strict=True)]
    calibration = IDENTITY
    if settings.calibrate == "auto" and inner:
        calibration = calibrate(
            np.concatenate(raws),
            np.concatenate([new.y for new in news]),
            np.concatenate([new.deal for new in news]),
            np.concatenate([_later_part(new, k, len(inner)) for k, new in enumerate(news)]),
            level=frame.target != "in_period",
        )
    offset = _fit_offset(examples, frame, settings, key, shared)
    chosen = tuple(round(GROWTH * rounds) for rounds in best)
    grown = None
    if any(chosen):
        members = [
            Member(own, rounds, settings.seeds_of(i))
            for i, (own, rounds) in enumerate(zip(settings.members, chosen, strict=True))
        ]
        grown = fit_members(examples, offset_logit(offset, examples.matrix), members)
    model = CloseModel(examples.matrix.names, offset, grown, calibration)
    notes = FitNotes(
        rounds=round(float(np.mean(chosen))),
        inner_rounds=tuple(int(np.argmin(found.trials[0].losses[: best[0] + PATIENCE + 1])) for found in judged),
        inner_loss=tuple(_loss(new.y, raw) for new, raw in zip(news, raws, strict=True)),
        inner_offset_loss=tuple(_loss(new.y, found.offset) for new, found in zip(news, judged, strict=True)),
        calibration=calibration,
        member_rounds=chosen,
    )
    return model, notes


def _judge(examples: Examples, frame: Frame, settings: CloseSettings, fold: InnerFold, shared: Shared) -> Judged:
    """Fit the offset on the older rows of an inner fold and set up a trial of each member's trees, with one seed."""
    if fold.key is not None and fold.key in shared.judged:
        return shared.judged[fold.key]
    old, new = examples.take(fold.fit), examples.take(fold.judge)
    offset = _fit_offset(old, frame, settings, fold.key, shared)
    before, after = offset_logit(offset, old.matrix), offset_logit(offset, new.matrix)
    members = [(own, settings.seeds_of(i)[0]) for i, own in enumerate(settings.members)]
    found = Judged(trials(old, before, new, after, members, level_free=frame.target == "in_period"), after)
    if fold.key is not None:
        shared.judged[fold.key] = found
    return found


def _best_rounds(judged: Sequence[Judged], settings: CloseSettings) -> tuple[int, ...]:
    """Return each member's number of trees; without an inner fold nothing shows that trees help, so there are none."""
    if not judged:
        return (0,) * len(settings.members)
    workers = settings.members[0].num_threads
    return tuple(
        choose_rounds([found.trials[i] for found in judged], settings.max_rounds, workers)
        for i in range(len(settings.members))
    )


def _raw(found: Judged, new: Examples, rounds: tuple[int, ...]) -> Float:
    """Return the log-odds of an inner fold's newer rows: the offset and the mean of its members, one seed of each."""
    total = found.offset.copy()
    for trial, count in zip(found.trials, rounds, strict=True):
        total += trial.logit(new.matrix, count) / len(rounds)
    return total


def _later_part(new: Examples, k: int, folds: int) -> Bool:
    """Mark the newer rows: the last fold, or the newer half of a single fold."""
    if folds > 1:
        return np.full(len(new), k == folds - 1)
    return new.as_of >= np.median(new.as_of)


def _fit_offset(
    examples: Examples, frame: Frame, settings: CloseSettings, key: int | None, shared: Shared
) -> Linear | RateTable:
    if key is not None and key in shared.offsets:
        return shared.offsets[key]
    codes = settings.members[0].categorical
    if codes:  # a code is no number: trees alone may use it
        names = examples.matrix.names
        examples = examples.select(tuple(name for j, name in enumerate(names) if j not in codes))
    fitted = fit_linear(examples, frame) if settings.offset == "ridge" else fit_stage_time(examples, frame)
    if key is not None:
        shared.offsets[key] = fitted
    return fitted


def _loss(y: Float, raw: Float) -> float:
    return float(np.mean(np.logaddexp(0.0, raw) - y * raw))
