"""Flags on planted worlds, each figure beside its target. Run by `make bench`; FORECASTLE_SEEDS: how many of 0-19.

W5 has buyers who go silent for good and others who only seem to; W5P adds slow and quick buyers. What is right, and the
rule that disengaged is held against, are told in `ghosts.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests.bench.ghosts import Measured, Named, measured
from tests.bench.planted import seeds

pytestmark = [pytest.mark.timeout(12 * 3600)]
WORLDS = ("W5", "W5P")
DRAWS = 2000

Statistic = Callable[[Sequence[Measured]], float]


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def precision(of: str) -> Statistic:
    """Share of the alerts of all worlds that are right. of: a field of `Measured`."""

    def share(some: Sequence[Measured]) -> float:
        named: list[Named] = [getattr(one, of) for one in some]
        return sum(each.right for each in named) / max(sum(each.shown for each in named), 1)

    return share


def recall(of: str) -> Statistic:
    def share(some: Sequence[Measured]) -> float:
        named: list[Named] = [getattr(one, of) for one in some]
        return sum(each.right for each in named) / max(sum(each.there for each in named), 1)

    return share


def lead(some: Sequence[Measured]) -> float:
    return float(np.median([days for one in some for days in one.disengaged.leads]))


def over_days(some: Sequence[Measured]) -> float:
    return precision("disengaged")(some) / precision("days")(some)


def held(
    name: str, what: str, some: Sequence[Measured], statistic: Statistic, least: float | None = None
) -> str | None:
    """Print a figure with its 95 % interval over draws of worlds; return what was missed."""
    rng = np.random.default_rng(0)
    drawn = [statistic([some[i] for i in rng.integers(0, len(some), len(some))]) for _ in range(DRAWS)]
    low, high = np.nanquantile(drawn, [0.025, 0.975]) if len(some) > 1 else (math.nan, math.nan)
    value = statistic(some)
    line = f"{name}  {what}: {value:.3f} [{low:.3f}, {high:.3f}]"
    if least is None:
        say(f"        {line}")
        return None
    met = value >= least
    say(f"{'met   ' if met else 'MISSED'}  {line} (target at least {least:g})")
    return None if met else line


def told(name: str, some: Sequence[Measured]) -> list[str | None]:
    rows = sum(one.rows for one in some)
    say(
        f"\n{name}, {len(some)} worlds, {rows:,} looks at open deals; gone {recall_base(some, 'disengaged'):.1%}, "
        f"under-called {recall_base(some, 'under'):.1%}"
    )
    held(name, "days rule, precision at the same budget", some, precision("days"))
    held(name, "disengaged if money ordered it, precision", some, precision("by_money"))
    held(name, "disengaged, recall (looks at gone buyers)", some, recall("disengaged"))
    held(name, "disengaged, share of alerts on deals won later", some, lambda of: _won(of))
    held(name, "under_called, recall", some, recall("under"))
    held(name, "under_called, share of alerts won in the period", some, lambda of: _won_in_period(of))
    return [
        held(name, "disengaged, precision at 5 %", some, precision("disengaged"), 0.5),
        held(name, "disengaged, times the days rule's", some, over_days, 2.0),
        held(name, "disengaged, median days before the loss", some, lead, 21),
        held(name, "under_called, precision at 5 %", some, precision("under"), 0.6),
        held(name, "under_called, AUC", some, lambda of: float(np.mean([one.auc for one in of])), 0.85),
    ]


def recall_base(some: Sequence[Measured], of: str) -> float:
    return sum(getattr(one, of).there for one in some) / sum(one.rows for one in some)


def _won(some: Sequence[Measured]) -> float:
    return sum(one.disengaged.won for one in some) / max(sum(one.disengaged.shown for one in some), 1)


def _won_in_period(some: Sequence[Measured]) -> float:
    return sum(one.won for one in some) / max(sum(one.under.shown for one in some), 1)


def test_flags_of_the_planted_worlds() -> None:
    missed = [line for name in WORLDS for line in told(name, [measured(name, seed) for seed in seeds()])]
    assert [line for line in missed if line is not None] == []
