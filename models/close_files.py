"""How a close model is written: JSON with exact floats, the text of its trees beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.calibrate import Affine
from models.close import CloseModel
from models.exact import from_hex, to_hex
from models.ladder import RIDGE_RUNG, RUNGS, TREES_RUNG, Doubt
from models.linear import Linear
from models.tables import RateCurve, RateTable
from models.trees import Trees

CLOSE, TREES = "close.json", "trees.txt"
_ARRAYS = ("weights", "missing_weights", "low", "high", "mean", "scale")
_NUMBERS = ("intercept", "table_weight", "table_mean")


def close_json(model: CloseModel) -> dict[str, Any]:
    """Return a fitted close model but for the text of its trees."""
    told: dict[str, Any] = {
        "table": _table_json(model.table),
        "calibration": [to_hex(model.calibration.intercept), to_hex(model.calibration.slope)],
        "rung": model.rung,
    }
    if model.doubt is not None:
        told["doubt"] = [to_hex(model.doubt.low), to_hex(model.doubt.high), model.doubt.basis]
    if isinstance(model.offset, Linear):
        told["linear"] = {name: to_hex(getattr(model.offset, name)) for name in (*_ARRAYS, *_NUMBERS)}
    return told


def _table_json(table: RateTable | RateCurve) -> dict[str, Any]:
    told: dict[str, Any] = {"rates": to_hex(table.rates), "overall": to_hex(table.overall)}
    if isinstance(table, RateCurve):
        return told | {"knots": to_hex(table.knots)}
    return told | {"column": table.column, "edges": [to_hex(edge) for edge in table.edges]}


def _table(told: Mapping[str, Any]) -> RateTable | RateCurve:
    rates, overall = from_hex(told["rates"]), from_hex(told["overall"])
    if "knots" not in told:
        return RateTable(told["column"], tuple(from_hex(edge) for edge in told["edges"]), rates, overall)
    knots = from_hex(told["knots"])
    if len(knots) < 2 or not (np.diff(knots) > 0).all() or rates.ndim != 2 or rates.shape[1] != len(knots):
        raise ValueError(f"{CLOSE} holds no curve of rates")
    return RateCurve(knots, rates, overall)


def read_close(told: dict[str, Any], names: tuple[str, ...], trees: bytes | None) -> CloseModel:
    """Return the model that `close_json` told; trees: their text or None. Raises ValueError, KeyError or TypeError."""
    table = _table(told["table"])
    offset: Linear | RateTable | RateCurve = table
    if "linear" in told:
        read = {name: from_hex(told["linear"][name]) for name in (*_ARRAYS, *_NUMBERS)}
        if any(len(read[name]) != len(names) for name in _ARRAYS):
            raise ValueError(f"{CLOSE}: the ridge is of other features than the bundle's")
        offset = Linear(names=names, table=table, **read)
    intercept, slope = (from_hex(value) for value in told["calibration"])
    grown = Trees(names, trees.decode()) if trees is not None else None
    doubt = None
    if "doubt" in told:
        low, high, basis = told["doubt"]
        doubt = Doubt(from_hex(low), from_hex(high), str(basis))
    rung = told.get("rung", TREES_RUNG if grown else RIDGE_RUNG)  # format 1 did not say
    if rung not in RUNGS:
        raise ValueError(f"{CLOSE} names the rung {rung!r}, expected one of {', '.join(RUNGS)}")
    return CloseModel(names, offset, grown, Affine(intercept, slope), rung, doubt)
