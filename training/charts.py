"""Charts of the report as inline SVG: matplotlib's Figure without pyplot, the same bytes each time, no requests.

Every chart is drawn in dark ink on white, wide enough for a table's column and readable on a phone; what it shows
stands in a table beside it, and `label` says it to a screen reader.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from configs.subject import DEALS
from models.base import Float
from training.evaluate import Interval
from training.noise_floor import NoiseFloor
from training.plotting import Axes, Figure, PercentFormatter, mpl
from training.report_data import Bin, Slice
from training.sections import Chart

INK, OURS, OTHER, FAINT = "#1f2933", "#0b5cad", "#b4530a", "#c3cad2"
MARKS = ("o", "s", "^", "D", "v", "P")
COLOURS = (OURS, OTHER, "#2f7d32", "#7b3fa0", "#8a6d00", "#444444")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "forecastle",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.parse_math": False,  # names come from a CRM; a dollar is a dollar
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e8ec",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def drawn(name: str, label: str, size: tuple[float, float], draw: Callable[[Axes], None]) -> str:
    """Return what `draw` draws as an SVG element. name: makes its ids unique on the page. label: for who can't see."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=NO_METADATA)
    return inline(out.getvalue(), name, label)


def inline(svg: str, name: str, label: str) -> str:
    """Return an SVG document as an element of a page: no declarations, ids of its own, a label, width by the page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r' xmlns(:\w+)?="[^"]*"', "", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'^<svg ([^>]*?)width="[^"]*"', r"<svg \1", body)
    body = re.sub(r'^<svg ([^>]*?)height="[^"]*"', r"<svg \1", body)
    return body.replace("<svg ", f'<svg role="img" aria-label="{escape(label, quote=True)}" ', 1).strip()


def reliability_chart(bins: Sequence[Bin], name: str, won: str = DEALS.won) -> str:
    """Said against came, with intervals; on the diagonal what was said is what came."""
    said = np.array([each.said for each in bins])
    came = np.array([each.came.value for each in bins])
    off = _whiskers([each.came for each in bins])

    def draw(axes: Axes) -> None:
        top = min(1.0, 1.08 * float(max(said.max(), (came + off[1]).max())))
        axes.plot([0, top], [0, top], color=FAINT, linewidth=1.5, zorder=1)
        axes.errorbar(said, came, off, fmt="o-", color=OURS, ecolor=OURS, elinewidth=1.2, capsize=3, linewidth=1)
        axes.set(xlabel="said: mean probability", ylabel=f"came: share {won}", xlim=(0, top), ylim=(0, top))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))

    pairs = "; ".join(f"said {s:.1%}, came {c:.1%}" for s, c in zip(said, came, strict=True))
    return drawn(name, f"Reliability curve. {pairs}", (5.2, 4.4), draw)


def gains_chart(gains: Sequence[tuple[str, Interval]], name: str) -> str:
    """Log loss gained over each baseline with its interval; right of the line is better."""

    def draw(axes: Axes) -> None:
        place = np.arange(len(gains))[::-1]
        value = np.array([gain.value for _, gain in gains])
        axes.axvline(0, color=INK, linewidth=1)
        off = _whiskers([gain for _, gain in gains])
        axes.errorbar(value, place, xerr=off, fmt="o", color=OURS, capsize=3, elinewidth=1.4)
        axes.set_yticks(place, [label for label, _ in gains])
        axes.set(xlabel="log loss gained, nats a row (right of 0: the model is better)", ylim=(-0.6, len(gains) - 0.4))
        axes.grid(axis="y", visible=False)

    told = "; ".join(f"{label} {gain.value:+.4f}" for label, gain in gains)
    return drawn(name, f"Log loss gained over each baseline. {told}", (6.8, 1.1 + 0.42 * len(gains)), draw)


def slices_chart(slices: Sequence[Slice], name: str) -> str:
    """Brier skill of each part over the strong baseline, with its interval."""

    def draw(axes: Axes) -> None:
        place = np.arange(len(slices))[::-1]
        axes.axvline(0, color=INK, linewidth=1)
        skills = [each.brier_skill for each in slices]
        value = np.array([skill.value for skill in skills])
        axes.errorbar(value, place, xerr=_whiskers(skills), fmt="o", color=OURS, capsize=3, elinewidth=1.4)
        axes.set_yticks(place, [shortened(each.name) for each in slices])
        axes.set(xlabel="Brier skill over stage x time (right of 0: better)", ylim=(-0.6, len(slices) - 0.4))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(axis="y", visible=False)

    told = "; ".join(f"{each.name} {each.brier_skill.value:+.1%}" for each in slices)
    return drawn(name, f"Brier skill by part. {told}", (6.8, 1.1 + 0.34 * len(slices)), draw)


def floor_chart(floor: NoiseFloor, name: str) -> str:
    """Errors in wins by week: what an oracle would miss, and what the model missed."""
    weeks = [each.week for each in floor.weeks]

    def draw(axes: Axes) -> None:
        axes.fill_between(weeks, 0, [w.wins for w in floor.weeks], color="#dfe7ef", label="floor: an oracle")
        axes.plot(weeks, [w.wins_ours for w in floor.weeks], "o-", color=OURS, label="the model")
        axes.set(xlabel="week of the period", ylabel="mean error, share of the period's wins", xlim=(1, max(weeks)))
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.legend()

    told = "; ".join(f"week {w.week}: oracle {w.wins:.1%}, model {w.wins_ours:.1%}" for w in floor.weeks)
    return drawn(name, f"Noise floor by week of the period. {told}", (6.8, 3.6), draw)


def lines_chart(chart: Chart, name: str) -> str:
    """The chart of a section."""

    def draw(axes: Axes) -> None:
        for k, (label, values) in enumerate(chart.lines.items()):
            colour, mark = COLOURS[k % len(COLOURS)], MARKS[k % len(MARKS)]
            axes.plot(chart.x, values, label=shortened(label), linewidth=1.5, color=colour, marker=mark)
        axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
        axes.legend()

    return drawn(name, f"{chart.y_label} by {chart.x_label}: {', '.join(chart.lines)}", (6.8, 3.6), draw)


def shortened(text: str, longest: int = 40) -> str:
    """Return a name that fits beside an axis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _whiskers(figures: Sequence[Interval]) -> Float:
    """Return the distances to both ends of each interval, float64[2, n], 0 where there is none."""
    off: Float = np.array([[f.value - f.low for f in figures], [f.high - f.value for f in figures]])
    return np.clip(np.nan_to_num(off), 0.0, None)
