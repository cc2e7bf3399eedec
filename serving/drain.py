"""Saying that the service is about to stop before it does, so that whoever sends requests goes elsewhere in time."""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

from serving.api import Api
from serving.frame import log_line


def drain_before_stopping(api: Api, seconds: float) -> None:
    """Have SIGTERM make the service unready, and only `seconds` later stop it; a second one stops it at once.

    To be called in the event loop, once the server has set its own handler: left to itself it stops listening at
    once, and no probe could be told anything.
    """
    stop = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()
    assert callable(stop)  # noqa: S101 -- the server's

    def drain(number: int, frame: FrameType | None) -> None:
        if api.draining or not seconds:
            stop(number, frame)
            return
        api.draining = True
        log_line({"event": "draining", "worker": os.getpid(), "seconds": seconds})
        loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, None)

    signal.signal(signal.SIGTERM, drain)
