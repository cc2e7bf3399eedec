"""The hierarchy: roll-ups add up, and what nobody owns is not lost."""

from __future__ import annotations

import numpy as np
import pytest

from features.nodes import NO_REP, NO_TEAM, nodes_of

REPS, TEAMS = ("a", "b", "c", "d"), {"a": "x", "c": "x", "d": "w"}


def codes(*listed: int) -> np.ndarray:
    return np.array(listed, dtype=np.int64)


def test_nodes_come_parents_first_and_by_name() -> None:
    nodes = nodes_of(REPS, TEAMS, codes(3, 0, 0, 1, -1))
    assert list(zip(nodes.level, nodes.name, [nodes.name[k] for k in nodes.parent], strict=True)) == [
        ("company", "all", "all"),
        ("team", "w", "all"),
        ("team", "x", "all"),
        ("team", NO_TEAM, "all"),
        ("rep", "a", "x"),
        ("rep", "b", NO_TEAM),
        ("rep", "d", "w"),
        ("rep", NO_REP, NO_TEAM),
    ]


def test_sums_and_groups_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    rep, cents = rng.integers(-1, 4, 200), rng.integers(0, 10**15, 200)
    nodes = nodes_of(REPS, TEAMS, rep)
    names = [REPS[code] if code >= 0 else NO_REP for code in rep]
    above = {name: {"all", TEAMS.get(name, NO_TEAM), name} for name in (*REPS, NO_REP)}
    groups = list(nodes.groups(rep))
    for k, node in enumerate(nodes.name):
        rows = [i for i, name in enumerate(names) if node in above[name]]
        assert groups[k].tolist() == rows
        assert nodes.rolled(rep, cents)[k] == sum(int(cents[i]) for i in rows)


def test_a_team_named_as_a_rep_is_another_node() -> None:
    nodes = nodes_of(("a",), {"a": "a"}, codes(0, 0))
    assert list(zip(nodes.level, nodes.name, strict=True)) == [("company", "all"), ("team", "a"), ("rep", "a")]
    assert nodes.rolled(codes(0, 0), codes(1, 2)).tolist() == [3, 3, 3]


def test_nothing_at_all_is_a_company() -> None:
    nodes = nodes_of((), {}, codes())
    assert nodes.name == ("all",)
    assert nodes.rolled(codes(), codes()).tolist() == [0]
    assert [rows.tolist() for rows in nodes.groups(codes())] == [[]]


def test_a_rep_without_a_node_is_an_error() -> None:
    with pytest.raises(ValueError, match="no node"):
        nodes_of(REPS, TEAMS, codes(0)).rolled(codes(2), codes(1))
