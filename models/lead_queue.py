"""Which leads to work this week: grades by editable cuts, and a queue that fits what your people can work. Pure.

A queue takes most of its places by expected value, and gives a small share to leads drawn at random from the rest,
evenly, so that what becomes of low scores stays known: without it a model would in time learn from its own favourites
alone. The draw hangs on the lead's id, the week and the seed and on nothing else, so that a queue made again is the
same, in whichever order the leads come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np

from configs.schema import Grades
from features.periods import local_days
from models.base import Float

Why = Literal["value", "explore"]
_MONDAY = 3  # day 0 of the epoch was a Thursday
_BYTES = 8  # of a draw


@dataclass(frozen=True)
class Place:
    """A place in the queue. rank: 1 is worked first. why: taken by expected value, or drawn to explore."""

    rank: int
    why: Why


@dataclass(frozen=True)
class Room:
    """How much the queue holds. capacity: places, None: all of them. explore_share: of the places, 0-1.

    week: which one it is for, see `week_of`.
    """

    capacity: int | None
    explore_share: float
    week: int
    seed: int

    def explored(self) -> int:
        """Return how many places are drawn: the share of them, rounded up or down by the week, right on average."""
        if self.capacity is None:
            return 0
        return int(self.capacity * self.explore_share + _draw("", self.week, self.seed))


def grades(p_convert: Float, cuts: Grades) -> list[str]:
    """Return the grade of each chance of converting, "A" to "D"."""
    least = np.array([cuts.c, cuts.b, cuts.a])
    return ["DCBA"[k] for k in np.searchsorted(least, p_convert, side="right").tolist()]


def week_of(as_of: int, zone: str) -> int:
    """Return the number of the local week, Monday to Sunday, that an instant (UTC microseconds) lies in."""
    return (int(local_days(np.array([as_of], dtype=np.int64), zone)[0]) + _MONDAY) // 7


def queue(ids: Sequence[str], p_convert: Float, value: Float, room: Room) -> list[Place | None]:
    """Return the place of each lead, None beyond the capacity. ids: of the leads, each once.

    p_convert, value: float64[n]; value in currency, NaN where it can't be told: such leads come after those whose
    value is known, by p_convert, and where none is known that is the order of all. Ties go by p_convert, then by id. A
    lead that is worth nothing is not taken by value. Those drawn have the last places, by value among themselves.
    """
    worth = np.where(np.isnan(value), -np.inf, value)
    order = sorted(range(len(ids)), key=lambda row: (-worth[row], -p_convert[row], ids[row]))
    capacity, drawn = len(ids) if room.capacity is None else room.capacity, room.explored()
    wanted = [row for row in order if not value[row] <= 0]  # NaN is not
    chosen = wanted[: capacity - drawn]
    taken = set(chosen)
    rest = sorted((row for row in order if row not in taken), key=lambda row: _draw(ids[row], room.week, room.seed))
    lucky = set(rest[:drawn])
    places: list[Place | None] = [None] * len(ids)
    for rank, row in enumerate([*chosen, *(row for row in order if row in lucky)], 1):
        places[row] = Place(rank, "explore" if row in lucky else "value")
    return places


def _draw(name: str, week: int, seed: int) -> float:
    """Return a number in [0, 1) that is drawn for a lead and a week, the same whenever it is asked for."""
    drawn = blake2b(f"{seed}:{week}:{name}".encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
    return (int.from_bytes(drawn) >> 11) / 2**53
