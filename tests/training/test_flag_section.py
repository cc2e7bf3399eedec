"""Flags in the backtest: asked with what every head of a fold said, and told of every flag."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.flags import Flags
from models.calibrate import IDENTITY
from models.close import FitNotes
from models.flags import load_flags
from models.ladder import Doubt
from tests.served import World
from training.backtest import CLOSE
from training.backtest import Tested as Rows
from training.extras import heads_of
from training.flag_section import HEAD, NAME, past_of_test, sections
from training.splits import Fold

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def tested(world: World) -> Rows:
    """Two folds of test rows in which a model said 30 % of every deal; the second told how sure it was."""
    prepared = world.prepared
    starts, as_of = prepared.calendar.starts, prepared.examples.as_of
    last = int(prepared.calendar.index(np.array([prepared.until]))[0])
    masks = [(as_of >= starts[last - k]) & (as_of < starts[last - k + 1]) for k in (3, 2)]
    folds = tuple(Fold(str(k), int(starts[last - 3 + k]), ~mask, mask) for k, mask in enumerate(masks))
    rows = np.concatenate([np.flatnonzero(mask)[::-1] for mask in masks])
    fold = np.repeat([0, 1], [int(mask.sum()) for mask in masks])
    p, told = np.full(len(rows), 0.3), prepared.examples.take(rows)
    notes = [FitNotes(0, (), (), IDENTITY), FitNotes(0, (), (), IDENTITY, doubt=Doubt(0.5, 1.5, "wins"))]
    extra = {"timing.slip_risk": np.linspace(0, 1, len(rows)), "amount.expected": np.full(len(rows), 7.0)}
    y = prepared.told_y[rows]
    return Rows(folds, rows, y, told.deal, told.as_of, fold, {CLOSE: p}, tuple(notes), None, extra)


def test_each_row_has_what_its_own_fold_said(world: World, tested: Rows) -> None:
    past = past_of_test(world.prepared, tested)
    assert (np.diff(world.prepared.examples.as_of[past.rows]) >= 0).all()
    place = {row: k for k, row in enumerate(tested.rows.tolist())}
    at = np.array([place[row] for row in past.rows.tolist()])
    assert (past.scores.slip_risk == tested.extra["timing.slip_risk"][at]).all()
    assert (past.scores.amount == 7.0).all()
    second = tested.fold[at] == 1
    assert past.scores.low[second] == pytest.approx(0.15)
    assert np.isnan(past.scores.low[~second]).all()


def test_without_the_other_heads_flags_are_found_all_the_same(world: World, tested: Rows) -> None:
    past = past_of_test(world.prepared, replace(tested, extra={}))
    assert np.isnan(past.scores.slip_risk).all()


def test_the_section_tells_every_flag(world: World, tested: Rows) -> None:
    (section,) = sections(world.prepared, tested)
    assert (section.key, section.head) == (NAME, HEAD)
    assert [row[0] for row in section.rows] == list(load_flags())
    assert {len(row) for row in section.rows} == {len(HEAD)}
    told = {row[0]: row for row in section.rows}
    assert told["slipping"][3] == "still open after its close date"
    assert int(told["slipping"][1].replace(",", "")) >= int(told["slipping"][2].replace(",", "")) > 0


def test_switched_off_there_is_none(world: World, tested: Rows) -> None:
    config = world.config.model_copy(update={"flags": Flags(enabled=False)})
    assert sections(replace(world.prepared, config=config), tested) == []


def test_it_walks_with_every_backtest(world: World) -> None:
    assert NAME in heads_of(world.config)
