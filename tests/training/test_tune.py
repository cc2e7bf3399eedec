"""The study: what is tried and when, what survives kill -9, who may tune; judged by a formula, so that it is quick."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import pytest
from optuna.trial import TrialState

from configs.errors import StateError
from configs.tuned import Member
from configs.vocab import StudyStorage
from training.tune import (
    ATTEMPTS,
    LINEAR,
    LOG,
    WHOLE,
    Outcome,
    Trial,
    best,
    finished,
    only_one,
    open_study,
    run_trials,
    tried,
)

ROOT = Path(__file__).parents[2]
DEFAULT = Member(
    num_leaves=8,
    min_data_in_leaf=50,  # below what is searched
    learning_rate=0.03,
    feature_fraction=0.6,
    bagging_fraction=0.8,
    lambda_l2=2.0,
    path_smooth=10.0,
)
STORAGES = [StudyStorage.SQLITE, StudyStorage.JOURNAL]
SEED = 11


def formula(member: Member) -> Outcome:
    """A loss with its lowest point at 5 leaves and a penalty of 3."""
    loss = 0.3 + 0.1 * abs(math.log(member.num_leaves / 5)) + 0.01 * abs(member.lambda_l2 - 3)
    return Outcome(loss, loss, loss, (loss, loss), 10)


def run(folder: Path, storage: StudyStorage, total: int, judge: Callable[[Member], Outcome] = formula) -> list[Trial]:
    with only_one(folder), open_study(folder, storage, "s") as study:
        run_trials(study, total, DEFAULT, judge, SEED)
        return finished(study)


def states(folder: Path, storage: StudyStorage) -> list[TrialState]:
    with only_one(folder), open_study(folder, storage, "s") as study:
        return [trial.state for trial in study.get_trials()]


def test_the_default_is_tried_first_and_as_it_is(tmp_path: Path) -> None:
    trials = run(tmp_path, StudyStorage.SQLITE, 3)
    assert trials[0].member == DEFAULT
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert DEFAULT not in [trial.member for trial in trials[1:]]


def test_what_is_tried_lies_in_the_space_and_the_sampler_learns(tmp_path: Path) -> None:
    trials = run(tmp_path, StudyStorage.SQLITE, 26)
    for name, (low, high) in (WHOLE | LOG | LINEAR).items():
        said = [getattr(trial.member, name) for trial in trials[1:]]
        assert low <= min(said) < max(said) <= high, name
    losses = [trial.outcome.loss for trial in trials]
    assert sum(losses[16:]) / 10 < sum(losses[1:11]) / 10, "later trials are no nearer to the lowest point"


@pytest.mark.parametrize("storage", STORAGES)
def test_the_number_of_trials_is_a_total_over_runs(tmp_path: Path, storage: StudyStorage) -> None:
    undisturbed = run(tmp_path / "one", storage, 14)
    for total in (3, 12, 14, 14, 5):
        trials = run(tmp_path / "many", storage, total)
    assert trials == undisturbed
    assert states(tmp_path / "many", storage) == [TrialState.COMPLETE] * 14


def test_both_storages_try_the_same(tmp_path: Path) -> None:
    first, second = (run(tmp_path / storage, storage, 13) for storage in STORAGES)
    assert first == second


def test_another_seed_tries_others(tmp_path: Path) -> None:
    with only_one(tmp_path), open_study(tmp_path, StudyStorage.SQLITE, "other") as study:
        run_trials(study, 3, DEFAULT, formula, SEED + 1)
        others = finished(study)
    assert others[1:] != run(tmp_path, StudyStorage.SQLITE, 3)[1:]


DYING = """
import math, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from configs.tuned import Member
from configs.vocab import StudyStorage
from training.tune import Outcome, only_one, open_study, run_trials

folder, count = Path({folder!r}), 0
def judge(member):
    global count
    count += 1
    if count > {at}:
        (folder / "hangs").write_text("x")
        time.sleep(100)
    loss = 0.3 + 0.1 * abs(math.log(member.num_leaves / 5)) + 0.01 * abs(member.lambda_l2 - 3)
    return Outcome(loss, loss, loss, (loss, loss), 10)
with only_one(folder), open_study(folder, StudyStorage({storage!r}), "s") as study:
    run_trials(study, 14, Member(**{default!r}), judge, {seed})
"""


def kill_in_trial(folder: Path, storage: StudyStorage, at: int) -> None:
    """Run a study in a process of its own and kill it with -9 after `at` finished trials, in the middle of the next."""
    folder.mkdir(exist_ok=True)
    mark = folder / "hangs"
    script = DYING.format(
        root=str(ROOT), folder=str(folder), at=at, storage=str(storage), default=DEFAULT.model_dump(), seed=SEED
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as process:
        try:
            until = monotonic() + 100
            while not mark.exists() and monotonic() < until and process.poll() is None:
                sleep(0.05)
            assert mark.exists(), "the study did not get as far as the trial it is killed in"
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.timeout(150)  # a second where nobody else works
@pytest.mark.parametrize("storage", STORAGES)
def test_kill_9_in_a_trial_loses_nothing_but_that_trial(tmp_path: Path, storage: StudyStorage) -> None:
    """The trial that ran is failed and tried again with the same values, and what follows is as if nothing had been."""
    kill_in_trial(tmp_path / "killed", storage, 3)
    resumed = run(tmp_path / "killed", storage, 14)
    assert resumed == run(tmp_path / "undisturbed", storage, 14)
    with only_one(tmp_path), open_study(tmp_path / "killed", storage, "s") as study:
        (dead,) = study.get_trials(states=(TrialState.FAIL,))
        (again,) = [trial for trial in study.get_trials() if trial.user_attrs.get("again") == dead.number]
        assert not study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))
    assert again.params == dead.params
    assert again.state == TrialState.COMPLETE


@pytest.mark.timeout(150)
def test_kill_9_in_the_default(tmp_path: Path) -> None:
    kill_in_trial(tmp_path, StudyStorage.SQLITE, 0)
    assert run(tmp_path, StudyStorage.SQLITE, 2)[0].member == DEFAULT


def leave_running(folder: Path) -> None:
    """Begin a trial and never end it, as a process that dies in it does."""

    class DiedError(BaseException):
        pass

    def die(_: Member) -> Outcome:
        raise DiedError

    with pytest.raises(DiedError):
        run(folder, StudyStorage.SQLITE, 3, die)


def test_a_trial_that_kills_every_process_is_given_up(tmp_path: Path) -> None:
    run(tmp_path, StudyStorage.SQLITE, 2)
    for _ in range(ATTEMPTS):
        leave_running(tmp_path)
    trials = run(tmp_path, StudyStorage.SQLITE, 4)
    assert [trial.number for trial in trials] == [0, 1, 3], "trial 2 counts and has no result"
    with only_one(tmp_path), open_study(tmp_path, StudyStorage.SQLITE, "s") as study:
        assert tried(study) == 4


def test_an_error_in_a_trial_is_raised_and_the_trial_tried_again(tmp_path: Path) -> None:
    def fail(member: Member) -> Outcome:
        raise ValueError(json.dumps(member.model_dump()))

    run(tmp_path, StudyStorage.SQLITE, 2)
    said = []
    for _ in range(2):
        with pytest.raises(ValueError, match="num_leaves") as caught:
            run(tmp_path, StudyStorage.SQLITE, 3, fail)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert run(tmp_path, StudyStorage.SQLITE, 3) == run(tmp_path / "undisturbed", StudyStorage.SQLITE, 3)


def test_a_journal_cut_off_in_its_last_line_is_taken_up(tmp_path: Path) -> None:
    """A process that dies as it writes leaves half a line and the storage's own lock, which would hold others up."""
    run(tmp_path, StudyStorage.JOURNAL, 3)
    journal = tmp_path / "study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole.splitlines()[-1][:20])
    (tmp_path / "study.journal.lock").touch()
    begun = monotonic()
    assert run(tmp_path, StudyStorage.JOURNAL, 5) == run(tmp_path / "undisturbed", StudyStorage.JOURNAL, 5)
    assert monotonic() - begun < 20, "Optuna waits 30 s for a lock that nobody holds"


@pytest.mark.parametrize("storage", STORAGES)
def test_a_damaged_study_is_one_clear_error(tmp_path: Path, storage: StudyStorage) -> None:
    name = "study.db" if storage == StudyStorage.SQLITE else "study.journal"
    (tmp_path / name).write_bytes(b"not a study\n" * 1000)
    with pytest.raises(StateError, match=f"{name}: not a study that can be read.*move it away"):
        run(tmp_path, storage, 1)


def test_one_process_tunes_at_a_time(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(StateError, match=f"process {os.getpid()}"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_stop_is_asked_between_trials(tmp_path: Path) -> None:
    seen: list[Trial] = []

    def enough() -> bool:
        return len(seen) == 2

    with only_one(tmp_path), open_study(tmp_path, StudyStorage.SQLITE, "s") as study:
        run_trials(study, 10, DEFAULT, formula, SEED, enough, seen.append)
        assert finished(study) == seen


def test_the_best_differ_and_equal_ones_keep_their_order() -> None:
    def trial(number: int, leaves: int, loss: float) -> Trial:
        return Trial(number, DEFAULT.model_copy(update={"num_leaves": leaves}), Outcome(loss, loss, loss, (loss,), 1))

    trials = [trial(0, 8, 0.3), trial(1, 4, 0.2), trial(2, 4, 0.2), trial(3, 5, 0.2), trial(4, 6, 0.1)]
    assert [each.number for each in best(trials, 3)] == [4, 1, 3]
    assert len(best(trials, 9)) == 4
