"""Laws of patterns in reps' calls: nothing known at or after the as-of counts, and no order of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from configs.flags import RepPatterns
from features.known import known_before
from features.pipeline import pipeline_facts
from features.rep_periods import rep_periods
from features.tables import CrmTables
from models.rep_patterns import RepFindings, find_patterns
from tests.callers import World, facts_of, quarter, tables_of
from tests.pit.test_laws import rewritten_after
from tests.tiny import at, record

AS_OFS = ("2021-08-17", "2021-10-01 00:00", "2021-09-30 23:59", "2022-01-12")
LIMITS = RepPatterns(enabled=True)


@cache
def whole() -> CrmTables:
    return tables_of(facts_of(World(reps=20, under=3, over=2, factor=2.0, periods=9, teams=2), 1002))


def found(tables: CrmTables, as_of: int) -> RepFindings:
    return find_patterns(rep_periods(pipeline_facts(tables, record(tables)), as_of, 12, 4, 10), LIMITS)


def later(tables: CrmTables, as_of: int) -> CrmTables:
    return rewritten_after(tables, as_of, np.random.default_rng(1))


def shuffled(tables: CrmTables, as_of: int) -> CrmTables:
    rng = np.random.default_rng(2)
    names = ("deals", "deal_history", "calls", "reps")
    return replace(tables, **{name: tables[name].take(rng.permutation(tables[name].n)) for name in names})


@pytest.mark.parametrize("as_of", AS_OFS)
@pytest.mark.parametrize("change", [known_before, later, shuffled], ids=["truncation", "time travel", "order"])
def test_the_same_patterns(change: Callable[[CrmTables, int], CrmTables], as_of: str) -> None:
    expected = found(whole(), at(as_of))
    changed = change(whole(), at(as_of))
    assert expected.findings, "a law about nothing proves nothing"
    assert found(changed, at(as_of)) == expected


def test_patterns_do_change_with_what_becomes_known() -> None:
    assert found(whole(), at(f"{quarter(7)}")) != found(whole(), at(f"{quarter(8)}"))
