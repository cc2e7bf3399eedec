"""Draw up the specs of the pages' charts with Altair, one JSON file each under ``serving/pages/specs``.

Serving needs no Altair: a page puts its rows into a spec as the dataset ``rows``. Colours are the style sheet's own
variables, so charts follow light, dark and paper. A test holds the files to this script.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import altair as alt

FOLDER = Path(__file__).parents[1] / "serving/pages/specs"
ROWS = alt.NamedData(name="rows")
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif'
LANES = ("buyer", "together", "us", "deal")
MARKS = {"buyer": "var(--theirs)", "together": "var(--warn)", "us": "var(--ours)", "deal": "var(--ink)"}

BECAME = {
    "went on": "var(--accent)",
    "still open": "var(--strong-line)",
    "merged": "var(--warn)",
    "lost": "var(--bad)",
}


def styled(chart: alt.Chart | alt.LayerChart, height: int) -> alt.Chart | alt.LayerChart:
    """Give a chart the width of its place and the look of the pages."""
    axis = {
        "labelColor": "var(--muted)", "titleColor": "var(--muted)", "gridColor": "var(--line)",
        "domainColor": "var(--strong-line)", "tickColor": "var(--strong-line)", "labelFontSize": 12,
        "titleFontSize": 12, "titleFontWeight": "normal",
    }  # fmt: skip
    sized = chart.properties(width="container", height=height, background="transparent")
    return sized.configure(font=FONT, axis=axis, view={"stroke": None}, autosize={"type": "fit", "contains": "padding"})


def score_history() -> alt.Chart | alt.LayerChart:
    """The score at each refresh. Rows: at (ISO), score (0-100), told."""
    base = alt.Chart(ROWS).encode(
        x=alt.X(
            "at:T",
            title=None,
            scale=alt.Scale(padding=10),
            axis=alt.Axis(format="%-d %b", grid=False, tickCount=6, labelFlush=True),
        ),
        y=alt.Y(
            "score:Q", title="of 100 won", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(values=[0, 25, 50, 75, 100])
        ),
        tooltip=alt.Tooltip("told:N"),
    )
    line = base.mark_line(color="var(--accent)", interpolate="step-after", strokeWidth=2)
    return styled(line + base.mark_circle(color="var(--accent)", size=45, opacity=1), 170)


def timeline() -> alt.Chart | alt.LayerChart:
    """What happened, on a lane for each side. Rows: at (ISO), lane (see `LANES`), what, told."""
    lane = alt.Y(
        "lane:N",
        title=None,
        sort=list(LANES),
        scale=alt.Scale(domain=list(LANES)),
        axis=alt.Axis(grid=True, domain=False, ticks=False),
    )
    points = (
        alt.Chart(ROWS)
        .mark_point(filled=True, size=70, opacity=0.85)
        .encode(
            x=alt.X(
                "at:T",
                title=None,
                scale=alt.Scale(padding=10),
                axis=alt.Axis(format="%-d %b %y", grid=False, tickCount=6, labelFlush=True),
            ),
            y=lane,
            color=alt.Color("lane:N", legend=None, scale=alt.Scale(domain=list(LANES), range=list(MARKS.values()))),
            shape=alt.Shape(
                "lane:N",
                legend=None,
                scale=alt.Scale(domain=list(LANES), range=["circle", "diamond", "square", "triangle-up"]),
            ),
            tooltip=alt.Tooltip("told:N"),
        )
    )
    return styled(points, 150)


def said_came(called: bool = False) -> alt.Chart | alt.LayerChart:
    """What was said in each week of each period, and what came. Rows: period, week, p10, p50, p90, came, told.

    called: rows have the reps' commit too, null where nobody called.
    """
    whole = {"field": "period", "type": "nominal", "sort": None, "title": None}
    base = alt.Chart(ROWS).encode(
        x=alt.X(**whole, axis=alt.Axis(labelAngle=0, labelOverlap=True, domain=False)), tooltip=alt.Tooltip("told:N")
    )
    weekly = base.encode(xOffset=alt.XOffset("week:O", scale=alt.Scale(paddingInner=0.15)))
    band = weekly.mark_bar(color="var(--accent)", opacity=0.28, cornerRadius=2).encode(
        y=alt.Y("p10:Q", title=None, axis=alt.Axis(format="~s", tickCount=5)), y2="p90:Q"
    )
    middle = weekly.mark_tick(color="var(--accent)", thickness=3).encode(y="p50:Q")
    came = base.mark_rule(color="var(--good)", strokeWidth=2.5).encode(
        x=alt.X(**whole, bandPosition=0.0), x2=alt.X2("period", bandPosition=1.0), y="came:Q"
    )
    commit = weekly.mark_point(color="var(--warn)", filled=True, shape="diamond", size=70, opacity=1).encode(
        y="commit:Q"
    )
    return styled(alt.layer(band, came, middle, *([commit] if called else [])), 260)


def calibration() -> alt.Chart | alt.LayerChart:
    """What was said against what came, of 100. Rows: said, came, low, high, told."""
    whole = alt.Scale(domain=[0, 100])
    quarters = [0, 25, 50, 75, 100]
    base = alt.Chart(ROWS).encode(
        x=alt.X("said:Q", title="we said, of 100", scale=whole, axis=alt.Axis(values=quarters)),
        tooltip=alt.Tooltip("told:N"),
    )
    line = alt.Chart(ROWS).mark_rule(color="var(--strong-line)", strokeDash=[4, 4], aria=False)
    exact = line.encode(x=alt.datum(0), x2=alt.datum(100), y=alt.datum(0), y2=alt.datum(100))
    likely = base.mark_rule(color="var(--accent)", strokeWidth=2, opacity=0.6).encode(
        y=alt.Y("low:Q", title="won, of 100", scale=whole, axis=alt.Axis(values=quarters)), y2="high:Q"
    )
    dots = base.mark_circle(color="var(--accent)", size=60, opacity=1).encode(y=alt.Y("came:Q", scale=whole))
    return styled(exact + likely + dots, 280)


def stage_flow() -> alt.Chart | alt.LayerChart:
    """What became of deals that entered a stage. Rows: stage, place, what (see `BECAME`), order, share, told."""
    bars = (
        alt.Chart(ROWS)
        .mark_bar(stroke="var(--surface)", strokeWidth=1, opacity=0.85)
        .encode(
            x=alt.X(
                "share:Q",
                title=None,
                stack="zero",
                axis=alt.Axis(format="%", tickCount=5),
                scale=alt.Scale(domain=[0, 1]),
            ),
            y=alt.Y(
                "stage:N",
                title=None,
                sort=alt.EncodingSortField("place", op="min"),
                axis=alt.Axis(domain=False, ticks=False, labelLimit=130),
            ),
            color=alt.Color(
                "what:N",
                scale=alt.Scale(domain=list(BECAME), range=list(BECAME.values())),
                legend=None,  # the page has one that wraps where it is narrow
            ),
            order=alt.Order("order:Q"),
            tooltip=alt.Tooltip("told:N"),
        )
    )  # fmt: skip
    return styled(bars, 220)


def booked_by_week() -> alt.Chart | alt.LayerChart:
    """Bookings by the end of each week of a period. Rows: period, week, value, now (whether it runs), told."""
    base = alt.Chart(ROWS).encode(
        x=alt.X(
            "week:Q",
            title="week of the period",
            axis=alt.Axis(grid=False, tickMinStep=1),
            scale=alt.Scale(nice=False),
        ),
        y=alt.Y("value:Q", title=None, axis=alt.Axis(format="~s", tickCount=5)),
        detail=alt.Detail("period:N"),
        tooltip=alt.Tooltip("told:N"),
    )  # fmt: skip
    past = base.transform_filter("!datum.now").mark_line(
        color="var(--strong-line)", strokeWidth=1.5, point={"color": "var(--strong-line)", "size": 18}
    )
    now = base.transform_filter("datum.now").mark_line(
        color="var(--accent)", strokeWidth=3.5, point={"color": "var(--accent)", "size": 45}
    )
    return styled(past + now, 240)


def fan() -> alt.Chart | alt.LayerChart:
    """A period's forecast at each look. Rows: at (ISO), p10, p50, p90, booked, commit, quota, told; the ends of the
    period have at and quota alone. What is null is not drawn.
    """
    x = alt.X("at:T", title=None, axis=alt.Axis(format="%-d %b", grid=False, tickCount=7, labelFlush=True))

    def of(field: str) -> alt.Chart:
        y = alt.Y(f"{field}:Q", title=None, axis=alt.Axis(format="~s", tickCount=5), scale=alt.Scale(zero=True))
        return alt.Chart(ROWS).transform_filter(f"isValid(datum.{field})").encode(x=x, y=y)

    wide = alt.Chart(ROWS).mark_point(opacity=0, size=0, aria=False).encode(x=x)
    band = (
        of("p10").mark_area(aria=False, color="var(--accent)", opacity=0.18, interpolate="monotone").encode(y2="p90:Q")
    )
    edge = of("p10").mark_rule(aria=False, color="var(--accent)", opacity=0.45).encode(y2="p90:Q")
    booked = of("booked").mark_line(aria=False, color="var(--good)", strokeWidth=2.5, interpolate="step-after")
    quota = of("quota").mark_line(aria=False, color="var(--ink)", strokeDash=[7, 4], strokeWidth=1.5)
    commit = of("commit").mark_line(
        aria=False,
        color="var(--warn)",
        strokeDash=[2, 3],
        strokeWidth=2,
        point=alt.OverlayMarkDef(aria=False, shape="diamond", filled=True, size=45, color="var(--warn)"),
    )
    middle = of("p50").mark_line(aria=False, color="var(--accent)", strokeWidth=2.5)
    points = of("p50").mark_circle(color="var(--accent)", size=55, opacity=1).encode(tooltip=alt.Tooltip("told:N"))
    # Marks without rows would be symbols without a name; the points tell all that the others do.
    return styled(alt.layer(wide, band, edge, quota, booked, commit, middle, points), 280)


CHARTS: dict[str, Callable[[], alt.Chart | alt.LayerChart]] = {
    "booked_by_week": booked_by_week,
    "fan": fan,
    "score_history": score_history,
    "stage_flow": stage_flow,
    "timeline": timeline,
    "said_came": said_came,
    "said_called_came": partial(said_came, called=True),
    "calibration": calibration,
}


def text_of(name: str) -> str:
    """Return the file of a chart."""
    spec: dict[str, Any] = CHARTS[name]().to_dict()
    return json.dumps(spec, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write every spec."""
    FOLDER.mkdir(exist_ok=True)
    for name in CHARTS:
        (FOLDER / f"{name}.json").write_text(text_of(name), encoding="utf-8")


if __name__ == "__main__":
    main()
