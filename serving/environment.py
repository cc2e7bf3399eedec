"""How ``forecastle serve`` starts its workers: the environment they get and the command that becomes them."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from configs.errors import StateError, UsageError
from configs.schema import Config
from serving.facts import serving_dir
from serving.spans import DISABLED, wanted

CONFIG, OVERRIDES = "FORECASTLE_CONFIG", "FORECASTLE_OVERRIDES"
SERVICE = "serving.service:Forecastle"
SPARED = ("dask", "graphviz", "matplotlib", "pandas", "polars", "pyarrow", "sklearn")
"""What LightGBM imports where it is installed and no answer needs: two thirds of the time that its own import takes."""
GRACE_S = 15  # that requests under way get to finish after SIGTERM


def worker_environment(config: Config, path: Path, overrides: Sequence[str], base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the workers.

    Raises StateError where BentoML's own folder can't be made, and UsageError where spans are asked for in vain.
    """
    home = serving_dir(config.state_dir).absolute() / "bentoml"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError.at(str(home), f"cannot be made ({error.strerror})", remedy="check rights and space") from error
    return {
        **base,
        CONFIG: str(path.absolute()),
        OVERRIDES: json.dumps(list(overrides)),
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",  # compared with the word: 1 does not work
        DISABLED: "false" if wanted(base) else "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": code_path(base),
    }


def code_path(base: Mapping[str, str]) -> str:
    """Return the PYTHONPATH with which a child process finds this code, wherever it starts."""
    code = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join(part for part in (code, base.get("PYTHONPATH", "")) if part)


def spare_imports() -> None:
    """Make this process do without what the serving set does not hold, though it may be installed beside it."""
    for name in SPARED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # an import of it then fails, as LightGBM expects


def serve_command(config: Config) -> list[str]:
    """Return the command line of the server."""
    serving = config.serving
    return [
        sys.executable, "-m", "bentoml", "serve", SERVICE,
        "--host", serving.host, "--port", str(serving.port), "--timeout-graceful-shutdown", str(GRACE_S),
    ]  # fmt: skip


def refuse_taken_port(host: str, port: int) -> None:
    """Raise UsageError where nothing can listen on the address; the server itself would only show a traceback."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        got = "something listens there already" if taken else f"cannot listen ({error.strerror})"
        raise UsageError.at(f"{host}:{port}", got, remedy="choose another with --port or serving.host") from None
