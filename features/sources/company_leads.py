"""The simulated company's leads: who comes in, how fast somebody takes them up, and what makes them convert.

Leads draw from a stream of their own and know of deals only what they turn into (`company_lead_deals`), so that deals
are the same with and without them. Everything that the chance of converting hangs on can be seen in the export.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.sources.company_calendar import DAY, HOUR, Bools, Calendar, Floats, Ints
from features.sources.company_deals import sigmoid
from features.sources.company_people import People

LEAD_SOURCES = ("web", "content", "search", "event", "partner", "list")
EVENT, LIST = 3, 5
DEAL_SOURCE = np.array([0, 0, 0, 3, 2, 1])  # by LEAD_SOURCES: the source of the deal that it may become
STATUSES = ("new", "worked", "mql", "sql", "converted", "disqualified")
NEW, WORKED, MQL, SQL, CONVERTED, DISQUALIFIED = range(6)
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class LeadParams:
    """Leads. `logit` effects add up; a rate is per day; tables go by LEAD_SOURCES, SIZES, INDUSTRIES, STATUSES."""

    leads_per_win: float = 9.0  # leads that come in for each win that is expected
    lead_source_share: tuple[float, ...] = (0.20, 0.26, 0.19, 0.14, 0.10, 0.11)  # by LEAD_SOURCES
    event_days: int = 21  # days between uploads of the leads of an event
    list_days: int = 28  # days between uploads of bought lists
    visits_mean: float = 3.0  # mean visits to our site before the lead came in; geometric
    unworked_base: float = -2.0  # logit, chance that nobody ever takes it up
    unworked_source: tuple[float, ...] = (-0.9, 0.3, 0.0, 0.4, -1.0, 0.9)  # logit
    unworked_load: float = 0.5  # logit, per log of the rep's load
    touch_hours: tuple[float, ...] = (4.0, 20.0, 9.0, 40.0, 8.0, 60.0)  # median hours to the first touch
    touch_load: float = 0.7  # log hours, per log of the rep's load
    touch_sd: float = 1.1  # log hours, between leads
    hazard_base: float = -7.35  # logit of the daily chance of converting
    hazard_source: tuple[float, ...] = (0.50, -0.20, 0.10, -0.05, 0.60, -0.90)  # logit
    hazard_size: tuple[float, ...] = (-0.15, 0.20, 0.10)  # logit
    hazard_industry: tuple[float, ...] = (0.40, 0.00, -0.30, 0.25, 0.00, 0.10, -0.45, 0.00)  # logit
    hazard_visits: float = 0.40  # logit, per log of 1 + visits before
    event_enterprise: float = 0.50  # logit, interaction
    hazard_fading_3d: float = 1.00  # logit, per log of 1 + acts of the lead, fading by half in 3 days
    hazard_fading_14d: float = 0.50  # logit, per log of 1 + acts of the lead, fading by half in 14 days
    hazard_fit_acts: float = 0.20  # logit, interaction of the fit with that of 14 days
    hazard_idle: float = -0.06  # logit, per day since its last act or its coming in, up to 30
    hazard_speed: float = 1.00  # logit: first touch at once, falling with the log of hours to 0 at 5 days
    hazard_connected: float = 0.35  # logit, per call of ours that was answered, up to 3
    hazard_held: float = 0.70  # logit, per meeting held, up to 2
    hazard_status: tuple[float, ...] = (0.0, 0.0, 0.50, 1.10, 0.0, 0.0)  # logit, by STATUSES
    interest_first: tuple[float, float] = (0.6, 0.7)  # shape and scale of the interest it comes in with: acts a day
    interest_kept: float = 0.85  # of the interest, a day
    burst_rate: float = 0.010  # new bursts of interest, a day
    burst_size: tuple[float, float] = (1.5, 0.7)  # shape and scale: acts a day
    warmth_sd: float = 0.5  # log, between leads, on the rate of bursts
    act_share: tuple[float, ...] = (0.14, 0.05, 0.0, 0.22, 0.0, 0.59)  # of the lead's acts, by KINDS
    rest_acts: float = 0.01  # acts a day without interest
    machine_opens: float = 0.45  # share of our mails that a machine opens within minutes
    follow_up: float = 0.22  # chance of a follow-up on a working day, just after the first touch
    follow_up_days: float = 18.0  # days in which that fades to a third
    follow_up_act: float = 0.30  # chance added when the lead acted the day before
    call_share: float = 0.45  # of our touches; the others are mails
    call_answered: float = -1.8  # logit, at no interest
    call_interest: float = 0.9  # logit, per log of 1 + interest
    booking: float = 0.35  # chance that an answered call books a meeting
    meeting_held: float = 0.75  # share of booked meetings that are held
    campaign_days: int = 14  # days between campaigns
    campaign_share: float = 0.30  # of the leads that are there, put into a campaign
    campaign_answer: float = 0.22  # answers per unit of interest
    opt_out: float = 0.009  # chance per mail or campaign of ours
    mql: float = -5.0  # logit of the daily chance that marketing qualifies a worked lead
    sql: float = -4.3  # logit of the daily chance that sales accepts a marketing qualified one
    qualify_acts: float = 1.1  # logit of both, per log of 1 + acts, fading by half in 14 days
    qualify_fit: float = 0.5  # logit of both, per logit of fit
    disqualify: float = -5.2  # logit of the daily chance that a worked lead is given up
    disqualify_idle: float = 0.055  # logit, per day since its last act, up to 30
    disqualify_fit: float = -0.5  # logit, per logit of fit
    taken_up_again: float = 0.04  # daily chance that a lead that was given up and acted the day before is taken up
    followed_days: int = 150  # after so many days nobody does anything any more
    deal_window_days: int = 10  # a deal that a lead turns into is opened within so many days of the decision
    deal_share: float = 0.90  # of the conversions that look for a deal
    deal_noise: float = 0.25  # sd of what blurs the rank by which fit and a deal's chances are matched


@dataclass(frozen=True)
class LeadFacts:
    """What is fixed when a lead comes in; one value per lead, leads in the order of coming in."""

    created_at: Ints  # UTC seconds
    day: Ints  # local
    source: Ints
    size: Ints
    industry: Ints
    region: Ints
    visits: Ints  # to our site, before
    fit: Floats  # logit
    rep: Ints
    load: Floats  # leads of the same rep in the 7 days before, against the usual
    touched_at: Ints  # first touch, UTC seconds; NEVER where nobody takes it up
    warmth: Floats


@dataclass(frozen=True)
class Drivers:
    """All that the chance of converting hangs on, as known at one instant; aligned."""

    fit: Floats
    fading_3d: Floats  # acts of the lead, fading by half in 3 days
    fading_14d: Floats
    idle_days: Floats  # since its last act, or since it came in
    speed: Floats  # 1: touched at once, 0: after 5 days or not yet
    connected: Floats  # calls of ours that were answered
    held: Floats  # meetings
    status: Ints

    def hazard(self, p: LeadParams) -> Floats:
        """Chance of converting on a working day; 0 unless the lead is worked and open."""
        recent, longer = np.log1p(self.fading_3d), np.log1p(self.fading_14d)
        eta = p.hazard_base + self.fit + p.hazard_fading_3d * recent
        eta = eta + (p.hazard_fading_14d + p.hazard_fit_acts * self.fit) * longer
        eta = eta + p.hazard_idle * np.minimum(self.idle_days, 30.0) + p.hazard_speed * self.speed
        eta = eta + p.hazard_connected * np.minimum(self.connected, 3) + p.hazard_held * np.minimum(self.held, 2)
        eta = eta + np.array(p.hazard_status)[self.status]
        return np.where((self.status >= WORKED) & (self.status <= SQL), sigmoid(eta), 0.0)


def speed_of(hours: Floats) -> Floats:
    """How fast the first touch was: 1 at once, 0 after 5 days or more; hours may be infinite."""
    return np.clip(1.0 - np.log1p(hours) / np.log1p(120.0), 0.0, 1.0)


def working(day: Ints) -> Bools:
    """Whether each local day is Monday to Friday."""
    return np.asarray((day + 3) % 7 < 5, np.bool_)  # 1970-01-01 was a Thursday


def make_leads(rng: np.random.Generator, cal: Calendar, people: People, wins: int, p: LeadParams) -> LeadFacts:
    """Draw everything that is fixed as leads come in, for `wins` wins a quarter; ordered by the instant."""
    n = round(p.leads_per_win * wins * cal.n_quarters)
    source = rng.choice(len(LEAD_SOURCES), n, p=p.lead_source_share).astype(np.int64)
    day, second = _arrivals(rng, cal, source, p)
    created_at = cal.utc(day, second)
    order = np.argsort(created_at, kind="stable")
    created_at, day, source = created_at[order], day[order], source[order]
    account = rng.integers(0, people.n_accounts, n)  # leads are like the market; which account it is nobody knows
    size, region = people.account_size[account], people.account_region[account]
    industry, visits = people.account_industry[account], rng.geometric(1 / (1 + p.visits_mean), n) - 1
    rep = _reps(rng, cal, people, region, day)
    load = _load(rep, created_at)
    return LeadFacts(
        created_at=created_at,
        day=day,
        source=source,
        size=size,
        industry=industry,
        region=region,
        visits=visits,
        fit=_fit(source, size, industry, visits, p),
        rep=rep,
        load=load,
        touched_at=_first_touch(rng, cal, people, created_at, source, rep, load, p),
        warmth=np.exp(rng.normal(0.0, p.warmth_sd, n)),
    )


def _arrivals(rng: np.random.Generator, cal: Calendar, source: Ints, p: LeadParams) -> tuple[Ints, Ints]:
    """Local day and second: the web never sleeps, and lists and visitors of events are uploaded in a few minutes."""
    n = len(source)
    days = np.arange(cal.start_day, cal.end_day)
    weight = np.where(working(days), 1.0, 0.35)
    day = rng.choice(days, n, p=weight / weight.sum())
    second = np.minimum((rng.beta(2.2, 1.8, n) * 18 * HOUR).astype(np.int64) + 6 * HOUR, DAY - 2 * HOUR)
    uploaded = rng.integers(0, 600, n) + 10 * HOUR
    for kind, every in ((EVENT, p.event_days), (LIST, p.list_days)):
        batch = cal.start_day + ((day - cal.start_day) // every) * every
        batch = batch + np.where(working(batch), 0, 2)
        ours = (source == kind) & (batch < cal.end_day)
        day, second = np.where(ours, batch, day), np.where(ours, uploaded, second)
    return day, second


def _reps(rng: np.random.Generator, cal: Calendar, people: People, region: Ints, day: Ints) -> Ints:
    """Who gets each lead: somebody of its region who is there in that week, by load."""
    week = np.minimum((day - cal.day0) // 7, cal.n_weeks - 1)
    u, rep = rng.random(len(day)), np.zeros(len(day), np.int64)
    for r in np.unique(region):
        own, here = np.flatnonzero(people.seat_region == r), np.flatnonzero(region == r)
        share = np.where(people.vacant[own], 0.0, people.seat_load[own, None]).cumsum(axis=0)
        seat = (u[here] * share[-1, week[here]] >= share[:, week[here]]).sum(axis=0)
        rep[here] = people.seat_rep[own[np.minimum(seat, len(own) - 1)], week[here]]
    return rep


def _load(rep: Ints, created_at: Ints) -> Floats:
    """Leads that each rep got in the 7 days before, one added to both, against the mean over all."""
    span = int(created_at.max()) + 1
    key = rep * span + created_at  # created_at is in order
    ordered = np.sort(key)
    low = rep * span + np.maximum(created_at - 7 * DAY, 0)
    before = 1.0 + np.searchsorted(ordered, key) - np.searchsorted(ordered, low)
    return np.asarray(before / before.mean(), np.float64)


def _fit(source: Ints, size: Ints, industry: Ints, visits: Ints, p: LeadParams) -> Floats:
    """What the lead is, as logits of the hazard; 0 for a web lead-like middle of all."""
    fit = np.array(p.hazard_source)[source] + np.array(p.hazard_size)[size] + np.array(p.hazard_industry)[industry]
    fit = fit + p.hazard_visits * (np.log1p(visits) - np.log1p(p.visits_mean))
    return np.asarray(fit + p.event_enterprise * ((source == EVENT) & (size == 2)), np.float64)


def _first_touch(
    rng: np.random.Generator,
    cal: Calendar,
    people: People,
    created_at: Ints,
    source: Ints,
    rep: Ints,
    load: Floats,
    p: LeadParams,
) -> Ints:
    """When somebody first reaches out: in office hours, later with a full desk and a slow rep, or never."""
    n = len(source)
    slow = 0.3 * np.log(people.reps.reply_hours[rep] / np.median(people.reps.reply_hours))
    log_hours = np.log(p.touch_hours)[source] + p.touch_load * np.log(load) + slow
    hours = np.exp(log_hours + rng.normal(0.0, p.touch_sd, n))
    at = cal.next_office(rng, created_at + 120 + (hours * HOUR).astype(np.int64))
    never = sigmoid(p.unworked_base + np.array(p.unworked_source)[source] + p.unworked_load * np.log(load))
    return np.where(rng.random(n) < never, NEVER, at)
