"""What if: a forecast with a few numbers changed and everything else, the luck of every deal included, as it was.

Each deal and rep draws from a stream named by its id (`models.bookings`), so that the difference between a scenario and
the forecast is the scenario's alone, on every path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from models.arrivals import Arrivals
from models.base import Float
from models.quarter import AsOf


@dataclass(frozen=True)
class Scenario:
    """What is changed. win_rate: factor on the chance of every open deal (the result is kept below 1). arrivals: factor
    on the rate of deals to come. lost: ids of open deals taken as lost. leaving: rep id -> share, 0-1, that a successor
    keeps of the chances of the rep's open deals and of the deals to come.
    """

    win_rate: float = 1.0
    arrivals: float = 1.0
    lost: frozenset[str] = frozenset()
    leaving: Mapping[str, float] = field(default_factory=dict)

    def unknown_deals(self, ground: AsOf) -> list[str]:
        """Return the lost deals that are not open as of the forecast, in order."""
        return sorted(self.lost - set(ground.deals))

    def unknown_reps(self, ground: AsOf) -> list[str]:
        """Return the leaving reps that have no part in the forecast, in order."""
        return sorted(set(self.leaving) - set(ground.tree.reps))

    def chances(self, ground: AsOf, p: Float) -> Float:
        """Return P(won) of each open deal in this scenario, float64[n]."""
        lost = np.array([deal in self.lost for deal in ground.deals], dtype=bool)
        kept = self._kept(ground)[ground.rep]
        return np.where(lost, 0.0, np.minimum(p * self.win_rate * kept, 1.0))

    def coming(self, ground: AsOf, arrivals: Arrivals) -> Arrivals:
        """Return the arrivals of this scenario."""
        return replace(arrivals, rate=arrivals.rate * self.arrivals * self._kept(ground))

    def _kept(self, ground: AsOf) -> Float:
        return np.array([self.leaving.get(rep, 1.0) for rep in ground.tree.reps])


AS_IT_IS = Scenario()
