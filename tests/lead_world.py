"""A small company's leads as canonical files, quick to make: what the tests of leads train on.

Leads of some sources convert more often, those that act do, and those that nobody works do not. Converted ones become
deals, of which those of the better source are won more often.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from configs.load import load_config
from configs.schema import Config

BEGAN = datetime(2023, 1, 2, tzinfo=UTC)
SOURCES = {"referral": 0.9, "web": 0.0, "list": -0.9}
DAYS = 540
MAPPING = """
stages: {order: [Open], won: [Closed Won], lost: [Closed Lost]}
leads:
  fixed_fields: [source, size]
  attributes: {seats: {kind: number}}
"""
CONFIG = """
name: leads
time_zone: UTC
target: converted
period: {kind: quarter}
source: {kind: files, path: %s, mapping: mapping.yaml}
leads: {within_days: 30, won_within_days: 120}
model: {seeds: 2, max_rounds: 20, num_threads: 1}
backtest: {bootstrap: 50}
"""


def write_leads(folder: Path, n: int = 1500, seed: int = 5) -> Path:
    """Write the files, a mapping and ``leads.yaml`` into a folder; return the config's path."""
    rng = np.random.default_rng(seed)
    export = folder / "export"
    export.mkdir(parents=True)
    began = np.sort(rng.uniform(0, DAYS, n))
    source = rng.choice(list(SOURCES), n)
    seats = np.round(np.exp(rng.normal(3, 1, n)))
    worked = rng.random(n) < 0.85
    interest = rng.normal(0, 1, n)
    leads = pd.DataFrame(
        {
            "lead_id": [f"L{i:05d}" for i in range(n)],
            "created_at": [_text(day) for day in began],
            "source": source,
            "size": rng.choice(["small", "large"], n),
            "seats": seats,
            "opted_out": rng.random(n) < 0.03,
        }
    )
    acts, history, deals, deal_history = [], [], [], []
    for i in range(n):
        lead = leads.lead_id[i]
        touched = began[i] + rng.exponential(1.5) if worked[i] else np.inf
        visits = began[i] + np.sort(rng.uniform(0, 20, rng.poisson(np.exp(0.6 + 0.7 * interest[i]))))
        acts += [(lead, _text(day), "web", "inbound", "") for day in visits]
        acts += [(lead, _text(touched + k), "call", "outbound", "no_answer") for k in range(3) if worked[i]]
        p = 1 / (1 + np.exp(-(-2.6 + SOURCES[source[i]] + 0.35 * min(len(visits), 6) + 0.2 * (np.log(seats[i]) - 3))))
        ended = touched + rng.uniform(1, 20)
        if worked[i]:
            history.append((lead, _text(touched), "worked", ""))
        if worked[i] and rng.random() < p and ended < DAYS:
            history.append((lead, _text(ended), "converted", f"D{i}"))
            deals.append((f"D{i}", _text(ended)))
            deal_history.append((f"D{i}", _text(ended), "Open", 1000 + 10 * seats[i]))
            over = ended + rng.uniform(10, 80)
            if over < DAYS:
                won = rng.random() < 0.3 + 0.3 * SOURCES[source[i]]
                deal_history.append(
                    (f"D{i}", _text(over), "Closed Won" if won else "Closed Lost", 1000 + 10 * seats[i])
                )
        elif worked[i] and rng.random() < 0.3 and ended < DAYS:
            history.append((lead, _text(ended), "disqualified", ""))
    acts = [act for act in acts if act[1] < _text(DAYS)]
    history = [row for row in history if row[1] < _text(DAYS)]
    leads.to_csv(export / "leads.csv", index=False)
    for name, rows, columns in (
        ("lead_activities", acts, ["lead_id", "occurred_at", "kind", "direction", "outcome"]),
        ("lead_history", history, ["lead_id", "known_at", "event", "deal_id"]),
        ("deals", deals, ["deal_id", "created_at"]),
        ("deal_history", deal_history, ["deal_id", "known_at", "stage", "amount"]),
    ):
        pd.DataFrame(rows, columns=columns).to_csv(export / f"{name}.csv", index=False)
    (folder / "mapping.yaml").write_text(MAPPING)
    config = folder / "leads.yaml"
    config.write_text(CONFIG % export)
    return config


def lead_config(folder: Path, *overrides: str) -> Config:
    """Return the config of a folder that `write_leads` filled; its state is kept in the folder."""
    return load_config(folder / "leads.yaml", [f"state_dir={folder / 'state'}", *overrides])


def _text(day: float) -> str:
    return (BEGAN + timedelta(days=float(day))).isoformat(timespec="seconds").replace("+00:00", "Z")
