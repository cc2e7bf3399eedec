"""Requests of ready feature rows, as a caller would build them who runs this code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from models.base import Float
from models.bundle import Bundle


def row_of(values: Float) -> list[float | None]:
    """A row as JSON holds it: null where a feature is missing."""
    return [None if value != value else value for value in values.tolist()]


def rows_body(bundle: Bundle, values: Float, as_of: str, ids: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """A request for the rows of float64[n, k] in the plan's order."""
    told = {
        "as_of": as_of,
        "feature_hash": bundle.about.plan_fingerprint,
        "columns": list(bundle.plan.names),
        "ids": list(ids) or [f"R{i}" for i in range(len(values))],
        "rows": [row_of(row) for row in values],
    }
    return told | more


def posted_rows(body: dict[str, Any]) -> bytes:
    """A request as the bytes of a body."""
    return json.dumps(body, allow_nan=False).encode()
