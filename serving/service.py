"""The BentoML service: host and process manager of the app in `serving.app`, nothing more.

``forecastle serve`` starts it with the config in the environment. The app is mounted as a plain callable, which
keeps 404, 405 and 500 ours; its lifespan is then not run, so the model is loaded in ``__init__``, once per worker,
before the first request; from then on `serving.watch` keeps it as the disk says.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.errors import ForecastleError
from configs.load import leads_of, load_config
from serving.api import Api
from serving.app import create_app
from serving.connection import bound_connections
from serving.drain import drain_before_stopping, stop_with_parent
from serving.environment import CONFIG, OVERRIDES, spare_imports
from serving.frame import log_line
from serving.jobs import JobRunner
from serving.watch import Watch

PROBES = frozenset({"/healthz", "/livez", "/readyz"})  # BentoML's own; all else is the app's
TIMEOUT_S = 300  # BentoML's own, of what it answers itself: the probes
TURN_S = 0.0005
"""How long a thread may keep Python to itself while others wait. The ledger's writer needs it several times a commit:
at Python's own 5 ms each, a busy event loop would hold up every answer that waits for the disk."""

spare_imports()
sys.setswitchinterval(TURN_S)
config = load_config(Path(os.environ[CONFIG]), json.loads(os.environ.get(OVERRIDES, "[]")))
leads = leads_of(config)
app = create_app(config)
api: Api = app.state.api


async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
    """The app as a plain callable, on purpose: as an instance, unknown paths would fall through to BentoML."""
    await app(scope, receive, send)


class OwnRoutes:
    """Middleware around BentoML's app that leaves it its probes alone: the rest of it would cost more than a refusal.

    Without it a path with a line break would slip past the pattern of the mount.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        ours = scope["type"] == "http" and scope["path"] not in PROBES
        await (app if ours else self._inner)(scope, receive, send)


bound_connections(OwnRoutes)


@bentoml.service(
    name="forecastle",
    workers=config.serving.workers,
    traffic={"timeout": TIMEOUT_S},
    metrics={"enabled": False},  # one series per raw path: a scan of paths would fill the memory
    logging={"access": {"enabled": False}},  # a path with a line break would forge log lines
    http={"host": config.serving.host, "port": config.serving.port},
)
@bentoml.asgi_app(mounted, path="/")
class Forecastle:
    """One worker."""

    def __init__(self) -> None:
        """Load the model; where that fails the worker waits for another, not ready, and the log says why."""
        try:
            api.store()
        except ForecastleError as error:  # what needs no store is answered all the same
            log_line({"event": "store_unusable", "code": error.code, "message": str(error)})
        self._watches = [Watch(config, api)]
        if leads is not None and api.leads is not None:
            self._watches.append(Watch(leads, api.leads))
        for watch in self._watches:
            watch.start()
        drain_before_stopping(api, config.serving.drain_seconds)
        stop_with_parent()
        self._jobs = JobRunner(api)
        self._jobs.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML does not say what it returns
    def close(self) -> None:
        """Stop watching, let go of a job, write what waits, close the store and send the last spans."""
        for watch in self._watches:
            watch.stop()
        self._jobs.stop()
        api.close()
        spans = app.state.spans()
        if spans is not None:
            spans.close()

    def __is_ready__(self) -> bool:
        """Drive BentoML's ``/readyz``."""
        return api.loaded is not None and not api.draining
