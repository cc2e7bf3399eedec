"""Backtest: fit as production would have at each cut, judge on what came later, beside every baseline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from time import perf_counter
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, TooLittleDataError
from configs.load import config_hash, mapping_of
from configs.schema import Config
from configs.subject import Subject
from configs.vocab import Target
from features.build import FeatureMatrix
from models.amount import AmountModel
from models.base import Examples, Fit, Float, Int
from models.baselines import BASELINES, OF_FACTS, RIDGE, STAGE_TIME, lacking
from models.close import CloseModel, FitNotes, Shared
from models.linear import Linear
from training.amount_fit import try_amount
from training.cuts import Ground, fit_on, ground_at
from training.evaluate import DealBootstrap, Interval, Scores, row_loss, scores
from training.fit import make_bundle
from training.prepare import Prepared
from training.rep_id import NAMES, ONE_SEED, RepIds, predict_references, rep_ids
from training.splits import Fold, before_embargo, created_folds, cut_fold, period_folds
from training.walk import Piece, Walk, key_of, revived

CLOSE = "close"
REFERENCES = {ONE_SEED: CLOSE, **dict.fromkeys(NAMES.values(), ONE_SEED)}
"""Rows of the table that nobody ships, each with the row whose gain over it is told; no gate asks about them."""

Progress = Callable[[str], None]
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Tested:
    """Test rows of all folds: p[name] float64[n] per model, y, deal, as_of, fold int64[n] into `folds`.

    newest: the close model of the last fold. extra: float64[n] columns of other heads, tables: float64
    columns of rows of their own (forecasts of nodes), see `run_backtest`.
    """

    folds: tuple[Fold, ...]
    rows: Int
    y: Float
    deal: Int
    as_of: Int
    fold: Int
    p: dict[str, Float]
    notes: tuple[FitNotes, ...]
    newest: CloseModel | None = None
    extra: dict[str, Float] = field(default_factory=dict)
    tables: dict[str, Float] = field(default_factory=dict)

    def take(self, mask: NDArray[np.bool_]) -> Tested:
        """Return some of the test rows; tables of other rows stay whole."""
        p, extra = ({name: values[mask] for name, values in part.items()} for part in (self.p, self.extra))
        rows, deal, as_of, fold = (part[mask] for part in (self.rows, self.deal, self.as_of, self.fold))
        return Tested(self.folds, rows, self.y[mask], deal, as_of, fold, p, self.notes, self.newest, extra, self.tables)


@dataclass(frozen=True)
class Comparison:
    """One model's scores and how much log loss `against` gains over it, with a deal-clustered interval.

    against: the close model; for a reference, the model that is fitted as the reference is.
    """

    name: str
    scores: Scores
    gain: Interval | None
    against: str = CLOSE
    reference: bool = False


def folds_of(prepared: Prepared) -> list[Fold]:
    """Return the test folds of the config, each purged, and with the embargo that the config asks for.

    A fold that has nothing to train on or nothing to test tells nothing and is left out.
    """
    days, as_of = prepared.config.backtest.embargo_days, prepared.examples.as_of
    folds = [replace(fold, train=fold.train & before_embargo(as_of, fold.cut, days)) for fold in _purged(prepared)]
    return [fold for fold in folds if fold.train.any() and fold.test.any()]


def untestable(prepared: Prepared) -> str:
    """Return why no fold of the config can tell anything, "" where one can."""
    folds = folds_of(prepared)
    if not folds:
        many = Subject.of(prepared.config.target).many
        expected = (
            "at least one complete period after the first told rows"
            if prepared.config.target == Target.IN_PERIOD
            else f"rows told before the cut, and {many} begun after it whose outcome is told"
        )
        return f"no test fold: expected {expected}"
    rows = np.any([fold.test for fold in folds], axis=0)
    won = int(prepared.told_y[rows].sum())
    if won in (0, rows.sum()):
        words = Subject.of(prepared.config.target)
        return f"nothing to tell apart: of {int(rows.sum()):,} test rows {'all' if won else 'none'} {words.won} in time"
    return ""


def _purged(prepared: Prepared) -> list[Fold]:
    config, rows = prepared.config, prepared.examples
    if config.target == Target.IN_PERIOD:
        return period_folds(prepared.calendar, rows.as_of, rows.label_end, prepared.until, config.backtest.test_periods)
    if config.target == Target.CONVERTED and config.backtest.test_from is None:
        told = prepared.told_end <= prepared.until
        return created_folds(rows.label_end, prepared.created, config.backtest.test_periods, told)
    cut = _test_from(config, prepared)
    return [
        cut_fold(
            f"begun after {config.backtest.test_from or 'the newest quarter of deals'}",
            cut,
            prepared.created,
            rows.label_end,
            prepared.told_end,
            prepared.until,
        )
    ]


def _test_from(config: Config, prepared: Prepared) -> int:
    """The fixed cut: the config's, else the creation time of the newest quarter of the deals."""
    if config.backtest.test_from is not None:
        return round(config.backtest.test_from.timestamp() * 1_000_000)
    _, first = np.unique(prepared.examples.deal, return_index=True)
    return int(np.quantile(prepared.created[first], 0.75))


@dataclass(frozen=True)
class AtCut:
    """What another head is fitted on at a fold's cut. rows: int64[m], test rows; p: float64[m], the close model's."""

    prepared: Prepared
    ground: Ground
    close: CloseModel
    notes: FitNotes
    rows: Int
    p: Float

    @cached_property
    def amount(self) -> AmountModel | None:
        """The amount head at the cut, fitted once for all who ask; None where too few deals were won."""
        return try_amount(self.prepared, self.ground.cut)[0]


Extra = Callable[[AtCut], Mapping[str, Float]]
"""Another head in the walk: fits at the cut and returns float64[m] columns for the test rows."""


def run_backtest(
    prepared: Prepared,
    progress: Progress = lambda _: None,
    shared: Shared | None = None,
    baselines: Mapping[str, Fit] = BASELINES,
    extras: Mapping[str, Extra] = NOTHING,
    keep: Keep | None = None,
    tables: Mapping[str, Extra] = NOTHING,
) -> Tested:
    """Refit at every fold's cut and predict its test rows with the close model, every baseline and every reference.

    extras: other heads by name; their columns are in `Tested.extra` as ``name.column``. tables: heads that tell rows of
    their own, whose columns are in `Tested.tables`. keep: where finished folds are
    kept and taken up from. Raises TooLittleDataError, and ConfigError where the gates name a baseline that this record
    has no facts for.
    """
    folds = folds_of(prepared)
    if why := untestable(prepared):
        raise TooLittleDataError(f"{why}; use a longer history, or set backtest")
    step = _Step(prepared, shared or Shared(), _present(prepared, baselines), extras, tables)
    clock = _Clock([int(fold.train.sum()) for fold in folds])
    parts: list[Tested] = []
    for k, fold in enumerate(folds):
        last = k == len(folds) - 1
        key = _key(step, fold, keep) if keep is not None else ""
        told = f"fold {k + 1} of {len(folds)}: tests {fold.name}, {int(fold.test.sum()):,} rows"
        found = _taken_up(prepared, fold, k, keep.walk.take(key), last and keep.models) if keep is not None else None
        if found is not None:
            progress(f"{told}; taken up, an earlier run had finished it")
            clock.passed(k)
        else:
            progress(f"{told}, {int(fold.train.sum()):,} train; {clock.told(k)}")
            found = step.fold(fold, k)
            clock.fitted(k)
            if keep is not None:
                keep.walk.put(key, _piece(prepared, found, last and keep.models))
        parts.append(found)
    progress(f"{len(folds)} folds in {clock.seconds:.0f} s")
    return _stack(parts)


def _present(prepared: Prepared, baselines: Mapping[str, Fit]) -> dict[str, Fit]:
    """Return the baselines whose facts the record has."""
    absent = lacking(prepared.facts, baselines)
    beat = prepared.config.gates.beat.value
    if beat in absent:
        raise ConfigError.at(
            "gates.beat",
            f"{beat}, and no row of the record has a {absent[beat]}",
            expected="a baseline that this record can tell",
            remedy=f"set gates.beat: {STAGE_TIME}, or map the column",
        )
    return {name: fit for name, fit in baselines.items() if name not in absent}


@dataclass
class _Step:
    """One fold after the other; what their fits share lies in `shared` and `ids`."""

    prepared: Prepared
    shared: Shared
    baselines: Mapping[str, Fit]
    extras: Mapping[str, Extra]
    tables: Mapping[str, Extra]
    ids: RepIds | None = None

    def __post_init__(self) -> None:
        self.ids = rep_ids(self.prepared, self.shared)

    def fold(self, fold: Fold, k: int) -> Tested:
        """Fit at the fold's cut and predict its test rows."""
        prepared = self.prepared
        embargo = prepared.config.backtest.embargo_days
        if embargo:  # the rows of a cut are no longer those of the same cut inside a later one
            self.shared = Shared()
            self.ids = rep_ids(prepared, self.shared)
        ground = ground_at(prepared, fold.cut, embargo)
        model, notes = fit_on(prepared, ground, self.shared)
        test = prepared.examples.take(fold.test)
        p = {CLOSE: model.predict(test.matrix)} | self._baselines(ground, model, test, fold)
        if self.ids is not None:
            p |= predict_references(prepared, ground, model, self.ids, fold.test)
        at = np.flatnonzero(fold.test)
        case = AtCut(prepared, ground, model, notes, at, p[CLOSE])
        extra, tables = (
            {f"{name}.{column}": x for name, head in heads.items() for column, x in head(case).items()}
            for heads in (self.extras, self.tables)
        )
        return _tested(prepared, fold, k, p, extra, tables, notes, model)

    def _baselines(self, ground: Ground, model: CloseModel, test: Examples, fold: Fold) -> dict[str, Float]:
        facts = self.prepared.facts
        told = replace(ground.rows, matrix=FeatureMatrix(facts.names, facts.values[ground.mask]))
        asked = FeatureMatrix(facts.names, facts.values[fold.test])
        p = {}
        for name, fit in self.baselines.items():
            if name in OF_FACTS:
                p[name] = fit(told, self.prepared.frame).predict(asked)
            elif name == RIDGE and isinstance(model.offset, Linear):
                p[name] = model.offset.predict(test.matrix)  # the very ridge that is the baseline
            else:
                p[name] = fit(ground.rows, self.prepared.frame).predict(test.matrix)
        return p


class _Clock:
    """Tells how long a walk has taken and will take, by training rows: later folds have more of them."""

    def __init__(self, rows: list[int]) -> None:
        self.rows, self.begun = rows, perf_counter()
        self.done, self.spent, self.mark = 0, 0.0, self.begun

    @property
    def seconds(self) -> float:
        """Seconds since the walk began."""
        return perf_counter() - self.begun

    def passed(self, k: int) -> None:
        """Note that fold k took no fit."""
        self.mark = perf_counter()

    def fitted(self, k: int) -> None:
        """Note that fold k is fitted."""
        now = perf_counter()
        self.done, self.spent, self.mark = self.done + self.rows[k], self.spent + now - self.mark, now

    def told(self, k: int) -> str:
        """Return what to say before fold k."""
        so_far = f"{self.seconds:.0f} s so far"
        if not self.done:
            return so_far
        return f"{so_far}, about {self.spent * sum(self.rows[k:]) / self.done:.0f} s to go"


@dataclass(frozen=True)
class Keep:
    """Where a walk keeps its folds. data: fingerprint of the tables. models: whether the newest model is kept too."""

    walk: Walk
    data: str
    models: bool = True


def _key(step: _Step, fold: Fold, keep: Keep) -> str:
    prepared = step.prepared
    config = prepared.config
    parts = {
        "config": config_hash(config, mapping_of(config)),
        "ablations": sorted(map(str, config.backtest.ablations)),
        "data": keep.data,
        "until": prepared.until,
        "plan": prepared.plan.fingerprint(),
        "cut": fold.cut,
        "test": hashlib.sha256(np.packbits(fold.test).tobytes()).hexdigest(),
        "model": keep.models,
    }
    return key_of(parts, (*step.baselines, *step.extras, *step.tables))


def _piece(prepared: Prepared, part: Tested, model: bool) -> Piece:
    arrays = {"rows": part.rows, **{f"p.{name}": p for name, p in part.p.items()}}
    arrays |= {f"extra.{name}": x for name, x in part.extra.items()}
    arrays |= {f"table.{name}": x for name, x in part.tables.items()}
    bundle = None
    if model and part.newest is not None:
        rows = prepared.examples.take(part.folds[0].train)
        bundle = make_bundle(prepared, part.newest, rows, "")
    return Piece(arrays, {"notes": asdict(replace(part.notes[0], later=None))}, bundle)


def _taken_up(prepared: Prepared, fold: Fold, k: int, piece: Piece | None, needed: bool) -> Tested | None:
    if piece is None or (needed and piece.bundle is None):
        return None
    p, extra, tables = (
        {name.removeprefix(kind): x for name, x in piece.arrays.items() if name.startswith(kind)}
        for kind in ("p.", "extra.", "table.")
    )
    notes = revived(FitNotes, piece.told["notes"])
    model = piece.bundle.model if piece.bundle is not None else None
    return _tested(prepared, fold, k, p, extra, tables, notes, model)


def _tested(
    prepared: Prepared,
    fold: Fold,
    k: int,
    p: dict[str, Float],
    extra: dict[str, Float],
    tables: dict[str, Float],
    notes: FitNotes,
    model: CloseModel | None,
) -> Tested:
    at, rows = np.flatnonzero(fold.test), prepared.examples
    number = np.full(len(at), k)
    return Tested(
        (fold,), at, prepared.told_y[at], rows.deal[at], rows.as_of[at], number, p, (notes,), model, extra, tables
    )


def _stack(parts: list[Tested]) -> Tested:
    return Tested(
        folds=tuple(fold for part in parts for fold in part.folds),
        rows=np.concatenate([part.rows for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        deal=np.concatenate([part.deal for part in parts]),
        as_of=np.concatenate([part.as_of for part in parts]),
        fold=np.concatenate([part.fold for part in parts]),
        p={name: np.concatenate([part.p[name] for part in parts]) for name in parts[0].p},
        notes=tuple(note for part in parts for note in part.notes),
        newest=parts[-1].newest,
        extra={name: np.concatenate([part.extra[name] for part in parts]) for name in parts[0].extra},
        tables={name: np.concatenate([part.tables[name] for part in parts]) for name in parts[0].tables},
    )


def compare(tested: Tested, draws: int, seed: int) -> list[Comparison]:
    """Score every model on the test rows; gains are paired and their intervals drawn over deals."""
    bootstrap = DealBootstrap.of(tested.deal, draws, seed)
    loss = {name: row_loss(tested.y, p) for name, p in tested.p.items()}
    table = []
    for name, p in tested.p.items():
        against = REFERENCES.get(name, CLOSE)
        gain = None if name == CLOSE else bootstrap.mean(loss[name] - loss[against])
        table.append(Comparison(name, scores(tested.y, p, tested.deal), gain, against, name in REFERENCES))
    return table


def skill(table: list[Comparison], over: str = STAGE_TIME) -> float:
    """Return by what share the close model's log loss lies below a baseline's."""
    loss = {row.name: row.scores.log_loss for row in table}
    return 1.0 - loss[CLOSE] / loss[over]
