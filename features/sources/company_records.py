"""What the reps write into the CRM: stages, close dates, amounts, categories, owners, and their weekly calls.

The record follows the truth at a distance. Reps see a noisy readiness, edit when they get round to it, and each has
habits; the close then overwrites what they wrote. Nothing here changes the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from features.sources.company_calendar import DAY, HOUR, Bools, Calendar, Floats, Ints, local_day
from features.sources.company_deals import GONE, LOST, OPEN, QUIET, WON, DealFacts, Truth
from features.sources.company_people import People, Reps

STAGES = ("Qualify", "Discover", "Evaluate", "Propose", "Negotiate", "Verbal", "Closed Won", "Closed Lost")
CATEGORIES = ("pipeline", "best_case", "commit", "omitted", "closed")
PIPELINE, BEST_CASE, COMMIT, OMITTED, CLOSED = range(5)
VERBAL, STAGE_WON, STAGE_LOST = 5, 6, 7
NO_AMOUNT = -1


@dataclass(frozen=True)
class RecordParams:
    """How the truth becomes a record. Readiness units: 0 = start, 1 = ready to sign."""

    stage_at: tuple[float, ...] = (0.15, 0.35, 0.60, 0.80, 0.97)  # seen readiness at which stages 1-5 begin
    deal_noise_sd: float = 0.06  # readiness units, for the deal's whole life
    seen_noise_sd: float = 0.04  # readiness units, weekly innovation
    seen_noise_memory: float = 0.80  # weekly autocorrelation
    one_step: float = 0.35  # chance that a move over several stages is recorded as a single step
    regress_slack: float = 0.08  # readiness below a stage's threshold before it may be set back
    regress_rate: float = 0.25  # chance of setting it back in an edit session
    edit_by_state: tuple[float, ...] = (1.0, 0.85, 0.65, 0.40)  # multiplies the rep's edit rate
    guess_log_mean: float = -0.35  # log, first close date against the segment's usual cycle
    guess_log_sd: float = 0.40  # log
    snap_quarter: float = 0.50  # share of dates moved to the end of their quarter
    snap_month: float = 0.15  # share of dates moved to the end of their month
    snap_back_days: int = 12  # a date this far into a quarter goes back to the end of the previous one
    late_start: float = 0.35  # under-callers: share of quarter-end dates put 3-20 days after it
    push_margin_days: float = 10.0  # expected overrun that makes a rep think of a push
    pull_rate: float = 0.40  # chance of a pull-in in a session where the deal looks well ahead
    belief_slope: float = 6.0  # logit per readiness unit around 0.75
    belief_state: tuple[float, ...] = (0.0, -0.6, -1.8, -3.0)  # logit, times the rep's awareness
    belief_noise_sd: float = 0.50  # logit, per session
    commit_at: float = 1.20  # belief needed for commit (close date in the running quarter)
    best_case_at: float = -0.20  # belief needed for best case
    omit_at: float = -3.50  # belief below which the deal is omitted
    amount_median: tuple[float, ...] = (12_000.0, 45_000.0, 160_000.0)  # currency, by SIZES
    amount_region: tuple[float, ...] = (1.00, 0.92, 0.85)  # multiplies the median, by REGIONS
    amount_expansion: float = 0.60  # multiplies the median
    amount_sd: float = 0.60  # log
    amount_missing: float = 0.15  # share of deals without an amount at first
    amount_change: float = 0.05  # chance of a changed amount in an edit session
    amount_change_at_propose: float = 0.45  # chance when the deal enters Propose or later
    amount_change_log: tuple[float, float] = (-0.02, 0.18)  # mean and sd, log
    signing_log: tuple[float, float] = (-0.06, 0.09)  # mean and sd, log: the discount at signing
    signing_rush: float = -0.05  # log, added in the last 7 days of a quarter
    upsell_rate: float = 0.12  # share of signings with more bought
    upsell_log: tuple[float, float] = (0.18, 0.08)  # mean and sd, log
    stage_probability: tuple[float, ...] = (10, 20, 35, 55, 75, 90)  # percent, the CRM's default by stage
    probability_edit: float = 0.04  # chance that the rep overrides it in a session
    next_step: tuple[float, ...] = (0.80, 0.60, 0.35, 0.15)  # chance that a next step stands, by state
    split_rate: float = 0.30  # share of edits of several fields saved as two rows, 0-240 s apart
    tidy_rate: float = 0.15  # share of wins set to Verbal only 1-10 minutes before the close
    handover_rate: float = 0.40  # share of wins handed to customer success 3-20 days after the close
    call_noise_sd: float = 0.08  # log, on each weekly call
    quota_stretch: float = 1.12  # quota against expected bookings of the seat


@dataclass(frozen=True)
class HistoryRows:
    """Rows of deal_history; columns aligned. `at` in UTC seconds, `amount` in cents, `close_day` in local days."""

    deal: Ints
    at: Ints
    stage: Ints
    amount: Ints
    close_day: Ints
    category: Ints
    owner: Ints  # index into the reps table
    next_step: Ints
    probability: Ints  # percent; the export has 0-1


@dataclass(frozen=True)
class CallRows:
    """Rows of calls. `owner` index into the reps table, `quarter_day` first day of the quarter, `amount` in cents."""

    owner: Ints
    at: Ints
    quarter_day: Ints
    category: Ints
    amount: Ints


Block = TypeVar("Block", HistoryRows, CallRows)


def amount_scale(people: People, facts: DealFacts, p: RecordParams) -> Floats:
    """Median first amount of each deal's segment, in currency."""
    size, region = people.account_size[facts.account], people.account_region[facts.account]
    scale = np.array(p.amount_median)[size] * np.array(p.amount_region)[region]
    return np.asarray(scale * np.where(facts.type == 1, p.amount_expansion, 1.0), np.float64)


def first_owner_index(people: People) -> int:
    """Index in the reps table of rep 0: managers and customer success come first."""
    return len(people.team_region) + people.n_success


class Recorder:
    """Keeps the current record of every deal and collects a row at each change."""

    def __init__(self, rng: np.random.Generator, cal: Calendar, people: People, truth: Truth, p: RecordParams) -> None:
        self.rng, self.cal, self.people, self.truth, self.p = rng, cal, people, truth, p
        self.reps: Reps = people.reps
        n = len(truth.outcome)
        self.rows: list[HistoryRows] = []
        self.calls: list[CallRows] = []
        self.booked = np.zeros((len(people.seat_region), len(cal.quarter_starts)), np.int64)
        self.first_index = first_owner_index(people)
        self.deal_noise = rng.normal(0.0, p.deal_noise_sd, n)
        self.drift = np.zeros(n)
        facts = truth.facts
        rep = people.seat_rep[
            facts.seat, np.minimum((local_day(cal, facts.created_at) - cal.day0) // 7, cal.n_weeks - 1)
        ]
        amount = np.exp(rng.normal(np.log(amount_scale(people, facts, p)), p.amount_sd))
        self.idea = (np.maximum(np.round(amount / 50), 4) * 5_000).astype(np.int64)  # cents, in steps of 50
        self.amount = np.where(rng.random(n) < p.amount_missing, NO_AMOUNT, self.idea)
        self.stage = ((rng.random(n) < 0.06) * 1).astype(np.int64)  # a few enter at Discover
        day = local_day(cal, facts.created_at)
        guess = facts.usual_cycle * 7 * np.exp(rng.normal(p.guess_log_mean, p.guess_log_sd, n))
        guess = guess * np.exp(-2.0 * self.reps.stage_optimism[rep])
        self.close_day = self._snap(day, day + np.maximum(guess, 7), rep)
        self.category = np.zeros(n, np.int64)
        self.owner = rep + self.first_index
        self.next_step = (rng.random(n) < p.next_step[0]).astype(np.int64)
        self.probability = np.array(p.stage_probability, np.int64)[self.stage]
        self._emit(np.arange(n), facts.created_at)

    def run(self) -> tuple[HistoryRows, CallRows]:
        """All rows: history ordered by deal and time, calls by time."""
        weeks = self.truth.weeks
        order = np.argsort(weeks.week, kind="stable")
        edges = np.searchsorted(weeks.week[order], np.arange(self.cal.n_weeks + 1))
        for week in range(self.cal.n_weeks):
            row = order[edges[week] : edges[week + 1]]
            self._change_owners(weeks.deal[row], weeks.rep[row], week)
            self._edit(row, week)
            self._close(weeks.deal[row], week)
            self._call(weeks.deal[row], week + 1)
        history = _join(self.rows, HistoryRows)
        # Rows were emitted in time order within a deal, so a stable sort keeps rows of one second in order.
        keep = np.flatnonzero(history.at < self.cal.end_at)
        keep = keep[np.lexsort((history.at[keep], history.deal[keep]))]
        return _take(history, keep), _join(self.calls, CallRows)

    def _emit(self, deal: Ints, at: Ints) -> None:
        """Append the current record of `deal` as rows known at `at`."""
        self.rows.append(
            HistoryRows(
                deal,
                at,
                self.stage[deal],
                self.amount[deal],
                self.close_day[deal],
                self.category[deal],
                self.owner[deal],
                self.next_step[deal],
                self.probability[deal],
            )
        )

    def _change_owners(self, deal: Ints, rep: Ints, week: int) -> None:
        """Deals of a rep who left go to the successor on Monday, 07:00-08:59."""
        moved = deal[self.owner[deal] != rep + self.first_index]
        if not len(moved):
            return
        self.owner[moved] = self.people.seat_rep[self.truth.facts.seat[moved], week] + self.first_index
        monday = np.full(len(moved), self.cal.week_days[week])
        self._emit(moved, self.cal.utc(monday, self.rng.integers(7 * HOUR, 9 * HOUR, len(moved))))

    def _edit(self, row: Ints, week: int) -> None:
        """One edit session for the deals whose rep gets round to it this week; a row only where something changed."""
        rng, p, weeks, reps = self.rng, self.p, self.truth.weeks, self.reps
        every = weeks.deal[row]
        self.drift[every] = p.seen_noise_memory * self.drift[every] + rng.normal(0.0, p.seen_noise_sd, len(every))
        at, day = self._session_time(weeks.rep[row], week)
        chance = reps.edit_rate[weeks.rep[row]] * np.array(p.edit_by_state)[weeks.state[row]]
        quarter_left = self.cal.quarter_last_day(day) - day
        urgency = 1 + (self.close_day[every] - day <= 7) + 0.5 * (quarter_left <= 21)
        edits = rng.random(len(row)) < 1 - (1 - chance) ** urgency
        # 20 minutes before a close nothing else is edited: the close has its own rows.
        edits &= (at + 1_200 < self.truth.closed_at[every]) & (at > self.truth.facts.created_at[every])
        row, deal, at, day = row[edits], every[edits], at[edits], day[edits]
        rep, state = weeks.rep[row], weeks.state[row]
        seen = weeks.readiness[row] + reps.stage_optimism[rep] + self.deal_noise[deal] + self.drift[deal]
        before = self._current(deal)
        moved = self._move_stage(deal, rep, seen)
        stage_only = self._current(deal)
        self._change_amount(deal, moved)
        left = self._days_left(deal, seen)
        self._move_date(deal, rep, day, left, seen)
        self._choose_category(deal, rep, state, day, seen)
        self.next_step[deal] = np.where(
            rng.random(len(deal)) < 0.5, rng.random(len(deal)) < np.array(p.next_step)[state], self.next_step[deal]
        )
        after = self._current(deal)
        self._save(deal, at, before, stage_only, after)

    def _session_time(self, rep: Ints, week: int) -> tuple[Ints, Ints]:
        """UTC second and local day of each deal's edit session: the rep's usual weekday, or some other."""
        n = len(rep)
        usual = self.rng.random(n) < 0.6
        weekday = np.where(usual, self.reps.edit_weekday[rep], self.rng.integers(0, 5, n))
        day = self.cal.week_days[week] + weekday
        return self.cal.utc(day, self.rng.integers(9 * HOUR, 19 * HOUR, n)), day

    def _current(self, deal: Ints) -> tuple[Ints, ...]:
        """The editable fields of the deals as they stand."""
        return (
            self.stage[deal],
            self.probability[deal],
            self.amount[deal],
            self.close_day[deal],
            self.category[deal],
            self.next_step[deal],
        )

    def _save(
        self, deal: Ints, at: Ints, before: tuple[Ints, ...], middle: tuple[Ints, ...], after: tuple[Ints, ...]
    ) -> None:
        """Emit changed deals; some edits of the stage and more are saved as two rows."""
        stage_moved = before[0] != middle[0]
        rest_moved = np.any([a != b for a, b in zip(middle[1:], after[1:], strict=True)], axis=0)
        two = stage_moved & rest_moved & (self.rng.random(len(deal)) < self.p.split_rate)
        self._restore(deal[two], middle, two)
        self._emit(deal[two], at[two])
        self._restore(deal[two], after, two)
        changed = np.any([a != b for a, b in zip(before, after, strict=True)], axis=0)
        later = np.where(two, self.rng.integers(0, 241, len(deal)), 0)
        self._emit(deal[changed], (at + later)[changed])

    def _restore(self, deal: Ints, values: tuple[Ints, ...], mask: Bools) -> None:
        """Set the editable fields of `deal` to the masked part of `values`."""
        targets = (self.stage, self.probability, self.amount, self.close_day, self.category, self.next_step)
        for target, value in zip(targets, values, strict=True):
            target[deal] = value[mask]

    def _move_stage(self, deal: Ints, rep: Ints, seen: Floats) -> Ints:
        """Record the stage that the rep sees: late, in jumps, sometimes back. Gives the stages moved (signed)."""
        rng, p, n = self.rng, self.p, len(deal)
        old = self.stage[deal]
        target = np.searchsorted(np.array(p.stage_at), seen, side="right").astype(np.int64)
        ahead = (target > old) & (rng.random(n) < self.reps.stage_diligence[rep])
        step = np.where((target - old > 1) & (rng.random(n) < p.one_step), old + 1, target)
        floor = np.append(-np.inf, p.stage_at)[old] - p.regress_slack
        back = (seen < floor) & (rng.random(n) < p.regress_rate)
        new = np.where(ahead, step, np.where(back, target, old))
        self.stage[deal] = new
        override = rng.random(n) < p.probability_edit
        usual = np.array(p.stage_probability, np.int64)[new]
        manual = np.clip(usual + 5 * rng.integers(-4, 5, n), 5, 95)
        kept = np.where(new != old, usual, self.probability[deal])
        self.probability[deal] = np.where(override, manual, kept)
        return new - old

    def _change_amount(self, deal: Ints, moved: Ints) -> None:
        """Fill missing amounts as the deal moves on; change others now and then, above all when proposing."""
        rng, p, n = self.rng, self.p, len(deal)
        proposing = (moved > 0) & (self.stage[deal] >= 3)
        change = rng.random(n) < np.where(proposing, p.amount_change_at_propose, p.amount_change)
        factor = np.where(change, np.exp(rng.normal(*p.amount_change_log, n)), 1.0)
        self.idea[deal] = np.maximum(np.round(self.idea[deal] * factor / 5_000), 4).astype(np.int64) * 5_000
        known = (self.amount[deal] != NO_AMOUNT) | ((self.stage[deal] >= 1) & (rng.random(n) < 0.6))
        self.amount[deal] = np.where(known, self.idea[deal], NO_AMOUNT)

    def _days_left(self, deal: Ints, seen: Floats) -> Floats:
        """Days to signature as the rep sees them: what is missing, at the segment's usual pace."""
        noise = np.exp(self.rng.normal(0.0, 0.25, len(deal)))
        return np.asarray(7 * (np.maximum(1.03 - seen, 0.0) * self.truth.facts.usual_cycle[deal] * noise + 1.5))

    def _snap(self, today: Ints, wanted: Floats | Ints, rep: Ints) -> Ints:
        """Dates as reps enter them: ends of quarters and months are favourites; never on a weekend, never past."""
        rng, p, n = self.rng, self.p, len(today)
        day = np.floor(wanted).astype(np.int64)
        start = self.cal.quarter_starts[self.cal.quarter(day)]
        end = np.where(day - start < p.snap_back_days, start - 1, self.cal.quarter_last_day(day))
        end = np.where(end <= today + 2, self.cal.quarter_last_day(day), end)
        late = self.reps.under_caller[rep] & (rng.random(n) < p.late_start)
        end = end + np.where(late, rng.integers(3, 21, n), 0)
        month = (day.astype("datetime64[D]").astype("datetime64[M]") + 1).astype("datetime64[D]").astype(np.int64) - 1
        u = rng.random(n)
        day = np.where(u < p.snap_quarter, end, np.where(u < p.snap_quarter + p.snap_month, month, day))
        weekday = (day + 3) % 7
        day = day - np.maximum(weekday - 4, 0)
        return np.where(day <= today, today + 3, day)

    def _move_date(self, deal: Ints, rep: Ints, day: Ints, left: Floats, seen: Floats) -> None:
        """Push a date that will not hold (as the rep is in the habit of), pull in one that is far too late."""
        rng, p, n = self.rng, self.p, len(deal)
        old = self.close_day[deal]
        near = old - day <= 12
        will_not = (left > old - day + p.push_margin_days) | (old < day)
        push = near & will_not & (rng.random(n) < self.reps.push_habit[rep])
        pull = (old - day > 21) & (left < 0.5 * (old - day)) & (seen > 0.75) & (rng.random(n) < p.pull_rate)
        small = rng.random(n) < self.reps.small_push[rep]
        target = self._snap(day, day + np.maximum(left, 5), rep)
        pushed = np.where(small | (target <= old), np.maximum(old, day) + rng.integers(7, 22, n), target)
        pull &= ~self.reps.under_caller[rep] & (target < old)
        self.close_day[deal] = np.where(push, pushed, np.where(pull, target, old))

    def _choose_category(self, deal: Ints, rep: Ints, state: Ints, day: Ints, seen: Floats) -> None:
        """The forecast category from the rep's belief and bias; commit and best case are for the running quarter."""
        p, reps = self.p, self.reps
        belief = p.belief_slope * (seen - 0.75) + np.array(p.belief_state)[state] * reps.awareness[rep]
        belief = belief + self.rng.normal(0.0, p.belief_noise_sd, len(deal)) + reps.category_bias[rep]
        now = self.close_day[deal] <= self.cal.quarter_last_day(day)
        giving_up = (state == GONE) & (self.rng.random(len(deal)) < 0.15 * reps.awareness[rep])
        self.category[deal] = np.select(
            [
                giving_up | ((belief < p.omit_at) & (state >= QUIET)),
                now & (belief > p.commit_at),
                now & (belief > p.best_case_at),
                ~now & (belief > p.commit_at + 1.0),
            ],
            [OMITTED, COMMIT, BEST_CASE, BEST_CASE],
            PIPELINE,
        )

    def _close(self, deal: Ints, week: int) -> None:
        """The close overwrites close date, category, probability and, for a win, the amount."""
        rng, p, truth = self.rng, self.p, self.truth
        shut = deal[(truth.closed_week[deal] == week) & (truth.outcome[deal] != OPEN)]
        at = truth.closed_at[shut]
        won = truth.outcome[shut] == WON
        tidy = won & (self.stage[shut] < VERBAL) & (rng.random(len(shut)) < p.tidy_rate)
        self.stage[shut[tidy]], self.probability[shut[tidy]] = VERBAL, p.stage_probability[VERBAL]
        self._emit(shut[tidy], at[tidy] - rng.integers(60, 601, int(tidy.sum())))
        day = local_day(self.cal, at)
        self.amount[shut] = np.where(won, self._signed(shut, day), self.amount[shut])
        self.stage[shut] = np.where(truth.outcome[shut] == LOST, STAGE_LOST, STAGE_WON)
        self.close_day[shut], self.category[shut], self.next_step[shut] = day, CLOSED, 0
        self.probability[shut] = np.where(won, 100, 0)
        self._emit(shut, at)
        seat = truth.facts.seat[shut]
        np.add.at(self.booked, (seat[won], self.cal.quarter(day)[won]), self.amount[shut][won])
        handed = shut[won & (rng.random(len(shut)) < p.handover_rate)]
        self.owner[handed] = len(self.people.team_region) + rng.integers(0, self.people.n_success, len(handed))
        self._emit(handed, truth.closed_at[handed] + rng.integers(3, 21, len(handed)) * DAY)

    def _signed(self, deal: Ints, day: Ints) -> Ints:
        """Cents on the signed contract: a discount, deeper in the last week of the quarter, or an upsell."""
        rng, p, n = self.rng, self.p, len(deal)
        rush = np.where(self.cal.quarter_last_day(day) - day < 7, p.signing_rush, 0.0)
        change = np.minimum(rng.normal(*p.signing_log, n), 0.0) + rush
        change = np.where(rng.random(n) < p.upsell_rate, rng.normal(*p.upsell_log, n), change)
        return np.asarray(np.maximum(np.round(self.idea[deal] * np.exp(change)), 1_000), np.int64)

    def _call(self, deal: Ints, week: int) -> None:
        """Each rep's calls on Monday 08:30-10:59: booked so far, plus commit, plus best case, with bias and noise."""
        if week >= self.cal.n_weeks:
            return
        p, monday, truth = self.p, int(self.cal.week_days[week]), self.truth
        quarter = int(self.cal.quarter(np.array([monday]))[0])
        last = self.cal.quarter_starts[quarter + 1] - 1
        live = deal[(truth.closed_week[deal] >= week) & (self.close_day[deal] <= last)]
        seats = len(self.people.seat_region)
        money = np.maximum(self.amount[live], 0).astype(np.float64)
        seat = truth.facts.seat[live]
        commit = np.bincount(seat, money * (self.category[live] == COMMIT), seats) + self.booked[:, quarter]
        best = commit + np.bincount(seat, money * (self.category[live] == BEST_CASE), seats)
        rep = self.people.seat_rep[:, week]
        bias = np.exp(self.reps.call_bias[rep] + self.rng.normal(0.0, p.call_noise_sd, seats))
        at = self.cal.utc(np.full(seats, monday), self.rng.integers(17 * HOUR // 2, 11 * HOUR, seats))
        for category, amount in ((COMMIT, commit * bias), (BEST_CASE, best * bias)):
            cents = np.round(amount / 10_000).astype(np.int64) * 10_000
            first = np.full(seats, self.cal.quarter_starts[quarter])
            self.calls.append(CallRows(rep + self.first_index, at, first, np.full(seats, category), cents))


def _join(blocks: list[Block], kind: type[Block]) -> Block:
    """One block out of many."""
    return kind(**{f.name: np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(kind)})


def _take(rows: HistoryRows, index: Ints) -> HistoryRows:
    """The rows at `index`."""
    return HistoryRows(**{f.name: getattr(rows, f.name)[index] for f in fields(HistoryRows)})
