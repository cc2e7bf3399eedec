"""Logging in with an API key: a random token in a cookie that no script can read, its digest in the store.

A session ends by itself after some hours, or some time without a page; at once when someone logs out, or when its key
is revoked, has expired or was rotated out. The cookie is worth nothing under ``/v1``, where only keys count.

A form carries a token that follows from the cookie, so no other site can send one.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from threading import Lock

from starlette.requests import Request
from starlette.responses import Response

from configs.errors import ForbiddenError
from configs.schema import Pages
from serving.api import Api
from serving.auth import ApiKey, check_key
from serving.principal import Scope
from serving.store import sessions as store
from serving.store.repository import reading
from serving.store.sessions import Session

TOKEN_BYTES = 32
HOUR, MINUTE = 3_600_000_000, 60_000_000
TOUCH = 5 * MINUTE  # seen_at is written no oftener: a commit costs a sync of the disk
TRIES, WITHIN = 10, 5 * MINUTE
ADDRESSES = 10_000  # whose failures are remembered
FORM_FIELD = "form_token"


@dataclass(frozen=True)
class Login:
    """Someone logged in. form_token: what a form of theirs must carry."""

    key: ApiKey
    form_token: str


class Tries:
    """Failed logins of late, by address. One process counts for itself."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, list[int]] = OrderedDict()
        self._lock = Lock()

    def wait(self, address: str, now: int) -> int:
        """Return for how many seconds an address must wait, 0: not at all."""
        with self._lock:
            late = [at for at in self._failed.get(address, ()) if at > now - WITHIN]
        return 0 if len(late) < TRIES else -(-(late[0] + WITHIN - now) // 1_000_000)

    def failed(self, address: str, now: int) -> None:
        """Count a failure."""
        with self._lock:
            late = [at for at in self._failed.pop(address, []) if at > now - WITHIN]
            self._failed[address] = [*late[1 - TRIES :], now]
            while len(self._failed) > ADDRESSES:
                self._failed.popitem(last=False)


class Sessions:
    """The sessions of the pages of one service."""

    def __init__(self, api: Api, limits: Pages) -> None:
        self._api, self._limits = api, limits
        host = "__Host-" if limits.secure_cookies else ""
        self._cookie, self._form_cookie = f"{host}forecastle", f"{host}forecastle-form"
        self.tries = Tries()

    def login(self, request: Request) -> Login | None:
        """Return who is logged in, None where nobody is. Raises StoreError."""
        token = request.cookies.get(self._cookie, "")
        if not token:
            return None
        now, digest = self._api.now(), _digest(token)
        found = self._stored(digest)
        if found is None or found.began_at <= now - self._lasts or found.seen_at <= now - self._idles:
            return None
        key = self._key(found, now)
        if key is not None and found.seen_at < now - TOUCH:
            self._api.store().writer.submit(lambda connection: store.seen(connection, digest, now))
        return None if key is None else Login(key, _form_token(token))

    def begin(self, given: str, response: Response) -> bool:
        """Log in with a key and set the cookie; return whether it is one that may read. Raises StoreError."""
        now = self._api.now()
        key = check_key(given.strip(), self._api.keys(), _datetime(now))
        if key is None or not key.may(Scope.READ):
            return False
        token = secrets.token_urlsafe(TOKEN_BYTES)
        session = Session(_digest(token), key.prefix, key.hash, now, now)
        before, unseen = now - self._lasts, now - self._idles
        work = self._api.store().writer.submit(lambda connection: store.begin(connection, session, before, unseen))
        work.result()
        self._set(response, self._cookie, token)
        response.delete_cookie(
            self._form_cookie, path="/", secure=self._limits.secure_cookies, httponly=True, samesite="strict"
        )
        return True

    def end(self, request: Request, response: Response) -> None:
        """Log out. Raises StoreError."""
        digest = _digest(request.cookies.get(self._cookie, ""))
        self._api.store().writer.submit(lambda connection: store.end(connection, digest)).result()
        response.delete_cookie(
            self._cookie, path="/", secure=self._limits.secure_cookies, httponly=True, samesite="strict"
        )

    def form_of_nobody(self, request: Request) -> tuple[str, str]:
        """Return the token for the form of someone who is not logged in, and what its cookie must hold."""
        token = request.cookies.get(self._form_cookie) or secrets.token_urlsafe(TOKEN_BYTES)
        return _form_token(token), token

    def set_form_cookie(self, response: Response, token: str) -> None:
        """Set the cookie that the form of someone who is not logged in follows from."""
        self._set(response, self._form_cookie, token)

    def check_form_of_nobody(self, request: Request, form: dict[str, str]) -> bool:
        """Whether a form was sent from our page by someone who is not logged in."""
        token = request.cookies.get(self._form_cookie, "")
        return bool(token) and same_form(request, form, _form_token(token))

    @property
    def _lasts(self) -> int:
        return round(self._limits.session_hours * HOUR)

    @property
    def _idles(self) -> int:
        return round(self._limits.idle_minutes * MINUTE)

    def _stored(self, digest: str) -> Session | None:
        with reading(self._api.store()) as connection:
            return store.session_of(connection, digest)

    def _key(self, found: Session, now: int) -> ApiKey | None:
        """Return the key of a session where it still works and may still read."""
        for key in self._api.keys():  # noqa: SIM118 -- no mapping
            if key.prefix == found.key_prefix and hmac.compare_digest(key.hash, found.key_hash):
                return key if key.works_at(_datetime(now)) and key.may(Scope.READ) else None
        return None

    def _set(self, response: Response, name: str, token: str) -> None:
        """Set a cookie that ends with the browser's session, or with ours."""
        response.set_cookie(
            name,
            token,
            max_age=round(self._limits.session_hours * 3600),
            path="/",
            secure=self._limits.secure_cookies,
            httponly=True,
            samesite="strict",
        )


def check_form(request: Request, form: dict[str, str], login: Login) -> None:
    """Raise ForbiddenError where a form was not sent from our page by who is logged in."""
    if not same_form(request, form, login.form_token):
        raise ForbiddenError("this form is out of date, or was not sent from this site: go back, reload, send it again")


def same_form(request: Request, form: dict[str, str], expected: str) -> bool:
    """Whether a form carries the expected token and no other site's page sent it."""
    sent_by = request.headers.get("sec-fetch-site", "same-origin")
    return sent_by in ("same-origin", "none") and hmac.compare_digest(
        form.get(FORM_FIELD, "").encode(), expected.encode()
    )


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _form_token(token: str) -> str:
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"form", sha256).hexdigest()


def _datetime(instant: int) -> datetime:
    return datetime.fromtimestamp(instant / 1e6, UTC)
