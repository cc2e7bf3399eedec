"""``GET /v1/forecast`` and ``GET /v1/forecast/bridge``: what was forecast, and what moved in between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from configs.errors import NoForecastError
from features.nodes import LEVELS
from models.bookings import CENTS
from serving.answers import iso, to_json
from serving.api import Api
from serving.bridge import PARTS, Bridge, DealMove
from serving.principal import Principal, Scope
from serving.routes_deals import bad_cursor, cursor_of, limit_of, parameters_of, read_cursor, wrong
from serving.store import forecast_rows
from serving.store.deal_list import Names, names_of
from serving.store.forecast_rows import ForecastRow
from serving.store.moves import Node, bridge_of
from serving.store.repository import reading

NOW = "now"
WEEK = 7 * 86_400_000_000
FORECAST_PARAMETERS = ("period", "level", "node", "as_of")
BRIDGE_PARAMETERS = ("from", "to", "level", "node", "part", "cursor", "limit")
NONE = "none is stored that the key may see: run `forecastle refresh`, or ask for another period, instant or node"
_MICROSECOND = timedelta(microseconds=1)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class ForecastRoutes:
    """The routes and the api they belong to."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def forecast(self, request: Request) -> Response:
        """The stored forecast of a period by node, and its history."""
        principal = self._api.principal(request, Scope.READ)
        given = parameters_of(request, FORECAST_PARAMETERS)
        until = instant_of(given, "as_of", self._api.now())
        asked = _Asked(period_of(given), _level(given), given.get("node"), until)
        store, request_id = self._api.store(), request.scope["state"]["request_id"]

        def work() -> dict[str, Any]:
            with reading(store) as connection:
                return {"request_id": request_id} | _forecast(connection, principal, asked)

        return Response(to_json(await self._api.in_thread(work)), media_type="application/json")

    async def bridge(self, request: Request) -> Response:
        """What moved between two forecasts of a period, part by part and deal by deal."""
        principal = self._api.principal(request, Scope.READ)
        given = parameters_of(request, BRIDGE_PARAMETERS)
        node = _node(given)
        part = given.get("part")
        if part is not None and part not in PARTS:
            raise wrong("part", "wrong_value", "not a part", f"one of {', '.join(PARTS)}")
        ends = [instant_of(given, name, self._api.now()) for name in ("from", "to")]
        limit = limit_of(given)
        store, request_id = self._api.store(), request.scope["state"]["request_id"]

        def work() -> dict[str, Any]:
            with reading(store) as connection:
                found = _bridge(connection, principal, ends[0], ends[1], node)
                told = [str(found.start.as_of), str(found.end.as_of), given.get("level"), given.get("node"), part]
                moves = [move for move in found.moves if part in (None, move.part)]
                begin = _begin(given["cursor"], told) if "cursor" in given else 0
                shown = moves[begin : begin + limit]
                names = names_of(connection, [move.deal_id for move in shown], [])
            more = begin + limit < len(moves)
            return (
                {"request_id": request_id}
                | _told(found)
                | {
                    "deals": [_deal(move, names) for move in shown],
                    "next_cursor": cursor_of(told, begin + limit) if more else None,
                }
            )

        return Response(to_json(await self._api.in_thread(work)), media_type="application/json")


@dataclass(frozen=True)
class _Asked:
    """Which forecast is asked for: None for the newest period, all levels, all nodes, the newest as-of."""

    period: str | None
    level: str | None
    node: str | None
    until: int | None


def _forecast(connection: Connection, principal: Principal, asked: _Asked) -> dict[str, Any]:
    as_of = forecast_rows.newest_as_of(connection, principal, asked.period, asked.until)
    rows = [] if as_of is None else forecast_rows.rows_at(connection, principal, as_of, asked.level)
    rows = [row for row in rows if asked.node in (None, row.node)]
    if as_of is None or not rows:
        raise NoForecastError(NONE)
    start = rows[0].period_start
    nodes = forecast_rows.top_nodes(connection, principal, as_of)
    if asked.node is not None:
        nodes = [(row.level, row.node) for row in rows]
    history = [row for each in nodes for row in forecast_rows.history(connection, principal, start, *each, as_of)]
    return {
        "period_start": start,
        "period_end": rows[0].period_end,
        "as_of": iso(as_of),
        "periods": forecast_rows.periods(connection, principal),
        "nodes": [_row(row) for row in rows],
        "history": [_row(row) for row in history],
    }


def _row(row: ForecastRow) -> dict[str, Any]:
    hidden = ("as_of", "period_start", "period_end", "team", "bundle_sha256")
    return {"as_of": iso(row.as_of)} | {name: value for name, value in vars(row).items() if name not in hidden}


def _bridge(
    connection: Connection, principal: Principal, start: int | None, end: int | None, node: Node | None
) -> Bridge:
    """Return the bridge between the forecasts that stood at two instants; without a start, from a week before the end.

    Raises NoForecastError, or InvalidRequestError where they are of different periods or in the wrong order.
    """
    last = forecast_rows.newest_as_of(connection, principal, None, end)
    if last is None:
        raise NoForecastError(NONE)
    period = forecast_rows.rows_at(connection, principal, last)[0].period_start
    stored = forecast_rows.as_ofs(connection, principal, period)
    first = forecast_rows.newest_as_of(connection, principal, None, last - WEEK if start is None else start)
    if start is None and (first is None or first < stored[0]):
        first = stored[0]
    if first is None:
        raise NoForecastError(NONE)
    if first > last:
        raise wrong("from", "wrong_value", "after `to`", "an instant before it")
    if first < stored[0]:
        got = f"of another period than the forecast of {iso(last)}"
        raise wrong("from", "another_period", got, f"{iso(stored[0])} or later: a bridge stays within a period")
    found = bridge_of(connection, principal, first, last, node)
    if found is None:
        raise NoForecastError(NONE)
    return found


def _told(found: Bridge) -> dict[str, Any]:
    return {
        "period_start": found.period_start,
        "period_end": found.period_end,
        "from_as_of": iso(found.start.as_of),
        "to_as_of": iso(found.end.as_of),
        "start": found.start.mean / CENTS,
        "end": found.end.mean / CENTS,
        "parts": [{"part": part.name, "amount": part.cents / CENTS, "deals": part.deals} for part in found.parts],
    }


def _deal(move: DealMove, names: Names) -> dict[str, Any]:
    state = move.state
    name, _ = names.deals.get(move.deal_id, (None, None))
    return {
        "deal_id": move.deal_id,
        "part": move.part,
        "amount": move.cents / CENTS,
        "before": move.before_cents / CENTS,
        "after": move.after_cents / CENTS,
        "name": name,
        "owner_id": state.owner_id,
        "stage": state.stage,
        "close_date": state.close_date,
        "deal_amount": None if state.amount_cents is None else state.amount_cents / CENTS,
    }


def instant_of(given: dict[str, str], name: str, now: int) -> int | None:
    """Return an instant that a parameter names, UTC microseconds; None where it is not given.

    Raises InvalidRequestError for what is no instant.
    """
    text = given.get(name)
    if text is None or text == NOW:
        return None if text is None else now
    try:
        moment = datetime.fromisoformat(text)
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
    except (ValueError, TypeError, OverflowError):  # TypeError: a time without an offset
        expected = "now, or ISO 8601 with an offset or Z, such as 2026-03-31T00:00:00Z"
        raise wrong(name, "wrong_value", "not an instant", expected) from None


def period_of(given: dict[str, str]) -> str | None:
    """Return the first day of the period that is asked for, None without one. Raises InvalidRequestError."""
    period = given.get("period")
    if period is not None and not _DAY.fullmatch(period):
        raise wrong("period", "wrong_value", "not the first day of a period", "a day such as 2026-04-01")
    return period


def _level(given: dict[str, str]) -> str | None:
    level = given.get("level")
    if level is not None and level not in LEVELS:
        raise wrong("level", "wrong_value", "not a level", f"one of {', '.join(LEVELS)}")
    return level


def _node(given: dict[str, str]) -> Node | None:
    level, node = _level(given), given.get("node")
    if (level is None) != (node is None):
        raise wrong("node", "wrong_value", "level and node go together", "both or neither")
    return None if level is None or node is None else (level, node)


def _begin(text: str, told: list[str | None]) -> int:
    (begin,) = read_cursor(text, told, 1)
    if not isinstance(begin, int) or isinstance(begin, bool) or not 0 <= begin < 2**53:
        raise bad_cursor()
    return begin
