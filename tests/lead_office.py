"""A small company of leads with a live model and a store of its own, as a refresh leaves it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from configs.load import load_config
from configs.schema import Config
from features.periods import parse_as_of
from features.sources.base import open_source
from models.bundle import Store, save
from serving.lead_refresh import LeadsRefreshed, refresh_leads
from serving.store.engine import FILE
from tests.lead_world import write_leads
from training.fit import fingerprint, fit_bundle
from training.prepare import prepare

TRAINED_AS_OF, AS_OF = "2024-05-15", "2024-05-27"
CAPACITY = 40


@dataclass
class LeadOffice:
    """A config of leads with its live model. folder: of the config, the export and the state. as_of: of refreshes."""

    config: Config
    folder: Path
    as_of: int

    @property
    def path(self) -> Path:
        """Of the config."""
        return self.folder / "leads.yaml"

    def beside(self, folder: Path, **serving: Any) -> LeadOffice:
        """The same with a store of its own."""
        state = folder / "state"
        state.mkdir(parents=True)
        (state / "bundles").symlink_to(self.config.state_dir / "bundles")
        settled = self.config.serving.model_copy(update=serving)
        return replace(self, config=self.config.model_copy(update={"state_dir": state, "serving": settled}))

    def refresh(self, as_of: int | None = None) -> LeadsRefreshed:
        """Refresh the store, as of the office's instant unless given."""
        instant = self.as_of if as_of is None else as_of
        return refresh_leads(self.config, instant, instant, lambda _: None)

    def asked(self, sql: str, *values: Any) -> list[Any]:
        """Ask the store, past all that guards it."""
        with sqlite3.connect(self.config.state_dir / "serving" / FILE) as store:
            return store.execute(sql, values).fetchall()

    def told(self) -> dict[str, Any]:
        """What the last refresh told."""
        found: dict[str, Any] = json.loads(self.asked("SELECT body FROM lead_refreshes ORDER BY as_of DESC")[0][0])
        return found


@cache
def lead_office(folder: Path, leads: int = 700, overrides: tuple[str, ...] = ()) -> LeadOffice:
    """Write leads, train until TRAINED_AS_OF and publish; nothing is refreshed yet. Made once a folder."""
    path = write_leads(folder, leads)
    settled = path.read_text().replace("leads: {", f"leads: {{weekly_capacity: {CAPACITY}, ")
    path.write_text(f"{settled}state_dir: {folder / 'state'}\n")
    config = load_config(path, overrides)
    ingest = open_source(config).read()
    prepared = prepare(config, ingest, parse_as_of(TRAINED_AS_OF, "UTC"))
    with threadpool_limits(1):
        bundle, _ = fit_bundle(prepared, fingerprint(ingest.tables))
    store = Store(config.state_dir / "bundles")
    save(bundle, folder / "bundle")
    store.point(store.publish(folder / "bundle"))
    return LeadOffice(config, folder, parse_as_of(AS_OF, "UTC"))
