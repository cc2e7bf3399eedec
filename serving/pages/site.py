"""The site: which pages there are, who may see them, and what is said where one can't be shown.

To add a page write a function from a `Visit` to a response in a module of its own, a template that extends
``page.html.j2``, and one line in `PAGES`. It runs in a thread; every read of the store takes `Visit.principal`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from configs.errors import (
    ForbiddenError,
    ForecastleError,
    NotFoundError,
    RequestError,
    RequestTimeoutError,
    TooLargeError,
)
from configs.schema import Config
from serving.api import Api
from serving.pages import accuracy, data, deal, deals, deals_file, forecast, funnel, leads, login, moves, team
from serving.pages.assets import FOREVER, by_address
from serving.pages.lead_desk import LeadDesk
from serving.pages.render import Renderer
from serving.pages.sessions import Login, Sessions, check_form
from serving.pages.visit import Page, Visit
from serving.pages.words import Words, locale_of
from serving.principal import Principal

CHOSEN_BY = ("view", "after", "flag", "team", "owner", "stage", "category")  # not by order: a report has one
PAGES: tuple[Page, ...] = (
    Page("/forecast", forecast.shown, "Forecast", follows=("level", "node", "open")),
    Page("/forecast/moves", moves.shown, follows=("level", "node", "part", "page")),
    Page("/deals", deals.listed, "Deals", follows=CHOSEN_BY),
    Page("/deals.csv", deals_file.exported, follows=CHOSEN_BY),
    Page("/deals/{deal_id:path}", deal.shown, post=True),
    Page("/leads", leads.listed, "Leads", follows=("view", "after", "grade"), leads=True),
    Page("/team", team.shown, "Team"),
    Page("/accuracy", accuracy.shown, "Accuracy"),
    Page("/funnel", funnel.shown, "Funnel"),
    Page("/data", data.shown, "Data"),
)
FORM_BYTES, FORM_FIELDS = 65_536, 50


class Site:
    """The pages over one service."""

    def __init__(self, api: Api, config: Config) -> None:
        self._api, self._config, self._settings = api, config, config.serving.pages
        self._renderer = Renderer()
        self._sessions = Sessions(api, self._settings)
        self._leads = LeadDesk.of(config)
        if self._leads is not None:
            api.at_close(self._leads.close)

    def routes(self) -> list[Route]:
        """Return the routes of all pages; none of them begins with ``/v1``."""
        admitted = self._api.admission.admitted
        shown = [
            Route(page.path, admitted(partial(self._shown, page)), methods=["GET", "POST"] if page.post else ["GET"])
            for page in PAGES
        ]
        return [
            Route("/", self._first),
            Route("/login", admitted(self._login), methods=["GET", "POST"]),
            Route("/logout", admitted(self._logout), methods=["POST"]),
            Route("/assets/{name}", self._asset),
            *shown,
        ]

    def error(self, error: ForecastleError, scope: Scope) -> Response:
        """Return the page that tells an error. Other people's deals and what does not exist get the same one."""
        request = Request(scope)
        told = str(error) if isinstance(error, RequestError) and error.status < 500 else ""
        context = {
            "kind": "nothing" if isinstance(error, NotFoundError) else "refused" if told else "fault",
            "title": error.title,
            "told": told,
            "request_id": scope.get("state", {}).get("request_id", ""),
        }
        return self._renderer.page("error.html.j2", self._words(request), context, error.status)

    async def _first(self, request: Request) -> Response:
        return RedirectResponse(PAGES[0].path, 303)

    async def _shown(self, page: Page, request: Request) -> Response:
        """Answer for a page of someone who is logged in; others are asked to."""
        form = await read_form(request, self._api.limits.body_seconds) if request.method == "POST" else {}
        return await self._api.from_store(lambda _: self._answer(page, request, form))

    def _answer(self, page: Page, request: Request, form: dict[str, str]) -> Response:
        known = self._sessions.login(request)
        if known is None:
            return to_login(request)
        request.scope["state"]["key"] = known.key.prefix
        if request.method == "POST":
            check_form(request, form, known)
        return page.handler(self._visit(request, known, form))

    def _visit(self, request: Request, known: Login, form: dict[str, str]) -> Visit:
        return Visit(
            self._api,
            self._config,
            request,
            known,
            self._words(request),
            self._renderer,
            query=dict(request.query_params),
            form=form,
            path=dict(request.path_params),
            nav=nav_of(request.url.path, self._leads, known.key.principal),
            leads=self._leads,
        )

    async def _login(self, request: Request) -> Response:
        form = await read_form(request, self._api.limits.body_seconds) if request.method == "POST" else None
        asked = login.Asked(request, form, self._words(request))
        return await self._api.from_store(lambda _: login.answer(asked, self._sessions, self._renderer, self._api.now))

    async def _logout(self, request: Request) -> Response:
        form = await read_form(request, self._api.limits.body_seconds)
        return await self._api.from_store(lambda _: self._log_out(request, form))

    def _log_out(self, request: Request, form: dict[str, str]) -> Response:
        known = self._sessions.login(request)
        response = RedirectResponse("/login", 303)
        if known is not None:
            check_form(request, form, known)
            self._sessions.end(request, response)
        return response

    async def _asset(self, request: Request) -> Response:
        """Give a file that the pages ship; anyone may have it."""
        asset = by_address().get(request.path_params["name"])
        if asset is None:
            raise NotFoundError("there is no such file")
        headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding", "Cross-Origin-Resource-Policy": "same-origin"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(asset.packed, media_type=asset.media_type, headers=headers | {"Content-Encoding": "gzip"})
        return Response(asset.body, media_type=asset.media_type, headers=headers)

    def _words(self, request: Request) -> Words:
        locale = locale_of(request.headers.get("accept-language", ""))
        return Words(locale, self._config.time_zone, self._settings.currency)


def nav_of(path: str, leads: LeadDesk | None, principal: Principal) -> tuple[tuple[str, str, bool], ...]:
    """Return the navigation as a page at a path shows it to somebody, see `Visit.nav`."""
    shown = (one for one in PAGES if one.title and one.there(leads, principal))
    return tuple((one.path, one.title, path.startswith(one.path)) for one in shown)


def for_people(scope: Scope) -> bool:
    """Whether what a request gets should be a page: a browser asks, and not under ``/v1``."""
    path = scope["path"]
    headers = {name: value for name, value in scope["headers"] if name in (b"accept", b"hx-request")}
    asks = b"text/html" in headers.get(b"accept", b"") or b"hx-request" in headers
    return asks and path != "/v1" and not path.startswith("/v1/")


def to_login(request: Request) -> Response:
    """Send someone who is not logged in to the form, and from there back to where they were."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    to = f"/login?next={quote(asked, safe='')}" if request.method == "GET" else "/login"
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={"HX-Redirect": to})
    return RedirectResponse(to, 303)


async def read_form(request: Request, seconds: float) -> dict[str, str]:
    """Read a form. Raises ForbiddenError where it is no form, TooLargeError and RequestTimeoutError past the limits."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise ForbiddenError("this is not the form of a page")
    body = b""
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > FORM_BYTES:
                    raise TooLargeError(f"the form is over {FORM_BYTES:,} bytes")
    except TimeoutError:
        raise RequestTimeoutError(f"the form did not come within {seconds:g} seconds") from None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS))
    except ValueError:
        raise ForbiddenError("this form cannot be read: go back, reload, send it again") from None
