"""How a worker stops: it says so before, and it does not outlive the process that started it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from types import FrameType

from serving.api import Api
from serving.frame import log_line

LOOK_S = 1.0


def drain_before_stopping(api: Api, seconds: float) -> None:
    """Have SIGTERM make the service unready, and only `seconds` later stop it; a second one stops it at once.

    To be called in the event loop, once the server has set its own handler: left to itself it stops listening at
    once, and no probe could be told anything: whoever sends requests shall go elsewhere in time.
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


def stop_with_parent() -> None:
    """Stop this worker, as SIGTERM does, soon after the process that started it is gone.

    Killed outright, that process tells nobody. Its workers would answer for ever, and hold the port of its successor.
    """
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        log_line({"event": "parent_gone", "worker": os.getpid()})
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, name="parent", daemon=True).start()
