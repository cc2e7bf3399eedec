"""The pages as files: the same functions and templates, for a reader without a session, from page to page by links.

Every page of the navigation is written, and what they lead to: other views and pages of a list, and the deals that are
chosen. A `Page` says which parameters of its address are followed (`Page.follows`).
"""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Match, Route

from configs.errors import NotFoundError, StateError
from configs.schema import Config
from serving.api import Api
from serving.auth import ApiKey
from serving.pages.assets import by_address
from serving.pages.lead_desk import LeadDesk
from serving.pages.render import Renderer
from serving.pages.sessions import Login
from serving.pages.site import PAGES, nav_of
from serving.pages.still import still
from serving.pages.visit import Page, Visit
from serving.pages.words import Words
from serving.principal import Principal, Scope

FIRST = "index.html"
ASSETS = "/assets/"
MOST_PAGES = 2_000  # besides deals: links to further ones lead nowhere
DIGEST = 12  # letters of it, in the names of files
LONGEST_NAME = 48

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Reader:
    """Whom a report is for. teams: of whom it tells; deals: those that get a page of their own."""

    principal: Principal
    words: Words
    deals: Collection[str]

    @property
    def login(self) -> Login:
        """Somebody who may read and is logged in nowhere."""
        teams = self.principal.teams
        name = "every team" if teams is None else ", ".join(sorted(teams))
        key = ApiKey(
            self.principal.key, name, "", "", "", None, None, (Scope.READ,), tuple(sorted(teams or ())), teams is None
        )
        return Login(key, "")


@dataclass
class Report:
    """Writes pages into a folder. files: what was written; left: addresses beyond `MOST_PAGES`."""

    api: Api
    config: Config
    reader: Reader
    folder: Path
    leads: LeadDesk | None = None
    files: dict[str, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    _to_do: deque[str] = field(default_factory=deque)
    _renderer: Renderer = field(default_factory=Renderer)
    _listed: int = 0

    def write(self, tell: Tell) -> None:
        """Write every page, what it leads to, and what it looks like. Raises StoreError, OSError and the pages' own."""
        for page in PAGES:
            if page.title and page.there(self.leads, self.reader.principal):
                self._file(page.path)
        for deal in self.reader.deals:
            self._file(deal_address(deal))
        while self._to_do:
            address = self._to_do.popleft()
            self._put(self.files[address], self._made(address))
            if len(self.files) % 500 == 0:
                tell(f"{len(self.files) - len(self._to_do):,} of {len(self.files):,} files")

    def _made(self, address: str) -> bytes:
        """Return the file of an address."""
        if address.startswith(ASSETS):
            return by_address()[address.removeprefix(ASSETS)].body
        page, visit = self._visit(address)
        try:
            response = page.handler(visit)
        except NotFoundError as error:  # as the site would say there: a node, say, that an earlier period did not have
            told = {"kind": "nothing", "title": error.title, "told": "", "request_id": "", "visit": visit}
            response = self._renderer.page("error.html.j2", self.reader.words, told)
        if response.status_code != 200:
            raise StateError(f"{address}: the page answered {response.status_code}; run the report again")
        body = body_of(response)
        if response.media_type != "text/html":
            return body
        here = posixpath.dirname(self.files[address])
        return still(body.decode(), address, lambda to: self._relative(to, here)).encode()

    def _relative(self, address: str, here: str) -> str | None:
        """Return where a link leads from a folder of the report; None: nowhere."""
        name = self._file(address)
        return None if name is None else posixpath.relpath(name, here or ".")

    def _file(self, address: str) -> str | None:
        """Return the file of an address, which is written later where it is a new one; None where it has none."""
        address = PAGES[0].path if address == "/" else address
        if address in self.files:
            return self.files[address]
        found = self._name(address)
        if found is not None:
            self.files[address] = found
            self._to_do.append(address)
        return found

    def _name(self, address: str) -> str | None:
        if address.startswith(ASSETS):
            name = address.removeprefix(ASSETS)
            return f"assets/{name}" if name in by_address() else None
        matched = _matched(address)
        if matched is None:
            return None
        page, path = matched
        if not page.there(self.leads, self.reader.principal):
            return None
        query = dict(parse_qsl(urlsplit(address).query))
        if "deal_id" in path:
            return deal_file(path["deal_id"]) if path["deal_id"] in self.reader.deals and not query else None
        if page.follows is not None and not set(query) <= set(page.follows):
            return None
        if self._listed >= MOST_PAGES:
            self.left.add(address)
            return None
        self._listed += 1
        return FIRST if address == PAGES[0].path else list_file(urlsplit(address).path, query)

    def _visit(self, address: str) -> tuple[Page, Visit]:
        matched = _matched(address)
        if matched is None:
            raise StateError(f"{address}: there is no such page")
        page, path = matched
        query = urlsplit(address).query
        scope = {
            "type": "http", "method": "GET", "scheme": "http", "server": ("report", 80), "root_path": "",
            "path": unquote(urlsplit(address).path), "query_string": query.encode(), "headers": [], "path_params": path,
            "state": {"request_id": "report"},
        }  # fmt: skip
        visit = Visit(
            self.api,
            self.config,
            Request(scope),
            self.reader.login,
            self.reader.words,
            self._renderer,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            form={},
            path=path,
            nav=nav_of(urlsplit(address).path, self.leads, self.reader.principal),
            still=True,
            leads=self.leads,
        )
        return page, visit

    def _put(self, name: str, body: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def deal_address(deal_id: str) -> str:
    """Return where the site has a deal, quoted as the templates do."""
    return f"/deals/{quote(deal_id)}"


def deal_file(deal_id: str) -> str:
    """Return the file of a deal: told apart by a digest, since ids may differ in case or hold anything."""
    digest = sha256(deal_id.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    return f"deals/{_plain(deal_id)[:LONGEST_NAME]}-{digest}.html"


def list_file(path: str, query: dict[str, str]) -> str:
    """Return the file of a page that is asked with some parameters."""
    stem, _, ending = path.strip("/").partition(".")
    told = urlencode(sorted(query.items()))
    short = _plain("-".join(query.values()))[:LONGEST_NAME]
    digest = sha256(told.encode()).hexdigest()[:DIGEST]
    mark = f"-{short}-{digest}" if query else ""
    return f"{'-'.join(map(_plain, stem.split('/')))}{mark}.{_plain(ending) if ending else 'html'}"


def body_of(response: Response) -> bytes:
    """Return the whole body of a response."""
    if not isinstance(response, StreamingResponse):
        return bytes(response.body)

    async def collected() -> bytes:
        parts = [part async for part in response.body_iterator]
        return b"".join(part.encode() if isinstance(part, str) else bytes(part) for part in parts)

    with ThreadPoolExecutor(1) as thread:  # who calls may have an event loop of their own
        return thread.submit(asyncio.run, collected()).result()


def _plain(text: str) -> str:
    """Return a text in letters that every file system takes."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-") or "x"


def _routes() -> Iterator[tuple[Page, Route]]:
    for page in PAGES:
        yield page, Route(page.path, lambda _: None)


def _matched(address: str) -> tuple[Page, dict[str, str]] | None:
    """Return the page of an address and the parameters of its path."""
    scope = {"type": "http", "method": "GET", "path": unquote(urlsplit(address).path), "root_path": ""}
    for page, route in _routes():
        match, child = route.matches(scope)
        if match is Match.FULL:
            return page, {name: str(value) for name, value in child["path_params"].items()}
    return None
