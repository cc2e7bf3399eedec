"""What a CRM would hold of a world: the canonical tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.tables import Coded, ColumnData, CrmTables, Table
from tests.worlds.acts import Contacts, activities_of, contacts_of
from tests.worlds.calendar import Days, Float, Int
from tests.worlds.forward import Lived
from tests.worlds.notebook import WON_CODE
from tests.worlds.population import Deals, Reps
from tests.worlds.settings import (
    CATEGORIES,
    DEALS_PER_WIN,
    INDUSTRIES,
    LOST,
    REGIONS,
    SEGMENTS,
    SIZES,
    SOURCES,
    STAGE_PROBABILITY,
    STAGES,
    WON,
    Planted,
    Size,
)

TEAM = 6  # reps
CALL_NOISE, CALL_WEEKLY = 0.25, 0.05  # log, of a rep's quarter and of each call
CALL_HOUR = 17 * 3600
QUOTA = 1.1  # of what is to be expected


@dataclass(frozen=True)
class Names:
    """Ids by code: zero-padded, so that they sort as their codes do."""

    deals: tuple[str, ...]
    accounts: tuple[str, ...]
    reps: tuple[str, ...]

    @classmethod
    def of(cls, deals: Deals, reps: Reps) -> Names:
        """Name everybody."""
        return cls(ids("d", len(deals)), ids("a", int(deals.account.max()) + 1), ids("r", len(reps)))


def ids(prefix: str, n: int) -> tuple[str, ...]:
    """N ids that sort in their order."""
    return tuple(f"{prefix}{i:06d}" for i in range(n))


def coded(codes: Int, values: tuple[str, ...]) -> Coded:
    """Codes into values."""
    return Coded(codes.astype(np.int32), values)


def tables_of(
    planted: Planted,
    size: Size,
    days: Days,
    deals: Deals,
    reps: Reps,
    lived: Lived,
    truth: tuple[Int, Int, Float],
    streams: list[np.random.Generator],
) -> CrmTables:
    """The tables. truth: deal, day and probability of each weekly look, from which reps make their calls."""
    names = Names.of(deals, reps)
    people, acts, rest = streams
    contacts = contacts_of(planted, days, deals, lived, people)
    history = history_of(days, deals, lived, names)
    listed = {
        "deals": _deals(days, deals, names),
        "deal_history": history,
        "activities": activities_of(planted, days, deals, reps, lived, contacts, names.deals, acts),
        "contacts": _contacts(days, contacts, names),
        "accounts": _accounts(deals, names, rest),
        "reps": _reps(names),
        "quotas": _quotas(planted, size, days, names, rest),
        "calls": _calls(days, deals, reps, lived, truth, names, rest),
    }
    return CrmTables.of({name: Table.of(name, columns) for name, columns in listed.items()})


def _deals(days: Days, deals: Deals, names: Names) -> dict[str, ColumnData]:
    created = days.instant(deals.day, deals.second)
    return {
        "deal_id": coded(np.arange(len(deals)), names.deals),
        "account_id": coded(deals.account, names.accounts),
        "created_at": created,
        "known_at": created,
        "type": _words(deals.segment, SEGMENTS),
        "source": _words(deals.source, SOURCES),
    }


def _words(codes: Int, words: tuple[str, ...]) -> Coded:
    """Codes of words in any order; the vocabulary comes out sorted."""
    values = tuple(sorted(words))
    return coded(np.array([values.index(word) for word in words])[codes], values)


def history_of(days: Days, deals: Deals, lived: Lived, names: Names) -> dict[str, ColumnData]:
    """The tracked fields. A closing row keeps what stood there before, but for the stage and the amount."""
    written = lived.written
    owner = coded(deals.rep[written.deal], names.reps)
    return {
        "deal_id": coded(written.deal, names.deals),
        "known_at": days.instant(written.day, written.second),
        "seq": np.arange(len(written.deal), dtype=np.int64),
        "stage": _words(written.stage, (*STAGES, WON, LOST)),
        "amount": np.round(written.amount * 100).astype(np.int64),
        "close_date": written.close_day + days.first,
        "forecast_category": _words(written.category, CATEGORIES),
        "owner_id": owner,
        "edited_by": owner,
        "next_step_set": written.next_step,
        "probability": np.array(STAGE_PROBABILITY)[_open_stage(written.deal, written.stage)],
    }


def _open_stage(deal: Int, stage: Int) -> Int:
    """The last open stage up to each row. Rows are in order of time."""
    order = np.argsort(deal, kind="stable")
    stands = np.where(stage[order] < WON_CODE, np.arange(len(order)), 0)
    stands = np.maximum.accumulate(stands)  # a deal's first row is an open one
    out = np.empty_like(stage)
    out[order] = stage[order][stands]
    return out


def _contacts(days: Days, contacts: Contacts, names: Names) -> dict[str, ColumnData]:
    return {
        "deal_id": coded(contacts.deal, names.deals),
        "contact_id": contacts.ids,
        "known_at": contacts.known_at,
        "role": contacts.role,
        "seniority": contacts.seniority,
    }


def _accounts(deals: Deals, names: Names, rng: np.random.Generator) -> dict[str, ColumnData]:
    n = len(names.accounts)
    industry = rng.integers(0, len(INDUSTRIES), n)  # of accounts that never had a deal
    industry[deals.account] = deals.industry
    return {
        "account_id": coded(np.arange(n), names.accounts),
        "industry": _words(industry, INDUSTRIES),
        "size": _words(rng.integers(0, len(SIZES), n), SIZES),
        "region": _words(rng.integers(0, len(REGIONS), n), REGIONS),
    }


def _reps(names: Names) -> dict[str, ColumnData]:
    team = np.arange(len(names.reps)) // TEAM
    return {
        "rep_id": coded(np.arange(len(names.reps)), names.reps),
        "manager_id": coded(team, ids("m", int(team.max()) + 1)),
        "team": coded(team, ids("t", int(team.max()) + 1)),
    }


def _quotas(planted: Planted, size: Size, days: Days, names: Names, rng: np.random.Generator) -> dict[str, ColumnData]:
    """What the parameters alone let expect of a rep in a quarter, a tenth more, with noise."""
    reps, quarters = len(names.reps), len(days.starts) - 1
    mean = np.exp(np.array(planted.log_amount) + planted.log_amount_sd**2 / 2) @ np.array(planted.segment_share)
    usual = QUOTA * mean * size.deals / quarters / reps / DEALS_PER_WIN
    rep, quarter = np.divmod(np.arange(reps * quarters), quarters)
    return {
        "rep_id": coded(rep, names.reps),
        "period_start": days.starts[quarter] + days.first,
        "amount": np.round(usual * np.exp(0.15 * rng.normal(size=len(rep))), -2).astype(np.int64) * 100,
        "known_at": days.instant(days.starts[quarter]),
    }


def _calls(
    days: Days,
    deals: Deals,
    reps: Reps,
    lived: Lived,
    truth: tuple[Int, Int, Float],
    names: Names,
    rng: np.random.Generator,
) -> dict[str, ColumnData]:
    """On most Mondays: what a rep has booked in the quarter and expects of open deals, with noise; some say less."""
    deal, day, p = truth
    quarters, r = len(days.starts) - 1, len(reps)
    mondays = np.flatnonzero((days.weekday == 0) & (days.left > 4))
    turn = np.full(days.count, -1)
    turn[mondays] = np.arange(len(mondays))
    asked = turn[day] >= 0
    cell = turn[day[asked]] * r + deals.rep[deal[asked]]
    expected = np.bincount(cell, p[asked] * deals.amount[deal[asked]], len(mondays) * r).reshape(len(mondays), r)
    said = (expected + _booked(days, deals, lived, mondays, r)) / reps.strength
    quarter_noise = CALL_NOISE * rng.normal(size=(quarters, r))[days.quarter[mondays]]
    said = said * np.exp(quarter_noise + CALL_WEEKLY * rng.normal(size=said.shape))
    best = said * np.exp(0.2 + 0.1 * np.abs(rng.normal(size=said.shape)))
    which, rep = np.divmod(np.arange(said.size), r)
    once = {
        "rep_id": np.tile(rep, 2),
        "submitted_at": np.tile(days.instant(mondays[which], CALL_HOUR), 2),
        "period_start": np.tile(days.starts[days.quarter[mondays[which]]] + days.first, 2),
        "amount": np.round(np.concatenate([said.ravel(), best.ravel()]), -2).astype(np.int64) * 100,
    }
    kind = np.repeat(["commit", "best_case"], said.size)
    return once | {"rep_id": coded(once["rep_id"], names.reps), "category": Coded.of(kind.tolist())}


def _booked(days: Days, deals: Deals, lived: Lived, mondays: Int, reps: int) -> Float:
    """float64[mondays, reps]: what each had won in the quarter before each Monday."""
    written = lived.written
    won = np.flatnonzero(written.stage == WON_CODE)
    day, rep, amount = written.day[won], deals.rep[written.deal[won]], written.amount[won]
    first = days.starts[days.quarter[mondays]]
    out = np.zeros((len(mondays), reps))
    for i, (begin, end) in enumerate(zip(first, mondays, strict=True)):
        low, high = np.searchsorted(day, [begin, end])
        out[i] = np.bincount(rep[low:high], amount[low:high], reps)
    return out
