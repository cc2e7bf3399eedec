"""The amount head in the walk: what the page says is what its own scores say, and what was fitted at each cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.asof import Requests
from features.told import told_at
from tests.companies import demo_config, small_company
from training.amount_fit import fit_amount
from training.amount_scores import amount_scores
from training.amount_section import HEAD, NAME, sections
from training.backtest import Keep, run_backtest
from training.backtest import Tested as Rows
from training.extras import heads_of
from training.labels import amounts_won
from training.prepare import Prepared, prepare
from training.report_text import interval, number
from training.walk import Walk

LIGHT = (
    "features.groups=[deal, clock]",
    "model.seeds=1",
    "model.max_rounds=10",
    "model.num_threads=1",
    "timing.enabled=false",
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    state = tmp_path_factory.mktemp("state")
    return prepare(demo_config(state, *LIGHT), small_company(state))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walk")


@pytest.fixture(scope="module")
def tested(prepared: Prepared, out: Path) -> Rows:
    return walked(prepared, out)


def walked(prepared: Prepared, out: Path) -> Rows:
    extras = {name: head.extra for name, head in heads_of(prepared.config).items() if name == NAME}
    return run_backtest(prepared, baselines={}, extras=extras, keep=Keep(Walk.under(out, lambda _: None), "d"))


def test_its_columns_are_what_a_fit_at_each_cut_says(prepared: Prepared, tested: Rows) -> None:
    for k, fold in enumerate(tested.folds):
        mine = tested.fold == k
        model, rows = fit_amount(prepared, fold.cut), prepared.examples.take(tested.rows[mine])
        told = told_at(prepared.record, Requests(rows.deal, rows.as_of))
        assert tested.extra["amount.expected"][mine].tobytes() == model.predict(rows.matrix, told).tobytes()
        assert np.unique(tested.extra["amount.ratio"][mine]) == np.exp(model.base)
        now = tested.extra["amount.now"][mine]
        assert (np.isnan(now) == (told.amount_cents <= 0)).all()
        assert np.nanmax(np.abs(now - told.amount_cents / 100)[told.amount_cents > 0]) == 0


def test_the_section_tells_the_heads_own_scores(prepared: Prepared, tested: Rows, out: Path) -> None:
    cents, won_at = amounts_won(prepared.record, Requests(tested.deal, tested.as_of))
    expected, now, ratio = (tested.extra[f"amount.{name}"] for name in ("expected", "now", "ratio"))
    mask = (cents > 0) & ~np.isnan(now)
    assert 0 < mask.sum() < len(mask)
    assert won_at[mask].max() < prepared.until
    config = prepared.config
    parts = (cents[mask] / 100, expected[mask], now[mask], ratio[mask], tested.deal[mask], tested.fold[mask])
    wanted = amount_scores(*parts, config.backtest.bootstrap, config.seed)
    (found,) = sections(prepared, tested)
    assert found.head == HEAD
    assert [row[0] for row in found.rows] == ["model", "amount now", "amount now x ratio"]
    assert [row[1] for row in found.rows] == [number(each.total_error, ".1%") for each in wanted]
    assert [row[2] for row in found.rows[1:]] == [interval(each.less_error, "+.1%") for each in wanted[1:]]
    assert [row[4] for row in found.rows] == [number(each.period_bias, ".1%") for each in wanted]
    assert f"{mask.sum():,} test rows of {len(np.unique(tested.deal[mask])):,} deals" in found.notes[0]
    again = walked(prepared, out)  # taken up from the disk
    assert sections(prepared, again) == [found]


def test_without_a_model_the_section_says_why(prepared: Prepared, tested: Rows) -> None:
    nothing = np.full(len(tested.rows), np.nan)
    blank = Rows(**{**vars(tested), "extra": {**tested.extra, "amount.expected": nothing}})
    (only,) = sections(prepared, blank)
    assert not only.rows
    assert "too few deals were won" in only.notes[0]
