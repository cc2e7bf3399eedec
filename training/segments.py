"""The parts of the deals that are looked at one by one: each stage, the larger values of each declared dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.base import Bool, Int
from training.backtest import Tested
from training.prepare import Prepared

LARGEST = 8  # values of a dimension that are looked at
FEWEST_ENDS = 10  # deals won, and deals not won, without which a segment tells nothing


@dataclass(frozen=True)
class Segment:
    """A part of the test rows. name: dimension and value. mask: bool[n] of the test rows. deals: how many it has."""

    name: str
    mask: Bool
    deals: int


def segments_of(prepared: Prepared, tested: Tested, min_deals: int) -> list[Segment]:
    """Return the segments with at least `min_deals` tested deals: stages in order, then values, the largest first."""
    rank = prepared.examples.matrix.column("stage_rank")[tested.rows]
    stage = np.where(np.isnan(rank), -1, rank).astype(np.int64)
    found = [s for _, s in sorted(_parts("stage", prepared.record.stages.order, stage, tested, min_deals).items())]
    for name in prepared.plan.context.schema.dimensions:
        code = np.asarray(prepared.record.deals.columns[name], dtype=np.int64)[tested.deal]
        values = prepared.record.reference.vocabulary.values[name]
        large = _parts(name, values, code, tested, min_deals).values()
        found += sorted(large, key=lambda segment: -segment.deals)[:LARGEST]
    return found


def _parts(name: str, values: Sequence[str], code: Int, tested: Tested, min_deals: int) -> dict[int, Segment]:
    """Return the segments of one dimension by code; code: int64[n] of the test rows, -1 where there is none."""
    pairs = np.unique(np.stack([code, tested.deal], axis=1)[code >= 0], axis=0)
    each, deals = np.unique(pairs[:, 0], return_counts=True)
    parts = {
        int(k): Segment(f"{name} {values[k]}", code == k, int(n))
        for k, n in zip(each, deals, strict=True)
        if n >= min_deals
    }
    return {k: segment for k, segment in parts.items() if _tells(tested, segment.mask)}


def _deals(tested: Tested, mask: Bool) -> int:
    return len(np.unique(tested.deal[mask]))


def _tells(tested: Tested, mask: Bool) -> bool:
    won = mask & (tested.y > 0)
    lost = mask & (tested.y <= 0)
    return min(_deals(tested, won), _deals(tested, lost)) >= FEWEST_ENDS
