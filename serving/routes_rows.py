"""``POST /v1/rows/score``: probabilities for feature rows that the caller has built."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from serving.api import THREAD_FROM, Api
from serving.principal import Scope
from serving.rows import answer_rows, of_unknown_facts


class RowRoutes:
    """The route and the api it belongs to."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def score(self, request: Request) -> Response:
        """Score ready rows by the close head."""
        api = self._api
        principal = api.principal(request, Scope.SCORE)
        api.expect_json(request)
        loaded = api.model()
        body = await api.body(request)
        state = request.scope["state"]
        started = api.started()
        work = partial(answer_rows, body, started.asked_at, state["request_id"], loaded, api.limits)
        got = await (api.in_turn if len(body) < THREAD_FROM else api.in_thread)(work)
        state |= {"rows": got.scored, "refused": sum(got.refused.values())}
        api.metrics.deals(got.scored, got.refused, 0)
        await api.keep(request, principal, of_unknown_facts(loaded), got.entries, started)
        return Response(got.body, media_type="application/json")
