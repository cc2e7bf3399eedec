"""``POST /v1/events``: what a CRM pushes, stored before the answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from configs.errors import ConflictError, Fault, ForbiddenError, ForecastleError, InvalidRequestError
from serving.answers import to_json
from serving.api import Api
from serving.events import Fact, check_events, read_events
from serving.principal import Scope
from serving.problems import problem
from serving.store.taken import REUSED, STORED, Key, keep_reply, reply_before, take_events

KEY_HEADER, REPLAYED_HEADER = "idempotency-key", "Idempotent-Replayed"
LONGEST_KEY = 200


class EventRoutes:
    """The route and the api it belongs to."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def take(self, request: Request) -> Response:
        """Take events; each is stored, a duplicate, or refused on its own."""
        api = self._api
        principal = api.principal(request, Scope.EVENTS)
        if principal.teams is not None:
            raise ForbiddenError("a key that pushes events must be for all teams")
        api.expect_json(request)
        key_text = idempotency_key(request)
        loaded = api.model()
        body = await api.body(request)
        state = request.scope["state"]
        now = api.now()
        events = await api.in_thread(partial(read_events, body, api.limits.max_events), len(body))
        checked = await api.in_thread(partial(check_events, events, now, loaded), len(body))
        key = Key(principal.key, key_text, sha256(body).hexdigest()) if key_text else None

        def work(connection: Connection) -> tuple[bytes, Counter[str] | None]:
            before = reply_before(connection, key) if key else None
            if before is not None:
                return before, None
            facts = [fact for fact in checked if isinstance(fact, Fact)]
            said = take_events(connection, facts, principal.key, now)
            results = _results(events, checked, said)
            answer = to_json({"request_id": state["request_id"], "received": len(events), "results": results})
            if key:
                keep_reply(connection, key, answer, now)
            return answer, Counter(map(_outcome, results))

        waiting = await api.from_store(lambda store: store.writer.submit(work))
        answer, outcomes = await asyncio.wrap_future(waiting)  # no outcomes: given before
        state |= {"rows": outcomes[STORED] if outcomes else 0}
        api.metrics.events(outcomes or {})
        headers = {REPLAYED_HEADER: "true"} if outcomes is None else {}
        return Response(answer, media_type="application/json", headers=headers)


def idempotency_key(request: Request) -> str:
    """Return the Idempotency-Key of a request, empty without one. Raises InvalidRequestError."""
    text = request.headers.get(KEY_HEADER, "")
    if len(text) > LONGEST_KEY or not text.isprintable():
        got = "the header Idempotency-Key is too long or not printable"
        raise InvalidRequestError(faults=[Fault("wrong_value", "", got, f"at most {LONGEST_KEY} characters")])
    return text


def _results(
    events: Sequence[Any], checked: Sequence[Fact | ForecastleError], said: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what became of each event, in the order of the request."""
    left = iter(said)
    results: list[dict[str, Any]] = []
    for place, (event, fact) in enumerate(zip(events, checked, strict=True)):
        if isinstance(fact, ForecastleError):
            results.append(_refused(event, fact))
        elif (status := next(left)) == REUSED:
            got = "this event_id came before with something else; it was stored then, and this is not"
            fault = Fault("event_id_reused", "", got, "an event_id of its own", path=f"/events/{place}/event_id")
            results.append(_refused(event, ConflictError(faults=[fault])))
        else:
            results.append({"event_id": fact.event_id, "ok": True, "status": status})
    return results


def _outcome(result: dict[str, Any]) -> str:
    """Return what became of an event in one word: stored, duplicate or a code."""
    return str(result["status"] if result["ok"] else result["problem"]["code"])


def _refused(event: Any, error: ForecastleError) -> dict[str, Any]:
    """One result of an event that is not stored. Its id is told again only where it was read as one."""
    name = event.get("event_id") if isinstance(event, dict) else None
    known = name if isinstance(name, str) and len(name) <= 200 and name.isprintable() else None
    return {"event_id": known, "ok": False, "problem": problem(error)}
