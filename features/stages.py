"""The stages of a sales process: their order and which of them end a deal. NumPy only, so that serving can use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, Fault

OPEN, WON, LOST, UNKNOWN = 0, 1, 2, -1
MERGED = 3  # goes on as another deal: closed, but neither won nor lost


@dataclass(frozen=True)
class StageMap:
    """Open stages from first to last, the stages that mean won, and those that mean lost. Names are exact.

    Raises ConfigError where there is no open or no won stage, or a name stands in two places.
    """

    order: tuple[str, ...]
    won: tuple[str, ...]
    lost: tuple[str, ...]

    def __post_init__(self) -> None:
        names = self.names
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ConfigError.at(
                "stages",
                f"{', '.join(map(repr, repeated))} named more than once",
                expected="each stage once, in order, won or lost",
                remedy="keep the one place that is meant",
            )
        if not self.order or not self.won:
            raise ConfigError.at(
                "stages",
                f"{len(self.order)} open and {len(self.won)} won stages",
                expected="at least one of each",
                remedy="name them in the mapping under stages.order and stages.won",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Every stage: open in order, then won, then lost."""
        return (*self.order, *self.won, *self.lost)

    def ranks(self, values: Sequence[str]) -> NDArray[np.int64]:
        """int64[len(values)]: 0 for the first open stage, len(order) for every won stage, -1 for lost or unknown."""
        ranks = {name: i for i, name in enumerate(self.order)} | dict.fromkeys(self.won, len(self.order))
        return np.array([ranks.get(value, UNKNOWN) for value in values], dtype=np.int64)

    def outcomes(self, values: Sequence[str]) -> NDArray[np.int64]:
        """int64[len(values)]: OPEN (0), WON (1), LOST (2) or UNKNOWN (-1)."""
        outcomes = dict.fromkeys(self.order, OPEN) | dict.fromkeys(self.won, WON) | dict.fromkeys(self.lost, LOST)
        return np.array([outcomes.get(value, UNKNOWN) for value in values], dtype=np.int64)

    def to_json(self) -> dict[str, list[str]]:
        """Plain lists, for a bundle."""
        return {"order": list(self.order), "won": list(self.won), "lost": list(self.lost)}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[str]]) -> Self:
        """The inverse of ``to_json``. Raises KeyError where a part is missing."""
        return cls(tuple(data["order"]), tuple(data["won"]), tuple(data["lost"]))


def unknown_name(
    what: str, value: str, known: Sequence[str], *, where: str, remedy: str, path: str, code: str = "unmapped"
) -> Fault:
    """A fault for a word outside a vocabulary; the remedy begins with the nearest known word, if one is near."""
    near = get_close_matches(value, known, n=1) or get_close_matches(value.casefold(), known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return Fault(code, where, f"{what} {value!r}", f"one of {', '.join(known)}", hint + remedy, path)
