"""Which of the simulated company's deals its leads turn into.

Deals are there already and are not touched: a lead that decides gets a deal that is opened in the days after, of a
source that leads feed, best of its size, and the better the lead fits the better the deal's hidden chances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.sources.company_calendar import DAY, Calendar, Floats, Ints
from features.sources.company_deals import DealFacts
from features.sources.company_lead_activity import LeadActs, LeadEvents, LeadLives
from features.sources.company_leads import CONVERTED, DEAL_SOURCE, NEVER, LeadFacts, LeadParams, make_leads
from features.sources.company_people import People

NO_DEAL = -1
OTHER_SIZE = 1.2  # what another size costs, in sd of the ranks
OTHER_REGION = 0.4
A_DAY = 0.05  # what a day of waiting costs


@dataclass(frozen=True)
class LeadWorld:
    """All leads and what became of them. Instants in UTC seconds, NEVER where it did not happen within the run."""

    params: LeadParams
    facts: LeadFacts
    acts: LeadActs  # ordered by known_at, known within the run
    events: LeadEvents  # ordered by lead and time, conversions included
    decided_at: Ints
    hazard_then: Floats  # the chance of converting on the day of the decision; 0 without one
    converted_at: Ints
    deal: Ints  # NO_DEAL: none
    opted_out_at: Ints


def make_lead_world(
    rng: np.random.Generator, cal: Calendar, people: People, wins: int, deals: DealFacts, p: LeadParams
) -> LeadWorld:
    """Simulate the leads of a company with `wins` wins a quarter and these deals."""
    facts = make_leads(rng, cal, people, wins, p)
    lives = LeadLives(rng, cal, people, facts, p)
    acts, events = lives.run()
    converted_at, deal = turn_into(rng, cal, people, lives, deals, p)
    # A plan for a meeting counts when it was made; everything else when it happened.
    before = np.minimum(acts.occurred_at, acts.known_at) < converted_at[acts.lead]
    acts = acts.take(before & (acts.known_at < cal.end_at))
    acts = acts.take(np.lexsort((acts.lead, acts.occurred_at, acts.known_at)))
    gone = np.where(lives.opted_out_at < cal.end_at, lives.opted_out_at, NEVER)
    events = _with_conversions(events, converted_at, cal.end_at)
    return LeadWorld(p, facts, acts, events, lives.decided_at, lives.hazard_then, converted_at, deal, gone)


def _with_conversions(events: LeadEvents, converted_at: Ints, end_at: int) -> LeadEvents:
    """Changes of status within the run and before each lead's conversion, and the conversions."""
    kept = events.at < np.minimum(converted_at[events.lead], end_at)
    leads = np.flatnonzero(converted_at != NEVER)
    lead = np.concatenate([events.lead[kept], leads])
    at = np.concatenate([events.at[kept], converted_at[leads]])
    status = np.concatenate([events.status[kept], np.full(len(leads), CONVERTED)])
    order = np.lexsort((at, lead))
    return LeadEvents(lead[order], at[order], status[order])


def turn_into(
    rng: np.random.Generator, cal: Calendar, people: People, lives: LeadLives, deals: DealFacts, p: LeadParams
) -> tuple[Ints, Ints]:
    """Return when each lead converts (UTC seconds, NEVER) and the deal it becomes (NO_DEAL: none in the export).

    A lead with a deal converts as the deal is created, at the earliest an instant after its decision; one without, at
    the decision. What falls after the end of the run did not happen.
    """
    facts, decided = lives.facts, lives.decided_at
    converted_at, became = decided.copy(), np.full(len(decided), NO_DEAL)
    leads = np.flatnonzero(decided != NEVER)
    want = _blurred(rng, facts.fit[leads], p)
    offer = _blurred(rng, deals.quality, p)
    looks = rng.random(len(leads)) < p.deal_share
    free = deals.type == 0
    for k in np.argsort(decided[leads], kind="stable").tolist():
        lead = leads[k]
        begin, end = np.searchsorted(deals.created_at, (decided[lead], decided[lead] + p.deal_window_days * DAY))
        near = np.arange(begin, end)
        near = near[free[near] & (deals.source[near] == DEAL_SOURCE[facts.source[lead]])]
        if looks[k] and len(near):
            cost = _cost(facts, people, deals, lead, near, decided[lead]) + np.abs(offer[near] - want[k])
            deal = int(near[np.argmin(cost)])
            free[deal], became[lead], converted_at[lead] = False, deal, deals.created_at[deal]
    late = converted_at >= cal.end_at
    return np.where(late, NEVER, converted_at), np.where(late, NO_DEAL, became)


def _blurred(rng: np.random.Generator, values: Floats, p: LeadParams) -> Floats:
    """Values as deviations from their mean in sd, blurred."""
    return np.asarray(
        (values - values.mean()) / max(values.std(), 1e-9) + rng.normal(0.0, p.deal_noise, len(values)), np.float64
    )


def _cost(facts: LeadFacts, people: People, deals: DealFacts, lead: int, near: Ints, decided: int) -> Floats:
    """How ill each deal suits the lead, chances aside."""
    account = deals.account[near]
    cost = OTHER_SIZE * (people.account_size[account] != facts.size[lead])
    cost = cost + OTHER_REGION * (people.account_region[account] != facts.region[lead])
    return np.asarray(cost + A_DAY * (deals.created_at[near] - decided) / DAY, np.float64)
