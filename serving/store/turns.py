"""Whose turn it is to write to SQLite, among the processes of a host: they wait at the lock of a file.

SQLite lets one write at a time too, but who finds it busy looks again after ever longer pauses (1, 2, 5 .. 100 ms), so
that one process may write many times while another waits. The turn is a courtesy: who can't have it goes on without.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOK_S = 0.0005
PATIENT_S = 1.0
"""After so long a process goes on without its turn, and SQLite decides: whoever has it may have been stopped."""


@contextmanager
def turn_at(path: Path, patience: float = PATIENT_S) -> Iterator[None]:
    """Have a turn at a file, which is made where it is missing; after `patience` seconds go on without.

    A turn ends with the process that has it, however that ends.
    """
    try:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # what is wrong with the folder SQLite tells
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks
            _wait(file, patience)
        yield
    finally:
        os.close(file)


def _wait(file: int, patience: float) -> None:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK_S)
        else:
            return
