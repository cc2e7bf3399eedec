"""The pages over an office's store: a client that logs in, and the same app on a socket for a real browser."""

from __future__ import annotations

import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient

from serving.app import create_app
from serving.auth import create_key, keys_file
from serving.fits import load_model
from serving.principal import Rights, Scope
from serving.store.engine import FILE
from tests.running import free_port
from tests.stored import Office

MADE = datetime(2025, 1, 1, tzinfo=UTC)
HTML = {"Accept": "text/html"}
WHOLE = Rights(frozenset({Scope.READ, Scope.OVERRIDE}), None)


def form_token(page: str) -> str:
    """The token in the first form of a page."""
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)
    assert found is not None, page
    return found[1]


@dataclass
class Visitor:
    """A browser without scripts: it keeps cookies and follows no redirect unless told."""

    client: TestClient
    office: Office

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=HTML | headers, follow_redirects=False)

    def post(self, path: str, form: dict[str, str], **headers: str) -> Any:
        return self.client.post(path, data=form, headers=HTML | headers, follow_redirects=False)

    def log_in(self, key: str, to: str = "/deals") -> Any:
        token = form_token(self.get("/login").text)
        return self.post("/login", {"form_token": token, "next": to, "key": key})


def app_of(office: Office, ready: bool = True) -> Starlette:
    """An app over the office's store; the clock is the office's."""
    app = create_app(office.config, lambda: office.now, office.lines.append)
    if ready:
        app.state.api.loaded = load_model(office.config)
    return app


def key_for(office: Office, name: str, rights: Rights = WHOLE) -> str:
    """A key of the office."""
    return create_key(keys_file(office.config), name, MADE, rights=rights)


def copy_of(office: Office, folder: Path) -> Office:
    """An office over a copy of the store, for tests that spoil it."""
    state = folder / "state"
    (state / "serving").mkdir(parents=True)
    with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
        store.execute("VACUUM INTO ?", [str(state / "serving" / FILE)])
    (state / "bundles").symlink_to(office.world.config.state_dir / "bundles")
    shutil.copy(office.config.state_dir / "serving/REFERENCE", state / "serving/REFERENCE")
    return Office(office.config.model_copy(update={"state_dir": state}), office.world, office.export, office.now)


@contextmanager
def visitor(office: Office, ready: bool = True) -> Iterator[Visitor]:
    """Somebody at the pages, not logged in; over https, as the cookies ask."""
    app = app_of(office, ready)
    try:
        yield Visitor(TestClient(app, base_url="https://testserver"), office)
    finally:
        app.state.api.close()


@contextmanager
def on_a_socket(app: Starlette) -> Iterator[str]:
    """The app under a server in a thread; gives its address. Chromium takes secure cookies from localhost."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until, "the server did not start"
        time.sleep(0.02)
    try:
        yield f"http://localhost:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
        app.state.api.close()
