"""The bridge as the pages show it: a bar for each part that moved anything, from where the one before it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.bridge import (
    AMOUNT,
    ARRIVALS,
    DRIFT,
    DRIFT_AND_MODEL,
    LOST,
    MODEL,
    MOVED_IN,
    MOVED_OUT,
    NEW,
    PULLED_IN,
    REMOVED,
    REOPENED,
    ROUNDING,
    SLIPPED,
    Part,
)
from serving.store.states import WON

TITLES: Mapping[str, tuple[str, str]] = {
    NEW: ("New deals", "came since, at what we expect of them"),
    REOPENED: ("Opened again", "were closed, and are open"),
    WON: ("Won", "booked, less what we expected of them before"),
    LOST: ("Lost", "what we had expected of them"),
    REMOVED: ("Removed", "deleted, merged or gone from the CRM"),
    SLIPPED: ("Slipped", "close date moved past the end of the period"),
    PULLED_IN: ("Pulled in", "close date moved into the period"),
    AMOUNT: ("Amount changed", "at the chance that they had"),
    DRIFT: ("Score moved", "their chance changed, by what happened or did not"),
    MODEL: ("Another model", "the same facts, judged by a new model"),
    DRIFT_AND_MODEL: ("Score or model", "a new model came, and the old one could not be asked"),
    MOVED_IN: ("Moved in", "came from another team or owner"),
    MOVED_OUT: ("Moved out", "went to another team or owner"),
    ARRIVALS: ("Not yet created", "deals to come: they turn into new ones, and time runs out for them"),
    ROUNDING: ("Rounding", "what is left over"),
}
"""What a part is called, and what it means."""
WIDTH, MARGIN = 100.0, 4.0


@dataclass(frozen=True)
class Bar:
    """A bar. cents: by how much it moves the average; x, width: of 100, where it stands."""

    part: str
    title: str
    meaning: str
    cents: int
    deals: int
    x: float
    width: float


@dataclass(frozen=True)
class Waterfall:
    """From `start` to `end`, cents; the bars add up to the difference. start_x, end_x: of 100."""

    start: int
    end: int
    bars: tuple[Bar, ...]
    start_x: float
    end_x: float

    @property
    def moved(self) -> int:
        """By how many cents the average moved."""
        return self.end - self.start


def waterfall(parts: Sequence[Part], start: int, end: int) -> Waterfall:
    """Return the bars of the parts that moved anything, in their order. start, end: cents, what they lead between."""
    told = [part for part in parts if part.cents]
    levels = [start]
    for part in told:
        levels.append(levels[-1] + part.cents)
    low, high = min(levels), max(levels)
    unit = (WIDTH - 2 * MARGIN) / max(high - low, 1)
    place = [MARGIN + (level - low) * unit for level in levels]
    bars = tuple(
        Bar(
            part.name, *TITLES[part.name], part.cents, part.deals,
            x=round(min(place[k], place[k + 1]), 2),
            width=round(max(abs(place[k + 1] - place[k]), 0.4), 2),
        )
        for k, part in enumerate(told)
    )  # fmt: skip
    return Waterfall(start, end, bars, round(place[0], 2), round(place[-1], 2))
