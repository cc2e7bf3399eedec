"""A few deals of the small company with a live model and a store of their own, in SQLite or PostgreSQL."""

from __future__ import annotations

import csv
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from starlette.testclient import TestClient

from configs.load import load_config
from configs.schema import Config
from serving.app import create_app
from serving.auth import create_key, keys_file
from serving.batch import open_deals
from serving.fits import load_model
from serving.principal import Rights, Scope
from serving.refresh_command import Refreshed, refresh
from serving.store.engine import Store, open_store
from tests.contracted import checked
from tests.postgres import Cluster
from tests.served import World

URL_ENV = "FORECASTLE_TEST_STORE"
DAY = 86_400_000_000
EVERYTHING = Rights(frozenset(Scope), None)
OF_A_DEAL = ("deals.csv", "deal_history.csv", "activities.csv", "contacts.csv")


def few_deals(world: World, count: int = 24) -> list[str]:
    """Some deals that are open at the world's as-of, and as many that are not."""
    chosen = open_deals(world.seen.record, world.as_of)
    is_open = sorted(name for name in world.seen.record.deal_ids.take(chosen.deal).strings() if name)
    others = sorted(name for name in world.seen.record.deal_ids.strings() if name and name not in is_open)
    return is_open[:count] + others[-count:]


def cut_export(world: World, folder: Path, deals: list[str]) -> Path:
    """The company's export with the rows of these deals alone."""
    (whole,) = (world.config.state_dir / "simulated").glob("*/export")
    folder.mkdir(parents=True, exist_ok=True)
    for path in whole.glob("*.csv"):
        with path.open(newline="") as read, (folder / path.name).open("w", newline="") as write:
            rows = csv.DictReader(read)
            out = csv.DictWriter(write, rows.fieldnames or ())
            out.writeheader()
            out.writerows(row for row in rows if path.name not in OF_A_DEAL or row["deal_id"] in deals)
    return folder


@dataclass
class Kept:
    """A config with a store."""

    config: Config

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The store, opened as the service does."""
        opened = open_store(self.config)
        try:
            yield opened
        finally:
            opened.close()


@dataclass
class Office(Kept):
    """A config with its live model, an export, and a store. now: what the service's clock says, UTC microseconds."""

    world: World
    export: Path
    now: int
    lines: list[Mapping[str, Any]] = field(default_factory=list)

    def refresh(self, as_of: int | None = None, **more: Any) -> Refreshed:
        """Refresh the store, as of the clock unless given."""
        return refresh(
            self.config, self.now if as_of is None else as_of, self.now, more.pop("gone", False), lambda _: None
        )

    def rewrite(self, name: str, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
        """Change a file of the export."""
        path = self.export / name
        with path.open(newline="") as read:
            rows = csv.DictReader(read)
            names, listed = rows.fieldnames or (), list(rows)
        changed = change(listed)
        extra = [key for row in changed for key in row if key not in names]
        with path.open("w", newline="") as write:
            out = csv.DictWriter(write, [*names, *dict.fromkeys(extra)])
            out.writeheader()
            out.writerows(changed)


@dataclass
class Service:
    """A client of one app over an office's store."""

    client: TestClient
    headers: dict[str, str]
    office: Office

    def get(self, path: str, **parameters: Any) -> Any:
        return self.client.get(path, params=parameters, headers=self.headers)

    def score(self, deal: str, as_of: str = "now", **more: Any) -> Any:
        return self.get(f"/v1/deals/{deal}/score", as_of=as_of, **more)

    def push(self, *events: Mapping[str, Any], **headers: str) -> Any:
        return self.client.post("/v1/events", json={"events": list(events)}, headers=self.headers | headers)

    def post(self, body: Mapping[str, Any]) -> Any:
        return self.client.post("/v1/deals/score", json=body, headers=self.headers)


@contextmanager
def service(office: Office) -> Iterator[Service]:
    """An app over the office's store with its model as a worker loads it; the clock is the office's."""
    app = create_app(office.config, lambda: office.now, office.lines.append)
    app.state.api.loaded = load_model(office.config)
    path = keys_file(office.config)
    path.unlink(missing_ok=True)
    key = create_key(path, "test", datetime(2025, 1, 1, tzinfo=UTC), rights=EVERYTHING)
    try:
        yield Service(checked(TestClient(app)), {"Authorization": f"Bearer {key}"}, office)
    finally:
        app.state.api.close()


def office_in(world: World, folder: Path, export: Path, *overrides: str) -> Office:
    """An office whose state is in a folder, with the world's bundles."""
    state = folder / "state"
    state.mkdir(exist_ok=True)
    (state / "bundles").symlink_to(world.config.state_dir / "bundles")
    said = [*world.overrides, f"state_dir={state}", f"source.path={export}", *overrides]
    return Office(load_config(world.config_path, said), world, export, world.as_of)


@contextmanager
def database(cluster: Cluster) -> Iterator[str]:
    """A new database in a cluster, by URL."""
    name = f"t{secrets.token_hex(6)}"
    plain = cluster.uri.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield cluster.uri.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
