"""What is asked about the service: ``GET /v1/openapi.json``, ``GET /v1/metrics``, and ``GET /v1/model``, its card."""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from serving import openapi
from serving.answers import identity, to_json
from serving.api import Api
from serving.metrics import MEDIA_TYPE
from serving.papers import CARD, paper
from serving.principal import Scope

NO_CARD = "no card was published with this model: `forecastle train` writes one and `forecastle promote` publishes it"


class AboutRoutes:
    """The routes and the api they belong to."""

    def __init__(self, api: Api, state_dir: Path) -> None:
        self._api = api
        self._state_dir = state_dir

    @cached_property
    def _contract(self) -> str:
        return openapi.text(self._api.limits)

    async def contract(self, request: Request) -> Response:
        """The contract, with the limits of this service; it needs no key, since it is the same for everyone."""
        return Response(self._contract, media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        """Counts and times for Prometheus."""
        api = self._api
        api.principal(request, Scope.STATUS)
        return Response(
            api.metrics.exposed([slot.loaded for slot in (api, api.leads) if slot is not None]), media_type=MEDIA_TYPE
        )

    async def model(self, request: Request) -> Response:
        """The card of the model that serves: what it is for, what it rests on, and how right it was."""
        api = self._api
        api.principal(request, Scope.STATUS)
        loaded = api.model()
        card = await api.in_thread(partial(paper, self._state_dir, loaded.bundle.sha, CARD))
        why = "" if card is not None else NO_CARD
        told = identity(loaded) | {"request_id": request.scope["state"]["request_id"], "card": card, "why": why}
        return Response(to_json(told), media_type="application/json")
