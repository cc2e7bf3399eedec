"""Public sets of leads, through our own rooms: a config to train on, and the raw columns for the reference models.

`xeducation_leads` has no dates. Its documented order is the lead number, so the leads come in an hour apart in that
order and what became of each is told half a day later. Nothing that is asked of these times is a feature: the age is
the same for all, and whether a lead came in on a weekend is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import yaml

from configs.load import load_config
from configs.schema import Config
from tests.companies import ROOT
from tests.known_leaks import leaks
from training.audit_rules import Audit, Mark
from training.audit_table import Flat, audit_table

XEDUCATION = Flat("Converted", "1", order="Lead Number", ids=("Prospect ID",), missing=("Select",))
BEGAN = datetime(2020, 1, 1, tzinfo=UTC)
APART, TOLD = timedelta(hours=1), timedelta(hours=12)
OLDER = 0.8  # of the leads; the newest fifth is tested
XEDUCATION_CONFIG = """
name: xeducation
time_zone: UTC
target: converted
period: {{kind: quarter}}
source: {{kind: files, path: {path}, mapping: mapping.yaml}}
snapshots: {{ages: [1min]}}
features: {{groups: [lead, lead_rates], drop: [came_on_a_weekend]}}
leads: {{within_days: 1, unworked: keep}}
timing: {{enabled: false}}
backtest: {{ablations: [], test_from: "{cut}"}}
"""


@dataclass(frozen=True)
class LeadSet:
    """A set of leads. table: its raw columns by lead id, what the reference models may use; y is not among them."""

    config: Config
    table: pd.DataFrame


def xeducation_table(folder: Path) -> pd.DataFrame:
    """Return the leads in the order of their numbers, as the file has them."""
    table = pd.read_csv(folder / "xeducation_leads" / "Leads.csv.gz")
    return table.sort_values("Lead Number", kind="stable", ignore_index=True)


def xeducation_audit(folder: Path) -> Audit:
    """Return the leak audit of the flat file."""
    return audit_table(xeducation_table(folder), XEDUCATION, "Leads.csv.gz")


def strict_columns(found: Audit) -> list[str]:
    """Return the columns that are left: neither quarantined nor warned of, nor on the list of leaks no rule can see."""
    listed = {leak.field for leak in leaks("xeducation_leads")}
    return [each.field for each in found.findings if each.mark == Mark.CLEAN and each.field not in listed]


def xeducation(folder: Path, out: Path, columns: Sequence[str]) -> LeadSet:
    """Write the set as canonical files with these of its columns as attributes."""
    table = xeducation_table(folder).replace("Select", None)
    came = [BEGAN + k * APART for k in range(len(table))]
    kept = table[list(columns)].rename(columns=_plain)
    ids = [f"L{number}" for number in table["Lead Number"]]
    out.mkdir(parents=True, exist_ok=True)
    leads = pd.DataFrame({"lead_id": ids, "created_at": [at.isoformat() for at in came]})
    pd.concat([leads, kept], axis=1).to_csv(out / "leads.csv", index=False)
    became = table["Converted"].map({1: "converted", 0: "disqualified"})
    told = pd.DataFrame({"lead_id": ids, "known_at": [(at + TOLD).isoformat() for at in came], "event": became})
    told.to_csv(out / "lead_history.csv", index=False)
    for name, header in (("deals", "deal_id,created_at"), ("deal_history", "deal_id,known_at,stage")):
        (out / f"{name}.csv").write_text(header + "\n")
    kinds = {
        name: {"kind": "number" if pd.api.types.is_numeric_dtype(kept[name]) else "category"} for name in kept.columns
    }
    said = {"stages": {"order": ["Open"], "won": ["Won"], "lost": ["Lost"]}, "leads": {"attributes": kinds}}
    (out / "mapping.yaml").write_text(yaml.safe_dump(said, sort_keys=False))
    (out / "leads.yaml").write_text(
        XEDUCATION_CONFIG.format(path=out, cut=came[round(OLDER * len(came)) - 1].isoformat())
    )
    config = load_config(out / "leads.yaml", [f"state_dir={out / 'state'}"])
    return LeadSet(config, kept.set_index(pd.Index(ids)))


def olist(folder: Path, out: Path) -> LeadSet:
    """Return the shipped config of the set, which reads its files as they are."""
    settings = [f"source.path={folder / 'olist_mql'}", f"state_dir={out / 'state'}"]
    config = load_config(ROOT / "configs" / "olist.yaml", settings)
    table = pd.read_csv(folder / "olist_mql" / "olist_marketing_qualified_leads_dataset.csv.gz")
    return LeadSet(config, table.set_index("mql_id")[["landing_page_id", "origin"]])


def _plain(name: str) -> str:
    """Return a name that a canonical column may have."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
