"""Companies with few closed deals: some deals of a simulated one and all that is said of them, up to an instant."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from configs.load import CANONICAL_MAPPING
from features.sources.company import CompanySettings, simulate
from tests.companies import QUICK

WON, LOST = "Closed Won", "Closed Lost"
LIGHT = ("model.num_threads=1", "model.max_rounds=20", "features.groups=[deal, clock, history]", "timing.seeds=1")


@cache
def frames() -> dict[str, pd.DataFrame]:
    """The export of a simulated company: about 240 closed deals a quarter."""
    return simulate(CompanySettings(seed=4242, periods=5, wins_per_period=60)).export


def few(folder: Path, won: int, lost: int, still_open: int, since: str, until: str) -> tuple[str, ...]:
    """Write an export of so many deals, all created in [since, until) and told of as known before `until`.

    They are taken evenly over the time of creation; a deal is won, lost or open as of `until`. Returns what turns the
    demo's config into one for it.
    """
    start, end = pd.Timestamp(since, tz="UTC"), pd.Timestamp(until, tz="UTC")
    tables = frames()
    born = pd.to_datetime(tables["deals"].created_at, utc=True)
    mine = tables["deals"][(born >= start) & (born < end)].deal_id
    history = tables["deal_history"]
    history = history[history.deal_id.isin(mine) & (pd.to_datetime(history.known_at, utc=True) < end)]
    last = history.groupby("deal_id").stage.last()
    kept: set[str] = set()
    for count, ids in (
        (won, last[last == WON]),
        (lost, last[last == LOST]),
        (still_open, last[~last.isin([WON, LOST])]),
    ):
        assert len(ids) >= count, (count, len(ids))
        kept |= {ids.index[round(k * (len(ids) - 1) / max(count - 1, 1))] for k in range(count)}
    export = folder / "export"
    export.mkdir(parents=True)
    for name, table in tables.items():
        rows = table[table.deal_id.isin(kept)] if "deal_id" in table else table
        for column in ("known_at", "submitted_at"):
            if column in rows:
                rows = rows[pd.to_datetime(rows[column], utc=True) < end]
        rows.to_csv(export / f"{name}.csv", index=False)
    source = f"source={{kind: files, path: {export}, mapping: {CANONICAL_MAPPING}}}"
    return (source, f"state_dir={folder / 'state'}", *QUICK, *LIGHT)
