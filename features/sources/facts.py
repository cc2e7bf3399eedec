"""Facts that one object tells, each with its own clock: what activities are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.settle import DIRECTION_WORDS, KIND_WORDS
from features.sources.columns import joined
from features.sources.exports import Rows
from features.sources.frames import Stacked
from features.tables import PLANNED, Coded, ColumnData, FloatArray, IntArray, Table

OUTCOMES = (
    *(PLANNED, "held", "cancelled", "opened", "sent", "responded"),
    *("no_show", "submitted", "clicked", "registered", "attended"),
)


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


@dataclass(frozen=True)
class Block:
    """Facts of one object that belong to somebody. origin: the row of each; columns: of the table."""

    rows: Rows
    origin: NDArray[np.int32]
    columns: dict[str, ColumnData]


def block(rows: Rows, facts: Facts, owner: Mapping[str, Coded], code: IntArray, contact: Coded | None) -> Block:
    """The facts that have an owner. owner: the column that names it and the ids; code: of each fact, -1 for none."""
    has = np.flatnonzero(code >= 0)
    origin = facts.rows[has]
    columns: dict[str, ColumnData] = {
        **{name: ids.take(code[has]) for name, ids in owner.items()},
        "occurred_at": facts.occurred_at[has],
        "known_at": facts.known_at[has],
        "kind": Coded(facts.kind[has].astype(np.int32), KIND_WORDS),
        "direction": Coded(facts.direction[has].astype(np.int32), DIRECTION_WORDS),
        "outcome": facts.outcome.take(has),
        "minutes": facts.minutes[has],
        **({"contact_id": contact.take(origin)} if contact is not None else {}),
    }
    return Block(rows, origin.astype(np.int32), columns)


def stacked(name: str, blocks: Sequence[Block]) -> Stacked:
    """The facts of all objects, one after the other."""
    blocks = [part for part in blocks if len(part.origin)]
    sizes = [len(part.origin) for part in blocks]
    n, ends = sum(sizes), np.cumsum(sizes)
    if not n:
        return Stacked(Table.empty(name), str, (), 0)
    columns = {label: joined([part.columns.pop(label) for part in blocks]) for label in list(blocks[0].columns)}

    def place(row: int) -> str:
        i = int(np.searchsorted(ends, row, side="right"))
        return blocks[i].rows.place(int(blocks[i].origin[row - int(ends[i]) + sizes[i]]))

    files = tuple(dict.fromkeys(part.rows.label for part in blocks))
    return Stacked(Table.of(name, columns, n), place, files, n)
