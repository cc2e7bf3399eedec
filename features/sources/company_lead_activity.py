"""What the simulated company's leads go through, day by day: their acts, our follow-up, their status, the decision.

A lead's interest comes in bursts and is seen by nobody; it drives what the lead does. The decision to convert is drawn
each working day from what the CRM knows at its first instant (`company_leads.Drivers`), and from nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from features.sources.company_activity import (
    CALL,
    CANCELLED,
    CONNECTED,
    CONTENT,
    EMAIL,
    HELD,
    INBOUND,
    KINDS,
    MEETING,
    MUTUAL,
    NO_ANSWER,
    NONE,
    OPENED,
    OUTBOUND,
    OUTCOMES,
    PLANNED,
    SENT,
    VIEWED,
    WEB,
)
from features.sources.company_calendar import DAY, HOUR, Bools, Calendar, Floats, Ints
from features.sources.company_deals import sigmoid
from features.sources.company_leads import (
    DISQUALIFIED,
    MQL,
    NEVER,
    NEW,
    SQL,
    WORKED,
    Drivers,
    LeadFacts,
    LeadParams,
    speed_of,
    working,
)
from features.sources.company_people import People

LEAD_KINDS, LEAD_OUTCOMES = (*KINDS, "campaign"), (*OUTCOMES, "responded")
CAMPAIGN, RESPONDED = len(KINDS), len(OUTCOMES)
OPT_OUT_AFTER = 600  # seconds from what we sent
MIN_OFFICE, MAX_OFFICE = 9 * HOUR, 18 * HOUR


@dataclass(frozen=True)
class LeadActs:
    """Rows of lead_activities; columns aligned. Times in UTC seconds."""

    lead: Ints
    occurred_at: Ints
    known_at: Ints
    kind: Ints
    direction: Ints
    outcome: Ints
    minutes: Ints

    def take(self, rows: Ints | Bools) -> LeadActs:
        """Some of the rows."""
        return LeadActs(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @property
    def theirs(self) -> Bools:
        """Acts of the lead; an opened mail is none, because machines open mails too."""
        return (self.direction == INBOUND) & (self.outcome != OPENED)

    @property
    def by_hand(self) -> Bools:
        """What one of us did: a mail, a call, a meeting that was held."""
        mail_or_call = (self.direction == OUTBOUND) & (self.kind != CAMPAIGN)
        return np.asarray(mail_or_call | self.held, np.bool_)

    @property
    def connected(self) -> Bools:
        """Calls of ours that were answered."""
        return (self.direction == OUTBOUND) & (self.kind == CALL) & (self.outcome == CONNECTED)

    @property
    def held(self) -> Bools:
        """Meetings that took place."""
        return (self.kind == MEETING) & (self.outcome == HELD)


def stacked(blocks: list[LeadActs]) -> LeadActs:
    """One block out of many."""
    return LeadActs(*(np.concatenate([getattr(b, name) for b in blocks]) for name in LeadActs.__dataclass_fields__))


@dataclass(frozen=True)
class LeadEvents:
    """Changes of status; columns aligned, ordered by lead and time."""

    lead: Ints
    at: Ints
    status: Ints


class LeadLives:
    """Lives all leads at once, a day of age at a time: no lead knows of another."""

    def __init__(self, rng: np.random.Generator, cal: Calendar, people: People, facts: LeadFacts, p: LeadParams):
        self.rng, self.cal, self.reps, self.facts, self.p = rng, cal, people.reps, facts, p
        n = len(facts.created_at)
        self.midnights = cal.utc(np.arange(cal.day0, cal.end_day + 2 * p.followed_days), np.array([0]))
        self.status = np.zeros(n, np.int64)
        self.interest = rng.gamma(*p.interest_first, n)
        self.fading_3d, self.fading_14d = np.zeros(n), np.zeros(n)
        self.last_act, self.first_touch = facts.created_at.copy(), np.full(n, NEVER)
        self.connected, self.held = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.acted = np.zeros(n, np.bool_)  # on the day before
        self.decided_at, self.opted_out_at = np.full(n, NEVER), np.full(n, NEVER)
        self.hazard_then = np.zeros(n)  # the chance of converting on the day of the decision
        self.acts: list[LeadActs] = []
        self.events: list[tuple[Ints, Ints, Ints]] = []
        self.to_learn: dict[int, list[LeadActs]] = defaultdict(list)  # by age on the day when the CRM learns of it

    def run(self) -> tuple[LeadActs, LeadEvents]:
        """All acts and changes of status, as if no lead had converted: what comes after is cut off later."""
        for age in range(self.p.followed_days):
            self._live(age)
        lead, at, status = (np.concatenate(column) for column in zip(*self.events, strict=True))
        order = np.lexsort((status, at, lead))
        return stacked(self.acts), LeadEvents(lead[order], at[order], status[order])

    def _midnight(self, day: Ints) -> Ints:
        """UTC second at which each local day begins."""
        return self.midnights[day - self.cal.day0]

    def _live(self, age: int) -> None:
        """One day of every lead that is of that age and still followed."""
        facts, p = self.facts, self.p
        decided_long_ago = self._midnight(facts.day + age) > self.decided_at + (p.deal_window_days + 2) * DAY * (
            self.decided_at != NEVER
        )
        there = (facts.day + age < self.cal.end_day) & ~decided_long_ago & (self.opted_out_at == NEVER)
        lead = np.flatnonzero(there)
        day = facts.day[lead] + age
        seen = self._seen(lead, self._midnight(day))
        gone = self._decide(lead, day, seen)
        self._change(lead, day, seen, gone)
        self._act(lead, day, age)
        self._follow_up(lead, day)
        if age:
            self._campaigns(lead, day)
        self._learn(lead, day, age)

    def _seen(self, lead: Ints, now: Ints) -> Drivers:
        """What the CRM knows at `now`, the first instant of the day."""
        touched = self.first_touch[lead]
        hours = np.where(touched == NEVER, np.inf, (touched - self.facts.created_at[lead]) / HOUR)
        return Drivers(
            self.facts.fit[lead],
            self.fading_3d[lead],
            self.fading_14d[lead],
            np.maximum(now - self.last_act[lead], 0) / DAY,
            speed_of(hours),
            self.connected[lead].astype(np.float64),
            self.held[lead].astype(np.float64),
            self.status[lead],
        )

    def _office(self, day: Ints) -> Ints:
        """Some instant in the office hours of each day."""
        return self.cal.utc(day, self.rng.integers(MIN_OFFICE, MAX_OFFICE, len(day)))

    def _decide(self, lead: Ints, day: Ints, seen: Drivers) -> Bools:
        """Draw who decides to become a customer to be; whoever has, is out of the other draws."""
        chance = np.where(working(day), seen.hazard(self.p), 0.0)
        now = (self.rng.random(len(lead)) < chance) & (self.decided_at[lead] == NEVER)
        self.decided_at[lead[now]] = self._office(day[now])
        self.hazard_then[lead[now]] = chance[now]
        return np.asarray(self.decided_at[lead] != NEVER, np.bool_)

    def _change(self, lead: Ints, day: Ints, seen: Drivers, decided: Bools) -> None:
        """Statuses move: taken up with the first touch, qualified by what is seen, given up, taken up again."""
        p, rng, status = self.p, self.rng, seen.status
        touched = self.facts.touched_at[lead]
        first = (status == NEW) & (touched < self._midnight(day + 1)) & (touched >= self._midnight(day))
        self._set(lead[first], touched[first] + rng.integers(30, 1_800, int(first.sum())), WORKED)
        lean = p.qualify_acts * np.log1p(seen.fading_14d) + p.qualify_fit * seen.fit
        u, busy = rng.random(len(lead)), working(day)
        mql = busy & (status == WORKED) & (u < sigmoid(p.mql + lean))
        sql = busy & (status == MQL) & (u < sigmoid(p.sql + lean))
        idle = p.disqualify_idle * np.minimum(seen.idle_days, 30.0)
        give_up = rng.random(len(lead)) < sigmoid(p.disqualify + idle + p.disqualify_fit * seen.fit)
        give_up &= busy & (status >= WORKED) & (status <= SQL) & ~mql & ~sql & ~decided
        again = busy & (status == DISQUALIFIED) & self.acted[lead] & (rng.random(len(lead)) < p.taken_up_again)
        for moved, to in ((mql, MQL), (sql, SQL), (give_up, DISQUALIFIED), (again, WORKED)):
            self._set(lead[moved], self._office(day[moved]), to)

    def _set(self, lead: Ints, at: Ints, status: int) -> None:
        """Record a change of status."""
        self.status[lead] = status
        self.events.append((lead, at, np.full(len(lead), status, np.int64)))

    def _act(self, lead: Ints, day: Ints, age: int) -> None:
        """What the leads do themselves, more while they are interested."""
        p, rng, n = self.p, self.rng, len(lead)
        burst = rng.random(n) < p.burst_rate * self.facts.warmth[lead]
        fresh = np.where(burst, rng.gamma(*p.burst_size, n), 0.0)
        self.interest[lead] = self.interest[lead] * (p.interest_kept if age else 1.0) + fresh
        rate = (self.interest[lead] + p.rest_acts) * np.where(working(day), 1.0, 0.5)
        slot = np.repeat(np.arange(n), rng.poisson(rate))
        kind = rng.choice(len(KINDS), len(slot), p=p.act_share)
        begin = np.maximum(self._midnight(day[slot]) + 7 * HOUR, self.facts.created_at[lead[slot]] + 30)
        end = np.maximum(self._midnight(day[slot] + 1) - 2 * HOUR, begin + HOUR)
        at = begin + (rng.random(len(slot)) * (end - begin)).astype(np.int64)
        for one, outcome in ((EMAIL, NONE), (CALL, CONNECTED), (CONTENT, VIEWED), (WEB, NONE)):
            mine = slot[kind == one]
            minutes = rng.integers(3, 30, len(mine)) if one == CALL else NONE
            self._log(lead[mine], at[kind == one], one, INBOUND, outcome, minutes)

    def _follow_up(self, lead: Ints, day: Ints) -> None:
        """Our first touch when it is due, and the ones after it on working days while the lead is being worked."""
        p, rng, n = self.p, self.rng, len(lead)
        touched, begin = self.facts.touched_at[lead], self._midnight(day)
        due = (touched >= begin) & (touched < self._midnight(day + 1)) & (self.status[lead] == WORKED)
        since = np.maximum(begin - touched, 0) / DAY
        chance = p.follow_up * np.exp(-since / p.follow_up_days) * self.reps.intensity[self.facts.rep[lead]]
        chance = chance + p.follow_up_act * self.acted[lead]
        more = working(day) & (touched < begin) & (self.status[lead] >= WORKED) & (self.status[lead] <= SQL)
        more &= rng.random(n) < chance
        at = np.where(due, touched, self._office(day))
        called = rng.random(n) < p.call_share
        self._mail(lead[(due | more) & ~called], at[(due | more) & ~called])
        self._call(lead[(due | more) & called], at[(due | more) & called])

    def _mail(self, lead: Ints, at: Ints) -> None:
        """Our mails, the machines that open them, and the leads that want no more of them."""
        self._log(lead, at, EMAIL, OUTBOUND)
        opened = (self.rng.random(len(lead)) < self.p.machine_opens) & self.reps.email_sync[self.facts.rep[lead]]
        delay = self.rng.integers(20, 900, int(opened.sum()))
        self._log(lead[opened], at[opened] + delay, CONTENT, INBOUND, OPENED)
        self._opt_outs(lead, at)

    def _opt_outs(self, lead: Ints, at: Ints) -> None:
        """Some leads want no more mail; they are never approached, nor heard of, again."""
        out = (self.rng.random(len(lead)) < self.p.opt_out) & (self.decided_at[lead] == NEVER)
        self.opted_out_at[lead[out]] = at[out] + OPT_OUT_AFTER

    def _call(self, lead: Ints, at: Ints) -> None:
        """Our calls; an interested lead takes them more often, and may agree to meet."""
        p, rng, n = self.p, self.rng, len(lead)
        answered = rng.random(n) < sigmoid(p.call_answered + p.call_interest * np.log1p(self.interest[lead]))
        minutes = np.where(answered, rng.integers(3, 30, n), 1)
        self._log(lead, at, CALL, OUTBOUND, np.where(answered, CONNECTED, NO_ANSWER), minutes)
        books = answered & (rng.random(n) < p.booking)
        lead, booked = lead[books], at[books] + HOUR
        day = np.searchsorted(self.midnights, booked, side="right") - 1 + self.cal.day0 + rng.integers(1, 8, len(lead))
        day = day + np.where(working(day), 0, 2)
        start = self.cal.utc(day, MIN_OFFICE + rng.integers(0, 16, len(lead)) * HOUR // 2)
        minutes, held = rng.integers(1, 4, len(lead)) * 15, rng.random(len(lead)) < p.meeting_held
        self._keep(lead, start, booked, MEETING, MUTUAL, PLANNED, minutes)
        self._log(lead[held], start[held], MEETING, MUTUAL, HELD, minutes[held])
        off = booked + 60 + (rng.random(len(lead)) * (start - booked - 60)).astype(np.int64)
        self._keep(lead[~held], start[~held], off[~held], MEETING, MUTUAL, CANCELLED)

    def _campaigns(self, lead: Ints, day: Ints) -> None:
        """Every so many days, on a Tuesday, some of the leads that are there are put into a campaign; some answer."""
        p, rng = self.p, self.rng
        sent = ((day - self.cal.day0) % p.campaign_days == 1) & (self.status[lead] != DISQUALIFIED)
        sent &= rng.random(len(lead)) < p.campaign_share
        lead, day = lead[sent], day[sent]
        at = self.cal.utc(day, 10 * HOUR + rng.integers(0, 600, len(lead)))
        self._log(lead, at, CAMPAIGN, OUTBOUND, SENT)
        answers = rng.random(len(lead)) < 1 - np.exp(-p.campaign_answer * self.interest[lead])
        delay = np.minimum(rng.exponential(8.0, int(answers.sum())), 100.0) * HOUR
        self._log(lead[answers], at[answers] + 120 + delay.astype(np.int64), CAMPAIGN, INBOUND, RESPONDED)
        self._opt_outs(lead[~answers], at[~answers])

    def _log(
        self, lead: Ints, at: Ints, kind: int, direction: int, outcome: Ints | int = NONE, minutes: Ints | int = NONE
    ) -> None:
        """Rows of acts that happened at `at`; what is logged by hand comes late sometimes, or never."""
        rng, reps, n = self.rng, self.reps, len(lead)
        rep = self.facts.rep[lead]
        itself = np.full(n, kind in (CONTENT, WEB, CAMPAIGN)) | ((kind == EMAIL) & reps.email_sync[rep])
        length = np.where(np.full(n, minutes) == NONE, 0, minutes) * 60
        late = (rng.exponential(1.0, n) * reps.lag_days[rep] * DAY).astype(np.int64) + 6 * HOUR
        by_hand = np.where(rng.random(n) < reps.same_day[rep], rng.integers(60, 6 * HOUR, n), late)
        known = at + length + np.where(itself, rng.integers(5, 1_200, n), by_hand)
        told = itself | (rng.random(n) >= reps.never_logged[rep])
        self._keep(lead, at, known, kind, direction, outcome, minutes, told)

    def _keep(
        self,
        lead: Ints,
        at: Ints,
        known: Ints,
        kind: int,
        direction: int,
        outcome: Ints | int = NONE,
        minutes: Ints | int = NONE,
        told: Bools | None = None,
    ) -> None:
        """Add rows, and put them where they are learnt of on the day on which they are known."""
        columns = (lead, at, known, kind, direction, outcome, minutes)
        made = LeadActs(*(np.broadcast_to(np.asarray(c, np.int64), len(lead)) for c in columns))
        made = made if told is None else made.take(told)
        self.acts.append(made)
        age = np.searchsorted(self.midnights, made.known_at, side="right") - 1 + self.cal.day0
        age = age - self.facts.day[made.lead]
        for one in np.unique(age).tolist():
            self.to_learn[one].append(made.take(age == one))

    def _learn(self, lead: Ints, day: Ints, age: int) -> None:
        """Bring what the CRM knows of the leads up to the day's end."""
        begin, end = self._midnight(day), self._midnight(day + 1)
        for days, fading in ((3, self.fading_3d), (14, self.fading_14d)):
            fading[lead] *= np.exp2((begin - end) / (days * DAY))
        self.acted[lead] = False
        if age not in self.to_learn:
            return
        rows = stacked(self.to_learn.pop(age))
        theirs = rows.take(rows.theirs)
        left = self._midnight(self.facts.day[theirs.lead] + age + 1) - theirs.known_at
        for days, fading in ((3, self.fading_3d), (14, self.fading_14d)):
            np.add.at(fading, theirs.lead, np.exp2(-left / (days * DAY)))
        np.maximum.at(self.last_act, theirs.lead, theirs.known_at)
        self.acted[theirs.lead] = True
        ours = rows.take(rows.by_hand)
        np.minimum.at(self.first_touch, ours.lead, ours.known_at)
        np.add.at(self.connected, rows.lead[rows.connected], 1)
        np.add.at(self.held, rows.lead[rows.held], 1)


def drivers_at(facts: LeadFacts, acts: LeadActs, events: LeadEvents, as_of: Ints) -> Drivers:
    """What the CRM knows of every lead at its `as_of` (UTC seconds), from the rows themselves."""
    n = len(as_of)
    rows = acts.take(acts.known_at < as_of[acts.lead])
    theirs, ours = rows.take(rows.theirs), rows.take(rows.by_hand)
    ago = (as_of[theirs.lead] - theirs.known_at) / DAY
    last, first = facts.created_at.copy(), np.full(n, NEVER)
    np.maximum.at(last, theirs.lead, theirs.known_at)
    np.minimum.at(first, ours.lead, ours.known_at)
    status = np.zeros(n, np.int64)
    told = events.at < as_of[events.lead]
    status[events.lead[told]] = events.status[told]  # in order of time: the last one stays

    def count(mask: Bools) -> Floats:
        return np.bincount(rows.lead[mask], minlength=n).astype(np.float64)

    return Drivers(
        facts.fit,
        np.bincount(theirs.lead, np.exp2(-ago / 3.0), n),
        np.bincount(theirs.lead, np.exp2(-ago / 14.0), n),
        np.maximum(as_of - last, 0) / DAY,
        speed_of(np.where(first == NEVER, np.inf, (first - facts.created_at) / HOUR)),
        count(rows.connected),
        count(rows.held),
        status,
    )
