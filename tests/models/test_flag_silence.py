"""The laws of time for the flag of the silent buyer, on a planted world; nasty records raise it seldom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from configs.flags import Flags
from configs.load import mapping_of
from features.asof import Requests
from features.known import known_before
from features.record import Record, build_record
from features.schema import schema_of
from features.tables import CrmTables
from models.flags import Flag, Scores, find_flags
from tests.pit.test_laws import rewritten_after
from tests.worlds.settings import GONE
from tests.worlds.world import STAGE_MAP, World, config, world
from training.prepare import calendar_of

LIMITS = Flags.model_validate({"min_deals": 5, "disengaged": {"share": 0.1}})


@pytest.fixture(scope="module")
def made() -> World:
    return world("W5P", 1, 10, 8)


@pytest.fixture(scope="module")
def whole(made: World, tmp_path_factory: pytest.TempPathFactory) -> Record:
    return recorded(made, made.ingest.tables, tmp_path_factory.mktemp("state"))


def recorded(made: World, tables: CrmTables, state: Path) -> Record:
    settings = config(state)
    schema = schema_of(made.ingest.tables, mapping_of(settings), settings.target)
    return build_record(tables, STAGE_MAP, calendar_of(settings), schema)


def silent(made: Record, deals: list[str], as_of: int) -> list[list[Flag]]:
    code = {deal: i for i, deal in enumerate(made.deal_ids.strings())}
    requests = Requests(np.array([code[deal] for deal in deals]), np.full(len(deals), as_of))
    even, unknown = np.full(len(deals), 0.5), np.full(len(deals), np.nan)
    found = find_flags(made.view(requests), Scores(even, unknown, unknown, unknown, unknown, True), LIMITS)
    return [[flag for flag in listed if flag.code == "disengaged"] for listed in found]


def open_deals(made: World, as_of: int) -> list[str]:
    ids = made.ingest.tables.deals.coded("deal_id").strings()
    return [str(ids[deal]) for deal in made.truth.deal[made.truth.as_of == as_of]]


def looks(made: World) -> list[int]:
    return [int(look) for look in np.unique(made.truth.as_of)[[60, 80, 100]]]


def test_it_is_raised_and_mostly_of_buyers_who_are_gone(made: World, whole: Record) -> None:
    for as_of in looks(made)[1:]:
        raised = np.array([len(flags) > 0 for flags in silent(whole, open_deals(made, as_of), as_of)])
        gone = made.truth.level[made.truth.as_of == as_of] == GONE
        assert raised.sum() >= 3
        assert gone[raised].mean() > 2 * gone.mean()


def test_what_comes_later_changes_nothing(made: World, whole: Record, tmp_path: Path) -> None:
    """Cut off at the as-of, or all later rows re-written and back-dated: the same flags to the last word and bit."""
    tables = made.ingest.tables
    for as_of in looks(made):
        deals = open_deals(made, as_of)
        found = silent(whole, deals, as_of)
        cut = recorded(made, known_before(tables, as_of), tmp_path)
        bent = recorded(made, rewritten_after(tables, as_of, np.random.default_rng(as_of)), tmp_path)
        assert silent(cut, deals, as_of) == found
        assert silent(bent, deals, as_of) == found


def test_a_deal_has_the_same_flag_alone(made: World, whole: Record) -> None:
    as_of = looks(made)[2]
    deals = open_deals(made, as_of)
    found = silent(whole, deals, as_of)
    assert [silent(whole, [deal], as_of)[0] for deal in deals] == found
