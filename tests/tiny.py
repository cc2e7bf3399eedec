"""Hand-made companies of a few rows, written as a person would say them; times are UTC, amounts in dollars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from features.asof import Requests
from features.build import build_features, plan_features
from features.periods import Calendar, day_number, fiscal_calendar
from features.record import Record, build_record
from features.registry import Context, Schema
from features.stages import StageMap
from features.tables import NAT, TABLES, Coded, ColumnData, CrmTables, Kind, Table

STAGES = StageMap(("Qualify", "Demo", "Propose"), ("Won",), ("Lost",))
DEFAULTS = {
    "deals": {"known_at": "created_at"},
    "activities": {"known_at": "occurred_at"},
    "quotas": {"known_at": "period_start"},
    "leads": {"known_at": "created_at"},
}
SHRINK = 20.0

Row = Mapping[str, Any]


def at(text: str) -> int:
    """UTC microseconds of "2024-01-10" or "2024-01-10 09:00"."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def quarters(zone: str = "UTC") -> Calendar:
    """Calendar quarters."""
    return fiscal_calendar("quarter", 1, zone)


def company(**rows: Sequence[Row]) -> CrmTables:
    """Tables from rows by table name. deal_history rows get `seq` in the order in which they are given."""
    return CrmTables.of({name: _table(name, listed) for name, listed in rows.items()})


def record(
    tables: CrmTables, schema: Schema | None = None, calendar: Calendar | None = None, stages: StageMap = STAGES
) -> Record:
    """The record of a tiny company."""
    return build_record(tables, stages, calendar or quarters(), schema or Schema("in_period"))


def asked(made: Record, *requests: tuple[str, str]) -> Requests:
    """Requests from (deal_id, as_of) pairs."""
    return requests_of(made, [(deal, at(as_of)) for deal, as_of in requests])


def requests_of(made: Record, asked: Sequence[tuple[str, int]]) -> Requests:
    """Requests from (deal_id, as_of in UTC microseconds)."""
    code = {deal: i for i, deal in enumerate(made.deal_ids.strings())}
    deals = np.array([code[deal] for deal, _ in asked], dtype=np.int64)
    return Requests(deals, np.array([as_of for _, as_of in asked], dtype=np.int64))


def features(made: Record, deal: str, as_of: str, schema: Schema | None = None) -> dict[str, float]:
    """Every feature of one deal at one as-of, by name."""
    plan = plan_features(Context(schema or Schema("in_period"), SHRINK))
    matrix = build_features(made, asked(made, (deal, as_of)), plan)
    return dict(zip(matrix.names, matrix.values[0].tolist(), strict=True))


def _table(name: str, rows: Sequence[Row]) -> Table:
    columns: dict[str, ColumnData] = {}
    kinds = {column.name: column.kind for column in TABLES[name].columns}
    extra = [key for key in {key: None for row in rows for key in row} if key not in kinds]
    for column, kind in kinds.items():
        default = DEFAULTS.get(name, {}).get(column)
        values = [row.get(column, row.get(default) if default else None) for row in rows]
        if column == "seq":
            values = list(range(len(rows)))
        columns[column] = _encoded(kind, values)
    for column in extra:
        values = [row.get(column) for row in rows]
        columns[column] = _encoded("text" if any(isinstance(v, str) for v in values) else "float", values)
    return Table.of(name, columns, len(rows))


def _encoded(kind: Kind, values: Sequence[Any]) -> ColumnData:
    if kind in ("id", "text"):
        return Coded.of(values)
    if kind == "float":
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    one = {"time": at, "date": lambda v: day_number(date.fromisoformat(v)), "money": lambda v: round(v * 100)}.get(
        kind, int
    )
    return np.array([NAT if v is None else one(v) for v in values], dtype=np.int64)
