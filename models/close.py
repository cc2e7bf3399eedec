"""The close model: P(won by the end of this period), or P(won in the end) for an `eventual` head.

``log-odds = calibration(ridge offset + small trees)``. The offset is a ridge logistic regression whose main column is
the smoothed stage x time-left rate; LightGBM is boosted from it (`init_score`), a few leaves at a time, several seeds
averaged. Why: DESIGN.md section 4; how far the trees are trusted comes from the latest inner periods, so no figure of
the test period is ever used to choose anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from features.build import FeatureMatrix
from models.base import Bool, Examples, Float, Frame, Int, clipped_logit, sigmoid
from models.calibrate import IDENTITY, Affine, calibrate
from models.ladder import TABLE_RUNG, TREES_RUNG, Doubt, doubt_of
from models.linear import TABLE, Linear, fit_linear
from models.penalty import best_penalty, path_losses
from models.rounds import Trial, Trust, trials, trust
from models.tables import RateCurve, RateTable, fit_cold_start, fit_stage_curve
from models.trees import Member, Trees, TreeSettings, fit_members

RIDGE = "ridge"
PARTS = 5  # of the deals, where no period can judge the penalty
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

    Both by cut and penalty of the ridge; paths: what each inner fold says of every penalty.

    Valid only for one set of rows, one frame and one set of settings; the caller makes a new one for each. Trials may
    be grown further by each fit that takes them up; what they told before stays.
    """

    offsets: dict[tuple[int, float], Linear | RateTable | RateCurve] = field(default_factory=dict)
    judged: dict[tuple[int, float], Judged] = field(default_factory=dict)
    paths: dict[int, Float] = field(default_factory=dict)


@dataclass(frozen=True)
class CloseSettings:
    """How a close model is fitted. offset: "ridge" or "table". calibrate: "auto" or "none".

    penalty: of the ridge, in rows; None: chosen on the inner folds, see `models.penalty`.

    members: configurations of trees; the model is the mean of them, each with its own number of trees. Seeds are dealt
    out to them in turn; where there are fewer seeds than members, those after the last one are used too.
    """

    members: tuple[TreeSettings, ...]
    offset: str
    calibrate: str
    max_rounds: int
    seeds: tuple[int, ...]
    penalty: float | None = None

    @property
    def ridge(self) -> float:
        """The penalty of the ridge; 0 where there is none or it is not chosen yet."""
        return self.penalty or 0.0

    def seeds_of(self, member: int) -> tuple[int, ...]:
        """Return the seeds of a member: i, i + m, i + 2m, ... of all."""
        count = len(self.members)
        more = range(self.seeds[-1] + 1, self.seeds[-1] + 1 + count - len(self.seeds))
        return (*self.seeds, *more)[member::count]


@dataclass(frozen=True)
class Later:
    """What inner folds said of rows that they had not seen. rows: int64[m], places in the examples; p: float64[m]."""

    rows: Int
    p: Float


@dataclass(frozen=True)
class FitNotes:
    """What was chosen, and on what evidence.

    rounds: trees a seed, the most of any member. trust: number of trees and share of each member, see `models.rounds`.
    inner_loss: log loss of each inner fold with the trees that were chosen, inner_offset_loss: without any.
    rung: see `models.ladder`. penalty: of the ridge, in rows; 0 where there is no ridge. later: None on the cold-start
    rung, and in what was read back.
    """

    rounds: int
    inner_loss: tuple[float, ...]
    inner_offset_loss: tuple[float, ...]
    calibration: Affine
    trust: tuple[Trust, ...] = ()
    rung: str = TREES_RUNG
    doubt: Doubt | None = None
    penalty: float = 0.0
    later: Later | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class CloseModel:
    """A fitted close model. names: feature columns, in order. trees: None where no tree helped.

    rung: what its training rows could carry, see `models.ladder`. doubt: None where it was not told.
    """

    names: tuple[str, ...]
    offset: Linear | RateTable | RateCurve
    trees: Trees | None
    calibration: Affine = field(default=IDENTITY)
    rung: str = TREES_RUNG
    doubt: Doubt | None = None

    def raw_offset(self, matrix: FeatureMatrix) -> Float:
        """Return the offset in log-odds, float64[n]."""
        return offset_logit(self.offset, matrix)

    def logit(self, matrix: FeatureMatrix) -> Float:
        """Return calibrated log-odds, float64[n]; rows whose stage is not known take the table's rate alone."""
        raw = self.raw_offset(matrix)
        if self.trees is not None:
            raw = raw + self.trees.logit(matrix)
        told, blind = self.calibration.apply(raw), self.blind(matrix)
        return np.where(blind, clipped_logit(self.table.predict(matrix)), told) if blind.any() else told

    def predict(self, matrix: FeatureMatrix) -> Float:
        """Return the probability, float64[n]."""
        return sigmoid(self.logit(matrix))

    def blind(self, matrix: FeatureMatrix) -> Bool:
        """Return bool[n]: rows that are scored from the shrunken table because nothing is known of their stage."""
        return np.isnan(matrix.column("stage_rank"))

    @property
    def table(self) -> RateTable | RateCurve:
        """The stage x time table inside the offset."""
        return self.offset.table if isinstance(self.offset, Linear) else self.offset

    def contributions(self, matrix: FeatureMatrix) -> tuple[tuple[str, ...], Float, Float]:
        """Return (factor names, log-odds float64[n, f], base float64[n]): base + row sum = `logit`, to rounding.

        Factors are the features and the stage x time table, offset terms and trees added up.
        A blind row has its table term only.
        """
        names = (TABLE, *self.names)
        usual = float(clipped_logit(np.array([self.table.overall]))[0])
        log_odds = clipped_logit(self.table.predict(matrix))
        told = log_odds - usual
        if isinstance(self.offset, Linear):
            base = np.full(len(told), self.offset.intercept)
            phi = self.offset.terms(matrix, log_odds)
        else:
            base = np.full(len(told), usual)
            phi = np.zeros((len(told), len(names)))
            phi[:, 0] = told
        if self.trees is not None:
            shap = self.trees.contributions(matrix)
            phi[:, 1:] += shap[:, :-1]
            base += shap[:, -1]
        blind = self.blind(matrix)
        phi = np.where(blind[:, None], 0.0, phi * self.calibration.slope)
        phi[:, 0] = np.where(blind, told, phi[:, 0])
        return names, phi, np.where(blind, usual, self.calibration.apply(base))


def offset_logit(offset: Linear | RateTable | RateCurve, matrix: FeatureMatrix) -> Float:
    """Return the log-odds of either kind of offset, float64[n]."""
    return offset.logit(matrix) if isinstance(offset, Linear) else clipped_logit(offset.predict(matrix))


def fit_close(
    examples: Examples,
    frame: Frame,
    settings: CloseSettings,
    inner: Sequence[InnerFold],
    key: int | None = None,
    shared: Shared | None = None,
    rung: str = TREES_RUNG,
) -> tuple[CloseModel, FitNotes]:
    """Fit on all `examples`; `inner` folds, oldest first, decide the number of trees and the calibration.

    On the rungs below trees they only tell how wide the doubt is.
    key: names these rows for `shared`, as an inner fold's key names its own; None shares nothing.
    """
    shared = shared or Shared()
    if rung != TREES_RUNG:
        return _fit_low(examples, frame, settings, inner, key, shared, rung)
    settings = _with_penalty(examples, frame, settings, inner, shared)
    judged = [_judge(examples, frame, settings, fold, shared) for fold in inner]
    news = [examples.take(fold.judge) for fold in inner]
    best = _trust(judged, news, settings)
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
    grown = None
    if any(each.rounds for each in best):
        members = [
            Member(own, each.rounds, settings.seeds_of(i), each.share)
            for i, (own, each) in enumerate(zip(settings.members, best, strict=True))
        ]
        grown = fit_members(examples, offset_logit(offset, examples.matrix), members)
    told = [calibration.apply(raw) for raw in raws]
    doubt = _doubt(examples, news, told)
    model = CloseModel(examples.matrix.names, offset, grown, calibration, rung, doubt)
    notes = FitNotes(
        rounds=max(each.rounds for each in best),
        inner_loss=tuple(_loss(new.y, raw) for new, raw in zip(news, raws, strict=True)),
        inner_offset_loss=tuple(_loss(new.y, found.offset) for new, found in zip(news, judged, strict=True)),
        calibration=calibration,
        trust=best,
        rung=rung,
        doubt=doubt,
        penalty=settings.ridge,
        later=_later(inner, told),
    )
    return model, notes


def _fit_low(
    examples: Examples,
    frame: Frame,
    settings: CloseSettings,
    inner: Sequence[InnerFold],
    key: int | None,
    shared: Shared,
    rung: str,
) -> tuple[CloseModel, FitNotes]:
    """Fit a rung below the trees: the cold-start table, which nothing shares, or the offset alone, uncalibrated."""
    names = examples.matrix.names
    if rung == TABLE_RUNG:
        doubt = _doubt(examples, [], [])
        model = CloseModel(names, fit_cold_start(examples, frame), None, IDENTITY, rung, doubt)
        return model, FitNotes(0, (), (), IDENTITY, (), rung, doubt)
    news, raws = [], []
    settings = _with_penalty(examples, frame, settings, inner, shared)
    for fold in inner:
        news.append(examples.take(fold.judge))
        older = _fit_offset(examples.take(fold.fit), frame, settings, fold.key, shared)
        raws.append(offset_logit(older, news[-1].matrix))
    doubt = _doubt(examples, news, raws)
    model = CloseModel(names, _fit_offset(examples, frame, settings, key, shared), None, IDENTITY, rung, doubt)
    losses = tuple(_loss(new.y, raw) for new, raw in zip(news, raws, strict=True))
    return model, FitNotes(0, losses, losses, IDENTITY, (), rung, doubt, settings.ridge, _later(inner, raws))


def _later(inner: Sequence[InnerFold], told: Sequence[Float]) -> Later:
    """Return what was said of the newer rows of all inner folds, told: log-odds of each."""
    rows = [np.flatnonzero(fold.judge) for fold in inner]
    none = np.zeros(0)
    return Later(np.concatenate([none.astype(np.int64), *rows]), sigmoid(np.concatenate([none, *told])))


def _doubt(examples: Examples, news: Sequence[Examples], raws: Sequence[Float]) -> Doubt:
    """Tell the doubt from the deals won in training and from what out-of-time log-odds said of newer rows."""
    won = len(np.unique(examples.deal[examples.y > 0]))
    return doubt_of(won, [float(new.y.sum()) for new in news], [float(sigmoid(raw).sum()) for raw in raws])


def _judge(examples: Examples, frame: Frame, settings: CloseSettings, fold: InnerFold, shared: Shared) -> Judged:
    """Fit the offset on the older rows of an inner fold and set up a trial of each member's trees, with one seed."""
    if fold.key is not None and (fold.key, settings.ridge) in shared.judged:
        return shared.judged[fold.key, settings.ridge]
    old, new = examples.take(fold.fit), examples.take(fold.judge)
    offset = _fit_offset(old, frame, settings, fold.key, shared)
    before, after = offset_logit(offset, old.matrix), offset_logit(offset, new.matrix)
    members = [(own, settings.seeds_of(i)[0]) for i, own in enumerate(settings.members)]
    found = Judged(trials(old, before, new, after, members, level_free=frame.target == "in_period"), after)
    if fold.key is not None:
        shared.judged[fold.key, settings.ridge] = found
    return found


def _trust(judged: Sequence[Judged], news: Sequence[Examples], settings: CloseSettings) -> tuple[Trust, ...]:
    """Return how far each member is trusted; without an inner fold nothing shows that trees help, so not at all."""
    if not judged:
        return (Trust(),) * len(settings.members)
    workers, newer = settings.members[0].num_threads, [new.matrix for new in news]
    return tuple(
        trust([found.trials[i] for found in judged], newer, own.learning_rate, settings.max_rounds, workers)
        for i, own in enumerate(settings.members)
    )


def _raw(found: Judged, new: Examples, best: tuple[Trust, ...]) -> Float:
    """Return the log-odds of an inner fold's newer rows: the offset and the mean of its members, one seed of each."""
    total = found.offset.copy()
    for trial, each in zip(found.trials, best, strict=True):
        if each.rounds:
            total += each.share / len(best) * trial.logit(new.matrix, each.rounds)
    return total


def _later_part(new: Examples, k: int, folds: int) -> Bool:
    """Mark the newer rows: the last fold, or the newer half of a single fold."""
    if folds > 1:
        return np.full(len(new), k == folds - 1)
    return new.as_of >= np.median(new.as_of)


def _fit_offset(
    examples: Examples, frame: Frame, settings: CloseSettings, key: int | None, shared: Shared
) -> Linear | RateTable | RateCurve:
    if key is not None and (key, settings.ridge) in shared.offsets:
        return shared.offsets[key, settings.ridge]
    examples = _without_codes(examples, settings)
    ridge = settings.offset == RIDGE
    fitted = fit_linear(examples, frame, settings.ridge) if ridge else fit_stage_curve(examples, frame)
    if key is not None:
        shared.offsets[key, settings.ridge] = fitted
    return fitted


def _with_penalty(
    examples: Examples, frame: Frame, settings: CloseSettings, inner: Sequence[InnerFold], shared: Shared
) -> CloseSettings:
    """Return the settings with the penalty of the ridge that serves the inner folds best, where none is given.

    Without an inner fold, parts of the deals stand in: they tell how much is noise, if not how much drifts.
    """
    if settings.penalty is not None or settings.offset != RIDGE:
        return settings
    known = _without_codes(examples, settings)
    losses = []
    for fold in inner or by_deal(examples):
        found = shared.paths.get(fold.key) if fold.key is not None else None
        if found is None:
            found = path_losses(known.take(fold.fit), known.take(fold.judge), frame)
        if fold.key is not None:
            shared.paths[fold.key] = found
        losses.append(found)
    return replace(settings, penalty=best_penalty(losses))


def by_deal(examples: Examples) -> list[InnerFold]:
    """Return folds that judge a part of the deals by all others; none where a side would lack an outcome."""
    part = np.unique(examples.deal, return_inverse=True)[1] % PARTS
    folds = [InnerFold(part != k, part == k) for k in range(PARTS)]
    sides = [examples.y[side] for fold in folds for side in (fold.fit, fold.judge)]
    return folds if all(0 < y.sum() < len(y) for y in sides) else []


def _without_codes(examples: Examples, settings: CloseSettings) -> Examples:
    """Return the columns that a ridge may use: a code is no number, trees alone may use it."""
    codes = settings.members[0].categorical
    names = examples.matrix.names
    return examples.select(tuple(name for j, name in enumerate(names) if j not in codes)) if codes else examples


def _loss(y: Float, raw: Float) -> float:
    return float(np.mean(np.logaddexp(0.0, raw) - y * raw))
