"""Frames of the simulated company's leads: what the CRM says of them, and the truth behind it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.sources.company_activity import DIRECTIONS, NONE
from features.sources.company_calendar import DAY, Calendar, Ints
from features.sources.company_export import ids, instants, rep_ids, words
from features.sources.company_fields import first_owner_index
from features.sources.company_lead_activity import LEAD_KINDS, LEAD_OUTCOMES, drivers_at
from features.sources.company_lead_deals import LeadWorld
from features.sources.company_leads import CONVERTED, LEAD_SOURCES, NEVER, STATUSES
from features.sources.company_people import INDUSTRIES, REGIONS, SIZES, People, account_names

AGES = {"1min": 60, "1d": DAY, "3d": 3 * DAY, "7d": 7 * DAY, "14d": 14 * DAY, "30d": 30 * DAY}  # seconds
DECIMALS = 6


def lead_ids(lead: Ints, world: LeadWorld) -> pd.Categorical:
    """Numbers of leads as ids."""
    return ids(lead, "L", len(world.deal))


def lead_frames(rng: np.random.Generator, world: LeadWorld, n_deals: int) -> dict[str, pd.DataFrame]:
    """The canonical tables of leads by name. Rows of a log are ordered by known_at, leads by id."""
    facts, n = world.facts, len(world.deal)
    made = instants(facts.created_at)
    leads = pd.DataFrame(
        {
            "lead_id": lead_ids(np.arange(n), world),
            "created_at": made,
            "known_at": made,
            "source": words(facts.source, LEAD_SOURCES),
            "industry": words(facts.industry, INDUSTRIES),
            "size": words(facts.size, SIZES),
            "region": words(facts.region, REGIONS),
            "visits_before": facts.visits,
            "opted_out": world.opted_out_at != NEVER,
            "name": account_names(rng, n),
        }
    )
    return {"leads": leads, "lead_history": _history(world, n_deals), "lead_activities": _activities(world)}


def _history(world: LeadWorld, n_deals: int) -> pd.DataFrame:
    """Changes of status; that a lead is new goes without saying."""
    lead, at, status = world.events.lead, world.events.at, world.events.status
    seq = np.arange(len(lead)) - np.searchsorted(lead, lead)  # by lead already
    order = np.lexsort((lead, at))
    deal = np.where(status == CONVERTED, world.deal[lead], NONE)
    return pd.DataFrame(
        {
            "lead_id": lead_ids(lead[order], world),
            "known_at": instants(at[order]),
            "seq": seq[order],
            "event": words(status[order], STATUSES),
            "deal_id": ids(deal[order], "D", n_deals),
        }
    )


def _activities(world: LeadWorld) -> pd.DataFrame:
    """What was done, by the lead and by us."""
    acts = world.acts
    return pd.DataFrame(
        {
            "lead_id": lead_ids(acts.lead, world),
            "occurred_at": instants(acts.occurred_at),
            "known_at": instants(acts.known_at),
            "kind": words(acts.kind, LEAD_KINDS),
            "direction": words(acts.direction, DIRECTIONS),
            "outcome": words(acts.outcome, LEAD_OUTCOMES),
            "minutes": np.where(acts.minutes == NONE, np.nan, acts.minutes),
        }
    )


def lead_truth_frames(cal: Calendar, people: People, world: LeadWorld, n_deals: int) -> dict[str, pd.DataFrame]:
    """The hidden side of leads."""
    facts, n = world.facts, len(world.deal)
    truth = pd.DataFrame(
        {
            "lead_id": lead_ids(np.arange(n), world),
            "fit": np.round(facts.fit, DECIMALS),
            "rep_id": rep_ids(people, facts.rep + first_owner_index(people)),
            "load": np.round(facts.load, DECIMALS),
            "warmth": np.round(facts.warmth, DECIMALS),
            "to_be_worked": facts.touched_at != NEVER,
            "first_touch_at": instants(facts.touched_at),
            "decided_at": instants(world.decided_at),
            "decision_hazard": np.round(world.hazard_then, 9),
            "converted_at": instants(world.converted_at),
            "deal_id": ids(world.deal, "D", n_deals),
            "opted_out_at": instants(world.opted_out_at),
        }
    )
    ages = [_at_age(cal, world, name, seconds) for name, seconds in AGES.items()]
    return {"leads_truth": truth, "lead_ages_truth": pd.concat(ages, ignore_index=True)}


def _at_age(cal: Calendar, world: LeadWorld, name: str, seconds: int) -> pd.DataFrame:
    """The planted drivers of every lead that reached an age within the run, and the chance of converting they make."""
    as_of = world.facts.created_at + seconds
    seen = drivers_at(world.facts, world.acts, world.events, as_of)
    there = np.flatnonzero(as_of < cal.end_at)
    columns: dict[str, object] = {
        "lead_id": lead_ids(there, world),
        "age": words(np.full(len(there), list(AGES).index(name)), tuple(AGES)),
        "as_of": instants(as_of[there]),
        "open": (seen.status[there] < CONVERTED) & (as_of[there] <= world.opted_out_at[there]),
        "status": words(seen.status[there], STATUSES),
    }
    for driver in ("fit", "fading_3d", "fading_14d", "idle_days", "speed", "connected", "held"):
        columns[driver] = np.round(getattr(seen, driver)[there], DECIMALS)
    columns["hazard"] = np.round(seen.hazard(world.params)[there], 9)
    return pd.DataFrame(columns)
