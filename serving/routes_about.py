"""What programs ask about the service: ``GET /v1/openapi.json``, its contract, and ``GET /v1/metrics``."""

from __future__ import annotations

from functools import cached_property

from starlette.requests import Request
from starlette.responses import Response

from serving import openapi
from serving.api import Api
from serving.metrics import MEDIA_TYPE
from serving.principal import Scope


class AboutRoutes:
    """The routes and the api they belong to."""

    def __init__(self, api: Api) -> None:
        self._api = api

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
        return Response(api.metrics.exposed(api.loaded), media_type=MEDIA_TYPE)
