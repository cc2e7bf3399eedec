"""The company that the tests of serving share."""

from __future__ import annotations

import pytest

from tests.served import World, world_in


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The company with a live model; made once a session."""
    folder = tmp_path_factory.getbasetemp() / "served"
    folder.mkdir(exist_ok=True)
    return world_in(folder)
