"""What the audit found, for people (an aligned table, Markdown) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.errors import UsageError
from training.audit_rules import Audit, Distance, Finding, Mark
from training.audit_stats import Ranking, Share

MOST_CLEAN = 10  # clean features told on the terminal; the file has all
HEAD = (
    "field",
    "source",
    "AUC alone",
    "filled before > after",
    "filled won / lost / open",
    "changed at close",
    "verdict",
)
SUFFIXES = (".md", ".json")


def text_table(audit: Audit) -> str:
    """Return the findings as an aligned table, what each mark is for, and the notes."""
    shown = _shown(audit)
    rows = [HEAD, *(_cells(f) for f in shown)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    more = len(audit.findings) - len(shown)
    if more:
        lines.append(f"and {more} more clean features; --out FILE.md or FILE.json has every field")
    return "\n".join([_facts(audit), *lines, *_signs(audit), *audit.notes, summary(audit)])


def markdown(audit: Audit) -> str:
    """Return every finding as Markdown, AUC by distance included."""
    table = [HEAD, tuple("---" for _ in HEAD), *(_cells(f) for f in audit.findings)]
    parts = [
        f"# Leak audit: {audit.title}",
        _facts(audit),
        "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in table),
        "\n".join(f"- {line}" for line in [*_signs(audit), *audit.notes]),
        summary(audit),
    ]
    days = [each.days for each in next((f.distances for f in audit.findings if f.distances), ())]
    if days:
        head = ("field", *(f"{each} days before" for each in days))
        far = [(f.field, *(_auc(each.alone) for each in f.distances)) for f in audit.findings if f.distances]
        rows = [head, tuple("---" for _ in head), *far]
        table_of = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
        parts += ["## AUC alone by distance to the close", table_of]
    return "\n\n".join(part for part in parts if part) + "\n"


def to_json(audit: Audit, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """Return plain dicts and lists; a figure that there is not is null."""
    return {
        "title": audit.title,
        **audit.facts,
        "quarantined": [f.field for f in audit.quarantined],
        "left_out": list(left_out),
        "findings": [_finding(f) for f in audit.findings],
        "notes": list(audit.notes),
    }


def write_audit(audit: Audit, out: Path, left_out: Sequence[str] = ()) -> None:
    """Write FILE.md or FILE.json. Raises UsageError for another suffix."""
    checked_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    text = markdown(audit) if out.suffix == ".md" else json.dumps(to_json(audit, left_out), indent=1, allow_nan=False)
    out.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")


def checked_out(out: Path) -> Path:
    """Return `out`. Raises UsageError where its suffix names no format."""
    if out.suffix not in SUFFIXES:
        raise UsageError.at("--out", str(out), expected=f"a file that ends in {' or '.join(SUFFIXES)}")
    return out


def summary(audit: Audit) -> str:
    """Return the last line: how many fields are in quarantine, and which."""
    bad = [f.field for f in audit.quarantined]
    warned = sum(f.mark == Mark.WARNING for f in audit.findings)
    told = f"{len(bad)} of {len(audit.findings)} fields quarantined{': ' if bad else ''}{', '.join(bad)}"
    return f"{told}; {warned} warnings"


def _shown(audit: Audit) -> list[Finding]:
    """Return every raw field and every feature with a sign, and the clean features that say most alone."""
    clean = [f for f in audit.findings if f.mark == Mark.CLEAN and f.source == "feature"]
    hidden = {f.field for f in clean[MOST_CLEAN:]}
    return [f for f in audit.findings if f.source != "feature" or f.field not in hidden]


def _facts(audit: Audit) -> str:
    return f"{audit.title}: " + ", ".join(
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name.replace('_', ' ')} {value}"
        for name, value in audit.facts.items()
    )


def _signs(audit: Audit) -> list[str]:
    lines = []
    for finding in audit.findings:
        for sign in finding.signs:
            lines.append(f"{sign.mark}: {finding.field} ({sign.rule}): {sign.says}")
        if finding.mark == Mark.QUARANTINED:
            lines[-1] += f". Remedy: {finding.remedy}"
    return lines


def _cells(finding: Finding) -> tuple[str, ...]:
    filled, changed = finding.filled, finding.changed
    by_time = f"{_rate(filled.before)} > {_rate(filled.after)}" if filled.before is not None else "-"
    by_outcome = " / ".join(_rate(each) for each in (filled.won, filled.lost, filled.open))
    moved = "-"
    if changed is not None:
        moved = f"{_rate(changed.won)} / {_rate(changed.lost)}, else {_rate(changed.ordinary)}"
    why = f" ({', '.join(dict.fromkeys(sign.rule for sign in finding.signs))})" if finding.signs else ""
    return (finding.field, finding.source, _auc(finding.alone), by_time, by_outcome, moved, f"{finding.mark}{why}")


def _auc(told: Ranking | None) -> str:
    return f"{told.auc:.3f} [{told.low:.3f}, {told.high:.3f}]" if told is not None else "-"


def _rate(told: Share | None) -> str:
    return f"{told.rate:.1%}" if told is not None and told.of else "-"


def _finding(finding: Finding) -> dict[str, Any]:
    filled, changed = finding.filled, finding.changed
    return {
        "field": finding.field,
        "source": finding.source,
        "kind": finding.kind,
        "mark": str(finding.mark),
        "usable": finding.usable,
        "remedy": finding.remedy,
        "alone": _ranking(finding.alone),
        "filled": {name: _share(getattr(filled, name)) for name in ("won", "lost", "open", "before", "after")},
        "changed_at_close": {name: _share(getattr(changed, name)) for name in ("won", "lost", "ordinary")}
        if changed is not None
        else None,
        "signs": [{"rule": s.rule, "mark": str(s.mark), "says": s.says} for s in finding.signs],
        "distances": [_distance(each) for each in finding.distances],
    }


def _distance(each: Distance) -> dict[str, Any]:
    return {"days": each.days, "alone": _ranking(each.alone), "won": _share(each.won), "lost": _share(each.lost)}


def _ranking(told: Ranking | None) -> dict[str, float] | None:
    return vars(told).copy() if told is not None else None


def _share(told: Share | None) -> float | None:
    return told.rate if told is not None and told.of else None
