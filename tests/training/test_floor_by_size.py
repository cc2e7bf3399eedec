"""The floor by size against closed forms and a plain loop; what the page says; what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from configs.errors import UsageError
from forecastle import app
from models.base import sigmoid
from training.floor_by_size import SPREAD, WIN_RATE, floor_table, middle_of, text_of, unseen
from training.noise_floor import unshocked

PAGE = Path(__file__).parents[2] / "docs" / "noise-floor.md"


def test_the_middle_makes_the_win_rate() -> None:
    x = np.random.default_rng(1).normal(size=400_000)
    assert sigmoid(middle_of(0.25, 1.5) + 1.5 * x).mean() == pytest.approx(0.25, abs=0.002)
    assert middle_of(0.5, 2.0) == pytest.approx(0.0, abs=1e-9)
    assert middle_of(0.2, 0.0) == pytest.approx(np.log(0.25), abs=1e-9)


def test_deals_still_to_be_created_by_drawing_them() -> None:
    rng = np.random.default_rng(2)
    decided = rng.random(400_000)
    created = decided - rng.exponential(size=len(decided))
    at = np.array([0.0, 0.4, 0.9])
    assert unseen(at) == pytest.approx([(created >= instant).mean() for instant in at], abs=0.003)
    assert unseen(np.zeros(1))[0] == pytest.approx(np.exp(-1))


@pytest.mark.parametrize("shock", [0.0, 0.15])
def test_many_wins_follow_the_formula_of_the_page(shock: float) -> None:
    x = np.random.default_rng(3).normal(size=400_000)
    p = sigmoid(middle_of(WIN_RATE, SPREAD) + SPREAD * x)
    r = float((p * (1 - p)).sum() / p.sum())
    left = 1 - np.array([0, 3, 6, 9, 11]) / 13
    new = unseen(1 - left)
    expected = np.sqrt(2 / np.pi * ((1 + 0.5**2) / 600 * ((left - new) * r + new) + (shock * r * left) ** 2))
    found = floor_table([600], 0.5, shock, deals=3_600_000).sizes[0].error
    assert found == pytest.approx(expected, rel=0.06)


def by_loop(wins: float, shock: float, week: int, periods: int) -> float:
    """Amounts of 1, deal by deal."""
    rng = np.random.default_rng(4)
    middle, instant = middle_of(WIN_RATE, SPREAD), (week - 1) / 13
    missed = booked = 0.0
    for _ in range(periods):
        z, off = rng.normal() * shock, -wins * float(unseen(np.array([instant]))[0])
        for _ in range(rng.poisson(wins / WIN_RATE)):
            p = float(sigmoid(np.array([middle + SPREAD * rng.normal()]))[0])
            decided = rng.random()
            created = decided - rng.exponential()
            won = rng.random() < sigmoid(unshocked(np.array([p]), shock) + z)[0]
            booked += won
            if decided >= instant:
                off += float(won) - (p if created < instant else 0.0)
        missed += abs(off)
    return missed / booked


def test_a_few_wins_follow_a_plain_loop() -> None:
    found = floor_table([6], 0.0, 0.4).sizes[0].error
    assert found[2] == pytest.approx(by_loop(6, 0.4, 7, 1500), rel=0.08)


def test_what_makes_it_worse_and_that_the_seed_decides() -> None:
    def week_one(wins: float, cv: float, shock: float) -> float:
        return floor_table([wins], cv, shock, deals=200_000).sizes[0].error[0]

    base = week_one(50, 1.0, 0.15)
    assert week_one(200, 1.0, 0.15) < base < week_one(50, 2.0, 0.15)
    assert week_one(50, 1.0, 0.0) < base < week_one(50, 1.0, 0.6)
    both = floor_table([50, 200], deals=200_000)
    assert both.sizes[1:] == floor_table([200], deals=200_000).sizes  # a row does not depend on its neighbours
    assert both.sizes != floor_table([50, 200], seed=8, deals=200_000).sizes
    assert floor_table([50], period_weeks=4, deals=200_000).weeks == (1, 4)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--wins", "0"), ("--wins", "1e6"), ("--amount-cv", "-1"), ("--shock", "nan"), ("--period-weeks", "0")],
)
def test_what_is_no_size_is_refused_with_exit_code_2(option: str, value: str) -> None:
    found = CliRunner().invoke(app, ["noise-floor", "--wins", "30", option, value])
    assert found.exit_code == 2
    assert option in found.output


def test_the_message_says_what_was_expected() -> None:
    with pytest.raises(UsageError, match="--amount-cv: 11; expected"):
        floor_table([30], 11.0)


def test_the_command_prints_the_table_of_the_page() -> None:
    found = CliRunner().invoke(app, ["noise-floor", "--wins", "30", "--wins", "100", "--json"])
    assert found.exit_code == 0
    text, last = found.output.rstrip("\n").rsplit("\n", 1)
    told = json.loads(last)
    assert [size["wins"] for size in told["sizes"]] == [30, 100]
    assert text == text_of(floor_table([30, 100]))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    page = PAGE.read_text(encoding="utf-8")
    assert len(rows) == 4
    assert "\n".join(rows) in page
