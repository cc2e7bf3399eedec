"""What a source of leads is fit for: how many there are, what became of them, and how many say nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import typer

from configs.load import mapping_of
from configs.schema import Config
from features.ingest import Ingest
from features.leads import Became
from features.record import build_record
from features.schema import schema_of
from features.sources.assemble import FAR_FUTURE, LEAD_LEFT_OUT, NO_LEAD
from features.tables import NAT
from training.labels import NEVER, first_worked
from training.prepare import calendar_of


def lead_readiness(config: Config, ingest: Ingest, became: Became) -> dict[str, Any]:
    """Print and return the counts of leads: what became of them, and what is left out of training, by reason."""
    tables, report = ingest.tables, ingest.report
    record = build_record(
        tables, ingest.stages, calendar_of(config), schema_of(tables, mapping_of(config), config.target)
    )
    history = record.timelines["history"]
    converted = became.converted_at != NAT
    lost = np.unique(history.entity[history.mask("closed") & ~history.mask("won")])
    idle = int(np.count_nonzero((first_worked(record) == NEVER) & ~converted))
    strays = {
        reason: sum(table.refused_for(reason) for table in report.tables if table.table.startswith("lead"))
        for reason in (NO_LEAD, LEAD_LEFT_OUT, FAR_FUTURE)
    }
    counts = {
        "leads": tables.deals.n,
        "converted": int(np.count_nonzero(converted)),
        "disqualified": len(lost),
        "won": int(np.count_nonzero(became.won_at != NAT)),
        "converted_without_deal": int(np.count_nonzero(converted & ~became.linked)),
        "opted_out": report.noticed("opted_out"),
        "unworked": idle,
        "after_conversion": report.noticed("after_conversion"),
        "unattributed": strays[NO_LEAD],
        "left_out": strays[LEAD_LEFT_OUT],
        "far_future": strays[FAR_FUTURE],
    }
    typer.echo(_sentences(config, counts))
    for name in ("source", "industry", "size", "region"):
        if name not in {field.value for field in mapping_of(config).leads.fixed_fields}:
            typer.echo(f"{name} is not declared under leads.fixed_fields: no feature of it")
    if not tables.activities.n:
        typer.echo("no lead_activities: features of them stay empty")
    return counts


def _sentences(config: Config, counts: dict[str, int]) -> str:
    told = {name: f"{count:,}" for name, count in counts.items()}
    return "\n".join(
        (
            f"{told['leads']} leads; {told['converted']} converted, {told['disqualified']} disqualified at some time; "
            f"{told['won']} of their deals were won, {told['converted_without_deal']} became no deal of the record",
            f"{told['opted_out']} more opted out: neither trained on nor scored",
            f"{told['unworked']} did not convert and nobody worked them (leads.unworked: {config.leads.unworked})",
            f"rows left out: {told['after_conversion']} after a conversion, {told['unattributed']} of no lead, "
            f"{told['left_out']} of leads left out, {told['far_future']} far in the future",
        )
    )
