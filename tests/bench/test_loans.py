"""The amount that a lender will approve within 28 days, on a real log of applications (BPI Challenge 2012)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.asof import Requests
from features.periods import DAY
from features.told import told_at
from models.base import Float
from tests.bench.loan_forecast import DAYS, FITS, SPAN, Loans, Said, approved, forecasts, load, mondays, say_at, walk
from tests.bench.measure import held, say, tell, wape
from training.bookings_scores import score

pytestmark = [pytest.mark.timeout(900)]

FROM = "2011-11-28"  # the first Monday with two whole windows behind it: one to learn from, one for it to end in
DECEMBER = 3  # days later begins the month from which a naive figure of each day comes out as told, too
TARGET = 0.179  # what was approved in the last 28 days
DRAWS, SEED = 200, 7


def naive(loans: Loans, at: list[int]) -> float:
    """WAPE of what was approved in the 28 days before, on these days."""
    before = np.array([approved(loans, as_of - SPAN, as_of) for as_of in at])
    after = np.array([approved(loans, as_of, as_of + SPAN) for as_of in at])
    return wape(before, after)


def looked_at(loans: Loans) -> list[int]:
    first = int(np.datetime64(FROM, "us").astype(np.int64)) - DAY  # Monday's midnight is Sunday's evening in UTC
    return [as_of for as_of in mondays(loans) if as_of >= first]


def alone(loans: Loans, said: list[Said], name: str) -> Float:
    """What one model alone would have said on each Monday, cents, with the same arrivals."""
    told = []
    for each in said:
        rows = loans.prepared.examples.take(each.rows)
        cents = told_at(loans.prepared.record, Requests(rows.deal, rows.as_of)).amount_cents
        told.append(float(each.p[name] @ np.maximum(cents, 0)) + int(each.arrivals.expected().sum()))
    return np.array(told)


def test_approved_within_28_days(third_party_data: Path) -> None:
    loans = load(third_party_data)
    at = looked_at(loans)
    said = [each for each in walk(loans) if each.as_of in at]
    scores = score(forecasts(loans, said), DRAWS, SEED)
    actual = np.array([approved(loans, as_of, as_of + SPAN) for as_of in at], dtype=np.float64)
    say(f"        {len(at)} Mondays from {FROM}, {DAYS} days each")
    tell("open cases and arrivals", scores)
    for name in FITS:
        spoke = sum(each.chosen == name for each in said)
        error = wape(alone(loans, said, name), actual)
        say(f"        {name} alone: WAPE of the mean {error:.3f}; it spoke {spoke} times")
    found = naive(loans, at)
    days = [at[0] + k * DAY for k in range(DECEMBER, (loans.end - SPAN - at[0]) // DAY + 1)]
    say(f"        last {DAYS} days: WAPE {found:.4f}; each day from 1 December: {naive(loans, days):.4f}")
    before = np.array([approved(loans, as_of - SPAN, as_of) for as_of in at])
    nearer = np.abs(forecasts(loans, said).median * 100 - actual) < np.abs(before - actual)
    say(f"        nearer than that, by Monday: {''.join('+' if each else '-' for each in nearer)}")
    held("the naive figure, as told", found, "0.179", abs(found - TARGET) < 0.001)
    held("WAPE of 28 days", scores.mae.value, f"below {TARGET}", scores.mae.value < TARGET)


def test_what_is_not_known_changes_nothing(third_party_data: Path) -> None:
    loans = load(third_party_data)
    as_of = looked_at(loans)[2]
    one, other = (say_at(each, as_of, []) for each in (loans, load(third_party_data, as_of + 1)))
    assert len(other.rows)
    assert all((one.p[name] == other.p[name]).all() for name in FITS)
    assert (one.paths.total() == other.paths.total()).all()
