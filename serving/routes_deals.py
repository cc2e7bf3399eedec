"""``GET /v1/deals`` and ``GET /v1/deals/{deal_id}/score``: what is stored, and what follows from it."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from configs.errors import Fault, InvalidRequestError
from serving.answers import iso, read_as_of, to_json
from serving.api import Api
from serving.principal import Scope
from serving.store.deal_list import SORTS, TEXTS, DealFacts, Query
from serving.store.engine import Store
from serving.store.repository import Repository, StoredDeal, StoredScore
from serving.stored import Question, answer_stored

LIMIT, MOST = 100, 1_000
LONGEST = 1_000  # characters of a parameter
SORTS_TOLD = [sign + name for name in SORTS for sign in ("", "-")]
_FLAG = re.compile(r"[a-z_]{1,64}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
SCORE_PARAMETERS = ("as_of", "explain", "in_sample")
FILTERS = ("flag", "team", "owner", "category", "stage", "due")
LIST_PARAMETERS = (*FILTERS, "sort", "cursor", "limit")


class DealRoutes:
    """The routes and the api they belong to."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def score(self, request: Request) -> Response:
        """Score a stored deal as of an instant; what was pushed a moment ago counts."""
        api = self._api
        principal = api.principal(request, Scope.READ)
        loaded = api.model()
        given = parameters_of(request, SCORE_PARAMETERS)
        started, now = api.started(), api.now()
        if "as_of" not in given:
            raise wrong("as_of", "missing", "not given", "as_of=now or an instant, such as as_of=2026-03-31T00:00:00Z")
        as_of = read_as_of(given["as_of"], now, loaded.bundle, _yes(given, "in_sample", False))
        asked = Question(as_of, _yes(given, "explain", True), request.scope["state"]["request_id"])
        deal_id = request.path_params["deal_id"]

        def read(store: Store) -> StoredDeal | None:
            # An id that can't be printed is never stored, and PostgreSQL would not even look for a NUL.
            return Repository(store).deal(principal, deal_id) if deal_id.isprintable() else None

        stored = await api.from_store(read)
        got = await api.in_thread(partial(answer_stored, stored, asked, loaded, api.limits))
        api.metrics.scores("deals", got.scored, got.refused, got.reasons_off)
        await api.keep(request, principal, loaded, got.entries, started)
        return Response(got.body, media_type="application/json")

    async def listed(self, request: Request) -> Response:
        """List the latest scores that `forecastle refresh` stored, a page at a time."""
        api = self._api
        principal = api.principal(request, Scope.READ)
        query, told = _query(parameters_of(request, LIST_PARAMETERS))
        rows = await api.from_store(lambda store: Repository(store).scores(principal, query))
        more = len(rows) == query.limit
        shown = rows[: query.limit - 1]
        document = {
            "request_id": request.scope["state"]["request_id"],
            "deals": [_row(one) for one in shown],
            "next_cursor": cursor_of(told, shown[-1].place, shown[-1].deal_id) if more else None,
        }
        request.scope["state"] |= {"rows": len(shown)}
        return Response(to_json(document), media_type="application/json")


def _row(one: StoredScore) -> dict[str, Any]:
    """One element of ``deals``: the stored answer, whose it is, and the flags within the alert budget."""
    flags = [flag for flag in one.answer.get("flags") or () if flag["code"] in one.flags]
    about = {"as_of": iso(one.as_of), "owner_id": one.owner_id, "team": one.team, "model_version": one.model_version}
    return (
        {"deal_id": one.deal_id}
        | about
        | one.answer
        | {"flags": flags, "change": one.change, "deal": _facts(one.facts)}
    )


def _facts(facts: DealFacts) -> dict[str, Any]:
    """How a deal stood when it was scored, as members of an answer."""
    instants = ("stage_since", "created_at", "last_buyer_at", "next_meeting_at")
    told = {name: None if (at := getattr(facts, name)) is None else iso(at) for name in instants}
    return {name: value for name, value in vars(facts).items() if name != "p_before"} | told


def _query(given: dict[str, str]) -> tuple[Query, list[str | None]]:
    """Read the query of a list, one row longer than asked: it tells whether there is more. Raises InvalidRequestError.

    Also returned: what a cursor is bound to.
    """
    told = [given.get(name) for name in FILTERS]
    flag, team, owner, category, stage, due = told
    order = given.get("sort", "deal_id")
    if flag is not None and not _FLAG.fullmatch(flag):
        raise wrong("flag", "wrong_value", "not the code of a flag", "a code such as slipping; see docs/flags.md")
    if due is not None and not _DAY.fullmatch(due):
        raise wrong("due", "wrong_value", "not a day", "a day such as 2026-06-30")
    name = order.removeprefix("-")
    if name not in SORTS:
        raise wrong("sort", "wrong_value", "not a sort order", f"one of {', '.join(SORTS_TOLD)}")
    bound = [*told, order]
    after = _after(given["cursor"], bound, name) if "cursor" in given else None
    descending, limit = order.startswith("-"), limit_of(given) + 1
    query = Query(flag, team, name, descending, after, limit, owner, category, stage, due)
    return query, bound


def limit_of(given: dict[str, str]) -> int:
    """Return how many deals a page may have. Raises InvalidRequestError."""
    text = given.get("limit", str(LIMIT))
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text) or int(text) > MOST:
        raise wrong("limit", "wrong_value", "not a number of deals", f"1 to {MOST:,}")
    return int(text)


def _after(text: str, told: list[str | None], sort: str) -> tuple[Any, str]:
    """Read where a page begins. Raises InvalidRequestError where the cursor is none, or of another question."""
    place, deal_id = read_cursor(text, told, 2)
    kind: Callable[[Any], bool] = _is_text if sort in TEXTS else _is_number
    if not kind(place) or not _is_text(deal_id):
        raise bad_cursor()
    return place, deal_id


def cursor_of(told: list[str | None], *place: Any) -> str:
    """Return where the next page begins, for the same question alone."""
    text = json.dumps([told, *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, told: list[str | None], size: int) -> list[Any]:
    """Read a cursor's place, of so many parts. Raises InvalidRequestError where it is none, or of another question."""
    try:
        said, *place = list[Any](json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))
    except (ValueError, TypeError):
        raise bad_cursor() from None
    if said != told or len(place) != size:
        raise bad_cursor()
    return place


def bad_cursor() -> InvalidRequestError:
    """Return the refusal of a cursor."""
    return wrong("cursor", "wrong_value", "not a cursor of this question", "next_cursor of the page before")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200 and "\x00" not in value and value.isprintable()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def parameters_of(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    """Return the query's parameters. Raises InvalidRequestError for one that is unknown, given twice or overlong."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            fault = Fault("unknown_parameter", "", "a parameter that is not known", f"some of {', '.join(known)}")
            raise InvalidRequestError(faults=[fault])
        if name in found:
            raise wrong(name, "duplicate", "given twice", "each parameter once")
        if len(value) > LONGEST or "\x00" in value:
            raise wrong(name, "wrong_value", "too long, or not text", "at most 1,000 characters")
        found[name] = value
    return found


def _yes(given: dict[str, str], name: str, default: bool) -> bool:
    words = {"true": True, "false": False}
    if given.get(name, "true") not in words:
        raise wrong(name, "wrong_value", "neither true nor false", "true or false")
    return words[given[name]] if name in given else default


def wrong(name: str, code: str, got: str, expected: str) -> InvalidRequestError:
    """Return the refusal of a parameter."""
    return InvalidRequestError(faults=[Fault(code, "", got, expected, path=f"/{name}")])
