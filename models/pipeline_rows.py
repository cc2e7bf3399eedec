"""Pipeline figures as documents and rows, told once for the command line and the pages. Money in the base currency."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from configs.writing import Cell
from features.periods import instant_text
from models.pipeline import NodeMetrics, PipelineMetrics
from models.pipeline_parts import Cover, Curve, StageFlow
from models.planner import Plan

SCHEMA_VERSION = 1
"""Of the columns and keys; goes up when one is added, changed or removed."""

FRACTIONS = 6  # decimals of shares, rates and days in documents


def document(metrics: PipelineMetrics, level: str | None = None, plan: Plan | None = None) -> dict[str, Any]:
    """Return everything as plain JSON; `level` keeps the nodes of one level."""
    about = head(metrics)
    nodes = [node_document(node) for node in metrics.nodes if level in (None, node.level)]
    planned = {} if plan is None else {"plan": plan_document(plan)}
    return {**about, "days_silent": _figure(metrics.days_silent), "nodes": nodes, **planned}


def head(metrics: PipelineMetrics) -> dict[str, Any]:
    """Return what holds for every node: as-of, the running period, the window and its number of periods."""
    window = metrics.window
    first, last = window.dates()
    return {
        "schema_version": SCHEMA_VERSION,
        "as_of": instant_text(metrics.as_of, window.calendar.zone),
        "period_start": first.isoformat(),
        "period_end": last.isoformat(),
        "window_start": window.calendar.day(window.first).isoformat(),
        "window_periods": len(window.periods),
    }


def scalars(node: NodeMetrics) -> dict[str, int | float | None]:
    """Return the figures of a node that are one number each; None where one can not be told."""
    rate, won, velocity, health = node.win_rate, node.won, node.velocity, node.health
    return {
        "open_count": node.open.count,
        "open": money(node.open.cents),
        "open_unpriced": node.unpriced,
        "due_count": node.due.count,
        "due": money(node.due.cents),
        "overdue_count": node.overdue_count,
        "overdue": money(node.overdue_cents),
        "won_count": rate.won,
        "lost_count": rate.lost,
        "win_rate": _figure(rate.by_count),
        "win_rate_amount": _figure(rate.by_amount),
        "closed_unpriced": rate.unpriced,
        "won": money(won.cents),
        "average_won": money(won.average_cents),
        "cycle_days_mean": _figure(won.mean_days),
        "cycle_days_median": _figure(won.median_days),
        "velocity_per_day": money(velocity.cents_per_day),
        "quota": money(node.quota),
        "booked": money(node.booked),
        "to_go": money(node.open.to_go),
        "attainment": _figure(node.attainment),
        "usual_share_by_now": _figure(node.usual_share),
        "coverage": _figure(node.open.ratio),
        "coverage_needed": _figure(node.open.needed),
        "yield": _figure(node.open.shrunk),
        "coverage_due": _figure(node.due.ratio),
        "coverage_due_needed": _figure(node.due.needed),
        "yield_due": _figure(node.due.shrunk),
        "linearity": _figure(node.linearity),
        "centre": _figure(node.centre),
        "health": _figure(health.score),
        "health_coverage": _figure(health.coverage),
        "health_velocity": _figure(health.velocity),
        "health_win_rate": _figure(health.win_rate),
    }


INTEGERS = (
    "open_count", "open_unpriced", "due_count", "overdue_count", "won_count", "lost_count", "closed_unpriced",
    "window_periods", "schema_version",
)  # fmt: skip
TEXTS = ("level", "node", "parent", "as_of", "period_start", "period_end", "window_start", "funnel", "curves")


def node_document(node: NodeMetrics) -> dict[str, Any]:
    """Return one node as plain JSON, with its funnel, its curves and what the yields were taken from."""
    return {
        "level": node.level,
        "node": node.name,
        "parent": node.parent,
        **scalars(node),
        "past": {"open": _past(node.open), "due": _past(node.due)},
        "funnel": [flow_document(flow) for flow in node.flows],
        "curves": [curve_document(curve) for curve in node.curves],
    }


def rows(metrics: PipelineMetrics, level: str | None = None) -> Iterable[dict[str, Cell]]:
    """Yield a flat row a node, always with the same columns; funnel and curves as JSON text."""
    about = head(metrics)
    version = about.pop("schema_version")
    for node in (node for node in metrics.nodes if level in (None, node.level)):
        yield {
            "level": node.level,
            "node": node.name,
            "parent": node.parent,
            **about,
            **scalars(node),
            "funnel": json.dumps([flow_document(flow) for flow in node.flows], ensure_ascii=False, allow_nan=False),
            "curves": json.dumps([curve_document(curve) for curve in node.curves], allow_nan=False),
            "schema_version": version,
        }


def flow_document(flow: StageFlow) -> dict[str, Any]:
    """Return a stage of the funnel: what stands in it, the cohort that entered it, and its rates."""
    return {
        "stage": flow.stage,
        "open_count": flow.open_count,
        "open": money(flow.open_cents),
        "entered": flow.entered,
        "advanced": flow.advanced,
        "lost": flow.lost,
        "merged": flow.merged,
        "still_open": flow.still_open,
        "rate": _figure(flow.rate),
        "rate_low": _figure(flow.rate_low),
        "rate_high": _figure(flow.rate_high),
        "won": flow.won,
        "ended": flow.ended,
        "win_rate": _figure(flow.win_rate),
    }


def curve_document(curve: Curve) -> dict[str, Any]:
    """Return how a period's bookings came in, a value a week."""
    return {
        "period_start": curve.start.isoformat(),
        "period_end": curve.end.isoformat(),
        "complete": curve.complete,
        "booked": money(curve.total),
        "quota": money(curve.quota),
        "attainment": _figure(curve.attainment),
        "linearity": _figure(curve.linearity),
        "week_ends": [day.isoformat() for day in curve.ends],
        "booked_by_week": [money(cents) for cents in curve.cents],
        "share_of_quota": [_figure(share) for share in curve.of_quota],
        "share_of_total": [_figure(share) for share in curve.of_total],
    }


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan."""
    return {
        "goal": money(plan.goal_cents),
        "quota_per_rep": money(plan.quota_cents),
        "attainment": _figure(plan.attainment),
        "coverage": _figure(plan.coverage),
        "pipeline_per_rep": money(plan.pipeline_per_rep),
        "pipeline_total": money(plan.pipeline_total),
        "reps_now": plan.reps,
        "reps_best_case": plan.reps_best_case,
        "reps_needed": plan.reps_needed,
        "reps_missing": plan.reps_missing,
    }


def money(cents: Fraction | float | None) -> float | None:
    """Return cents in the base currency, to the cent."""
    return None if cents is None else round(cents) / 100


def _figure(value: Fraction | float | None) -> float | None:
    return None if value is None else round(float(value), FRACTIONS)


def _past(cover: Cover) -> Mapping[str, float | None]:
    return {"open": money(cover.past_open), "won": money(cover.past_won)}
