"""Companies of any size made by NumPy, without habits or truths: only their shape matters to time and memory."""

from __future__ import annotations

import numpy as np

from features.asof import Requests
from features.build import plan_features
from features.periods import DAY
from features.record import Record, build_record
from features.reference import Reference
from features.registry import Context, Plan, Schema
from features.tables import Coded, ColumnData, CrmTables, Table
from tests.tiny import SHRINK, STAGES, quarters

SCHEMA = Schema("in_period", dimensions=("source",))
START = 18_262 * DAY  # 2020-01-01
CALENDAR = quarters()
KINDS = ("call", "content", "contract", "email", "meeting", "web")
REPS = 40


def company(deals: int, history: int = 6, activities: int = 25, contacts: int = 3, seed: int = 3) -> CrmTables:
    """So many rows per deal of each table; two deals in three close."""
    rng = np.random.default_rng(seed)
    born = START + rng.integers(0, 3 * 365 * DAY, deals)
    ids = tuple(f"D{i:08d}" for i in range(deals))
    who = tuple(f"R{i:02d}" for i in range(REPS))

    def coded(values: tuple[str, ...], n: int) -> Coded:
        return Coded(rng.integers(0, len(values), n).astype(np.int32), values)

    def rows(per_deal: int) -> tuple[np.ndarray, Coded, np.ndarray]:
        deal = np.repeat(np.arange(deals), per_deal)
        return deal, Coded(deal.astype(np.int32), ids), born[deal] + rng.integers(0, 150 * DAY, len(deal))

    deal, named, at = rows(history)
    step = np.tile(np.arange(history), deals)
    stage = np.where((step == history - 1) & (rng.random(deals) < 2 / 3)[deal], rng.integers(3, 5, len(deal)), step % 3)
    stages = (*STAGES.order, *STAGES.won, *STAGES.lost)
    owner = rng.integers(0, REPS, deals)[deal].astype(np.int32)
    told: dict[str, ColumnData] = {
        "deal_id": named,
        "known_at": np.where(step == 0, born[deal], born[deal] + step * 25 * DAY),
        "seq": np.arange(len(deal)),
        "stage": Coded(stage.astype(np.int32), stages),
        "amount": rng.integers(10**5, 10**7, len(deal)),
        "close_date": (born[deal] // DAY + 100 + rng.integers(0, 60, len(deal))).astype(np.int64),
        "forecast_category": coded(("best_case", "commit", "pipeline"), len(deal)),
        "owner_id": Coded(owner, who),
    }
    deal, named, at = rows(activities)
    done: dict[str, ColumnData] = {
        "deal_id": named,
        "occurred_at": at - rng.integers(-5 * DAY, 5 * DAY, len(at)),
        "known_at": at,
        "kind": coded(KINDS, len(at)),
        "direction": coded(("inbound", "mutual", "outbound"), len(at)),
        "contact_id": coded(tuple(f"C{i:04d}" for i in range(1000)), len(at)),
        "outcome": coded(("connected", "no_answer", "planned"), len(at)),
        "minutes": rng.random(len(at)) * 60,
    }
    deal, named, at = rows(contacts)
    people: dict[str, ColumnData] = {"deal_id": named, "contact_id": coded(ids[:500], len(at)), "known_at": at}
    made: dict[str, ColumnData] = {
        "deal_id": Coded(np.arange(deals, dtype=np.int32), ids),
        "account_id": coded(tuple(f"A{i:06d}" for i in range(max(deals // 3, 1))), deals),
        "created_at": born,
        "known_at": born.copy(),
        "source": coded(("inbound", "outbound", "partner"), deals),
    }
    tables = {"deals": made, "deal_history": told, "activities": done, "contacts": people}
    return CrmTables.of({name: Table.of(name, columns) for name, columns in tables.items()})


def record_of(tables: CrmTables, reference: Reference | None = None) -> Record:
    return build_record(tables, STAGES, CALENDAR, SCHEMA, reference)


def plan() -> Plan:
    """Every registered group."""
    return plan_features(Context(SCHEMA, SHRINK))


def weekly(tables: CrmTables, weeks: int) -> Requests:
    """Each deal as of so many Mondays, or what looks like them."""
    born = tables.deals.ints("created_at")
    deal = np.repeat(np.arange(len(born)), weeks)
    return Requests(deal, born[deal] + (1 + np.tile(np.arange(weeks), len(born))) * 7 * DAY)
