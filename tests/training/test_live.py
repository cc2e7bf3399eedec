"""The candidate against live, like with like: a worse config is not published because the good model is old."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import ConfigError
from configs.learning import Gates
from configs.load import read_recorded
from configs.schema import Config
from models.bundle import Bundle
from models.store import Store
from tests.companies import demo_config
from tests.served import LIGHT, World
from training.backtest import CLOSE, run_backtest
from training.backtest import Tested as Rows
from training.gates import Verdict, passed
from training.latency import explained_ms
from training.live import (
    ITSELF,
    RANKS,
    SETTINGS,
    Live,
    against_live,
    as_live,
    factor_ranks,
    find_live,
    rank_verdict,
    rows_in,
)
from training.prepare import Prepared, prepare

pytestmark = pytest.mark.timeout(180)

CRIPPLED = ("features.groups=[deal, clock]", "model.offset=table", "model.max_rounds=1")


@pytest.fixture(scope="module")
def whole(world: World) -> Prepared:
    """All rows, with the settings of the live model."""
    return prepare(world.config, world.ingest)


@pytest.fixture(scope="module")
def crippled(world: World) -> tuple[Prepared, Rows]:
    """A candidate's rows and backtest whose config leaves most of the features out."""
    config = demo_config(world.config.state_dir, *LIGHT, *CRIPPLED)
    prepared = prepare(config, world.ingest)
    return prepared, run_backtest(prepared, baselines={})


@pytest.fixture(scope="module")
def good(whole: Prepared) -> Rows:
    return run_backtest(whole, baselines={})


def by_gate(found: list[Verdict]) -> dict[str, Verdict]:
    return {verdict.gate: verdict for verdict in found}


def judged(
    world: World, prepared: Prepared, tested: Rows, live: Bundle, config: Config | None, gates: Gates | None = None
) -> dict[str, Verdict]:
    said: list[str] = []
    return by_gate(against_live(gates or Gates(), Live(live, config), prepared, tested, world.ingest, said.append))


def test_a_worse_config_is_refused_however_old_live_is(world: World, crippled: tuple[Prepared, Rows]) -> None:
    """Live stands for any age: what is fitted at the cuts is its config, on the candidate's rows and folds."""
    found = judged(world, *crippled, world.bundle, world.config)
    told = found[SETTINGS]
    assert not told.passed
    assert told.value is not None
    assert told.low is not None
    assert told.value > told.low > 0  # and clearly: the groups that were left out are worth something here
    assert told.threshold == 0.002


def test_a_better_config_passes(world: World, whole: Prepared, good: Rows, crippled: tuple[Prepared, Rows]) -> None:
    worse, _ = crippled
    found = judged(world, whole, good, world.bundle, worse.config)
    assert found[SETTINGS].passed
    assert found[SETTINGS].value is not None
    assert found[SETTINGS].value < 0


def test_the_same_settings_need_no_second_fit(world: World, whole: Prepared, good: Rows) -> None:
    said: list[str] = []
    found = against_live(Gates(), Live(world.bundle, whole.config), whole, good, world.ingest, said.append)
    told = by_gate(found)[SETTINGS]
    assert (told.value, told.passed) == (0.0, True)
    assert "the same settings" in told.note
    assert said == []


def test_what_live_said_itself_of_later_periods_counts_too(world: World, whole: Prepared, good: Rows) -> None:
    """Live was trained before the last period began, so there its own answers are honest."""
    told = judged(world, whole, good, world.bundle, whole.config)[ITSELF]
    assert told.passed
    assert told.note == "1 period(s)"
    assert abs(told.value or 1.0) < 0.05
    # a candidate that answers worse than live does there is refused, whatever its config does on other periods
    wrong = replace(good, p=good.p | {CLOSE: 1 - good.p[CLOSE]})
    assert not judged(world, whole, wrong, world.bundle, whole.config)[ITSELF].passed


def test_a_live_model_that_has_seen_the_test_is_not_asked(world: World, whole: Prepared, good: Rows) -> None:
    seen = replace(world.bundle, about=replace(world.bundle.about, trained_as_of=whole.until))
    assert set(judged(world, whole, good, seen, whole.config)) == {SETTINGS}


def test_without_a_recorded_config_it_says_that_it_did_not_compare(world: World, whole: Prepared, good: Rows) -> None:
    told = judged(world, whole, good, world.bundle, None)[SETTINGS]
    assert told.rule == "reported"
    assert "not compared" in told.note
    assert passed([told])
    assert judged(world, whole, good, world.bundle, None, Gates(not_worse_than_live=None)) == {}


def test_live_is_found_with_its_config(world: World, tmp_path: Path) -> None:
    folder = Store(world.config.state_dir / "bundles").current()
    papers = tmp_path / "told.json"
    papers.write_text(json.dumps({"config": world.config.model_dump(mode="json")}))
    found = find_live(folder, papers)
    assert isinstance(found, Live)
    assert found.bundle.sha == world.bundle.sha
    assert found.config is not None
    assert found.config.model == world.config.model
    for text in ("", "{}", '{"config": {"name": 3}}', "[]"):
        papers.write_text(text)
        told = find_live(folder, papers)
        assert isinstance(told, Live)
        assert told.config is None
    assert "can't be loaded" in str(find_live(tmp_path, papers))


def test_a_recorded_config_is_read_as_it_was(world: World) -> None:
    assert read_recorded(world.config.model_dump(mode="json")) == world.config
    with pytest.raises(ConfigError, match=r"model\.seeds"):
        read_recorded(world.config.model_dump(mode="json") | {"model": {"seeds": 0}})


def test_rows_are_matched_by_deal_and_instant(world: World, whole: Prepared) -> None:
    theirs = as_live(demo_config(world.config.state_dir, *LIGHT, "model.num_leaves=4"), whole, world.ingest)
    assert theirs.examples is whole.examples  # the same features: nothing is built again
    assert theirs.config.model.num_leaves == 4
    some = np.array([5, 3, 8])
    assert rows_in(theirs, whole, some).tolist() == [5, 3, 8]
    fewer = replace(whole, examples=whole.examples.take(np.arange(6)))
    assert rows_in(fewer, whole, some).tolist() == [5, 3, -1]


def test_the_rank_correlation_of_factors(
    world: World, whole: Prepared, good: Rows, crippled: tuple[Prepared, Rows]
) -> None:
    (told,) = rank_verdict(Gates(), world.bundle, Live(world.bundle, None), whole, good)
    assert told.gate == RANKS
    assert told.value == pytest.approx(1.0)  # with itself
    assert told.rule == "reported"
    other = crippled[1].newest
    assert other is not None
    (told,) = rank_verdict(Gates(), replace(world.bundle, model=other), Live(world.bundle, None), whole, good)
    assert 0.0 < (told.value or 0.0) < 0.95  # factors that it does not have count nothing there


def test_the_rank_correlation_agrees_with_scipy(
    world: World, whole: Prepared, good: Rows, crippled: tuple[Prepared, Rows]
) -> None:
    from scipy.stats import spearmanr

    other = crippled[1].newest
    assert other is not None
    matrix = whole.examples.take(good.rows[:300]).matrix
    values = dict(zip(matrix.names, matrix.values.T, strict=True))
    names, theirs, _ = world.bundle.model.contributions(matrix)
    few, ours, _ = other.contributions(whole.examples.select(other.names).take(good.rows[:300]).matrix)
    sizes = dict(zip(few, np.abs(ours).mean(axis=0), strict=True))
    expected = spearmanr([sizes.get(name, 0.0) for name in names], np.abs(theirs).mean(axis=0)).statistic
    assert factor_ranks(other, world.bundle.model, values) == pytest.approx(expected, rel=1e-9)


def test_latency_is_a_few_milliseconds_of_cpu(world: World) -> None:
    """No speed is asserted here, only that something sane is measured: more than nothing, less than a second."""
    assert 0.01 < explained_ms(world.bundle) < 1000
