"""The frame around a request whose caller leaves: BentoML lets go of a request only when something is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from serving.frame import GONE, Frame
from serving.metrics import Metrics


async def left(scope: Scope, receive: Receive, send: Send) -> None:
    raise ClientDisconnect


async def nothing() -> Message:
    return {"type": "http.disconnect"}


def test_a_caller_that_leaves_before_the_answer_ends_the_request() -> None:
    sent: list[Message] = []
    lines: list[Mapping[str, Any]] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/deals/score", "headers": []}
    asyncio.run(Frame(left, Metrics(), lines.append)(scope, nothing, send))
    assert [(one["type"], one.get("status")) for one in sent] == [
        ("http.response.start", GONE),
        ("http.response.body", None),
    ]
    assert [(line["status"], "error" in line) for line in lines] == [(GONE, False)]
