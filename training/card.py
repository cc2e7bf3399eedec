"""The model card: what a model is for, what it rests on, how right it was and where it must not be trusted.

Made of what the run itself told (the report's JSON, the bundle's facts, the gates), so that no figure is typed by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from configs.schema import Config
from configs.subject import LEADS, Subject
from configs.vocab import Target, Unworked
from features.ingest import IngestReport
from models.bundle import About, Bundle
from training.gates import COLD, Verdict

FORMAT = 1
RUNGS = {
    "trees": "ridge logistic regression with small boosted trees on top: more than 400 {told}",
    "ridge": "ridge logistic regression: too few {told} for trees",
    "table": "a shrunken table of rates by stage and time left: fewer than 80 {told}, or no period to test on",
}
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
FOR_DEALS = "prioritising open deals and adding them up into a forecast"
FOR_LEADS = "deciding which leads to work first"
WORKED = " if it is worked (leads that nobody worked are in no row)"
NOT_FOR_LEADS = (
    "disqualifying leads without a person's decision: a low score says that leads like it seldom converted, and nobody "
    "knows what would come of those that are never worked",
    "reaching people who opted out: they are neither trained on nor scored",
    *(each.replace("deals", "leads") for each in NOT_FOR[1:]),
)
LIMITS_LEADS = (
    "It learnt from leads that were worked. If work has followed a score so far, low scores were seldom tried: keep a "
    "share of the work for leads drawn at random (leads.explore_share), or it can't learn where it is wrong.",
    *(each.replace("Deals of one period", "Leads of one season").replace("deals", "leads") for each in LIMITS),
)
FAIRNESS_LEADS = (
    "It looks at declared facts fixed at creation, at what the lead did and at what was done about it; never at names, "
    "mail addresses or phone numbers, nor at status, owner or conversion fields without a history. Scores must not be "
    "used on persons."
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
    about, words = bundle.about, Subject.of(bundle.about.target)
    leads = report.get("leads") is not None or words is LEADS
    told = {"leads": _leads_card(bundle, report)} if leads else {}
    return told | {
        "format": FORMAT,
        "model": {"name": about.name, "version": bundle.version, "bundle_sha256": bundle.sha, "run": tags["run.local"]},
        "intended_use": {
            "predicts": _predicts(config, about),
            "for": config.card.intended_use or (FOR_LEADS if leads else FOR_DEALS),
            "not_for": list(NOT_FOR_LEADS if leads else NOT_FOR),
            "fairness": FAIRNESS_LEADS if leads else FAIRNESS,
            "contact": config.card.contact,
        },
        "data": _data(about, ingest),
        "rung": {
            "name": rung,
            "is": RUNGS.get(rung, rung).format(told=words.told),
            "doubt": _doubt(report, words),
            "level": _level(bundle),
        },
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
        "limits": list(LIMITS_LEADS if leads else LIMITS),
        "words": {"many": words.many, "won": words.won},
        "notes": list(report["notes"]),
    }


def _predicts(config: Config, about: About) -> str:
    """Say what the probability is of."""
    if about.target == Target.CONVERTED:
        return (
            f"the probability that an open lead converts into an opportunity within {about.horizon_days} days of the "
            f"as-of instant{WORKED if config.leads.unworked is Unworked.EXCLUDE else ''}, and what it is then worth: "
            f"P(its deal is won within {config.leads.won_within_days} days) x E[amount | won]"
        )
    if about.target == Target.IN_PERIOD:
        return "the probability that an open deal is won by the end of the fiscal period that holds the as-of instant"
    return "the probability that an open deal is won in the end"


def _leads_card(bundle: Bundle, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the card says of leads alone: who is in no row, which way tells their worth, grades."""
    told = report.get("leads") or {}
    heads = bundle.leads
    return {
        "opted_out": told.get("opted_out"),
        "unworked_rows": told.get("unworked"),
        "unlinked_conversions": told.get("unlinked"),
        "ships": None if heads is None else heads.ships,
        "why": None if heads is None else heads.why,
        "grades": told.get("grades", []),
    }


def _leads_lines(told: Mapping[str, Any] | None) -> list[str]:
    if told is None:
        return []
    worth = f"{told['ships']}: {told['why']}." if told["ships"] else "too few deals were won to tell."
    grades = (
        (g["grade"], f"{g['rows']:,}", _pct(g["share"]), _pct(g["said"]), _pct(g["rate"]["value"]))
        for g in told["grades"]
    )
    return [
        "## Leads",
        "",
        f"Opted out, in no row: {_count(told['opted_out'])} leads. Never worked, left out: "
        f"{_count(told['unworked_rows'])} rows. Converted into a deal that is not in the record: "
        f"{_count(told['unlinked_conversions'])} leads, which tell nothing of wins.",
        "",
        f"What leads are worth: {worth}",
        "",
        *_table(("grade", "rows", "share", "said", "converted"), grades),
        "",
    ]


def _count(value: int | None) -> str:
    return "not counted" if value is None else f"{value:,}"


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
    return doubt.text(Subject.of(bundle.about.target)) if doubt is not None else ""


def _doubt(report: Mapping[str, Any], words: Subject) -> str:
    """Say in words how sure the comparison is."""
    if any(verdict["gate"] == COLD for verdict in report["verdicts"]):
        return f"{COLD}: nobody can say how right it is; take its order seriously, its figures with great care"
    sure = [row for row in report["table"] if row["gain"] is not None and row["gain"]["low"] is not None]
    if not sure:
        return "no intervals were drawn (backtest.bootstrap is 0)"
    deals = report["table"][0]["scores"]["deals"]
    widest = max(sure, key=lambda row: row["gain"]["high"] - row["gain"]["low"])
    half = (widest["gain"]["high"] - widest["gain"]["low"]) / 2
    return (
        f"from {deals:,} tested {words.many}; gains over baselines are known to within {half:.4f} nats a row or better"
    )


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
    use, data, rung, words = card["intended_use"], card["data"], card["rung"], card["words"]
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
        f"{data['rows']:,} rows of {data['deals']:,} {words['many']}, as-ofs from {data['from']} to {data['until']} "
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
        "Each row was fitted before what it was tested on. Gains: log loss that this model gains, [95 %] over "
        f"whole {words['many']}.",
        "",
        *_table(
            (
                "model",
                "rows",
                words["many"],
                "log loss",
                "Brier",
                "AUC",
                "ECE",
                "sum p / sum y",
                "gain of close [95 %]",
            ),
            (_metric_cells(row) for row in card["metrics"]),
        ),
        "",
        "### Parts of the test",
        "",
        *_table(("part", "rows", words["won"], "log loss", "AUC"), (_part_cells(part) for part in card["parts"])),
        "",
        "### Segments",
        "",
        *_table(
            ("segment", words["many"], "rows", words["won"], "log loss", "sum p / sum y"),
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
        *_leads_lines(card.get("leads")),
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
