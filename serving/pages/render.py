"""From a template to an answer: everything is escaped, nothing undefined is printed, and no script but ours runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from serving.pages import charts
from serving.pages.assets import address
from serving.pages.words import Words

TEMPLATES = Path(__file__).parent / "templates"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
STILL_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' file:",  # a browser holds every file for an origin of its own
        "style-src 'self' file:",
        "img-src 'self' file: data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""What a page of a report says itself; there is no header in a folder."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser would call its own form's origin null
    "X-Frame-Options": "DENY",
}
"""What every page carries beside the headers that every answer of the service has."""


class Renderer:
    """Makes pages from the templates."""

    @cached_property
    def _environment(self) -> Environment:
        made = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters |= {"pair": _pair, "pick": _pick}
        made.globals |= {"asset": address, "chart_spec": charts.spec, "still_policy": STILL_POLICY}
        return made

    def text(self, template: str, words: Words, context: Mapping[str, object]) -> str:
        """Return a template filled in."""
        return self._environment.get_template(template).render({"words": words, **context})

    def page(self, template: str, words: Words, context: Mapping[str, object], status: int = 200) -> Response:
        """Return a page as an answer."""
        return HTMLResponse(self.text(template, words, context), status, dict(HEADERS))


def _pair(value: str, told: Callable[[str], str] = str) -> tuple[str, str]:
    """Return an option of a list to choose from: its value, and how it is told."""
    return value, told(value)


def _pick(row: Mapping[str, object], *names: str) -> tuple[object, ...]:
    """Return some of a row's values: the cells of a line."""
    return tuple(row[name] for name in names)
