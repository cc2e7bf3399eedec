"""A large export in the canonical shape, made by NumPy and Arrow in well under a minute per 10 million activities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

STAGES = ("Qualify", "Evaluate", "Propose", "Closed Won", "Closed Lost")  # of configs/mappings/canonical.yaml
KINDS = ("email", "call", "meeting", "content", "web", "contract")
DIRECTIONS = ("inbound", "outbound", "mutual")
OUTCOMES = ("", "connected", "no_answer", "held", "planned")
DAY, START = 86_400, 1_577_836_800  # 2020-01-01


def write_export(folder: Path, activities: int, seed: int = 11) -> int:
    """Write deals, deal_history and activities as CSV; times are ISO 8601 to the millisecond, nearly all distinct.

    Returns the bytes written.
    """
    rng = np.random.default_rng(seed)
    deals = max(activities // 25, 10)
    born = START + rng.integers(0, 3 * 365 * DAY, deals)
    ids = words("006D", np.arange(deals))
    write(
        folder / "deals.csv",
        {"deal_id": ids, "account_id": words("001A", np.arange(deals) // 3), "created_at": times(born * 1000)},
    )
    deal = np.repeat(np.arange(deals), 4)
    step = np.tile(np.arange(4), deals)
    stage = np.where(step < 3, step, 3 + (rng.random(len(deal)) < 0.7))
    history = {
        "deal_id": pc.take(ids, pa.array(deal)),
        "known_at": times((born[deal] + step * 30 * DAY) * 1000 + rng.integers(0, 999, len(deal))),
        "stage": named(STAGES, stage),
        "amount": pa.array(rng.integers(1_000, 99_000, len(deal))),
        "owner_id": words("005R", rng.integers(0, 500, len(deal))),
    }
    write(folder / "deal_history.csv", history)
    deal = rng.integers(0, deals, activities)
    known = (born[deal] + rng.integers(0, 90 * DAY, activities)) * 1000 + rng.integers(0, 1000, activities)
    rows = {
        "deal_id": pc.take(ids, pa.array(deal)),
        "occurred_at": times(known - rng.integers(0, 2 * DAY, activities) * 1000),
        "known_at": times(known),
        "kind": named(KINDS, rng.integers(0, len(KINDS), activities)),
        "direction": named(DIRECTIONS, rng.integers(0, len(DIRECTIONS), activities)),
        "contact_id": words("003C", deal * 3 + rng.integers(0, 3, activities)),
        "outcome": named(OUTCOMES, rng.integers(0, len(OUTCOMES), activities)),
        "minutes": pa.array(rng.integers(0, 90, activities)),
    }
    write(folder / "activities.csv", rows)
    return sum(file.stat().st_size for file in folder.glob("*.csv"))


def times(milliseconds: np.ndarray) -> pa.Array:
    """ISO 8601 text with a Z."""
    text = pa.array(milliseconds).cast(pa.timestamp("ms")).cast(pa.string())
    return pc.binary_join_element_wise(pc.replace_substring(text, " ", "T", max_replacements=1), "Z", "")


def words(prefix: str, numbers: np.ndarray) -> pa.Array:
    """Ids like those of a CRM: a prefix and 14 digits."""
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 14, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def named(values: tuple[str, ...], codes: np.ndarray) -> pa.Array:
    return pc.take(pa.array(values), pa.array(codes))


def write(path: Path, columns: dict[str, pa.Array]) -> None:
    pa_csv.write_csv(pa.table(columns), path, pa_csv.WriteOptions(quoting_style="none"))
