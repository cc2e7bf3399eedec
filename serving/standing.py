"""How deals stand in a record: whose they are, what came of them, and which are gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.asof import Requests
from features.closes import ends_of
from features.record import Record
from features.tables import NAT, Table


@dataclass(frozen=True)
class Stones:
    """Deals that a source says are gone: rows (deal_id, kind, known_at), and from when by deal, UTC microseconds."""

    rows: list[dict[str, Any]]
    known_at: Mapping[str, int]


def whose(record: Record, requests: Requests) -> list[dict[str, str | None]]:
    """Return owner_id and team of each deal at its as-of; None where the record does not know them."""
    words = record.reference.vocabulary
    owner = record.view(requests).of("history").last("owner")
    reps = (*words.values["rep"], None)
    teams = (*words.teams, None)
    codes = np.where(owner == NAT, -1, owner)
    of_team = np.append(words.rep_team, -1)[codes]
    return [
        {"owner_id": reps[rep], "team": teams[team]} for rep, team in zip(codes.tolist(), of_team.tolist(), strict=True)
    ]


def outcomes_of(record: Record, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return every won or lost episode of a record. names: what the deals are called, in the record's order."""
    history = record.timelines["history"]
    ends = ends_of(history)
    won = history.mask("won")[ends.end].tolist()
    cents = history.values("amount")[ends.end].tolist()
    rows = zip(ends.deal.tolist(), ends.known_at.tolist(), won, cents, strict=True)
    found = {
        (names[deal], at): {
            "deal_id": names[deal],
            "closed_at": at,
            "outcome": "won" if is_won else "lost",
            "amount_cents": None if amount == NAT else amount,
        }
        for deal, at, is_won, amount in rows
    }
    return list(found.values())


def stones_of(history: Table) -> Stones:
    """Return the deals that were deleted or merged away, each from its first such row on."""
    merged, deleted = history.coded("merged_into").codes >= 0, history.ints("is_deleted") == 1
    ids, at = history.coded("deal_id"), history.ints("known_at")
    rows = np.flatnonzero(merged | deleted)
    first: dict[str, dict[str, Any]] = {}
    for row in rows[np.argsort(at[rows], kind="stable")].tolist():
        name = ids.decode(row) or ""
        first.setdefault(
            name, {"deal_id": name, "kind": "merged" if merged[row] else "deleted", "known_at": int(at[row])}
        )
    return Stones(list(first.values()), {name: row["known_at"] for name, row in first.items()})
