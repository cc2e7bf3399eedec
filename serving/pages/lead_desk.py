"""The leads that a service shows beside its deals: their config, their own store, and what was told of their model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

from sqlalchemy import Connection

from configs.errors import BundleError
from configs.load import leads_of
from configs.schema import Config
from models.store import bundle_folder
from serving.papers import REPORT, paper
from serving.store.engine import Store, open_store
from serving.store.leads import Lead, LeadRefresh, stored_leads
from serving.store.repository import reading


class LeadDesk:
    """Opens the leads' store when it is first asked for, and keeps the leads of the last refresh at hand.

    A key sees it only where it sees every team.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock = Lock()
        self._store: Store | None = None
        self._listed: tuple[tuple[int, int], list[Lead]] | None = None

    @classmethod
    def of(cls, config: Config) -> LeadDesk | None:
        """Return the desk of the leads that a config of deals names, None where it names none. Raises ConfigError."""
        leads = leads_of(config)
        return None if leads is None else cls(leads)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open one consistent look at the store; entering raises StoreError where it can't be read."""
        with self._lock:
            if self._store is None:
                self._store = open_store(self.config)
        with reading(self._store) as connection:
            yield connection

    def leads(self, connection: Connection, refresh: LeadRefresh) -> list[Lead]:
        """Return every open lead as of the refresh that the connection sees, by id; read once a refresh."""
        mark, kept = (refresh.as_of, refresh.ran_at), self._listed
        if kept is None or kept[0] != mark:
            kept = self._listed = (mark, stored_leads(connection))
        return kept[1]

    def has_model(self) -> bool:
        """Whether a model of leads is live."""
        try:
            return bundle_folder(self.config.state_dir).is_dir()
        except BundleError:
            return False

    def section(self, sha: str, key: str) -> Mapping[str, Any] | None:
        """Return a section of the report that was published with a model, None where there is none."""
        told = paper(self.config.state_dir, sha, REPORT) or {}
        sections = (told.get("report") or {}).get("sections") or ()
        return next((one for one in sections if one.get("key") == key), None)

    def close(self) -> None:
        """Close the store."""
        with self._lock:
            if self._store is not None:
                self._store.close()
            self._store = None
