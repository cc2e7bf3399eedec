"""Companies of any size get a model of the rung that they carry, chosen by what was known at the cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.ingest import Ingest
from features.tables import CrmTables
from models.baselines import fit_constant
from models.bundle import load, save
from models.ladder import rung_text
from models.tables import fit_cold_start, fit_stage_time
from tests.companies import demo_config, small_company
from training.commands import evaluate
from training.cuts import closed_before, fit_on, ground_at
from training.evaluate import row_loss
from training.fit import fit_bundle
from training.prepare import Prepared, prepare, trainable


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    state = tmp_path_factory.mktemp("cold")
    config = demo_config(state, "model.max_rounds=20")
    return prepare(config, small_company(state))


def shrunk(prepared: Prepared, closed: int) -> Prepared:
    """The same company with so many closed deals whose rows are told, one in four of them won, and none else."""
    rows = prepared.examples.take(trainable(prepared, prepared.until))
    deals = np.unique(rows.deal)
    won = [deal for deal in deals if closed_before(prepared.record, np.array([deal]), prepared.until) == (1, 0)]
    lost = [deal for deal in deals if closed_before(prepared.record, np.array([deal]), prepared.until) == (0, 1)]
    wins = closed // 4
    return of_deals(prepared, np.array([*won[:wins], *lost[: closed - wins]], dtype=np.int64))


def of_deals(prepared: Prepared, deals: np.ndarray) -> Prepared:
    mask = np.isin(prepared.examples.deal, deals)
    told = {name: getattr(prepared, name)[mask] for name in ("told_y", "told_end", "created")}
    return replace(prepared, examples=prepared.examples.take(mask), **told)


@pytest.mark.parametrize(
    ("closed", "rung"), [(0, "table"), (20, "table"), (79, "table"), (80, "ridge"), (399, "ridge"), (400, "trees")]
)
def test_each_size_has_its_rung(prepared: Prepared, closed: int, rung: str, tmp_path: Path) -> None:
    small = shrunk(prepared, closed)
    ground = ground_at(small, small.until)
    assert (ground.won + ground.lost, ground.rung) == (closed, rung)
    bundle, notes = fit_bundle(small, "0" * 64)
    assert (bundle.model.rung, notes.rung) == (rung, rung)
    p = bundle.model.predict(prepared.examples.matrix)
    assert ((p > 0) & (p < 1)).all()
    assert p.std() > 0.01  # not one number for all
    save(bundle, tmp_path / "bundle")
    again = load(tmp_path / "bundle")
    assert (again.model.rung, again.model.doubt) == (rung, bundle.model.doubt)
    assert again.model.predict(prepared.examples.matrix).tobytes() == p.tobytes()


@pytest.mark.parametrize("few", [10, 40])
def test_a_few_deals_say_more_with_the_prior(prepared: Prepared, few: int) -> None:
    """On the deals left out, over twelve draws: better than the plain table, and no worse than the constant."""
    rows = prepared.examples.take(trainable(prepared, prepared.until))
    deals, rng = np.unique(rows.deal), np.random.default_rng(3)
    gain = []
    for _ in range(12):
        mine = np.isin(rows.deal, rng.choice(deals, few, replace=False))
        old, new = rows.take(mine), rows.take(~mine)
        fits = (fit_cold_start, fit_stage_time, fit_constant)
        cold, table, constant = (
            float(row_loss(new.y, fit(old, prepared.frame).predict(new.matrix)).mean()) for fit in fits
        )
        gain.append((table - cold, constant - cold))
    assert np.mean(gain, axis=0).min() > 0


def test_the_rung_depends_on_what_was_known_at_the_cut(prepared: Prepared) -> None:
    """Early cuts in the whole record give the rung, the counts and the scores of a record that ends there."""
    calendar = prepared.calendar
    first = int(np.searchsorted(calendar.starts, int(prepared.examples.as_of.min()), side="right"))
    seen = set()
    for period in (first, first + 1, first + 3):
        cut = int(calendar.starts[period])
        then = prepare(prepared.config, small_company(prepared.config.state_dir), cut)
        now, past = ground_at(prepared, cut), ground_at(then, cut)
        assert (now.rung, now.won, now.lost) == (past.rung, past.won, past.lost)
        model, earlier = fit_on(prepared, now)[0], fit_on(then, past)[0]
        asked = prepared.examples.matrix
        assert model.predict(asked).tobytes() == earlier.predict(asked).tobytes()
        seen.add(now.rung)
    assert len(seen) > 1  # else no rung changes here


def test_a_reopened_deal_stands_as_it_closed_last(prepared: Prepared) -> None:
    history = prepared.record.timelines["history"]
    won, lost = closed_before(prepared.record, history.entity, prepared.until)
    assert won + lost == len(np.unique(history.entity[history.mask("closed") & (history.known_at < prepared.until)]))
    assert closed_before(prepared.record, history.entity, int(history.known_at.min())) == (0, 0)
    assert closed_before(prepared.record, np.zeros(0, dtype=np.int64), prepared.until) == (0, 0)


def fraction(ingest: Ingest, every: int) -> Ingest:
    """The company with one deal in so many and all that is said of it."""
    names = np.array(ingest.tables.deals.coded("deal_id").strings(), dtype=object)
    kept = set(np.sort(names)[::every].tolist())
    tables = {}
    for name, table in ingest.tables.by_name().items():
        mine = [deal in kept for deal in table.coded("deal_id").strings()] if table.has("deal_id") else None
        tables[name] = table if mine is None else table.take(np.array(mine, dtype=bool))
    return replace(ingest, tables=CrmTables.of(tables))


def test_a_tiny_company_is_tested_and_gets_a_candidate_that_says_what_it_is(tmp_path: Path) -> None:
    """Between 20 and 70 closed deals: all baselines are fitted, the constant is beaten, the rung is told."""
    config = demo_config(tmp_path)
    tiny = prepare(config, fraction(small_company(tmp_path), 40))
    ground = ground_at(tiny, tiny.until)
    assert 20 <= ground.won + ground.lost <= 70
    report, tested = evaluate(tiny, "a tiny company")
    assert {note.rung for note in tested.notes} == {"table"}
    loss = {row.name: row.scores.log_loss for row in report.table}
    assert all(np.isfinite(value) for value in loss.values())
    assert loss["close"] < loss["constant"]
    bundle, notes = fit_bundle(tiny, "0" * 64)
    assert bundle.model.rung == notes.rung == "table"
    assert rung_text(notes.rung, notes.doubt).startswith("cold start")
    assert "times what the scores add up to" in rung_text(notes.rung, notes.doubt)
