"""The simulated company's reps: who holds which seat when, and what each does in their own way.

A *seat* is a sales position in one territory. Reps sit on it one after another, sometimes with empty weeks between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.sources.company_calendar import Bools, Calendar, Floats, Ints

CALLING = ("honest", "under", "over")  # by the planted habit of calling: 0, -1, +1
HONEST, UNDER, OVER = 0, -1, 1


@dataclass(frozen=True)
class PeopleParams:
    """How many people there are, how they differ, and how long they stay."""

    wins_per_seat: float = 8.0  # wins per quarter that one seat is staffed for
    min_seats: int = 6  # however few the wins
    seats_per_team: int = 8  # about; at least one team a region
    region_share: tuple[float, ...] = (0.50, 0.30, 0.20)  # of accounts, by REGIONS
    turnover_per_year: float = 0.15  # probability that a rep leaves within a year
    vacancy_share: float = 0.50  # share of departures that leave the seat empty for some weeks
    vacancy_weeks: tuple[int, int] = (3, 11)  # length of such a gap, uniform, end excluded
    territory_changes: int = 2  # quarter starts, after the burn-in, at which one region is realigned
    territory_share: float = 0.15  # share of the region's accounts that are assigned anew
    territory_seats: float = 0.25  # share of the region's seats that get them, at least one
    ramp_weeks: int = 26  # a new rep's skill grows linearly to its full value
    ramp_loss: float = 0.30  # logit taken from the skill on the first day
    skill_sd: float = 0.32  # logit, between reps
    team_skill_sd: float = 0.15  # logit, between teams
    stage_optimism_mean: float = 0.02  # readiness units added to what the rep sees
    stage_optimism_sd: float = 0.08  # readiness units; positive moves stages early, negative late
    category_bias_mean: float = 0.30  # logit added to the rep's belief before it becomes a category (happy ears)
    category_bias_sd: float = 0.50  # logit
    under_caller_share: float = 0.12  # share of reps that hold deals back; at least one unless 0
    over_caller_share: float = 0.10  # share of reps that call high; at least one unless 0
    call_strengths: tuple[float, ...] = (1.20, 1.35, 1.50)  # levels of planted calling, equally likely: factor on calls
    calling_change_share: float = 0.40  # share of the planted reps that begin or cease within their time
    date_habit_sd: float = 0.20  # log, between reps, on the first close date's distance
    padding_sd: float = 0.15  # log, on first amounts; half of the reps pad, the others do not
    next_step_sd: float = 0.80  # logit, between reps, on the chance that a next step stands
    discount_sd: float = 0.60  # log, between reps, on the discount for signing in a quarter's last week
    reply_hours: float = 5.0  # median over reps of the mean delay of a reply to the buyer, hours
    reply_sd: float = 0.90  # log, between reps, on that delay
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
    category_bias: Floats  # logit, the rep's own, without planted calling
    calling: Ints  # HONEST, UNDER or OVER: the planted habit
    call_strength: Floats  # 1 or more: the planted factor on calls; 1 for honest reps
    calling_from: Ints  # first week of the planted habit
    calling_to: Ints  # first week without it again
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
    call_bias: Floats  # log, on the open part of the rep's forecast calls, without planted calling
    date_habit: Floats  # log, on the distance of the first close date: sandbagged (+) or hopeful (-)
    padding: Floats  # log, 0 or more, added to first amounts and cut when the deal is proposed
    next_step_habit: Floats  # logit, on the chance that a next step stands
    discount_habit: Floats  # multiplies the log discount for signing in a quarter's last week
    reply_hours: Floats  # mean delay of a reply to the buyer's mail
    batch_habit: Floats  # share of weeks in which all edits are made in one sitting on Friday

    def calling_in(self, rep: Ints, week: Ints | int) -> Ints:
        """HONEST, UNDER or OVER: what each rep does in the week, rep and week aligned."""
        return np.where((week >= self.calling_from[rep]) & (week < self.calling_to[rep]), self.calling[rep], HONEST)


@dataclass(frozen=True)
class Staff:
    """Who sits where, when. Reps in the order in which they took their seats."""

    seat: Ints
    hired_day: Ints
    left_day: Ints  # -1: still there at the end
    holder: Ints  # (seats, weeks) rep that holds the seat, or held it last
    vacant: Bools  # (seats, weeks) nobody is on the seat


def make_staff(rng: np.random.Generator, cal: Calendar, seat_region: Ints, p: PeopleParams) -> Staff:
    """Draw departures (on a Friday), empty weeks, and successors (on a Monday)."""
    n_seats = len(seat_region)
    weekly = 1 - (1 - p.turnover_per_year) ** (1 / 52)
    leaves = rng.random((n_seats, cal.n_weeks)) < weekly
    leaves[:, :4] = False
    leaves[:, -2:] = False
    gaps = np.where(rng.random(leaves.shape) < p.vacancy_share, rng.integers(*p.vacancy_weeks, leaves.shape), 0)
    seat = [int(s) for s in rng.permutation(n_seats)]
    hired = [int(cal.start_day - d) for d in rng.integers(30, 2_200, n_seats)]
    left = [-1] * n_seats
    vacant = np.zeros(leaves.shape, np.bool_)
    sitting: dict[int, int | None] = {s: i for i, s in enumerate(seat)}
    for week, s in sorted((int(w), int(s)) for s, w in np.argwhere(leaves)):
        rep = sitting[s]
        if rep is None or hired[rep] >= int(cal.week_days[week]):  # nobody there to leave
            continue
        left[rep] = int(cal.week_days[week]) - 3
        back = week + _gap(int(gaps[s, week]), week, s, vacant, seat_region)
        vacant[s, week:back] = True
        sitting[s] = len(seat) if back < cal.n_weeks else None  # None: nobody comes any more
        if sitting[s] is not None:
            seat, hired, left = [*seat, s], [*hired, int(cal.week_days[back])], [*left, -1]
    order = np.argsort(hired[n_seats:], kind="stable") + n_seats
    order = np.concatenate([np.arange(n_seats), order])
    seats, days = np.array(seat, np.int64)[order], np.array(hired, np.int64)[order]
    return Staff(seats, days, np.array(left, np.int64)[order], _holders(seats, days, n_seats, cal), vacant)


def _gap(wanted: int, week: int, seat: int, vacant: Bools, seat_region: Ints) -> int:
    """Weeks that the seat stays empty from `week` on; none where its region would have nobody left."""
    others = np.flatnonzero((seat_region == seat_region[seat]) & (np.arange(len(seat_region)) != seat))
    if not len(others) or vacant[others, week : week + wanted].all(axis=0).any():
        return 0
    return wanted


def _holders(seat: Ints, hired: Ints, n_seats: int, cal: Calendar) -> Ints:
    """(seats, weeks) index of the rep on each seat; reps are ordered by arrival, so a later one overwrites."""
    holders = np.zeros((n_seats, cal.n_weeks), np.int64)
    for rep, (s, day) in enumerate(zip(seat, hired, strict=True)):
        holders[s, max(0, int(day - cal.day0) // 7) :] = rep
    return holders


def make_reps(rng: np.random.Generator, cal: Calendar, staff: Staff, seat_team: Ints, p: PeopleParams) -> Reps:
    """Draw each rep's skill and habits; optimism about stages and about categories are correlated (0.4)."""
    n = len(staff.seat)
    team_skill = rng.normal(0.0, p.team_skill_sd, int(seat_team.max()) + 1)
    mood = rng.normal(size=n)
    bias = p.category_bias_mean + p.category_bias_sd * (0.4 * mood + np.sqrt(1 - 0.16) * rng.normal(size=n))
    calling, strength, begins, ceases = _calling(rng, cal, staff, p)
    return Reps(
        seat=staff.seat,
        hired_day=staff.hired_day,
        left_day=staff.left_day,
        skill=team_skill[seat_team[staff.seat]] + rng.normal(0.0, p.skill_sd, n),
        stage_optimism=p.stage_optimism_mean + p.stage_optimism_sd * mood,
        stage_diligence=rng.uniform(0.60, 0.98, n),
        category_bias=bias,
        calling=calling,
        call_strength=strength,
        calling_from=begins,
        calling_to=ceases,
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
        call_bias=0.06 + rng.normal(0.0, 0.08, n),
        date_habit=rng.normal(0.0, p.date_habit_sd, n),
        padding=np.maximum(rng.normal(0.0, p.padding_sd, n), 0.0),
        next_step_habit=rng.normal(0.0, p.next_step_sd, n),
        discount_habit=np.exp(rng.normal(0.0, p.discount_sd, n)),
        reply_hours=np.exp(rng.normal(np.log(p.reply_hours), p.reply_sd, n)),
        batch_habit=rng.beta(0.8, 2.4, n),
    )


def _calling(rng: np.random.Generator, cal: Calendar, staff: Staff, p: PeopleParams) -> tuple[Ints, Floats, Ints, Ints]:
    """Plant under- and over-callers: kind, strength, first week, and the week from which they are honest again."""
    n = len(staff.seat)
    order = rng.permutation(n)
    under, over = (max(1, round(share * n)) if share else 0 for share in (p.under_caller_share, p.over_caller_share))
    calling = np.full(n, HONEST, np.int64)
    calling[order[:under]], calling[order[under : under + over]] = UNDER, OVER
    strength = np.ones(n)
    for kind in (UNDER, OVER):  # the levels in turn, so that each is there where reps are enough
        own = rng.permutation(np.flatnonzero(calling == kind))
        strength[own] = np.resize(p.call_strengths, len(own))
    first = np.maximum(staff.hired_day - cal.day0, 0) // 7
    after = np.where(staff.left_day < 0, cal.n_weeks, (staff.left_day - cal.day0) // 7 + 1)
    turn = first + np.round(rng.uniform(0.25, 0.75, n) * (after - first)).astype(np.int64)
    changes, starts = rng.random(n) < p.calling_change_share, rng.random(n) < 0.5
    begins = np.where(changes & starts, turn, 0)
    ceases = np.where(changes & ~starts, turn, cal.n_weeks)
    return calling, strength, begins, ceases
