"""The form to log in with an API key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from serving.pages.render import Renderer
from serving.pages.sessions import Sessions
from serving.pages.words import Words

HOME = "/"
LONGEST = 2_000

WRONG = "This key does not open the pages. It may be mistyped, expired or revoked, or made without the scope read."
STALE = (
    "The form was not accepted: your browser did not send back its cookie. Allow cookies for this site and try again. "
    "Over plain http from another machine, whoever runs the service must set serving.pages.secure_cookies: false."
)


@dataclass(frozen=True)
class Asked:
    """A request for the form, or one that sends it; form: None for the former."""

    request: Request
    form: dict[str, str] | None
    words: Words


def answer(asked: Asked, sessions: Sessions, renderer: Renderer, now: Callable[[], int]) -> Response:
    """Show the form, or take it: then its key opens a session and leads back to where it was asked for."""
    request, form = asked.request, asked.form
    if form is None:
        return _form(asked, sessions, renderer, local_path(request.query_params.get("next", "")))
    back = local_path(form.get("next", ""))
    address = request.client.host if request.client is not None else ""
    wait = sessions.tries.wait(address, now())
    if wait:
        minutes = -(-wait // 60)
        told = f"Too many wrong keys from your address. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
        response = _form(asked, sessions, renderer, back, told, 429)
        response.headers["Retry-After"] = str(wait)
        return response
    if not sessions.check_form_of_nobody(request, form):
        return _form(asked, sessions, renderer, back, STALE, 403)
    response = RedirectResponse(back, 303)
    if sessions.begin(form.get("key", "")[:LONGEST], response):
        return response
    sessions.tries.failed(address, now())
    return _form(asked, sessions, renderer, back, WRONG, 401)


def local_path(text: str) -> str:
    """Return where to go after the login: a path of this site, the first page for anything else."""
    plain = text.isascii() and text.isprintable() and len(text) <= LONGEST
    inside = text.startswith("/") and not text.startswith(("//", "/\\")) and "\\" not in text
    return text if plain and inside else HOME


def _form(
    asked: Asked, sessions: Sessions, renderer: Renderer, back: str, told: str = "", status: int = 200
) -> Response:
    form_token, cookie = sessions.form_of_nobody(asked.request)
    context = {"form_token": form_token, "next": back, "told": told}
    response = renderer.page("login.html.j2", asked.words, context, status)
    sessions.set_form_cookie(response, cookie)
    return response
