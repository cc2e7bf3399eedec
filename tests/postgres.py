"""A PostgreSQL cluster of its own for tests: fresh data folder, free port, a password; gone when the test is over."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

USER, PASSWORD, DATABASE = "forecastle", "s3cret-of-the-test", "postgres"
UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root


@dataclass(frozen=True)
class Cluster:
    """A running cluster. uri: with the password in it."""

    port: int
    data: Path
    as_user: tuple[str, ...]

    @property
    def uri(self) -> str:
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.data.parent} -c fsync=off"
        log = str(self.data.parent / "log")
        run(*self.as_user, "pg_ctl", "-D", str(self.data), "-l", log, "-w", "-o", options, "start")

    def stop(self) -> None:
        run(*self.as_user, "pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def postgres() -> Iterator[Cluster]:
    """Start a cluster; skips the test where PostgreSQL is not installed or has nobody to run as."""
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("needs PostgreSQL's initdb and pg_ctl on PATH")
    home = Path(tempfile.mkdtemp(prefix="forecastle-pg-"))  # not pytest's own, which nobody else may enter
    try:
        as_user = _as_user(home)
        (home / "password").write_text(PASSWORD)
        cluster = Cluster(free_port(), home / "data", as_user)
        run(
            *as_user,
            *("initdb", "-D", str(cluster.data), "-U", USER, "--auth=scram-sha-256", "--no-sync", "-E", "UTF8"),
            f"--pwfile={home / 'password'}",
        )
        cluster.start()
        try:
            yield cluster
        finally:
            subprocess.run(
                [*as_user, "pg_ctl", "-D", str(cluster.data), "-m", "immediate", "stop"], capture_output=True, cwd="/"
            )
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _as_user(home: Path) -> tuple[str, ...]:
    """Return the prefix that runs a command as somebody else than root, who then owns the folder."""
    if os.getuid() != 0:
        return ()
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next((known[name] for name in UNPRIVILEGED if name in known), None)
    if entry is None or shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no unprivileged user to run it as")
    os.chown(home, entry.pw_uid, entry.pw_gid)
    return ("setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")


@contextmanager
def standing_still(cluster: Cluster) -> Iterator[None]:
    """Stop every process of a cluster in its tracks: its sockets stay open, and nobody answers."""
    first = psutil.Process(int((cluster.data / "postmaster.pid").read_text().split()[0]))
    first.suspend()  # before its children, or it would start more of them
    every = [first, *first.children(recursive=True)]
    for one in every[1:]:
        one.suspend()
    try:
        yield
    finally:
        for one in reversed(every):
            one.resume()
