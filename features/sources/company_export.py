"""Frames of the simulated company's CRM export, and the plain CSV writer for them and for the truth.

In the frames, instants are tz-aware (UTC, seconds), dates are naive timestamps at midnight, money is float64 currency
with cents, words are categoricals, and a missing value is NaT / NaN. In the files: ISO-8601 with Z, YYYY-MM-DD, two
decimals, an empty field.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.sources.company_activity import (
    DIRECTIONS,
    KINDS,
    OUTCOMES,
    ROLES,
    SENIORITIES,
    ActivityRows,
    ContactRows,
)
from features.sources.company_calendar import Calendar, Floats, Ints
from features.sources.company_deals import SOURCES, TYPES, Truth
from features.sources.company_fields import (
    CATEGORIES,
    NO_AMOUNT,
    STAGES,
    CallRows,
    HistoryRows,
    first_owner_index,
)
from features.sources.company_people import (
    INDUSTRIES,
    REGIONS,
    SIZES,
    People,
    account_names,
    person_names,
)

NO_DAY = -1
CHUNK = 200_000
MONEY = ("amount", "booked", "honest_commit", "said_commit", "honest_best", "said_best")  # columns with two decimals


def words(codes: Ints, values: tuple[str, ...]) -> pd.Categorical:
    """Codes as words; code -1 is missing."""
    kind: pd.CategoricalDtype[object] = pd.CategoricalDtype(list(values))
    return pd.Categorical.from_codes(codes.astype(np.int64), dtype=kind)


def ids(codes: Ints, prefix: str, count: int) -> pd.Categorical:
    """Numbers as ids such as D000042; -1 is missing. The number is the order of creation and nothing else."""
    width = max(4, len(str(count)))
    return words(codes, tuple(f"{prefix}{k + 1:0{width}d}" for k in range(count)))


def instants(seconds: Ints) -> pd.DatetimeIndex:
    """UTC seconds as tz-aware instants; int64 max is missing."""
    raw = np.where(seconds == np.iinfo(np.int64).max, np.iinfo(np.int64).min, seconds)
    return pd.DatetimeIndex(raw.astype("datetime64[s]")).tz_localize("UTC")


def dates(days: Ints) -> pd.DatetimeIndex:
    """Days since 1970 as dates; NO_DAY is missing."""
    raw = np.where(days == NO_DAY, np.iinfo(np.int64).min, days)
    return pd.DatetimeIndex(raw.astype("datetime64[D]").astype("datetime64[s]"))


def money(cents: Ints) -> Floats:
    """Cents as currency; NO_AMOUNT is missing."""
    return np.where(cents == NO_AMOUNT, np.nan, cents / 100.0)


def export_frames(
    rng: np.random.Generator,
    people: People,
    truth: Truth,
    history: HistoryRows,
    calls: CallRows,
    activities: ActivityRows,
    contacts: ContactRows,
    quotas: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """The canonical tables by name. Rows of a log are ordered by known_at, of a list by id."""
    return {
        "deals": _deals(rng, people, truth),
        "deal_history": _history(people, truth, history),
        "activities": _activities(truth, activities, contacts),
        "contacts": _contacts(truth, contacts),
        "accounts": _accounts(rng, people),
        "reps": _reps(rng, people),
        "quotas": quotas,
        "calls": _calls(people, calls),
    }


def n_people(people: People) -> int:
    """Rows of the reps table: managers, customer success, reps."""
    return first_owner_index(people) + len(people.reps.seat)


def rep_ids(people: People, index: Ints) -> pd.Categorical:
    """Ids of rows of the reps table."""
    return ids(index, "U", n_people(people))


def _deals(rng: np.random.Generator, people: People, truth: Truth) -> pd.DataFrame:
    """One row per deal, in order of creation."""
    facts, n = truth.facts, len(truth.outcome)
    product = np.array(["platform", "rollout", "seats", "support plan", "pilot", "add-on"])
    made = instants(facts.created_at)
    return pd.DataFrame(
        {
            "deal_id": ids(np.arange(n), "D", n),
            "account_id": ids(facts.account, "A", people.n_accounts),
            "created_at": made,
            "known_at": made,
            "type": words(facts.type, TYPES),
            "source": words(facts.source, SOURCES),
            "name": product[rng.integers(0, len(product), n)],
        }
    )


def _history(people: People, truth: Truth, rows: HistoryRows) -> pd.DataFrame:
    """The log of full states. `rows` come ordered by deal and time; they leave ordered by time."""
    start = np.searchsorted(rows.deal, rows.deal)
    order = np.lexsort((np.arange(len(rows.deal)), rows.deal, rows.at))
    n = len(truth.outcome)
    return pd.DataFrame(
        {
            "deal_id": ids(rows.deal[order], "D", n),
            "known_at": instants(rows.at[order]),
            "seq": (np.arange(len(order)) - start)[order],
            "stage": words(rows.stage[order], STAGES),
            "amount": money(rows.amount[order]),
            "close_date": dates(rows.close_day[order]),
            "forecast_category": words(rows.category[order], CATEGORIES),
            "owner_id": rep_ids(people, rows.owner[order]),
            "edited_by": rep_ids(people, rows.editor[order]),
            "next_step_set": rows.next_step[order].astype(np.bool_),
            "probability": rows.probability[order] / 100,
        }
    )


def _activities(truth: Truth, rows: ActivityRows, contacts: ContactRows) -> pd.DataFrame:
    """The activity log."""
    return pd.DataFrame(
        {
            "deal_id": ids(rows.deal, "D", len(truth.outcome)),
            "occurred_at": instants(rows.occurred_at),
            "known_at": instants(rows.known_at),
            "kind": words(rows.kind, KINDS),
            "direction": words(rows.direction, DIRECTIONS),
            "contact_id": ids(rows.contact, "C", len(contacts.deal)),
            "outcome": words(rows.outcome, OUTCOMES),
            "minutes": np.where(rows.minutes < 0, np.nan, rows.minutes),
        }
    )


def _contacts(truth: Truth, rows: ContactRows) -> pd.DataFrame:
    """People on deals, in the order in which they became known."""
    n = len(rows.deal)
    return pd.DataFrame(
        {
            "deal_id": ids(rows.deal, "D", len(truth.outcome)),
            "contact_id": ids(np.arange(n), "C", n),
            "known_at": instants(rows.known_at),
            "role": words(rows.role, ROLES),
            "seniority": words(rows.seniority, SENIORITIES),
        }
    )


def _accounts(rng: np.random.Generator, people: People) -> pd.DataFrame:
    """The market, in an order that means nothing."""
    n = people.n_accounts
    return pd.DataFrame(
        {
            "account_id": ids(np.arange(n), "A", n),
            "industry": words(people.account_industry, INDUSTRIES),
            "size": words(people.account_size, SIZES),
            "region": words(people.account_region, REGIONS),
            "name": account_names(rng, n),
        }
    )


def _reps(rng: np.random.Generator, people: People) -> pd.DataFrame:
    """Managers (one a team), customer success, then reps; employment days as they stand at the end."""
    reps, teams, total = people.reps, len(people.team_region), n_people(people)
    team = people.seat_team[reps.seat]
    success = np.full(people.n_success, teams)
    none = np.full(teams + people.n_success, NO_DAY)
    region = np.concatenate([people.team_region, np.full(people.n_success, -1), people.team_region[team]])
    names = (*(f"Team {k + 1}" for k in range(teams)), "Customer Success")
    manager = np.concatenate([np.full(teams + people.n_success, -1), team])
    return pd.DataFrame(
        {
            "rep_id": rep_ids(people, np.arange(total)),
            "manager_id": rep_ids(people, manager),
            "team": words(np.concatenate([np.arange(teams), success, team]), names),
            "territory": words(region, REGIONS),
            "hired": dates(np.concatenate([none, reps.hired_day])),
            "left": dates(np.concatenate([none, reps.left_day])),
            "name": person_names(rng, total),
        }
    )


def quota_frame(
    rng: np.random.Generator, cal: Calendar, people: People, bookings: float, region_share: tuple[float, ...]
) -> pd.DataFrame:
    """A quota for each rep employed in a quarter: the seat's share of `bookings` (currency a quarter), by days held."""
    share = np.array(region_share)[people.seat_region] * people.seat_load
    share = share / np.bincount(people.seat_region, people.seat_load)[people.seat_region]
    base = bookings * share * np.exp(rng.normal(0.0, 0.08, len(share)))
    reps = people.reps
    left = np.where(reps.left_day == NO_DAY, cal.end_day, reps.left_day)
    rows: list[tuple[int, int, float]] = []
    for quarter in range(cal.n_quarters):
        first, after = int(cal.quarter_starts[quarter]), int(cal.quarter_starts[quarter + 1])
        held = (after - np.maximum(reps.hired_day, first)) / (after - first)
        for rep in np.flatnonzero((held > 0.2) & (left > first)):
            amount = float(np.round(base[reps.seat[rep]] * held[rep] / 1_000) * 1_000)
            rows.append((int(rep) + first_owner_index(people), first, amount))
    index, first_day, amounts = (np.array(column) for column in zip(*rows, strict=True))
    return pd.DataFrame({"rep_id": rep_ids(people, index), "period_start": dates(first_day), "amount": amounts})


def _calls(people: People, rows: CallRows) -> pd.DataFrame:
    """The reps' weekly calls, by the instant of submission."""
    order = np.lexsort((rows.category, rows.owner, rows.at))
    return pd.DataFrame(
        {
            "rep_id": rep_ids(people, rows.owner[order]),
            "submitted_at": instants(rows.at[order]),
            "period_start": dates(rows.quarter_day[order]),
            "category": words(rows.category[order], CATEGORIES),
            "amount": money(rows.amount[order]),
        }
    )


def _stamps(values: NDArray[np.datetime64], unit: str, tail: str) -> list[str]:
    """ISO text with `tail`; empty for a missing value."""
    text = np.datetime_as_string(values.astype(f"datetime64[{unit}]"))
    return ["" if t == "NaT" else t + tail for t in text.tolist()]


def _texts(column: pd.Series, money: bool) -> list[str]:
    """One column as the texts of its fields."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        words = np.array([*column.cat.categories, ""], dtype=object)
        return [str(word) for word in words[column.cat.codes.to_numpy()]]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _stamps(column.dt.tz_localize(None).to_numpy(), "s", "Z")
    if column.dtype.kind == "M":
        return _stamps(column.to_numpy(), "D", "")
    if column.dtype.kind == "b":
        return ["true" if value else "false" for value in column.to_list()]
    if column.dtype.kind == "f":
        pattern = "{:.2f}" if money else "{:.10g}"
        return ["" if value != value else pattern.format(value) for value in column.to_list()]
    return [str(value) for value in column.to_list()]


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` with a header line and LF line ends. Fields hold no comma or quote: asserted by construction.

    pandas' own writer takes about five times as long on these tables, and would be most of the run.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(",".join(frame.columns) + "\n")
        for begin in range(0, len(frame), CHUNK):
            part = frame.iloc[begin : begin + CHUNK]
            columns = [_texts(part[name], money=name in MONEY) for name in frame.columns]
            file.write("\n".join(map(",".join, zip(*columns, strict=True))) + "\n")
