"""A worker's look at the disk: another model, or fresher reference facts, are taken up while it serves.

================================  ===================================================================
``<state_dir>/bundles/CURRENT``   which model shall serve; `promote` and `rollback` replace it
``<state_dir>/serving/REFERENCE`` which reference facts shall; `refresh` and `serve` replace it
``<state_dir>/serving/SERVED``    the model that a worker took up last: what a restarted one falls back on
================================  ===================================================================

The model of leads has a watch, a state_dir and so pointers of its own.

A thread looks at the first two every few seconds. A bundle is verified, tried in a child process (`serving.probe`),
loaded, and swapped in by one reference: a request that is under way ends on the model it began with. One that is
refused leaves the old one serving and is not tried again until the pointer is replaced.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from configs.errors import BundleDamagedError, BundleError, ForecastleError, InternalError, StateError
from configs.schema import Config
from models.store import CURRENT, LIVE, PUBLISHED, bundle_folder, read_pointer, read_verified, write_pointer
from serving.api import Api, Refusal, Slot
from serving.facts import POINTER, read_facts, serving_dir
from serving.fits import load_fitting, load_model
from serving.frame import Log, log_line
from serving.probe import probe
from serving.refresh import refresh_reference

SERVED = "SERVED"

Stamp = tuple[int, int, bytes] | None
"""Of a pointer: when and as which file it was written, and what it says. None: it is not there."""


@dataclass(frozen=True)
class Seen:
    """What a look found. proven: another worker serves what the pointer names, so it need not be tried here."""

    model: Stamp
    proven: bool
    facts: Stamp


class Watch:
    """Keeps `loaded` of the api, or of its slot for leads, as the disk says.

    start: look once, then again and again in a thread.
    """

    def __init__(self, config: Config, api: Api | Slot, log: Log = log_line) -> None:
        self._config, self._api, self._log = config, api, log
        self._seen: Seen | None = None
        self._good: set[str] = set()  # digests that this process has loaded; the same bytes need no child again
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Load the model, or the one that was served last where it is refused, and go on looking."""
        self._look_safely()
        if self._api.loaded is None and (served := self._served()):
            self._take(self._config.state_dir / PUBLISHED / served)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking. A child under way ends by its own limit."""
        self._stopped.set()

    def look(self) -> None:
        """Look once, and take up what is new."""
        seen, before = self._look(), self._seen
        self._seen = seen
        if before is None or seen.model != before.model or (seen.proven and not before.proven):
            self._follow()
        if before is not None and seen.facts != before.facts:
            self._take_facts()

    def _run(self) -> None:
        while not self._stopped.wait(self._config.serving.watch_seconds):
            self._look_safely()

    def _look_safely(self) -> None:
        try:
            self.look()
        except Exception as error:  # noqa: BLE001 -- the thread must go on looking, whatever one look ran into
            self._log({"event": "watch_failed", "worker": os.getpid(), "type": type(error).__name__})

    def _look(self) -> Seen:
        state = self._config.state_dir
        model = _stamp(state / PUBLISHED / CURRENT)
        served = _stamp(serving_dir(state) / SERVED)
        proven = model is not None and served is not None and model[2].strip() == served[2].strip()
        return Seen(model, proven, _stamp(serving_dir(state) / POINTER))

    def _follow(self) -> None:
        """Take up the model that the pointer names, unless it serves already."""
        try:
            folder = bundle_folder(self._config.state_dir, LIVE)
        except (ForecastleError, OSError) as error:
            self._refuse("model", "", error)
            return
        if self._api.loaded is None or self._api.loaded.bundle.sha != folder.name:
            self._take(folder)

    def _take(self, folder: Path) -> None:
        """Verify a bundle, try it, load it, and let it serve."""
        before = self._api.loaded
        sha = folder.name
        try:
            read_verified(folder, sha)
            if sha not in self._good and sha != self._served():
                probe(folder, self._config.serving.probe_seconds)
            loaded = load_model(self._config, folder)
        except Exception as error:  # noqa: BLE001 -- whatever a file does to a library, what serves goes on serving
            self._refuse("model", sha, error)
            return
        self._good.add(sha)
        self._api.loaded = loaded
        self._api.watched = replace(self._api.watched, since=self._api.now(), swaps=self._api.watched.swaps + 1)
        self._log(
            {
                "event": "model_loaded",
                "worker": os.getpid(),
                "model": loaded.bundle.version,
                "before": None if before is None else before.bundle.version,
                "reference": loaded.facts.origin,
            }
        )
        del before, loaded
        _settle()
        try:
            mark_served(self._config.state_dir, sha)
        except OSError as error:
            self._log({"event": "served_not_kept", "worker": os.getpid(), "message": str(error)})

    def _take_facts(self) -> None:
        """Take up the reference facts that the pointer names, unless they serve already."""
        loaded = self._api.loaded
        if loaded is None:
            return
        try:
            facts = read_facts(self._config.state_dir, loaded.bundle)
        except Exception as error:  # noqa: BLE001 -- as above
            self._refuse("facts", loaded.bundle.sha, error)
            return
        if (facts.origin, facts.sha) == (loaded.facts.origin, loaded.facts.sha):
            return
        self._api.loaded = replace(loaded, facts=facts)
        del loaded
        _settle()
        self._log({"event": "facts_loaded", "worker": os.getpid(), "reference": facts.origin, "sha": facts.sha[:12]})

    def _refuse(self, what: str, sha: str, error: Exception) -> None:
        code = error.code if isinstance(error, ForecastleError) else InternalError.code
        last = Refusal(what, code, sha, self._api.now())
        self._api.watched = replace(self._api.watched, refused=self._api.watched.refused + 1, last=last)
        self._log(
            {"event": f"{what}_refused", "worker": os.getpid(), "code": code, "bundle": sha[:12], "message": str(error)}
        )

    def _served(self) -> str:
        with suppress(OSError, BundleDamagedError):
            return read_pointer(serving_dir(self._config.state_dir) / SERVED, "")
        return ""


def prove(config: Config) -> None:
    """Try the live bundle in a child before anything of this process reads it, and note that it may serve.

    Raises BundleError, or StateError where the note cannot be kept.
    """
    folder = bundle_folder(config.state_dir, LIVE)
    read_verified(folder, folder.name)
    probe(folder, config.serving.probe_seconds)
    try:
        mark_served(config.state_dir, folder.name)
    except OSError as error:
        place = str(serving_dir(config.state_dir))
        raise StateError.at(place, f"cannot be written ({error.strerror})", remedy="check rights and space") from error


def prepare_leads(config: Config, tell: Callable[[str], None]) -> None:
    """Prove the live model of leads and leave a snapshot of its reference facts for the workers to load.

    The service starts without one: a model that is promoted later is taken up then. Raises StateError.
    """
    try:
        prove(config)
        bundle = load_fitting(config, tell=tell)
    except BundleError as error:
        tell(f"WARNING: no lead is scored until a model of leads is promoted: {error}")
        return
    facts = refresh_reference(config, bundle, tell)
    tell(f"model of leads {bundle.version}; reference facts of the {facts.origin}")


def mark_served(state_dir: Path, sha: str) -> None:
    """Note which bundle serves. Raises OSError."""
    serving_dir(state_dir).mkdir(parents=True, exist_ok=True)
    write_pointer(serving_dir(state_dir) / SERVED, sha)


def _stamp(path: Path) -> Stamp:
    try:
        told = path.stat()
        return told.st_mtime_ns, told.st_ino, path.read_bytes()
    except OSError:
        return None


def _settle() -> None:
    """Let go of what served before, then leave what serves now out of every later collection."""
    gc.collect()
    gc.freeze()
