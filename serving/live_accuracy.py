"""How right stored scores and forecasts were: what was said in each week of a period that is over, and what came.

A deal counts once a week, by the first refresh of the week. Intervals are clustered by deal; groups of fewer than
`FEWEST` deals are not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.base import Float, Int
from models.clustered import Estimate, mean, share

FEWEST = 5
BINS = 10
LEAST = 1e-15


@dataclass(frozen=True)
class Said:
    """n scores of deals whose period is over.

    week: int64[n], of the period, 1 the first. deal: int64[n], a code. p, y: float64[n], y 1 for what was won in it.
    """

    week: Int
    deal: Int
    p: Float
    y: Float

    def take(self, rows: Any) -> Said:
        """Return some of the rows."""
        return Said(self.week[rows], self.deal[rows], self.p[rows], self.y[rows])

    @property
    def deals(self) -> int:
        """How many deals there are."""
        return len(np.unique(self.deal))


def scores_told(said: Said) -> dict[str, Any] | None:
    """Return log loss and Brier score with intervals, the wins that were said and came; None for too few deals."""
    if said.deals < FEWEST:
        return None
    p = np.clip(said.p, LEAST, 1 - LEAST)
    loss = -(said.y * np.log(p) + (1 - said.y) * np.log1p(-p))
    return {
        "rows": len(said.p),
        "deals": said.deals,
        "said": float(said.p.sum()),
        "came": int(said.y.sum()),
        "log_loss": _plain(mean(loss, said.deal)),
        "brier": _plain(mean((said.p - said.y) ** 2, said.deal)),
    }


def weeks_told(said: Said) -> list[dict[str, Any]]:
    """Return `scores_told` and the calibration of each week that has enough deals."""
    found = []
    for week in np.unique(said.week).tolist():
        own = said.take(said.week == week)
        if (told := scores_told(own)) is not None:
            found.append({"week": week} | told | {"bins": bins_told(own)})
    return found


def bins_told(said: Said) -> list[dict[str, Any]]:
    """Return bins of like probability, equally filled: what was said on average, and the share that came."""
    count = min(BINS, said.deals // FEWEST)
    order = np.argsort(said.p, kind="stable")
    parts: Sequence[Int] = np.array_split(order, count) if count else []
    bins = [said.take(part) for part in parts]
    return [
        {"rows": len(one.p), "deals": one.deals, "said": float(one.p.mean()), "came": _plain(share(one.y, one.deal))}
        for one in bins
        if one.deals >= FEWEST
    ]


def _plain(told: Estimate) -> dict[str, float]:
    return {"value": told.value, "low": told.low, "high": told.high}
