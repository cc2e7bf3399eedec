"""Frames of the simulated company's truth: for checking only, in a folder that no source reads."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.sources.company_calendar import Calendar, Floats, Ints
from features.sources.company_calling import Caller
from features.sources.company_deals import OPEN, STATES, Truth
from features.sources.company_export import NO_DAY, dates, ids, instants, money, rep_ids, words
from features.sources.company_fields import CATEGORIES, DealCallRows, RepWeekRows, first_owner_index, join
from features.sources.company_people import REGIONS, People
from features.sources.company_reps import CALLING

TRUE_OUTCOMES = ("open", "won", "lost")

TRUTH_README = """# The truth behind the simulated company

For checking only. No source reads this folder; a model that does is cheating.

- `deal_weeks.csv`: a row per deal and week (Monday, local) that it starts open. `buyer_state` in that week, `readiness`
  (0 at the start, about 1 when the buyer can sign), `win_hazard` and `loss_hazard`: the true probabilities of a win and
  of a recorded loss within the week.
- `deals_truth.csv`: a row per deal. `quality` (logit, without the rep), `cycle_weeks`, `true_outcome` at the end of the
  run, `closed_at` (UTC; empty while open).
- `reps_truth.csv`: a row per rep. `skill` (logit) and habits; `docs/simulated-company.md` has the units. `calling`:
  honest, under or over, with `call_strength`, from the week `calling_from` on until the week `calling_to` (empty: the
  whole time).
- `rep_weeks_truth.csv`: a row per rep and Monday with a call. `calling` and `call_strength` in force, `open_deals`,
  `booked` so far in the quarter, `honest_commit` (what the same rep would have called without a planted habit) and
  `said_commit` (what is in `calls`), and the same for best case; in currency, booked included.
- `calls_truth.csv`: a row per deal and Monday where a planted habit is at work or has left its mark: the category and
  close date that the same rep's honest rule gives, and those in the record. Open deals without a row: both are equal.
- `quarters_truth.csv`: a row per quarter, burn-in included. `season_logit` and `shock_logit`: added to the logit of the
  weekly win hazard. `planted_shock`: the quarter whose shock holds `shock_size` beside its chance part.
- `territory_changes_truth.csv`: a row per account that a territory change assigns to a seat, with the rep on that seat
  and the number of open deals that moved then.
- `vacancies_truth.csv`: a row per empty seat: who left, who came (empty: nobody), first week and first week after it.
- `leads_truth.csv`: a row per lead. `fit` (logit), who has it (`rep_id`), that rep's `load` when it came in, `warmth` (of
  its bursts of interest), `to_be_worked` and `first_touch_at` (planned; empty: never), `decided_at` with the chance of it
  on that day (`decision_hazard`), `converted_at` and `deal_id` (empty: none), `opted_out_at`. The decision may lie beyond
  the run, the conversion does not.
- `lead_ages_truth.csv`: a row per lead and age (a minute to 30 days) within the run: all drivers of the conversion as
  known then, whether the lead was still `open` (neither converted nor given up nor opted out), and `hazard`: the chance
  that it decides on a working day with those drivers.

The states and hazards of a week are those in force *during* that week, drawn as it begins; calls and categories those
at the Monday's call, before anything else of that week.
"""


def truth_frames(
    cal: Calendar,
    people: People,
    truth: Truth,
    season: Floats,
    shock: Floats,
    planted: int | None,
    caller: Caller,
) -> dict[str, pd.DataFrame]:
    """The hidden side. Only the ids are shared with the export.

    season, shock: logits by quarter; planted: number of the quarter with the planted shock.
    """
    weeks, facts, n = truth.weeks, truth.facts, len(truth.outcome)
    closed = np.where(truth.outcome == OPEN, np.iinfo(np.int64).max, truth.closed_at)
    quarters = np.arange(cal.n_quarters)
    return {
        "deal_weeks": pd.DataFrame(
            {
                "deal_id": ids(weeks.deal, "D", n),
                "week_start": dates(cal.week_days[weeks.week]),
                "buyer_state": words(weeks.state, STATES),
                "readiness": np.round(weeks.readiness, 5),
                "win_hazard": np.round(weeks.win_hazard, 9),
                "loss_hazard": np.round(weeks.loss_hazard, 9),
            }
        ),
        "deals_truth": pd.DataFrame(
            {
                "deal_id": ids(np.arange(n), "D", n),
                "quality": np.round(facts.quality, 6),
                "cycle_weeks": np.round(facts.cycle, 4),
                "true_outcome": words(truth.outcome, TRUE_OUTCOMES),
                "closed_at": instants(closed),
            }
        ),
        "reps_truth": _reps(cal, people),
        "rep_weeks_truth": _rep_weeks(cal, people, join(caller.rep_weeks, RepWeekRows)),
        "calls_truth": _calls(cal, people, n, join(caller.deal_calls, DealCallRows)),
        "quarters_truth": pd.DataFrame(
            {
                "quarter_start": dates(cal.quarter_starts[quarters]),
                "season_logit": season[quarters],
                "shock_logit": np.round(shock[quarters], 9),
                "planted_shock": quarters == (-1 if planted is None else planted),
            }
        ),
        "territory_changes_truth": _territory_changes(cal, people, truth),
        "vacancies_truth": _vacancies(cal, people),
    }


def _weeks(cal: Calendar, week: Ints) -> pd.DatetimeIndex:
    """Mondays of the weeks; a week outside the run is missing."""
    inside = (week > 0) & (week < cal.n_weeks)
    return dates(np.where(inside, cal.week_days[np.where(inside, week, 0)], NO_DAY))


def _reps(cal: Calendar, people: People) -> pd.DataFrame:
    """Skill and habits of each rep."""
    reps = people.reps
    columns: dict[str, object] = {"rep_id": rep_ids(people, np.arange(len(reps.seat)) + first_owner_index(people))}
    for name in type(reps).__dataclass_fields__:
        value = getattr(reps, name)
        if name == "calling":
            columns[name] = _calling(value)
        elif name in ("calling_from", "calling_to"):
            columns[name] = _weeks(cal, value)
        elif name not in ("seat", "hired_day", "left_day"):
            columns[name] = np.round(np.asarray(value, np.float64), 6)
    return pd.DataFrame(columns)


def _calling(sign: Ints) -> pd.Categorical:
    """HONEST, UNDER, OVER (0, -1, 1) as words."""
    return words(np.where(sign < 0, 1, np.where(sign > 0, 2, 0)), CALLING)


def _rep_weeks(cal: Calendar, people: People, rows: RepWeekRows) -> pd.DataFrame:
    """What each rep called, beside what the honest rule would have."""
    order = np.lexsort((rows.owner, rows.week))
    return pd.DataFrame(
        {
            "rep_id": rep_ids(people, rows.owner[order]),
            "week_start": dates(cal.week_days[rows.week[order]]),
            "calling": _calling(rows.calling[order]),
            "call_strength": rows.strength[order],
            "open_deals": rows.open_deals[order],
            "booked": money(rows.booked[order]),
            "honest_commit": money(rows.honest_commit[order]),
            "said_commit": money(rows.said_commit[order]),
            "honest_best": money(rows.honest_best[order]),
            "said_best": money(rows.said_best[order]),
        }
    )


def _calls(cal: Calendar, people: People, n_deals: int, rows: DealCallRows) -> pd.DataFrame:
    """Categories and dates where honest and recorded ones may differ."""
    order = np.lexsort((rows.week, rows.deal))
    return pd.DataFrame(
        {
            "deal_id": ids(rows.deal[order], "D", n_deals),
            "week_start": dates(cal.week_days[rows.week[order]]),
            "rep_id": rep_ids(people, rows.owner[order]),
            "calling": _calling(rows.calling[order]),
            "honest_category": words(rows.honest_category[order], CATEGORIES),
            "recorded_category": words(rows.said_category[order], CATEGORIES),
            "honest_close_date": dates(rows.honest_day[order]),
            "recorded_close_date": dates(rows.said_day[order]),
        }
    )


def _territory_changes(cal: Calendar, people: People, truth: Truth) -> pd.DataFrame:
    """Accounts that changed hands, by week."""
    weeks = truth.weeks
    facts = truth.facts
    first = weeks.week == facts.first_week[weeks.deal]
    before = np.where(first, facts.seat[weeks.deal], np.concatenate([[-1], weeks.seat[:-1]]))
    moved = np.flatnonzero(weeks.seat != before)
    account, week = facts.account[weeks.deal[moved]], weeks.week[moved]
    parts = []
    for change in people.realignments:
        deals = np.bincount(account[week == change.week], minlength=people.n_accounts)[change.account]
        rep = people.seat_rep[change.seat, change.week] + first_owner_index(people)
        parts.append((change.account, np.full(len(rep), change.week), np.full(len(rep), change.region), rep, deals))
    empty = (np.zeros(0, np.int64),) * 5
    accounts, at, region, rep, deals = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    return pd.DataFrame(
        {
            "week_start": dates(cal.week_days[at]),
            "realigned_region": words(region, REGIONS),
            "account_id": ids(accounts, "A", people.n_accounts),
            "to_rep_id": rep_ids(people, rep),
            "deals_moved": deals,
        }
    )


def _vacancies(cal: Calendar, people: People) -> pd.DataFrame:
    """Empty seats, by first week."""
    edge = np.diff(people.vacant.astype(np.int64), axis=1, prepend=0, append=0)
    seat, first = np.nonzero(edge == 1)
    after = np.nonzero(edge == -1)[1]
    order = np.lexsort((seat, first))
    seat, first, after = seat[order], first[order], after[order]
    back = after < cal.n_weeks
    came = np.where(back, people.seat_rep[seat, np.where(back, after, 0)] + first_owner_index(people), -1)
    return pd.DataFrame(
        {
            "left_rep_id": rep_ids(people, people.seat_rep[seat, first] + first_owner_index(people)),
            "came_rep_id": rep_ids(people, came),
            "empty_from": _weeks(cal, first),
            "empty_to": _weeks(cal, after),
        }
    )
