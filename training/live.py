"""The candidate against the model that is live, like with like, on the candidate's own frozen backtest.

The shipped fit of the live model has seen the test periods, so its answers there say nothing. What is compared is what
the two configs make of the same past: the live model's settings are fitted at the same cuts, on the same rows, and
judged on the same test rows. An old fit is thereby never held against a fresh one, and a worse config is not published
because the good one is old. Where the live model was trained before a test period began its own answers are honest
there, and the candidate must not be clearly worse than those either.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from configs.errors import BundleError, ForecastleError
from configs.learning import Gates
from configs.load import read_recorded
from configs.schema import Config
from features.build import FeatureMatrix
from features.ingest import Ingest
from models.base import Float, Int
from models.bundle import Bundle, load
from models.close import CloseModel
from training.backtest import CLOSE, Tested, run_backtest
from training.clustered import mean
from training.evaluate import row_loss
from training.gates import EVEN, Verdict, at_most, not_below, reported
from training.prepare import Prepared, frame_of, prepare

MODEL_SECTIONS = ("seed", "features", "model", "training")
"""The sections of a config that say how a model is fitted; all else belongs to the rows and folds, which are shared."""
SETTINGS = "log loss lost against the settings of live, nats a row"
ITSELF = "log loss gained over live itself on periods it had not seen, nats a row"
RANKS = "rank correlation of mean |log-odds| by factor with live"
SURE = 0.95
LOOKED_AT = 2_000


@dataclass(frozen=True)
class Live:
    """The model that is live. config: what it was trained with, None where nobody recorded it."""

    bundle: Bundle
    config: Config | None


def find_live(folder: Path, told: Path) -> Live | str:
    """Load the live bundle and its recorded config; a text where it can't be used, which says why.

    told: what `train` told of it, which `promote` puts beside it.
    """
    try:
        bundle = load(folder)
    except BundleError as error:
        return f"the live model can't be loaded: {error}"
    try:
        return Live(bundle, read_recorded(json.loads(told.read_bytes())["config"]))
    except (ForecastleError, OSError, ValueError, KeyError, TypeError):
        return Live(bundle, None)


def against_live(
    gates: Gates, live: Live, prepared: Prepared, tested: Tested, ingest: Ingest, say: Callable[[str], None]
) -> list[Verdict]:
    """Return the verdicts of a candidate's backtest against the live model."""
    if gates.not_worse_than_live is None:
        return []
    if live.config is None:
        note = "its config was not recorded, or this version can't read it"
        return [reported(SETTINGS, None, f"not compared: {note}")]
    try:
        theirs = as_live(live.config, prepared, ingest)
        settings = _settings(gates.not_worse_than_live, theirs, prepared, tested, say)
    except ForecastleError as error:
        return [reported(SETTINGS, None, f"not compared: {str(error).partition(chr(10))[0]}")]
    itself = _itself(gates.not_worse_than_live, live.bundle, theirs, prepared, tested)
    return [settings, *itself]


def as_live(config: Config, prepared: Prepared, ingest: Ingest) -> Prepared:
    """Return the candidate's rows as the live model's settings would see them; the same object where they agree."""
    ours = prepared.config
    if all(getattr(config, name) == getattr(ours, name) for name in MODEL_SECTIONS):
        return prepared
    theirs = ours.model_copy(
        update={name: getattr(config, name) for name in MODEL_SECTIONS}
        | {"backtest": ours.backtest.model_copy(update={"ablations": ()})}
    )
    if theirs.features != ours.features or theirs.training != ours.training:
        return prepare(theirs, ingest, prepared.until)
    return replace(prepared, config=theirs, frame=frame_of(theirs, prepared.frame.stage_count))


def _settings(
    tolerance: float, theirs: Prepared, prepared: Prepared, tested: Tested, say: Callable[[str], None]
) -> Verdict:
    """Hold the candidate against the live settings fitted at the same cuts; the same settings need no second fit."""
    if theirs is prepared:
        return at_most(SETTINGS, 0.0, tolerance, "the same settings, fitted on newer data")
    say("against live: its settings are fitted at the same cuts")
    other = run_backtest(theirs, say, baselines={})
    by_row = np.full(len(theirs.examples), np.nan)
    by_row[other.rows] = other.p[CLOSE]
    p = np.append(by_row, np.nan)[rows_in(theirs, prepared, tested.rows)]
    both = ~np.isnan(p)
    if not both.any():
        return reported(SETTINGS, None, "not compared: its settings lead to other rows")
    lost = mean(row_loss(tested.y, tested.p[CLOSE])[both] - row_loss(tested.y, p)[both], tested.deal[both])
    return replace(at_most(SETTINGS, lost.value, tolerance), low=lost.low, high=lost.high)


def _itself(tolerance: float, live: Bundle, theirs: Prepared, prepared: Prepared, tested: Tested) -> list[Verdict]:
    """Hold the candidate against what live itself says of periods that began after it was trained."""
    later = [k for k, fold in enumerate(tested.folds) if fold.cut >= live.about.trained_as_of]
    unseen = np.isin(tested.fold, later)
    if not unseen.any() or theirs.plan.fingerprint() != live.about.plan_fingerprint:
        return []
    rows = rows_in(theirs, prepared, tested.rows[unseen])
    both = rows >= 0
    if not both.any() or theirs.record.stages != live.about.stages:
        return []
    part = tested.take(unseen).take(both)
    p = live.model.predict(theirs.examples.take(rows[both]).matrix)
    gain = mean(row_loss(part.y, p) - row_loss(part.y, part.p[CLOSE]) + EVEN, part.deal)
    return [not_below(ITSELF, gain, -tolerance, SURE, f"{len(later)} period(s)")]


def rows_in(theirs: Prepared, prepared: Prepared, rows: Int) -> Int:
    """Return where each of our rows stands among theirs, by deal and instant; -1 where it does not."""
    if theirs is prepared:
        return rows
    place = {key: k for k, key in enumerate(_keys(theirs, np.arange(len(theirs.examples))))}
    return np.array([place.get(key, -1) for key in _keys(prepared, rows)], dtype=np.int64)


def _keys(prepared: Prepared, rows: Int) -> list[tuple[int, int]]:
    asked = prepared.examples
    return list(zip(asked.deal[rows].tolist(), asked.as_of[rows].tolist(), strict=True))


def factor_ranks(candidate: CloseModel, live: CloseModel, values: dict[str, Float]) -> float:
    """Return the Spearman correlation of the factors' mean |log-odds| in two models over the same rows.

    values: float64[n] by feature name. A factor that one of the models does not have counts nothing there; NaN with
    fewer than three factors.
    """
    sizes = [_sizes(model, values) for model in (candidate, live)]
    names = sorted({*sizes[0], *sizes[1]})
    ours, theirs = (_ranked(np.array([size.get(name, 0.0) for name in names])) for size in sizes)
    if len(names) < 3 or not ours.std() or not theirs.std():
        return float("nan")
    return float(np.mean((ours - ours.mean()) * (theirs - theirs.mean())) / (ours.std() * theirs.std()))


def _sizes(model: CloseModel, values: dict[str, Float]) -> dict[str, float]:
    matrix = FeatureMatrix(model.names, np.ascontiguousarray(np.stack([values[n] for n in model.names], axis=1)))
    names, phi, _ = model.contributions(matrix)
    return dict(zip(names, np.abs(phi).mean(axis=0).tolist(), strict=True))


def _ranked(values: Float) -> Float:
    """Return ranks 1 to n, ties sharing their mean."""
    _, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared: Float = ends - (counts - 1) / 2
    return shared[code]


def rank_verdict(gates: Gates, candidate: Bundle, live: Live, prepared: Prepared, tested: Tested) -> list[Verdict]:
    """Return the rank correlation with live on rows of the newest tested period, as a figure to know."""
    rows = tested.rows[tested.fold == tested.fold.max()]
    rng = np.random.default_rng(prepared.config.seed)
    some = np.sort(rng.choice(rows, size=min(LOOKED_AT, len(rows)), replace=False))
    matrix = prepared.examples.take(some).matrix
    values = dict(zip(matrix.names, matrix.values.T, strict=True))
    if gates.not_worse_than_live is None or not set(live.bundle.model.names) <= set(values):
        return []
    return [reported(RANKS, factor_ranks(candidate.model, live.bundle.model, values))]
