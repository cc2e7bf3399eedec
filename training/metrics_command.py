"""What `forecastle metrics` does: read the source, work out the figures as of a day, print and write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any

import typer

from configs.errors import UsageError
from configs.schema import Config
from features.ingest import Ingest
from features.nodes import COMPANY, LEVELS
from features.pipeline import PipelineFacts, pipeline_at, pipeline_facts
from features.record import build_record
from features.registry import Schema
from features.tables import CrmTables, Table
from models.pipeline import PERIODS, PipelineMetrics, pipeline_metrics
from models.pipeline_rows import INTEGERS, TEXTS, document, rows
from models.planner import Asked, Plan, own_past, plan
from training.commands import ingest_of
from training.metrics_out import JSON, check_out, write_document, write_rows
from training.metrics_text import text_of
from training.prepare import calendar_of

LARGEST = 10**13  # in the base currency, so that cents stay within 64 bits


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for; texts as they were given, None where they were not. by: of leads alone."""

    out: Path | None = None
    level: str | None = None
    periods: int | None = None
    goal: str | None = None
    quota_per_rep: str | None = None
    attainment: str | None = None
    coverage: str | None = None
    by: str | None = None


def metrics(config: Config, as_of: int, wanted: Wanted) -> dict[str, Any]:
    """Print the figures of a config as of an instant and write them where asked; return the document.

    Raises UsageError for an option that makes no sense and for an as-of outside the calendar, DataError where the
    source is refused, StateError where the file can't be written.
    """
    asked = checked(wanted)
    facts = facts_of(config, ingest_of(config))
    periods = PERIODS if wanted.periods is None else wanted.periods
    found = pipeline_metrics(facts, as_of, periods)
    planned = None if asked is None else planned_by(facts, as_of, periods, asked)
    told = document(found, wanted.level, planned)
    typer.echo(text_of(found, wanted.level, planned))
    if wanted.out is not None:
        write(wanted.out, found, wanted.level, told)
        typer.echo(f"written: {wanted.out}")
    return told


def facts_of(config: Config, ingest: Ingest) -> PipelineFacts:
    """Return the facts of a source. Activities and contacts say nothing here and are not read on."""
    none = {name: Table.empty(name) for name in ("activities", "contacts")}
    tables: CrmTables = replace(ingest.tables, **none)
    record = build_record(tables, ingest.stages, calendar_of(config), Schema(str(config.target)))
    return pipeline_facts(tables, record)


def planned_by(facts: PipelineFacts, as_of: int, periods: int, asked: Asked) -> Plan:
    """Return the plan that is asked for, by the company's own past where it does not say."""
    return plan(asked, own_past(facts, pipeline_at(facts, as_of, periods)))


def checked(wanted: Wanted) -> Asked | None:
    """Check the options before any work. Raises UsageError; None where no plan is asked for."""
    if wanted.by is not None:
        raise UsageError.at("--by", "given for a config of deals", expected="a config of leads")
    if wanted.level is not None and wanted.level not in LEVELS:
        raise UsageError.at("--level", repr(wanted.level), expected=" or ".join(LEVELS))
    if wanted.out is not None:
        check_out(wanted.out)
    options = {
        "--quota-per-rep": wanted.quota_per_rep,
        "--attainment": wanted.attainment,
        "--coverage": wanted.coverage,
    }
    given = {name: _positive(name, text) for name, text in options.items() if text is not None}
    if wanted.goal is None:
        if given:
            raise UsageError.at(next(iter(given)), "given without --goal", expected="--goal AMOUNT, which it plans for")
        return None
    quota = given.get("--quota-per-rep")
    return Asked(
        round(_positive("--goal", wanted.goal) * 100),
        None if quota is None else quota * 100,
        given.get("--attainment"),
        given.get("--coverage"),
    )


def write(out: Path, found: PipelineMetrics, level: str | None, told: Mapping[str, Any]) -> None:
    """Write a file of rows (.csv, .parquet), or everything (.json). Raises StateError."""
    if out.suffix == JSON:
        write_document(out, told)
        return
    # Where no node of the level is there, the columns still are: those of the company, which always is.
    names = tuple(next(iter(rows(found, COMPANY))))
    write_rows(out, names, list(rows(found, level)), TEXTS, INTEGERS)


def _positive(option: str, text: str) -> Fraction:
    """Read a number above 0. Raises UsageError."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or not Decimal("0.0001") <= value <= LARGEST:
        raise UsageError.at(option, repr(text), expected="a plain number above 0, such as 250000 or 0.8")
    return Fraction(value)
