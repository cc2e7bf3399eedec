"""The simulated company's people: seats, teams and managers, the accounts, and who gets which of them.

A *seat* is a sales position in one territory. A deal belongs to a seat; whoever holds the seat in a week owns the deal,
so turnover moves open deals to the successor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.sources.company_calendar import Bools, Calendar, Floats, Ints
from features.sources.company_reps import PeopleParams, Reps, make_reps, make_staff

REGIONS = ("AMER", "EMEA", "APAC")
SIZES = ("small", "mid", "enterprise")
INDUSTRIES = ("software", "manufacturing", "retail", "finance", "healthcare", "logistics", "education", "media")
FIRST_NAMES = (
    "Ada Ben Cleo Dario Elif Femi Greta Hugo Ines Jonas Kofi Lena Mara Nils Oona Pavel Rosa Sami Tess Uma Viktor Wren"
).split()
LAST_NAMES = "Abara Berg Costa Dietz Egan Farah Grau Haas Ito Jansen Keller Lund Moreau Novak Okoye Park Quist".split()
ACCOUNT_FIRST = (
    "Alder Birch Cedar Delta Ember Fjord Grove Harbor Indigo Juniper Kestrel Lumen Maple Nimbus Orchard".split()
)
ACCOUNT_LAST = (
    "Works Partners Systems Foods Labs Freight Mills Health Media Supply Energy Motors Studio Holdings".split()
)


@dataclass(frozen=True)
class Realignment:
    """One territory change: from `week` on the accounts belong to the seats, aligned; their open deals move along."""

    week: int
    region: int
    account: Ints
    seat: Ints


@dataclass(frozen=True)
class People:
    """Seats, reps, teams and accounts of one run."""

    reps: Reps
    seat_rep: Ints  # (seats, weeks) rep index that holds the seat, or held it last
    vacant: Bools  # (seats, weeks) nobody is on the seat
    realignments: tuple[Realignment, ...]  # by week
    seat_team: Ints
    seat_region: Ints
    seat_load: Floats  # relative share of the region's new deals
    team_region: Ints
    n_success: int
    ramp: Floats  # (reps, weeks) logit taken off while new, <= 0
    account_size: Ints
    account_region: Ints
    account_industry: Ints
    account_affinity: Floats
    account_customer: Bools  # bought before the run

    @property
    def n_accounts(self) -> int:
        """Number of accounts in the market."""
        return len(self.account_size)


def split(total: int, shares: tuple[float, ...]) -> Ints:
    """`total`, at least one per share, split into whole parts by shares, none empty."""
    raw = np.array(shares) * total
    parts: Ints = np.maximum(np.floor(raw), 1).astype(np.int64)
    while parts.sum() != total:
        short = parts - raw
        if parts.sum() < total:
            parts[int(np.argmin(short))] += 1
        else:
            parts[int(np.argmax(np.where(parts > 1, short, -np.inf)))] -= 1
    return parts


def make_people(rng: np.random.Generator, cal: Calendar, wins: int, deals: int, p: PeopleParams) -> People:
    """Draw the company's people for `wins` wins a quarter and about `deals` deals over the run."""
    n_seats = max(p.min_seats, round(wins / p.wins_per_seat))
    seat_region = np.repeat(np.arange(len(REGIONS)), split(n_seats, p.region_share))
    seat_team, team_region = _teams(seat_region, p)
    staff = make_staff(rng, cal, seat_region, p)
    reps = make_reps(rng, cal, staff, seat_team, p)
    weeks = np.arange(cal.n_weeks)[None, :]
    tenure = (weeks * 7 - (reps.hired_day - cal.day0)[:, None]) / 7
    ramp = -p.ramp_loss * np.clip(1 - tenure / p.ramp_weeks, 0.0, 1.0)
    n_accounts = max(60, int(np.ceil(deals * p.accounts_per_deal)))
    account_region = rng.choice(len(REGIONS), n_accounts, p=p.region_share).astype(np.int64)
    return People(
        reps=reps,
        seat_rep=staff.holder,
        vacant=staff.vacant,
        realignments=_realignments(rng, cal, seat_region, account_region, staff.vacant, p),
        seat_team=seat_team,
        seat_region=seat_region,
        seat_load=np.exp(rng.normal(0.0, 0.2, n_seats)),
        team_region=team_region,
        n_success=max(1, round(n_seats * p.success_per_seat)),
        ramp=ramp,
        account_size=rng.choice(len(SIZES), n_accounts, p=p.size_share).astype(np.int64),
        account_region=account_region,
        account_industry=rng.integers(0, len(INDUSTRIES), n_accounts),
        account_affinity=rng.normal(0.0, p.affinity_sd, n_accounts),
        account_customer=rng.random(n_accounts) < p.customer_share,
    )


def _teams(seat_region: Ints, p: PeopleParams) -> tuple[Ints, Ints]:
    """Team of each seat and region of each team; a team works in one region."""
    seat_team = np.zeros(len(seat_region), np.int64)
    team_region: list[int] = []
    for region in range(len(REGIONS)):
        seats = np.flatnonzero(seat_region == region)
        n_teams = max(1, round(len(seats) / p.seats_per_team))
        seat_team[seats] = len(team_region) + np.arange(len(seats)) % n_teams
        team_region += [region] * n_teams
    return seat_team, np.array(team_region, np.int64)


def _realignments(
    rng: np.random.Generator, cal: Calendar, seat_region: Ints, account_region: Ints, vacant: Bools, p: PeopleParams
) -> tuple[Realignment, ...]:
    """Draw the territory changes: on the first Monday of a quarter after the first, in a region of several seats."""
    first = int(np.searchsorted(cal.quarter_starts, cal.first_period_day))
    later = cal.quarter_starts[first + 1 : cal.n_quarters]
    regions = np.flatnonzero(np.bincount(seat_region, minlength=len(REGIONS)) > 1)
    made = []
    for start in np.sort(rng.choice(later, min(p.territory_changes, len(later)), replace=False)):
        week = int(np.searchsorted(cal.week_days, start))
        region = int(rng.choice(regions))
        seats = rng.permutation(np.flatnonzero((seat_region == region) & ~vacant[:, week]))
        seats = seats[: max(1, round(p.territory_seats * int((seat_region == region).sum())))]
        account = np.flatnonzero((account_region == region) & (rng.random(len(account_region)) < p.territory_share))
        made.append(Realignment(week, region, account, rng.choice(seats, len(account))))
    return tuple(made)


def person_names(rng: np.random.Generator, n: int) -> list[str]:
    """`n` display names; they may repeat and carry no information."""
    first, last = rng.integers(0, len(FIRST_NAMES), n), rng.integers(0, len(LAST_NAMES), n)
    return [f"{FIRST_NAMES[a]} {LAST_NAMES[b]}" for a, b in zip(first, last, strict=True)]


def account_names(rng: np.random.Generator, n: int) -> list[str]:
    """`n` display names of accounts; they may repeat and carry no information."""
    first, last = rng.integers(0, len(ACCOUNT_FIRST), n), rng.integers(0, len(ACCOUNT_LAST), n)
    return [f"{ACCOUNT_FIRST[a]} {ACCOUNT_LAST[b]}" for a, b in zip(first, last, strict=True)]
