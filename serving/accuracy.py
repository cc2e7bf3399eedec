"""How right we were: what was stored of a period that is over against what came, and what the model's backtest says.

The former is of the service as it ran, on the key's own deals; the latter is of the whole company, and for nobody else.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from features.periods import day_number
from models.bundle import Bundle
from serving.answers import iso
from serving.live_accuracy import bins_told, scores_told, weeks_told
from serving.papers import REPORT, paper
from serving.principal import Principal
from serving.store import forecast_rows
from serving.store.said import booked, first_of_weeks, said_in


def live_told(connection: Connection, principal: Principal, bundle: Bundle, asked: str | None) -> dict[str, Any]:
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
    return told | {"live": live, "bookings": bookings_told(connection, principal, bundle, period)}


def bookings_told(connection: Connection, principal: Principal, bundle: Bundle, period: str) -> list[dict[str, Any]]:
    """Return what was forecast in each week of a stored period that is over, and what was booked in the end.

    Of the company, or of the key's teams; as of the first refresh of each week.
    """
    start, end = _bounds(bundle, period)
    came = booked(connection, principal, start, end)
    return [
        {"week": week, "booked_in_the_end": came.get((row.level, row.node), 0.0)} | _node(row)
        for week, as_of in first_of_weeks(forecast_rows.as_ofs(connection, principal, period), start).items()
        for row in forecast_rows.rows_at(connection, principal, as_of)
        if (row.level, row.node) in forecast_rows.top_nodes(connection, principal, as_of)
    ]


def backtest_told(state_dir: Path, principal: Principal, bundle: Bundle) -> dict[str, Any] | None:
    """Return what the model's backtest says of deals and bookings, every model beside every baseline.

    None for keys of teams, since it is of the whole company, and where the model was published without its report.
    """
    report = paper(state_dir, bundle.sha, REPORT) if principal.teams is None else None
    if report is None:
        return None
    told = report["report"]
    weeks: list[Any] = next((part["slices"] for part in told.get("parts", ()) if part["key"] == "week"), [])
    return {
        "trained_as_of": report.get("trained_as_of"),
        "headline": told.get("headline"),
        "models": told.get("table", []),
        "periods": told.get("slices", []),
        "weeks": weeks,
        "bins": told.get("bins", []),
        "bookings": told.get("bookings"),
        "floor_log_loss": (told.get("floor") or {}).get("log_loss"),
    }


def _bounds(bundle: Bundle, period: str) -> tuple[int, int]:
    """Return a period's first instant and the one after its last."""
    place = int(np.searchsorted(bundle.calendar.days, day_number(date.fromisoformat(period))))
    return int(bundle.calendar.starts[place]), int(bundle.calendar.starts[place + 1])


def _node(row: forecast_rows.ForecastRow) -> dict[str, Any]:
    shown = ("level", "node", "booked", "mean", "p10", "p50", "p90", "quota")
    return {"as_of": iso(row.as_of)} | {name: getattr(row, name) for name in shown}
