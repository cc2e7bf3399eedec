"""The model card: what a model is for, what it rests on, how right it was and where it must not be trusted.

Made of what the run itself told (the report's JSON, the bundle's facts, the gates), so that no figure is typed by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from configs.schema import Config
from features.ingest import IngestReport
from models.bundle import About, Bundle
from training.gates import COLD, Verdict

FORMAT = 1
RUNGS = {
    "trees": "ridge logistic regression with small boosted trees on top: more than 400 closed deals",
    "ridge": "ridge logistic regression: too few closed deals for trees",
    "table": "a shrunken table of rates by stage and time left: fewer than 80 closed deals, or no period to test on",
}
IN_PERIOD = "the probability that an open deal is won by the end of the fiscal period that holds the as-of instant"
EVENTUAL = "the probability that an open deal is won in the end"
NOT_FOR = (
    "judging, ranking, paying or dismissing people: it scores deals, and what it says of a deal is no measure of who "
    "works on it",
    "deciding about a buyer as a person, such as credit or access",
    "causes: a factor goes with a score, nothing says that changing it changes the outcome",
    "deals of another company, another sales process or another clock than those it was trained on",
    "as-ofs before the end of its training data, which it has seen",
)
LIMITS = (
    "Deals of one period share its shocks; the intervals here count deals, not periods, so a single odd period can lie "
    "outside them.",
    "What the CRM never recorded, or recorded late, is not known to it.",
    "Small segments are not tested one by one; the table of segments names those that are.",
)
FAIRNESS = (
    "It looks at deals, accounts and what was done; at sellers only through the rates and habits of their past deals; "
    "at contacts only through counts by declared role and seniority. No other attribute of a person is used unless "
    "the mapping declares one: do not. Scores must not be used on persons."
)


def card_of(
    config: Config,
    bundle: Bundle,
    rung: str,
    report: Mapping[str, Any],
    ingest: IngestReport,
    tags: Mapping[str, str],
    segments: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the card as plain JSON. report: `Report.to_json()`; segments: figures of parts."""
    about = bundle.about
    return {
        "format": FORMAT,
        "model": {"name": about.name, "version": bundle.version, "bundle_sha256": bundle.sha, "run": tags["run.local"]},
        "intended_use": {
            "predicts": IN_PERIOD if about.target == "in_period" else EVENTUAL,
            "for": config.card.intended_use or "prioritising open deals and adding them up into a forecast",
            "not_for": list(NOT_FOR),
            "fairness": FAIRNESS,
            "contact": config.card.contact,
        },
        "data": _data(about, ingest),
        "rung": {"name": rung, "is": RUNGS.get(rung, rung), "doubt": _doubt(report), "level": _level(bundle)},
        "metrics": [_metrics(row) for row in report["table"]],
        "parts": report["slices"],
        "segments": [dict(segment) for segment in segments],
        "calibration": {"bins": report["bins"], "gates": [v for v in report["verdicts"] if _calibration(v)]},
        "gates": list(report["verdicts"]),
        "leak_audit": _leaks(report["verdicts"]),
        "factors": _factors(report),
        "fingerprints": {
            "config.sha256": about.config_hash,
            "data.fingerprint": about.data_fingerprint,
            "features": about.plan_fingerprint,
            **{key: tags[key] for key in ("code.version", "git.sha", "git.dirty", "lock.sha256") if key in tags},
        },
        "limits": list(LIMITS),
        "notes": list(report["notes"]),
    }


def _data(about: About, ingest: IngestReport) -> dict[str, Any]:
    return {
        "from": _iso(about.first_as_of),
        "until": _iso(about.trained_as_of),
        "rows": about.rows,
        "deals": about.deals,
        "time_zone": about.time_zone,
        "excluded": [
            {"table": table.table, "reason": refusal.reason, "rows": refusal.rows}
            for table in ingest.tables
            for refusal in table.refused
        ],
        "tables": {table.table: table.rows_kept for table in ingest.tables},
    }


def _level(bundle: Bundle) -> str:
    """Say how far wins may lie from what the scores add up to, "" where that was not told."""
    doubt = bundle.model.doubt
    return doubt.text() if doubt is not None else ""


def _doubt(report: Mapping[str, Any]) -> str:
    """Say in words how sure the comparison is."""
    if any(verdict["gate"] == COLD for verdict in report["verdicts"]):
        return f"{COLD}: nobody can say how right it is; take its order seriously, its figures with great care"
    sure = [row for row in report["table"] if row["gain"] is not None and row["gain"]["low"] is not None]
    if not sure:
        return "no intervals were drawn (backtest.bootstrap is 0)"
    deals = report["table"][0]["scores"]["deals"]
    widest = max(sure, key=lambda row: row["gain"]["high"] - row["gain"]["low"])
    half = (widest["gain"]["high"] - widest["gain"]["low"]) / 2
    return f"from {deals:,} tested deals; gains over baselines are known to within {half:.4f} nats a row or better"


def _metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": row["name"], **row["scores"], "close_gains": row["gain"], "reference": row.get("reference", False)}


def _calibration(verdict: Mapping[str, Any]) -> bool:
    return verdict["gate"] in ("calibration slope", "sum p / sum y")


def _leaks(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = [verdict for verdict in verdicts if "quarantine" in verdict["gate"]]
    if not found:
        return {"audited": False, "says": "this run was not audited for leaks: run `forecastle audit`"}
    clean = all(verdict["passed"] for verdict in found)
    says = "; ".join(verdict["note"] or "no field is in quarantine" for verdict in found)
    return {"audited": True, "clean": clean, "says": says}


def _factors(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    groups = report.get("groups") or ()
    rows = [{"factor": g["name"], "features": g["features"], "log_odds": g["contribution"]} for g in groups]
    return sorted(rows, key=lambda row: -(row["log_odds"] or 0.0))


def markdown(card: Mapping[str, Any]) -> str:
    """Return the card as a Markdown page."""
    use, data, rung = card["intended_use"], card["data"], card["rung"]
    lines = [
        f"# Model card: {card['model']['version']}",
        "",
        f"Predicts {use['predicts']}. Used for {use['for']}. Contact: {use['contact'] or 'none named (card.contact)'}.",
        "",
        "## Not for",
        "",
        *(f"- {each}" for each in use["not_for"]),
        "",
        use["fairness"],
        "",
        "## Data",
        "",
        f"{data['rows']:,} rows of {data['deals']:,} deals, as-ofs from {data['from']} to {data['until']} "
        f"({data['time_zone']}); nothing known at or after the latter was seen.",
        "",
        *_excluded(data["excluded"]),
        "",
        "## Rung and doubt",
        "",
        f"**{rung['name']}**: {rung['is']}. Doubt: {rung['doubt']}."
        + (f" Its level: {rung['level']}." if rung["level"] else ""),
        "",
        "## How right it was",
        "",
        "Each row was fitted before the period it was tested on. Gains: log loss that this model gains, [95 %] over "
        "whole deals.",
        "",
        *_table(
            ("model", "rows", "deals", "log loss", "Brier", "AUC", "ECE", "sum p / sum y", "gain of close [95 %]"),
            (_metric_cells(row) for row in card["metrics"]),
        ),
        "",
        "### Parts of the test",
        "",
        *_table(("part", "rows", "won", "log loss", "AUC"), (_part_cells(part) for part in card["parts"])),
        "",
        "### Segments",
        "",
        *_table(
            ("segment", "deals", "rows", "won", "log loss", "sum p / sum y"),
            (
                (s["name"], f"{s['deals']:,}", f"{s['rows']:,}", _pct(s["won_rate"]), _n(s["log_loss"]), _n(s["level"]))
                for s in card["segments"]
            ),
        ),
        "",
        "### Calibration",
        "",
        *_table(("rows", "said", "came"), ((f"{r:,}", _n(s), _n(c)) for r, s, c in _bins(card["calibration"]["bins"]))),
        "",
        "## Gates",
        "",
        "```",
        *(Verdict.of(verdict).line() for verdict in card["gates"]),
        "```",
        "",
        f"Leak audit: {card['leak_audit']['says']}.",
        "",
        "## Factors",
        "",
        "Mean size of each group's term in the log-odds.",
        "",
        *_table(
            ("group", "features", "log-odds"),
            ((f["factor"], str(f["features"]), _n(f["log_odds"])) for f in card["factors"]),
        ),
        "",
        "## Fingerprints",
        "",
        *(f"- {name}: `{value}`" for name, value in card["fingerprints"].items()),
        "",
        "## Known limits",
        "",
        *(f"- {each}" for each in (*card["limits"], *card["notes"])),
    ]
    return "\n".join(lines) + "\n"


def _excluded(excluded: Sequence[Mapping[str, Any]]) -> list[str]:
    if not excluded:
        return ["No row was refused."]
    return ["Refused rows:", "", *(f"- {e['table']}: {e['reason']}: {e['rows']:,}" for e in excluded)]


def _metric_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    gain = row["close_gains"]
    told = f"{_n(gain['value'], '+.4f')} [{_n(gain['low'])}, {_n(gain['high'])}]" if gain else ""
    name = f"{row['model']} (reference)" if row["reference"] else row["model"]
    figures = (_n(row[key]) for key in ("log_loss", "brier", "auc", "ece", "ratio"))
    return (name, f"{row['rows']:,}", f"{row['deals']:,}", *figures, told)


def _part_cells(part: Mapping[str, Any]) -> tuple[str, ...]:
    auc = part.get("auc")
    value = auc.get("value") if isinstance(auc, Mapping) else auc
    return (str(part["name"]), f"{part['rows']:,}", _pct(part.get("won_rate")), _n(part.get("log_loss")), _n(value))


def _bins(bins: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, float, float]]:
    for each in bins:
        yield each["rows"], each["said"], each["came"]["value"]


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Any) -> list[str]:
    body = ["| " + " | ".join(row) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body] if body else ["None."]


def _n(value: float | None, style: str = ".4f") -> str:
    return "" if value is None else format(value, style)


def _pct(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _iso(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1_000_000, UTC).isoformat()
