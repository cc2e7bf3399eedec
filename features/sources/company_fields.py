"""The shape of what the simulated company writes down: stages, categories, parameters of the record, its rows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from features.sources.company_calendar import Floats, Ints
from features.sources.company_deals import DealFacts
from features.sources.company_people import People

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
    late_start: float = 0.85  # under-callers: share of quarter-end dates put 3-20 days after it, per log of strength
    drag_rate: float = 0.50  # over-callers: chance per session to pull in a later date, per log of strength
    drag_from: float = 0.45  # seen readiness from which they do, while 10 days or more of the quarter are left
    push_margin_days: float = 10.0  # expected overrun that makes a rep think of a push
    pull_rate: float = 0.40  # chance of a pull-in in a session where the deal looks well ahead
    belief_slope: float = 6.0  # logit per readiness unit around 0.75
    belief_state: tuple[float, ...] = (0.0, -0.6, -1.8, -3.0)  # logit, times the rep's awareness
    calling_logit: float = 2.0  # logit on the belief of planted reps, per log of their strength
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
    padding_cut: float = 0.80  # chance that padding is cut when the deal enters Propose or later
    amount_change_at_propose: float = 0.45  # chance when the deal enters Propose or later
    amount_change_log: tuple[float, float] = (-0.02, 0.18)  # mean and sd, log
    signing_log: tuple[float, float] = (-0.06, 0.09)  # mean and sd, log: the discount at signing
    signing_rush: float = -0.05  # log, added in the last 7 days of a quarter, times the rep's `discount_habit`
    upsell_rate: float = 0.12  # share of signings with more bought
    upsell_log: tuple[float, float] = (0.18, 0.08)  # mean and sd, log
    stage_probability: tuple[float, ...] = (10, 20, 35, 55, 75, 90)  # percent, the CRM's default by stage
    probability_edit: float = 0.04  # chance that the rep overrides it in a session
    next_step: tuple[float, ...] = (
        0.80,
        0.60,
        0.35,
        0.15,
    )  # chance that a next step stands, by state, for the usual rep
    split_rate: float = 0.30  # share of edits of several fields saved as two rows, 0-240 s apart
    tidy_rate: float = 0.15  # share of wins set to Verbal only 1-10 minutes before the close
    handover_rate: float = 0.40  # share of wins handed to customer success 3-20 days after the close
    call_noise_sd: float = 0.08  # log, on the open part of each weekly call
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
    editor: Ints  # who saved the row, index into the reps table
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


@dataclass(frozen=True)
class RepWeekRows:
    """Truth: a row per rep and week that they hold a seat, as of the Monday's call. Money in cents."""

    owner: Ints  # index into the reps table
    week: Ints
    calling: Ints  # HONEST, UNDER or OVER
    strength: Floats  # in force; 1 where honest
    open_deals: Ints
    booked: Ints
    honest_commit: Ints  # what the same rep would have called without a planted habit, booked included
    said_commit: Ints
    honest_best: Ints
    said_best: Ints


@dataclass(frozen=True)
class DealCallRows:
    """Truth: open deals at a Monday's call where a planted habit is, or was, at work."""

    deal: Ints
    week: Ints
    owner: Ints
    calling: Ints
    honest_category: Ints
    said_category: Ints
    honest_day: Ints
    said_day: Ints


Block = TypeVar("Block", HistoryRows, CallRows, RepWeekRows, DealCallRows)


def amount_scale(people: People, facts: DealFacts, p: RecordParams) -> Floats:
    """Median first amount of each deal's segment, in currency."""
    size, region = people.account_size[facts.account], people.account_region[facts.account]
    scale = np.array(p.amount_median)[size] * np.array(p.amount_region)[region]
    return np.asarray(scale * np.where(facts.type == 1, p.amount_expansion, 1.0), np.float64)


def first_owner_index(people: People) -> int:
    """Index in the reps table of rep 0: managers and customer success come first."""
    return len(people.team_region) + people.n_success


def join(blocks: list[Block], kind: type[Block]) -> Block:
    """One block out of many."""
    return kind(**{f.name: np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(kind)})


def take(rows: HistoryRows, index: Ints) -> HistoryRows:
    """The rows at `index`."""
    return HistoryRows(**{f.name: getattr(rows, f.name)[index] for f in fields(HistoryRows)})
