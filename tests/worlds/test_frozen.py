"""The worlds are frozen: a golden hash for each, over every row and column of its tables and its truth.

They were frozen before any model was compared on them. If one of these fails, the generator or a parameter was changed,
and every figure that was measured on the worlds is void: undo the change, or say in the commit that you made new worlds
and measure everything anew.
"""

from __future__ import annotations

import pytest

from tests.worlds.settings import WORLDS
from tests.worlds.world import fingerprint, world

GOLDEN = {
    "W0": "8677ebe21f68d50107fef707af0b290d",
    "W1": "3e899813cafe06a8751575fc76e2f8fd",
    "W2": "9f731dfa027da17a6a7e2b549cfe09cc",
    "W3": "7b5cc7f7fe328710e8513844462b9049",
    "W4": "3fc298c3a9cdd23b2e21974894a35b1a",
    "W5": "08ed3c9964ca14a69eb4ab3f452cede1",
    "W5Z": "b0d33e582ef7357dd94b085311c3d5eb",
    "W5P": "e232ce9a4d83f163158e2c8a174747dd",
    "W6": "3e899813cafe06a8751575fc76e2f8fd",
    "W6B": "26024aec4db1899dab262393afe6c734",
}


@pytest.mark.parametrize("name", WORLDS)
def test_golden_hash(name: str) -> None:
    assert fingerprint(world(name, 1, 10, 8))[:32] == GOLDEN[name]


def test_twin_without_bait_is_w1() -> None:
    assert GOLDEN["W6"] == GOLDEN["W1"] != GOLDEN["W6B"]
