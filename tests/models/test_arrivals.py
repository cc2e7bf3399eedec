"""Deals to come: past windows against a plain walk, rates worked out by hand, draws with the moments of their law."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.periods import DAY, Calendar, fiscal_calendar
from features.wins import Wins
from models.arrivals import (
    FEWEST_AMOUNTS,
    HALF_LIFE,
    PART,
    PERIODS,
    SPREAD_PERIODS,
    USUAL_SPREAD,
    VOLUME,
    Arrivals,
    PastArrivals,
    Window,
    arrivals_of,
    created_lately,
    past_arrivals,
)
from models.base import Float, Int
from tests.tiny import at

SIGMAS = 4.5
START = at("2010-01-01")


def even_calendar(length: int, periods: int = 40) -> Calendar:
    """Periods of so many days each, so that a period earlier is just so many days earlier."""
    days = 14_610 + length * np.arange(periods + 1)  # 2010-01-01
    return Calendar(days * DAY, days, "UTC")


def wins_of(seed: int, count: int, calendar: Calendar, until: int) -> Wins:
    """Wins all over the time before `until`, some of them opened in the same week."""
    rng = np.random.default_rng(seed)
    won_at = np.sort(rng.integers(calendar.starts[6], until, count))
    age = np.where(rng.random(count) < 0.3, rng.uniform(0, 7, count), np.minimum(rng.exponential(40, count), 80))
    opened = won_at - (age * DAY).astype(np.int64)
    return Wins(won_at, opened, rng.integers(0, 10**6, count), np.arange(count), rng.integers(-1, 4, count))


def walked(wins: Wins, created: Int, length: int, window: Window) -> list[tuple[int, int, int, list[tuple[int, int]]]]:
    """(periods ago, wins, created, [(rep, cents)]) of each earlier window, by going back a whole period at a time."""
    found = []
    rows = list(zip(*(column.tolist() for column in (wins.won_at, wins.opened_at, wins.rep, wins.cents)), strict=True))
    for back in range(1, 100):
        now, start, end = (edge - back * length * DAY for edge in (window.as_of, window.start, window.end))
        if end > window.as_of:
            continue
        if not len(created) or now - VOLUME < created[0] or len(found) == PERIODS:
            break
        mine = [(rep, cents) for won, opened, rep, cents in rows if max(start, now) <= won < end and opened >= now]
        lately = sum(1 for born in created.tolist() if now - VOLUME <= born < now)
        found.append((back, len(mine), lately, mine))
    return found


def told(past: PastArrivals) -> list[tuple[int, int, int, list[tuple[int, int]]]]:
    """The same of what was found."""
    rows = list(zip(past.ago.tolist(), past.rep.tolist(), past.cents.tolist(), strict=True))
    return [
        (back, count, created, [(rep, cents) for ago, rep, cents in rows if ago == back])
        for back, count, created in zip(
            past.periods.tolist(), past.wins.tolist(), past.created.tolist(), strict=True
        )
    ]  # fmt: skip


WINDOWS = {
    "the running period": lambda start, end, as_of: Window(as_of, start, end),
    "the next period": lambda start, end, as_of: Window(as_of, end, end + (end - start)),
    "two periods": lambda start, end, as_of: Window(as_of, start, end + (end - start)),
    "a month that runs": lambda start, end, as_of: Window(as_of, start, start + (end - start) // 3),
    "a month to come": lambda start, end, as_of: Window(
        as_of, start + (end - start) // 3, start + 2 * ((end - start) // 3)
    ),
}


@pytest.mark.parametrize("length", [90, 30])
@pytest.mark.parametrize("name", WINDOWS)
@given(st.integers(0, 10**6), st.floats(0, 0.33), st.integers(9, 20))
def test_past_windows_are_those_of_a_plain_walk(name: str, length: int, seed: int, share: float, period: int) -> None:
    calendar = even_calendar(length)
    start, end = int(calendar.starts[period]), int(calendar.starts[period + 1])
    as_of = start + int(share * (end - start))
    window = WINDOWS[name](start, end, as_of)
    wins = wins_of(seed, 100, calendar, as_of)
    rng = np.random.default_rng(seed)
    created = np.sort(np.concatenate([wins.opened_at, rng.integers(calendar.starts[5], as_of, 50)]))
    got = past_arrivals(wins, created, calendar, window)
    assert told(got) == walked(wins, created, length, window)


def test_a_plain_walk_finds_something() -> None:
    """The walk above compares no empty lists."""
    calendar = even_calendar(90)
    as_of = int(calendar.starts[20]) + 10 * DAY
    wins = wins_of(1, 300, calendar, as_of)
    window = Window(as_of, int(calendar.starts[20]), int(calendar.starts[21]))
    found = walked(wins, np.sort(wins.opened_at), 90, window)
    assert len(found) == PERIODS
    assert sum(count for _, count, _, _ in found) > 20


def quarters() -> Calendar:
    return fiscal_calendar("quarter", 1, "UTC")


def win(opened: str, won: str, cents: int = 100, rep: int = 0) -> tuple[int, int, int, int, int]:
    return at(won), at(opened), cents, 0, rep


def wins(*rows: tuple[int, int, int, int, int]) -> Wins:
    columns = np.array(sorted(rows), dtype=np.int64).reshape(-1, 5).T
    return Wins(*columns)


def window(as_of: str, start: str, end: str) -> Window:
    return Window(at(as_of), at(start), at(end))


BORN = np.array([at("2022-01-01")])


def counts(of: Wins, asked: Window, calendar: Calendar | None = None) -> dict[int, int]:
    past = past_arrivals(of, BORN, calendar or quarters(), asked)
    return dict(zip(past.periods.tolist(), past.wins.tolist(), strict=True))


def test_periods_are_matched_by_their_ends() -> None:
    """2024-05-06 is 56 days before the end of its quarter: so was 2024-02-05."""
    asked = window("2024-05-06", "2024-04-01", "2024-07-01")
    assert counts(wins(win("2024-02-05", "2024-03-31 23:59")), asked)[1] == 1
    assert counts(wins(win("2024-02-04 23:59", "2024-03-31 23:59")), asked)[1] == 0
    assert counts(wins(win("2024-02-05", "2024-04-01")), asked)[1] == 0


def test_a_shorter_period_begins_no_earlier_than_it_does() -> None:
    """2024-07-02 is 91 days before its quarter's end; the first quarter of 2023 had 90."""
    asked = window("2024-07-02", "2024-07-01", "2024-10-01")
    assert counts(wins(win("2023-01-01", "2023-02-01")), asked)[6] == 1
    assert counts(wins(win("2022-12-31 23:59", "2023-02-01")), asked)[6] == 0


def test_at_a_periods_first_instant_and_in_its_last_second() -> None:
    first = window("2024-04-01", "2024-04-01", "2024-07-01")
    assert counts(wins(win("2024-01-01", "2024-02-01"), win("2023-12-31 23:59", "2024-02-01")), first)[1] == 1
    last = window("2024-06-30 23:59:59", "2024-04-01", "2024-07-01")
    both = wins(win("2024-03-31 23:59:59", "2024-03-31 23:59:59"), win("2024-03-31 23:59:58", "2024-03-31 23:59:59"))
    assert counts(both, last)[1] == 1


def test_a_month_within_a_quarter_and_the_next_quarter() -> None:
    """February as of 2024-01-15: 60 to 31 days before the quarter's end, as of 77 days before it."""
    february = window("2024-01-15", "2024-02-01", "2024-03-01")
    one = wins(win("2023-10-16", "2023-11-02"), win("2023-10-16", "2023-12-01"), win("2023-10-15 23:00", "2023-11-02"))
    assert counts(one, february)[1] == 1
    coming = window("2024-01-15", "2024-04-01", "2024-07-01")  # asked of the quarter after
    assert 1 not in counts(one, coming)  # its window is not over
    two = wins(win("2023-07-16", "2023-10-01"), win("2023-07-15", "2023-10-01"), win("2023-10-15", "2024-01-02"))
    assert counts(two, coming)[2] == 1  # as of 2023-07-16, 77 days before the end, won from October to December


def test_a_calendar_of_months() -> None:
    asked = window("2024-03-20", "2024-03-01", "2024-04-01")  # 12 days before the end
    months = fiscal_calendar("month", 1, "UTC")
    some = wins(win("2024-02-18", "2024-02-20"), win("2024-02-17", "2024-02-20"), win("2024-01-20", "2024-01-31"))
    found = counts(some, asked, months)
    assert (found[1], found[2], found[3]) == (1, 1, 0)


def test_clocks_that_change_move_nothing_by_more_than_their_hour() -> None:
    """Local midnight of the same day before the end, in New York: before 2024-11-03 an hour off, after it exact."""
    zone = fiscal_calendar("quarter", 1, "America/New_York")
    start, end = (
        int(zone.starts[zone.days.tolist().index(round(at(day) / DAY))]) for day in ("2024-10-01", "2025-01-01")
    )
    december = Window(at("2024-12-02 05:00"), start, end)
    one = wins(win("2024-09-01 04:00", "2024-09-20"))  # 30 days before 2024-10-01 00:00 there, as December 2 is
    assert counts(one, december, zone)[1] == 1
    late = wins(win("2024-09-01 03:59", "2024-09-20"))
    assert counts(late, december, zone)[1] == 0


def test_the_first_period_of_a_short_calendar_looks_back_at_nothing() -> None:
    table = [date(2022, 6, 1), date(2022, 9, 1), date(2022, 12, 1), date(2023, 3, 1)]
    short = fiscal_calendar("quarter", 1, "UTC", table)
    some = wins(win("2022-06-05", "2022-07-01"))
    assert counts(some, window("2022-06-01", "2022-06-01", "2022-09-01"), short) == {}
    assert counts(some, window("2022-09-01", "2022-09-01", "2022-12-01"), short) == {1: 1}
    assert counts(some, window("2022-12-01", "2022-12-01", "2023-03-01"), short) == {1: 0, 2: 1}


def test_no_more_than_the_last_periods_and_none_before_the_record() -> None:
    asked = window("2024-05-06", "2024-04-01", "2024-07-01")
    assert list(counts(wins(), asked)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert counts(wins(), window("2022-04-01", "2022-04-01", "2022-07-01")) == {}
    assert list(counts(wins(), window("2022-11-01", "2022-10-01", "2023-01-01"))) == [1, 2]
    assert len(past_arrivals(wins(), BORN[:0], quarters(), asked).periods) == 0


def test_deals_created_lately() -> None:
    born = np.sort(np.array([at("2024-01-01"), at("2024-03-31"), at("2024-04-01")]))
    assert created_lately(born, at("2024-04-01")) == 2
    assert created_lately(born, at("2024-04-01 00:00:01")) == 2  # 91 days and a second after the first
    assert created_lately(born, at("2024-07-01")) == 1


# --- rates -----------------------------------------------------------------------------------------------------------


def past_of(wins: list[int], created: list[int], rep: list[int], cents: list[int], ago: list[int]) -> PastArrivals:
    columns = (np.arange(1, len(wins) + 1), wins, created, rep, cents, ago)
    return PastArrivals(*(np.array(column, dtype=np.int64) for column in columns))


PAST = past_of([3, 1], [30, 20], [0, 1, 7, 0], [100, 200, 300, 400], [1, 1, 1, 2])
PLACE = np.array([1, 0, 2, -1, -1, -1, -1, -1])  # of rep codes 0 to 7
NO_WINS = Wins(*np.zeros((5, 0), dtype=np.int64))


def test_a_rate_is_wins_a_deal_created_times_what_is_created_now() -> None:
    got = arrivals_of(PAST, 40, NO_WINS, PLACE, np.ones(3))
    near, far = 0.5 ** (1 / HALF_LIFE), 0.5 ** (2 / HALF_LIFE)
    assert got.rate.sum() == pytest.approx(40 * (3 * near + far) / (30 * near + 20 * far))
    parts = np.array([near, near + far, 0.0]) + PART / 2  # code 7 has no place: it counts for the rate alone
    assert got.rate == pytest.approx(got.rate.sum() * parts / parts.sum())


def test_who_gets_no_new_deals_gets_none_to_come() -> None:
    got = arrivals_of(PAST, 40, NO_WINS, PLACE, np.array([1.0, 0.0, 1.0]))
    everyone = arrivals_of(PAST, 40, NO_WINS, PLACE, np.ones(3))
    assert got.rate[1] == 0
    assert got.rate.sum() == pytest.approx(everyone.rate.sum())
    assert got.rate[0] > everyone.rate[0]


def test_codes_that_have_no_place_count_for_the_company_alone() -> None:
    """Unknown reps (-1), and those who are not in the tree."""
    strangers = past_of([3, 1], [30, 20], [-1, 7, -1, 6], [100, 200, 300, 400], [1, 1, 1, 2])
    got = arrivals_of(strangers, 40, NO_WINS, PLACE, np.ones(3))
    assert got.rate.sum() == pytest.approx(arrivals_of(PAST, 40, NO_WINS, PLACE, np.ones(3)).rate.sum())
    assert got.rate == pytest.approx(np.full(3, got.rate.sum() / 3))


@pytest.mark.parametrize(
    ("past", "created", "active"),
    [
        (past_of([], [], [], [], []), 40, np.ones(3)),
        (past_of([0, 0], [0, 0], [], [], []), 40, np.ones(3)),
        (past_of([0, 0], [9, 9], [], [], []), 40, np.ones(3)),
        (PAST, 0, np.ones(3)),
        (PAST, 40, np.zeros(3)),
    ],
    ids=["no past", "nothing was created", "nothing was won", "nothing is created", "nobody to get it"],
)
def test_where_nothing_can_be_said_nothing_comes(past: PastArrivals, created: int, active: Float) -> None:
    got = arrivals_of(past, created, NO_WINS, PLACE, active)
    streams = [np.random.default_rng(k) for k in range(4)]
    assert not got.expected().any()
    assert not got.draw(streams[:3], streams[3], 100).any()


def test_few_amounts_are_joined_by_those_of_all_wins() -> None:
    every = wins(*(win("2024-01-01", "2024-02-01", cents) for cents in (7, 8, 9)))
    assert sorted(arrivals_of(PAST, 40, every, PLACE, np.ones(3)).cents) == [7, 8, 9, 100, 200, 300, 400]
    n = FEWEST_AMOUNTS
    many = past_of([n], [50], [0] * n, list(range(n)), [1] * n)
    assert sorted(arrivals_of(many, 40, every, PLACE, np.ones(3)).cents) == list(range(n))


def test_the_spread_is_what_counts_vary_by_beyond_chance() -> None:
    """Planted gamma factors are found, pooled over companies; without any the usual one is shrunken towards none."""
    periods = 8
    for planted in (0.0, 0.4):
        found = []
        for seed in range(400):
            rng = np.random.default_rng(seed)
            factor = rng.gamma(1 / planted**2, planted**2, periods) if planted else np.ones(periods)
            n = rng.poisson(60.0 * factor).tolist()
            past = past_of(n, [600] * periods, [0] * sum(n), [1] * sum(n), [1] * sum(n))
            found.append(arrivals_of(past, 600, NO_WINS, PLACE, np.ones(3)).spread ** 2)
        expected = (periods * planted**2 + SPREAD_PERIODS * USUAL_SPREAD**2) / (periods + SPREAD_PERIODS)
        # The rate is of the same counts, which takes about one period's share of the variance away.
        low = ((periods - 2) * planted**2 + SPREAD_PERIODS * USUAL_SPREAD**2) / (periods + SPREAD_PERIODS) - 0.003
        assert low < np.mean(found) < expected + 0.003, planted


# --- draws -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_draws_have_the_moments_of_their_law(spread: float) -> None:
    """Of each rep and of all: compound Poisson with a gamma factor that all share."""
    cents = np.array([0, 1_000, 5_000, 20_000])
    arrivals = Arrivals(np.array([0.3, 4.0, 0.0]), spread, cents)
    streams = [np.random.default_rng(k) for k in range(4)]
    got = arrivals.draw(streams[:3], streams[3], 20_000).astype(np.float64)
    mean, second = cents.mean(), (cents.astype(np.float64) ** 2).mean()
    for rate, values in ((0.3, got[0]), (4.0, got[1]), (4.3, got.sum(axis=0))):
        error = values.std() / np.sqrt(len(values))
        assert abs(values.mean() - rate * mean) < SIGMAS * error
        variance = rate * second + (rate * mean * spread) ** 2
        centred = values - values.mean()
        assert abs(values.var() - variance) < SIGMAS * np.sqrt(((centred**4).mean() - values.var() ** 2) / len(values))
    assert not got[2].any()
    assert arrivals.expected().tolist() == [1_950, 26_000, 0]


def test_counts_are_never_mixed_up_between_paths() -> None:
    """With one amount a path's cents are that amount times its Poisson count."""
    got = Arrivals(np.array([2.0]), 0.0, np.array([700])).draw(
        [np.random.default_rng(5)], np.random.default_rng(6), 5_000
    )
    count = np.random.default_rng(5).poisson(2.0, 5_000)
    assert np.array_equal(got[0], 700 * count)
