"""Whether a bundle can be loaded here, tried in a process of its own.

A damaged LightGBM text can kill a process or hang it, so a running service never reads one that has not been read once
by a child: it loads the bundle, answers its golden rows, explains them, and says how it went in one line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from configs.errors import BundleDamagedError, BundleMismatchError, ForecastleError
from models.bundle import load
from serving.environment import code_path, spare_imports

START_S = 30
"""Seconds that a child gets to start, beside its limit: Python and its libraries on a busy machine."""


def probe(folder: Path, limit: float) -> None:
    """Load a bundle in a child process that gets `limit` seconds. `folder` is named by the digest it must have.

    Raises BundleDamagedError, also where the child dies or takes longer, or BundleMismatchError.
    """
    command = [sys.executable, "-m", "serving.probe", str(folder.absolute()), str(limit)]
    environment = {**os.environ, "PYTHONPATH": code_path(os.environ)}
    try:
        done = subprocess.run(  # noqa: S603 -- this interpreter, this module
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limit + START_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _late(folder, limit) from None
    if done.returncode == -signal.SIGALRM:
        raise _late(folder, limit)
    lines = done.stdout.splitlines()
    told = _read(lines[-1] if lines else b"")  # what LightGBM has to say comes before it
    if told is None:
        raise BundleDamagedError(
            f"{folder.name[:12]}: a process that read it died ({_death(done.returncode)}), expected answers to its "
            "golden rows; train again, or roll back"
        )
    if told:
        kind = BundleMismatchError if told["code"] == BundleMismatchError.code else BundleDamagedError
        raise kind(told["message"])


def try_out(folder: Path) -> None:
    """Load a bundle, which answers its golden rows, and explain them. Raises BundleError, or what a library raises."""
    bundle = load(folder)
    _, phi, base = bundle.model.contributions(bundle.golden)
    explained, said = base + phi.sum(axis=1), bundle.model.logit(bundle.golden)
    if not (abs(explained - said) < 1e-6).all():  # false for NaN too
        raise BundleDamagedError(f"{folder.name[:12]}: reasons do not add up on the golden rows; train again")


def main() -> None:
    """Be the child: FOLDER SECONDS."""
    folder, limit = Path(sys.argv[1]), float(sys.argv[2])
    signal.setitimer(signal.ITIMER_REAL, limit)  # ends this process inside any loop, also where its parent is gone
    told: dict[str, str] = {}
    try:
        try_out(folder)
    except ForecastleError as error:
        told = {"code": error.code, "message": str(error)}
    except Exception as error:  # noqa: BLE001 -- whatever a library raises, the bundle can't be used
        told = {"code": BundleDamagedError.code, "message": f"{folder.name[:12]}: {type(error).__name__}: {error}"}
    sys.stdout.write("\n" + json.dumps({"probed": told}) + "\n")


def _read(line: bytes) -> dict[str, str] | None:
    """What the child said: empty where all is well, None where it said nothing."""
    try:
        told: dict[str, str] = json.loads(line)["probed"]
    except (ValueError, KeyError, TypeError):
        return None
    return told


def _late(folder: Path, limit: float) -> BundleDamagedError:
    return BundleDamagedError(
        f"{folder.name[:12]}: its golden rows took longer than {limit:g} s (serving.probe_seconds); train again, or "
        "roll back"
    )


def _death(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


if __name__ == "__main__":
    spare_imports()
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a death that is expected leaves no core behind
    except ImportError:
        pass
    main()
