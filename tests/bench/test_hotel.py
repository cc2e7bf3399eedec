"""Bookings forecast from a real open book: hotel bookings by month of arrival, at each month's start.

Beside the target stand the naive figures, taken on the same rows and months: docs/measured.md says what they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.base import Float
from tests.bench.hotel_book import actual_of, load, month_index
from tests.bench.hotel_forecast import Rule, forecasts, naive, walk, wape
from tests.bench.measure import held, say
from training.bookings_scores import BookingsScores, score
from training.report_text import interval

pytestmark = [pytest.mark.timeout(1800)]

CHOSEN_ON = ("2015-12", "2016-06")
TESTED = ("2016-07", "2017-08")
TARGET = 0.084  # what is on the books, as it stands
NAIVE = {"on the books": 0.084, "last month": 0.203, "same month last year": 0.260}
CANDIDATES = (Rule("table"), Rule("table", priced=True), Rule("ridge"), Rule("ridge", priced=True), Rule())
DRAWS, SEED = 200, 7


def measured(folder: Path, rule: Rule, span: tuple[str, str], repeats: bool = True) -> BookingsScores:
    """Score a rule on a span of months."""
    bookings, (first, last) = load(folder, repeats), span
    said = [each for each in walk(bookings, rule, month_index(last)) if each.month >= month_index(first)]
    return score(forecasts(bookings, said), DRAWS, SEED)


def tell(name: str, scores: BookingsScores) -> None:
    say(
        f"        {name}: WAPE {interval(scores.mae, '.3f')}, of the mean {scores.mae_of_mean.value:.3f}, "
        f"bias {scores.bias.value:+.3f}, in the 80 % band {scores.coverage.value:.0%}, its width {scores.width.value:.0%}"
    )


def naive_figures(folder: Path, repeats: bool = True) -> dict[str, float]:
    """WAPE of the rules of thumb over the tested months."""
    bookings = load(folder, repeats)
    months = list(range(month_index(TESTED[0]), month_index(TESTED[1]) + 1))
    actual: Float = np.array([actual_of(bookings, month).sum() for month in months]) / 100.0
    return {name: wape(said, actual) for name, said in naive(bookings, months).items()}


def test_naive_figures_are_those_published(third_party_data: Path) -> None:
    for repeats in (True, False):
        say(f"rules of thumb, {'every row' if repeats else 'rows that repeat another left out'}:")
        for name, found in naive_figures(third_party_data, repeats).items():
            say(f"        {name}: WAPE {found:.3f}")
    for name, found in naive_figures(third_party_data).items():
        if name in NAIVE:
            held(f"{name}, as told", found, f"{NAIVE[name]:.3f}", abs(found - NAIVE[name]) < 0.001)


def test_the_rule_was_chosen_on_earlier_months(third_party_data: Path) -> None:
    found = {rule: measured(third_party_data, rule, CHOSEN_ON) for rule in CANDIDATES}
    for rule, scores in found.items():
        tell(f"{CHOSEN_ON[0]} to {CHOSEN_ON[1]}, {rule}", scores)
    best = min(found, key=lambda rule: found[rule].mae.value)
    assert best == Rule(), f"on the months before the test {best} errs least, and not the default"


def test_month_start(third_party_data: Path) -> None:
    scores = measured(third_party_data, Rule(), TESTED)
    tell(f"{TESTED[0]} to {TESTED[1]}, {Rule()}", scores)
    held("WAPE at the month's start", scores.mae.value, f"below {TARGET}", scores.mae.value < TARGET)


def test_what_was_not_chosen(third_party_data: Path) -> None:
    """Told and not asserted: what each choice is worth, the stricter clock, and rows that repeat another left out."""
    ridge = Rule("ridge")
    for rule in (ridge, Rule("table"), Rule("ridge", priced=True), Rule("ridge", drop=("deposit",)), Rule("ridge", lag=1)):
        tell(f"{TESTED[0]} to {TESTED[1]}, {rule}", measured(third_party_data, rule, TESTED))
    tell("rows that repeat another left out, ridge", measured(third_party_data, ridge, TESTED, repeats=False))
