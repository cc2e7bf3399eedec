"""The simulated company's truth: which deals come, what their buyers go through, and when they are won or lost.

Nothing in this module knows about the CRM: what reps write down is made afterwards (`company_records`,
`company_activity`) from the truth made here, and never feeds back into it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.sources.company_calendar import HOUR, Calendar, Floats, Ints
from features.sources.company_people import People

STATES = ("engaged", "cooling", "quiet", "gone")
ENGAGED, COOLING, QUIET, GONE = range(4)
TYPES = ("new", "expansion")
SOURCES = ("inbound", "outbound", "partner", "event")
OPEN, WON, LOST = range(3)


@dataclass(frozen=True)
class DealParams:
    """The true process. `logit` effects add up; a rate is per week; tables go by STATES, SIZES, SOURCES."""

    expansion_share: float = 0.30  # share of new deals that go to accounts that bought before
    open_deal_damping: float = 0.15  # an account with an open deal is this much less likely to start another
    source_share: tuple[float, ...] = (0.34, 0.36, 0.18, 0.12)  # of new deals, by SOURCES
    quality_mean: float = -0.65  # logit
    quality_sd: float = 0.70  # logit, the deal's own part, seen by nobody
    size_quality: tuple[float, ...] = (0.10, 0.00, -0.25)  # logit
    source_quality: tuple[float, ...] = (0.30, -0.35, 0.20, -0.05)  # logit
    expansion_quality: float = 0.55  # logit
    industry_quality: tuple[float, ...] = (0.20, 0.00, -0.15, 0.10, 0.00, 0.05, -0.20, 0.00)  # logit
    partner_enterprise: float = 0.35  # logit, interaction
    inbound_small: float = 0.20  # logit, interaction
    event_apac: float = -0.25  # logit, interaction
    cycle_weeks: tuple[float, ...] = (9.5, 13.0, 18.5)  # median weeks from start to ready if always engaged
    region_cycle: tuple[float, ...] = (1.00, 1.10, 1.15)  # multiplies the cycle
    expansion_cycle: float = 0.80  # multiplies the cycle
    cycle_sd: float = 0.35  # log, between deals
    cycle_quality: float = -0.10  # log cycle per logit of quality
    start_engaged: float = 0.75  # share that starts engaged; the others start cooling
    progress_by_state: tuple[float, ...] = (1.15, 0.75, 0.15, 0.0)  # multiplies the weekly progress
    progress_shape: float = 1.0  # gamma shape of a week's progress
    setback_rate: float = 0.015  # a week
    setback_size: tuple[float, float] = (0.10, 0.30)  # readiness lost, uniform
    ceiling: float = 1.05  # readiness that a deal of quality 0 can reach
    ceiling_slope: float = 0.10  # per logit of quality
    ceiling_range: tuple[float, float] = (0.55, 1.30)  # readiness, least and greatest ceiling
    state_down: tuple[float, ...] = (0.11, 0.21, 0.15, 0.0)  # weekly probability of the next worse state at quality 0
    state_up: tuple[float, ...] = (0.0, 0.20, 0.09, 0.006)  # weekly probability of the next better state at quality 0
    state_down_slope: float = -0.45  # logit per logit of quality
    state_up_slope: float = 0.30  # logit per logit of quality
    vacancy_down: float = 0.30  # logit on `state_down` while nobody is on the seat: neglect
    vacancy_win: float = -0.30  # logit on the win hazard then
    vacancy_hygiene: float = 0.35  # multiplies the loss rate of quiet and gone deals then: nobody tidies up
    win_rate_max: float = 0.45  # a week: win rate of a deal that is ready beyond doubt
    win_intercept: float = -0.95  # logit at readiness 1, quality 0, engaged
    win_readiness: float = 9.0  # logit per unit of readiness
    win_quality: float = 1.0  # logit per logit of quality
    win_state: tuple[float, ...] = (0.0, -0.7, -1.8, -4.5)  # logit, by state
    loss_rate: tuple[float, ...] = (0.008, 0.016, 0.030, 0.050)  # by state, at quality 0
    loss_quality: float = -0.35  # log rate per logit of quality
    early_loss: float = 0.012  # added rate while readiness is below 0.25: disqualified
    decision_loss: float = 0.110  # added rate once the buyer decides: a competitor is chosen
    decision_at: float = 0.90  # readiness at which half of the decision loss applies
    decision_slope: float = 14.0  # logit per unit of readiness
    decision_quality: float = -0.70  # log rate per logit of quality


@dataclass(frozen=True)
class DealFacts:
    """What is fixed when a deal is created; one value per deal, deals in order of creation."""

    created_at: Ints  # UTC seconds
    first_week: Ints  # the first week that the deal starts open
    account: Ints
    seat: Ints  # that it was created on; it may move (`DealWeeks.seat`)
    type: Ints
    source: Ints
    quality: Floats  # logit, without the rep
    cycle: Floats  # weeks to readiness if always in the middle between engaged and cooling
    usual_cycle: Floats  # the segment's median of it, which reps know


@dataclass(frozen=True)
class DealWeeks:
    """One row per deal and week that it starts open; sorted by deal, then week."""

    deal: Ints
    week: Ints
    seat: Ints  # that it belongs to in that week
    rep: Ints  # owner in that week: who holds the seat, or held it last
    state: Ints
    readiness: Floats  # 0 at the start, about 1 when the buyer can sign
    win_hazard: Floats  # probability of a win within the week
    loss_hazard: Floats


@dataclass(frozen=True)
class Truth:
    """The whole hidden world: deals, their weeks, their ends."""

    facts: DealFacts
    weeks: DealWeeks
    start: Ints  # (deals + 1,) where each deal's weeks begin
    outcome: Ints  # OPEN, WON or LOST at the end of the run
    closed_at: Ints  # UTC seconds; int64 max while open
    closed_week: Ints  # week of the close; n_weeks while open
    initial_state: Ints

    def week_row(self, deal: Ints, week: Ints) -> Ints:
        """Row in `weeks` of each (deal, week), clipped to the deal's own rows; -1 where it has none."""
        own = self.start[deal + 1] - self.start[deal]
        row = self.start[deal] + np.clip(week - self.facts.first_week[deal], 0, np.maximum(own - 1, 0))
        return np.where(own > 0, row, -1)


def sigmoid(x: Floats) -> Floats:
    """Logistic function."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)), np.float64)


def logit(p: Floats) -> Floats:
    """Log-odds; 0 maps to a very negative number."""
    clipped = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), np.float64)


def creation_times(rng: np.random.Generator, cal: Calendar, n: int, season: tuple[float, ...]) -> Ints:
    """(n,) sorted UTC seconds at which deals are created: seasonal by quarter, office hours of weekdays."""
    days = np.arange(cal.start_day, cal.end_day, dtype=np.int64)
    weight = np.array(season)[cal.season_of[cal.quarter(days)]] * np.where((days + 3) % 7 < 5, 1.0, 0.02)
    day = rng.choice(days, n, p=weight / weight.sum())
    second = 8 * HOUR + HOUR // 2 + (rng.beta(1.6, 1.8, n) * 10 * HOUR).astype(np.int64)
    return np.sort(cal.utc(day, second))


class Process:
    """Runs the true process week by week over all active deals. Arrays are per deal; `step` advances one week."""

    def __init__(
        self,
        rng: np.random.Generator,
        cal: Calendar,
        people: People,
        shock: Floats,
        p: DealParams,
        drift_per_year: float = 0.0,
    ) -> None:
        """`shock`: (quarters + spare,) logit on the weekly win hazard by quarter, season included; drift in logits."""
        self.rng, self.cal, self.people, self.p = rng, cal, people, p
        self.lift = self._weekly_lift(shock, drift_per_year)  # (levels, weeks)
        self.customer = people.account_customer.copy()
        self.open_deals = np.zeros(people.n_accounts, np.int64)
        self.account_seat = np.full(people.n_accounts, -1, np.int64)  # -1: any seat of the region

    def run(self, created_at: Ints) -> Truth:
        """Simulate all deals created at the sorted UTC seconds `created_at`."""
        n, cal = len(created_at), self.cal
        edges = np.searchsorted(created_at, cal.utc(cal.week_days, np.zeros(cal.n_weeks, np.int64)))
        edges = np.append(edges, n)
        self.account, self.seat = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.type, self.source, self.state = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.quality, self.cycle, self.usual = np.zeros(n), np.zeros(n), np.zeros(n)
        self.readiness = np.zeros(n)
        outcome, closed_week = np.zeros(n, np.int64), np.full(n, cal.n_weeks, np.int64)
        first_week, initial, first_seat = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        active = np.zeros(0, np.int64)
        rows: list[DealWeeks] = []
        for week in range(cal.n_weeks):
            self._realign(active, week)
            rows.append(self._step(active, week))
            ended = self._end(rows[-1])
            gone = active[ended != OPEN]
            outcome[gone], closed_week[gone] = ended[ended != OPEN], week
            np.subtract.at(self.open_deals, self.account[gone], 1)
            self.customer[self.account[active[ended == WON]]] = True
            new = np.arange(edges[week], edges[week + 1], dtype=np.int64)
            self._create(new, week)
            first_week[new], initial[new], first_seat[new] = week + 1, self.state[new], self.seat[new]
            active = np.concatenate([active[ended == OPEN], new])
        facts = DealFacts(
            created_at,
            first_week,
            self.account,
            first_seat,
            self.type,
            self.source,
            self.quality,
            self.cycle,
            self.usual,
        )
        return self._finish(facts, _stack(rows), outcome, closed_week, initial)

    def _weekly_lift(self, shock: Floats, drift_per_year: float) -> Floats:
        """(levels, weeks) logit lift: the quarters' shocks and the drift, averaged over the week's likely days."""
        days = (self.cal.week_days[:, None] + np.arange(7)).astype(np.int64)
        by_day = shock[self.cal.quarter(days)]
        by_day = by_day + drift_per_year * (days - self.cal.first_period_day) / 365.25
        weight = self.cal.win_weight
        total = np.maximum(weight.sum(axis=2), 1e-12)
        return np.asarray((weight * by_day).sum(axis=2) / total, np.float64)

    def _realign(self, active: Ints, week: int) -> None:
        """Territory changes of the week: accounts get a seat of their own, and their open deals move to it."""
        for change in self.people.realignments:
            if change.week == week:
                self.account_seat[change.account] = change.seat
                moved = active[np.isin(self.account[active], change.account)]
                self.seat[moved] = self.account_seat[self.account[moved]]

    def _create(self, new: Ints, week: int) -> None:
        """Draw account, seat, type, source, quality and cycle of the deals `new`."""
        rng, people, p, n = self.rng, self.people, self.p, len(new)
        expansion = (rng.random(n) < p.expansion_share) & bool(self.customer.any())
        account = np.zeros(n, np.int64)
        free = np.where(self.open_deals > 0, p.open_deal_damping, 1.0)
        for wanted, pool in ((expansion, self.customer), (~expansion, ~self.customer)):
            cumulative = np.cumsum(np.where(pool, free, 0.0))
            at = np.searchsorted(cumulative, rng.random(int(wanted.sum())) * cumulative[-1], side="right")
            account[wanted] = np.minimum(at, people.n_accounts - 1)
        np.add.at(self.open_deals, account, 1)
        self.account[new] = account
        self.type[new] = self.customer[account]
        self.source[new] = rng.choice(len(SOURCES), n, p=p.source_share)
        self.seat[new] = self._seats(account, week)
        self.quality[new] = self._quality(new) + rng.normal(0.0, p.quality_sd, n)
        size, region = people.account_size[account], people.account_region[account]
        usual = np.array(p.cycle_weeks)[size] * np.array(p.region_cycle)[region]
        self.usual[new] = usual * np.where(self.type[new] == 1, p.expansion_cycle, 1.0)
        noise = p.cycle_quality * self.quality[new] + rng.normal(0.0, p.cycle_sd, n)
        self.cycle[new] = self.usual[new] * np.exp(noise)
        self.state[new] = np.where(rng.random(n) < p.start_engaged, ENGAGED, COOLING)

    def _seats(self, account: Ints, week: int) -> Ints:
        """The account's own seat, else one of its region by load; never an empty one (a region is never all empty)."""
        people = self.people
        seat, region = np.zeros(len(account), np.int64), people.account_region[account]
        for r in np.unique(region):
            own = np.flatnonzero((people.seat_region == r) & ~people.vacant[:, week])
            load = people.seat_load[own]
            here = region == r
            seat[here] = self.rng.choice(own, int(here.sum()), p=load / load.sum())
        assigned = self.account_seat[account]
        return np.where((assigned >= 0) & ~people.vacant[assigned, week], assigned, seat)

    def _quality(self, new: Ints) -> Floats:
        """The part of the quality that account, source and type explain, logit."""
        people, p = self.people, self.p
        account, source = self.account[new], self.source[new]
        size, region = people.account_size[account], people.account_region[account]
        total = p.quality_mean + np.array(p.size_quality)[size] + np.array(p.source_quality)[source]
        total = total + np.array(p.industry_quality)[people.account_industry[account]]
        total = total + people.account_affinity[account] + p.expansion_quality * self.type[new]
        total = total + p.partner_enterprise * ((source == 2) & (size == 2))
        total = total + p.inbound_small * ((source == 0) & (size == 0))
        return np.asarray(total + p.event_apac * ((source == 3) & (region == 2)), np.float64)

    def _step(self, active: Ints, week: int) -> DealWeeks:
        """Move buyers and readiness of the active deals into `week` and give the week's hazards."""
        rng, p = self.rng, self.p
        seat = self.seat[active]
        rep, vacant = self.people.seat_rep[seat, week], self.people.vacant[seat, week]
        merit = self.quality[active] + self.people.reps.skill[rep] + self.people.ramp[rep, week]
        state = self.state[active]
        lean = p.state_down_slope * merit + p.vacancy_down * vacant
        down = sigmoid(logit(np.array(p.state_down)[state]) + lean)
        up = sigmoid(logit(np.array(p.state_up)[state]) + p.state_up_slope * merit)
        u = rng.random(len(active))
        state = state + np.where(u < down, 1, np.where(u > 1 - up, -1, 0))
        gain = rng.gamma(p.progress_shape, 1 / p.progress_shape, len(active)) * np.array(p.progress_by_state)[state]
        setback = np.where(rng.random(len(active)) < p.setback_rate, rng.uniform(*p.setback_size, len(active)), 0.0)
        ceiling = np.clip(p.ceiling + p.ceiling_slope * merit, *p.ceiling_range)
        ready = self.readiness[active]
        # A deal beyond its (new) ceiling does not jump back: it only stops gaining.
        ready = np.maximum(np.minimum(ready + gain / self.cycle[active], np.maximum(ceiling, ready)) - setback, 0.0)
        self.state[active], self.readiness[active] = state, ready
        win, loss = self._hazards(seat, merit, state, ready, week)
        return DealWeeks(active, np.full(len(active), week, np.int64), seat, rep, state, ready, win, loss)

    def _hazards(self, seat: Ints, merit: Floats, state: Ints, ready: Floats, week: int) -> tuple[Floats, Floats]:
        """Probabilities of a win and of a loss within the week, for deals open at its start."""
        p, reps, cal = self.p, self.people.reps, self.cal
        rep, vacant = self.people.seat_rep[seat, week], self.people.vacant[seat, week]
        level = reps.rush_level[rep]
        eta = p.win_intercept + p.win_readiness * (ready - 1.0) + p.win_quality * merit
        eta = eta + np.array(p.win_state)[state] + self.lift[level, week] + p.vacancy_win * vacant
        win = p.win_rate_max * sigmoid(eta) * cal.win_weight[level, week].sum(axis=1)
        hygiene = np.where(state >= QUIET, reps.hygiene[rep] * np.where(vacant, p.vacancy_hygiene, 1.0), 1.0)
        loss = np.array(p.loss_rate)[state] * hygiene * np.exp(p.loss_quality * merit)
        loss = loss + p.early_loss * (ready < 0.25)
        decides = sigmoid(p.decision_slope * (ready - p.decision_at))
        loss = loss + p.decision_loss * decides * np.exp(p.decision_quality * merit)
        loss = loss * cal.loss_weight[week].sum()
        both = np.maximum(win + loss, 1e-300)
        ends = -np.expm1(-both)
        return np.asarray(ends * win / both, np.float64), np.asarray(ends * loss / both, np.float64)

    def _end(self, rows: DealWeeks) -> Ints:
        """OPEN, WON or LOST for each row."""
        u = self.rng.random(len(rows.deal))
        return np.where(u < rows.win_hazard, WON, np.where(u < rows.win_hazard + rows.loss_hazard, LOST, OPEN))

    def _finish(self, facts: DealFacts, weeks: DealWeeks, outcome: Ints, closed_week: Ints, initial: Ints) -> Truth:
        """Choose the closing instants and index the weeks by deal."""
        n = len(outcome)
        closed_at = np.full(n, np.iinfo(np.int64).max, np.int64)
        shut = np.flatnonzero(outcome != OPEN)
        week = closed_week[shut]
        start = np.searchsorted(weeks.deal, np.arange(n + 1)).astype(np.int64)
        rep = weeks.rep[start[shut] + week - facts.first_week[shut]]
        win = self.cal.win_weight[self.people.reps.rush_level[rep], week]
        weight = np.cumsum(np.where((outcome[shut] == WON)[:, None], win, self.cal.loss_weight[week]), axis=1)
        u = self.rng.random(len(shut)) * weight[:, -1]
        weekday = np.minimum((u[:, None] >= weight).sum(axis=1), 6)
        # From 09:15, so that a Monday's change of owner (07:00-08:59) is always before the close.
        second = 9 * HOUR + HOUR // 4 + (self.rng.beta(1.8, 1.5, len(shut)) * 10 * HOUR).astype(np.int64)
        closed_at[shut] = self.cal.utc(self.cal.week_days[week] + weekday, second)
        return Truth(facts, weeks, start, outcome, closed_at, closed_week, initial)


def _stack(rows: list[DealWeeks]) -> DealWeeks:
    """All weeks in one table sorted by deal and week."""
    deal = np.concatenate([r.deal for r in rows])
    order = np.argsort(deal, kind="stable")
    columns = {name: np.concatenate([getattr(r, name) for r in rows])[order] for name in DealWeeks.__dataclass_fields__}
    return DealWeeks(**columns)
