"""The timing head in the walk: what the page says is what its own scores say of the kept columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.sources.base import open_source
from tests.companies import demo_config
from training.backtest import Keep, run_backtest
from training.backtest import Tested as Rows
from training.extras import heads_of
from training.prepare import Prepared, prepare
from training.report_text import number
from training.timing_fit import fit_timing
from training.timing_scores import foretell, stacked, timing_scores
from training.timing_section import NAME, horizon_of, sections
from training.walk import Walk

LIGHT = (
    "features.groups=[deal, clock]",
    "model.seeds=1",
    "model.max_rounds=10",
    "model.num_threads=1",
    "timing.max_pairs=4000",
    "timing.seeds=1",
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    config = demo_config(tmp_path_factory.mktemp("state"), *LIGHT)
    return prepare(config, open_source(config).read())


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walk")


def walked(prepared: Prepared, out: Path) -> Rows:
    extras = {name: head.extra for name, head in heads_of(prepared.config).items()}
    return run_backtest(prepared, baselines={}, extras=extras, keep=Keep(Walk.under(out, lambda _: None), "d"))


def test_the_section_tells_the_heads_own_scores(prepared: Prepared, out: Path) -> None:
    tested = walked(prepared, out)
    horizon = horizon_of(prepared)
    parts = []
    for k, fold in enumerate(tested.folds):
        mine = tested.fold == k
        p = tested.p["close"][mine]
        parts.append(foretell(prepared, fit_timing(prepared, fold.cut), p, tested.rows[mine], horizon))
    config = prepared.config
    wanted = timing_scores(prepared, stacked(parts), config.backtest.bootstrap, config.seed)
    assert wanted.dates is not None
    found = sections(prepared, tested)
    assert [each.key for each in found] == [NAME, f"{NAME}.horizons"]
    told = dict(found[0].rows)
    assert told["mean error, days"] == number(wanted.dates.mae, ".1f")
    assert told["mean error of the CRM's close date, days"] == number(wanted.dates.crm_mae, ".1f")
    assert told["AUC of the slip risk"] == number(wanted.slip_auc, ".3f")
    assert [row[2] for row in found[1].rows] == [f"{each.log_loss:.4f}" for each in wanted.horizons]
    again = walked(prepared, out)  # taken up from the disk
    assert all(again.extra[name].tobytes() == tested.extra[name].tobytes() for name in tested.extra)
    assert sections(prepared, again) == found


def test_without_a_model_the_section_says_why(prepared: Prepared, out: Path) -> None:
    tested = walked(prepared, out)
    blank = {name: np.full(len(x), np.nan) for name, x in tested.extra.items()}
    tested.extra.update(blank)
    (only,) = sections(prepared, tested)
    assert not only.rows
    assert "too few" in only.notes[0]


def test_it_can_be_switched_off(prepared: Prepared) -> None:
    timing = prepared.config.timing.model_copy(update={"enabled": False})
    assert NAME not in heads_of(prepared.config.model_copy(update={"timing": timing}))
