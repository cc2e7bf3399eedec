"""What `train`, `backtest` and `promote` do, as plain functions; `training.cli` only reads arguments and prints."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import typer

from configs.console import say
from configs.errors import BundleDamagedError, GateRefused, UsageError
from configs.schema import Config
from configs.vocab import Ablation, Eligibility, Target
from features.asof import known_before
from features.ingest import Ingest
from features.sources.base import open_source
from features.stages import LOST, WON
from models.bundle import Bundle, save
from models.close import Shared
from models.ladder import rung_text
from models.store import Store, bundle_folder, writable_folder, write_pointer
from training.backtest import Tested, run_backtest
from training.fit import fingerprint, fit_bundle
from training.gates import judge, passed
from training.groups import group_figures, metrics_of, without_groups
from training.prepare import Prepared, prepare, relabelled
from training.report import Report, group_table, report_of, text_table, verdict_table, write
from training.tracking import RunRecord, Tracker


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


def evaluate(prepared: Prepared, title: str, shared: Shared | None = None) -> tuple[Report, Tested]:
    """Backtest what was prepared, hold it against the gates, and say what each feature group brings."""
    config = prepared.config
    tested = run_backtest(prepared, say, shared)
    report = report_of(prepared, tested, title, [])
    verdicts = judge(
        config.gates, report.table, tested.y, tested.p, tested.deal, config.backtest.bootstrap, config.seed
    )
    lost = without_groups(prepared, tested, say) if Ablation.GROUPS in config.backtest.ablations else {}
    groups = group_figures(prepared, tested, tested.newest, lost) if tested.newest is not None else []
    return replace(report, verdicts=verdicts, groups=groups), tested


def train(config: Config, as_of: int | None) -> dict[str, Any]:
    """Backtest, fit on everything told before `as_of`, save the bundle, tell MLflow, register the candidate."""
    writable_folder(config.state_dir, f"state_dir {config.state_dir}")
    Tracker(config.state_dir, config.name).check()
    ingest = ingest_of(config)
    prepared = prepare(config, ingest, as_of)
    shared = Shared()
    report, tested = evaluate(prepared, f"{config.name}: close model against baselines", shared)
    say("fitting the candidate on every row told by the cut")
    bundle, notes = fit_bundle(prepared, fingerprint(known_before(ingest.tables, prepared.until)), shared, say)
    folder, bundle = _keep(bundle, config.state_dir)
    lost = {row.name: row.lost for row in report.groups}
    report = replace(report, groups=group_figures(prepared, tested, bundle.model, lost))  # of what ships
    metrics = {f"{row.name}.{key}": value for row in report.table for key, value in asdict(row.scores).items()}
    metrics |= metrics_of(report.groups)
    documents = {"report.json": report.to_json(), "config.json": config.model_dump(mode="json")}
    record = RunRecord(
        run_name=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{bundle.about.config_hash[:8]}",
        params=_params(config, bundle, notes.rounds),
        metrics={key: float(value) for key, value in metrics.items() if value == value},
        tags=_tags(bundle),
        documents=documents,
    )
    run_id = Tracker(config.state_dir, config.name).log(record, bundle, folder)
    root = config.state_dir / "candidates"
    (root / "runs").mkdir(exist_ok=True)
    write_pointer(root / "runs" / run_id, bundle.sha)
    told = {
        "run_id": run_id,
        "model_version": bundle.version,
        "bundle_sha256": bundle.sha,
        "rung": notes.rung,
        "gates_passed": passed(report.verdicts),
        "trained_as_of": _iso(bundle.about.trained_as_of),
        "report": report.to_json(),
    }
    _write_json(root / f"{bundle.sha}.json", told)
    write_pointer(root / "CANDIDATE", bundle.sha)
    typer.echo(text_table(report))
    typer.echo("\n".join(report.notes))
    typer.echo(group_table(report))
    typer.echo(verdict_table(report.verdicts))
    about = bundle.about
    typer.echo(rung_text(notes.rung, notes.doubt))
    typer.echo(f"candidate {bundle.version}, run {run_id}, trained on {about.rows:,} rows of {about.deals:,} deals")
    return told


def backtest(config: Config, out: Path) -> dict[str, Any]:
    """Walk forward and write the report; an `eventual` head is shown with both kinds of training labels."""
    writable_folder(out, f"--out {out}", UsageError)
    prepared = prepare(config, ingest_of(config))
    report, tested = evaluate(prepared, _title(config, config.training.eligibility))
    reports = [report]
    if config.target == Target.EVENTUAL:
        other = Eligibility.HORIZON if config.training.eligibility == Eligibility.RESOLVED else Eligibility.RESOLVED
        reports.append(evaluate(relabelled(prepared, other), _title(config, other))[0])
    write(out, reports, tested, prepared)
    for each in reports:
        typer.echo(text_table(each))
        typer.echo("\n".join(each.notes))
        typer.echo(group_table(each) + "\n")
    typer.echo(f"written: {out / 'backtest.md'}, backtest.json, predictions.parquet")
    return {"out": str(out), "reports": [each.to_json() for each in reports]}


def promote(config: Config) -> dict[str, Any]:
    """Publish the candidate for serving, if it passed its gates; raises GateRefused with the table where it did not."""
    folder = bundle_folder(config.state_dir, "candidate")
    told = _report_of(folder)
    verdicts = told["report"]["verdicts"]
    if not told["gates_passed"]:
        lines = [f"{v['gate']}: {v['value']}, must exceed {v['threshold']}" for v in verdicts if not v["passed"]]
        raise GateRefused(
            f"{told['model_version']} is not promoted: "
            + "; ".join(lines)
            + ". It says no more than the baseline does; "
            "look at the table of `forecastle train`, add signal or history, and train again"
        )
    store = Store(config.state_dir / "bundles")
    sha = store.publish(folder)
    version = Tracker(config.state_dir, config.name).go_live(sha)
    store.point(sha)
    typer.echo(f"live: {told['model_version']} (version {version} in the registry)")
    return {"live": told["model_version"], "bundle_sha256": sha, "registry_version": version}


def _report_of(folder: Path) -> dict[str, Any]:
    """Return what `train` told of a candidate; raises BundleDamagedError where that is missing or another's."""
    path = folder.parent / f"{folder.name}.json"
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        shown = all({"gate", "value", "threshold", "passed"} <= each.keys() for each in told["report"]["verdicts"])
        types = isinstance(told["gates_passed"], bool) and isinstance(told["model_version"], str)
        good = shown and types and told["bundle_sha256"] == folder.name
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleDamagedError(f"{path}: no report of a candidate ({type(error).__name__}); train again") from error
    if not good:
        raise BundleDamagedError(f"{path}: not the report of this candidate; train again")
    return told


def _title(config: Config, eligibility: Eligibility) -> str:
    if config.target == Target.IN_PERIOD:
        return f"{config.name}: last {config.backtest.test_periods} complete periods, one fit before each"
    days = config.training.horizon_days or config.horizon_days
    told = (
        "deals resolved before the cut"
        if eligibility == Eligibility.RESOLVED
        else f"rows whose {days} days ended before the cut"
    )
    return f"{config.name}: trained on {told}"


def _keep(bundle: Bundle, state_dir: Path) -> tuple[Path, Bundle]:
    """Write the bundle into the candidates, under its own digest; a reader never sees half of it."""
    root = state_dir / "candidates"
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".half-") as half:
        sha = save(bundle, Path(half) / "bundle")
        folder = root / sha
        if folder.exists():
            shutil.rmtree(folder)
        (Path(half) / "bundle").rename(folder)
    return folder, replace(bundle, sha=sha)


def _write_json(path: Path, value: object) -> None:
    half = path.with_suffix(".half")
    half.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
    half.replace(path)


def _params(config: Config, bundle: Bundle, rounds: int) -> dict[str, str]:
    told = {f"model.{key}": str(value) for key, value in config.model.model_dump(mode="json").items()}
    return told | {
        "seed": str(config.seed),
        "target": str(config.target),
        "rounds": str(rounds),
        "features": str(len(bundle.plan.names)),
        "rows": str(bundle.about.rows),
        "deals": str(bundle.about.deals),
    }


def _tags(bundle: Bundle) -> dict[str, str]:
    told = {
        "bundle.sha256": bundle.sha,
        "config.sha256": bundle.about.config_hash,
        "data.fingerprint": bundle.about.data_fingerprint,
        "as_of": _iso(bundle.about.trained_as_of),
    }
    git = shutil.which("git")
    if git:
        done = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603
        told |= {"git.sha": done.stdout.strip()} if done.returncode == 0 else {}
    return told


def _iso(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1_000_000, UTC).isoformat()
