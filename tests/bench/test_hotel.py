"""Bookings forecast from a real open book: hotel bookings by month of arrival, at each month's start.

Beside the target stand the naive figures, taken on the same rows and months: docs/measured.md says what they are.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.base import Float
from tests.bench.hotel_book import CALENDAR, Bookings, actual_of, bounds, load, month_index
from tests.bench.hotel_forecast import Rule, Said, forecasts, naive, walk
from tests.bench.measure import held, say, tell, wape
from training.bookings_scores import BookingsScores, score

pytestmark = [pytest.mark.timeout(1800)]

CHOSEN_ON = ("2015-12", "2016-06")
TESTED = ("2016-07", "2017-08")
TARGET = 0.084  # what is on the books, as it stands
NAIVE = {"on the books": 0.084, "last month": 0.203, "same month last year": 0.260}
CANDIDATES = (Rule("table"), Rule("table", priced=True), Rule("ridge"), Rule("ridge", priced=True), Rule())
DRAWS, SEED = 200, 7


def measured(folder: Path, rule: Rule, span: tuple[str, str], repeats: bool = True) -> BookingsScores:
    """Score a rule on a span of months."""
    bookings = load(folder, repeats)
    return score(forecasts(bookings, said_in(bookings, rule, span)), DRAWS, SEED)


def said_in(bookings: Bookings, rule: Rule, span: tuple[str, str]) -> list[Said]:
    """What a rule said of a span of months."""
    return [each for each in walk(bookings, rule, month_index(span[1])) if each.month >= month_index(span[0])]


def tell_parts(bookings: Bookings, said: list[Said]) -> None:
    """Print said / came of what was on the books and stayed, and of what came later, month by month."""
    for each in said:
        cents = bookings.cents[each.rows.deal]
        stayed = float(each.rows.y @ cents)
        later = float(actual_of(bookings, each.month).sum()) - stayed
        told, coming = float(each.p @ cents), float(each.paths.arrivals_mean.sum())
        say(
            f"        {CALENDAR.day(each.month):%Y-%m}: on the books and stayed {told / stayed:.2f}, came later "
            f"{coming / later:.2f}, which was {later / (stayed + later):.0%}"
        )


def naive_figures(folder: Path, repeats: bool = True) -> dict[str, float]:
    """WAPE of the rules of thumb over the tested months."""
    bookings = load(folder, repeats)
    months = list(range(month_index(TESTED[0]), month_index(TESTED[1]) + 1))
    actual: Float = np.array([actual_of(bookings, month).sum() for month in months]) / 100.0
    return {name: wape(said, actual) for name, said in naive(bookings, months).items()}


def otherwise(bookings: Bookings, month: int) -> Bookings:
    """The same file with all that is not known at a month's start made up anew."""
    rng, (start, _) = np.random.default_rng(SEED), bounds(month)
    later = bookings.made >= start
    unsettled = later | ((bookings.arrival >= start) & (bookings.kept | (bookings.told >= start)))
    kept = np.where(unsettled, rng.random(len(bookings)) < 0.5, bookings.kept)
    cents = np.where(later, rng.permutation(bookings.cents), bookings.cents)
    return replace(bookings, kept=kept, cents=cents, told=np.where(unsettled, bookings.arrival, bookings.told))


def test_what_is_not_known_changes_nothing(third_party_data: Path) -> None:
    bookings, month, rule = load(third_party_data), month_index("2016-03"), Rule("ridge")
    one, other = (walk(each, rule, month)[-1] for each in (bookings, otherwise(bookings, month)))
    assert not (one.rows.y == other.rows.y).all()
    assert (one.p == other.p).all()
    assert (one.paths.total() == other.paths.total()).all()
    assert one.scale == other.scale


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
    bookings = load(third_party_data)
    said = said_in(bookings, Rule(), TESTED)
    scores = score(forecasts(bookings, said), DRAWS, SEED)
    tell(f"{TESTED[0]} to {TESTED[1]}, {Rule()}", scores)
    tell_parts(bookings, said)
    held("WAPE at the month's start", scores.mae.value, f"below {TARGET}", scores.mae.value < TARGET)


def test_what_was_not_chosen(third_party_data: Path) -> None:
    """Told and not asserted: what each choice is worth, the stricter clock, and rows that repeat another left out."""
    ridge = Rule("ridge")
    for rule in (
        ridge,
        Rule("table"),
        Rule("ridge", priced=True),
        Rule("ridge", drop=("deposit",)),
        Rule("ridge", lag=1),
    ):
        tell(f"{TESTED[0]} to {TESTED[1]}, {rule}", measured(third_party_data, rule, TESTED))
    tell("rows that repeat another left out, ridge", measured(third_party_data, ridge, TESTED, repeats=False))
