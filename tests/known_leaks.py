"""The list of known leaks, the sets it is about as the audit takes them, and the page that is made of it.

``python -m tests.known_leaks`` writes docs/leaks.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from configs.load import load_config
from features.sources.base import open_source
from tests.companies import ROOT, third_party
from training.audit import audit
from training.audit_commands import flat_frame
from training.audit_rules import Audit
from training.audit_table import Flat, audit_table
from training.prepare import prepare

LIST = ROOT / "tests" / "data" / "known_leaks.yaml"
PAGE = ROOT / "docs" / "leaks.md"
BEGIN, END = "<!-- generated:known-leaks -->", "<!-- /generated:known-leaks -->"


@dataclass(frozen=True)
class Leak:
    """One entry of the list. detectable: true, false or suspect, as text."""

    set: str
    field: str
    detectable: str
    rule: str
    why: str


def listed() -> dict[str, dict[str, Any]]:
    """Return the sets of the list by name."""
    sets: dict[str, dict[str, Any]] = yaml.safe_load(LIST.read_text())["sets"]
    return sets


def leaks(name: str) -> list[Leak]:
    """Return the leaks of one set."""
    return [
        Leak(name, e["field"], str(e["detectable"]).lower(), e.get("rule", ""), e["why"])
        for e in listed()[name]["leaks"]
    ]


def hotel(_: Path) -> Audit:
    frame = flat_frame(third_party("hotel_bookings/hotel_bookings.csv.gz"))
    return audit_table(frame, Flat("is_canceled", "1"))


def maven(_: Path) -> Audit:
    frame = flat_frame(third_party("maven_crm/sales_pipeline.csv.gz"))
    return audit_table(frame, Flat("deal_stage", "Won", open=("Prospecting", "Engaging"), ids=("opportunity_id",)))


def xeducation(_: Path) -> Audit:
    frame = flat_frame(third_party("xeducation_leads/Leads.csv.gz"))
    flat = Flat("Converted", "1", order="Lead Number", ids=("Prospect ID",), missing=("Select",))
    return audit_table(frame, flat)


def olist(_: Path) -> Audit:
    leads = flat_frame(third_party("olist_mql/olist_marketing_qualified_leads_dataset.csv.gz"))
    deals = flat_frame(third_party("olist_mql/olist_closed_deals_dataset.csv.gz"))
    frame = leads.merge(deals, on="mql_id", how="left")
    return audit_table(frame.assign(won=frame.won_date.notna().astype(int)), Flat("won", "1", ids=("mql_id",)))


def bpic(_: Path) -> Audit:
    events = pd.read_parquet(third_party("bpic2012/events.parquet"))
    frame = pd.crosstab(events["case_id"], events["concept:name"]).clip(upper=1)
    won, lost = (frame[list(names)].max(axis=1) == 1 for names in (BPIC_WON, BPIC_LOST))
    outcome = pd.Series(None, index=frame.index, dtype=object).mask(lost, "lost").mask(won, "won")
    return audit_table(frame.assign(outcome=outcome).reset_index(), Flat("outcome", "won", ids=("case_id",)))


BPIC_WON = ("A_APPROVED", "A_REGISTERED", "A_ACTIVATED")
BPIC_LOST = ("A_DECLINED", "A_CANCELLED")


def maven_record(folder: Path) -> Audit:
    mapping = yaml.safe_load((ROOT / "configs" / "mappings" / "maven.yaml").read_text())
    mapping["attributes"] |= {"account": {"kind": "category"}, "close_value": {"kind": "number"}}
    columns = {"account": "account", "account_id": "account", "close_value": "close_value"}
    mapping["tables"]["deals"][0]["columns"] |= columns
    return _record("maven", third_party("maven_crm"), mapping, folder, "audit.trust=[]")


def bpic_record(folder: Path) -> Audit:
    mapping = yaml.safe_load((ROOT / "configs" / "mappings" / "bpic2012.yaml").read_text())
    mapping["ignore"] = [rule for rule in mapping["ignore"] if not rule["event"].startswith("O_")]
    mapping["activities"] += [
        {"event": "O_ACCEPTED", "kind": "contract", "direction": "inbound", "outcome": "accepted"},
        {"event": "O_DECLINED", "kind": "contract", "direction": "outbound", "outcome": "declined_offer"},
    ]
    return _record("bpic2012", third_party("bpic2012/events.parquet"), mapping, folder)


def shipped(name: str, data: Path, folder: Path) -> Audit:
    """Audit a shipped config with its own mapping."""
    return _audited(name, data, folder)


def _record(name: str, data: Path, mapping: dict[str, Any], folder: Path, *more: str) -> Audit:
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump(mapping, sort_keys=False))
    return _audited(name, data, folder, f"source.mapping={path}", *more)


def _audited(name: str, data: Path, folder: Path, *more: str) -> Audit:
    overrides = [f"source.path={data}", f"state_dir={folder / 'state'}", *more]
    config = load_config(ROOT / "configs" / f"{name}.yaml", overrides)
    ingest = open_source(config).read()
    return audit(prepare(config, ingest), ingest)


SETS: dict[str, Callable[[Path], Audit]] = {
    "hotel_bookings": hotel,
    "maven_crm": maven,
    "maven_record": maven_record,
    "xeducation_leads": xeducation,
    "olist_mql": olist,
    "bpic2012": bpic,
    "bpic2012_record": bpic_record,
}


def page() -> str:
    """Return docs/leaks.md with the list in its place."""
    text = PAGE.read_text()
    head, rest = text.split(BEGIN)
    return head + BEGIN + "\n" + _tables() + END + rest.split(END)[1]


def _tables() -> str:
    marks = {"true": "yes", "false": "no", "suspect": "suspect: warned"}
    parts = []
    for name, told in listed().items():
        rows = [f"| `{e.field}` | {marks[e.detectable]} | {e.rule or '-'} | {e.why} |" for e in leaks(name)]
        rows += [f"| {e['field']} | flagged beside | - | {e['why']} |" for e in told.get("also", ())]
        head = (
            f"### {name}\n\nA unit is {told['of']}."
            if told["how"] == "table"
            else f"### {name}\n\nThis is {told['of']}."
        )
        parts.append(
            f"{head}\n\n| field | detectable | rule | why |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
