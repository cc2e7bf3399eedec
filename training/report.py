"""What a backtest says: the table on the terminal, the same as Markdown and JSON, and what the figures rest on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.vocab import Target
from features.periods import DAY
from models.baselines import STAGE_TIME
from training.backtest import CLOSE, REFERENCES, Comparison, Tested, compare, skill
from training.evaluate import DealBootstrap, Interval, calibration_bins, scores
from training.gates import Verdict
from training.gates import verdict_table as verdict_table
from training.groups import GroupFigures
from training.prepare import Prepared
from training.rep_id import ONE_SEED

HEAD = ("model", "log loss", "Brier", "AUC", "ECE", "sum p / sum y", "log loss gained by close [95 %]")
GROUP_HEAD = ("feature group", "features", "seconds", "gain of the trees", "log-odds", "log loss lost without [95 %]")


@dataclass(frozen=True)
class Slice:
    """Scores of the close model and the strong baseline on part of the test rows."""

    name: str
    rows: int
    won_rate: float
    log_loss: float
    baseline_log_loss: float
    auc: Interval


@dataclass(frozen=True)
class Report:
    """One backtest, told. notes: what the figures rest on, in sentences. groups: what each feature group brings."""

    title: str
    table: list[Comparison]
    skill: float
    slices: list[Slice]
    bins: list[tuple[int, float, float]]
    notes: list[str]
    verdicts: list[Verdict]
    groups: list[GroupFigures] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; NaN becomes None."""
        told: dict[str, Any] = _plain(asdict(self))
        return told


def report_of(prepared: Prepared, tested: Tested, title: str, verdicts: list[Verdict]) -> Report:
    """Score a backtest: the table, slices by age or period, reliability."""
    config = prepared.config
    table = compare(tested, config.backtest.bootstrap, config.seed)
    slices = [
        _slice(name, tested.take(mask), config.backtest.bootstrap, config.seed)
        for name, mask in _parts(prepared, tested)
    ]
    return Report(
        title,
        table,
        skill(table),
        slices,
        calibration_bins(tested.y, tested.p[CLOSE]),
        _notes(prepared, tested),
        verdicts,
    )


def _parts(prepared: Prepared, tested: Tested) -> list[tuple[str, np.ndarray]]:
    if prepared.config.target == Target.IN_PERIOD:
        return [(fold.name, tested.fold == k) for k, fold in enumerate(tested.folds)]
    edges = prepared.frame.age_edges
    age = (tested.as_of - prepared.record.deals.known_at[tested.deal]) / DAY
    bucket = np.searchsorted(edges, age, side="right")
    names = [_age(a.total_seconds() / 86_400) for a in prepared.config.snapshots.ages] or [
        f"age bucket {k}" for k in range(len(edges) + 1)
    ]
    return [(name, bucket == k) for k, name in enumerate(names) if (bucket == k).any()]


def _age(days: float) -> str:
    return f"{days:g} d" if days >= 1 else f"{days * 1440:g} min"


def _slice(name: str, part: Tested, draws: int, seed: int) -> Slice:
    close = scores(part.y, part.p[CLOSE], part.deal)
    other = scores(part.y, part.p[STAGE_TIME], part.deal)
    auc = DealBootstrap.of(part.deal, draws, seed).auc(part.y, part.p[CLOSE])
    return Slice(name, close.rows, close.won_rate, close.log_loss, other.log_loss, auc)


def _notes(prepared: Prepared, tested: Tested) -> list[str]:
    config = prepared.config
    notes = [
        f"{len(tested.folds)} fold(s); {len(tested.y):,} test rows of {len(np.unique(tested.deal)):,} deals; "
        f"intervals from {config.backtest.bootstrap} draws of whole deals"
    ]
    for fold, chosen in zip(tested.folds, tested.notes, strict=True):
        rows = int(fold.train.sum())
        calibration = f"intercept {chosen.calibration.intercept:+.3f}, slope {chosen.calibration.slope:.3f}"
        notes.append(
            f"{fold.name}: trained on {rows:,} rows told before the cut, {chosen.rounds} trees a seed, "
            f"calibration {calibration}"
        )
    if any(name in REFERENCES for name in tested.p):
        notes.append(
            f"references are never shipped and no gate asks about them; {ONE_SEED} is the close model's first seed "
            "alone, and what is gained over the others is gained by it, since they have one seed too"
        )
    if config.target == Target.EVENTUAL:
        notes += _left_out(prepared, tested)
    return notes


def _left_out(prepared: Prepared, tested: Tested) -> list[str]:
    """Say how many deals of the test could not be judged: begun after the cut, still open at the record's end."""
    cut = tested.folds[0].cut
    created = np.asarray(prepared.record.deals.columns["created_at"], dtype=np.int64)
    outcome = prepared.record.timelines["history"]
    closed = np.zeros(len(created), dtype=bool)
    closed[outcome.entity[outcome.mask("closed")]] = True
    begun = created > cut
    never_open = begun & closed & ~np.isin(np.arange(len(created)), tested.deal)
    return [
        f"{int(begun.sum()):,} deals begun after the cut; {int((begun & ~closed).sum()):,} of them are unresolved "
        f"at the end of the record and left out; {int(never_open.sum()):,} closed before the first age, so that no row "
        "of them is tested",
        f"training labels: {prepared.config.training.eligibility}",
    ]


def text_table(report: Report) -> str:
    """Return the table as aligned text."""
    lines = _aligned([HEAD, *(_cells(row) for row in report.table)])
    return "\n".join([report.title, *lines, f"log loss {report.skill:.1%} below {STAGE_TIME}"])


def group_table(report: Report) -> str:
    """Return the feature groups as aligned text."""
    return "\n".join(_aligned([GROUP_HEAD, *(_group_cells(row) for row in report.groups)]))


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cells(row: Comparison) -> tuple[str, ...]:
    s = row.scores
    gained = _interval(row.gain) + (f" by {row.against}" if row.against != CLOSE else "")
    name = f"{row.name} (reference)" if row.reference else row.name
    return (name, f"{s.log_loss:.4f}", f"{s.brier:.4f}", f"{s.auc:.4f}", f"{s.ece:.4f}", f"{s.ratio:.3f}", gained)


def _group_cells(row: GroupFigures) -> tuple[str, ...]:
    figures = (
        "" if np.isnan(value) else format(value, style)
        for value, style in ((row.seconds, ".2f"), (row.gain, ".1%"), (row.contribution, ".3f"))
    )
    return (row.name, str(row.features or ""), *figures, _interval(row.lost))


def _interval(figure: Interval | None) -> str:
    return f"{figure.value:+.4f} [{figure.low:+.4f}, {figure.high:+.4f}]" if figure else ""


def markdown(reports: Sequence[Report]) -> str:
    """Return the reports as one Markdown page."""
    out = ["# Backtest", ""]
    for report in reports:
        out += [f"## {report.title}", "", "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
        out += ["| " + " | ".join(_cells(row)) + " |" for row in report.table]
        out += [
            "",
            f"Log loss {report.skill:.1%} below `{STAGE_TIME}`.",
            "",
            "| part | rows | won | log loss | stage x time | AUC [95 %] |",
            "|---|---|---|---|---|---|",
        ]
        out += [
            f"| {s.name} | {s.rows:,} | {s.won_rate:.1%} | {s.log_loss:.4f} | {s.baseline_log_loss:.4f} | "
            f"{s.auc.value:.3f} [{s.auc.low:.3f}, {s.auc.high:.3f}] |"
            for s in report.slices
        ]
        out += ["", "| rows | said | came |", "|---|---|---|"]
        out += [f"| {rows:,} | {said:.3f} | {came:.3f} |" for rows, said, came in report.bins]
        if report.groups:
            out += ["", "| " + " | ".join(GROUP_HEAD) + " |", "|" + "---|" * len(GROUP_HEAD)]
            out += ["| " + " | ".join(_group_cells(row)) + " |" for row in report.groups]
        out += ["", *(f"- {note}" for note in report.notes), ""]
        if report.verdicts:
            out += ["```", verdict_table(report.verdicts), "```", ""]
    return "\n".join(out)


def write(folder: Path, reports: Sequence[Report], tested: Tested, prepared: Prepared) -> None:
    """Write backtest.json, backtest.md and predictions.parquet (one row per tested row, every model's probability)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "backtest.json").write_text(json.dumps([r.to_json() for r in reports], indent=1, allow_nan=False) + "\n")
    (folder / "backtest.md").write_text(markdown(reports))
    frame = pd.DataFrame(
        {
            "deal_id": [prepared.record.deal_ids.decode(int(deal)) for deal in tested.deal],
            "as_of": pd.to_datetime(tested.as_of, unit="us", utc=True),
            "fold": [tested.folds[k].name for k in tested.fold],
            "won": tested.y.astype(np.int64),
            **{f"p_{name}": p for name, p in tested.p.items()},
        }
    )
    frame.to_parquet(folder / "predictions.parquet", index=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
