"""The test rows cut along every line that a reader asks about: period, week, stage, segment, time left, seen before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from configs.subject import Subject
from features.periods import DAY
from models.base import Bool, Int
from training.backtest import Tested
from training.noise_floor import week_of
from training.prepare import Prepared
from training.report_data import Parts, Slice, has_periods, slice_of

FEWEST_ROWS = 50  # a smaller part tells nothing
MOST_VALUES = 8  # of a segment's dimension, the largest
DAYS_LEFT = (7.0, 14.0, 28.0, 56.0, 91.0)
OTHER, UNKNOWN = "all other values", "not known"


@dataclass(frozen=True)
class Line:
    """One way to cut: code int64[n] into names, -1 in none. note: told under the title."""

    key: str
    title: str
    names: tuple[str, ...]
    code: Int
    note: str = ""


def periods_or_ages(prepared: Prepared, tested: Tested) -> list[Slice]:
    """Return the slices by tested period, or by age for a head without periods; however small."""
    if has_periods(prepared):
        line = Line("period", "", tuple(fold.name for fold in tested.folds), tested.fold)
    else:
        edges = prepared.frame.age_edges
        age = (tested.as_of - prepared.record.deals.known_at[tested.deal]) / DAY
        names = tuple(_age(a.total_seconds() / 86_400) for a in prepared.config.snapshots.ages)
        names = names or tuple(f"age bucket {k}" for k in range(len(edges) + 1))
        line = Line("age", "", names, np.searchsorted(edges, age, side="right"))
    return _slices(prepared, tested, line, fewest=1).slices


def parts_of(prepared: Prepared, tested: Tested) -> list[Parts]:
    """Return every other way to cut the test rows, small parts left out."""
    return [_slices(prepared, tested, line, FEWEST_ROWS) for line in _lines(prepared, tested)]


def _slices(prepared: Prepared, tested: Tested, line: Line, fewest: int) -> Parts:
    draws, seed = prepared.config.backtest.bootstrap, prepared.config.seed
    slices, left_out = [], 0
    for k, name in enumerate(line.names):
        mask = line.code == k
        rows = int(mask.sum())
        if rows >= fewest:
            slices.append(slice_of(name, tested.take(mask), draws, seed))
        else:
            left_out += rows
    return Parts(line.key, line.title, slices, line.note, left_out)


def _lines(prepared: Prepared, tested: Tested) -> Iterator[Line]:
    facts = prepared.facts.values[tested.rows]
    place = prepared.facts.names.index
    if has_periods(prepared):
        start = prepared.calendar.starts[prepared.calendar.index(tested.as_of)]
        week = week_of(tested.as_of, start)
        names = tuple(f"week {k}" for k in range(1, int(week.max()) + 1))
        yield Line("week", "By week of the period", names, week - 1)
        yield _days_left(facts[:, place("days_left")])
    if prepared.became is not None:  # leads are tested by when they came in, and none is on both sides of a cut
        names = tuple(f"came in from {fold.name}" for fold in tested.folds)
        yield Line("cut", "By cut", names, tested.fold, "Each cut's rows are of leads that came in after it.")
    yield _stages(prepared, facts[:, place("stage_rank")])
    for dimension in prepared.plan.context.schema.dimensions:
        yield _segments(prepared, tested, dimension)
    if prepared.became is None:
        yield _seen(prepared, tested)


def _days_left(days: np.ndarray) -> Line:
    names = (
        f"{DAYS_LEFT[0]:g} days or fewer",
        *(f"{low:g}-{high:g} days" for low, high in pairwise(DAYS_LEFT)),
        f"more than {DAYS_LEFT[-1]:g} days",
    )
    return Line("days_left", "By days left of the period", names, np.searchsorted(DAYS_LEFT, days))


def _stages(prepared: Prepared, rank: np.ndarray) -> Line:
    order = prepared.record.stages.order
    known = ~np.isnan(rank) & (rank < len(order))
    code = np.where(known, np.where(known, rank, 0), len(order)).astype(np.int64)
    return Line("stage", "By stage", (*order, UNKNOWN), code)


def _segments(prepared: Prepared, tested: Tested, dimension: str) -> Line:
    words = prepared.record.reference.vocabulary.values[dimension]
    value = np.asarray(prepared.record.deals.columns[dimension], dtype=np.int64)[tested.deal]
    counts = np.bincount(np.where(value >= 0, value, len(words)), minlength=len(words) + 1)
    largest = np.argsort(-counts[:-1], kind="stable")[:MOST_VALUES]
    largest = largest[counts[largest] > 0]
    place = np.full(len(words) + 1, len(largest))
    place[largest] = np.arange(len(largest))
    place[-1] = len(largest) + 1
    names = (*(words[int(k)] for k in largest), OTHER, UNKNOWN)
    code = place[np.where(value >= 0, value, len(words))]
    title = f"By {dimension.replace('_', ' ')}"
    note = f"The {MOST_VALUES} values with the most rows." if len(words) > MOST_VALUES else ""
    return Line(f"segment.{dimension}", title, names, code, note)


def _seen(prepared: Prepared, tested: Tested) -> Line:
    """Whether earlier rows of the same deal were in training: allowed in use as here, but told apart."""
    seen = np.zeros(len(tested.rows), dtype=bool)
    for k, fold in enumerate(tested.folds):
        here: Bool = tested.fold == k
        seen[here] = np.isin(tested.deal[here], prepared.examples.deal[fold.train])
    words = Subject.of(prepared.config.target)
    note = (
        f"An open {words.one}'s own past is known when a model is trained, and trains it. New {words.many} show what "
        "is left of the skill without that."
    )
    names = (f"{words.many} with earlier rows in training", f"{words.many} new since the cut")
    return Line("seen", f"By {words.many} seen in training", names, np.where(seen, 0, 1), note)


def _age(days: float) -> str:
    return f"{days:g} d" if days >= 1 else f"{days * 1440:g} min"


def shown(parts: Sequence[Parts]) -> list[Parts]:
    """Return the parts that hold anything."""
    return [part for part in parts if part.slices]
