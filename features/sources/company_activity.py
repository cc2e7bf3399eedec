"""What people did on the simulated company's deals, and when the CRM came to know it.

Buyers act by their hidden state; reps act by their habits and go on writing to buyers who went quiet. Mail of most reps
and all web and content events log themselves; the rest is logged by hand, sometimes days late, sometimes never.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.sources.company_calendar import DAY, HOUR, Bools, Calendar, Floats, Ints, local_day
from features.sources.company_deals import OPEN, WON, Truth
from features.sources.company_people import People

KINDS = ("email", "call", "meeting", "content", "contract", "web")
EMAIL, CALL, MEETING, CONTENT, CONTRACT, WEB = range(6)
DIRECTIONS = ("inbound", "outbound", "mutual")
INBOUND, OUTBOUND, MUTUAL = range(3)
OUTCOMES = ("connected", "no_answer", "planned", "held", "cancelled", "sent", "returned", "viewed", "opened")
CONNECTED, NO_ANSWER, PLANNED, HELD, CANCELLED, SENT, RETURNED, VIEWED, OPENED = range(9)
ROLES = ("decision_maker", "influencer", "user", "procurement", "technical")
SENIORITIES = ("c_level", "vp", "director", "manager", "staff")
NONE = -1


@dataclass(frozen=True)
class ActivityParams:
    """Mean events a week by STATES unless said otherwise."""

    email_in: tuple[float, ...] = (0.85, 0.32, 0.05, 0.008)  # mails of the buyer
    call_in: tuple[float, ...] = (0.08, 0.02, 0.003, 0.0)  # calls of the buyer
    content: tuple[float, ...] = (0.22, 0.09, 0.03, 0.008)  # documents viewed
    web: tuple[float, ...] = (0.20, 0.11, 0.06, 0.03)  # visits to the web site
    booking: tuple[float, ...] = (0.36, 0.12, 0.015, 0.0)  # meetings put into the calendar
    ad_hoc: tuple[float, ...] = (0.10, 0.03, 0.004, 0.0)  # meetings that were never planned
    email_out: tuple[float, ...] = (0.40, 0.65, 0.72, 0.35)  # our mails beside replies
    reply: float = 0.55  # share of the buyer's mails that the rep answers with a mail of its own row
    opened: tuple[float, ...] = (0.35, 0.22, 0.08, 0.02)  # chance that a mail of a synced rep is seen to be opened
    opened_hours: float = 9.0  # mean time from a mail to its opening
    call_out: tuple[float, ...] = (0.26, 0.30, 0.30, 0.13)  # our calls
    buyer_quality: float = 0.25  # log, on all rates of the buyer, per logit of quality
    deal_talk_sd: float = 0.30  # log, between deals, on all rates of the buyer: some people simply write more
    quarter_push: float = 0.35  # log, on our outbound in the last 3 weeks of a quarter
    connect: tuple[float, ...] = (0.55, 0.35, 0.10, 0.03)  # chance that our call is answered
    cancel: tuple[float, ...] = (0.08, 0.30, 0.75, 0.97)  # chance that a planned meeting is cancelled
    meeting_lead_days: tuple[int, int] = (1, 15)  # from booking to meeting, uniform, end excluded
    contract_from: float = 0.80  # readiness from which contracts move
    contract_out: float = 0.30  # a week, from then on, while engaged or cooling
    contract_in: float = 0.30  # a week, from readiness 0.92, while engaged
    kick_off: float = 0.8  # share of a week's rates that applies in the days after creation
    auto_minutes: int = 20  # largest delay of self-logging, minutes
    contact_first: float = 0.25  # share of deals created with a second contact
    contact_new: tuple[float, ...] = (0.11, 0.04, 0.01, 0.0)  # new people met
    contact_quality: float = 0.30  # log, per logit of quality
    senior_base: float = -0.6  # logit, chance that a new contact is director or above
    senior_quality: float = 0.45  # logit per logit of quality
    senior_enterprise: float = -0.40  # logit, enterprise accounts
    unmatched: float = 0.15  # share of activities whose contact the CRM does not know
    after_win: float = 4.0  # mails and meetings in the 30 days after a win
    after_loss: float = 0.4  # mails in the 30 days after a loss


@dataclass(frozen=True)
class ActivityRows:
    """Rows of activities; columns aligned. Times in UTC seconds; contact is a contact number, NONE = missing."""

    deal: Ints
    occurred_at: Ints
    known_at: Ints
    kind: Ints
    direction: Ints
    contact: Ints
    outcome: Ints
    minutes: Ints


@dataclass(frozen=True)
class ContactRows:
    """Rows of contacts, ordered by the instant they became known; the row number is the contact's number."""

    deal: Ints
    known_at: Ints
    role: Ints
    seniority: Ints


@dataclass(frozen=True)
class Slots:
    """Where activity can happen: one per deal and week, the days after its creation included."""

    deal: Ints
    week: Ints
    rep: Ints
    state: Ints
    readiness: Floats
    staffed: Bools  # somebody is on the seat
    share: Floats  # of the weekly rates
    warmth: Floats  # multiplies the buyer's rates


class Diary:
    """Draws everything that people did. Each method gives blocks of rows, not yet cut at the end of the run."""

    def __init__(
        self, rng: np.random.Generator, cal: Calendar, people: People, truth: Truth, p: ActivityParams
    ) -> None:
        self.rng, self.cal, self.people, self.truth, self.p = rng, cal, people, truth, p
        self.slots = self._slots()
        self.contacts = self._contacts()
        self.by_deal = np.lexsort((self.contacts.known_at, self.contacts.deal))

    def run(self) -> tuple[ActivityRows, ContactRows]:
        """All activities, ordered by known_at, and all contacts."""
        blocks = [*self._buyer(), *self._ours(), *self._contracts(), *self._meetings(), *self._after()]
        parts = {f.name: np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(ActivityRows)}
        keep = np.flatnonzero(parts["known_at"] < self.cal.end_at)
        keep = keep[np.lexsort((parts["deal"][keep], parts["occurred_at"][keep], parts["known_at"][keep]))]
        rows = ActivityRows(**{name: values[keep] for name, values in parts.items()})
        return self._name_contacts(rows), self.contacts

    def _slots(self) -> Slots:
        """The deal-weeks, and before them the rest of the week in which the deal was created."""
        truth, p = self.truth, self.p
        weeks, facts = truth.weeks, truth.facts
        new = np.arange(len(truth.outcome))
        born = facts.first_week - 1
        warmth = np.exp(p.buyer_quality * facts.quality + self.rng.normal(0.0, p.deal_talk_sd, len(new)))
        deal, seat = np.concatenate([weeks.deal, new]), np.concatenate([weeks.seat, facts.seat])
        week = np.concatenate([weeks.week, born])
        return Slots(
            deal,
            week,
            np.concatenate([weeks.rep, self.people.seat_rep[facts.seat, born]]),
            np.concatenate([weeks.state, truth.initial_state]),
            np.concatenate([weeks.readiness, np.zeros(len(new))]),
            ~self.people.vacant[seat, week],
            np.concatenate([np.ones(len(weeks.deal)), np.full(len(new), p.kick_off)]),
            warmth[deal],
        )

    def _draw(self, rate: Floats | NDArray[np.floating[Any]]) -> Ints:
        """Slot number of each event of a Poisson process with `rate` events a slot."""
        return np.repeat(np.arange(len(rate)), self.rng.poisson(rate * self.slots.share))

    def _block(
        self, slot: Ints, at: Ints, kind: int, direction: int, outcome: Ints | int = NONE, minutes: Ints | int = NONE
    ) -> ActivityRows:
        """Rows that happened at `at`, logged by the rep's habits.

        What falls before the creation or after the close, or is never logged, is left out.
        """
        deal, rep, reps, n = self.slots.deal[slot], self.slots.rep[slot], self.people.reps, len(slot)
        itself = np.full(n, kind in (CONTENT, WEB)) | ((kind == EMAIL) & reps.email_sync[rep])
        length = np.where(np.full(n, minutes) == NONE, 0, minutes) * 60
        known = at + length + self._lag(rep, itself)
        # Nobody logs by hand what reaches an empty seat.
        lost = ~itself & ((self.rng.random(n) < reps.never_logged[rep]) | ~self.slots.staffed[slot])
        keep = (at > self.truth.facts.created_at[deal]) & (at + length < self.truth.closed_at[deal]) & ~lost
        full = (deal, at, known, kind, direction, NONE, outcome, minutes)
        columns = [np.broadcast_to(np.asarray(c, np.int64), n)[keep] for c in full]
        return ActivityRows(**dict(zip(ActivityRows.__dataclass_fields__, columns, strict=True)))

    def _lag(self, rep: Ints, itself: Bools) -> Ints:
        """Seconds from the end of an activity to its row in the CRM."""
        rng, reps, n = self.rng, self.people.reps, len(rep)
        auto = rng.integers(5, self.p.auto_minutes * 60, n)
        soon = rng.integers(60, 6 * HOUR, n)
        late = (rng.exponential(1.0, n) * reps.lag_days[rep] * DAY).astype(np.int64) + 6 * HOUR
        by_hand = np.where(rng.random(n) < reps.same_day[rep], soon, late)
        return np.where(itself, auto, by_hand)

    def _buyer(self) -> list[ActivityRows]:
        """What the buyer does: replies, calls, reading, visits."""
        p, s = self.p, self.slots
        made = []
        for kind, table, weekend in (
            (EMAIL, p.email_in, 0.04),
            (CALL, p.call_in, 0.0),
            (CONTENT, p.content, 0.10),
            (WEB, p.web, 0.15),
        ):
            slot = self._draw(np.array(table)[s.state] * s.warmth)
            at = self.cal.office(self.rng, s.week[slot], weekend)
            outcome = {CALL: CONNECTED, CONTENT: VIEWED}.get(kind, NONE)
            minutes = self.rng.integers(3, 40, len(slot)) if kind == CALL else NONE
            made.append(self._block(slot, at, kind, INBOUND, outcome, minutes))
            if kind == EMAIL:
                made += self._replies(slot, at)
        return made

    def _replies(self, slot: Ints, at: Ints) -> list[ActivityRows]:
        """Our answers to the buyer's mails, as soon as the rep gets round to it in office hours."""
        answered = (self.rng.random(len(slot)) < self.p.reply) & self.slots.staffed[slot]
        slot, at = slot[answered], at[answered]
        delay = self.rng.exponential(1.0, len(slot)) * self.people.reps.reply_hours[self.slots.rep[slot]]
        at = self.cal.next_office(self.rng, at + 300 + (delay * HOUR).astype(np.int64))
        there = ~self._unattended(self.slots.deal[slot], local_day(self.cal, at))
        return self._mails(slot[there], at[there])

    def _unattended(self, deal: Ints, day: Ints) -> Bools:
        """Whether the deal's seat is empty on the local day; False beyond the deal's weeks."""
        week, weeks = (day - self.cal.day0) // 7, self.truth.weeks
        row = self.truth.week_row(deal, week)
        own = (row >= 0) & (weeks.week[row] == week)
        return np.asarray(own & self.people.vacant[weeks.seat[row], weeks.week[row]], np.bool_)

    def _mails(self, slot: Ints, at: Ints) -> list[ActivityRows]:
        """Our mails, and the openings that the mail system of synced reps notices."""
        deal, truth = self.slots.deal[slot], self.truth
        sent = self.people.reps.email_sync[self.slots.rep[slot]]
        sent &= (at > truth.facts.created_at[deal]) & (at < truth.closed_at[deal])
        seen = sent & (self.rng.random(len(slot)) < np.array(self.p.opened)[self.slots.state[slot]])
        delay = (self.rng.exponential(self.p.opened_hours, int(seen.sum())) * HOUR).astype(np.int64) + 60
        return [
            self._block(slot, at, EMAIL, OUTBOUND),
            self._block(slot[seen], at[seen] + delay, CONTENT, INBOUND, OPENED),
        ]

    def _ours(self) -> list[ActivityRows]:
        """What the rep sends and dials; it depends little on whether the buyer answers."""
        p, s = self.p, self.slots
        left = self.cal.quarter_last_day(self.cal.week_days[s.week]) - self.cal.week_days[s.week]
        drive = self.people.reps.intensity[s.rep] * np.exp(p.quarter_push * (left < 21)) * s.staffed
        slot = self._draw(np.array(p.email_out)[s.state] * drive)
        mails = self._mails(slot, self.cal.office(self.rng, s.week[slot], 0.02))
        slot = self._draw(np.array(p.call_out)[s.state] * drive)
        answered = self.rng.random(len(slot)) < np.array(p.connect)[s.state[slot]]
        minutes = np.where(answered, self.rng.integers(3, 40, len(slot)), 1)
        at = self.cal.office(self.rng, s.week[slot])
        calls = self._block(slot, at, CALL, OUTBOUND, np.where(answered, CONNECTED, NO_ANSWER), minutes)
        return [*mails, calls]

    def _contracts(self) -> list[ActivityRows]:
        """Drafts sent once the deal is far along, and returned ones once the buyer is nearly ready."""
        p, s = self.p, self.slots
        slot = self._draw(p.contract_out * ((s.readiness > p.contract_from) & (s.state <= 1) & s.staffed))
        sent = self._block(slot, self.cal.office(self.rng, s.week[slot]), CONTRACT, OUTBOUND, SENT)
        slot = self._draw(p.contract_in * ((s.readiness > 0.92) & (s.state == 0)))
        returned = self._block(slot, self.cal.office(self.rng, s.week[slot]), CONTRACT, INBOUND, RETURNED)
        return [sent, returned]

    def _meetings(self) -> list[ActivityRows]:
        """Meetings: a planned row when booked, then a held or a cancelled one; and some that were never planned."""
        p, s, rng, truth = self.p, self.slots, self.rng, self.truth
        slot = self._draw(np.array(p.ad_hoc)[s.state] * s.warmth * s.staffed)
        at = self.cal.office(rng, s.week[slot])
        ad_hoc = self._block(slot, at, MEETING, MUTUAL, HELD, rng.integers(1, 5, len(slot)) * 15)
        slot = self._draw(np.array(p.booking)[s.state] * s.warmth * s.staffed)
        booked = self.cal.office(rng, s.week[slot])
        deal = s.deal[slot]
        use = (booked > truth.facts.created_at[deal]) & (booked < truth.closed_at[deal])
        slot, booked, deal = slot[use], booked[use], deal[use]
        day = local_day(self.cal, booked) + rng.integers(*p.meeting_lead_days, len(slot))
        day = day + np.where((day + 3) % 7 >= 5, 2, 0)
        at = self.cal.utc(day, 9 * HOUR + rng.integers(0, 18, len(slot)) * HOUR // 2)
        n = len(slot)
        kind, direction, contact = np.full(n, MEETING), np.full(n, MUTUAL), np.full(n, NONE)
        minutes = rng.integers(1, 5, n) * 15
        planned = ActivityRows(deal, at, booked, kind, direction, contact, np.full(n, PLANNED), minutes)
        week = (day - self.cal.day0) // 7
        row = truth.week_row(deal, week)
        state = np.where(row >= 0, truth.weeks.state[np.maximum(row, 0)], 0)
        off = (rng.random(n) < np.array(p.cancel)[state]) | self._unattended(deal, day)
        happens = at + minutes * 60 < truth.closed_at[deal]
        done = ~off & happens
        held = self._block(slot[done], at[done], MEETING, MUTUAL, HELD, minutes[done])
        # Called off at some instant between the booking and one hour after it should have begun (a no-show).
        gap = at - booked + HOUR
        called_off = booked + 60 + (rng.beta(3.0, 1.0, n) * (gap - 60)).astype(np.int64)
        off &= called_off < truth.closed_at[deal]
        cancelled = ActivityRows(
            deal[off],
            at[off],  # the CRM keeps the scheduled start
            called_off[off] + rng.integers(0, 2 * HOUR, int(off.sum())),
            kind[off],
            direction[off],
            contact[off],
            np.full(int(off.sum()), CANCELLED),
            np.full(int(off.sum()), NONE),
        )
        return [ad_hoc, planned, held, cancelled]

    def _after(self) -> list[ActivityRows]:
        """The trickle after the close: onboarding after a win, a last mail after a loss."""
        p, rng, truth = self.p, self.rng, self.truth
        rate = np.where(truth.outcome == WON, p.after_win, np.where(truth.outcome == OPEN, 0.0, p.after_loss))
        deal = np.repeat(np.arange(len(rate)), rng.poisson(rate))
        n = len(deal)
        at = truth.closed_at[deal] + 600 + (rng.exponential(9.0, n).clip(0, 30) * DAY).astype(np.int64)
        kind = np.where((rng.random(n) < 0.2) & (truth.outcome[deal] == WON), MEETING, EMAIL)
        direction = np.where(kind == MEETING, MUTUAL, np.where(rng.random(n) < 0.45, INBOUND, OUTBOUND))
        minutes = np.where(kind == MEETING, 30, NONE)
        known = at + np.maximum(minutes, 0) * 60 + rng.integers(5, 3 * HOUR, n)
        outcome = np.where(kind == MEETING, HELD, NONE)
        return [ActivityRows(deal, at, known, kind, direction, np.full(n, NONE), outcome, minutes)]

    def _contacts(self) -> ContactRows:
        """People met: one at creation, often a second, more while the buyer is engaged and the deal is good."""
        p, s, rng, truth = self.p, self.slots, self.rng, self.truth
        n = len(truth.outcome)
        second = np.flatnonzero(rng.random(n) < p.contact_first)
        rate = np.array(p.contact_new)[s.state] * np.exp(p.contact_quality * truth.facts.quality[s.deal])
        slot = self._draw(rate * self.people.reps.contact_diligence[s.rep] * s.staffed)
        met = self.cal.office(rng, s.week[slot])
        known = met + self._lag(s.rep[slot], np.zeros(len(slot), np.bool_))
        inside = (met > truth.facts.created_at[s.deal[slot]]) & (known < truth.closed_at[s.deal[slot]])
        slot, known = slot[inside], known[inside]
        deal = np.concatenate([np.arange(n), second, s.deal[slot]])
        at = np.concatenate([truth.facts.created_at, truth.facts.created_at[second], known])
        enterprise = self.people.account_size[truth.facts.account[deal]] == 2
        lift = p.senior_base + p.senior_quality * truth.facts.quality[deal] + p.senior_enterprise * enterprise
        senior = rng.random(len(deal)) < 1 / (1 + np.exp(-lift))
        seniority = np.where(senior, rng.integers(0, 3, len(deal)), rng.integers(3, 5, len(deal)))
        buys = rng.random(len(deal)) < np.where(senior, 0.55, 0.08)
        role = np.where(buys, 0, rng.integers(1, 5, len(deal)))
        keep = np.flatnonzero(at < self.cal.end_at)
        keep = keep[np.lexsort((deal[keep], at[keep]))]
        return ContactRows(deal[keep], at[keep], role[keep], seniority[keep])

    def _name_contacts(self, rows: ActivityRows) -> ActivityRows:
        """Give each activity one of the contacts that the CRM knew when it happened; the earliest ones most often."""
        contacts, rng, n = self.contacts, self.rng, len(rows.deal)
        span = np.int64(1) << 33  # more than any UTC second in use
        keys = contacts.deal[self.by_deal] * span + contacts.known_at[self.by_deal]
        first = np.searchsorted(keys, rows.deal * span)
        seen = np.minimum(rows.occurred_at, rows.known_at)
        known = np.maximum(np.searchsorted(keys, rows.deal * span + seen, side="right") - first, 1)
        pick = self.by_deal[first + np.minimum((rng.random(n) ** 2 * known).astype(np.int64), known - 1)]
        unknown = (rng.random(n) < self.p.unmatched) | (rows.kind == WEB)
        contact = np.where(unknown, NONE, pick)
        return ActivityRows(
            rows.deal, rows.occurred_at, rows.known_at, rows.kind, rows.direction, contact, rows.outcome, rows.minutes
        )
