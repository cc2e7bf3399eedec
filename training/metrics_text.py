"""Pipeline figures as text for a terminal. A dash is what can not be told."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from features.nodes import COMPANY
from models.pipeline import NodeMetrics, PipelineMetrics
from models.pipeline_parts import StageFlow
from models.pipeline_rows import head
from models.planner import Plan

MOST_NODES = 40  # told on the terminal; the file has all
STALE_DAYS = 7.0
NODE_HEAD = (
    "node", "open", "open money", "win rate", "by money", "average", "cycle d", "a day", "quota", "booked", "attained",
    "coverage", "needed", "health",
)  # fmt: skip
FLOW_HEAD = (
    "stage", "open", "open money", "entered", "advanced", "lost", "undecided", "rate", "between", "won in the end",
)  # fmt: skip
CURVE_HEAD = ("period", "booked", "quota", "attained", "linearity", "share of total by week")


def text_of(found: PipelineMetrics, level: str | None, plan: Plan | None) -> str:
    """Return the company's funnel, curves and health, a table of nodes, and the plan where there is one."""
    about, company = head(found), found.nodes[0]
    complete = about["window_periods"]
    lines = [
        f"as of {about['as_of']}: period {about['period_start']} to {about['period_end']}; rates from "
        f"{complete} complete {'period' if complete == 1 else 'periods'} since {about['window_start']}",
        *_notes(found),
        "",
        *aligned([FLOW_HEAD, *(_flow(flow) for flow in company.flows)]),
        "",
        *aligned([CURVE_HEAD, *_curves(company)]),
        "",
        *_company(company),
        "",
        *_nodes(found, level),
        *([] if plan is None else ["", *_plan(plan)]),
    ]
    return "\n".join(lines)


def _notes(found: PipelineMetrics) -> list[str]:
    if found.days_silent is None:
        return ["no deal was known by then"]
    notes = []
    if found.nodes[0].quota is None:
        notes.append("no quota of the running period is known by then; one is known from the period's first instant on")
    if found.days_silent > STALE_DAYS:
        notes.append(f"the newest change of a deal is {found.days_silent:.0f} days old: is the source up to date?")
    return notes


def _flow(flow: StageFlow) -> tuple[str, ...]:
    between = "-" if flow.rate_low is None else f"{share(flow.rate_low)} to {share(flow.rate_high)}"
    counts = (flow.entered, flow.advanced, flow.lost, flow.still_open)
    first = (flow.stage or "(no stage)", str(flow.open_count), _money(flow.open_cents))
    return (*first, *map(str, counts), share(flow.rate), between, share(flow.win_rate))


def _curves(company: NodeMetrics) -> list[tuple[str, ...]]:
    told: list[tuple[str, ...]] = []
    for curve in company.curves:
        weeks = " ".join(share(part) for part in curve.of_total) if curve.complete else "(running)"
        figures = (_money(curve.total), _money(curve.quota), share(curve.attainment), number(curve.linearity, 2))
        told.append((curve.start.isoformat(), *figures, weeks))
    return told


def _company(node: NodeMetrics) -> list[str]:
    velocity, health, cover = node.velocity, node.health, node.open
    return [
        f"sales velocity {_money(velocity.cents_per_day)} a day = {velocity.open_count} open x win rate "
        f"{share(velocity.win_rate)} x {_money(velocity.average_cents)} / {number(velocity.cycle_days, 1)} days "
        f"(median {number(node.won.median_days, 1)})",
        f"to go {_money(cover.to_go)}: coverage {number(cover.ratio, 1)} by all open deals, "
        f"{number(node.due.ratio, 1)} by those due in the period; by the own yield "
        f"({share(cover.shrunk)} and {share(node.due.shrunk)}) {number(cover.needed, 1)} and "
        f"{number(node.due.needed, 1)} are needed",
        f"overdue {node.overdue_count} deals, {_money(node.overdue_cents)}; without an amount {node.unpriced}",
        f"by now, {share(node.usual_share)} of a period's bookings are usually in; linearity of the window "
        f"{number(node.linearity, 2)}",
        f"health {number(health.score, 0)} of 100: coverage {share(health.coverage)} (half), velocity "
        f"{share(health.velocity)} (a quarter), win rate {share(health.win_rate)} (a quarter)",
    ]


def _nodes(found: PipelineMetrics, level: str | None) -> list[str]:
    wanted = [node for node in found.nodes if level in (None, node.level)]
    lines = aligned([NODE_HEAD, *(_node(node) for node in wanted[:MOST_NODES])])
    more = len(wanted) - MOST_NODES
    return [*lines, f"and {more} more; --out FILE.csv has every node"] if more > 0 else lines


def _node(node: NodeMetrics) -> tuple[str, ...]:
    name = node.name if node.level == COMPANY else f"{node.level} {node.name}"
    return (
        name,
        str(node.open.count),
        _money(node.open.cents),
        share(node.win_rate.by_count),
        share(node.win_rate.by_amount),
        _money(node.won.average_cents),
        number(node.won.mean_days, 1),
        _money(node.velocity.cents_per_day),
        _money(node.quota),
        _money(node.booked),
        share(node.attainment),
        number(node.open.ratio, 1),
        number(node.open.needed, 1),
        number(node.health.score, 0),
    )


def _plan(plan: Plan) -> list[str]:
    return [
        f"plan for bookings of {_money(plan.goal_cents)} in a period:",
        f"  quota per rep {_money(_float(plan.quota_cents))}: {_count(plan.reps_best_case)} reps if every one reaches "
        f"it, {_count(plan.reps_needed)} at an attainment of {share(_float(plan.attainment))}; "
        f"{plan.reps} have a quota now, {_count(plan.reps_missing)} are missing",
        f"  pipeline at the period's start {_money(_float(plan.pipeline_per_rep))} per rep, "
        f"{_money(_float(plan.pipeline_total))} for the goal, at {number(_float(plan.coverage), 2)} open per 1 booked",
    ]


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table whose columns stand below each other."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _money(cents: float | None) -> str:
    return "-" if cents is None else f"{cents / 100:,.0f}"


def share(value: float | None) -> str:
    """Return a share as whole percent."""
    return "-" if value is None else f"{value:.0%}"


def number(value: float | None, places: int) -> str:
    """Return a number with so many places."""
    return "-" if value is None else f"{value:,.{places}f}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
