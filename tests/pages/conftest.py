"""A store that was refreshed on two Mondays, and somebody who is logged in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lead_office import LeadOffice, lead_office
from tests.paged import Visitor, key_for, visitor
from tests.pages.told import past_office
from tests.served import World, world_in
from tests.stored import DAY, Office, cut_export, few_deals, office_in

MONDAYS = 2


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The company with a live model; made once a session, shared with tests/service."""
    folder = tmp_path_factory.getbasetemp() / "served"
    folder.mkdir(exist_ok=True)
    return world_in(folder)


@pytest.fixture(scope="session")
def leads(tmp_path_factory: pytest.TempPathFactory) -> LeadOffice:
    """Leads with a live model, refreshed once; nothing changes them."""
    made = lead_office(tmp_path_factory.getbasetemp() / "leads")
    made.refresh()
    return made


@pytest.fixture(scope="session")
def office(world: World, leads: LeadOffice, tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A store over a few deals, refreshed on two Mondays, beside leads; nothing changes it but logins and overrides."""
    folder = tmp_path_factory.mktemp("pages")
    export = cut_export(world, folder / "export", few_deals(world, 60))
    made = office_in(world, folder, export, f"serving.leads={leads.path}")
    for weeks in reversed(range(MONDAYS)):
        made.now = world.as_of - weeks * 7 * DAY
        made.refresh()
    return made


@pytest.fixture(scope="session")
def key(office: Office) -> str:
    """A key that sees everything."""
    return key_for(office, "Dana Whitfield")


@pytest.fixture
def stranger(office: Office) -> Iterator[Visitor]:
    """Somebody who is not logged in."""
    with visitor(office) as somebody:
        yield somebody


@pytest.fixture
def manager(stranger: Visitor, key: str) -> Visitor:
    """Somebody who is."""
    assert stranger.log_in(key).status_code == 303
    return stranger


@pytest.fixture(scope="session")
def past(world: World, tmp_path_factory: pytest.TempPathFactory) -> Office:
    """An office that has seen a period end; nothing changes it but logins."""
    return past_office(world, tmp_path_factory.mktemp("past"))
