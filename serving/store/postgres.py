"""An engine over PostgreSQL in which nothing waits for ever: a database may be down, out of reach, or stand still."""

from __future__ import annotations

import math
import time
from typing import Any

from psycopg import Connection, OperationalError
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout
from sqlalchemy import URL, Engine, create_engine, event


def postgres_engine(url: URL, patience: float) -> Engine:
    """Return an engine whose connections and statements take at most `patience` seconds each.

    A database that let that time pass is left alone for as long: who asks it meanwhile hears so at once. The limits
    hold here, since a server that stands still keeps none; it is told them too, to drop what nobody waits for. What
    the URL itself says of `connect_timeout` or `options` goes first.
    """
    quiet_until = 0.0

    class Bounded(Connection[Any]):
        """A connection that is closed where an answer does not come in time, as rolling back would wait as well."""

        def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
            nonlocal quiet_until
            try:
                return super().wait(gen, interval, patience if timeout is None else timeout)
            except _WaitTimeout as error:
                quiet_until = time.monotonic() + patience
                self.pgconn.finish()
                raise OperationalError(f"no answer within {patience:g} s") from error

    engine = create_engine(url, pool_pre_ping=True)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, args: Any, words: dict[str, Any]) -> Bounded:
        nonlocal quiet_until
        if time.monotonic() < quiet_until:
            raise OperationalError("no answer a moment ago")
        began = time.monotonic()
        limits: dict[str, Any] = {
            "connect_timeout": math.ceil(patience),
            "options": f"-c statement_timeout={patience * 1000:.0f}",
        }
        try:
            return Bounded.connect(*args, **limits | words)
        except OperationalError:
            if (now := time.monotonic()) - began >= patience:  # else it was refused, which costs nothing to hear again
                quiet_until = now + patience
            raise

    return engine
