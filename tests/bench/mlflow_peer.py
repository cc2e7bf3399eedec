"""`mlflow models serve` of a bundle, in an environment of its own, with the best settings that it has.

The environment is made by uv from locks/mlflow.txt, in FORECASTLE_MLFLOW_ENV where that is set, and kept there; else in
a temporary folder. It can't be this one: mlflow and mlflow-skinny own the same files.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from uv import find_uv_bin

from models.bundle import Bundle
from tests.running import ROOT, STOP_S, Server, free_port
from training.tracking import QUIET, RunRecord, Tracker

LOCK = ROOT / "locks" / "mlflow.txt"
NAMED = "FORECASTLE_MLFLOW_ENV"
START_S = 400  # three processes import MLflow one after the other: 20 s on a quiet machine
FASTEST = {"UVICORN_ACCESS_LOG": "false", "UVICORN_LOG_LEVEL": "warning"}
"""It has uvloop and httptools as well, which uvicorn takes where they are; and as many workers as the other side."""


def environment(folder: Path) -> Path:
    """The folder of the environment, made unless it is there. Skips where it can't be made, and fails where named."""
    named = os.environ.get(NAMED)
    place = Path(named).resolve() if named else folder / "mlflow"
    stamp, lock = place / "lock.sha256", sha256(LOCK.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == lock:
        return place
    uv = [find_uv_bin(), "--quiet", "--no-cache", "--no-config"]
    for command in (
        [*uv, "venv", "--clear", "--python", sys.executable, str(place)],
        [*uv, "pip", "install", "--python", str(place / "bin/python"), "--require-hashes", "-r", str(LOCK)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            why = f"the environment of `mlflow models serve` cannot be made in {place}: {done.stderr.strip()[-500:]}"
            pytest.fail(f"{NAMED} is set, and {why}") if named else pytest.skip(f"{why}; set {NAMED} to one that is")
    stamp.write_text(lock)
    return place


@contextmanager
def serving(bundle: Bundle, stored: Path, place: Path, folder: Path, workers: int) -> Iterator[Server]:
    """Log a bundle as training does, and serve what was logged. stored: where the bundle lies."""
    tracker = Tracker(folder, "bench")
    tracker.log(RunRecord("bench", {}, {}, {}), bundle, stored)
    port = free_port()
    command = [str(place / "bin/mlflow"), "models", "serve", "--model-uri", f"models:/{tracker.name}@candidate"]
    command += ["--env-manager", "local", "--workers", str(workers), "--host", "127.0.0.1", "--port", str(port)]
    told = {
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": tracker.uri,
    }
    told |= QUIET | FASTEST
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | told, stdout=log, stderr=log, text=True, start_new_session=True
        )
    server = Server(process, port, "", folder / "log")
    try:
        server.wait("MLflow serves", lambda: _answers(port), START_S)
        yield server
    finally:
        process.terminate()
        process.wait(STOP_S)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
