"""What `train` does: backtest, fit, judge, write everything down, then tell MLflow."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import typer

from configs.base import redacted
from configs.console import say
from configs.load import tuned_members
from configs.schema import Config
from configs.subject import Subject
from features.ingest import Ingest
from features.known import known_before
from models.bundle import Bundle, save
from models.close import Shared
from models.ladder import rung_text
from models.store import Store, writable_folder, write_pointer
from training import commands
from training.audit import audit, audit_verdicts
from training.audit_report import to_json as audit_json
from training.audit_rules import Audit
from training.backtest import CLOSE, Tested, untestable
from training.card import card_of
from training.card import markdown as card_page
from training.clustered import level
from training.commands import evaluate, title_of
from training.evaluate import scores
from training.extras import published_heads
from training.fingerprint import fingerprint, rows_by_table
from training.fit import fit_bundle
from training.gates import Verdict, at_most, cold_instead, cold_start, passed, verdict_table
from training.groups import group_figures, metrics_of
from training.history import current
from training.latency import explained_ms
from training.live import Live, against_live, find_live, rank_verdict
from training.prepare import Prepared, prepare
from training.provenance import code_tags, libraries, run_name
from training.report import Report, group_table, text_table
from training.runs import dumped, keep, new_name, write_text
from training.segments import segments_of
from training.sync import catch_up, tell_run, warn_if_down
from training.tracking import BUNDLE, LOCAL_RUN, DataRecord, RunRecord


@dataclass(frozen=True)
class Judged:
    """A fitted candidate and what was found. tested: None where no period could be tested. live: its SHA-256 or ""."""

    bundle: Bundle
    report: Report
    tested: Tested | None
    rounds: int
    live: str
    leaks: Audit


def train(config: Config, as_of: int | None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Backtest, fit on everything told before `as_of`, save the bundle, tell MLflow, register the candidate.

    overrides: those of the command line, kept with the run. MLflow is told last; where it is down the run ends well all
    the same and is logged by a later command.
    """
    tuned_members(config)  # a file that can't be read is told now, not after the features are built
    writable_folder(config.state_dir, f"state_dir {config.state_dir}")
    if not any(catch_up(config)):
        warn_if_down(config)
    ingest = commands.ingest_of(config)
    prepared = prepare(config, ingest, as_of)
    judged = judge_candidate(prepared, ingest)
    folder, bundle = _keep(judged.bundle, config.state_dir)
    judged = replace(judged, bundle=bundle)
    tags = _tags(bundle)
    name = new_name(config.state_dir, run_name(bundle.about.config_hash, tags))
    tags |= {LOCAL_RUN: name}
    report = judged.report.to_json()
    card = card_of(config, bundle, bundle.model.rung, report, ingest.report, tags, _segments(prepared, judged))
    told = {
        "run_id": name,
        "run_name": name,
        "model_version": bundle.version,
        "bundle_sha256": bundle.sha,
        "gates_passed": passed(judged.report.verdicts),
        "trained_as_of": _iso(bundle.about.trained_as_of),
        "rung": bundle.model.rung,
        "compared_with": judged.live,
        "config": config.model_dump(mode="json"),
        "report": report,
    }
    made_by = {
        "as_of": as_of,
        "trained_as_of": bundle.about.trained_as_of,
        "overrides": [redacted(each) for each in overrides],
        "source_path": _absolute(config),
        "config_hash": bundle.about.config_hash,
        "data_fingerprint": bundle.about.data_fingerprint,
        "threads": config.model.num_threads,
        "tags": tags,
        "libraries": libraries(),
    }
    known = known_before(ingest.tables, prepared.until)
    data = DataRecord(config.name, bundle.about.data_fingerprint, str(config.source.kind), rows_by_table(known))
    record = RunRecord(name, _params(config, bundle, judged.rounds), _metrics(judged.report), tags, data=data)
    leaks = audit_json(judged.leaks, prepared.left_out)
    files = {
        "report.json": dumped(report),
        "audit.json": dumped(leaks),
        "model_card.json": dumped(card),
        "model_card.md": card_page(card),
    }
    run = keep(config.state_dir, record, bundle.sha, made_by, config, files)
    _register(config.state_dir, told, files)
    run_id = tell_run(config, run)
    _print(judged, run_id or name, folder.with_suffix(".card.md"))
    return told | {"run_id": run_id or name, "tracked": run_id is not None}


def judge_candidate(prepared: Prepared, ingest: Ingest) -> Judged:
    """Backtest, fit on every row told by the cut and hold the candidate against all its gates."""
    config, shared, tested = prepared.config, Shared(), None
    if why := untestable(prepared):
        report = cold_report(title_of(config, config.training.eligibility), why)
    else:
        title = f"{config.name}: close model against baselines"
        report, tested = evaluate(prepared, title, shared, published_heads(prepared.config))
    say("fitting the candidate on every row told by the cut")
    data = fingerprint(known_before(ingest.tables, prepared.until))
    absent: list[str] = []
    choice = report.leads.value.choice if report.leads is not None else None
    bundle, notes = fit_bundle(prepared, data, shared, absent.append, untested=tested is None, choice=choice)
    for line in absent:
        say(line)
    report = replace(report, notes=[*report.notes, *absent])
    leaks = audit(prepared, ingest)
    if prepared.left_out:
        say(f"left out by the leak audit: {', '.join(prepared.left_out)}; `forecastle audit` says why")
    verdicts = [*report.verdicts, *audit_verdicts(leaks, prepared.left_out)]
    live = current(Store(config.state_dir / "bundles"))
    if tested is not None:
        lost = {row.name: row.lost for row in report.groups}
        report = replace(report, groups=group_figures(prepared, tested, bundle.model, lost))  # of what ships
    if live:
        verdicts += _against(live, bundle, prepared, tested, ingest)
    gate = "CPU time of one explained prediction, ms"
    verdicts.append(at_most(gate, explained_ms(bundle), config.gates.max_latency_ms))
    return Judged(bundle, replace(report, verdicts=verdicts), tested, notes.rounds, live, leaks)


def _against(live: str, bundle: Bundle, prepared: Prepared, tested: Tested | None, ingest: Ingest) -> list[Verdict]:
    """Return the verdicts against the model that is live; untested, the candidate may only not be of a lower rung."""
    store, gates = prepared.config.state_dir / "bundles", prepared.config.gates
    found = find_live(store / live, store / f"{live}.json")
    if not isinstance(found, Live):
        say(f"warning: {found}; the candidate is not compared with it")
        return []
    if tested is None:
        rungs = bundle.model.rung, found.bundle.model.rung
        return [cold_instead(*rungs)] if gates.not_worse_than_live is not None else []
    ranks = rank_verdict(gates, bundle, found, prepared, tested)
    return [*against_live(gates, found, prepared, tested, ingest, say), *ranks]


def cold_report(title: str, why: str) -> Report:
    """Return the report of a record in which no period can be tested, and why."""
    verdict = cold_start(why)
    return Report(title, [], float("nan"), [], [], [verdict.note], [verdict])


def _segments(prepared: Prepared, judged: Judged) -> list[dict[str, Any]]:
    """Return figures of each segment for the card."""
    gates, tested = prepared.config.gates.segments, judged.tested
    if gates is None or tested is None:
        return []
    rows = []
    for segment in segments_of(prepared, tested, gates.min_deals):
        part = tested.take(segment.mask)
        said = scores(part.y, part.p[CLOSE], part.deal)
        ratio = level(part.y, part.p[CLOSE], part.deal)
        rows.append(
            {
                "name": segment.name,
                "deals": said.deals,
                "rows": said.rows,
                "won_rate": said.won_rate,
                "log_loss": said.log_loss,
                "level": _plain(ratio.value),
                "level_low": _plain(ratio.low),
                "level_high": _plain(ratio.high),
            }
        )
    return rows


def _register(state_dir: Path, told: dict[str, Any], files: dict[str, str]) -> None:
    """Write what was told beside the candidate, and make it the newest one."""
    root, sha = state_dir / "candidates", told["bundle_sha256"]
    (root / "runs").mkdir(exist_ok=True)
    write_pointer(root / "runs" / told["run_name"], sha)
    write_text(root / f"{sha}.card.json", files["model_card.json"])
    write_text(root / f"{sha}.card.md", files["model_card.md"])
    write_text(root / f"{sha}.json", dumped(told))
    write_pointer(root / "CANDIDATE", sha)


def _print(judged: Judged, run_id: str, card: Path) -> None:
    report, about = judged.report, judged.bundle.about
    if judged.tested is not None:
        typer.echo(text_table(report))
        typer.echo("\n".join(report.notes))
        typer.echo(group_table(report))
    else:
        typer.echo(f"{report.title}\n*** {report.verdicts[0].line()} ***")
    typer.echo(shortened(report.verdicts))
    typer.echo(f"model card: {card}")
    model, version = judged.bundle.model, judged.bundle.version
    words = Subject.of(about.target)
    typer.echo(rung_text(model.rung, model.doubt, words))
    if judged.bundle.leads is not None:
        typer.echo(f"what leads are worth: {judged.bundle.leads.ships}, {judged.bundle.leads.why}")
    typer.echo(f"candidate {version}, run {run_id}, trained on {about.rows:,} rows of {about.deals:,} {words.many}")


def shortened(verdicts: Sequence[Verdict]) -> str:
    """Return the gates as lines; segments that passed are counted in one line, since there may be dozens."""
    calm = [v for v in verdicts if v.segment and v.passed]
    lines = verdict_table(v for v in verdicts if v not in calm)
    names = {v.gate.partition(": ")[0] for v in calm}
    return lines + (f"\npassed    {len(calm)} gates on {len(names)} segments (all are in the report)" if calm else "")


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


def _metrics(report: Report) -> dict[str, float]:
    """Return what MLflow shows as metrics: scores of every model, figures of the groups, and every gate's value."""
    told = {f"{row.name}.{key}": value for row in report.table for key, value in asdict(row.scores).items()}
    told |= metrics_of(report.groups)
    told |= {f"gate.{_key(v.gate)}": v.value for v in report.verdicts if v.value is not None and not v.segment}
    told |= {"gates.passed": float(passed(report.verdicts))}
    return {key: float(value) for key, value in told.items() if np.isfinite(value)}


def _key(gate: str) -> str:
    """Return a gate's name as MLflow takes it."""
    kept = "".join(c if c.isalnum() or c in "_-. " else " " for c in gate)
    return " ".join(kept.split()).replace(" ", "_")[:200]


def _tags(bundle: Bundle) -> dict[str, str]:
    return code_tags() | {
        BUNDLE: bundle.sha,
        "config.sha256": bundle.about.config_hash,
        "data.fingerprint": bundle.about.data_fingerprint,
        "as_of": _iso(bundle.about.trained_as_of),
        "rung": bundle.model.rung,
    }


def _absolute(config: Config) -> str | None:
    path = config.source.path
    return str(path.absolute()) if path is not None else None


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value


def _iso(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1_000_000, UTC).isoformat()
