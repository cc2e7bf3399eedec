"""What `readiness` and `backtest` do, as plain functions, and what `train` shares with them: see `train_command`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

from configs.console import say
from configs.errors import UsageError
from configs.load import tuned_members
from configs.schema import Config
from configs.vocab import Ablation, Eligibility, Target
from features.ingest import Ingest
from features.known import known_before
from features.sources.base import open_source
from features.stages import LOST, WON
from models.close import Shared
from models.ladder import TREES_RUNG
from models.store import writable_folder
from training.backtest import Keep, Tested, run_backtest
from training.bookings_told import bookings_told
from training.extras import NO_HEADS, Heads, heads_of
from training.fingerprint import fingerprint
from training.gates import judge
from training.groups import group_figures, without_groups
from training.prepare import Prepared, prepare, relabelled
from training.report import Report, group_table, page_possible, report_of, text_table, write
from training.segments import segments_of
from training.walk import Walk


def ingest_of(config: Config) -> Ingest:
    """Read the config's source and tell what came of it."""
    ingest = open_source(config).read()
    for table in ingest.report.tables:
        say(
            f"{table.table}: {table.rows_in:,} rows in = {table.rows_kept:,} kept + {table.rows_refused:,} refused"
            + "".join(f"; {refusal.reason}: {refusal.rows:,}" for refusal in table.refused)
        )
    for notice in ingest.report.notices:
        counted = f" ({notice.rows:,} rows)" if notice.rows else ""  # of a column or a file there is nothing to count
        say(f"{notice.table}: {notice.message}{counted}")
    return ingest


def readiness(config: Config) -> dict[str, Any]:
    """Read the source as training would and say what it is fit for; raises the DataError that training would."""
    ingest = ingest_of(config)
    tables = ingest.tables
    outcome = ingest.stages.outcomes(tables.deal_history.coded("stage").values)
    codes = tables.deal_history.coded("stage").codes
    deal = tables.deal_history.coded("deal_id").codes
    closed = {
        name: len(np.unique(deal[(codes >= 0) & (outcome[codes] == kind)]))
        for name, kind in (("won", WON), ("lost", LOST))
    }
    typer.echo(f"{tables.deals.n:,} deals; {closed['won']:,} were won, {closed['lost']:,} lost at some time")
    for name in ("amount", "close_date", "forecast_category", "owner_id", "next_step_set"):
        if not tables.deal_history.has(name):
            typer.echo(f"deal_history has no {name}: features of it stay empty")
    for name in ("activities", "contacts", "accounts", "reps"):
        if not tables[name].n:
            typer.echo(f"no {name}: features of them stay empty")
    return {"report": ingest.report.to_json(), "deals": tables.deals.n, **closed}


def evaluate(
    prepared: Prepared, title: str, shared: Shared | None = None, heads: Heads = NO_HEADS, keep: Keep | None = None
) -> tuple[Report, Tested]:
    """Backtest what was prepared, hold it against the gates, and say what each feature group brings.

    heads: others that walk along, each with the sections that tell what it is worth. keep: where folds are kept.
    """
    config = prepared.config
    extras, tables = (
        {name: head.extra for name, head in heads.items() if head.own_rows == own} for own in (False, True)
    )
    tested = run_backtest(prepared, say, shared, extras=extras, keep=keep, tables=tables)
    sections = [section for head in heads.values() for section in head.sections(prepared, tested)]
    report = report_of(prepared, tested, title, [], sections)
    report = replace(report, bookings=bookings_told(prepared, tested, report.floor))
    verdicts = judge(
        config.gates,
        report.table,
        tested.y,
        tested.p,
        tested.deal,
        config.backtest.bootstrap,
        config.seed,
        rung=tested.newest.rung if tested.newest is not None else TREES_RUNG,
        segments=segments_of(prepared, tested, config.gates.segments.min_deals) if config.gates.segments else (),
    )
    lost = without_groups(prepared, tested, say, keep) if Ablation.GROUPS in config.backtest.ablations else {}
    groups = group_figures(prepared, tested, tested.newest, lost) if tested.newest is not None else []
    return replace(report, verdicts=verdicts, groups=groups), tested


def backtest(config: Config, out: Path) -> dict[str, Any]:
    """Walk forward and write the report; an `eventual` head is shown with both kinds of training labels."""
    tuned_members(config)
    writable_folder(out, f"--out {out}", UsageError)
    ingest = ingest_of(config)
    prepared = prepare(config, ingest)
    keep = Keep(Walk.under(out, say), fingerprint(known_before(ingest.tables, prepared.until)))
    title = title_of(config, config.training.eligibility)
    report, tested = evaluate(prepared, title, heads=heads_of(config), keep=keep)
    reports = [report]
    if config.target == Target.EVENTUAL:
        other = Eligibility.HORIZON if config.training.eligibility == Eligibility.RESOLVED else Eligibility.RESOLVED
        again = relabelled(prepared, other)
        reports.append(evaluate(again, title_of(config, other), heads=heads_of(config), keep=keep)[0])
    write(out, reports, tested, prepared)
    keep.walk.prune()
    for each in reports:
        typer.echo(text_table(each))
        typer.echo("\n".join(each.notes))
        typer.echo(group_table(each) + "\n")
    if not page_possible():
        say("no backtest.html: it needs jinja2 and matplotlib (pip install 'forecastle[report]')")
    page = "backtest.html, " if page_possible() else ""
    typer.echo(f"written: {out}: {page}backtest.json, backtest.md, predictions.parquet")
    return {"out": str(out), "reports": [each.to_json() for each in reports]}


def title_of(config: Config, eligibility: Eligibility) -> str:
    """Return the title of a backtest."""
    if config.target == Target.IN_PERIOD:
        return f"{config.name}: last {config.backtest.test_periods} complete periods, one fit before each"
    if config.target == Target.CONVERTED:
        return f"{config.name}: leads that convert within {config.leads.within_days} days, tested on later leads"
    days = config.training.horizon_days or config.horizon_days
    told = (
        "deals resolved before the cut"
        if eligibility == Eligibility.RESOLVED
        else f"rows whose {days} days ended before the cut"
    )
    return f"{config.name}: trained on {told}"
