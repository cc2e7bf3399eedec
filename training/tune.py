"""The study: which setting of the trees is tried next, and what is kept of every trial. The only module with Optuna.

A study lives in one file under ``<state_dir>/tuning`` (SQLite, or Optuna's journal). One process of a state directory
tunes at a time, which a lock held by the kernel tells (it is gone with the process, however that ends). So a trial that
the storage calls running when a study is opened was left by a process that died: it is failed and queued again with the
same values. Heartbeats are not used: they would say the same, later, and a journal has none.

The number of trials is a total over all runs. What is tried k-th depends on the seed, k and the trials before it alone
(the sampler is made anew for each trial), so an interrupted study tries what an undisturbed one would have tried.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import StateError
from configs.tuned import Member
from configs.vocab import StudyStorage

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

SPACE = 1
"""Version of the space below, of how trials are judged and of how they are sampled; part of a study's name."""

WHOLE = {"num_leaves": (2, 32), "min_data_in_leaf": (100, 1_000)}  # on a log scale
LOG = {"learning_rate": (0.015, 0.1), "lambda_l2": (0.1, 50.0)}
LINEAR = {"feature_fraction": (0.3, 1.0), "bagging_fraction": (0.5, 1.0), "path_smooth": (0.0, 50.0)}
AT_RANDOM = 10  # trials before the sampler learns from those before
ATTEMPTS = 3  # a trial that died with its process so often counts as tried, with no result
DIGITS = 4  # of a setting; more would say nothing


@dataclass(frozen=True)
class Outcome:
    """What a trial showed, mean log loss in nats. loss: of the rows it is judged on, fold_losses: by period.

    loss_new: of new deals alone, NaN without such rows. loss_every: of every row of the periods.
    """

    loss: float
    loss_new: float
    loss_every: float
    fold_losses: tuple[float, ...]
    rounds: int


@dataclass(frozen=True)
class Trial:
    """A finished trial. number: 0 is the default; in the order of finishing, repeats of one trial count once."""

    number: int
    member: Member
    outcome: Outcome


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock while tuning; raises StateError where another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            told = lock.read().strip() or "unknown"
            raise StateError(
                f"{path}: another `forecastle tune` (process {told}) works in this state directory; wait for it, "
                "or set another state_dir"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@contextmanager
def open_study(folder: Path, storage: StudyStorage, name: str) -> Iterator[Study]:
    """Open or begin a study and queue again what a dead process left; the caller holds the lock of the folder.

    Raises StateError where the storage can't be read.
    """
    import optuna
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = folder / ("study.db" if storage == StudyStorage.SQLITE else "study.journal")
    with ExitStack() as closing:
        try:
            kept = _sqlite(path, closing) if storage == StudyStorage.SQLITE else _journal(path)
            study = optuna.create_study(storage=kept, study_name=name, load_if_exists=True)
            _queue_again(study)
        except (StorageInternalError, SQLAlchemyError, ValueError, KeyError) as error:
            said = str(error).partition("\n")[0]
            raise StateError(
                f"{path}: not a study that can be read ({said}); move it away, its trials are lost, and tune again"
            ) from error
        yield study


def _sqlite(path: Path, closing: ExitStack) -> BaseStorage:
    from optuna.storages import RDBStorage

    storage = RDBStorage(f"sqlite:///{path}")
    closing.callback(storage.engine.dispose)
    return storage


def _journal(path: Path) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    _mend(path)
    return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))


def _mend(path: Path) -> None:
    """Drop what a process that died left of a journal: its lock, and a last line that was cut off as it was written."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        with path.open("rb+") as journal:
            whole = journal.read()
            journal.truncate(whole.rfind(b"\n") + 1)


def _queue_again(study: Study) -> None:
    """Fail every running trial and queue its values once more; after ATTEMPTS times it counts as tried."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        attempt = int(trial.user_attrs.get("attempt", 1))
        if attempt >= ATTEMPTS and not trial.user_attrs.get("default"):
            study.tell(trial.number, state=TrialState.PRUNED)
            continue
        study.tell(trial.number, state=TrialState.FAIL)
        told = {**trial.user_attrs, "attempt": attempt + 1, "again": trial.number}
        if trial.params.keys() == _space().keys():  # else it died before it was begun: it is proposed again as it was
            study.enqueue_trial(trial.params, user_attrs=told)
        elif trial.user_attrs.get("default"):
            study.enqueue_trial(trial.system_attrs["fixed_params"], user_attrs=told)


def run_trials(
    study: Study,
    total: int,
    default: Member,
    judge: Callable[[Member], Outcome],
    seed: int,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[Trial], None] = lambda _: None,
) -> None:
    """Try settings until the study holds `total` finished trials or `stop` says so; the default is the first."""
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(_params(default), user_attrs={"default": True})
    while (done := tried(study)) < total and not stop():
        study.sampler = _sampler(seed, done)
        asked = study.ask(_space())
        member = default if asked.user_attrs.get("default") else _member(asked.params)
        try:
            outcome = judge(member)
        except Exception:
            study.tell(asked, state=TrialState.FAIL)
            raise
        asked.set_user_attr("outcome", asdict(outcome))
        asked.set_user_attr("settings", member.model_dump(mode="json"))
        study.tell(asked, outcome.loss)
        tell(Trial(done, member, outcome))


def tried(study: Study) -> int:
    """Return how many trials count towards the total."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def finished(study: Study) -> list[Trial]:
    """Return the trials that have a result, in the order of finishing."""
    from optuna.trial import TrialState

    counted = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [
        Trial(number, Member(**trial.user_attrs["settings"]), _outcome(trial))
        for number, trial in enumerate(counted)
        if trial.state == TrialState.COMPLETE
    ]


def best(trials: list[Trial], keep: int) -> list[Trial]:
    """Return the `keep` trials of lowest loss whose settings differ, best first; of equal ones the earlier."""
    found: dict[Member, Trial] = {}
    for trial in sorted(trials, key=lambda trial: (trial.outcome.loss, trial.number)):
        found.setdefault(trial.member, trial)
    return list(found.values())[:keep]


def _outcome(trial: FrozenTrial) -> Outcome:
    told = trial.user_attrs["outcome"]
    return Outcome(told["loss"], told["loss_new"], told["loss_every"], tuple(told["fold_losses"]), told["rounds"])


def _space() -> dict[str, BaseDistribution]:
    from optuna.distributions import FloatDistribution, IntDistribution

    whole = {name: IntDistribution(low, high, log=True) for name, (low, high) in WHOLE.items()}
    log = {name: FloatDistribution(low, high, log=True) for name, (low, high) in LOG.items()}
    return {**whole, **log, **{name: FloatDistribution(low, high) for name, (low, high) in LINEAR.items()}}


def _sampler(seed: int, number: int) -> Any:
    from optuna.samplers import TPESampler

    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return TPESampler(n_startup_trials=AT_RANDOM, multivariate=True, seed=drawn)


def _member(params: Mapping[str, Any]) -> Member:
    said = {name: value if name in WHOLE else float(f"{value:.{DIGITS}g}") for name, value in params.items()}
    return Member.model_validate(said)


def _params(default: Member) -> dict[str, Any]:
    """Return the place of the default in the space, or the nearest to it; it is judged as it is."""
    said = default.model_dump()
    return {name: type(low)(min(max(said[name], low), high)) for name, (low, high) in (WHOLE | LOG | LINEAR).items()}
