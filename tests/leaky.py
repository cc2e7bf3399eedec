"""A small simulated company whose export gets leaks planted, each beside an honest field of the same make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from configs.load import CANONICAL_MAPPING
from configs.schema import Config
from features.asof import Requests
from features.ingest import Ingest
from features.periods import DAY
from features.record import Record
from features.tables import NAT, Coded, ColumnData, Table
from tests.companies import demo_config, small_company
from training.audit_fields import Closed, closed_deals
from training.prepare import Prepared, prepare

Drawn = dict[str, ColumnData]

HONEST = ("seats", "tier", "partner_ref", "plan_wanted", "plan", "first_value")
ATTRIBUTES = {  # each with the rule that must catch it
    "loss_code": "fill_by_outcome",
    "contract_id": "fill_by_outcome",
    "final_discount": "auc",
    "handover": "one_outcome",
    "current_value": "pasted",
    "partner": "fill_by_closing",
    "need_rating": "late_and_telling",
    "plan_now": "twin",
}
ACTIVITIES = {  # kind and outcome of activities; known 60 days before the close of won deals, and 2 days after it
    "activities kind and outcome 'content: onboarding'": "auc",
    "activities kind and outcome 'contract: invoice'": "after_outcome",
}


@dataclass(frozen=True)
class Facts:
    """The small company's deals: won and lost bool[d], first and closing amount int64[d] in cents (NAT missing)."""

    record: Record
    closed: Closed
    won: np.ndarray
    lost: np.ndarray
    first: np.ndarray
    last: np.ndarray


@cache
def facts(state_dir: Path) -> Facts:
    """What came of the small company's deals."""
    record = prepare(demo_config(state_dir), small_company(state_dir)).record
    closed = closed_deals(record)
    won, lost = (np.zeros(len(record.deal_ids), dtype=bool) for _ in range(2))
    won[closed.deal[closed.won]], lost[closed.deal[~closed.won]] = True, True
    every = np.arange(len(won))

    def amount(as_of: np.ndarray) -> np.ndarray:
        return record.view(Requests(every, as_of)).of("history").last("amount")

    born = record.deals.known_at
    until = np.full(len(won), int(born.max()) + 10_000 * DAY)
    until[closed.deal] = closed.closed_at + 1
    return Facts(record, closed, won, lost, amount(born + 1), amount(until))


def drawn(known: Facts) -> Drawn:
    """Return every planted and every honest attribute, by deal."""
    rng = np.random.default_rng(99)
    won, lost, n = known.won, known.lost, len(known.won)
    chance = rng.random(n)
    plans = np.array([f"plan {i}" for i in range(5)])
    plan = rng.choice(plans, n)
    hot = rng.random(n) < np.where(won, 0.8, 0.15)
    return {
        "seats": rng.integers(1, 500, n).astype(np.float64),
        "tier": _some(rng.choice(["a", "b"], n), rng.random(n) < 0.7),
        "partner_ref": _some([f"P{i}" for i in range(n)], rng.random(n) < 0.08),
        "plan_wanted": Coded.of(plan.tolist()),
        "plan": Coded.of(np.where(rng.random(n) < 0.2, rng.choice(plans, n), plan).tolist()),
        "first_value": _money(known.first),
        "loss_code": _some(rng.choice(["price", "timing"], n), lost & (chance < 0.9)),
        "contract_id": _some([f"C{i}" for i in range(n)], won & (chance < 0.6)),
        "final_discount": np.where(won, 0.15, 0.0) + rng.normal(size=n) * 0.02,
        "handover": Coded.of(np.where(won & (chance < 0.7), "onboarding team", "none").tolist()),
        "current_value": _money(known.last),
        "partner": _some(np.full(n, "known"), won | lost | (chance < 0.3)),
        "need_rating": _some(np.where(hot, "hot", "cold"), chance < np.where(won, 0.9, 0.4)),
        "plan_now": Coded.of(np.where(lost & (chance < 0.3), "plan 0", plan).tolist()),
    }


def planted(state_dir: Path, names: Sequence[str], folder: Path, *overrides: str) -> tuple[Config, Ingest]:
    """Return the small company with these attributes, declared constant in its mapping."""
    told = drawn(facts(state_dir))
    mapping = yaml.safe_load(CANONICAL_MAPPING.read_text())
    mapping["attributes"] = {
        name: {"kind": "category" if isinstance(told[name], Coded) else "number"} for name in names
    }
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump(mapping))
    ingest = small_company(state_dir)
    deals = ingest.tables.deals.replace({name: told[name] for name in names})
    config = demo_config(state_dir, f"source.mapping={path}", *overrides)
    return config, replace(ingest, tables=replace(ingest.tables, deals=deals))


def with_activities(state_dir: Path, ingest: Ingest) -> Ingest:
    """Return the company with an activity of won deals 60 days before their close, and one 2 days after it."""
    known = facts(state_dir)
    won = known.closed.take(np.flatnonzero(known.closed.won))
    early = np.maximum(won.closed_at - 60 * DAY, won.born)
    extra = [("content", "onboarding", early), ("contract", "invoice", won.closed_at + 2 * DAY)]
    table = ingest.tables.activities
    ids = [known.record.deal_ids.strings()[deal] for deal in won.deal.tolist()]
    for kind, outcome, when in extra:
        table = _appended(
            table,
            {"deal_id": ids, "kind": [kind] * len(ids), "outcome": [outcome] * len(ids)},
            {"occurred_at": when, "known_at": when},
        )
    return replace(ingest, tables=replace(ingest.tables, activities=table))


def prepared_with(state_dir: Path, names: Sequence[str], folder: Path, *overrides: str) -> tuple[Prepared, Ingest]:
    """Prepare the planted company."""
    config, ingest = planted(state_dir, names, folder, *overrides)
    return prepare(config, ingest), ingest


def _appended(table: Table, words: Mapping[str, list[str]], numbers: Mapping[str, np.ndarray]) -> Table:
    more = len(next(iter(words.values())))
    columns: Drawn = {}
    for name, data in table.columns.items():
        if isinstance(data, Coded):
            columns[name] = Coded.of([*data.strings(), *words.get(name, [None] * more)])
        else:
            missing = np.nan if data.dtype == np.float64 else NAT
            columns[name] = np.concatenate([data, numbers.get(name, np.full(more, missing, dtype=data.dtype))])
    return Table.of(table.name, columns, table.n + more)


def _some(words: Sequence[str] | np.ndarray, mask: np.ndarray) -> Coded:
    return Coded.of([str(word) if held else None for word, held in zip(words, mask, strict=True)])


def _money(cents: np.ndarray) -> np.ndarray:
    return np.where(cents == NAT, np.nan, cents / 100)
