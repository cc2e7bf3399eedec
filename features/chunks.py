"""Long work in stretches, side by side: NumPy lets go of the interpreter meanwhile, so that threads share the cores.

What comes out depends neither on where the work is cut nor on how many cores there are.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Float = NDArray[np.float64]
Item = TypeVar("Item")

CHUNK = 2**15  # requests at a time: bounds the working memory, changes no value (the law batch = one)
LONG = 2**20  # from so many rows on the pieces of one sort are worth a thread each
MOST = 8  # threads: beyond, memory is what they wait for


def cores() -> int:
    """Return how many threads to use: OMP_NUM_THREADS where it is set, else all cores there are."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(int(asked) if asked.isdecimal() and int(asked) else allowed, MOST)


def side_by_side(work: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Do the work of each item, some at a time. An error of one is raised."""
    threads = min(cores(), len(items)) if len(items) > 1 else 1
    if threads < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, items):
            pass


def sort_long(values: Int) -> None:
    """Sort in place: two halves side by side where that is worth it, merged by a sort that sees two runs."""
    if len(values) < LONG or cores() < 2:
        values.sort()
        return
    half = len(values) // 2
    side_by_side(lambda part: part.sort(), [values[:half], values[half:]])
    values.sort(kind="stable")


def answered(order: Int, width: int, answer: Callable[[Int], Sequence[Float]]) -> Float:
    """Return float64[n, width]: for row ``order[k]`` the k-th of what `answer` tells of the rows it is given.

    order: a permutation of the rows in which what they read lies together. answer: rows (int64[c]) -> `width` columns,
    each float64[c]. The first chunk goes alone: what later ones share is made by it, once.
    """
    values = np.empty((len(order), width))
    own = threading.local()

    def fill(rows: Int) -> None:
        columns = answer(rows)
        if not hasattr(own, "block"):
            own.block = np.empty((min(CHUNK, len(order)), width))  # one for each thread: new memory is dear
        block = own.block[: len(rows)]
        for k, column in enumerate(columns):
            block[:, k] = column
        values[rows] = block

    chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
    side_by_side(fill, chunks[:1])
    side_by_side(fill, chunks[1:])
    return values
