"""``POST /v1/deals/score`` and ``POST /v1/rows/score``: scores of what a caller sends, kept in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from configs.schema import Serving
from serving.answers import Answer, answer
from serving.api import Api
from serving.intake import Loaded
from serving.principal import Scope
from serving.rows import answer_rows, of_unknown_facts

THREAD_FROM = 16_000
"""Bodies of this many bytes and more are answered in a thread, so that health answers meanwhile: a few deals' worth."""

Answering = Callable[[bytes, int, str, Loaded, Serving], Answer]


class ScoreRoutes:
    """The routes and the api they belong to."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def deals(self, request: Request) -> Response:
        """Score deals given with their history."""
        return await self._scored(request, answer, lambda loaded: loaded)

    async def rows(self, request: Request) -> Response:
        """Score ready feature rows by the close head."""
        return await self._scored(request, answer_rows, of_unknown_facts)

    async def _scored(self, request: Request, answering: Answering, named: Callable[[Loaded], Loaded]) -> Response:
        """Answer a body. named: the model as the ledger is to name it."""
        api = self._api
        principal = api.principal(request, Scope.SCORE)
        api.expect_json(request)
        loaded = api.model()
        body = await api.body(request)
        state = request.scope["state"]
        started = api.started()
        work = partial(answering, body, started.asked_at, state["request_id"], loaded, api.limits)
        got = await (api.in_turn if len(body) < THREAD_FROM else api.in_thread)(work)
        state |= {"rows": got.scored, "refused": sum(got.refused.values())}
        api.metrics.deals(got.scored, got.refused, got.reasons_off)
        if got.reasons_off:
            state["reasons_off"] = got.reasons_off
        await api.keep(request, principal, named(loaded), got.entries, started)
        return Response(got.body, media_type="application/json")
