"""A planted world in one call: ``world("W1", seed=3).ingest`` goes into `prepare`, ``.truth`` is what no model may see.

``world(name, seed, wins)`` is a pure function of its arguments. ``config(state_dir, ...)`` is the config to read it by.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from configs.load import load_config
from configs.schema import Config
from features.ingest import Ingest, IngestReport, TableReport
from features.periods import DAY
from features.stages import StageMap
from features.tables import NAT, Coded, CrmTables
from tests.worlds.bait import baited
from tests.worlds.calendar import Days, Float, Int, days_of
from tests.worlds.dirt import soiled
from tests.worlds.forward import NEVER, Lived, live
from tests.worlds.hazards import hazards_of
from tests.worlds.oracle import truth as probabilities
from tests.worlds.population import Bool, Deals, Reps, deals_of, reps_of
from tests.worlds.record import tables_of
from tests.worlds.settings import LOST, STAGES, WON, WORLDS, Planted, Size

STREAMS = 9
STAGE_MAP = StageMap(STAGES, (WON,), (LOST,))
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Truth:
    """A row per deal and weekly look (Mondays and first days of quarters, 00:00 UTC) at which it is open.

    deal: int64, row of the deals table. as_of: UTC microseconds. p: float64, P(won in this fiscal quarter | all that is
    true). y: float64, 1 won in it. closed_at: when it is next closed, NAT if never. won: that it is then won.
    stage, level, senior: the state. A zombie's rows (W4) have p = 0 and y = 0 until somebody closes it.
    """

    deal: Int
    as_of: Int
    p: Float
    y: Float
    closed_at: Int
    won: Bool
    stage: Int
    level: Int
    senior: Int

    def __len__(self) -> int:
        return len(self.p)

    def take(self, rows: Bool | Int) -> Truth:
        """Some of the rows."""
        return Truth(*(getattr(self, column.name)[rows] for column in fields(self)))

    def rows(self, deal: Int, as_of: Int) -> Int:
        """int64[n]: the row of each (deal, as_of), -1 where the deal was not open then."""
        width = np.int64(1) << 24  # deals; instants of the grid are whole days
        order = np.lexsort([self.deal, self.as_of])
        key = (self.as_of // DAY * width + self.deal)[order]
        asked = as_of // DAY * width + deal
        at = np.minimum(np.searchsorted(key, asked), len(key) - 1)
        return np.where((key[at] == asked) & (as_of % DAY == 0), order[at], -1)


@dataclass(frozen=True)
class World:
    """ingest: what a source would have read. gone_at: when each deal's buyer went silent for good (W5), NAT: never.

    dead_at: since when each deal is dead though the CRM says open (W4), NAT: it is not. reps: with their skill and,
    in W5, how much more they book than they call. planted, size, days: what it was made by.
    lived: every day of every deal.
    """

    name: str
    seed: int
    ingest: Ingest
    truth: Truth
    reps: Reps
    deals: Deals
    gone_at: Int
    dead_at: Int
    planted: Planted
    size: Size
    days: Days
    lived: Lived


@lru_cache(maxsize=2)
def world(name: str, seed: int = 0, wins: int = 30, quarters: int = 16) -> World:
    """Make a world. Raises KeyError for a name that is not in `settings.WORLDS`."""
    planted, size = WORLDS[name], Size(wins, quarters)
    # W6's twins, and W4 and W1 up to what happens in them, are drawn from the same streams.
    streams = [np.random.default_rng([seed, k]) for k in range(STREAMS)]
    days = days_of(size)
    reps = reps_of(planted, size, streams[0])
    deals = deals_of(planted, size, days, streams[1])
    hazards = hazards_of(planted, days, deals, reps)
    lived = live(planted, days, deals, reps, hazards, streams[2], streams[3])
    looked = np.isin(lived.day, days.looked_at)
    deal, day = lived.deal[looked], lived.day[looked]
    state = (lived.stage[looked], lived.level[looked], lived.senior[looked])
    p = probabilities(hazards, days, lived.market, deal, day, state)
    tables = tables_of(planted, size, days, deals, reps, lived, (deal, day, p), streams[4:7])
    if planted.dirty:
        tables = soiled(planted, tables, deals, reps, streams[7])
    if planted.bait:
        tables = baited(tables, streams[8])
    told = _told(days, lived, deal, day, p, state)
    gone_at, dead_at = _instants(days, lived.gone), _instants(days, lived.zombie)
    ingest = Ingest(tables, _report(tables), STAGE_MAP, {})
    return World(name, seed, ingest, told, reps, deals, gone_at, dead_at, planted, size, days, lived)


def config(state_dir: Path, *overrides: str) -> Config:
    """The config of every world; overrides as on the command line."""
    return load_config(HERE / "planted.yaml", [f"state_dir={state_dir}", *overrides])


LATER_TABLE, LATER_COLUMN = "lead_activities", ("leads", "name")


def fingerprint(made: World) -> str:
    """SHA-256 over all rows and columns of the tables and the truth, probabilities to six places.

    What tables have learnt to hold since the worlds were frozen is empty in them, and no part of it.
    """
    digest = hashlib.sha256()
    for name, table in made.ingest.tables.by_name().items():
        for label, data in table.columns.items():
            if (name == LATER_TABLE or (name, label) == LATER_COLUMN) and not table.n:
                continue
            digest.update(f"{name}.{label}:{len(data)};".encode())
            if isinstance(data, Coded):
                digest.update("\x1f".join("" if text is None else text for text in data.strings()).encode())
            else:
                digest.update(np.round(data, 6).astype("<f8" if data.dtype == np.float64 else "<i8").tobytes())
    told = made.truth
    for column in (told.deal, told.as_of, np.round(told.p * 1e6), told.y, told.closed_at, made.gone_at, made.dead_at):
        digest.update(np.asarray(column).astype("<i8").tobytes())
    return digest.hexdigest()


def _instants(days: Days, day: Int) -> Int:
    """First instants of days, NAT for NEVER."""
    return np.where(day == NEVER, NAT, days.instant(np.where(day == NEVER, 0, day)))


def _told(days: Days, lived: Lived, deal: Int, day: Int, p: Float, state: tuple[Int, Int, Int]) -> Truth:
    dead = np.flatnonzero(lived.zombie != NEVER)
    undead = [(d, k) for d in dead for k in days.looked_at if lived.zombie[d] < k <= lived.cleared[d]]
    late_deal = np.array([d for d, _ in undead], dtype=np.int64)
    late_day = np.array([k for _, k in undead], dtype=np.int64)
    deals, at = np.concatenate([deal, late_deal]), np.concatenate([day, late_day])
    no = np.zeros(len(late_deal), dtype=np.int64)
    columns = [np.concatenate([part, no]) for part in state]
    closed_day, won = _next_close(days, lived, deals, at)
    closes = closed_day != NEVER
    quarter = days.quarter[np.where(closes, closed_day, 0)]
    y = (won & closes & (quarter == days.quarter[at])).astype(np.float64)
    closed_at = np.where(closes, days.instant(np.where(closes, closed_day, 0), 12 * 3600), NAT)
    order = np.lexsort([deals, at])
    whole = (deals, days.instant(at), np.concatenate([p, no.astype(np.float64)]), y, closed_at, won, *columns)
    return Truth(*(column[order] for column in whole))


def _next_close(days: Days, lived: Lived, deal: Int, day: Int) -> tuple[Int, Bool]:
    """The day of each deal's next close at or after a day (NEVER: none), and whether it is won then."""
    cleared = np.flatnonzero((lived.zombie != NEVER) & (lived.cleared < days.count))
    who = np.concatenate([lived.end_deal, cleared])
    when = np.concatenate([lived.end_day, lived.cleared[cleared]])
    won = np.concatenate([lived.end_won, np.zeros(len(cleared), dtype=bool)])
    width = np.int64(1) << 20
    order = np.argsort(who * width + when)
    key = (who * width + when)[order]
    at = np.searchsorted(key, deal * width + day)
    found = (at < len(key)) & (np.append(who[order], -1)[at] == deal)
    at = np.minimum(at, len(key) - 1)
    return np.where(found, when[order][at], NEVER), found & won[order][at]


def _report(tables: CrmTables) -> IngestReport:
    every = [TableReport(name, (), table.n, table.n) for name, table in tables.by_name().items() if table.n]
    return IngestReport(tuple(every))
