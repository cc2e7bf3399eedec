"""What a page is made from: who asks, for what, and in which place's way of writing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from configs.errors import ForbiddenError
from configs.schema import Config
from serving.api import Api
from serving.intake import Loaded
from serving.pages.lead_desk import LeadDesk
from serving.pages.render import Renderer
from serving.pages.sessions import Login
from serving.pages.words import Words
from serving.principal import Principal, Scope
from serving.store.repository import reading


@dataclass(frozen=True)
class Visit:
    """One request for a page by someone who is logged in.

    query, form, path: parameters by name, the last of each. nav: (path, title, whether it is this one). still: the
    page is for a report, which nobody can ask or tell anything. leads: that are served beside the deals, None: none.
    """

    api: Api
    config: Config
    request: Request
    login: Login
    words: Words
    renderer: Renderer
    query: Mapping[str, str]
    form: Mapping[str, str]
    path: Mapping[str, str]
    nav: tuple[tuple[str, str, bool], ...]
    still: bool = False
    leads: LeadDesk | None = None

    @property
    def principal(self) -> Principal:
        """Who asks, for the store."""
        return self.login.key.principal

    @property
    def loaded(self) -> Loaded | None:
        """The model that serves, None where there is none yet."""
        return self.api.loaded

    @property
    def now(self) -> int:
        """The service's clock, UTC microseconds."""
        return self.api.now()

    @property
    def writes_overrides(self) -> bool:
        """Whether who asks may set a word of their own beside the model's."""
        return self.login.key.may(Scope.OVERRIDE)

    def reading(self) -> AbstractContextManager[Connection]:
        """Open one consistent look at the store; entering raises StoreError where it can't be read."""
        return reading(self.api.store())

    def expect(self, scope: Scope) -> None:
        """Raise ForbiddenError where the key lacks a scope."""
        if not self.login.key.may(scope):
            raise ForbiddenError(f"your key lacks the scope {scope}: ask for one made with --scope {scope}")

    def page(self, template: str, status: int = 200, **context: object) -> Response:
        """Return a page made from a template, which extends ``page.html.j2``."""
        about = {"nav": self.nav, "login": self.login, "visit": self}
        return self.renderer.page(template, self.words, about | context, status)


Handler = Callable[[Visit], Response]


@dataclass(frozen=True)
class Page:
    """One page. handler: runs in a thread. title: in the navigation, empty: not in it. post: takes a form too.

    follows: parameters whose links a report follows, each with the page that it leads to; None: all of them. leads: it
    is about leads, see `there`.
    """

    path: str
    handler: Handler
    title: str = ""
    post: bool = False
    follows: tuple[str, ...] | None = None
    leads: bool = False

    def there(self, leads: LeadDesk | None, principal: Principal) -> bool:
        """Whether somebody may see it: leads belong to no team, so they are for who sees every one."""
        return not self.leads or (leads is not None and principal.teams is None)
