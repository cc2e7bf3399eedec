"""What `tune` does: read what was known before the tests begin, try settings, confirm, write the file."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any

import typer

from configs.console import say
from configs.errors import TooLittleDataError, TrackingError
from configs.learning import Backtest
from configs.load import config_hash, mapping_of
from configs.schema import Config
from configs.subject import Subject
from configs.tuned import Member, Tuned
from configs.vocab import Target
from features.ingest import Ingest
from features.known import known_before
from models.store import writable_folder
from training.backtest import folds_of, untestable
from training.commands import ingest_of
from training.fit import fingerprint
from training.prepare import calendar_of, end_of, prepare
from training.splits import first_test
from training.tracking import RunRecord, Tracker
from training.tune import SPACE, Trial, finished, only_one, open_study, run_trials
from training.tune_report import tuned_of, tuned_table, write_tuned
from training.tune_trial import Arena, tune_folds

INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it


def tune(config: Config, as_of: int | None, again: str) -> dict[str, Any]:
    """Try settings up to the config's number of trials, confirm the best and write the file; see README, Tuning.

    again: the command that takes an interrupted study up. Returns what `--json` prints; `interrupted` says whether
    Ctrl-C ended it. Raises DataError, StateError.
    """
    # The default that settings must beat is the config's own section, whatever was tuned before.
    config = config.model_copy(update={"model": config.model.model_copy(update={"tuned": None})})
    folder = config.state_dir / "tuning"
    writable_folder(folder, f"state_dir {config.state_dir}")
    with only_one(folder):
        ingest = ingest_of(config)
        cut = tuning_cut(config, ingest, as_of)
        prepared = prepare(config, ingest, cut)
        folds = tune_folds(prepared, config.tuning.periods)
        name = study_name(config, cut, fingerprint(known_before(ingest.tables, cut)))
        say(f"study {name}: chosen on {len(folds) - 1} periods, confirmed on that from {folds[-1].first}")
        arena = Arena(prepared, folds[:-1])
        with open_study(folder, config.tuning.storage, name) as study, asked_to_stop() as stopped:
            default = Member(**{key: getattr(config.model, key) for key in Member.model_fields})
            progress = Progress(config.tuning.trials, finished(study))
            run_trials(study, config.tuning.trials, default, arena.judge, config.seed, stopped, progress)
            trials = finished(study)
            if not trials:  # asked to stop before the default was done
                return _interrupted(name, 0, again)
            say("confirming the best on the newest period before the tests")
            tuned = tuned_of(prepared, folds, trials, name)
            interrupted = len(trials) < config.tuning.trials and stopped()
    path = path_of(config)
    write_tuned(path, tuned)
    _track(config, name, trials, tuned)
    typer.echo(tuned_table(tuned, Subject.of(config.target)))
    typer.echo(f"written: {path}; train with it by --set model.tuned={path}")
    told = {
        "study": name,
        "trials": len(trials),
        "path": str(path),
        "beats_default": tuned.beats_default,
        "tuned": tuned.model_dump(mode="json"),
    }
    return told | (_interrupted(name, len(trials), again) if interrupted else {"interrupted": False})


def tuning_cut(config: Config, ingest: Ingest, as_of: int | None) -> int:
    """Return when the backtest's tests begin: tuning sees nothing known at or after it.

    Raises TooLittleDataError where a head without periods has nothing to test.
    """
    if config.target == Target.IN_PERIOD:
        end = end_of(ingest.tables, config.time_zone, config.target) if as_of is None else as_of
        return first_test(calendar_of(config), end, config.backtest.test_periods)
    prepared = prepare(config, ingest, as_of)
    folds = folds_of(prepared)
    if not folds:
        raise TooLittleDataError(f"{untestable(prepared)}; use a longer history, or set backtest")
    return folds[0].cut


def study_name(config: Config, cut: int, data_fingerprint: str) -> str:
    """Name a study after all that its losses depend on, so that a study is only ever taken up by its like."""
    said = {
        "config": config_hash(config.model_copy(update={"backtest": Backtest()}), mapping_of(config)),
        "cut": cut,
        "periods": config.tuning.periods,
        "rows": str(config.tuning.rows),
        "data": data_fingerprint,
        "space": SPACE,
    }
    return f"{config.name}-{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]}"


@dataclass
class Progress:
    """Tells of each trial on standard error. total: trials in all. done: those of earlier runs, then all."""

    total: int
    done: list[Trial]

    def __post_init__(self) -> None:
        self._begun, self._earlier = perf_counter(), len(self.done)
        if self.done:
            say(f"{len(self.done)} trials of earlier runs are taken up")

    def __call__(self, trial: Trial) -> None:
        """Tell of one more trial."""
        self.done.append(trial)
        top = min(self.done, key=lambda each: (each.outcome.loss, each.number))
        spent, ours = perf_counter() - self._begun, len(self.done) - self._earlier
        left = max(self.total - trial.number - 1, 0) * spent / ours
        say(
            f"trial {trial.number + 1} of {self.total}: loss {trial.outcome.loss:.5f}, {trial.outcome.rounds} trees; "
            f"best {top.outcome.loss:.5f} (trial {top.number}), default {self.done[0].outcome.loss:.5f}; "
            f"about {left:.0f} s left"
        )


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into an answer of the callable; the second one raises KeyboardInterrupt."""
    asked = threading.Event()

    def note(_: int, __: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say("Ctrl-C: this trial is finished and what was found is written; once more to leave at once")

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(name: str, trials: int, again: str) -> dict[str, Any]:
    say(f"interrupted after {trials} trials; all of them are kept. To go on: {again}")
    return {"study": name, "trials": trials, "interrupted": True, "resume": again}


def _track(config: Config, name: str, trials: list[Trial], tuned: Tuned) -> None:
    """Tell MLflow, one run with a nested run a trial; that it can't be told is said and changes nothing else."""
    parent = RunRecord(
        run_name=f"tune-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name[-8:]}",
        params={"seed": str(config.seed), "periods": str(config.tuning.periods), "keep": str(config.tuning.keep)},
        metrics=_metrics(tuned, len(trials)),
        tags={"tuning.study": name, "tuning.beats_default": str(tuned.beats_default).lower()},
        documents={"tuned.json": tuned.model_dump(mode="json")},
    )
    children = [
        RunRecord(
            run_name=f"trial-{trial.number:03d}",
            params={key: str(value) for key, value in trial.member.model_dump().items()},
            metrics={
                "loss": trial.outcome.loss,
                "loss_every": trial.outcome.loss_every,
                "rounds": float(trial.outcome.rounds),
                **{f"loss_{k}": loss for k, loss in enumerate(trial.outcome.fold_losses)},
            },
            tags={"tuning.study": name, "tuning.trial": str(trial.number)},
            documents={},
        )
        for trial in trials
    ]
    try:
        Tracker.of(config).log_study(name, parent, children)
    except TrackingError as error:
        say(f"MLflow was not told: {error}")


def _metrics(tuned: Tuned, count: int) -> dict[str, float]:
    evidence = tuned.evidence
    if evidence is None:
        return {"trials": float(count)}
    return {
        "trials": float(count),
        "default.loss": evidence.default.loss,
        "best.loss": evidence.considered[0].loss,
        "confirmed.default_loss": evidence.confirmed.default_loss,
        "confirmed.tuned_loss": evidence.confirmed.tuned_loss,
        "confirmed.margin": evidence.confirmed.margin.value,
    }


def path_of(config: Config) -> Path:
    """Return where `tune` writes its file."""
    return config.state_dir / "tuning" / config.name / "tuned.yaml"
