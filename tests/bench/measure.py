"""Seconds and peak memory of a call, and lines that set a figure beside its target."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from models.base import Float
from training.bookings_scores import BookingsScores
from training.report_text import interval

Value = TypeVar("Value")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measured(Generic[Value]):
    """What a call gave, the best of its times, and the memory it took at most beyond what stood (NaN: unknown).

    busy: seconds of all cores together, which tell more than the clock where others use the machine.
    """

    value: Value
    seconds: float
    busy: float
    peak: float


def measured(call: Callable[[], Value], times: int = 1) -> Measured[Value]:
    """Run a call some times. The first run pays for memory not handed out yet, on every side alike."""
    best, busy, peak = float("inf"), float("inf"), 0.0
    for _ in range(times):
        value: Value | None = None  # let go of the last one
        gc.collect()
        before = resident("VmRSS")
        forget_peak()
        start, used = time.perf_counter(), time.process_time()
        value = call()
        best, busy = min(best, time.perf_counter() - start), min(busy, time.process_time() - used)
        peak = max(peak, resident("VmHWM") - before)
    assert value is not None
    return Measured(value, best, busy, peak)


def resident(line: str) -> float:
    """A line of this process's status in bytes (VmRSS now, VmHWM at most), NaN where the system tells none."""
    if not STATUS.exists():
        return float("nan")
    return next(int(text.split()[1]) * 1024.0 for text in STATUS.read_text().splitlines() if text.startswith(line))


def forget_peak() -> None:
    if CLEAR.exists():
        CLEAR.write_text("5")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def held(what: str, value: float, target: str, met: bool) -> None:
    say(f"{'met   ' if met else 'MISSED'}  {what}: {value:.3f} (target {target})")
    assert met, f"{what}: {value:.3f}, target {target}"


def wape(said: Float, actual: Float) -> float:
    """Return sum |error| / sum actual."""
    return float(np.abs(said - actual).sum() / actual.sum())


def tell(name: str, scores: BookingsScores) -> None:
    """Print how right forecasts of bookings were; the point is the median, as everywhere."""
    say(
        f"        {name}: WAPE {interval(scores.mae, '.3f')}, of the mean {scores.mae_of_mean.value:.3f}, bias "
        f"{scores.bias.value:+.3f}, in the 80 % band {scores.coverage.value:.0%}, its width {scores.width.value:.0%}"
    )
