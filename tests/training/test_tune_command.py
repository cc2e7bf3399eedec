"""`forecastle tune` over a small company: what it may see, what it writes, what it says, and how it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from configs.errors import ConfigError, StateError, TooLittleDataError
from configs.load import config_hash, load_tuned, tuned_members
from configs.schema import Config
from configs.tuned import Confirmed, Margin, Member, Tuned
from configs.vocab import Target
from features.ingest import Ingest
from features.known import known_before
from features.periods import DAY
from features.sources.base import open_source
from features.tables import CrmTables
from models.close import Shared
from tests.companies import demo_config
from training.cuts import fit_on, ground_at
from training.fit import fingerprint
from training.prepare import Prepared, end_of, prepare, trainable
from training.tracking import Tracker
from training.tune import Outcome, Trial
from training.tune_command import study_name, tune, tuning_cut
from training.tune_report import _beats, tuned_of
from training.tune_trial import EMBARGO, Arena, TuneFold, tune_folds

ROOT = Path(__file__).parents[2]
FEW = (
    "tuning.trials=3",
    "tuning.periods=2",
    "tuning.keep=2",
    "model.max_rounds=30",
    "features.groups=[deal, clock, activity]",
)
pytestmark = pytest.mark.timeout(600)  # seconds where nobody else works


@dataclass(frozen=True)
class Once:
    """A run and what it answered."""

    config: Config
    told: dict[str, Any]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    folder = tmp_path_factory.mktemp("tune")
    config = configured(folder / "state")
    return Once(config, tune(config, None, "again"))


@pytest.fixture(scope="module")
def ingest(once: Once) -> Ingest:
    return open_source(once.config).read()


@pytest.fixture(scope="module")
def prepared(once: Once, ingest: Ingest) -> Prepared:
    return prepare(once.config, ingest, tuning_cut(once.config, ingest, None))


@pytest.fixture(scope="module")
def folds(prepared: Prepared) -> list[TuneFold]:
    return tune_folds(prepared, 2)


def configured(state: Path, *overrides: str) -> Config:
    return demo_config(state, *FEW, *overrides)


def test_what_is_written_can_be_read_and_names_its_evidence(once: Once) -> None:
    tuned = load_tuned(Path(once.told["path"]))
    assert tuned == Tuned.model_validate(once.told["tuned"], strict=False)
    evidence = tuned.evidence
    assert evidence is not None
    assert evidence.trials == once.told["trials"] == 3
    assert evidence.default.trial == 0
    assert evidence.default.settings.min_data_in_leaf == once.config.model.min_data_in_leaf
    assert len(evidence.considered) == 2
    assert [c.loss for c in evidence.considered] == sorted(c.loss for c in evidence.considered)
    assert len(evidence.considered[0].fold_losses) == len(evidence.selected_on) == 2
    assert max(evidence.selected_on) < evidence.confirmed_on
    assert evidence.confirmed.margin.value == pytest.approx(
        evidence.confirmed.default_loss - evidence.confirmed.tuned_loss, abs=1e-12
    )
    kept = tuple(c.settings for c in evidence.considered) if tuned.beats_default else (evidence.default.settings,)
    assert tuned.members == kept
    assert ("did not beat" in tuned.verdict) is not tuned.beats_default


def test_a_second_run_tries_nothing_more_and_writes_the_same(once: Once) -> None:
    before = Path(once.told["path"]).read_bytes()
    assert tune(once.config, None, "again") == once.told
    assert Path(once.told["path"]).read_bytes() == before


def test_outcomes_of_the_test_periods_change_nothing(
    once: Once, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every stage told in the test periods replaced by another, the study is the same, and so is the file."""
    cut = tuning_cut(once.config, ingest, None)
    later = ingest.tables.deal_history.ints("known_at") >= cut
    assert later.mean() > 0.1
    other = replace(ingest, tables=with_other_stages(ingest.tables, later))
    monkeypatch.setattr("training.tune_command.ingest_of", lambda _: other)
    told = tune(configured(tmp_path), None, "again")
    assert told["study"] == once.told["study"]
    assert Path(told["path"]).read_bytes() == Path(once.told["path"]).read_bytes()
    few = ~later & (np.arange(len(later)) % 50 == 0)
    earlier = known_before(with_other_stages(ingest.tables, few), cut)
    assert study_name(once.config, cut, fingerprint(earlier)) != once.told["study"], "nor before the cut"


def with_other_stages(tables: CrmTables, rows: np.ndarray) -> CrmTables:
    """Replace the stage of some rows of the history by the one before it in the list of stages."""
    stage = tables.deal_history.coded("stage")
    codes = np.where(rows & (stage.codes >= 0), (stage.codes - 1) % len(stage.values), stage.codes)
    other = replace(stage, codes=codes.astype(stage.codes.dtype))
    return replace(tables, deal_history=tables.deal_history.replace({"stage": other}))


def test_periods_are_purged_and_lie_before_the_tests(prepared: Prepared, folds: list[TuneFold]) -> None:
    assert len(folds) == 3
    for fold in folds:
        assert fold.train.label_end.max() <= fold.cut
        assert fold.every.as_of.min() >= fold.cut
        assert fold.every.label_end.max() <= prepared.until
        assert fold.judged.all(), "tuning.rows is every, as a backtest judges"
        new = fold.every.take(fold.new)
        assert not set(new.deal) & set(fold.train.deal)
        assert new.as_of.min() >= fold.cut + EMBARGO
        assert set(fold.every.deal) & set(fold.train.deal), "nothing to purge: the test shows nothing"
    assert [fold.cut for fold in folds] == sorted({fold.cut for fold in folds})
    assert EMBARGO == 7 * DAY


def test_the_cut_is_where_the_tests_begin(once: Once, ingest: Ingest) -> None:
    from training.backtest import folds_of

    whole = prepare(once.config, ingest)
    assert tuning_cut(once.config, ingest, None) == folds_of(whole)[0].cut
    as_of = end_of(ingest.tables, once.config.time_zone) - 100 * DAY
    assert tuning_cut(once.config, ingest, as_of) == folds_of(prepare(once.config, ingest, as_of))[0].cut


def test_an_eventual_head_is_judged_by_creation(once: Once, ingest: Ingest, tmp_path: Path) -> None:
    config = configured(tmp_path, "target=eventual", "training.horizon_days=90")
    assert config.target == Target.EVENTUAL
    cut = tuning_cut(config, ingest, None)
    made = prepare(config, ingest, cut)
    folds = tune_folds(made, 2)
    assert len(folds) == 3
    told = trainable(made, cut)
    for fold in folds:
        assert fold.train.label_end.max() <= fold.cut
        assert not set(fold.every.deal) & set(fold.train.deal)
    assert sum(len(fold.every) for fold in folds) < told.sum()


def test_a_trial_is_the_same_whatever_was_tried_before(prepared: Prepared, folds: list[TuneFold]) -> None:
    first = Member(
        num_leaves=4, min_data_in_leaf=100, learning_rate=0.1, feature_fraction=0.9, bagging_fraction=0.9,
        lambda_l2=1.0, path_smooth=0.0,
    )  # fmt: skip
    second = first.model_copy(update={"num_leaves": 20, "min_data_in_leaf": 300})
    arena = Arena(prepared, folds[:-1])
    alone = Arena(prepared, folds[:-1]).judge(second)
    outcome = arena.judge(first)
    assert arena.judge(second) == alone
    assert arena.judge(first) == outcome
    sizes = [int(fold.judged.sum()) for fold in folds[:-1]]
    assert outcome.loss == pytest.approx(np.average(outcome.fold_losses, weights=sizes), abs=1e-12)


def test_what_does_not_win_where_no_trial_was_chosen_is_not_used(prepared: Prepared, folds: list[TuneFold]) -> None:
    """Trials that look much better, of settings that fit noise: the period that confirms tells."""
    default = Member(**{key: getattr(prepared.config.model, key) for key in Member.model_fields})
    wild = default.model_copy(
        update={"num_leaves": 500, "min_data_in_leaf": 1, "learning_rate": 1.0, "lambda_l2": 0.0, "path_smooth": 0.0}
    )
    trials = [
        Trial(0, default, Outcome(0.3, 0.3, 0.3, (0.3, 0.3), 9)),
        Trial(1, wild, Outcome(0.1, 0.1, 0.1, (0.1, 0.1), 9)),
    ]
    tuned = tuned_of(prepared, folds, trials, "study")
    assert tuned.evidence is not None
    assert tuned.evidence.considered[0].settings == wild
    assert not tuned.beats_default
    assert tuned.members == (default,)
    assert "did not beat the default" in tuned.verdict
    assert "the default is kept" in tuned.verdict


@pytest.mark.parametrize(
    ("value", "above", "overrides", "beats"),
    [
        (0.001, 0.95, (), True),
        (0.001, 0.85, (), False),
        (0.001, 0.85, ("tuning.confidence=0",), True),
        (-0.001, 0.95, ("tuning.confidence=0",), False),
        (0.0, 1.0, (), False),
        (0.001, 1.0, ("tuning.min_gain=0.002",), False),
        (0.001, None, (), True),
    ],
)
def test_the_margin_decides(
    tmp_path: Path, value: float, above: float | None, overrides: tuple[str, ...], beats: bool
) -> None:
    margin = Margin(value=value, low=None, high=None, above=above)
    confirmed = Confirmed(rows=10, deals=5, default_loss=0.3, tuned_loss=0.3 - value, margin=margin)
    assert _beats(demo_config(tmp_path, *overrides), confirmed) is beats


def test_too_short_a_record_says_what_is_missing(prepared: Prepared, folds: list[TuneFold]) -> None:
    """With the newest period alone nothing can train."""
    short = replace(prepared, examples=prepared.examples.take(prepared.examples.as_of >= folds[-1].cut))
    with pytest.raises(TooLittleDataError, match=r"0 periods before the tests.*keep the default settings"):
        tune_folds(short, 2)


def written(path: Path, count: int = 2, **changes: object) -> Path:
    """A file of `count` members as a person may write it."""
    said = {"num_leaves": 4, "min_data_in_leaf": 60, "learning_rate": 0.1, "feature_fraction": 0.5,
            "bagging_fraction": 0.5, "lambda_l2": 1.5, "path_smooth": 0.0} | changes  # fmt: skip
    lines = ["format: 1", "beats_default: true", "verdict: by hand", "members:"]
    for k in range(count):
        rows = [f"{key}: {value}" for key, value in (said | {"num_leaves": 4 + k}).items()]
        lines += [f"  - {rows[0]}", *(f"    {row}" for row in rows[1:])]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_members_are_what_a_fit_averages(once: Once, prepared: Prepared, tmp_path: Path) -> None:
    path = written(tmp_path / "tuned.yaml", 3)
    config = configured(tmp_path, f"model.tuned={path}")
    ground = ground_at(replace(prepared, config=config), prepared.until)
    assert [member.num_leaves for member in ground.settings.members] == [4, 5, 6]
    assert {member.min_data_in_leaf for member in ground.settings.members} == {60}
    model, notes = fit_on(prepared, ground, Shared())
    assert len(notes.trust) == 3
    assert np.isfinite(model.predict(prepared.examples.matrix)).all()


def test_the_hash_follows_the_settings_and_not_where_they_lie(tmp_path: Path) -> None:
    none = config_hash(demo_config(tmp_path))
    one = config_hash(demo_config(tmp_path, f"model.tuned={written(tmp_path / 'one.yaml')}"))
    same = config_hash(demo_config(tmp_path, f"model.tuned={written(tmp_path / 'same.yaml')}"))
    other = config_hash(demo_config(tmp_path, f"model.tuned={written(tmp_path / 'other.yaml', lambda_l2=3)}"))
    assert one == same
    assert len({none, one, other}) == 3
    assert config_hash(demo_config(tmp_path, "tuning.trials=9")) == none


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "tuned.yaml: the tuned file is empty"),
        ("format: 2\nbeats_default: true\nverdict: x\nmembers: []\n", "tuned.yaml:1:9: format"),
        ("format: 1\nbeats_default: true\nverdict: x\nmembers: []\n", "tuned.yaml:4:10: members"),
        ("format: 1\nbeats_default: true\nverdict: x\nmember: []\n", "did you mean 'members'?"),
        (
            "format: 1\nbeats_default: true\nverdict: x\nmembers:\n  - num_leaves: 1\n",
            "tuned.yaml:5:17: members[0].num_leaves: 1; expected at least 2, at most 1024",
        ),
    ],
)
def test_a_bad_file_says_where(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "tuned.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        tuned_members(demo_config(tmp_path, f"model.tuned={path}"))
    assert says in str(caught.value)


def test_a_missing_file_stops_training_before_it_reads_anything(tmp_path: Path) -> None:
    from training.commands import backtest
    from training.train_command import train

    config = demo_config(tmp_path / "state", f"model.tuned={tmp_path / 'none.yaml'}")
    for command in (lambda: train(config, None), lambda: backtest(config, tmp_path / "out")):
        with pytest.raises(ConfigError, match="there is no such tuned file"):
            command()
    assert not (tmp_path / "state").exists()


def test_tuning_looks_past_what_was_tuned_before(once: Once, ingest: Ingest, tmp_path: Path) -> None:
    """A config that names the file takes the same study up: its own section is the default to beat."""
    named = configured(once.config.state_dir, f"model.tuned={tmp_path / 'not yet there.yaml'}")
    assert tune(named, None, "again")["study"] == once.told["study"]


def test_the_name_of_a_study_follows_what_its_losses_depend_on(tmp_path: Path) -> None:
    def name(*overrides: str, cut: int = 1, data: str = "d") -> str:
        return study_name(demo_config(tmp_path, *overrides), cut, data)

    same = {
        name(),
        name("tuning.trials=99"),
        name("tuning.keep=3"),
        name("backtest.bootstrap=7"),
        name("serving.port=1"),
    }
    others = {
        name("seed=8"),
        name("model.num_leaves=9"),
        name("tuning.periods=4"),
        name("tuning.rows=new"),
        name(cut=2),
        name(data="e"),
    }
    assert len(same) == 1
    assert len(others | same) == 7


def test_mlflow_gets_a_run_and_one_nested_in_it_for_each_trial(once: Once) -> None:
    import mlflow

    client = mlflow.MlflowClient(Tracker(once.config.state_dir, once.config.name).uri)
    runs = client.search_runs(["1"])
    nested = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = [run for run in runs if run not in nested]
    assert parent.info.run_name.startswith("tune-")
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parent.info.run_id}
    assert sorted(run.data.tags["tuning.trial"] for run in nested) == ["0", "1", "2"], "repeated or left out"
    assert all({"loss", "loss_0", "loss_1", "rounds"} <= run.data.metrics.keys() for run in nested)
    assert all(run.data.params.keys() == Member.model_fields.keys() for run in nested)
    assert [path.path for path in client.list_artifacts(parent.info.run_id)] == ["tuned.json"]
    assert not client.list_artifacts(nested[0].info.run_id)


def test_a_broken_tracking_store_stops_nothing(once: Once, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"no database at all" * 100)
    told = tune(configured(tmp_path, "tuning.trials=1"), None, "again")
    assert Path(told["path"]).exists()
    assert "MLflow was not told" in capsys.readouterr().err


def test_a_second_process_is_refused(once: Once) -> None:
    from training.tune import only_one

    with only_one(once.config.state_dir / "tuning"), pytest.raises(StateError, match="another `forecastle tune`"):
        tune(once.config, None, "again")


def forecastle(state: Path, *more: str) -> list[str]:
    overrides = [
        f"state_dir={state}", *FEW, "source.simulate.periods=10", "source.simulate.wins_per_period=30",
        "source.simulate.seed=4242", "model.seeds=2", "model.min_data_in_leaf=50", "backtest.test_periods=2",
        "backtest.bootstrap=50", *more,
    ]  # fmt: skip
    sets = [part for text in overrides for part in ("--set", text)]
    return [sys.executable, "forecastle.py", "tune", str(ROOT / "configs" / "demo.yaml"), *sets, "--json"]


def test_ctrl_c_keeps_what_there_is_and_says_how_to_go_on(tmp_path: Path) -> None:
    """The whole command: interrupted, it writes from the trials there are, which a later run takes up (see below)."""
    errors = tmp_path / "stderr"
    command = forecastle(tmp_path / "state", "tuning.trials=500")
    with errors.open("w") as out, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=out) as process:
        try:
            until = monotonic() + 240
            while "trial 2 of 500" not in errors.read_text() and monotonic() < until and process.poll() is None:
                sleep(0.1)
            assert "trial 2 of 500" in errors.read_text()
            os.kill(process.pid, signal.SIGINT)
            said = process.communicate(timeout=240)[0].decode()
        finally:
            process.kill()
    assert process.returncode == 130, errors.read_text()
    assert "To go on: forecastle tune" in errors.read_text()
    told = json.loads(said.splitlines()[-1])
    assert told["interrupted"]
    assert 2 <= told["trials"] < 500
    assert load_tuned(Path(told["path"])).evidence is not None
