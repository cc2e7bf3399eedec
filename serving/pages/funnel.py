"""The funnel page: what became of deals that entered each stage, how fast they move, and how bookings come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from starlette.responses import Response

from configs.errors import NotFoundError
from features.nodes import COMPANY
from serving.pages.visit import Visit
from serving.pages.words import NOT_KNOWN, Words
from serving.store.page_facts import NodeFacts, nodes_of

WENT_ON, STILL_OPEN, MERGED, LOST = "went on", "still open", "merged", "lost"
KEYS = {WENT_ON: "on", STILL_OPEN: "still", MERGED: "merged", LOST: "lost"}
FEWEST = 5  # deals that entered a stage, before a share of them is drawn


@dataclass(frozen=True)
class Stage:
    """A stage: `flow` and `days` as stored. name: as shown."""

    name: str
    flow: Mapping[str, Any]
    days: Mapping[str, Any]

    def parts(self) -> list[tuple[str, int]]:
        """Return what became of the deals that entered it; the parts add up to them."""
        flow = self.flow
        told = {WENT_ON: "advanced", STILL_OPEN: "still_open", MERGED: "merged", LOST: "lost"}
        return [(what, int(flow[name])) for what, name in told.items()]


def shown(visit: Visit) -> Response:
    """Show the funnel of the company, a team or a rep. Raises NotFoundError for one that may not be seen."""
    with visit.reading() as connection:
        nodes = nodes_of(connection, visit.principal)
    if not nodes:
        return visit.page("facts_none.html.j2", title="Funnel", path="/funnel")
    asked = visit.query.get("of", "") or address(nodes[0])
    chosen = next((one for one in nodes if address(one) == asked), None)
    if chosen is None:
        raise NotFoundError("there is no such team or rep")
    stages, told, words = _stages(chosen), chosen.told, visit.words
    by_quota = told["curves"][-1]["quota"] is not None and any(curve["quota"] for curve in told["curves"][:-1])
    return visit.page(
        "funnel.html.j2",
        charts=True,
        chosen=chosen,
        title=title(chosen),
        options=[(address(one), _option(one)) for one in nodes],
        told=told,
        as_of=chosen.as_of,
        stages=stages,
        flows=_flows(words, stages),
        keys=_keys(stages),
        by_quota=by_quota,
        weeks=_weeks(words, told["curves"], by_quota),
        week_head=["Week", *(words.span(one["period_start"], one["period_end"]) for one in told["curves"])],
        week_lines=_week_lines(words, told["curves"]),
        below=[
            one for one in nodes if one.level != COMPANY and one.told["parent"] == chosen.node and one is not chosen
        ],
        address=address,
    )


def address(node: NodeFacts) -> str:
    """Return how an address names a node."""
    return f"{node.level}:{node.node}"


def title(node: NodeFacts) -> str:
    """Return what a node is called."""
    return "The company" if node.level == COMPANY else node.name


def _option(node: NodeFacts) -> str:
    within = node.told["parent"] if node.level == "rep" else None
    return title(node) if within is None else f"{node.name} ({within})"


def _stages(node: NodeFacts) -> list[Stage]:
    days = {one["stage"]: one for one in node.told["stage_days"]}
    none = {"won_deals": 0, "won_days": None, "open_days": None}
    return [
        Stage(flow["stage"] or "stage not known", flow, days.get(flow["stage"], none)) for flow in node.told["funnel"]
    ]


def _flows(words: Words, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """Return the rows of the chart: what became of all that entered a stage, of those that enough entered."""
    return [
        {
            "stage": stage.name,
            "place": place,
            "what": what,
            "order": order,
            "share": deals / stage.flow["entered"],
            "told": f"{stage.name}: {words.count(deals)} of {words.count(stage.flow['entered'])} {what}",
        }
        for place, stage in enumerate(stages)
        if stage.flow["entered"] >= FEWEST
        for order, (what, deals) in enumerate(stage.parts())
        if deals
    ]


def _keys(stages: Sequence[Stage]) -> list[tuple[str, str]]:
    """Return the legend of the chart: the class of each colour that is there, and what it means."""
    there = {what for stage in stages for what, deals in stage.parts() if deals}
    return [(key, what) for what, key in KEYS.items() if what in there]


def _weeks(words: Words, curves: Sequence[Mapping[str, Any]], by_quota: bool) -> list[dict[str, Any]]:
    """Return the rows of the chart of bookings: percent of quota, or money, by the end of each week."""
    rows = []
    for curve in curves:
        if by_quota and curve["quota"] is None:
            continue
        span = words.span(curve["period_start"], curve["period_end"])
        values = curve["share_of_quota"] if by_quota else curve["booked_by_week"]
        rows += [{"period": span, "week": 0, "value": 0, "now": not curve["complete"], "told": f"{span}: begins"}]
        for week, (value, money) in enumerate(zip(values, curve["booked_by_week"], strict=True), 1):
            part = f", {words.share(value)} of quota" if by_quota else ""
            told = f"{span}, week {words.count(week)}: {words.money(money)}{part}"
            value = 100 * value if by_quota else value
            rows.append({"period": span, "week": week, "value": value, "now": not curve["complete"], "told": told})
    return rows


def _week_lines(words: Words, curves: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the same as a table: money booked by each week's end, and of periods that are over its share."""
    cells = [
        [
            words.money(money) + ("" if share is None else f" ({words.share(share)})")
            for money, share in zip(curve["booked_by_week"], curve["share_of_total"], strict=True)
        ]
        for curve in curves
    ]
    return [[words.count(week), *line] for week, line in enumerate(zip_longest(*cells, fillvalue=NOT_KNOWN), 1)]
