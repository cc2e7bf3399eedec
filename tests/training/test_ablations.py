"""What features are worth: gains that add up, groups left out, the raw rep id as a reference that no gate asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.learning import Backtest, Gates, Model
from configs.load import config_hash
from configs.schema import Config
from configs.vocab import Ablation
from features.asof import Requests
from features.build import ALWAYS, FeatureMatrix, build_features
from features.registry import Context, Feature, Plan, Schema
from features.sources.base import open_source
from models.base import Examples, Float, Frame, sigmoid
from models.close import CloseModel, InnerFold, Shared
from models.trees import first_seed, fit_trees
from tests.companies import demo_config
from tests.models.planted import log_loss, planted
from training.backtest import CLOSE, REFERENCES, compare, run_backtest
from training.backtest import Tested as Rows
from training.cuts import Ground, close_settings, fit_on, ground_at
from training.evaluate import row_loss
from training.gates import judge
from training.groups import TABLE, group_figures, metrics_of, narrowed, without_groups
from training.prepare import Prepared, Stopwatch, prepare
from training.rep_id import COLUMN, NAMES, ONE_SEED, RepIds, predict_references, rep_ids, with_code

WITH_ID, ID_ONLY = NAMES[Ablation.REP_ID], NAMES[Ablation.REP_ID_ONLY]
QUICK = Model(seeds=2, max_rounds=150, min_data_in_leaf=30, learning_rate=0.1, num_threads=1)


def ablated(config: Config, *ablations: Ablation) -> Config:
    return config.model_copy(update={"backtest": config.backtest.model_copy(update={"ablations": ablations})})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    config = demo_config(tmp_path_factory.mktemp("state"), "backtest.test_periods=1", "model.max_rounds=40")
    return prepare(ablated(config, Ablation.REP_ID, Ablation.REP_ID_ONLY), open_source(config).read())


@pytest.fixture(scope="module")
def tested(prepared: Prepared) -> Rows:
    return run_backtest(prepared)


# --- seconds, gain and weight of the groups ------------------------------------------------------------------------


def test_every_group_is_timed_and_timing_moves_no_bit(prepared: Prepared) -> None:
    assert set(prepared.seconds) == set(prepared.plan.groups)
    assert min(prepared.seconds.values()) > 0
    old = prepared.examples
    untimed = build_features(prepared.record, Requests(old.deal, old.as_of), prepared.plan)
    assert untimed.values.tobytes() == old.matrix.values.tobytes()


def test_a_stopwatch_adds_up_and_stops_at_an_error() -> None:
    watch = Stopwatch()
    for _ in range(2):
        before = watch.seconds.get("deal", 0.0)
        with pytest.raises(KeyError), watch("deal"):
            raise KeyError
        assert watch.seconds["deal"] > before


def test_gains_of_the_groups_sum_to_the_total(prepared: Prepared, tested: Rows) -> None:
    model = tested.newest
    assert model is not None
    assert model.trees is not None
    figures = group_figures(prepared, tested, model, {})
    assert [row.name for row in figures] == [*prepared.plan.groups, TABLE]
    assert sum(row.features for row in figures) == len(prepared.plan.names)
    assert sum(row.gain for row in figures[:-1]) == pytest.approx(1, abs=1e-9)
    gain = dict(zip(model.names, model.trees.gain(), strict=True))
    history = sum(gain[name] for name in prepared.plan.members()["history"])
    assert next(row.gain for row in figures if row.name == "history") == pytest.approx(history / sum(gain.values()))
    again = group_figures(prepared, tested, model, {})
    assert [(row.gain, row.contribution) for row in again[:-1]] == [
        (row.gain, row.contribution) for row in figures[:-1]
    ]
    metrics = metrics_of(figures)
    assert {f"seconds.{g}" for g in prepared.plan.groups} | {f"gain.{g}" for g in prepared.plan.groups} <= set(metrics)


def test_without_trees_there_is_no_gain_but_a_weight(prepared: Prepared, tested: Rows) -> None:
    assert tested.newest is not None
    bare = CloseModel(tested.newest.names, tested.newest.offset, None)
    figures = group_figures(prepared, tested, bare, {})
    assert all(np.isnan(row.gain) for row in figures)
    assert sum(row.contribution for row in figures) > 0.1


# --- groups left out -----------------------------------------------------------------------------------------------


def test_what_the_table_needs_is_never_left_out(prepared: Prepared) -> None:
    """Of a plan with the groups deal and clock alone, each loses all but the table's columns and can be fitted."""
    keep = ALWAYS["in_period"]
    small = narrowed(prepared, tuple(n for g in ("deal", "clock") for n in prepared.plan.members()[g]))
    assert small.examples.matrix.names == small.plan.names
    assert small.config.backtest.ablations == ()
    told: list[str] = []
    lost = without_groups(small, run_backtest(small, baselines={}), told.append)
    assert set(lost) == {"deal", "clock"}
    assert len(told) == 2
    least = narrowed(prepared, keep)
    assert without_groups(least, run_backtest(least, baselines={}), told.append) == {}


def planted_company(prepared: Prepared) -> Prepared:
    """The same rows with other outcomes: `days_since_buyer` decides them, no other group tells anything of it.

    Every column is drawn anew, so that what is left out can't be read off its neighbours.
    """
    rng = np.random.default_rng(3)
    names, n = prepared.plan.names, len(prepared.examples)
    values = rng.normal(size=(n, len(names)))
    values[:, names.index("stage_rank")] = rng.integers(0, 3, n)
    values[:, names.index("days_left")] = rng.integers(0, 90, n)
    y = (rng.random(n) < sigmoid(-1 - 1.2 * values[:, names.index("days_since_buyer")])).astype(np.float64)
    old = prepared.examples
    examples = Examples(FeatureMatrix(names, values), y, old.deal, old.as_of, old.label_end)
    return replace(prepared, examples=examples, told_y=y)


def test_the_group_with_the_signal_is_missed_and_the_others_are_not(prepared: Prepared) -> None:
    world = planted_company(prepared)
    some = ("velocity", "engagement", "activity")
    kept = {*ALWAYS["in_period"], *(name for group in some for name in world.plan.members()[group])}
    small = narrowed(world, tuple(name for name in world.plan.names if name in kept))
    lost = without_groups(small, run_backtest(small, baselines={}), lambda _: None)
    assert lost["engagement"].value > 0.05
    assert lost["engagement"].low > 0.03
    for group in ("velocity", "activity"):
        assert abs(lost[group].value) < 0.005


# --- the raw rep id ------------------------------------------------------------------------------------------------


def test_the_id_is_the_owner_as_of_the_request(prepared: Prepared) -> None:
    """Against a loop over the history: the owner of the last row known before the as-of."""
    ids = rep_ids(prepared, Shared())
    assert ids is not None
    history = prepared.record.timelines["history"]
    handed_over = np.flatnonzero(history.mask("owner_changed"))
    assert len(handed_over)
    deals = set(history.entity[handed_over].tolist())
    some = [i for i in range(len(prepared.examples)) if int(prepared.examples.deal[i]) in deals][:200]
    for i in some:
        deal, as_of = prepared.examples.deal[i], prepared.examples.as_of[i]
        seen = (history.entity == deal) & (history.known_at < as_of)
        assert ids.code[i] == history.values("owner")[seen][-1]


def test_references_are_rows_of_the_table(prepared: Prepared, tested: Rows) -> None:
    table = {row.name: row for row in compare(tested, 20, 7)}
    assert {ONE_SEED, WITH_ID, ID_ONLY} <= set(table)
    assert {name for name, row in table.items() if row.reference} == set(REFERENCES)
    loss = {name: row_loss(tested.y, p).mean() for name, p in tested.p.items()}
    assert np.isfinite(list(loss.values())).all()
    for name, against in ((ONE_SEED, CLOSE), (WITH_ID, ONE_SEED), (ID_ONLY, ONE_SEED)):
        row = table[name]
        assert row.against == against
        assert row.gain is not None
        assert row.gain.value == pytest.approx(loss[name] - loss[against], abs=1e-12)


def test_references_change_nothing_of_the_model(prepared: Prepared, tested: Rows) -> None:
    plain = run_backtest(replace(prepared, config=ablated(prepared.config)))
    assert not set(REFERENCES) & set(plain.p)
    assert all(plain.p[name].tobytes() == tested.p[name].tobytes() for name in plain.p)


def test_one_seed_is_the_model_with_its_first_seed_alone(prepared: Prepared, tested: Rows) -> None:
    config = prepared.config.model_copy(update={"model": prepared.config.model.model_copy(update={"seeds": 1})})
    alone = run_backtest(replace(prepared, config=ablated(config)), baselines={})
    np.testing.assert_allclose(tested.p[ONE_SEED], alone.p[CLOSE], atol=1e-12)
    assert np.abs(tested.p[ONE_SEED] - tested.p[CLOSE]).max() > 1e-4


def test_without_owners_there_is_no_such_row(prepared: Prepared) -> None:
    history = prepared.record.timelines["history"]
    nobody = replace(history, columns={**history.columns, "owner": np.full(len(history), -1)})
    record = replace(prepared.record, timelines={**prepared.record.timelines, "history": nobody})
    assert rep_ids(replace(prepared, record=record), Shared()) is None
    assert rep_ids(replace(prepared, config=ablated(prepared.config)), Shared()) is None


def test_no_gate_asks_about_a_reference(tested: Rows) -> None:
    """Even one that knows the future: it is no model that could be promoted instead."""
    gates = Gates()
    before = judge(gates, compare(tested, 50, 7), tested.y, tested.p, tested.deal, 50, 7)
    knowing = replace(tested, p=tested.p | {WITH_ID: np.where(tested.y > 0, 0.999, 0.001)})
    table = compare(knowing, 50, 7)
    better = next(row for row in table if row.name == WITH_ID)
    assert better.gain is not None
    assert better.gain.high < 0  # the id gains on us, and clearly
    assert judge(gates, table, knowing.y, knowing.p, knowing.deal, 50, 7) == before
    assert not any(name in verdict.gate for verdict in before for name in REFERENCES)


def reps(n: int = 9000, seed: int = 1) -> tuple[Examples, Float]:
    """Rows whose log-odds differ by rep, 12 of them, by far more than the one feature about reps can tell."""
    rng = np.random.default_rng(seed)
    rows, truth = planted(n, seed)
    rep = rng.integers(0, 12, n).astype(np.float64)
    skill = np.random.default_rng(99).normal(0, 1.2, 12)
    vague = skill[rep.astype(np.int64)] + rng.normal(0, 3, n)
    y = (rng.random(n) < sigmoid(truth + skill[rep.astype(np.int64)])).astype(np.float64)
    names = (*rows.matrix.names, "rep_lift")
    matrix = FeatureMatrix(names, np.column_stack([rows.matrix.values, vague]))
    return Examples(matrix, y, rows.deal, rows.as_of, rows.label_end), rep


def hand_made(prepared: Prepared, examples: Examples) -> Prepared:
    """A prepared company of these rows; only what the ablation looks at is replaced."""
    features = tuple(Feature(name, "x", "{value}") for name in examples.matrix.names)
    plan = Plan(Context(Schema("in_period"), 20.0), (), features)
    return replace(prepared, plan=plan, examples=examples, frame=Frame("in_period", 3))


def test_an_id_wins_where_reps_differ_by_more_than_their_facts_say(prepared: Prepared) -> None:
    examples, rep = reps()
    world = hand_made(prepared, examples)
    n, row = len(examples), np.arange(len(examples))
    train, test = row < 6000, row >= 6000
    rows = examples.take(train)
    inner = [InnerFold(row[train] < 4000, row[train] >= 4000, 1)]
    ground = Ground(6000, train, rows, inner, close_settings(QUICK, (0,) * len(world.plan.names), 7))
    shared = Shared()
    model, _ = fit_on(world, ground, shared)
    without = tuple(name for name in world.plan.names if name != "rep_lift")
    names = {Ablation.REP_ID: world.plan.names, Ablation.REP_ID_ONLY: without}
    code = np.where(row == n - 1, 77.0, rep)  # the last one is of a rep whom nobody has seen
    ids = RepIds(code, names, {Ablation.REP_ID: Shared(shared.offsets), Ablation.REP_ID_ONLY: Shared()})
    told = predict_references(world, ground, model, ids, test)
    loss = {name: row_loss(examples.y[test], p).mean() for name, p in told.items()}
    assert np.isfinite(list(loss.values())).all()
    assert loss[WITH_ID] < loss[ONE_SEED] - 0.02
    assert loss[ID_ONLY] < loss[ONE_SEED] - 0.02
    unknown = predict_references(world, ground, model, replace(ids, code=np.where(row == n - 1, np.nan, rep)), test)
    assert unknown[WITH_ID][-1] == told[WITH_ID][-1]


def test_an_id_that_tells_nothing_is_no_better() -> None:
    """Otherwise the row would show gains that are not there."""
    rows, _ = planted(9000, seed=5)
    rep = np.random.default_rng(6).integers(0, 12, 9000).astype(np.float64)
    wide = with_code(rows, rep)
    signs = (0,) * len(rows.matrix.names)
    trees = close_settings(QUICK, signs, 7).members[0]
    old, new = np.arange(6000), np.arange(6000, 9000)
    flat = np.zeros(6000)
    plain = fit_trees(rows.take(old), flat, trees, 40, (7,)).logit(rows.take(new).matrix)
    coded = replace(trees, signs=(*signs, 0), categorical=(len(signs),))
    with_id = fit_trees(wide.take(old), flat, coded, 40, (7,)).logit(wide.take(new).matrix)
    assert log_loss(rows.y[new], with_id) > log_loss(rows.y[new], plain) - 0.003


def test_codes_can_neither_be_merged_nor_shipped() -> None:
    rows = with_code(planted(1000)[0], np.arange(1000.0) % 5)
    trees = replace(close_settings(QUICK, (0,) * 6, 7).members[0], categorical=(5,))
    with pytest.raises(ValueError, match="2 seeds of trees"):
        fit_trees(rows, np.zeros(1000), trees, 5, (7, 8))
    assert rows.matrix.names[-1] == COLUMN


def test_the_first_of_the_merged_seeds() -> None:
    rows, _ = planted(2000)
    trees = close_settings(QUICK, (0,) * 5, 7).members[0]
    flat = np.zeros(2000)
    merged = fit_trees(rows, flat, trees, 20, (7, 8, 9))
    alone = fit_trees(rows, flat, trees, 20, (7,))
    first = first_seed(merged)
    assert first is not None
    assert first.booster.num_trees() == 20
    np.testing.assert_allclose(first.logit(rows.matrix), alone.logit(rows.matrix), atol=1e-12)


# --- the config ------------------------------------------------------------------------------------------------------


def test_ablations_are_no_part_of_a_models_hash(tmp_path: Path) -> None:
    config = demo_config(tmp_path)
    assert config.backtest.ablations == ()
    assert config_hash(ablated(config, *Ablation)) == config_hash(config)
    assert Backtest().ablations == (Ablation.REP_ID,)


def test_a_fit_stands_on_the_rows_told_by_the_cut(prepared: Prepared) -> None:
    ground = ground_at(prepared, prepared.until)
    assert len(ground.rows) == ground.mask.sum()
    assert ground.rows.label_end.max() <= ground.cut
