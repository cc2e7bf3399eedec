"""Grades and the queue of a week: what fits, what is fair, and the same answer however it is asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import Grades
from features.periods import DAY
from models.lead_queue import Place, Room, grades, queue, week_of
from tests.tiny import at

CHANCE = st.floats(0, 1)
VALUE = st.one_of(st.just(float("nan")), st.floats(0, 1e6), st.sampled_from([0.0, 10.0, 10.0]))
LEADS = st.lists(st.tuples(CHANCE, VALUE), max_size=40).map(
    lambda told: [(f"L{i}", p, value) for i, (p, value) in enumerate(told)]
)
ROOMS = st.builds(Room, st.integers(1, 50), st.floats(0, 0.5), st.integers(2000, 3000), st.integers(0, 99))

Lead = tuple[str, float, float]


def placed(leads: list[Lead], room: Room) -> dict[str, Place]:
    """The queue of some leads, by id."""
    p, value = (np.array([lead[k] for lead in leads], dtype=np.float64) for k in (1, 2))
    places = queue([lead[0] for lead in leads], p, value, room)
    return {lead[0]: place for lead, place in zip(leads, places, strict=True) if place is not None}


@given(LEADS, ROOMS)
def test_never_more_than_the_capacity_and_ranks_without_a_gap(leads: list[Lead], room: Room) -> None:
    assert room.capacity is not None
    found = placed(leads, room)
    assert sorted(place.rank for place in found.values()) == list(range(1, len(found) + 1))
    assert len(found) <= min(room.capacity, len(leads))
    drawn = [place for place in found.values() if place.why == "explore"]
    assert len(drawn) <= room.explored() <= room.capacity
    assert len(found) == min(room.capacity, len(leads)) or len(drawn) == room.explored()


@given(LEADS, ROOMS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_is_nothing(leads: list[Lead], room: Room, chance: object) -> None:
    shuffled = list(leads)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert placed(shuffled, room) == placed(leads, room)


@given(LEADS, ROOMS)
def test_more_capacity_puts_nobody_out(leads: list[Lead], room: Room) -> None:
    assert room.capacity is not None
    more = Room(room.capacity + 1, room.explore_share, room.week, room.seed)
    assert placed(leads, room).keys() <= placed(leads, more).keys()


@given(LEADS, ROOMS, st.data())
def test_a_lead_that_is_worth_more_is_never_worked_later(leads: list[Lead], room: Room, data: st.DataObject) -> None:
    """Of two that are told apart by value the worthier is before the other, and one that gains loses no place."""
    found = placed(leads, room)
    by_value = sorted((place.rank, name) for name, place in found.items() if place.why == "value")
    told = {name: (-np.inf if np.isnan(value) else value, p) for name, p, value in leads}
    worth = [told[name] for _, name in by_value]
    assert worth == sorted(worth, reverse=True)
    left = [told[name] for name, _, value in leads if name not in {n for _, n in by_value} and not value <= 0]
    assert not by_value or not left or min(worth) >= max(left)
    if leads:
        k = data.draw(st.integers(0, len(leads) - 1))
        name, p, value = leads[k]
        gained = [*leads[:k], (name, p, 2e6 if np.isnan(value) else value + 1e6), *leads[k + 1 :]]
        before, after = found.get(name), placed(gained, room).get(name)
        if before is not None and before.why == "value":
            assert after is not None
            assert after.rank <= before.rank


def test_without_a_capacity_all_that_is_worth_working_has_a_place() -> None:
    room = Room(None, 0.5, 2900, 7)
    assert placed([("a", 0.1, 5.0), ("b", 0.9, 0.0), ("c", 0.2, 50.0)], room) == {
        "c": Place(1, "value"),
        "a": Place(2, "value"),
    }


def test_without_values_the_chance_decides_and_ties_go_by_id() -> None:
    nan = float("nan")
    room = Room(3, 0.0, 2900, 7)
    leads = [("d", 0.5, nan), ("b", 0.5, nan), ("c", 0.7, nan), ("a", 0.1, nan)]
    assert placed(leads, room) == {"c": Place(1, "value"), "b": Place(2, "value"), "d": Place(3, "value")}


def test_the_drawn_ones_are_drawn_evenly_and_anew_each_week() -> None:
    """Over many weeks every lead that value leaves out is drawn about as often, whatever it is worth."""
    leads = [(f"L{i:03d}", 0.5, 100.0 - i) for i in range(100)]
    weeks, times = range(2000, 3000), dict.fromkeys((lead[0] for lead in leads), 0)
    places = 0
    for week in weeks:
        found = placed(leads, Room(50, 0.05, week, 7))
        drawn = [name for name, place in found.items() if place.why == "explore"]
        assert len(drawn) in (2, 3)
        places += len(drawn)
        for name in drawn:
            times[name] += 1
    assert places == pytest.approx(2500, abs=60)
    often = np.array([times[f"L{i:03d}"] for i in range(50, 100)])
    assert times["L000"] == 0
    assert often.min() > 25
    assert often.max() < 80
    assert abs(float(np.corrcoef(often, np.arange(50))[0, 1])) < 0.4


def test_grades_begin_at_their_cuts() -> None:
    p = np.array([0.0, 0.0799, 0.08, 0.2, 0.3999, 0.4, 1.0])
    assert grades(p, Grades()) == ["D", "D", "C", "B", "B", "A", "A"]
    assert grades(np.array([0.5]), Grades(a=0.6, b=0.55, c=0.1)) == ["C"]


def test_a_week_is_monday_to_sunday_where_the_company_is() -> None:
    monday = at("2024-01-08")
    assert week_of(monday, "UTC") == week_of(monday + 7 * DAY - 1, "UTC") == week_of(monday - 1, "UTC") + 1
    assert week_of(monday, "America/New_York") == week_of(monday - 1, "UTC")
