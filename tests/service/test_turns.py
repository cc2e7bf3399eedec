"""Turns at a file: one at a time, over when their process is, and never in the way of writing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from serving.store.turns import turn_at
from tests.running import ROOT

HOLDS = """
import sys, time
from pathlib import Path
from serving.store.turns import turn_at
with turn_at(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""


def test_one_has_a_turn_at_a_time(tmp_path: Path) -> None:
    inside, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        for _ in range(20):
            with turn_at(tmp_path / "turn", patience=60.0):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.0002)
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert most == [1]


def test_who_waits_goes_on_when_the_other_is_killed_or_in_vain(tmp_path: Path) -> None:
    path = tmp_path / "turn"
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        start = time.monotonic()
        with turn_at(path, patience=0.05):
            assert time.monotonic() - start >= 0.05  # in vain
        waiting = threading.Timer(0.1, other.kill)
        waiting.start()
        with turn_at(path, patience=60.0):
            waiting.join()
    assert other.returncode != 0


def test_a_turn_is_over_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), turn_at(tmp_path / "turn", patience=60.0):
        raise ValueError("no")
    with turn_at(tmp_path / "turn", patience=60.0):
        pass


def test_without_a_folder_there_is_no_turn_to_wait_for(tmp_path: Path) -> None:
    with turn_at(tmp_path / "missing" / "turn"):
        assert list(tmp_path.iterdir()) == []
