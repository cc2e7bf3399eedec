"""What the simulated company's reps say of their deals: forecast categories and weekly calls, honest and planted.

Beside everything that a rep says stands what the same rep, with the same chances, would have said without a planted
habit of calling low or high. That twin is the truth against which flags of under- and over-called deals are judged.
"""

from __future__ import annotations

import numpy as np

from features.sources.company_calendar import HOUR, Bools, Calendar, Floats, Ints
from features.sources.company_deals import GONE, QUIET
from features.sources.company_fields import (
    BEST_CASE,
    COMMIT,
    OMITTED,
    PIPELINE,
    CallRows,
    DealCallRows,
    RecordParams,
    RepWeekRows,
    first_owner_index,
)
from features.sources.company_people import People
from features.sources.company_reps import HONEST

CALL_STEP = 10_000  # cents


class Caller:
    """Chooses categories, makes the calls, and keeps the honest twin of both. Collects rows as the weeks go by."""

    def __init__(
        self, rng: np.random.Generator, cal: Calendar, people: People, honest_day: Ints, p: RecordParams
    ) -> None:
        """`honest_day`: close date of each deal without planted habits; the recorder keeps it up to date."""
        self.rng, self.cal, self.people, self.p = rng, cal, people, p
        self.honest_day = honest_day
        self.honest_category = np.full(len(honest_day), PIPELINE, np.int64)
        self.booked = np.zeros((len(people.seat_region), len(cal.quarter_starts)), np.int64)
        self.calls: list[CallRows] = []
        self.rep_weeks: list[RepWeekRows] = []
        self.deal_calls: list[DealCallRows] = []

    def book(self, seat: Ints, day: Ints, amount: Ints) -> None:
        """Count wins (cents) for the seat and the quarter of the local day."""
        np.add.at(self.booked, (seat, self.cal.quarter(day)), amount)

    def choose(
        self, deal: Ints, rep: Ints, calling: Ints, state: Ints, day: Ints, seen: Floats, close_day: Ints
    ) -> Ints:
        """Categories to record, from the rep's belief and bias; the honest ones are kept aside."""
        p, reps = self.p, self.people.reps
        belief = p.belief_slope * (seen - 0.75) + np.array(p.belief_state)[state] * reps.awareness[rep]
        belief = belief + self.rng.normal(0.0, p.belief_noise_sd, len(deal)) + reps.category_bias[rep]
        giving_up = (state == GONE) & (self.rng.random(len(deal)) < 0.15 * reps.awareness[rep])
        end = self.cal.quarter_last_day(day)
        shift = p.calling_logit * calling * np.log(reps.call_strength[rep])
        self.honest_category[deal] = self._category(belief, giving_up, state, self.honest_day[deal] <= end)
        return self._category(belief + shift, giving_up, state, close_day <= end)

    def _category(self, belief: Floats, giving_up: Bools, state: Ints, now: Bools) -> Ints:
        """Commit and best case are for the running quarter (`now`)."""
        p = self.p
        rules = [
            giving_up | ((belief < p.omit_at) & (state >= QUIET)),
            now & (belief > p.commit_at),
            now & (belief > p.best_case_at),
            ~now & (belief > p.commit_at + 1.0),
        ]
        return np.select(rules, [OMITTED, COMMIT, BEST_CASE, BEST_CASE], PIPELINE)

    def call(self, week: int, deal: Ints, seat: Ints, category: Ints, close_day: Ints, amount: Ints) -> None:
        """Each rep's calls on Monday 08:30-10:59: booked so far, plus the open part with bias, noise and strength.

        deal, seat, category, close_day, amount: the open deals as recorded, aligned.
        """
        rng, people, monday = self.rng, self.people, int(self.cal.week_days[week])
        seats = np.flatnonzero(~people.vacant[:, week])
        rep = people.seat_rep[seats, week]
        calling = people.reps.calling_in(rep, week)
        strength = np.where(calling == HONEST, 1.0, people.reps.call_strength[rep])
        quarter = int(self.cal.quarter(np.array([monday]))[0])
        due = self.honest_day[deal] < self.cal.quarter_starts[quarter + 1]
        noise = np.exp(people.reps.call_bias[rep] + rng.normal(0.0, self.p.call_noise_sd, len(seats)))
        at = self.cal.utc(np.full(len(seats), monday), rng.integers(17 * HOUR // 2, 11 * HOUR, len(seats)))
        open_part = np.zeros(len(seats))
        booked, said, honest = self.booked[seats, quarter], [], []
        for level in (COMMIT, BEST_CASE):
            money = np.where(due & (self.honest_category[deal] == level), np.maximum(amount, 0), 0)
            open_part = open_part + np.bincount(seat, money, len(people.seat_region))[seats] * noise
            honest.append(_rounded(booked + open_part))
            said.append(_rounded(booked + open_part * strength**calling))
            first = np.full(len(seats), self.cal.quarter_starts[quarter])
            self.calls.append(
                CallRows(rep + first_owner_index(people), at, first, np.full(len(seats), level), said[-1])
            )
        held = np.bincount(seat, minlength=len(people.seat_region))[seats]
        owner, same = rep + first_owner_index(people), np.full(len(seats), week)
        self.rep_weeks.append(
            RepWeekRows(owner, same, calling, strength, held, booked, honest[0], said[0], honest[1], said[1])
        )
        self._keep_deals(week, deal, seat, category, close_day)

    def _keep_deals(self, week: int, deal: Ints, seat: Ints, category: Ints, close_day: Ints) -> None:
        """Truth of the deals that a planted habit touches now, or has left its mark on."""
        rep = self.people.seat_rep[seat, week]
        calling = np.where(self.people.vacant[seat, week], HONEST, self.people.reps.calling_in(rep, week))
        honest, day = self.honest_category[deal], self.honest_day[deal]
        row = np.flatnonzero((calling != HONEST) | (honest != category) | (day != close_day))
        deal, category, close_day, honest, day = deal[row], category[row], close_day[row], honest[row], day[row]
        owner, same = rep[row] + first_owner_index(self.people), np.full(len(row), week)
        self.deal_calls.append(DealCallRows(deal, same, owner, calling[row], honest, category, day, close_day))


def _rounded(cents: Floats) -> Ints:
    """Cents in whole steps of a call."""
    return np.round(cents / CALL_STEP).astype(np.int64) * CALL_STEP
