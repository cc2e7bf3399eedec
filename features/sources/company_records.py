"""What the reps write into the CRM: stages, close dates, amounts, categories, owners, and their weekly calls.

The record follows the truth at a distance. Reps see a noisy readiness, edit when they get round to it, and each has
habits; the close then overwrites what they wrote. Nothing here changes the truth.
"""

from __future__ import annotations

import numpy as np

from features.sources.company_calendar import DAY, HOUR, Bools, Calendar, Floats, Ints, local_day
from features.sources.company_calling import Caller
from features.sources.company_deals import LOST, OPEN, WON, Truth, logit, sigmoid
from features.sources.company_fields import (
    CLOSED,
    NO_AMOUNT,
    STAGE_LOST,
    STAGE_WON,
    VERBAL,
    HistoryRows,
    RecordParams,
    amount_scale,
    first_owner_index,
    join,
    take,
)
from features.sources.company_people import People
from features.sources.company_reps import OVER, UNDER, Reps


class Recorder:
    """Keeps the current record of every deal and collects a row at each change."""

    def __init__(self, rng: np.random.Generator, cal: Calendar, people: People, truth: Truth, p: RecordParams) -> None:
        self.rng, self.cal, self.people, self.truth, self.p = rng, cal, people, truth, p
        self.reps: Reps = people.reps
        n = len(truth.outcome)
        self.rows: list[HistoryRows] = []
        self.seat = truth.facts.seat.copy()
        self.first_index = first_owner_index(people)
        self.deal_noise = rng.normal(0.0, p.deal_noise_sd, n)
        self.drift = np.zeros(n)
        facts = truth.facts
        day = local_day(cal, facts.created_at)
        week = np.minimum((day - cal.day0) // 7, cal.n_weeks - 1)
        rep = people.seat_rep[facts.seat, week]
        amount = np.exp(rng.normal(np.log(amount_scale(people, facts, p)), p.amount_sd))
        self.idea = (np.maximum(np.round(amount / 50), 4) * 5_000).astype(np.int64)  # cents, in steps of 50
        self.padding = self.reps.padding[rep]
        self.amount = np.where(rng.random(n) < p.amount_missing, NO_AMOUNT, self._padded(np.arange(n)))
        self.stage = ((rng.random(n) < 0.06) * 1).astype(np.int64)  # a few enter at Discover
        guess = facts.usual_cycle * 7 * np.exp(rng.normal(p.guess_log_mean, p.guess_log_sd, n))
        guess = guess * np.exp(self.reps.date_habit[rep] - 2.0 * self.reps.stage_optimism[rep])
        calling = self.reps.calling_in(rep, week)
        late = (calling == UNDER) * p.late_start * np.log(self.reps.call_strength[rep])
        honest_day, self.close_day = self._snap(day, day + np.maximum(guess, 7), late)
        self.caller = Caller(rng, cal, people, honest_day, p)
        self.category = np.zeros(n, np.int64)
        self.owner = rep + self.first_index
        self.next_step = (rng.random(n) < self._next_step_chance(rep, np.zeros(n, np.int64))).astype(np.int64)
        self.probability = np.array(p.stage_probability, np.int64)[self.stage]
        self._emit(np.arange(n), facts.created_at)

    def run(self) -> tuple[HistoryRows, Caller]:
        """All rows: history ordered by deal and time; the caller holds calls and their truth."""
        weeks = self.truth.weeks
        order = np.argsort(weeks.week, kind="stable")
        edges = np.searchsorted(weeks.week[order], np.arange(self.cal.n_weeks + 1))
        for week in range(self.cal.n_weeks):
            row = order[edges[week] : edges[week + 1]]
            self._change_owners(row, week)
            deal = weeks.deal[row]
            if len(deal):
                self.caller.call(
                    week, deal, self.seat[deal], self.category[deal], self.close_day[deal], self.amount[deal]
                )
            self._edit(row, week)
            self._close(deal, week)
        history = join(self.rows, HistoryRows)
        # Rows were emitted in time order within a deal, so a stable sort keeps rows of one second in order.
        keep = np.flatnonzero(history.at < self.cal.end_at)
        keep = keep[np.lexsort((history.at[keep], history.deal[keep]))]
        return take(history, keep), self.caller

    def _emit(self, deal: Ints, at: Ints, editor: Ints | None = None) -> None:
        """Append the current record of `deal` as rows known at `at`, saved by the owner or else the `editor`."""
        self.rows.append(
            HistoryRows(
                deal,
                at,
                self.stage[deal],
                self.amount[deal],
                self.close_day[deal],
                self.category[deal],
                self.owner[deal],
                self.owner[deal] if editor is None else editor,
                self.next_step[deal],
                self.probability[deal],
            )
        )

    def _change_owners(self, row: Ints, week: int) -> None:
        """Successors and realigned territories get their deals on Monday, 07:00-08:29, each batch in one second.

        A manager saves a batch: all deals of one successor's seat, or all that a realignment moves.
        """
        weeks, people = self.truth.weeks, self.people
        deal, seat, owner = weeks.deal[row], weeks.seat[row], weeks.rep[row] + self.first_index
        realigned = self.seat[deal] != seat
        changed = (self.owner[deal] != owner) | realigned
        deal, seat, owner, realigned = deal[changed], seat[changed], owner[changed], realigned[changed]
        self.seat[deal] = seat
        self.owner[deal] = owner
        # Batches: 0..seats-1 for successors, then one for each region's realignment, by its first team's manager.
        region, n_seats = people.seat_region[seat], len(people.seat_region)
        batch = np.where(realigned, n_seats + region, seat)
        first_team = np.searchsorted(people.team_region, region)
        editor = np.where(realigned, first_team, people.seat_team[seat])
        second = self.rng.integers(7 * HOUR, 17 * HOUR // 2, n_seats + len(people.team_region))
        monday = np.full(len(deal), self.cal.week_days[week])
        self._emit(deal, self.cal.utc(monday, second[batch]), editor)

    def _next_step_chance(self, rep: Ints, state: Ints) -> Floats:
        """Chance that a next step stands, by the buyer's state and the rep's habit."""
        return sigmoid(logit(np.array(self.p.next_step)[state]) + self.reps.next_step_habit[rep])

    def _padded(self, deal: Ints) -> Ints:
        """The amounts that reps enter, cents in steps of 50: their idea of the deal, and what they put on top."""
        return np.maximum(np.round(self.idea[deal] * np.exp(self.padding[deal]) / 5_000), 4).astype(np.int64) * 5_000

    def _edit(self, row: Ints, week: int) -> None:
        """One edit session for the deals whose rep gets round to it this week; a row only where something changed."""
        rng, p, weeks, reps = self.rng, self.p, self.truth.weeks, self.reps
        every = weeks.deal[row]
        self.drift[every] = p.seen_noise_memory * self.drift[every] + rng.normal(0.0, p.seen_noise_sd, len(every))
        at, day, sitting = self._session_time(weeks.rep[row], week)
        chance = reps.edit_rate[weeks.rep[row]] * np.array(p.edit_by_state)[weeks.state[row]]
        quarter_left = self.cal.quarter_last_day(day) - day
        urgency = 1 + (self.close_day[every] - day <= 7) + 0.5 * (quarter_left <= 21) + sitting
        edits = rng.random(len(row)) < 1 - (1 - chance) ** urgency
        edits &= ~self.people.vacant[weeks.seat[row], week]
        # 20 minutes before a close nothing else is edited: the close has its own rows.
        edits &= (at + 1_200 < self.truth.closed_at[every]) & (at > self.truth.facts.created_at[every])
        row, deal, at, day = row[edits], every[edits], at[edits], day[edits]
        rep, state = weeks.rep[row], weeks.state[row]
        calling = self.reps.calling_in(rep, week)
        seen = weeks.readiness[row] + reps.stage_optimism[rep] + self.deal_noise[deal] + self.drift[deal]
        before = self._current(deal)
        moved = self._move_stage(deal, rep, seen)
        stage_only = self._current(deal)
        self._change_amount(deal, moved)
        left = self._days_left(deal, seen)
        self._move_date(deal, rep, calling, day, left, seen)
        self.category[deal] = self.caller.choose(deal, rep, calling, state, day, seen, self.close_day[deal])
        stands = rng.random(len(deal)) < self._next_step_chance(rep, state)
        self.next_step[deal] = np.where(rng.random(len(deal)) < 0.5, stands, self.next_step[deal])
        after = self._current(deal)
        self._save(deal, at, before, stage_only, after)

    def _session_time(self, rep: Ints, week: int) -> tuple[Ints, Ints, Bools]:
        """UTC second and local day of each deal's edit session, and whether it is part of the rep's weekly sitting.

        A session is on the rep's usual weekday or some other; a sitting on Friday afternoon, or on the quarter's last
        working day where the week has it, within 20 minutes.
        """
        n, rng, monday = len(rep), self.rng, int(self.cal.week_days[week])
        usual = rng.random(n) < 0.6
        weekday = np.where(usual, self.reps.edit_weekday[rep], rng.integers(0, 5, n))
        sitting = (rng.random(len(self.reps.seat)) < self.reps.batch_habit)[rep]
        begin = rng.integers(13 * HOUR, 17 * HOUR, len(self.reps.seat))[rep]
        last = int(self.cal.quarter_last_day(np.array([monday]))[0])
        day = monday + np.where(sitting, min(last - monday, 4), weekday)
        second = np.where(sitting, begin + rng.integers(0, 1_200, n), rng.integers(9 * HOUR, 19 * HOUR, n))
        return self.cal.utc(day, second), day, sitting

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
        self.padding[deal] = np.where(proposing & (rng.random(n) < p.padding_cut), 0.0, self.padding[deal])
        self.idea[deal] = np.maximum(np.round(self.idea[deal] * factor / 5_000), 4).astype(np.int64) * 5_000
        known = (self.amount[deal] != NO_AMOUNT) | ((self.stage[deal] >= 1) & (rng.random(n) < 0.6))
        self.amount[deal] = np.where(known, self._padded(deal), NO_AMOUNT)

    def _days_left(self, deal: Ints, seen: Floats) -> Floats:
        """Days to signature as the rep sees them: what is missing, at the segment's usual pace."""
        noise = np.exp(self.rng.normal(0.0, 0.25, len(deal)))
        return np.asarray(7 * (np.maximum(1.03 - seen, 0.0) * self.truth.facts.usual_cycle[deal] * noise + 1.5))

    def _snap(self, today: Ints, wanted: Floats | Ints, lateness: Floats) -> tuple[Ints, Ints]:
        """Dates as reps enter them: ends of quarters and months are favourites; never on a weekend, never past.

        Gives the honest date, and the one entered: with chance `lateness` a quarter's end becomes a day just after it.
        """
        rng, p, n = self.rng, self.p, len(today)
        day = np.floor(wanted).astype(np.int64)
        start = self.cal.quarter_starts[self.cal.quarter(day)]
        end = np.where(day - start < p.snap_back_days, start - 1, self.cal.quarter_last_day(day))
        end = np.where(end <= today + 2, self.cal.quarter_last_day(day), end)
        late = np.where(rng.random(n) < lateness, rng.integers(3, 21, n), 0)
        month = (day.astype("datetime64[D]").astype("datetime64[M]") + 1).astype("datetime64[D]").astype(np.int64) - 1
        u = rng.random(n)

        def entered(end: Ints) -> Ints:
            chosen = np.where(u < p.snap_quarter, end, np.where(u < p.snap_quarter + p.snap_month, month, day))
            chosen = _working(chosen)
            return np.where(chosen <= today, today + 3, chosen)

        return entered(end), entered(end + late)

    def _move_date(self, deal: Ints, rep: Ints, calling: Ints, day: Ints, left: Floats, seen: Floats) -> None:
        """Push a date that will not hold (as the rep is in the habit of), pull in one that is far too late.

        Under-callers never pull in; over-callers pull in what cannot close yet, and push only what is past. The honest
        date follows the same rep's rule without that, with the same chances.
        """
        rng, p, n = self.rng, self.p, len(deal)
        strength = np.log(self.reps.call_strength[rep])
        plain, entered = self._snap(day, day + np.maximum(left, 5), (calling == UNDER) * p.late_start * strength)
        willing, eager = rng.random(n) < self.reps.push_habit[rep], rng.random(n) < p.pull_rate
        small, step = rng.random(n) < self.reps.small_push[rep], rng.integers(7, 22, n)

        def moved(old: Ints, target: Ints, holds_on: Bools, may_pull: Bools) -> Ints:
            will_not = ((left > old - day + p.push_margin_days) & ~holds_on) | (old < day)
            push = (old - day <= 12) & will_not & willing
            pull = (old - day > 21) & (left < 0.5 * (old - day)) & (seen > 0.75) & eager & may_pull & (target < old)
            pushed = np.where(small | (target <= old), np.maximum(old, day) + step, target)
            return np.where(push, pushed, np.where(pull, target, old))

        honest = self.caller.honest_day
        honest[deal] = moved(honest[deal], plain, np.zeros(n, np.bool_), np.ones(n, np.bool_))
        new = moved(self.close_day[deal], entered, calling == OVER, calling != UNDER)
        end = self.cal.quarter_last_day(day)
        drag = (calling == OVER) & (new > end) & (end - day >= 10) & (seen > p.drag_from)
        drag &= rng.random(n) < p.drag_rate * strength
        self.close_day[deal] = np.where(drag, _working(end), new)

    def _close(self, deal: Ints, week: int) -> None:
        """The close overwrites close date, category, probability and, for a win, the amount."""
        rng, p, truth = self.rng, self.p, self.truth
        shut = deal[(truth.closed_week[deal] == week) & (truth.outcome[deal] != OPEN)]
        at = truth.closed_at[shut]
        won = truth.outcome[shut] == WON
        # Nobody is on some seats; a manager closes for them.
        seat = self.seat[shut]
        editor = np.where(self.people.vacant[seat, week], self.people.seat_team[seat], self.owner[shut])
        tidy = won & (self.stage[shut] < VERBAL) & (rng.random(len(shut)) < p.tidy_rate)
        self.stage[shut[tidy]], self.probability[shut[tidy]] = VERBAL, p.stage_probability[VERBAL]
        self._emit(shut[tidy], at[tidy] - rng.integers(60, 601, int(tidy.sum())), editor[tidy])
        day = local_day(self.cal, at)
        self.amount[shut] = np.where(won, self._signed(shut, day), self.amount[shut])
        self.stage[shut] = np.where(truth.outcome[shut] == LOST, STAGE_LOST, STAGE_WON)
        self.close_day[shut], self.category[shut], self.next_step[shut] = day, CLOSED, 0
        self.probability[shut] = np.where(won, 100, 0)
        self._emit(shut, at, editor)
        self.caller.book(seat[won], day[won], self.amount[shut][won])
        handed = shut[won & (rng.random(len(shut)) < p.handover_rate)]
        self.owner[handed] = len(self.people.team_region) + rng.integers(0, self.people.n_success, len(handed))
        self._emit(handed, truth.closed_at[handed] + rng.integers(3, 21, len(handed)) * DAY)

    def _signed(self, deal: Ints, day: Ints) -> Ints:
        """Cents on the signed contract: a discount, deeper in the last week of the quarter, or an upsell."""
        rng, p, n = self.rng, self.p, len(deal)
        habit = self.reps.discount_habit[self.owner[deal] - self.first_index]
        rush = np.where(self.cal.quarter_last_day(day) - day < 7, p.signing_rush * habit, 0.0)
        change = np.minimum(rng.normal(*p.signing_log, n), 0.0) + rush
        change = np.where(rng.random(n) < p.upsell_rate, rng.normal(*p.upsell_log, n), change)
        return np.asarray(np.maximum(np.round(self.idea[deal] * np.exp(change)), 1_000), np.int64)


def _working(day: Ints) -> Ints:
    """The day, or the Friday before it where it is on a weekend."""
    return np.asarray(day - np.maximum((day + 3) % 7 - 4, 0), np.int64)
