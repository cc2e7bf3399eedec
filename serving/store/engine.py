"""Opening the store that a config names: SQLite in the state directory, or PostgreSQL by a URL from the environment."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from configs.errors import StoreError, UsageError
from configs.schema import Config
from serving.facts import serving_dir
from serving.store.faults import FAULTS, store_fault
from serving.store.turns import turn_at
from serving.store.versions import bring_forward
from serving.store.writer import MOST, Writer

FILE, TURN = "store.db", "store.turn"
POSTGRES = "postgresql+psycopg"
PATIENT_S = 600.0  # that one statement may take where a command runs it, for whom nobody else waits


@dataclass(frozen=True)
class Store:
    """An open store: read through `engine`, written through `writer`."""

    engine: Engine
    writer: Writer

    def close(self) -> None:
        """Write what waits and close every connection."""
        self.writer.close()
        self.engine.dispose()


def open_store(
    config: Config, environment: Mapping[str, str] | None = None, most: int = MOST, patience: float | None = None
) -> Store:
    """Open the store of a config, made or migrated where needed. most: jobs that the writer commits together.

    patience: seconds that the database may take to answer, or other processes to let a writer in; what the config
    grants to requests unless given.
    Raises UsageError for a URL that can't be used, StoreError where it can't be opened, StoreVersionError for a newer
    one.
    """
    seconds = config.serving.store.timeout_seconds if patience is None else patience
    engine = _engine(config, os.environ if environment is None else environment, seconds)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            bring_forward(connection)
    except FAULTS as error:
        engine.dispose()
        raise store_fault(error, engine) from error
    except Exception:
        engine.dispose()
        raise
    return Store(engine, Writer(engine, most, _turn(config)))


def _turn(config: Config) -> Callable[[], AbstractContextManager[None]]:
    """Return how a writer waits for the other processes; PostgreSQL lets them write beside each other."""
    if config.serving.store.url_env is not None:
        return nullcontext
    return partial(turn_at, serving_dir(config.state_dir) / TURN)


def _engine(config: Config, environment: Mapping[str, str], patience: float) -> Engine:
    name = config.serving.store.url_env
    if name is None:
        return _sqlite(serving_dir(config.state_dir) / FILE, patience)
    url = _postgres_url(name, environment.get(name, ""))
    from serving.store.postgres import postgres_engine  # its driver is an extra

    return postgres_engine(url, patience)


def _postgres_url(name: str, text: str) -> URL:
    """Read the variable that holds the URL. Raises UsageError, which never repeats it."""
    expected = f"a URL such as {POSTGRES}://USER:PASSWORD@HOST/DATABASE in the environment variable {name}"
    if not text:
        raise UsageError.at("serving.store.url_env", f"{name} is not set", expected=expected)
    try:
        url = make_url(text)
    except ArgumentError:
        raise UsageError.at("serving.store.url_env", f"{name} holds no URL", expected=expected) from None
    if url.drivername != POSTGRES:
        raise UsageError.at("serving.store.url_env", f"{name} names {url.drivername}", expected=expected)
    return url


def _sqlite(path: Path, patience: float) -> Engine:
    """Return an engine whose writers queue up and whose commits are on disk when they return."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite's other files take over its rights
    except OSError as error:
        raise StoreError(f"{path} cannot be made ({error.strerror}); check its rights and free space") from error
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": patience})

    @event.listens_for(engine, "connect")
    def prepared(connection: Any, _: Any) -> None:
        assert isinstance(connection, sqlite3.Connection)  # noqa: S101 -- the engine is SQLite's
        connection.isolation_level = None  # SQLAlchemy says BEGIN, below
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # A writer takes its lock at once: one that first reads and then writes could not wait for another.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
