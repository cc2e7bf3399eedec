"""Third-party sets without a history, as rows that the close model takes: one row a lead or booking, head `eventual`.

Columns are those that are known when the row is made: what data/README.md names as leaks is left out, and so is what
it calls suspect. Categories become shrunken lifts, out of fold for the rows that train.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.build import FeatureMatrix
from models.base import Bool, Examples, Float, Int
from tests.bench.references import out_of_fold_lift

DAY = 86_400_000_000
MATURE = 60 * DAY  # olist: won within 60 days
BINS = 10  # of numbers, for naive Bayes


@dataclass(frozen=True)
class Flat:
    """rows: features, outcomes and times. train, test: bool[n]. codes: int64[n, fields] for naive Bayes."""

    name: str
    rows: Examples
    train: Bool
    test: Bool
    codes: Int


def xeducation(folder: Path) -> Flat:
    """Leads by number, the last quarter of which is tested; an outcome counts as told before the next lead."""
    table = pd.read_csv(folder / "xeducation_leads" / "Leads.csv.gz").sort_values("Lead Number", kind="stable")
    table = table.replace("Select", np.nan)
    leaks = ("Tags", "Lead Quality", "Lead Profile", "Last Activity", "Last Notable Activity")
    suspect = ("What is your current occupation", "What matters most to you in choosing a course")
    gone = {*leaks, *suspect, "Prospect ID", "Lead Number", "Converted"}
    kept = [name for name in table.columns if name not in gone and not name.startswith("Asymmetrique")]
    at = np.arange(len(table), dtype=np.int64) * 2
    train = np.arange(len(table)) < 0.75 * len(table)
    return _flat("xeducation_leads", table[kept], table["Converted"].to_numpy(np.float64), at, at + 1, train, ~train)


def olist(folder: Path) -> Flat:
    """Qualified leads of 2017-12-01 to 2018-03-02, tested on those of May 2018: won within 60 days."""
    leads = pd.read_csv(folder / "olist_mql" / "olist_marketing_qualified_leads_dataset.csv.gz")
    won = pd.read_csv(folder / "olist_mql" / "olist_closed_deals_dataset.csv.gz")
    leads = leads.merge(won[["mql_id", "won_date"]], on="mql_id", how="left")
    made = _micros(leads["first_contact_date"], "%d-%m-%Y")
    order = np.argsort(made, kind="stable")
    leads, made = leads.iloc[order], made[order]
    closed = _micros(leads["won_date"], "%d-%m-%Y %H:%M")
    y = ((closed >= 0) & (closed < made + MATURE)).astype(np.float64)
    train = (made >= _day("2017-12-01")) & (made <= _day("2018-03-02"))
    test = (made >= _day("2018-05-01")) & (made < _day("2018-06-01"))
    return _flat("olist_mql", leads[["origin", "landing_page_id"]], y, made, made + MATURE, train, test)


def hotel(folder: Path, every: int = 6) -> Flat:
    """Every sixth booking: kept or cancelled, told at the status date; trained on what was told by 2016-12-31."""
    table = pd.read_csv(folder / "hotel_bookings" / "hotel_bookings.csv.gz", low_memory=False).iloc[::every]
    month = pd.to_datetime(table["arrival_date_month"], format="%B").dt.month
    arrival = pd.to_datetime(
        {"year": table["arrival_date_year"], "month": month, "day": table["arrival_date_day_of_month"]}
    )
    made = arrival - pd.to_timedelta(table["lead_time"], unit="D")
    order = np.argsort(made.to_numpy(), kind="stable")
    table, made = table.iloc[order], made.iloc[order]
    at = made.to_numpy("datetime64[us]").astype(np.int64)
    told = np.maximum(_micros(table["reservation_status_date"], "%m/%d/%Y"), at) + DAY
    gone = {
        "is_canceled",
        "reservation_status",
        "reservation_status_date",
        "assigned_room_type",
        "country",
        "required_car_parking_spaces",
        "total_of_special_requests",
        "booking_changes",
        "arrival_date_year",
        "days_in_waiting_list",
    }
    kept = table[[name for name in table.columns if name not in gone]].astype({"agent": str, "company": str})
    y = 1.0 - table["is_canceled"].to_numpy(np.float64)
    cut = _day("2016-12-31")
    return _flat("hotel_bookings", kept, y, at, told, told <= cut, at > cut)


SETS: dict[str, Callable[[Path], Flat]] = {"xeducation_leads": xeducation, "olist_mql": olist, "hotel_bookings": hotel}


def _flat(name: str, table: pd.DataFrame, y: Float, at: Int, told: Int, train: Bool, test: Bool) -> Flat:
    """Turn a frame into rows."""
    columns: dict[str, Float] = {"stage_rank": np.zeros(len(y)), "days_open": np.zeros(len(y))}
    codes: list[Int] = []
    for label in table.columns:
        if pd.api.types.is_numeric_dtype(table[label]):
            values = table[label].to_numpy(np.float64)
            columns[_plain(str(label))] = values
            codes.append(_binned(values, train))
        else:
            words: Sequence[str | None] = [None if pd.isna(word) else str(word) for word in table[label]]
            columns[_plain(f"{label} lift")] = out_of_fold_lift(words, y, train)
            codes.append(pd.factorize(table[label])[0].astype(np.int64))
    matrix = FeatureMatrix(tuple(columns), np.column_stack(list(columns.values())))
    rows = Examples(matrix, y, np.arange(len(y), dtype=np.int64), at, told)
    return Flat(name, rows, train, test, np.column_stack(codes))


def _plain(name: str) -> str:
    """Return a name that LightGBM takes."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name)


def _binned(values: Float, train: Bool) -> Int:
    edges = np.unique(np.nanquantile(values[train], np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right")).astype(np.int64)


def _micros(column: pd.Series, form: str) -> Int:
    """UTC microseconds; -1 where missing."""
    times = pd.to_datetime(column, format=form)
    micros = times.to_numpy("datetime64[us]").astype(np.int64)
    return np.where(times.isna(), -1, micros)


def _day(text: str) -> int:
    return int(np.datetime64(text, "us").astype(np.int64))
