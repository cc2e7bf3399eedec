"""The alert budget: how many deals of an as-of may carry a flag, and how many of one rep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

from configs.flags import Flags
from models.flags import Flag

NOBODY = -1
LOOK_BACK = (7, 14)


@dataclass(frozen=True)
class Tally:
    """Of one flag at one as-of: how many deals raise it, and how many of those the budget lets through."""

    raised: int
    shown: int


Incumbents = Mapping[str, Collection[int]]
"""By code the rows of deals that the budget alone would have let through `LOOK_BACK` days before."""
NO_INCUMBENTS: Incumbents = MappingProxyType({})


def within_budget(
    flags: Sequence[tuple[Flag, ...]], owners: Sequence[int], limits: Flags, before: Incumbents = NO_INCUMBENTS
) -> tuple[list[tuple[Flag, ...]], dict[str, Tally]]:
    """Keep each flag on so many deals as the alert budget allows, by rank or most money at stake first; count the rest.

    flags: of all open deals of one as-of, owners: code of each deal's owner, `NOBODY` for none. Of these deals `share`
    may carry a flag, rounded up, and `per_rep` of one owner; with a share of 1 there is no budget. Where these are
    equal the earlier deal stays; where it goes by money a deal without an amount comes last. So that lists do not
    flicker, deals that were within the budget `before` come first while they are among the first `keep` times as many.
    """
    allowed = len(flags) if limits.share >= 1 else ceil(limits.share * len(flags))
    carriers: dict[str, list[tuple[float, int]]] = {}
    for row, listed in enumerate(flags):
        for flag in listed:
            carriers.setdefault(flag.code, []).append((-_weight(flag), row))
    kept = {
        code: _kept(
            _in_order(rows, before.get(code, ()) if limits.keep > 1 else (), limits.keep * allowed),
            owners,
            allowed,
            limits,
        )
        for code, rows in carriers.items()
    }
    shown = [tuple(flag for flag in listed if row in kept[flag.code]) for row, listed in enumerate(flags)]
    return shown, {code: Tally(len(rows), len(kept[code])) for code, rows in sorted(carriers.items())}


def _weight(flag: Flag) -> float:
    if flag.rank is not None:
        return flag.rank
    return -1.0 if flag.money_at_stake is None else flag.money_at_stake


def _in_order(carriers: Sequence[tuple[float, int]], before: Collection[int], reach: float) -> list[int]:
    """Return rows, in their order; those that were shown before and are among the first so many go ahead."""
    rows = [row for _, row in sorted(carriers)]
    stay = dict.fromkeys(row for place, row in enumerate(rows) if place < reach and row in before)
    return [*stay, *(row for row in rows if row not in stay)]


def _kept(rows: Sequence[int], owners: Sequence[int], allowed: int, limits: Flags) -> set[int]:
    """Return the rows that stay, of those that carry a flag, in this order."""
    kept: set[int] = set()
    of_owner: Counter[int] = Counter()
    for row in rows:
        if len(kept) == allowed:
            break
        owner = owners[row]
        if limits.share >= 1 or owner == NOBODY or of_owner[owner] < limits.per_rep:
            kept.add(row)
            of_owner[owner] += 1
    return kept


def carriers_of(shown: Sequence[tuple[Flag, ...]]) -> dict[str, list[int]]:
    """Return by code the rows that carry a flag."""
    rows: dict[str, list[int]] = {}
    for row, listed in enumerate(shown):
        for flag in listed:
            rows.setdefault(flag.code, []).append(row)
    return rows
