"""The simulated company's people: seats, the reps that sit on them one after another, managers, and the accounts.

A *seat* is a sales position in one territory. A deal belongs to a seat; whoever holds the seat in a week owns the deal,
so turnover moves open deals to the successor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.sources.company_calendar import Bools, Calendar, Floats, Ints

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
class PeopleParams:
    """How many people there are, how they differ, and how long they stay."""

    wins_per_seat: float = 8.0  # wins per quarter that one seat is staffed for
    min_seats: int = 6  # however few the wins
    seats_per_team: int = 8  # about; at least one team a region
    region_share: tuple[float, ...] = (0.50, 0.30, 0.20)  # of accounts, by REGIONS
    turnover_per_year: float = 0.15  # probability that a rep leaves within a year
    ramp_weeks: int = 26  # a new rep's skill grows linearly to its full value
    ramp_loss: float = 0.30  # logit taken from the skill on the first day
    skill_sd: float = 0.32  # logit, between reps
    team_skill_sd: float = 0.15  # logit, between teams
    stage_optimism_mean: float = 0.02  # readiness units added to what the rep sees
    stage_optimism_sd: float = 0.08  # readiness units; positive moves stages early, negative late
    category_bias_mean: float = 0.30  # logit added to the rep's belief before it becomes a category (happy ears)
    category_bias_sd: float = 0.50  # logit
    under_caller_share: float = 0.12  # share of reps that hold deals back
    under_caller_bias: float = -1.20  # logit, mean category bias of those reps
    accounts_per_deal: float = 0.70  # accounts in the market per deal expected over the run
    size_share: tuple[float, ...] = (0.50, 0.33, 0.17)  # of accounts, by SIZES
    affinity_sd: float = 0.30  # logit, between accounts, shared by all deals of the account
    customer_share: float = 0.20  # accounts that had bought before the run began
    success_per_seat: float = 0.10  # customer-success people per seat


@dataclass(frozen=True)
class Reps:
    """Traits of every rep that ever holds a seat, one value per rep. Hidden, save for employment."""

    seat: Ints
    hired_day: Ints
    left_day: Ints  # -1: still there at the end
    skill: Floats  # logit, team part included
    stage_optimism: Floats  # readiness units
    stage_diligence: Floats  # probability that a seen move is recorded in an edit session
    category_bias: Floats  # logit
    under_caller: Bools
    awareness: Floats  # 0-1, how much of a buyer's silence the rep takes in
    push_habit: Floats  # probability that a date that will not hold is moved in an edit session
    small_push: Floats  # share of pushes that move by one to three weeks only
    edit_rate: Floats  # probability of an edit session per deal and week, before urgency
    edit_weekday: Ints  # 0-4, the rep's usual day for the CRM
    intensity: Floats  # multiplies all outbound rates
    same_day: Floats  # share of hand-logged activities that are logged the same day
    lag_days: Floats  # mean lag of the others, days
    never_logged: Floats  # share of hand-logged activities that never reach the CRM
    email_sync: Bools  # mails log themselves within minutes
    contact_diligence: Floats  # share of met contacts that are entered
    rush_level: Ints  # index into RhythmParams.rush_levels
    hygiene: Floats  # multiplies the loss rate of quiet and gone deals: how soon dead deals are closed
    call_bias: Floats  # log, on the amounts of the rep's forecast calls


@dataclass(frozen=True)
class People:
    """Seats, reps, teams and accounts of one run."""

    reps: Reps
    seat_rep: Ints  # (seats, weeks) rep index that holds the seat
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
    seat, hired, left = _employment(rng, cal, n_seats, p)
    reps = _traits(rng, seat, hired, left, seat_team, p)
    first_week = (hired - cal.day0)[:, None]
    weeks = np.arange(cal.n_weeks)[None, :]
    tenure = (weeks * 7 - first_week) / 7
    ramp = -p.ramp_loss * np.clip(1 - tenure / p.ramp_weeks, 0.0, 1.0)
    n_accounts = max(60, int(np.ceil(deals * p.accounts_per_deal)))
    return People(
        reps=reps,
        seat_rep=_seat_holders(seat, hired, n_seats, cal),
        seat_team=seat_team,
        seat_region=seat_region,
        seat_load=np.exp(rng.normal(0.0, 0.2, n_seats)),
        team_region=team_region,
        n_success=max(1, round(n_seats * p.success_per_seat)),
        ramp=ramp,
        account_size=rng.choice(len(SIZES), n_accounts, p=p.size_share).astype(np.int64),
        account_region=rng.choice(len(REGIONS), n_accounts, p=p.region_share).astype(np.int64),
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


def _employment(rng: np.random.Generator, cal: Calendar, n_seats: int, p: PeopleParams) -> tuple[Ints, Ints, Ints]:
    """Seat, hired day and left day (-1: stays) of each rep, ordered by the day on which the seat was taken."""
    weekly = 1 - (1 - p.turnover_per_year) ** (1 / 52)
    leaves = rng.random((n_seats, cal.n_weeks)) < weekly
    leaves[:, :4] = False
    leaves[:, -2:] = False
    seat = [int(s) for s in rng.permutation(n_seats)]
    hired = [int(cal.start_day - d) for d in rng.integers(30, 2_200, n_seats)]
    left = [-1] * n_seats
    holder = {s: i for i, s in enumerate(seat)}
    for week, s in sorted((int(w), int(s)) for s, w in np.argwhere(leaves)):
        monday = int(cal.week_days[week])
        left[holder[s]] = monday - 3  # the Friday before the successor's first Monday
        holder[s] = len(seat)
        seat, hired, left = [*seat, s], [*hired, monday], [*left, -1]
    return np.array(seat, np.int64), np.array(hired, np.int64), np.array(left, np.int64)


def _seat_holders(seat: Ints, hired: Ints, n_seats: int, cal: Calendar) -> Ints:
    """(seats, weeks) index of the rep on each seat; reps are ordered by arrival, so a later one overwrites."""
    holders = np.zeros((n_seats, cal.n_weeks), np.int64)
    for rep, (s, day) in enumerate(zip(seat, hired, strict=True)):
        holders[s, max(0, int(day - cal.day0) // 7) :] = rep
    return holders


def _traits(rng: np.random.Generator, seat: Ints, hired: Ints, left: Ints, seat_team: Ints, p: PeopleParams) -> Reps:
    """Draw each rep's skill and habits; optimism about stages and about categories are correlated (0.4)."""
    n = len(seat)
    team_skill = rng.normal(0.0, p.team_skill_sd, int(seat_team.max()) + 1)
    mood = rng.normal(size=n)
    under = rng.random(n) < p.under_caller_share
    bias = p.category_bias_mean + p.category_bias_sd * (0.4 * mood + np.sqrt(1 - 0.16) * rng.normal(size=n))
    return Reps(
        seat=seat,
        hired_day=hired,
        left_day=left,
        skill=team_skill[seat_team[seat]] + rng.normal(0.0, p.skill_sd, n),
        stage_optimism=p.stage_optimism_mean + p.stage_optimism_sd * mood,
        stage_diligence=rng.uniform(0.60, 0.98, n),
        category_bias=np.where(under, p.under_caller_bias + rng.normal(0.0, 0.2, n), bias),
        under_caller=under,
        awareness=rng.uniform(0.25, 0.95, n),
        push_habit=rng.uniform(0.45, 0.98, n),
        small_push=rng.beta(1.2, 1.8, n),
        edit_rate=rng.uniform(0.40, 0.85, n),
        edit_weekday=rng.integers(0, 5, n),
        intensity=np.exp(rng.normal(0.0, 0.30, n)),
        same_day=rng.uniform(0.35, 0.95, n),
        lag_days=np.exp(rng.normal(np.log(2.5), 0.6, n)),
        never_logged=rng.uniform(0.0, 0.08, n),
        email_sync=rng.random(n) < 0.75,
        contact_diligence=rng.uniform(0.5, 1.0, n),
        rush_level=rng.choice(5, n, p=(0.1, 0.2, 0.4, 0.2, 0.1)).astype(np.int64),
        hygiene=np.exp(rng.normal(0.0, 0.40, n)),
        call_bias=np.where(under, -0.15, 0.06) + rng.normal(0.0, 0.08, n),
    )


def person_names(rng: np.random.Generator, n: int) -> list[str]:
    """`n` display names; they may repeat and carry no information."""
    first, last = rng.integers(0, len(FIRST_NAMES), n), rng.integers(0, len(LAST_NAMES), n)
    return [f"{FIRST_NAMES[a]} {LAST_NAMES[b]}" for a, b in zip(first, last, strict=True)]


def account_names(rng: np.random.Generator, n: int) -> list[str]:
    """`n` display names of accounts; they may repeat and carry no information."""
    first, last = rng.integers(0, len(ACCOUNT_FIRST), n), rng.integers(0, len(ACCOUNT_LAST), n)
    return [f"{ACCOUNT_FIRST[a]} {ACCOUNT_LAST[b]}" for a, b in zip(first, last, strict=True)]
