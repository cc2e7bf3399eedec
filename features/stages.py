"""The stages of a sales process: their order and which of them end a deal. NumPy only, so that serving can use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, Fault

if TYPE_CHECKING:
    from configs.mapping import Mapping as MappingFile

OPEN, WON, LOST, UNKNOWN = 0, 1, 2, -1
MERGED = 3  # goes on as another deal: closed, but neither won nor lost


@dataclass(frozen=True)
class StageMap:
    """Open stages from first to last, the stages that mean won, and those that mean lost. Names are exact.

    processes: where a company has several sales processes, the open stages of each; ``order`` is one after the other,
    so that every stage has a rank of its own. Empty: ``order`` is the only process.

    Raises ConfigError where there is no open or no won stage, a name stands in two places, or the processes are not
    the order cut into parts.
    """

    order: tuple[str, ...]
    won: tuple[str, ...]
    lost: tuple[str, ...]
    processes: tuple[tuple[str, ...], ...] = ()

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
        if self.processes and tuple(name for process in self.processes for name in process) != self.order:
            raise ConfigError.at(
                "stages", "processes that are not the order", expected="the order, cut into one part a process"
            )

    @classmethod
    def of(cls, mapping: MappingFile) -> Self:
        """The stages that a mapping names."""
        orders, (won, lost) = mapping.stage_orders(), mapping.closing_stages()
        whole = tuple(name for order in orders for name in order)
        return cls(whole, won, lost, orders if len(orders) > 1 else ())

    @property
    def names(self) -> tuple[str, ...]:
        """Every stage: open in order, then won, then lost."""
        return (*self.order, *self.won, *self.lost)

    def ranks(self, values: Sequence[str]) -> NDArray[np.int64]:
        """int64[len(values)]: 0 for the first open stage, len(order) for every won stage, -1 for lost or unknown."""
        ranks = {name: i for i, name in enumerate(self.order)} | dict.fromkeys(self.won, len(self.order))
        return _looked_up(ranks, values, UNKNOWN)

    def places(self, values: Sequence[str]) -> NDArray[np.int64]:
        """int64[len(values)]: place within the stage's own process, 0 first; -1 for won, lost or unknown."""
        places = {name: i for process in self.processes or (self.order,) for i, name in enumerate(process)}
        return _looked_up(places, values, UNKNOWN)

    def shares(self, values: Sequence[str]) -> NDArray[np.float64]:
        """float64[len(values)]: how far along its own process, 0 for its first stage, 1 for won; NaN: lost, unknown."""
        shares = {
            name: i / len(process) for process in self.processes or (self.order,) for i, name in enumerate(process)
        } | dict.fromkeys(self.won, 1.0)
        return np.array([shares.get(value, np.nan) for value in values], dtype=np.float64)

    def outcomes(self, values: Sequence[str]) -> NDArray[np.int64]:
        """int64[len(values)]: OPEN (0), WON (1), LOST (2) or UNKNOWN (-1)."""
        outcomes = dict.fromkeys(self.order, OPEN) | dict.fromkeys(self.won, WON) | dict.fromkeys(self.lost, LOST)
        return _looked_up(outcomes, values, UNKNOWN)

    def to_json(self) -> dict[str, Any]:
        """Plain lists, for a bundle; ``processes`` only where there are several."""
        told: dict[str, Any] = {"order": list(self.order), "won": list(self.won), "lost": list(self.lost)}
        return told | {"processes": [list(process) for process in self.processes]} if self.processes else told

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of ``to_json``. Raises KeyError where a part other than ``processes`` is missing."""
        processes = tuple(tuple(process) for process in data.get("processes", ()))
        return cls(tuple(data["order"]), tuple(data["won"]), tuple(data["lost"]), processes)


def _looked_up(index: Mapping[str, int], values: Sequence[str], otherwise: int) -> NDArray[np.int64]:
    return np.array([index.get(value, otherwise) for value in values], dtype=np.int64)


def unknown_name(
    what: str, value: str, known: Sequence[str], *, where: str, remedy: str, path: str, code: str = "unmapped"
) -> Fault:
    """A fault for a word outside a vocabulary; the remedy begins with the nearest known word, if one is near."""
    near = get_close_matches(value, known, n=1) or get_close_matches(value.casefold(), known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return Fault(code, where, f"{what} {value!r}", f"one of {', '.join(known)}", hint + remedy, path)
