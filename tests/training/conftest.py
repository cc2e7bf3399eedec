"""What several tests of training share."""

from __future__ import annotations

import pytest

from tests.served import World, world_in
from tests.trained import Trained, trained_in
from tests.training.lead_company import Leads, leads_in
from training.backtest import Tested as Walked
from training.commands import evaluate, title_of
from training.extras import heads_of
from training.report import Report


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A state directory after one real `train`; made once a session."""
    folder = tmp_path_factory.getbasetemp() / "trained"
    folder.mkdir(exist_ok=True)
    return trained_in(folder)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The company with a live model, as the tests of serving have it."""
    folder = tmp_path_factory.getbasetemp() / "served"
    folder.mkdir(exist_ok=True)
    return world_in(folder)


@pytest.fixture(scope="session")
def leads(tmp_path_factory: pytest.TempPathFactory) -> Leads:
    """The small company of leads, prepared."""
    return leads_in(tmp_path_factory.mktemp("leads"))


@pytest.fixture(scope="session")
def walked_leads(leads: Leads) -> tuple[Report, Walked]:
    """Its backtest: the report and the tested rows."""
    config = leads.config
    return evaluate(leads.prepared, title_of(config, config.training.eligibility), heads=heads_of(config))
