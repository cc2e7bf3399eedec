"""Stored forecasts: the rows that a key may see, as of one instant and over the instants of a period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from features.nodes import ALL, COMPANY, TEAM
from serving.principal import Principal
from serving.store.repository import visible
from serving.store.tables import FORECASTS

DAY = 86_400_000_000
OF = FORECASTS.c


@dataclass(frozen=True)
class ForecastRow:
    """A node's bookings of a period as of an instant; money in currency, None where no quota is known.

    team: whose keys may see it, None: keys of everyone. period_start, period_end: ISO days, inclusive.
    """

    as_of: int
    period_start: str
    period_end: str
    level: str
    node: str
    team: str | None
    booked: float
    open_expected: float
    arrivals_expected: float
    p10: float
    p50: float
    p90: float
    mean: float
    quota: float | None
    p_reach_quota: float | None
    bundle_sha256: str
    model_version: str


COLUMNS = tuple(FORECASTS.c[one.name] for one in fields(ForecastRow))


def periods(connection: Connection, principal: Principal) -> list[str]:
    """Return the first days of the periods that are stored, the newest first."""
    asked = select(OF.period_start).where(visible(principal, OF.team)).distinct()
    return list(connection.execute(asked.order_by(OF.period_start.desc())).scalars())


def as_ofs(connection: Connection, principal: Principal, period: str) -> list[int]:
    """Return the instants as of which a period was forecast, increasing."""
    asked = select(OF.as_of).where(OF.period_start == period, visible(principal, OF.team)).distinct()
    return list(connection.execute(asked.order_by(OF.as_of)).scalars())


def newest_as_of(connection: Connection, principal: Principal, period: str | None, until: int | None) -> int | None:
    """Return the last as-of of a period (None: of any), up to an instant where one is given; None: there is none."""
    wanted = [visible(principal, OF.team)]
    wanted += [] if period is None else [OF.period_start == period]
    wanted += [] if until is None else [OF.as_of <= until]
    found = connection.execute(select(func.max(OF.as_of)).where(*wanted)).scalar()
    return None if found is None else int(found)


def rows_at(connection: Connection, principal: Principal, as_of: int, level: str | None = None) -> list[ForecastRow]:
    """Return the rows as of an instant, of one level or of all: the company's, then teams', then reps', by name."""
    wanted = [OF.as_of == as_of, *([] if level is None else [OF.level == level])]
    rank = {COMPANY: 0, TEAM: 1}
    return sorted(_rows(connection, principal, wanted), key=lambda row: (rank.get(row.level, 2), row.node))


def history(
    connection: Connection, principal: Principal, period: str, level: str, node: str, until: int
) -> list[ForecastRow]:
    """Return a node's rows of a period up to an instant, increasing in as-of: the last one of each UTC day."""
    wanted = [OF.period_start == period, OF.level == level, OF.node == node, OF.as_of <= until]
    rows = sorted(_rows(connection, principal, wanted), key=lambda row: row.as_of)
    return list({row.as_of // DAY: row for row in rows}.values())


def top_nodes(connection: Connection, principal: Principal, as_of: int) -> list[tuple[str, str]]:
    """Return what the rows of a key add up to: the company, or the key's teams that were forecast then."""
    if principal.teams is None:
        return [(COMPANY, ALL)]
    return [(row.level, row.node) for row in rows_at(connection, principal, as_of, TEAM)]


def _rows(connection: Connection, principal: Principal, wanted: Sequence[ColumnElement[bool]]) -> list[ForecastRow]:
    found: list[Any] = list(connection.execute(select(*COLUMNS).where(visible(principal, OF.team), *wanted)))
    return [ForecastRow(*row) for row in found]
