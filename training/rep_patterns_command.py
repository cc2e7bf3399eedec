"""What `forecastle rep-patterns` does: opt-in, it tells facts about reps' calls, without a score and without a rank."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from configs.errors import UsageError
from configs.flags import RepPatterns
from configs.schema import Config
from configs.writing import Cell, atomically, write_csv
from features.periods import EPOCH, instant_text
from features.rep_periods import RepPeriods, rep_periods
from models.rep_patterns import Pattern, RepFindings, find_patterns
from models.rep_words import EXPLANATIONS, TITLES, evidence, middle, not_told
from models.store import writable_folder
from training.commands import ingest_of
from training.metrics_command import facts_of

COLUMNS = ("rep_id", "pattern", "evidence", "plain_explanations")
TOO_LITTLE = "too_little_to_tell"
NOTICE = (
    "Facts to talk about, not a verdict: show them to the rep first. At most {q:.0%} of the patterns listed are "
    "chance, on average. Reps stand in order of id; nothing here ranks anybody."
)


def rep_patterns(config: Config, as_of: int, out: Path | None) -> dict[str, Any]:
    """Print the patterns as of an instant and write them where asked; return them.

    Raises UsageError where the config has not opted in, for a file of another kind and for an as-of outside the
    calendar; DataError where the source is refused, StateError where the file can't be written.
    """
    limits = config.flags.rep_patterns
    if not limits.enabled:
        raise UsageError.at(
            "flags.rep_patterns.enabled",
            "false",
            expected="true: patterns about reps are opt-in",
            remedy="read docs/rep-patterns.md, tell the reps, then set it in the config",
            code="not_opted_in",
        )
    if out is not None:
        _check_out(out)
    facts = rep_periods(facts_of(config, ingest_of(config)), as_of, limits.periods, limits.week, limits.push_days)
    found, noun = find_patterns(facts, limits), "period" if config.period.table else config.period.kind.value
    typer.echo("\n".join(_lines(found, facts, limits, noun, instant_text(as_of, config.time_zone))))
    listed = list(_rows(found, limits, noun))
    if out is not None:
        atomically(out, lambda half: write_csv(half, COLUMNS, listed))
        typer.echo(f"written: {out}")
    return _told(found, facts, listed, instant_text(as_of, config.time_zone))


def _check_out(out: Path) -> None:
    if out.suffix != ".csv" or out.is_dir():
        raise UsageError.at("--out", repr(out.name), expected="the name of a file that ends in .csv")
    writable_folder(out.parent, f"--out {out}", UsageError)


def _lines(found: RepFindings, facts: RepPeriods, limits: RepPatterns, noun: str, as_of: str) -> Iterator[str]:
    """Yield every pattern with its title, both mirror images also where one is empty, and what was left out."""
    yield f"as of {as_of}: {len(facts.first_days)} finished {noun}s{_since(facts)}; {found.reps} reps"
    yield NOTICE.format(q=limits.q)
    apart = middle(found)
    if apart is not None:
        yield apart
    for pattern, title in TITLES.items():
        tested = found.push_compared if pattern == Pattern.AFTER_QUOTA else found.compared
        yield f"\n{title}: {len(found.of(pattern)) or 'none'} of {tested} reps compared"
        for each in found.of(pattern):
            yield f"  {each.rep}: {evidence(each, limits, noun)}"
        if found.of(pattern):
            yield f"  plain explanations: {'; '.join(EXPLANATIONS[pattern])}"
    yield f"\ntoo little to tell: {len(found.too_little) or 'none'} of {found.reps} reps"
    for rep in found.too_little:
        yield f"  {rep.rep}: {not_told(rep, limits, noun)}"
    left = "".join(f"; {reason}: {count:,}" for reason, count in found.left_out.items() if count)
    yield f"{found.reps * len(facts.first_days):,} {noun}s of reps = {found.kept:,} compared + the rest left out{left}"


def _since(facts: RepPeriods) -> str:
    return f" since {_day(int(facts.first_days[0]))}" if len(facts.first_days) else ""


def _day(day: int) -> str:
    return (EPOCH.fromordinal(EPOCH.toordinal() + day)).isoformat()


def _rows(found: RepFindings, limits: RepPatterns, noun: str) -> Iterator[tuple[Cell, ...]]:
    for each in found.findings:
        yield each.rep, each.pattern.value, evidence(each, limits, noun), "; ".join(EXPLANATIONS[each.pattern])
    for rep in found.too_little:
        yield rep.rep, TOO_LITTLE, not_told(rep, limits, noun), None


def _told(found: RepFindings, facts: RepPeriods, listed: list[tuple[Cell, ...]], as_of: str) -> dict[str, Any]:
    return {
        "as_of": as_of,
        "periods": [_day(day) for day in facts.first_days.tolist()],
        "reps": found.reps,
        "compared": found.compared,
        "compared_after_quota": found.push_compared,
        "too_little": len(found.too_little),
        "rep_periods": {"in": found.reps * len(facts.first_days), "kept": found.kept, "left_out": dict(found.left_out)},
        "patterns": {pattern.value: len(found.of(pattern)) for pattern in Pattern},
        "middle_half": found.middle,
        "rows": [dict(zip(COLUMNS, row, strict=True)) for row in listed],
    }
