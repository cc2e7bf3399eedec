"""``GET /v1/accuracy``: what was said in each week of past periods against what happened, live and in the backtest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serving.accuracy import backtest_told, live_told
from serving.answers import to_json
from serving.api import Api
from serving.principal import Scope
from serving.routes_deals import parameters_of
from serving.routes_forecast import period_of
from serving.store.engine import Store
from serving.store.repository import reading


class AccuracyRoutes:
    """The route and the api it belongs to."""

    def __init__(self, api: Api, state_dir: Path) -> None:
        self._api = api
        self._state_dir = state_dir

    async def accuracy(self, request: Request) -> Response:
        """How right the service was in a past period, and the model in its backtest."""
        api = self._api
        principal = api.principal(request, Scope.READ)
        asked = period_of(parameters_of(request, ("period",)))
        bundle = api.model().bundle
        request_id = request.scope["state"]["request_id"]

        def work(store: Store) -> dict[str, Any]:
            with reading(store) as connection:
                live = live_told(connection, principal, bundle, asked)
            backtest = backtest_told(self._state_dir, principal, bundle)
            return {"request_id": request_id} | live | {"backtest": backtest}

        return Response(to_json(await api.from_store(work)), media_type="application/json")
