"""What a refresh leaves for the pages: pipeline figures of each node, and an account of the source that was read.

A node's document is its own: nothing in it is added up over deals of others, so a key may see those of its teams. A
rep's yield and coverage needed lean on the rates above it (`models.pipeline_yield`), as scores do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from configs.load import config_hash, mapping_of
from configs.schema import Config
from features.asof import known
from features.nodes import COMPANY, NO_TEAM, TEAM
from features.pipeline import pipeline_at, pipeline_facts
from features.tables import NAT, Table
from models.bundle import Bundle
from models.pipeline import PERIODS, NodeMetrics, PipelineMetrics, node_metrics
from models.pipeline_rows import head, money, node_document
from models.stage_days import StageDays, stage_days
from models.standing_calls import Called, standing_calls
from serving.refresh import Sourced

CLOCKS = {
    "deals": "known_at",
    "deal_history": "known_at",
    "activities": "known_at",
    "contacts": "known_at",
    "quotas": "known_at",
    "calls": "submitted_at",
}
"""The canonical tables whose facts have an instant, and the column that holds it."""


@dataclass(frozen=True)
class PageFacts:
    """Rows of the store: nodes of ``node_facts``, read of ``refreshes``."""

    nodes: list[dict[str, Any]]
    read: dict[str, Any]


def page_facts(
    seen: Sourced, config: Config, bundle: Bundle, as_of: int, now: int, more: Mapping[str, Any]
) -> PageFacts:
    """Return what a refresh as of an instant leaves for the pages. more: joins the account of the source.

    Raises UsageError where the as-of lies outside the fiscal calendar.
    """
    told = source_document(seen, config, bundle, as_of) | dict(more)
    return PageFacts(node_rows(seen, as_of), {"as_of": as_of, "ran_at": now, "body": _text(told)})


def node_rows(seen: Sourced, as_of: int) -> list[dict[str, Any]]:
    """Return the rows of ``node_facts`` as of an instant: figures of the company, of each team and of each rep.

    Raises UsageError where the as-of lies outside the fiscal calendar.
    """
    facts = pipeline_facts(seen.tables, seen.record)
    view = pipeline_at(facts, as_of, PERIODS)
    nodes = tuple(node_metrics(facts, view))
    about = head(PipelineMetrics(as_of, view.window, nodes, view.last_known))
    called = standing_calls(facts, view)
    return [
        {
            "as_of": as_of,
            "level": node.level,
            "node": node.name,
            "team": _team(node),
            "body": _text(about | node_document(node) | _more(node, days, called, view.window.calendar.day)),
        }
        for node, days in zip(nodes, stage_days(facts, view), strict=True)
    ]


def _more(
    node: NodeMetrics, days: Sequence[StageDays], called: Sequence[Called], day: Callable[[int], date]
) -> dict[str, Any]:
    return {
        "stage_days": [vars(one) for one in days],
        "calls": [
            {"period_start": day(one.period).isoformat(), "at": one.at, "called": money(one.cents.get(node.name))}
            for one in called
        ],
    }


def _team(node: NodeMetrics) -> str | None:
    """Return the team whose keys may see a node; None: keys of everyone alone."""
    if node.level == COMPANY:
        return None
    team = node.name if node.level == TEAM else node.parent
    return None if team == NO_TEAM else team


def source_document(seen: Sourced, config: Config, bundle: Bundle, as_of: int) -> dict[str, Any]:
    """Return an account of the source: rows of its tables or objects in, kept and refused by reason, and how fresh the
    facts are that were made of them.
    """
    report = seen.report.to_json()
    return {
        "kind": str(config.source.kind),
        "name": config.name,
        "tables": report["tables"],
        "facts": [_fresh(getattr(seen.tables, name), clock, as_of) for name, clock in CLOCKS.items()],
        "notices": report["notices"],
        "config_sha256": config_hash(config, mapping_of(config)),
        "trained_config_sha256": bundle.about.config_hash,
    }


def _fresh(table: Table, clock: str, as_of: int) -> dict[str, str | int | None]:
    """Return the facts of a table, the last one known before the as-of, and how many are not known until later."""
    at = table.ints(clock)
    at = at[at != NAT]
    seen = at[known(at, as_of)]
    last = int(seen.max()) if len(seen) else None
    return {"table": table.name, "rows": table.n, "last_fact": last, "later": len(at) - len(seen)}


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)
