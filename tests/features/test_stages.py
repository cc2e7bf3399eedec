"""Several sales processes in one map of stages: a rank for each stage, and a place within its own process."""

import numpy as np
import pytest

from configs.errors import ConfigError
from features.stages import StageMap

ONE = StageMap(("Qualify", "Propose"), ("Won",), ("Lost",))
TWO = StageMap(
    ("Qualify", "Propose", "Renewal: Qualify", "Renew", "Sign", "Bill"),
    ("Won",),
    ("Lost",),
    (("Qualify", "Propose"), ("Renewal: Qualify", "Renew", "Sign", "Bill")),
)
NAMES = ("Propose", "Renewal: Qualify", "Sign", "Won", "Lost", "Strange")


def test_ranks_go_through_all_processes_and_places_begin_anew() -> None:
    assert TWO.ranks(NAMES).tolist() == [1, 2, 4, 6, -1, -1]
    assert TWO.places(NAMES).tolist() == [1, 0, 2, -1, -1, -1]
    np.testing.assert_array_equal(TWO.shares(NAMES), [0.5, 0.0, 0.5, 1.0, np.nan, np.nan])


def test_one_process_is_the_order() -> None:
    assert ONE.places(["Qualify", "Propose"]).tolist() == ONE.ranks(["Qualify", "Propose"]).tolist() == [0, 1]


def test_processes_travel_in_a_bundle_and_older_bundles_have_none() -> None:
    assert StageMap.from_json(TWO.to_json()) == TWO
    assert "processes" not in ONE.to_json()  # the bytes of a bundle with one process stay as they were
    assert StageMap.from_json({"order": ["Qualify", "Propose"], "won": ["Won"], "lost": ["Lost"]}) == ONE


def test_processes_must_be_the_order_in_parts() -> None:
    with pytest.raises(ConfigError, match="processes that are not the order"):
        StageMap(("A", "B"), ("Won",), (), (("B",), ("A",)))
