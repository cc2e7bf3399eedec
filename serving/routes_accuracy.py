"""``GET /v1/accuracy``: what was said in each week of past periods against what happened, live and in the backtest."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from features.periods import day_number
from models.bundle import Bundle
from serving.answers import iso, to_json
from serving.api import Api
from serving.live_accuracy import bins_told, scores_told, weeks_told
from serving.papers import REPORT, paper
from serving.principal import Principal, Scope
from serving.routes_deals import parameters_of
from serving.routes_forecast import period_of
from serving.store import forecast_rows
from serving.store.repository import reading
from serving.store.said import booked, first_of_weeks, said_in


class AccuracyRoutes:
    """The route and the api it belongs to."""

    def __init__(self, api: Api, state_dir: Path) -> None:
        self._api = api
        self._state_dir = state_dir

    async def accuracy(self, request: Request) -> Response:
        """How right the service was in a past period, and the model in its backtest."""
        api = self._api
        principal = api.principal(request, Scope.READ)
        asked = period_of(parameters_of(request, ("period",)))
        bundle, store = api.model().bundle, api.store()
        request_id = request.scope["state"]["request_id"]

        def work() -> dict[str, Any]:
            with reading(store) as connection:
                live = _live(connection, principal, bundle, asked)
            # A backtest is of the whole company.
            report = paper(self._state_dir, bundle.sha, REPORT) if principal.teams is None else None
            return {"request_id": request_id} | live | {"backtest": None if report is None else _backtest(report)}

        return Response(to_json(await api.in_thread(work)), media_type="application/json")


def _live(connection: Connection, principal: Principal, bundle: Bundle, asked: str | None) -> dict[str, Any]:
    """Return what was said in a period that is over; the newest such unless one is asked for."""
    stored = forecast_rows.periods(connection, principal)
    over = stored[1:]  # the newest is running, or nobody has looked since it ended
    period = asked if asked in over else over[0] if asked is None and over else None
    told: dict[str, Any] = {"period_start": period, "periods": over, "live": None, "bookings": []}
    if period is None:
        return told
    start, end = _bounds(bundle, period)
    weeks = first_of_weeks(forecast_rows.as_ofs(connection, principal, period), start)
    said, merged = said_in(connection, principal, weeks, end)
    total = scores_told(said)
    live = None if total is None else total | {"weeks": weeks_told(said), "bins": bins_told(said), "merged": merged}
    came = booked(connection, principal, start, end)
    bookings = [
        {"week": week, "booked_in_the_end": came.get((row.level, row.node), 0.0)} | _node(row)
        for week, as_of in weeks.items()
        for row in forecast_rows.rows_at(connection, principal, as_of)
        if (row.level, row.node) in forecast_rows.top_nodes(connection, principal, as_of)
    ]
    return told | {"live": live, "bookings": bookings}


def _bounds(bundle: Bundle, period: str) -> tuple[int, int]:
    """Return a period's first instant and the one after its last."""
    place = int(np.searchsorted(bundle.calendar.days, day_number(date.fromisoformat(period))))
    return int(bundle.calendar.starts[place]), int(bundle.calendar.starts[place + 1])


def _node(row: forecast_rows.ForecastRow) -> dict[str, Any]:
    shown = ("level", "node", "booked", "mean", "p10", "p50", "p90", "quota")
    return {"as_of": iso(row.as_of)} | {name: getattr(row, name) for name in shown}


def _backtest(report: dict[str, Any]) -> dict[str, Any]:
    """Return what the report of a backtest says of deals: every model beside every baseline, by period and by week."""
    told = report["report"]
    weeks: list[Any] = next((part["slices"] for part in told.get("parts", ()) if part["key"] == "week"), [])
    return {
        "trained_as_of": report.get("trained_as_of"),
        "headline": told.get("headline"),
        "models": told.get("table", []),
        "periods": told.get("slices", []),
        "weeks": weeks,
        "bins": told.get("bins", []),
    }
