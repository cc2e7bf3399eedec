"""The hierarchy that pipeline figures roll up in: rep -> team -> company. Counts and cents add up exactly.

Nodes are named by stable ids, never by display names. Teams have no history: a rep's team is the current one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from features.timeline import Int

COMPANY, TEAM, REP = "company", "team", "rep"
LEVELS = (COMPANY, TEAM, REP)
ALL = "all"
NO_REP, NO_TEAM = "unassigned", "no team"  # what nobody owns is not lost on the way up


@dataclass(frozen=True)
class Nodes:
    """The company, then teams, then reps, each by name.

    level, name: one of `LEVELS` and the id. parent: position of the node above, the company's is its own.
    of_rep: int64[reps + 1], node of each rep code, that of code -1 (no rep) last; -1 where a rep has no node.
    """

    level: tuple[str, ...]
    name: tuple[str, ...]
    parent: Int
    of_rep: Int

    def __len__(self) -> int:
        return len(self.name)

    def rolled(self, rep: Int, values: Int) -> Int:
        """Return the sum of integer `values` (int64[n]) under each node, int64[nodes]; rep: code of each row."""
        total = np.zeros(len(self), dtype=np.int64)
        for up in self._paths(rep):
            np.add.at(total, up, values)
        return total

    def groups(self, rep: Int) -> Iterator[Int]:
        """Yield, for each node in order, the rows under it (int64, increasing). rep: code of each row."""
        paths = self._paths(rep)
        rows = np.concatenate([np.arange(len(rep))] * len(paths))
        key = np.concatenate(paths)
        order = np.argsort(key, kind="stable")
        edges = np.searchsorted(key[order], np.arange(len(self) + 1))
        for begin, end in pairwise(edges.tolist()):
            yield rows[order[begin:end]]

    def _paths(self, rep: Int) -> tuple[Int, Int, Int]:
        leaf = self.of_rep[rep]
        if len(leaf) and leaf.min() < 0:
            raise ValueError("rows of a rep that has no node: name every rep when the nodes are made")
        return leaf, self.parent[leaf], np.zeros(len(leaf), dtype=np.int64)


def nodes_of(reps: Sequence[str], teams: Mapping[str, str], active: Int) -> Nodes:
    """Return the nodes of the reps that have anything to show.

    reps: id by code, sorted. teams: team by rep id. active: codes of the reps, repeated or not; -1 is what nobody owns,
    which comes last.
    """
    codes = sorted(set(active.tolist()), key=lambda code: (code < 0, code))  # codes go by id
    team_of_code = {code: teams.get(reps[code], NO_TEAM) if code >= 0 else NO_TEAM for code in codes}
    listed = sorted(set(team_of_code.values()), key=lambda team: (team == NO_TEAM, team))
    place = {team: 1 + k for k, team in enumerate(listed)}
    of_rep = np.full(len(reps) + 1, -1, dtype=np.int64)
    of_rep[np.array(codes, dtype=np.int64)] = 1 + len(listed) + np.arange(len(codes))
    return Nodes(
        (COMPANY, *(TEAM for _ in listed), *(REP for _ in codes)),
        (ALL, *listed, *(_rep(reps, code) for code in codes)),
        np.array([0, *(0 for _ in listed), *(place[team_of_code[code]] for code in codes)], dtype=np.int64),
        of_rep,
    )


def _rep(reps: Sequence[str], code: int) -> str:
    return reps[code] if code >= 0 else NO_REP
