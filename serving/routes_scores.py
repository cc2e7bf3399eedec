"""``POST /v1/deals/score``, ``/v1/leads/score``, ``/v1/rows/score``: scores of what a caller sends, in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from configs.schema import Serving
from serving.answers import Answer, answer, answer_leads
from serving.api import Api
from serving.intake import Loaded
from serving.principal import Scope
from serving.rows import answer_rows, of_unknown_facts

THREAD_FROM = 64_000
"""Bodies of this many bytes and more are answered in a thread, so that health answers meanwhile: a dozen deals' worth,
or one with a long history. Less is quicker done in the event loop than beside it, where both wait for Python's lock:
with 64 callers for 32 places a refusal then took three times its own work."""

Answering = Callable[[bytes, int, str, Loaded, Serving], Answer]


class ScoreRoutes:
    """The routes and the api they belong to."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def deals(self, request: Request) -> Response:
        """Score deals given with their history."""
        return await self._scored(request, answer, self._api.model)

    async def leads(self, request: Request) -> Response:
        """Score leads given with their history and activities."""
        return await self._scored(request, answer_leads, self._api.lead_model)

    async def rows(self, request: Request) -> Response:
        """Score ready feature rows by the close head."""
        return await self._scored(request, answer_rows, self._api.model, of_unknown_facts)

    async def _scored(
        self,
        request: Request,
        answering: Answering,
        model: Callable[[], Loaded],
        named: Callable[[Loaded], Loaded] = lambda loaded: loaded,
    ) -> Response:
        """Answer a body. model: gives the one to ask; named: it as the ledger is to name it."""
        api = self._api
        principal = api.principal(request, Scope.SCORE)
        api.expect_json(request)
        loaded = model()
        body = await api.body(request)
        state = request.scope["state"]
        started = api.started()
        work = partial(answering, body, started.asked_at, state["request_id"], loaded, api.limits)
        got = await (api.in_turn(work) if len(body) < THREAD_FROM else api.in_thread(work, len(body)))
        state |= {"rows": got.scored, "refused": sum(got.refused.values())}
        api.metrics.scores(loaded.kind.many, got.scored, got.refused, got.reasons_off)
        if got.reasons_off:
            state["reasons_off"] = got.reasons_off
        await api.keep(request, principal, named(loaded), got.entries, started)
        return Response(got.body, media_type="application/json")
