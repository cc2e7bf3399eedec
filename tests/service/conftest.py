"""A live model, an app over it with a fixed clock, and a key that works."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from configs.schema import Config
from serving.app import create_app
from serving.auth import create_key, keys_file
from serving.intake import Loaded
from tests.contracted import checked
from tests.disks import small_disk
from tests.postgres import Cluster, postgres
from tests.served import World, world_in
from tests.stored import EVERYTHING, URL_ENV, Office, cut_export, database, few_deals, office_in

NOW = datetime(2025, 5, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The company with a live model; made once a session."""
    folder = tmp_path_factory.getbasetemp() / "served"
    folder.mkdir(exist_ok=True)
    return world_in(folder)


@dataclass
class Served:
    """A client of one app. headers: what a good request carries; lines: what was logged."""

    client: TestClient
    key: str
    lines: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        """Key and content type."""
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    def score(self, body: bytes, **headers: str) -> Any:
        """Post a body."""
        return self.client.post("/v1/deals/score", content=body, headers=self.headers | headers)


Serve = Callable[..., Served]


@pytest.fixture
def serve(world: World, tmp_path: Path) -> Serve:
    """Make an app over the world's model: serve(**limits), or serve(loaded=None) for one that is not ready."""

    def make(loaded: Loaded | None | str = "world", **limits: Any) -> Served:
        serving = world.config.serving.model_copy(update=limits)
        config: Config = world.config.model_copy(update={"serving": serving, "state_dir": tmp_path})
        lines: list[Mapping[str, Any]] = []
        app = create_app(config, lambda: round(NOW.timestamp() * 1_000_000), lines.append)
        app.state.api.loaded = world.loaded if loaded == "world" else loaded
        key = create_key(keys_file(config), "test", NOW, rights=EVERYTHING)
        return Served(checked(TestClient(app)), key, lines)

    return make


@pytest.fixture
def served(serve: Serve) -> Served:
    """An app over the world's model with the limits of the config."""
    return serve()


@pytest.fixture(scope="session")
def ids(world: World) -> list[str]:
    """The deals open at the world's as-of."""
    from serving.batch import open_deals

    chosen = open_deals(world.seen.record, world.as_of)
    return sorted(name for name in world.seen.record.deal_ids.take(chosen.deal).strings() if name)


@pytest.fixture(scope="session")
def few(world: World) -> list[str]:
    """Deals of a small export: half of them open at the world's as-of."""
    return few_deals(world)


@pytest.fixture(scope="session")
def export(world: World, few: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of these deals; not to be changed."""
    return cut_export(world, tmp_path_factory.mktemp("few") / "export", few)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL cluster for the session."""
    with postgres() as running:
        yield running


@pytest.fixture
def office(world: World, export: Path, tmp_path: Path) -> Office:
    """A store in SQLite, over an export that may be changed."""
    return office_in(world, tmp_path, Path(shutil.copytree(export, tmp_path / "export")))


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, world: World, export: Path, tmp_path: Path) -> Iterator[Office]:
    """The same in SQLite and in PostgreSQL."""
    copied = Path(shutil.copytree(export, tmp_path / "export"))
    if request.param == "sqlite":
        yield office_in(world, tmp_path, copied)
        return
    with database(request.getfixturevalue("cluster")) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL_ENV, url)
        yield office_in(world, tmp_path, copied, f"serving.store.url_env={URL_ENV}")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder
