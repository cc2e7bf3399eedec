"""Companies of reps who call and book: as facts by period, and as the CRM tables that give the same facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from features.pipeline import pipeline_facts
from features.rep_periods import RepPeriods, rep_periods
from features.tables import NAT, CrmTables
from tests.tiny import at, company, record

FIRST_YEAR = 2020
DEALS_EACH = 3  # won in a period by each rep


@dataclass(frozen=True)
class World:
    """So many reps, the first `under` of whom call at 1 / `factor`, the next `over` at `factor` times what comes.

    noise: of the log of booked / called; uneven: sd of its log between reps. teams: 0 for none. quotas: with quotas,
    reached early at random, and wins in the next period that do not depend on it.
    """

    reps: int = 60
    periods: int = 8
    under: int = 6
    over: int = 0
    factor: float = 1.35
    noise: float = 0.25
    uneven: float = 0.0
    teams: int = 0
    quotas: bool = False


def facts_of(world: World, seed: int | list[int]) -> RepPeriods:
    """The facts of one drawn company. Calls and bookings are whole dollars; a period has a season that all share."""
    rng = np.random.default_rng(seed)
    shape = (world.reps, world.periods)
    called = np.round(np.exp(rng.normal(11.0, 0.5, shape)))
    noise = rng.normal(0.0, 1.0, shape) * world.noise * np.exp(rng.normal(0.0, world.uneven, (world.reps, 1)))
    sign = np.zeros((world.reps, 1))
    sign[: world.under], sign[world.under : world.under + world.over] = 1.0, -1.0
    booked = np.round(called * np.exp(noise + sign * np.log(world.factor) + rng.normal(0.1, 0.2, (1, world.periods))))
    team = rng.permutation(world.reps) % world.teams if world.teams else np.full(world.reps, -1)
    early = rng.random(shape) < 0.4
    wins = rng.poisson(1.0, shape)
    return RepPeriods(
        reps=tuple(f"r{k:03d}" for k in range(world.reps)),
        team=team.astype(np.int64),
        first_days=np.arange(world.periods, dtype=np.int64) * 91,
        called=(called * 100).astype(np.int64),
        booked=(booked * 100).astype(np.int64),
        closed=np.full(shape, DEALS_EACH, dtype=np.int64),
        stayed=np.ones(shape, dtype=bool),
        quota=np.full(shape, 100 if world.quotas else NAT, dtype=np.int64),
        to_spare=np.where(early & world.quotas, 30.0, np.nan),
        next_wins=np.where(world.quotas, wins, NAT).astype(np.int64),
    )


def quarter(k: int) -> date:
    """First day of the k-th calendar quarter of the record's whole ones."""
    return date(FIRST_YEAR + k // 4, 1 + k % 4 * 3, 1)


def tables_of(facts: RepPeriods) -> CrmTables:
    """The record that gives the facts, but for quotas and what follows them.

    Each rep has one deal that stays open from before the first period on, and in each period `DEALS_EACH` wins and a
    call on its tenth day; a first call of twice as much, and one after week 4, are in nobody's way.
    """
    deals, history, calls, reps = [], [], [], []
    for r, rep in enumerate(facts.reps):
        born = f"{FIRST_YEAR - 1}-12-20 09:00"
        reps.append({"rep_id": rep, "team": f"t{facts.team[r]}" if facts.team[r] >= 0 else None})
        deals.append({"deal_id": f"{rep}-open", "created_at": born})
        history.append({"deal_id": f"{rep}-open", "known_at": born, "stage": "Demo", "amount": 1, "owner_id": rep})
        for p in range(facts.called.shape[1]):
            first, cents = quarter(p), int(facts.booked[r, p])
            for k in range(DEALS_EACH):
                deal, share = f"{rep}-{p}-{k}", cents // DEALS_EACH
                amount = (share if k else cents - (DEALS_EACH - 1) * share) / 100
                made, won = (f"{first + timedelta(days=d)} 09:00" for d in (5 + k, 50 + 10 * k))
                deals.append({"deal_id": deal, "created_at": made})
                for when, stage in ((made, "Demo"), (won, "Won")):
                    told = {"known_at": when, "stage": stage, "amount": amount, "owner_id": rep}
                    history.append({"deal_id": deal, **told})
            for day, part in ((2, 2.0), (9, 1.0), (45, 3.0)):
                when = {"submitted_at": f"{first + timedelta(days=day)} 09:00", "period_start": f"{first}"}
                amount = facts.called[r, p] * part / 100
                calls.append({"rep_id": rep, **when, "category": "commit", "amount": amount})
    return company(deals=deals, deal_history=history, calls=calls, reps=reps)


def read(tables: CrmTables, as_of: str, periods: int = 12) -> RepPeriods:
    """What the product reads off the tables as of a day."""
    return rep_periods(pipeline_facts(tables, record(tables)), at(as_of), periods, 4, 10)
