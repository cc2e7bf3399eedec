"""Small tools on property histories: a row for each value that a property of a record ever had."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from configs.mapping import fold
from features.sources.columns import among
from features.sources.exports import Rows, folded
from features.sources.hubspot.objects import KEY
from features.tables import NAT, IntArray

UNREAD = "a property whose history is not read"
ORPHAN = "its record is not in the export, or left out"
_NEVER = np.iinfo(np.int64).max


def of_property(log: Rows, name: str) -> NDArray[np.bool_]:
    """bool[n]: rows of history that are of this property."""
    named = log.coded("property")
    return among(named, {value for value in named.values if folded(value) == folded(name)})


def refuse_unread(log: Rows, record: IntArray, *names: str) -> None:
    """Refuse rows of history of no record (-1), and those of other properties than these."""
    log.refuse(record < 0, ORPHAN)
    log.refuse(~np.logical_or.reduce([of_property(log, name) for name in names]), UNREAD)


def first_of(place: IntArray, when: IntArray, n: int) -> IntArray:
    """int64[n]: the earliest instant at each place, NAT where there is none."""
    first = np.full(n, _NEVER)
    np.minimum.at(first, place, when)
    return np.where(first == _NEVER, NAT, first)


def first_said(rows: Rows, log: Rows, name: str, words: frozenset[str]) -> IntArray:
    """int64[rows]: when history first says one of these words of a record's property, NAT where it never does.

    Rows of history that tell nothing of these records are refused.
    """
    said, ids = log.coded("value"), rows.coded(KEY)
    record = log.coded("object_id").codes_in(ids.values).astype(np.int64)
    refuse_unread(log, record, name)
    hit = log.live & among(said, {value for value in said.values if fold(value) in words})
    first = first_of(record[hit], log.ints("timestamp")[hit], len(ids.values))
    return np.append(first, NAT)[ids.codes]
