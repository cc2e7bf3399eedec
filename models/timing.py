"""When a deal closes: P(won), P(lost) and P(open) at any horizon, the expected close date, the risk that it slips.

Two heads (`models.timing_head`) give the shape, the close head decides the period: at its end the won curve is the
close head's probability to the last bit (`models.timing_curves`). An `eventual` head knows no period: its probability
is met at the longest horizon, since two answers to "will it be won" beside each other would contradict.

======================  ==============================================================================
``timing.json``         tables, lines, levels of the window; floats written exactly
``timing_won.txt``      LightGBM trees of the won head (absent where none helped)
``timing_lost.txt``     the same of the lost head
======================  ==============================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from features.build import FeatureMatrix
from models.base import Float, Int
from models.timing_curves import at_share, coherent, merged_grid
from models.timing_head import CLOSE_DATE, HORIZON, Clock, Head, HorizonLine, HorizonTable
from models.trees import Trees

TIMING, TIMING_WON, TIMING_LOST = "timing.json", "timing_won.txt", "timing_lost.txt"
GRID = (0.0, 1.0, 3.0, 7.0, 14.0, 21.0, 28.0, 42.0, 56.0, 70.0, 91.0, 119.0, 154.0, 200.0, 260.0)
LAST_DAYS = 10.0  # of a period, in which the curve rises faster: a grid point of its own
LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Outlook:
    """What may become of n open deals, float64[n] each.

    p_won, p_lost, p_open: at the horizon, adding up to 1. close_p10, close_p50, close_p90: days after the as-of, given
    that the deal is won within the horizon. slip_risk: P(neither won nor lost by the end of the CRM's close date), NaN
    where there is no date, 1 where it has passed.
    """

    p_won: Float
    p_lost: Float
    p_open: Float
    close_p10: Float
    close_p50: Float
    close_p90: Float
    slip_risk: Float

    def take(self, rows: slice) -> Outlook:
        """Return some of the rows."""
        return Outlook(*(column[rows] for column in vars(self).values()))


@dataclass(frozen=True)
class TimingModel:
    """A fitted timing model.

    target: "in_period" or "eventual". longest: days, the longest horizon it answers. told: days, the longest horizon
    that the record could tell; beyond it the curves stay flat. length: usual days of a period. levels:
    shares of the won curve at which the 10, 50 and 90 % of close dates are read, learnt from later periods.
    """

    target: str
    longest: float
    told: float
    length: float
    levels: tuple[float, float, float]
    won: Head
    lost: Head

    @property
    def names(self) -> tuple[str, ...]:
        """Feature columns, in order."""
        return self.won.names

    def outlook(
        self, matrix: FeatureMatrix, p_period: Float, period_days: Float, close_days: Float, horizon_days: int
    ) -> Outlook:
        """Return the outlook of each row.

        p_period: float64[n], the close head's probability. period_days: float64[n], days from the as-of to the end of
        its period (not looked at by an `eventual` head). close_days: float64[n], days to the end of the CRM's close
        date, NaN: none, not above 0: overdue. horizon_days: at most `longest`, else ValueError.
        """
        if not 0 < horizon_days <= self.longest:
            raise ValueError(f"horizon of {horizon_days} days: expected above 0 and at most {self.longest:g}")
        n = len(matrix.values)
        own = np.stack([np.full(n, float(horizon_days)), np.maximum(close_days, 0.0)], axis=1)
        grid, place, won, lost = self._curves(matrix, p_period, period_days, own)
        rows = np.arange(n)
        end, due = place[:, 0], place[:, 1]
        p_won, p_lost = won[rows, end], lost[rows, end]
        slip = np.maximum(1.0 - won[rows, due] - lost[rows, due], 0.0)
        p10, p50, p90 = (at_share(grid, won, end, level) for level in self.levels)
        return Outlook(
            p_won,
            p_lost,
            np.maximum(1.0 - p_won - p_lost, 0.0),
            p10,
            p50,
            p90,
            np.where(np.isnan(close_days), np.nan, np.where(close_days <= 0, 1.0, slip)),
        )

    def curves(
        self, matrix: FeatureMatrix, p_period: Float, period_days: Float, grid_days: Float
    ) -> tuple[Float, Float]:
        """Return P(won) and P(lost) within each of grid_days (float64[k], or float64[n, k]), float64[n, k] each.

        Still open is the rest. Days beyond `longest` are answered as `longest`, days below 0 as 0.
        """
        own = np.broadcast_to(grid_days, (len(matrix.values), np.shape(grid_days)[-1]))
        _, place, won, lost = self._curves(matrix, p_period, period_days, own)
        return np.take_along_axis(won, place, axis=1), np.take_along_axis(lost, place, axis=1)

    def _curves(
        self, matrix: FeatureMatrix, p_period: Float, period_days: Float, own: Float
    ) -> tuple[Float, Int, Float, Float]:
        """Return (grid, place of `own` on it, won, lost); the grid holds 0, the anchor, `own` and `longest`."""
        n = len(matrix.values)
        periods = self.target == "in_period"
        rest = period_days if periods else np.full(n, np.nan)
        anchor = rest if periods else np.full(n, self.longest)
        later = rest[:, None] + self.length * np.arange(3)
        around = np.concatenate([later[:, 1:], later - LAST_DAYS], axis=1)
        grid, place = merged_grid(self._fixed, np.concatenate([anchor[:, None], own, around], axis=1), self.longest)
        days = np.minimum(grid, self.told)
        columns = Clock(rest, self._close_days(matrix), self.length).columns(days)
        raw = [np.where(grid <= 0, -np.inf, head.logit(matrix, days, columns)) for head in (self.won, self.lost)]
        won, lost = coherent(raw[0], raw[1], place[:, 0], p_period, grid)
        return grid, place[:, 1 : 1 + own.shape[1]], won, lost

    @cached_property
    def _fixed(self) -> Float:
        """The days that every row's grid holds."""
        return np.array([*(day for day in GRID if day < self.longest), self.longest])

    def _close_days(self, matrix: FeatureMatrix) -> Float:
        """Days to the end of the CRM's close date as the features tell it, NaN where no feature does."""
        if CLOSE_DATE not in matrix.names:
            return np.full(len(matrix.values), np.nan)
        return matrix.column(CLOSE_DATE) + 1.0


def timing_files(model: TimingModel) -> dict[str, bytes]:
    """Return the bytes of each file of a bundle, by name; the same model gives the same bytes."""
    told = {
        "target": model.target,
        **{name: float(getattr(model, name)).hex() for name in ("longest", "told", "length")},
        "levels": [float(level).hex() for level in model.levels],
        "names": list(model.names),
        "won": _head_json(model.won),
        "lost": _head_json(model.lost),
    }
    files = {TIMING: (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()}
    for name, head in ((TIMING_WON, model.won), (TIMING_LOST, model.lost)):
        if head.trees is not None:
            files[name] = head.trees.text.encode()
    return files


def read_timing(files: Mapping[str, bytes], names: tuple[str, ...]) -> TimingModel:
    """Read what `timing_files` wrote. names: feature columns of the bundle.

    Raises ValueError, KeyError or TypeError where the files hold no timing model over these columns.
    """
    told = json.loads(files[TIMING])
    if tuple(told["names"]) != names:
        raise ValueError("timing.json is of other features than the bundle's")
    if told["target"] not in ("in_period", "eventual") or len(told["levels"]) != len(LEVELS):
        raise ValueError("timing.json holds no timing model")
    low, middle, high = (float.fromhex(level) for level in told["levels"])
    return TimingModel(
        target=told["target"],
        longest=float.fromhex(told["longest"]),
        told=float.fromhex(told["told"]),
        length=float.fromhex(told["length"]),
        levels=(low, middle, high),
        won=_head(told["won"], names, files.get(TIMING_WON)),
        lost=_head(told["lost"], names, files.get(TIMING_LOST)),
    )


def _head_json(head: Head) -> dict[str, Any]:
    told: dict[str, Any] = {"days": _hex(head.table.days), "rates": _hex(head.table.rates), "line": None}
    if head.line is not None:
        told["line"] = {part.name: _hex(np.asarray(getattr(head.line, part.name))) for part in fields(head.line)}
    return told


def _head(told: dict[str, Any], names: tuple[str, ...], trees: bytes | None) -> Head:
    table = HorizonTable(_unhex(told["days"]), _unhex(told["rates"]))
    if table.rates.ndim != 2 or table.rates.shape[1] != len(table.days) or len(table.days) < 2:
        raise ValueError("timing.json: the table's rates and days do not match")
    line = None
    if told["line"] is not None:
        line = HorizonLine(**{part.name: _read(told["line"][part.name]) for part in fields(HorizonLine)})
        if any(len(getattr(line, name)) != len(names) for name in ("weights", "missing_weights", "low", "high")):
            raise ValueError("timing.json: a line is of other features than the bundle's")
    return Head(names, table, line, Trees((*names, *HORIZON), trees.decode()) if trees is not None else None)


def _hex(values: Float) -> Any:
    """Write floats exactly, nested as the array is."""
    return float(values).hex() if values.ndim == 0 else [_hex(part) for part in values]


def _unhex(told: list[Any]) -> Float:
    return np.array([_unhex(part) if isinstance(part, list) else float.fromhex(part) for part in told])


def _read(told: Any) -> Any:
    return _unhex(told) if isinstance(told, list) else float.fromhex(told)
