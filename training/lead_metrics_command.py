"""What `forecastle metrics` does for a config of leads: the funnel by cohort, as of a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from configs.errors import UsageError
from configs.load import source_mapping_of
from configs.schema import Config
from features.ingest import Ingest
from features.lead_funnel import LeadFacts, Windows, lead_facts, lead_groups
from features.record import build_record
from features.registry import Schema
from features.tables import Table
from models.lead_funnel import INTEGERS, TEXTS, LeadFunnel, document, lead_funnel, rows
from training.commands import ingest_of
from training.metrics_command import Wanted
from training.metrics_out import JSON, check_out, write_document, write_rows
from training.metrics_text import STALE_DAYS, aligned, number, share
from training.prepare import calendar_of

HEAD = ("step", "reached", "went on", "stopped", "waiting", "young", "rate", "between", "of leads", "days")
COHORT_HEAD = ("created", "leads", "young")
OF_DEALS = {"level": "--level", "goal": "--goal", "quota_per_rep": "--quota-per-rep", "attainment": "--attainment",
            "coverage": "--coverage"}  # fmt: skip


def lead_metrics(config: Config, as_of: int, wanted: Wanted) -> dict[str, Any]:
    """Print the funnel of a config of leads as of an instant and write it where asked; return the document.

    Raises UsageError for an option that makes no sense and for an as-of outside the calendar, DataError where the
    source is refused, StateError where the file can't be written.
    """
    groups = lead_groups(source_mapping_of(config))
    _check(wanted, groups)
    facts = facts_of(config, ingest_of(config), groups if wanted.by is None else (wanted.by,))
    found = lead_funnel(facts, as_of, Windows.of(config.leads), wanted.periods)
    told = document(found)
    typer.echo(text_of(told))
    if wanted.out is not None:
        write(wanted.out, found, told)
        typer.echo(f"written: {wanted.out}")
    return told


def write(out: Path, found: LeadFunnel, told: Mapping[str, Any]) -> None:
    """Write a row a step and cohort (.csv, .parquet), or everything (.json). Raises StateError."""
    if out.suffix == JSON:
        write_document(out, told)
        return
    listed = list(rows(found))
    write_rows(out, tuple(listed[0]), listed, TEXTS, INTEGERS)


def facts_of(config: Config, ingest: Ingest, groups: Sequence[str]) -> LeadFacts:
    """Return the facts of leads as they were read. Activities say nothing here and are not read on."""
    tables = replace(ingest.tables, activities=Table.empty("activities"))
    record = build_record(tables, ingest.stages, calendar_of(config), Schema(str(config.target)))
    assert ingest.became is not None  # noqa: S101 -- a config of leads reads them, see `features.leads`
    return lead_facts(tables, record, ingest.became, groups)


def text_of(told: Mapping[str, Any]) -> str:
    """Return a document for a terminal: all leads by step, then each cohort, then each value of each group."""
    steps = _seen(told)
    starred = any("*" in cell for one in told["cohorts"] for cell in _line(one, steps)[3:])
    lines = [
        f"as of {told['as_of']}: {told['leads']:,} leads created since {told['window_start']}; converted within "
        f"{told['within_days']} days and won within {told['won_within_days']} days of their creation",
        *_notes(told),
        *(["*: some still have time and are not counted; -: all of them do"] if starred else []),
        "",
        *aligned([HEAD, *(_step(step) for step in told["cohorts"][0]["steps"] if step["step"] in steps)]),
        "",
        "of leads that have had their time, by period of creation:",
        *aligned([(*COHORT_HEAD, *steps[1:]), *(_line(one, steps) for one in told["cohorts"] if _is_period(one))]),
    ]
    for name in dict.fromkeys(one["group"] for one in told["cohorts"] if one["group"]):
        values = [one for one in told["cohorts"] if one["group"] == name and one["cohort_start"] is None]
        table = [(name, *COHORT_HEAD[1:], *steps[1:]), *(_line(one, steps) for one in values)]
        lines += ["", f"by {name}:", *aligned(table)]
    return "\n".join(lines)


def _seen(told: Mapping[str, Any]) -> list[str]:
    """Return the steps that some lead was seen in; where a company has no such step it tells nothing."""
    steps = told["cohorts"][0]["steps"]
    return [step["step"] for k, step in enumerate(steps) if k == 0 or step["skipped"] < step["reached"]]


def _notes(told: Mapping[str, Any]) -> list[str]:
    silent = told["days_silent"]
    if silent is None:
        return ["no lead was known by then"]
    if silent > STALE_DAYS:
        return [f"the newest step of a lead is {silent:.0f} days old: is the source up to date?"]
    return []


def _step(step: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (step["reached"], step["went_on"], step["stopped"], step["waiting"], step["young"])
    between = "-" if step["rate"] is None else f"{share(step['rate_low'])} to {share(step['rate_high'])}"
    shares = (share(step["rate"]), between, share(step["of_leads"]))
    return (step["step"], *map(str, counts), *shares, number(step["median_days"], 1))


def _line(cohort: Mapping[str, Any], steps: Sequence[str]) -> tuple[str, ...]:
    by_name = {step["step"]: step for step in cohort["steps"]}
    lead = by_name["lead"]
    name = cohort["cohort_start"] or cohort["value"]
    shares = (_judged(by_name[step], lead["reached"]) for step in steps[1:])
    return (name, str(lead["reached"]), str(lead["young"]), *shares)


def _judged(step: Mapping[str, Any], leads: int) -> str:
    """Return a share of leads that have had their time; a dash where none has, a star where some have not."""
    return "-" if step["of_leads"] is None else f"{step['of_leads']:.1%}{'*' if step['leads_judged'] < leads else ''}"


def _is_period(cohort: Mapping[str, Any]) -> bool:
    return cohort["group"] is None and cohort["cohort_start"] is not None


def _check(wanted: Wanted, groups: Sequence[str]) -> None:
    for name, option in OF_DEALS.items():
        if getattr(wanted, name) is not None:
            raise UsageError.at(option, "given for a config of leads", expected="a config of deals")
    if wanted.by is not None and wanted.by not in groups:
        raise UsageError.at("--by", repr(wanted.by), expected=" or ".join(groups) or "nothing: no field is declared")
    if wanted.out is not None:
        check_out(wanted.out)
