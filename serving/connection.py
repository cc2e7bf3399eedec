"""Limits on the head of a request, before any route sees it: how large it may be and how long it may take; and who
sees it first.

The parser keeps a head in memory until it is whole and waits for it for ever, so an endless header would fill the
memory and a slow one would hold its connection. Bodies are bounded where they are read (`serving.api`).
"""

from __future__ import annotations

import asyncio
import http
from typing import Any, ClassVar

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MOST_BYTES = 65_536  # of request line and headers together
HEAD_S = 10.0
TOO_LARGE, TOO_SLOW = 431, 408


class Bounded(HttpToolsProtocol):
    """A connection whose heads are bounded. What it refuses it answers in plain text, as the parser's own 400.

    around: a middleware that sees requests before all others of the server's app, but for what a trusted proxy says.
    """

    around: ClassVar[type[Any] | None] = None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.around is not None:
            own = self.around(self.config.loaded_app)
            self.app = ProxyHeadersMiddleware(own, trusted_hosts=self.config.forwarded_allow_ips)
        self._idle_bytes = 0  # that came since a head, or a part of a body, was last whole
        self._moved = False
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the parent
        """Wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse what only grows: heads, and what a chunked body has between and behind its parts."""
        self._moved = False
        super().data_received(data)
        self._idle_bytes = 0 if self._moved else self._idle_bytes + len(data)
        if self._idle_bytes > MOST_BYTES:
            self._refuse(TOO_LARGE)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._moved = True
        self._wait_no_more()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MOST_BYTES:
            self._refuse(TOO_LARGE)
        elif not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of a body on, unless the head was refused."""
        self._moved = True
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._moved = True
        if not self.transport.is_closing():
            super().on_message_complete()

    def _wait(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_S, self._refuse, TOO_SLOW)

    def _wait_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = None

    def _refuse(self, status: int) -> None:
        """Answer without having understood, and hang up; with no answer where that of another request is due."""
        self._late = None
        cycle: RequestResponseCycle | None = self.cycle
        due = cycle is not None and not cycle.response_complete
        if self.transport.is_closing():
            return
        if due and status == TOO_SLOW:
            self._wait()
            return
        if not due:
            reason = http.HTTPStatus(status).phrase
            self.transport.write(
                f"HTTP/1.1 {status} {reason}\r\ncontent-type: text/plain; charset=utf-8\r\n"
                f"content-length: {len(reason)}\r\nconnection: close\r\n\r\n{reason}".encode()
            )
        self.transport.close()


def bound_connections(around: type[Any] | None = None) -> None:
    """Have uvicorn, which BentoML starts with its default protocol, use these connections in this process."""
    Bounded.around = around
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{Bounded.__name__}"
