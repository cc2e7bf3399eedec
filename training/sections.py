"""A section of a report that says what another head is worth: told alike on the page and in JSON; figures as text."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.evaluate import Interval


@dataclass(frozen=True)
class Chart:
    """Lines over one axis. lines: name -> a value per x, NaN where there is none."""

    x_label: str
    y_label: str
    x: tuple[float, ...]
    lines: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Section:
    """A title, a table of ready cells (the first of each row is its heading), notes, and a chart or none."""

    key: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    chart: Chart | None = field(default=None)


def number(value: float, style: str) -> str:
    """Return a figure as text; a dash where there is none."""
    return "–" if np.isnan(value) else format(value, style)


def interval(figure: Interval | None, style: str = "+.4f") -> str:
    """Return a figure with its interval as text, without where it has none; nothing for None."""
    if figure is None:
        return ""
    value = number(figure.value, style)
    if np.isnan(figure.low):
        return value
    return f"{value} [{number(figure.low, style)}, {number(figure.high, style)}]"
