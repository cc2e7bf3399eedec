"""A section of a report that says what another head is worth: told alike on the page and in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field


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
