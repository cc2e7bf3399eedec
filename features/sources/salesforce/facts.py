"""Facts that one object tells, each with its own clock: what activities are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.tables import PLANNED, Coded, FloatArray, IntArray

OUTCOMES = (PLANNED, "held", "cancelled", "opened", "sent", "responded")


@dataclass(frozen=True)
class Facts:
    """Facts of one object. rows: the row of each; kind, direction: codes in the settled words."""

    rows: IntArray
    known_at: IntArray
    occurred_at: IntArray
    kind: IntArray
    direction: IntArray
    outcome: Coded
    minutes: FloatArray


def same(word: str, n: int) -> Coded:
    """One outcome n times."""
    return Coded(np.full(n, OUTCOMES.index(word), dtype=np.int32), OUTCOMES)
