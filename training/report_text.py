"""A report as text: tables for the terminal, Markdown, and the sections that the page shows, of ready cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from configs.subject import DEALS, Subject
from models.baselines import STAGE_TIME
from models.close import FitNotes
from models.ladder import TREES_RUNG
from training.backtest import CLOSE, Comparison
from training.gates import Verdict
from training.groups import GroupFigures
from training.lead_section import lead_sections
from training.noise_floor import NoiseFloor
from training.report_data import Parts, Report, Slice
from training.sections import Section
from training.sections import interval as interval
from training.sections import number as number

HEAD = ("model", "log loss", "Brier", "AUC", "ECE", "sum p / sum y", "log loss gained by close [95 %]")
GROUP_HEAD = ("feature group", "features", "seconds", "gain of the trees", "log-odds", "log loss lost without [95 %]")
SLICE_HEAD = (
    "part",
    "rows",
    "won",
    "log loss",
    "log loss of stage x time",
    "Brier skill [95 %]",
    "sum p / sum y",
    "AUC [95 %]",
)
FULL_HEAD = (
    "model",
    "log loss",
    "log loss gained by close [95 %]",
    "close is",
    "p (Holm)",
    "Brier",
    "Brier skill [95 %]",
    "AUC",
    "ECE",
    "sum p / sum y",
    "slope",
    "intercept",
)
TOP_FACTORS = 20


def p_value(value: float) -> str:
    """Return a p-value as text; none is ever 0."""
    return "< 0.001" if value < 0.001 else number(value, ".3f")


def chosen_text(chosen: FitNotes, words: Subject = DEALS) -> str:
    """Say which rung of the ladder a fit stands on, what was chosen for it, and how wide the doubt is."""
    said = [f"rung {chosen.rung}"]
    if chosen.penalty:
        said.append(f"penalty of the ridge {chosen.penalty:g} rows")
    if chosen.rung == TREES_RUNG:
        members = ", ".join(f"{each.rounds} trees a seed at a share of {each.share:.2f}" for each in chosen.trust)
        calibration = f"intercept {chosen.calibration.intercept:+.3f}, slope {chosen.calibration.slope:.3f}"
        said += [members or "no trees", f"calibration {calibration}"]
    if chosen.doubt is not None:
        said.append(chosen.doubt.text(words))
    return "; ".join(said)


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


def _name(row: Comparison) -> str:
    return f"{row.name} (reference)" if row.reference else row.name


def _gained(row: Comparison) -> str:
    return interval(row.gain) + (f" by {row.against}" if row.against != CLOSE else "")


def _cells(row: Comparison) -> tuple[str, ...]:
    s = row.scores
    figures = (f"{s.log_loss:.4f}", f"{s.brier:.4f}", number(s.auc, ".4f"), f"{s.ece:.4f}", number(s.ratio, ".3f"))
    return (_name(row), *figures, _gained(row))


def _group_cells(row: GroupFigures) -> tuple[str, ...]:
    figures = (
        "" if np.isnan(value) else format(value, style)
        for value, style in ((row.seconds, ".2f"), (row.gain, ".1%"), (row.contribution, ".3f"))
    )
    return (row.name, str(row.features or ""), *figures, interval(row.lost))


# --- sections --------------------------------------------------------------------------------------------------------


def sections_of(report: Report) -> Iterator[Section]:
    """Yield every section of a report in the order of the page; `key` names what a chart belongs to."""
    yield _models(report)
    yield Section(
        "reliability",
        "What was said and what came",
        ("rows", "said", "came [95 %]"),
        tuple((f"{b.rows:,}", f"{b.said:.1%}", interval(b.came, ".1%")) for b in report.bins),
        (f"Rows in ten groups of equal size, from the least to the most likely to be {report.words.won}.",),
    )
    if report.floor is not None:
        yield _floor(report.floor, report)
    if report.leads is not None:
        yield from lead_sections(report.leads)
    aged = report.floor is None or not report.floor.weeks
    yield _slices("slices", "By age" if aged else "By period", report.slices, report.words)
    for part in report.parts:
        yield _parts(part, report.words)
    yield from report.sections
    if report.factors:
        yield _factors(report)
    if report.groups:
        cells = tuple(_group_cells(row) for row in report.groups)
        yield Section("groups", "What each feature group brings", GROUP_HEAD, cells, _ablated(report))
    if report.verdicts:
        yield gates(report.verdicts)
    yield Section("notes", "What the figures rest on", (), (), tuple(report.notes))
    yield Section("about", "Config and fingerprints", ("what", "value"), tuple(report.about.items()))


def _models(report: Report) -> Section:
    stands, words = {each.name: each for each in report.standings}, report.words
    rows = []
    for row in report.table:
        s, stand = row.scores, stands.get(row.name)
        stood = (stand.verdict, p_value(stand.adjusted)) if stand else ("", "")
        brier = (f"{s.brier:.4f}", interval(report.brier_skill.get(row.name), "+.1%"))
        figures = (number(s.auc, ".4f"), f"{s.ece:.4f}", number(s.ratio, ".3f"))
        line = (number(s.slope, ".3f"), number(s.intercept, "+.3f"))
        rows.append((_name(row), f"{s.log_loss:.4f}", _gained(row), *stood, *brier, *figures, *line))
    notes = (
        f"Log loss in nats a row and Brier score: less is better. Brier skill: share below {STAGE_TIME}. "
        "ECE: mean distance of what was said from what came. Slope 1 and intercept 0: calibrated.",
        f"Intervals come from draws of whole {words.many}, p-values from errors clustered by {words.one}; Holm's "
        "correction holds all comparisons with baselines together at 5 %.",
    )
    return Section("models", "The model beside every baseline", FULL_HEAD, tuple(rows), notes)


def _floor(floor: NoiseFloor, report: Report) -> Section:
    words = report.words
    ours = next(row.scores.log_loss for row in report.table if row.name == CLOSE)
    notes = (
        f"If every probability were the truth, log loss would be {floor.log_loss:.4f} on average; it is {ours:.4f} "
        f"(below that where fewer {words.many} than said were {words.won}).",
        f"Even an oracle that knows every {words.one}'s true probability misses, since what comes is chance. Mean "
        "errors over the tested periods, as shares of all that the period brought; a shared shock of "
        f"{floor.shock:g} in log-odds moves all {words.many} of a period together; {floor.draws:,} draws.",
    )
    head = ("week", "periods", "open deals", "wins: oracle", "wins: model", "bookings: oracle", "bookings: model")
    rows = tuple(
        (
            f"week {w.week}",
            str(w.periods),
            f"{w.deals:,.0f}",
            *(number(value, ".1%") for value in (w.wins, w.wins_ours, w.money, w.money_ours)),
        )
        for w in floor.weeks
    )
    return Section("floor", "Noise floor: what nobody could have known", head if rows else (), rows, notes)


def _slices(key: str, title: str, slices: Sequence[Slice], words: Subject, notes: tuple[str, ...] = ()) -> Section:
    head = tuple(words.won if cell == DEALS.won else cell for cell in SLICE_HEAD)
    return Section(key, title, head, tuple(_slice_cells(each) for each in slices), notes)


def _slice_cells(s: Slice) -> tuple[str, ...]:
    losses = (f"{s.log_loss:.4f}", f"{s.baseline_log_loss:.4f}")
    skill, auc = interval(s.brier_skill, "+.1%"), interval(s.auc, ".3f")
    return (s.name, f"{s.rows:,}", f"{s.wins:,} ({s.won_rate:.1%})", *losses, skill, number(s.ratio, ".3f"), auc)


def _parts(part: Parts, words: Subject) -> Section:
    notes = [part.note] if part.note else []
    if part.left_out:
        notes.append(f"{part.left_out:,} rows in parts too small to tell anything are left out.")
    return _slices(f"part.{part.key}", part.title, part.slices, words, tuple(notes))


def _factors(report: Report) -> Section:
    rows = tuple((f.name, str(f.features), f"{f.log_odds:.3f}") for f in report.factors[:TOP_FACTORS])
    notes = [
        "Mean size of each factor's term in the log-odds of the newest fold's model, on rows of its test: exact SHAP "
        "values, offset and trees together. They say what goes with a score, never what causes it.",
    ]
    if len(report.factors) > TOP_FACTORS:
        notes.append(f"The {TOP_FACTORS} largest of {len(report.factors)} factors; backtest.json has all.")
    return Section("factors", "What the model goes by", ("factor", "columns", "mean |log-odds|"), rows, tuple(notes))


def _ablated(report: Report) -> tuple[str, ...]:
    if any(row.lost is not None for row in report.groups):
        return ("Log loss lost: the whole backtest again without the group.",)
    return ("`--ablate` also runs the whole backtest again without each group.",)


def gates(verdicts: Sequence[Verdict]) -> Section:
    """Return the gates as a section."""
    rows = tuple((v.gate, _told(v), v.demand, v.word) for v in verdicts)
    return Section("gates", "Gates", ("gate", "value", "demand", "verdict"), rows)


def _told(verdict: Verdict) -> str:
    value = "" if verdict.value is None else number(verdict.value, "+.4f")
    if verdict.low is None or verdict.high is None:
        return value
    return f"{value} [{number(verdict.low, '+.4f')}, {number(verdict.high, '+.4f')}]"


# --- Markdown --------------------------------------------------------------------------------------------------------


def markdown(reports: Sequence[Report]) -> str:
    """Return the reports as one Markdown page."""
    out = ["# Backtest", ""]
    for report in reports:
        out += [f"## {report.title}", ""]
        if report.headline is not None:
            out += [report.headline.sentence, ""]
        for section in sections_of(report):
            out += [f"### {section.title}", ""]
            if section.rows:
                out += [_line(section.head), "|" + "---|" * len(section.head)]
                out += [*(_line(row) for row in section.rows), ""]
            out += [*(f"- {note}" for note in section.notes), *([""] if section.notes else [])]
    return "\n".join(out)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
